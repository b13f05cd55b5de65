//! Tables filled in: what exactly is to be written to another system. Pure; nothing of it is logged.
//!
//! Texts are in the default locale of the channel. What is exactly one `{{ … }}` keeps its type in `fields`,
//! `tags`, `columns` and `body`. A blank value never overwrites what is there: records and contacts leave it
//! out.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use shared::event::Event;

use super::contact::{Change, NOTE_CHARS_MAX};
use super::record::{self, Record};
use super::{Table, webhook};
use crate::automations::context::Scope;
use crate::automations::expr::{self, Escape, EvalError};
use crate::automations::locale::Home;
use crate::automations::model::{
    ContactTable, HeaderValue, SheetTable, SlackTable, Text, WebhookTable,
};
use crate::automations::render::{Unfit, is_blank};

/// Where a line for Slack is cut, in characters. Slack takes 40,000, and nobody reads them.
pub const SLACK_CHARS_MAX: usize = 3_000;

/// What is to be done at another system.
#[derive(Clone)]
pub enum Deed {
    /// The person in Callbell.
    Contact(Box<Change>),
    /// A line for Slack.
    Slack {
        /// In Slack's markup.
        text: String,
        /// `#name` or an id.
        channel: Option<String>,
    },
    /// A row of a Google sheet.
    Sheet {
        /// The id in the sheet's address.
        spreadsheet: String,
        /// The tab's name.
        tab: String,
        /// Header → value.
        columns: BTreeMap<String, String>,
        /// The header whose value tells rows apart.
        key: Option<String>,
        /// Never updates a row.
        append: bool,
    },
    /// A request to the user's own system.
    Webhook {
        /// https.
        url: String,
        /// `POST`, `PUT`, `PATCH`.
        method: String,
        /// JSON.
        body: Value,
        /// Name and value.
        headers: Vec<(String, Header)>,
    },
    /// A person's record in a CRM.
    Record(Box<Record>),
}

/// A header's value.
#[derive(Clone)]
pub enum Header {
    /// As it is.
    Text(String),
    /// The value of the API secret of this name.
    Secret(String),
}

impl fmt::Debug for Deed {
    /// What it is alone: the rest is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.system())
    }
}

impl Deed {
    /// The system, as people call it.
    pub fn system(&self) -> &'static str {
        match self {
            Deed::Contact(_) => "Callbell",
            Deed::Slack { .. } => "Slack",
            Deed::Sheet { .. } => "Google Sheets",
            Deed::Webhook { .. } => "webhook",
            Deed::Record(record) => record::name(record.crm),
        }
    }

    /// What would be written: name and value, for people. Secrets by name.
    pub fn lines(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self {
            Deed::Contact(change) => contact_lines(change),
            Deed::Slack { text, channel } => {
                let channel = channel.iter().map(|channel| line("channel", channel));
                channel.chain([line("text", text)]).collect()
            }
            Deed::Sheet { columns, tab, .. } => {
                let columns = columns.iter().map(|(name, value)| line(name, value));
                [line("tab", tab)].into_iter().chain(columns).collect()
            }
            Deed::Webhook {
                url,
                method,
                body,
                headers,
            } => {
                let headers = headers.iter().map(|(name, value)| match value {
                    Header::Text(value) => line(name, value),
                    Header::Secret(secret) => line(name, &format!("secret:{secret}")),
                });
                [line(method, url)]
                    .into_iter()
                    .chain(headers)
                    .chain([line("body", &body.to_string())])
                    .collect()
            }
            Deed::Record(record) => record.lines(),
        }
    }
}

fn contact_lines(change: &Change) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut one = |name: &str, value: Option<&str>| {
        lines.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    };
    one("name", change.name.as_deref());
    one("email", change.email.as_deref());
    one("note", change.note.as_deref());
    let listed = |tags: &[String]| (!tags.is_empty()).then(|| tags.join(", "));
    one("tags", listed(&change.tags).as_deref());
    one("remove_tags", listed(&change.remove_tags).as_deref());
    for (name, value) in &change.fields {
        one(name, Some(&as_text(value)));
    }
    one("assign", change.assign.as_deref());
    one("team", change.team.as_deref());
    one("funnel", change.funnel.as_deref());
    lines
}

