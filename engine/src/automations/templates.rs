//! `templates.json`: what `callbell templates pull` keeps of the account's approved templates, so that
//! placeholders can be counted and the sentence shown without asking Callbell.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One template, with the names that Callbell's `GET /templates` uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// 32 hex digits.
    pub uuid: String,
    /// Its name.
    #[serde(default)]
    pub title: String,
    /// The sentence with its placeholders `{{1}}`, `{{2}}` …
    #[serde(default)]
    pub text: String,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub category: String,
    /// `approved`, `pending`, `rejected`, `paused`, `disabled` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// `text`, `image`, `video`, `document`.
    #[serde(
        default,
        rename = "templateType",
        skip_serializing_if = "String::is_empty"
    )]
    pub template_type: String,
}

/// All templates that are known, by uuid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates(BTreeMap<String, Template>);

impl Templates {
    /// Reads `templates.json`: a list of templates, or Callbell's answer `{"templates": […]}`.
    ///
    /// # Errors
    /// What is no such JSON.
    pub fn from_json(text: &str) -> Result<Templates, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum File {
            List(Vec<Template>),
            Answer { templates: Vec<Template> },
        }
        let (File::List(list) | File::Answer { templates: list }) = serde_json::from_str(text)?;
        Ok(list.into_iter().collect())
    }

    /// The file's text: a list, sorted by uuid.
    pub fn to_json(&self) -> String {
        let list: Vec<&Template> = self.0.values().collect();
        // Nothing in a template can fail to be written.
        serde_json::to_string_pretty(&list).unwrap_or_default() + "\n"
    }

    /// The template of a uuid, dashed or not.
    pub fn get(&self, uuid: &str) -> Option<&Template> {
        self.0.get(&plain(uuid))
    }

    /// All, sorted by uuid.
    pub fn iter(&self) -> impl Iterator<Item = &Template> {
        self.0.values()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Template> for Templates {
    fn from_iter<I: IntoIterator<Item = Template>>(list: I) -> Self {
        Templates(
            list.into_iter()
                .map(|one| (plain(&one.uuid), one))
                .collect(),
        )
    }
}

/// A uuid as it is compared: 32 hex digits in small letters.
pub(super) fn plain(uuid: &str) -> String {
    uuid.chars()
        .filter(|c| *c != '-')
        .collect::<String>()
        .to_lowercase()
}

impl Template {
    /// How many values it takes: the highest number, or as many as there are named ones.
    pub fn placeholders(&self) -> usize {
        let names: BTreeSet<&str> = placeholders(&self.text).map(|(_, name)| name).collect();
        let highest = names
            .iter()
            .filter_map(|name| name.parse::<usize>().ok())
            .max();
        highest.unwrap_or(names.len())
    }

    /// The sentence that the customer reads: value `n` stands for `{{n}}`. A placeholder without a
    /// value stays as it is.
    pub fn fill<S: AsRef<str>>(&self, values: &[S]) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut rest = 0;
        for (at, name) in placeholders(&self.text) {
            let end = at
                + 2
                + self
                    .text
                    .get(at + 2..)
                    .and_then(|tail| tail.find("}}"))
                    .unwrap_or(0)
                + 2;
            let number = name
                .parse::<usize>()
                .ok()
                .and_then(|number| number.checked_sub(1));
            let Some(value) = number.and_then(|index| values.get(index)) else {
                continue;
            };
            out.push_str(self.text.get(rest..at).unwrap_or_default());
            out.push_str(value.as_ref());
            rest = end;
        }
        out.push_str(self.text.get(rest..).unwrap_or_default());
        out
    }
}

/// Where each placeholder begins, and what stands in it.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("{{").filter_map(|(at, _)| {
        let (name, _) = text.get(at + 2..)?.split_once("}}")?;
        let name = name.trim();
        let right = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        right.then_some((at, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template {
            text: text.to_owned(),
            ..Template::default()
        }
    }

    #[test]
    fn placeholders_are_counted_and_filled() {
        let one = template("Olá {{1}}, seu pedido {{ 2 }} de {{1}} custa {{3}}.");
        assert_eq!(one.placeholders(), 3);
        assert_eq!(
            one.fill(&["Maria", "#1001"]),
            "Olá Maria, seu pedido #1001 de Maria custa {{3}}."
        );
        assert_eq!(template("Só isto {{ }}").placeholders(), 0);
        assert_eq!(template("{{nome}} {{pedido}}").placeholders(), 2);
        // A value that looks like a placeholder is not filled in again.
        assert_eq!(template("{{1}}{{2}}").fill(&["{{2}}", "x"]), "{{2}}x");
    }

    #[test]
    fn both_shapes_of_the_file_are_read() {
        let list = r#"[{"uuid":"AAAA-bb","title":"t","text":"{{1}}","templateType":"text"}]"#;
        let one = Templates::from_json(list).expect("a list");
        assert_eq!(one.get("aaaabb").map(Template::placeholders), Some(1));
        let answer = format!(r#"{{"templates":{list}}}"#);
        assert_eq!(Templates::from_json(&answer).expect("an answer"), one);
        assert_eq!(
            Templates::from_json(&one.to_json()).expect("its own text"),
            one
        );
        assert!(Templates::from_json("7").is_err());
    }
}
