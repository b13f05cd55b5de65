//! Where the development server's secrets come from: the user's `secrets.toml`, or public demo values,
//! which no Lambda binary knows.

use std::path::Path;

use engine::automations::model::Automations;
use engine::automations::secrets::{ApiSecret, SecretKind, api_secrets};
use serde::Deserialize;
use shared::secrets::{Secret, Secrets};
use shared::sources::demo;

/// The token of the stand-in Callbell where no secrets file is given.
pub const DEMO_TOKEN: &str = "demo-callbell-token";
/// Credentials of the stand-ins of other systems, by connection.
const DEMO_APIS: [(&str, &str); 12] = [
    (
        "shopify",
        r#"{"client_id":"demo","client_secret":"demo-shopify-secret","shop":"demo-shop.myshopify.com"}"#,
    ),
    (
        "woocommerce",
        r#"{"key":"ck_demo","secret":"cs_demo","url":"https://demo-shop.example"}"#,
    ),
    ("calendly", "demo-calendly-token"),
    ("cal-com", "cal_demo-cal-com-key"),
    ("google-calendar", DEMO_GOOGLE),
    ("typeform", "demo-typeform-token"),
    ("hubspot", "pat-eu1-demo"),
    (
        "pipedrive",
        r#"{"domain":"minha-empresa","token":"demo-pipedrive-token"}"#,
    ),
    (
        "salesforce",
        r#"{"host":"minha-empresa.my.salesforce.com","client_id":"demo","client_secret":"demo"}"#,
    ),
    ("mailchimp", "demo-mailchimp-key-us6"),
    (
        "zendesk",
        r#"{"subdomain":"minha-empresa","email":"ana@example.com","token":"demo-zendesk-token"}"#,
    ),
    ("intercom", "demo-intercom-token"),
];
/// A person's refresh token at Google.
const DEMO_GOOGLE: &str = r#"{"client_id":"demo","client_secret":"demo","refresh_token":"demo"}"#;
/// The name of Callbell's token among the APIs' secrets.
pub const CALLBELL: &str = "callbell";

/// `secrets.toml`: what `callbell secrets set` keeps and a deploy puts into two secrets of AWS.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Files {
    /// What webhooks are signed with, by connection.
    pub webhooks: Secrets,
    /// Tokens of the systems that are called.
    pub apis: Secrets,
}

/// Why a secrets file cannot be used. No value is repeated.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// It cannot be opened.
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    /// It is no TOML, or has tables other than the two.
    #[error(
        "{path}: {problem}: [webhooks] and [apis] hold name = \"value\" or name = [\"new\", \"old\"]"
    )]
    Malformed {
        /// The file.
        path: String,
        /// The line, without its content.
        problem: String,
    },
}

impl Files {
    /// The demo values of every source, and the stand-in's token.
    pub fn demo() -> Files {
        let mut apis = Secrets::default();
        apis.insert(CALLBELL, Secret::new(DEMO_TOKEN));
        for (name, value) in DEMO_APIS {
            apis.insert(name, Secret::new(value));
        }
        Files {
            webhooks: demo::secrets(),
            apis,
        }
    }

    /// [`Files::demo`], and a demo value for every other secret that the automations name: of their connections
    /// and of what they call.
    pub fn demo_for(automations: &Automations) -> Files {
        let mut files = Files::demo();
        for name in automations.sources.keys() {
            if files.webhooks.get(name).is_empty() {
                files.webhooks.insert(name, demo::secret(name));
            }
        }
        for one in api_secrets(automations) {
            if files.apis.get(&one.name).is_empty() {
                let value = files.demo_value(&one);
                files.apis.insert(one.name, value);
            }
        }
        files
    }

    /// What the stand-in of a system takes.
    fn demo_value(&self, one: &ApiSecret) -> Secret {
        let known = match one.kind {
            SecretKind::SlackHook => "https://hooks.slack.com/services/T0DEMO/B0DEMO/demo",
            SecretKind::SlackBot => "xoxb-demo",
            SecretKind::GoogleSheets => DEMO_GOOGLE,
            SecretKind::Signing | SecretKind::Model | SecretKind::Header => {
                return Secret::new(format!("demo-secret-of-{}", one.name));
            }
            // Another account of a system is its demo account again.
            SecretKind::Crm(crm) => {
                let usual = self.apis.get(crm.as_str()).first();
                return usual
                    .cloned()
                    .unwrap_or_else(|| Secret::new(format!("demo-{}", one.name)));
            }
        };
        Secret::new(known)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn read(path: &Path) -> Result<Files, SecretsError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| SecretsError::Unreadable(name.clone(), error))?;
        toml::from_str(&text).map_err(|error| {
            // The parser's message quotes the line, which is a secret: the number has to do.
            let start = error.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count() + 1;
            SecretsError::Malformed {
                path: name,
                problem: format!("line {line}"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever an example calls, its stand-in is told something.
    #[test]
    fn the_examples_have_a_demo_value_for_each_secret() {
        let mut seen = 0;
        for name in ["shop", "clinic", "crm"] {
            let path = format!("{}/../examples/{name}.toml", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let automations = engine::automations::parse(&text).unwrap();
            let files = Files::demo_for(&automations);
            for one in api_secrets(&automations) {
                assert_eq!(files.apis.get(&one.name).len(), 1, "{name}: {}", one.name);
                seen += 1;
            }
            assert_eq!(files.apis.get(CALLBELL).len(), 1);
        }
        assert!(seen > 10);
    }

    #[test]
    fn a_malformed_file_is_reported_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.toml");
        std::fs::write(
            &path,
            "[webhooks]\nshopify = \"whsec_1\"\nwoo = [\"a\", 5]\n",
        )
        .unwrap();
        let error = Files::read(&path).unwrap_err().to_string();
        assert!(error.contains("line"), "{error}");
        assert!(!error.contains("whsec"), "{error}");
        std::fs::write(
            &path,
            "[webhooks]\nshopify = [\"new\", \"old\"]\n[apis]\ncallbell = \"t\"\n",
        )
        .unwrap();
        let files = Files::read(&path).unwrap();
        assert_eq!(files.webhooks.get("shopify").len(), 2);
        assert_eq!(files.apis.get(CALLBELL).len(), 1);
    }
}