/// What a table is filled in from.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    /// What it is about.
    pub event: &'a Event,
    /// The customer's number, E.164.
    pub phone: Option<&'a str>,
    /// Where source and channel are at home.
    pub home: &'a Home<'a>,
    /// The event as fields, with `now`.
    pub scope: &'a Scope,
}

/// Fills a table in. `None`: what speaks to a person, see [`crate::automations::render::message`].
///
/// # Errors
/// [`Unfit`].
pub fn deed(table: Table<'_>, occasion: &Occasion<'_>) -> Result<Option<Deed>, Unfit> {
    let locale = occasion.home.channel_locale();
    let writer = Writer {
        scope: occasion.scope.clone().in_locale(locale),
    };
    Ok(Some(match table {
        Table::Message(_) | Table::Reply(_) => return Ok(None),
        Table::Contact(table) => Deed::Contact(Box::new(writer.contact(table)?)),
        Table::Slack(table) => writer.slack(table)?,
        Table::Sheet(table) => writer.sheet(table)?,
        Table::Webhook(table) => writer.webhook(table, occasion.event)?,
        Table::Record(table) => {
            let customer = &occasion.event.customer;
            Deed::Record(Box::new(Record {
                crm: table.crm,
                match_by: table.match_by.clone(),
                phone: occasion.phone.map(str::to_owned),
                email: customer.email.clone(),
                name: customer.name.clone(),
                fields: writer.fields(&table.fields)?,
                tags: writer.tags("tags", &table.tags)?,
                create: table.create,
                update: table.update,
                list: table.list.clone(),
                status_if_new: table.status_if_new.clone(),
                object: table.object.clone(),
                verified: table.verified,
                account: table.secret.clone(),
            }))
        }
    }))
}

/// Fills in texts of one table.
struct Writer {
    scope: Scope,
}

impl Writer {
    /// A text; `None` where it comes out blank.
    fn text(&self, part: &str, text: Option<&Text>) -> Result<Option<String>, Unfit> {
        let Some(text) = text else { return Ok(None) };
        let written = expr::render(text, &self.scope).map_err(|error| broken(part, &error))?;
        let written = written.trim();
        Ok((!is_blank(written)).then(|| written.to_owned()))
    }

    fn typed(&self, part: &str, text: &Text) -> Result<Value, Unfit> {
        expr::render_typed(text, &self.scope).map_err(|error| broken(part, &error))
    }

    /// Values by name; blank ones are left out.
    fn fields(&self, table: &BTreeMap<String, Text>) -> Result<BTreeMap<String, Value>, Unfit> {
        let mut fields = BTreeMap::new();
        for (name, text) in table {
            if let Some(value) = kept(self.typed(name, text)?) {
                fields.insert(name.clone(), value);
            }
        }
        Ok(fields)
    }

