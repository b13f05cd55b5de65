//! Which API secrets a file needs, and what each of them has to be.

use super::model::{Automations, BackendKind, Crm, HeaderValue, RecordTable};

/// An API secret that a table names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSecret {
    /// Its name in `[apis]` of secrets.toml: `slack`.
    pub name: String,
    /// The table that needs it: `slack.ops`.
    pub table: String,
    /// What it has to be.
    pub kind: SecretKind,
}

/// What an API secret has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// The address of an incoming webhook of Slack.
    SlackHook,
    /// The token of a bot of Slack.
    SlackBot,
    /// A service account of Google, or the refresh token of a person.
    GoogleSheets,
    /// What signs requests to the user's own system.
    Signing,
    /// The token of an OpenAI-compatible endpoint.
    Model,
    /// The value of a header, as it is.
    Header,
    /// What a system that keeps records of people wants.
    Crm(Crm),
}

/// Every API secret that the file's tables name, by table; Callbell's own token is none of them.
pub fn api_secrets(automations: &Automations) -> Vec<ApiSecret> {
    let mut all = Vec::new();
    let mut need = |name: &str, table: String, kind: SecretKind| {
        all.push(ApiSecret {
            name: name.to_owned(),
            table,
            kind,
        });
    };
    for (name, one) in &automations.replies {
        if let Some(backend) = &one.backend {
            let kind = match backend.kind {
                BackendKind::Http => SecretKind::Signing,
                BackendKind::Ai => SecretKind::Model,
            };
            need(&backend.secret, format!("reply.{name}"), kind);
        }
    }
    for (name, one) in &automations.slacks {
        let kind = match one.channel {
            Some(_) => SecretKind::SlackBot,
            None => SecretKind::SlackHook,
        };
        need(&one.secret, format!("slack.{name}"), kind);
    }
    for (name, one) in &automations.sheets {
        need(
            &one.secret,
            format!("sheet.{name}"),
            SecretKind::GoogleSheets,
        );
    }
    for (name, one) in &automations.webhooks {
        let table = format!("webhook.{name}");
        for value in one.headers.values() {
            if let HeaderValue::Secret(secret) = value {
                need(secret, table.clone(), SecretKind::Header);
            }
        }
        need(&one.secret, table, SecretKind::Signing);
    }
    for ((crm, name), RecordTable { secret, .. }) in &automations.records {
        let table = format!("{}.{name}", crm.as_str());
        need(secret, table, SecretKind::Crm(*crm));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn every_table_that_calls_somebody_names_its_secret() {
        let text = r#"
[reply.ai]
backend = "ai"
url = "https://api.openai.com/v1/chat/completions"
model = "m"
[reply.bot]
backend = "http"
url = "https://bot.example.com/"
secret = "bot-key"
[reply.rules]
rules = [{ words = ["a"], ignore = true }]
[slack.hook]
text = "Oi"
[slack.bot]
text = "Oi"
channel = "\u0023ops"
[slack.other]
text = "Oi"
secret = "slack-vendas"
[sheet.s]
spreadsheet = "a"
tab = "b"
columns = { A = "x" }
[webhook.erp]
url = "https://erp.example.com/"
headers = { authorization = "secret:erp-token", x-a = "b" }
[zendesk.z]
[mailchimp.m]
list = "a"
secret = "mc"
"#;
        let file =
            parse(text).unwrap_or_else(|wrong| panic!("{}", super::super::listing("x", &wrong)));
        let found: Vec<_> = api_secrets(&file)
            .into_iter()
            .map(|one| (one.name, one.table, one.kind))
            .collect();
        let expected = [
            ("ai", "reply.ai", SecretKind::Model),
            ("bot-key", "reply.bot", SecretKind::Signing),
            ("slack-bot", "slack.bot", SecretKind::SlackBot),
            ("slack", "slack.hook", SecretKind::SlackHook),
            ("slack-vendas", "slack.other", SecretKind::SlackHook),
            ("google-sheets", "sheet.s", SecretKind::GoogleSheets),
            ("erp-token", "webhook.erp", SecretKind::Header),
            ("erp", "webhook.erp", SecretKind::Signing),
            ("mc", "mailchimp.m", SecretKind::Crm(Crm::Mailchimp)),
            ("zendesk", "zendesk.z", SecretKind::Crm(Crm::Zendesk)),
        ];
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, table, kind)| (name.to_owned(), table.to_owned(), kind))
            .collect();
        assert_eq!(found, expected);
    }
}
