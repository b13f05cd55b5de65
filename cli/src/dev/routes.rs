//! The routes of template.yaml, as the development server serves them.

use std::collections::BTreeMap;

use serde_yaml_ng::Value;

/// The template that this program was built from.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// One route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// `ANY`, or a method.
    pub method: String,
    /// `/orders/{source}`.
    pub path: String,
    /// The function's folder below `functions/`.
    pub function: String,
}

/// Why a template has no usable routes.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// No YAML.
    #[error("template.yaml cannot be read: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// Something that a route needs is not there.
    #[error("template.yaml: {resource} has no {missing}")]
    Missing {
        /// The resource.
        resource: String,
        /// What is missing.
        missing: &'static str,
    },
}

/// The routes of all HTTP API events of all functions. Intrinsic functions (`!Ref`) are left alone.
///
/// # Errors
/// See [`TemplateError`].
pub fn read(template: &str) -> Result<Vec<Route>, TemplateError> {
    let template: Value = serde_yaml_ng::from_str(template)?;
    let mut routes = Vec::new();
    for (name, resource) in entries(template.get("Resources")) {
        let is_function = text(resource.get("Type")) == Some("AWS::Serverless::Function");
        let Some(properties) = resource.get("Properties").filter(|_| is_function) else {
            continue;
        };
        for (_, event) in entries(properties.get("Events")) {
            if text(event.get("Type")) != Some("HttpApi") {
                continue;
            }
            let missing = |missing| TemplateError::Missing {
                resource: name.to_owned(),
                missing,
            };
            let code = text(properties.get("CodeUri")).ok_or_else(|| missing("CodeUri"))?;
            let event = event
                .get("Properties")
                .ok_or_else(|| missing("Events.*.Properties"))?;
            routes.push(Route {
                method: text(event.get("Method"))
                    .ok_or_else(|| missing("Method"))?
                    .to_uppercase(),
                path: text(event.get("Path"))
                    .ok_or_else(|| missing("Path"))?
                    .to_owned(),
                function: code
                    .trim_end_matches('/')
                    .rsplit('/')
                    .next()
                    .unwrap_or(code)
                    .to_owned(),
            });
        }
    }
    Ok(routes)
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let mapping = value.and_then(Value::as_mapping);
    mapping
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str()?, value)))
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

impl Route {
    /// The path's parameters, where the route takes this request.
    pub fn matches(&self, method: &str, path: &str) -> Option<BTreeMap<String, String>> {
        if self.method != "ANY" && self.method != method {
            return None;
        }
        let mut parameters = BTreeMap::new();
        let mut parts = path.trim_start_matches('/').split('/');
        for wanted in self.path.trim_start_matches('/').split('/') {
            let part = parts.next()?;
            match wanted
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'))
            {
                Some(_) if part.is_empty() => return None,
                Some(name) => {
                    parameters.insert(name.to_owned(), part.to_owned());
                }
                None if wanted == part => {}
                None => return None,
            }
        }
        parts.next().is_none().then_some(parameters)
    }

    /// `ANY /orders/{source}`.
    pub fn key(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_routes_every_door_to_its_folder() {
        let routes = read(TEMPLATE).unwrap();
        let orders = routes
            .iter()
            .find(|route| route.function == "orders")
            .unwrap();
        assert_eq!(orders.key(), "ANY /orders/{source}");
    }

    #[test]
    fn a_path_matches_part_by_part() {
        let route = Route {
            method: "ANY".to_owned(),
            path: "/orders/{source}".to_owned(),
            function: "orders".to_owned(),
        };
        let parameters = route.matches("POST", "/orders/loja-it").unwrap();
        assert_eq!(
            parameters.get("source").map(String::as_str),
            Some("loja-it")
        );
        for path in ["/orders", "/orders/", "/orders/a/b", "/forms/a", "/"] {
            assert_eq!(route.matches("POST", path), None, "{path}");
        }
        let only_post = Route {
            method: "POST".to_owned(),
            ..route
        };
        assert_eq!(only_post.matches("GET", "/orders/a"), None);
    }

    #[test]
    fn a_function_without_code_is_an_error() {
        let template = "Resources: {A: {Type: 'AWS::Serverless::Function', Properties: {Events: {W: {Type: HttpApi}}}}}";
        assert!(matches!(
            read(template),
            Err(TemplateError::Missing {
                missing: "CodeUri",
                ..
            })
        ));
    }
}