    /// Tags, each once; a list is several.
    fn tags(&self, part: &str, texts: &[Text]) -> Result<Vec<String>, Unfit> {
        let mut tags: Vec<String> = Vec::new();
        for text in texts {
            let found = match kept(self.typed(part, text)?) {
                None => continue,
                Some(Value::Array(list)) => list.iter().map(as_text).collect(),
                Some(one) => vec![as_text(&one)],
            };
            for tag in found {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        Ok(tags)
    }

    fn contact(&self, table: &ContactTable) -> Result<Change, Unfit> {
        let note = self.text("note", table.note.as_ref())?;
        let length = note.as_ref().map_or(0, |note| note.chars().count());
        if length > NOTE_CHARS_MAX {
            return Err(Unfit::Dead(format!(
                "the note has {length} characters, Callbell takes {NOTE_CHARS_MAX}"
            )));
        }
        Ok(Change {
            name: self.text("name", table.name.as_ref())?,
            email: self.text("email", table.email.as_ref())?,
            note,
            tags: self.tags("tags", &table.tags)?,
            remove_tags: self.tags("remove_tags", &table.remove_tags)?,
            fields: self.fields(&table.fields)?,
            assign: table.assign.clone(),
            team: table.team.clone(),
            funnel: table.funnel.clone(),
            bot: table.bot,
            conversation: table.conversation,
            create: table.create,
            update: table.update,
        })
    }

    fn slack(&self, table: &SlackTable) -> Result<Deed, Unfit> {
        let text = expr::render_escaped(&table.text, &self.scope, Escape::Slack);
        let text = text.map_err(|error| broken("text", &error))?;
        let text = text.trim();
        if is_blank(text) {
            return Err(Unfit::Skip(format!("text is blank: {}", table.text.0)));
        }
        Ok(Deed::Slack {
            text: cut(text),
            channel: table.channel.clone(),
        })
    }

    fn sheet(&self, table: &SheetTable) -> Result<Deed, Unfit> {
        let mut columns = BTreeMap::new();
        for (header, text) in &table.columns {
            columns.insert(header.clone(), as_text(&self.typed(header, text)?));
        }
        let key = table.key.as_ref().filter(|_| !table.append);
        if let Some((header, text)) = key.and_then(|key| table.columns.get_key_value(key))
            && columns.get(header).is_none_or(|value| is_blank(value))
        {
            return Err(Unfit::Skip(format!("{header} is blank: {}", text.0)));
        }
        Ok(Deed::Sheet {
            spreadsheet: table.spreadsheet.clone(),
            tab: table.tab.clone(),
            columns,
            key: table.key.clone(),
            append: table.append,
        })
    }

    fn webhook(&self, table: &WebhookTable, event: &Event) -> Result<Deed, Unfit> {
        let url = self.text("url", Some(&table.url))?.unwrap_or_default();
        if host(&url) != host(&table.url.0) {
            let why = "url: a value changed its host, which has to be written out";
            return Err(Unfit::Dead(why.to_owned()));
        }
        let body = match &table.body {
            None => webhook::whole(event),
            Some(body) => {
                let typed = |(name, text)| Ok((String::clone(name), self.typed(name, text)?));
                Value::Object(body.iter().map(typed).collect::<Result<_, Unfit>>()?)
            }
        };
        let mut headers = Vec::new();
        for (name, value) in &table.headers {
            let value = match value {
                HeaderValue::Secret(secret) => Header::Secret(secret.clone()),
                HeaderValue::Text(text) => match self.text(name, Some(text))? {
                    Some(text) => Header::Text(text),
                    None => continue,
                },
            };
            headers.push((name.clone(), value));
        }
        Ok(Deed::Webhook {
            url,
            method: table.method.clone(),
            body,
            headers,
        })
    }
}

fn broken(part: &str, error: &EvalError) -> Unfit {
    Unfit::Dead(format!("{part}: {error}"))
}

/// The scheme and host of an address, as far as its first `/` behind them. Of one that a value may still
/// change there, nothing.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest.get(..end)?;
    (!host.is_empty() && !host.contains(['{', '}', '@'])).then_some(host)
}

/// What is left of a value without what is blank in it: a text, a number, a truth, or a list of texts.
fn kept(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => {
            let text = text.trim();
            (!is_blank(text)).then(|| Value::from(text))
        }
        Value::Array(list) => {
            let texts: Vec<Value> = list
                .into_iter()
                .filter_map(kept)
                .map(|item| Value::from(as_text(&item)))
                .collect();
            (!texts.is_empty()).then_some(Value::Array(texts))
        }
        Value::Object(map) => {
            (!map.is_empty()).then(|| Value::from(Value::Object(map).to_string()))
        }
        other @ (Value::Bool(_) | Value::Number(_)) => Some(other),
    }
}

/// A value as a person reads it.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(as_text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// At most [`SLACK_CHARS_MAX`] characters, and no half of an escaped one.
fn cut(text: &str) -> String {
    if text.chars().count() <= SLACK_CHARS_MAX {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(SLACK_CHARS_MAX - 1).collect();
    if let Some(begun) = kept.rfind('&')
        && !kept.get(begun..).unwrap_or_default().contains(';')
    {
        kept.truncate(begun);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automations::model::Crm;
    use crate::automations::parse;
    use crate::automations::testing::full_order;
    use serde_json::json;

    const HEAD: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"
"#;

    /// What the table `kind.x` of a file makes of an order whose customer's name is `name`.
    fn filled(
        kind: crate::automations::model::ActionKind,
        file: &str,
        name: &str,
    ) -> Result<Deed, Unfit> {
        let file = format!(
            "{HEAD}\n[automation.a]\non = \"order.paid\"\n{} = \"x\"\n\n[{}.x]\n{file}",
            kind.as_str(),
            kind.as_str()
        );
        let automations = parse(&file).unwrap_or_else(|problems| panic!("{problems:?}"));
        let mut event = full_order();
        event.customer.name = Some(name.to_owned());
        let home = Home::of(&automations, &event, None);
        let now = "2026-11-22T15:00:00Z".parse().unwrap();
        let scope = Scope::new(&automations, &home, &event).at(now);
        let action = crate::automations::model::Action {
            kind,
            name: "x".to_owned(),
        };
        let table = Table::of(&automations, &action).unwrap();
        let occasion = Occasion {
            event: &event,
            phone: Some("+5511987654321"),
            home: &home,
            scope: &scope,
        };
        deed(table, &occasion).map(Option::unwrap)
    }

    use crate::automations::model::ActionKind;

    fn slack_text(text: &str, name: &str) -> String {
        match filled(ActionKind::Slack, &format!("text = {text:?}"), name).unwrap() {
            Deed::Slack { text, .. } => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_customer_types_calls_nobody_in_slack() {
        let rows = [
            (
                "<!here> {{ customer.name }}",
                "<!channel> & co",
                "<!here> &lt;!channel&gt; &amp; co",
            ),
            ("{{ '<!here>' }}", "x", "&lt;!here&gt;"),
            ("{{ customer.name ~ '<b>' }}", "<a>", "&lt;a&gt;&lt;b&gt;"),
            (
                "{% set a %}<!here> {{ customer.name }}{% endset %}{{ a }}!",
                "<a>",
                "<!here> &lt;a&gt;!",
            ),
            (
                "{% for tag in customer.tags %}<{{ tag }}>{% endfor %}",
                "x",
                "<vip>",
            ),
            ("{{ [customer.name] }}", "<a>", "['&lt;a&gt;']"),
            (
                "{% if customer.name == '<a>' %}yes{% endif %}",
                "<a>",
                "yes",
            ),
            ("{{ order.total | money }}", "x", "R$\u{a0}129,90"),
        ];
        for (text, name, expected) in rows {
            assert_eq!(slack_text(text, name), expected, "{text}");
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = slack_text("{{ customer.name }}", &"é".repeat(3_001));
        assert_eq!(long.chars().count(), SLACK_CHARS_MAX);
        assert!(long.ends_with("é…"));
        let escaped = slack_text("{{ customer.name }}", &"<".repeat(3_001));
        assert!(escaped.ends_with("&lt;…"), "{escaped}");
        assert!(escaped.chars().count() <= SLACK_CHARS_MAX);
        assert_eq!(
            slack_text("{{ customer.name }}", &"a".repeat(3_000)).len(),
            3_000
        );
    }

    #[test]
    fn one_value_keeps_its_type_and_blank_ones_are_left_out() {
        let file = r#"
fields.total   = "{{ order.total }}"
fields.items   = "{{ order.item_count }}"
fields.first   = " {{ order.is_first }} "
fields.tags    = "{{ customer.tags }}"
fields.when    = "{{ order.created_at }}"
fields.words   = "{{ order.item_count }} items"
fields.blank   = "{{ customer.name }}"
fields.absent  = "{{ order.attributes.none }}"
fields.spaces  = "  "
fields.nothing = "{{ [] }}"
tags           = ["lead", "{{ customer.tags }}", "{{ order.attributes.none }}", "lead"]
"#;
        let Ok(Deed::Record(record)) = filled(ActionKind::Record(Crm::Zendesk), file, " ") else {
            panic!("no record")
        };
        let expected = json!({
            "total": 129.9, "items": 6, "first": true, "tags": ["vip"], "when": "2026-11-21T14:30:00Z",
            "words": "6 items",
        });
        assert_eq!(json!(record.fields), expected);
        assert_eq!(record.tags, ["lead", "vip"]);
        assert_eq!(record.phone.as_deref(), Some("+5511987654321"));
    }

    #[test]
    fn a_contact_leaves_blank_texts_as_they_are() {
        let file = r#"
name   = "{{ customer.name }}"
note   = "{{ order.attributes.none }}"
tags   = ["a"]
fields = { Interesses = "{{ customer.tags }}", Cidade = "{{ order.attributes.cidade }}" }
"#;
        let Ok(Deed::Contact(change)) = filled(ActionKind::Contact, file, "Maria") else {
            panic!("no contact")
        };
        assert_eq!(
            (change.name.as_deref(), &change.note),
            (Some("Maria"), &None)
        );
        assert_eq!(json!(change.fields), json!({"Interesses": ["vip"]}));
        let long = r#"note = "{{ customer.name }}""#;
        let refused = filled(ActionKind::Contact, long, &"n".repeat(1_001)).unwrap_err();
        let why = "the note has 1001 characters, Callbell takes 1000";
        assert_eq!(refused, Unfit::Dead(why.to_owned()));
    }

    #[test]
    fn a_row_needs_its_key_and_lists_read_as_people_write_them() {
        let file = r#"
spreadsheet = "s1"
tab         = "Contatos"
key         = "Nome"
columns     = { "Nome" = "{{ customer.name }}", "Tags" = "{{ customer.tags }}", "Total" = "{{ order.total }}" }
"#;
        let Ok(Deed::Sheet { columns, .. }) = filled(ActionKind::Sheet, file, "Maria") else {
            panic!("no row")
        };
        assert_eq!(
            json!(columns),
            json!({"Nome": "Maria", "Tags": "vip", "Total": "129.9"})
        );
        let refused = filled(ActionKind::Sheet, file, " ").unwrap_err();
        assert_eq!(
            refused,
            Unfit::Skip("Nome is blank: {{ customer.name }}".to_owned())
        );
    }

    #[test]
    fn a_value_does_not_choose_where_a_webhook_goes() {
        let webhook = |url: &str, name: &str| {
            let file = format!(
                "url = \"{url}\"\nbody = {{ total = \"{{{{ order.total }}}}\" }}\nheaders = {{ x-key = \"secret:k\", x-who = \"{{{{ customer.name }}}}\" }}"
            );
            filled(ActionKind::Webhook, &file, name)
        };
        let Ok(Deed::Webhook {
            url, body, headers, ..
        }) = webhook("https://erp.example.com/{{ customer.name }}", "a")
        else {
            panic!("no webhook")
        };
        assert_eq!(url, "https://erp.example.com/a");
        assert_eq!(body, json!({"total": 129.9}));
        assert_eq!(headers.len(), 2);
        for (text, expected) in [
            ("https://erp.example.com/a", Some("erp.example.com")),
            ("https://erp.example.com:8443", Some("erp.example.com:8443")),
            ("https://erp.example.com{{ x }}/a", None),
            ("https://a@b/", None),
            ("http://a/", None),
            ("https:///a", None),
        ] {
            assert_eq!(host(text), expected, "{text}");
        }
    }

    #[test]
    fn without_a_body_a_webhook_carries_the_event() {
        let file = "url = \"https://erp.example.com/\"";
        let Ok(Deed::Webhook { body, .. }) = filled(ActionKind::Webhook, file, "Maria") else {
            panic!("no webhook")
        };
        assert_eq!(body["order"]["total"], 129.9);
        assert_eq!(body["customer"]["name"], "Maria");
        assert_eq!(body.get("subject"), None);
    }
}
