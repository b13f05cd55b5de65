//! `[contact.x]`, `[slack.x]`, `[sheet.x]`, `[webhook.x]`, `[hubspot.x]` … `[intercom.x]`, `[opt_out]`.

use std::collections::BTreeMap;
use std::ops::Range;

use reqwest::Url;
use toml::de::{DeTable, DeValue};

use super::super::model::{
    Bot, ContactTable, Crm, HeaderValue, MatchBy, OpenOrClose, OptOut, RecordTable, SheetTable,
    SlackTable, Text, WebhookTable,
};
use super::super::{spec, syntax};
use super::message::{by_locale, email, text};
use super::reader::{Ctx, Entry, Node, Value, name_problem};

/// Most characters of a header's name.
const HEADER_CHARS_MAX: usize = 100;
/// Headers that are ours to write.
const OWN_HEADERS: [&str; 9] = [
    "host",
    "upgrade",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

pub(super) fn contact<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> ContactTable {
    node.unknown_keys(ctx, |_| false, &[]);
    let note = text_of(ctx, node, "note");
    if let Some(Text(raw)) = &note
        && syntax::is_literal(raw)
        && raw.chars().count() > spec::NOTE_CHARS_MAX
    {
        let span = node.span_of("note");
        let most = spec::NOTE_CHARS_MAX;
        ctx.error(&span, format!("note is longer than {most} characters"));
    }
    let (create, update) = create_or_update(ctx, node);
    ContactTable {
        name: text_of(ctx, node, "name"),
        email: text_of(ctx, node, "email"),
        note,
        tags: texts_of(ctx, node, "tags"),
        remove_tags: texts_of(ctx, node, "remove_tags"),
        fields: table_of(ctx, node, "fields"),
        assign: ctx.parsed(node, "assign", email),
        team: ctx.parsed(node, "team", |text| not_blank("team", text)),
        bot: bot(ctx, node),
        funnel: ctx.parsed(node, "funnel", |text| not_blank("funnel", text)),
        conversation: ctx.word(node, "conversation").map(|word| match word {
            "open" => OpenOrClose::Open,
            _ => OpenOrClose::Close,
        }),
        create,
        update,
    }
}

pub(super) fn slack<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> SlackTable {
    node.unknown_keys(ctx, |_| false, &[]);
    let channel = ctx.parsed(node, "channel", slack_channel);
    let usual = if node.has("channel") {
        "slack-bot"
    } else {
        "slack"
    };
    SlackTable {
        text: text_of(ctx, node, "text").unwrap_or_default(),
        channel,
        secret: secret(ctx, node, usual),
    }
}

fn slack_channel(text: &str) -> Result<String, String> {
    let name = text.strip_prefix('#').unwrap_or(text);
    if name.is_empty() || name.contains(char::is_whitespace) || name.contains(['{', '#', '@']) {
        return Err(format!(
            "\"{text}\" is no channel of Slack: channel = \"#vendas\", or its id"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn sheet<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> SheetTable {
    node.unknown_keys(ctx, |_| false, &[]);
    let columns = table_of(ctx, node, "columns");
    let is_known = |name: &str| columns.contains_key(name);
    let key = ctx.parsed(node, "key", |text| match is_known(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "key is one of the columns, and there is none called \"{text}\""
        )),
    });
    let append = match ctx.word(node, "mode") {
        Some("append") => true,
        Some(_) if !node.has("key") => {
            let span = node.span_of("mode");
            ctx.error(
                &span,
                "mode = \"update\" needs a key: the header that tells rows apart",
            );
            false
        }
        _ => false,
    };
    SheetTable {
        spreadsheet: ctx
            .parsed(node, "spreadsheet", spreadsheet)
            .unwrap_or_default(),
        tab: ctx
            .parsed(node, "tab", |text| not_blank("tab", text))
            .unwrap_or_default(),
        columns,
        key,
        append,
        secret: secret(ctx, node, "google-sheets"),
    }
}

/// The id, also out of the sheet's whole address.
fn spreadsheet(text: &str) -> Result<String, String> {
    let id = match text.split_once("/d/") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => text,
    };
    let right = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.is_empty() || !id.chars().all(right) {
        return Err(format!(
            "\"{text}\" is no id of a sheet: it stands in its address, between /d/ and /edit"
        ));
    }
    Ok(id.to_owned())
}

pub(super) fn webhook<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> WebhookTable {
    node.unknown_keys(ctx, |_| false, &[]);
    let url = text_of(ctx, node, "url");
    if let Some(Text(raw)) = &url
        && let Err(said) = outside(raw)
    {
        let span = node.span_of("url");
        ctx.error(&span, format!("url {said}"));
    }
    let body = node.has("body").then(|| table_of(ctx, node, "body"));
    WebhookTable {
        url: url.unwrap_or_default(),
        method: ctx.word(node, "method").unwrap_or("POST").to_owned(),
        body,
        headers: headers(ctx, node),
        secret: secret(ctx, node, own_name(node)),
    }
}

fn headers<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> BTreeMap<String, HeaderValue> {
    let mut found = BTreeMap::new();
    for (name, span, text) in table_entries(ctx, node, "headers") {
        let lower = name.to_ascii_lowercase();
        let right = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > HEADER_CHARS_MAX || !name.chars().all(right) {
            ctx.error(&span, format!("\"{name}\" is no name of a header"));
            continue;
        }
        if OWN_HEADERS.contains(&lower.as_str()) {
            ctx.error(&span, format!("the header {lower} is written by us"));
            continue;
        }
        let value = match text.0.strip_prefix("secret:") {
            None => HeaderValue::Text(text),
            Some(secret) => match secret_name(secret) {
                Ok(secret) => HeaderValue::Secret(secret),
                Err(said) => {
                    ctx.error(&span, said);
                    continue;
                }
            },
        };
        if found.insert(lower.clone(), value).is_some() {
            ctx.error(&span, format!("the header {lower} twice"));
        }
    }
    found
}

pub(super) fn record<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, crm: Crm) -> RecordTable {
    node.unknown_keys(ctx, |_| false, &[]);
    let (create, update) = create_or_update(ctx, node);
    RecordTable {
        crm,
        match_by: match_by(ctx, node, crm),
        fields: table_of(ctx, node, "fields"),
        tags: texts_of(ctx, node, "tags"),
        create,
        update,
        list: ctx.parsed(node, "list", |text| not_blank("list", text)),
        status_if_new: ctx
            .word(node, "status_if_new")
            .unwrap_or("transactional")
            .to_owned(),
        object: ctx.word(node, "object").unwrap_or("Contact").to_owned(),
        verified: ctx.bool(node, "verified").unwrap_or(false),
        secret: secret(ctx, node, crm.as_str()),
    }
}

fn match_by<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, crm: Crm) -> Vec<MatchBy> {
    let usual = match crm {
        Crm::Mailchimp => vec![MatchBy::Email],
        _ => vec![MatchBy::Phone, MatchBy::Email],
    };
    let Some(entry) = node.get("match") else {
        return usual;
    };
    let mut found = Vec::new();
    for (text, span) in ctx.strings(&entry, false) {
        let by = match text {
            "phone" if crm == Crm::Mailchimp => {
                ctx.error(
                    &span,
                    "Mailchimp finds people by their e-mail address alone: match = [\"email\"]",
                );
                continue;
            }
            "phone" => MatchBy::Phone,
            "email" => MatchBy::Email,
            other => {
                let message =
                    format!("match is a list of \"phone\" and \"email\", not \"{other}\"");
                ctx.error(&span, message);
                continue;
            }
        };
        if found.contains(&by) {
            ctx.error(&span, format!("{text} twice"));
        } else {
            found.push(by);
        }
    }
    found
}

/// `[opt_out]`, which has no name.
pub(super) fn opt_out<'t>(ctx: &mut Ctx<'t>, value: Option<&Value<'t>>) -> OptOut {
    let Some(value) = value else {
        return OptOut::default();
    };
    let empty = DeTable::new();
    let table = match value.get_ref() {
        DeValue::Table(table) => table,
        _ => {
            ctx.error(&value.span(), "opt_out is a table: write [opt_out]");
            &empty
        }
    };
    let node = Node {
        spec: &spec::OPT_OUT,
        path: "opt_out".to_owned(),
        header: value.span(),
        table,
    };
    node.unknown_keys(ctx, |_| false, &[]);
    OptOut {
        words: by_locale(ctx, &node, "words", plains),
        back: by_locale(ctx, &node, "back", plains),
        confirm: ctx.name_of(&node, "confirm"),
        tag: ctx.parsed(&node, "tag", |text| not_blank("tag", text)),
        service_goes_on: ctx.word(&node, "service") == Some("send"),
    }
}

/// Words, none of them blank.
pub(super) fn plains<'t>(ctx: &mut Ctx<'t>, entry: &Entry<'_, 't>) -> Option<Vec<String>> {
    let before = ctx.diagnostics.len();
    let words = ctx.strings(entry, false);
    let name = entry.key.name;
    for (word, span) in &words {
        if word.trim().is_empty() {
            ctx.error(span, format!("{name} has a blank word"));
        }
    }
    if words.is_empty() && ctx.diagnostics.len() == before {
        let example = entry.key.example;
        ctx.error(
            &entry.span(),
            format!("{name} is empty: {name} = {example}"),
        );
    }
    let words = words.into_iter().map(|(word, _)| word.trim().to_owned());
    (ctx.diagnostics.len() == before).then(|| words.collect())
}

fn create_or_update<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> (bool, bool) {
    let create = ctx.bool(node, "create").unwrap_or(true);
    let update = ctx.bool(node, "update").unwrap_or(true);
    if !create && !update {
        let message = format!(
            "{} does nothing: create and update are both false",
            node.path
        );
        ctx.error(&node.header, message);
    }
    (create, update)
}

pub(super) fn bot<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>) -> Option<Bot> {
    ctx.word(node, "bot").map(|word| match word {
        "start" => Bot::Start,
        _ => Bot::End,
    })
}

/// `team is blank: leave it out, or name a team`, for every key that names something elsewhere.
pub(super) fn not_blank(key: &str, text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err(format!("{key} is blank: leave it out, or name a {key}"))
    } else {
        Ok(text.to_owned())
    }
}

/// The table's own name: `erp` of `webhook.erp`.
pub(super) fn own_name<'n>(node: &'n Node<'_, '_>) -> &'n str {
    node.path.split_once('.').map_or("", |(_, name)| name)
}

/// `secret`, or what goes without saying.
pub(super) fn secret<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, usual: &str) -> String {
    ctx.parsed(node, "secret", secret_name)
        .unwrap_or_else(|| usual.to_owned())
}

/// The name of a secret. A secret itself must not stand in this file.
fn secret_name(text: &str) -> Result<String, String> {
    match name_problem("secret", text) {
        None => Ok(text.to_owned()),
        Some(_) => Err(
            "secret is the name of an API secret, lower-case letters, digits and -: its value goes into secrets.toml, or callbell secrets set NAME --api"
                .to_owned(),
        ),
    }
}

pub(super) fn text_of<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    key: &'static str,
) -> Option<Text> {
    node.get(key).and_then(|entry| text(ctx, &entry))
}

/// A list of texts; those that cannot be read are left out.
fn texts_of<'t>(ctx: &mut Ctx<'t>, node: &Node<'_, 't>, key: &'static str) -> Vec<Text> {
    let Some(entry) = node.get(key) else {
        return Vec::new();
    };
    let DeValue::Array(list) = entry.value.get_ref() else {
        ctx.wrong_type(entry.key, entry.value);
        return Vec::new();
    };
    let mut found = Vec::with_capacity(list.len());
    for value in list.iter() {
        let inner = Entry {
            key: entry.key,
            // Numbered as the model has them.
            path: format!("{}[{}]", entry.path, found.len()),
            value,
        };
        let Some(one) = text(ctx, &inner) else {
            continue;
        };
        if one.0.trim().is_empty() {
            ctx.error(&value.span(), format!("{key} has a blank one"));
        }
        found.push(one);
    }
    found
}

/// A table of texts.
fn table_of<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    key: &'static str,
) -> BTreeMap<String, Text> {
    let entries = table_entries(ctx, node, key);
    entries
        .into_iter()
        .map(|(name, _, text)| (name, text))
        .collect()
}

/// The names and texts of a table, and where each name stands.
fn table_entries<'t>(
    ctx: &mut Ctx<'t>,
    node: &Node<'_, 't>,
    key: &'static str,
) -> Vec<(String, Range<usize>, Text)> {
    let Some(entry) = node.get(key) else {
        return Vec::new();
    };
    let Some(table) = entry.value.get_ref().as_table() else {
        ctx.wrong_type(entry.key, entry.value);
        return Vec::new();
    };
    if table.is_empty() {
        let example = entry.key.example;
        ctx.error(&entry.span(), format!("{key} is empty: {key} = {example}"));
    }
    let mut found = Vec::with_capacity(table.len());
    for (name, value) in table {
        let name_text: &str = name.get_ref();
        if name_text.trim().is_empty() {
            ctx.error(&name.span(), format!("{key} has a blank name"));
            continue;
        }
        let inner = Entry {
            key: entry.key,
            path: format!("{}.{name_text}", entry.path),
            value,
        };
        if let Some(one) = text(ctx, &inner) {
            found.push((name_text.to_owned(), name.span(), one));
        }
    }
    found
}

/// Whether an address leads out into the world: https, its host written out, and neither this machine nor
/// a private network. What the host resolves to is looked at when it is called.
///
/// # Errors
/// What is wrong, to stand behind the key's name.
pub(super) fn outside(text: &str) -> Result<(), String> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("is no https address: it starts with https://".to_owned());
    };
    if !scheme.eq_ignore_ascii_case("https") {
        return Err("is no https address: it starts with https://".to_owned());
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('{') {
        return Err(
            "has a computed host: write the host out, and {{ … }} behind its first /".to_owned(),
        );
    }
    if host.contains('@') {
        return Err("carries a user: put what proves us into headers, as secret:NAME".to_owned());
    }
    let host = Url::parse(&format!("https://{host}/"))
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned));
    let Some(host) = host else {
        return Err("has no host: https://erp.example.com/hooks".to_owned());
    };
    match is_private(&host) {
        true => Err(format!(
            "leads to the private address {host}: only what everybody can reach is called"
        )),
        false => Ok(()),
    }
}

/// Whether a host is a name or number of this machine or of a private network, as far as that can be seen.
fn is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return is_private_address(address);
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    let inner = [".local", ".localhost", ".internal", ".lan", ".home.arpa"];
    !name.contains('.') || inner.iter().any(|end| name.ends_with(end))
}

fn is_private_address(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            let shared = first == 100 && (64..128).contains(&second);
            four.is_private()
                || four.is_loopback()
                || four.is_link_local()
                || four.is_multicast()
                || four.is_broadcast()
                || four.is_unspecified()
                || four.is_documentation()
                || first == 0
                || first >= 240
                || shared
        }
        std::net::IpAddr::V6(six) => {
            let inner = six.to_ipv4_mapped().or_else(|| six.to_ipv4());
            six.is_loopback()
                || six.is_unspecified()
                || six.is_multicast()
                || six.is_unique_local()
                || six.is_unicast_link_local()
                || inner.is_some_and(|four| is_private_address(four.into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lead_out_into_the_world() {
        for right in [
            "https://erp.example.com",
            "https://erp.example.com/hooks/{{ customer.id }}",
            "HTTPS://erp.example.com:8443/x?y={{ order.id }}",
            "https://8.8.8.8/x",
            "https://[2606:4700::1111]/",
        ] {
            assert_eq!(outside(right), Ok(()), "{right}");
        }
        for (wrong, part) in [
            ("http://erp.example.com/", "https://"),
            ("erp.example.com", "https://"),
            ("{{ order.status_url }}", "https://"),
            ("https://{{ order.id }}.example.com/", "computed host"),
            ("https://erp.example.com{{ order.id }}/x", "computed host"),
            ("https://user:pass@example.com/", "carries a user"),
            ("https:///x", "no host"),
            ("https://localhost/x", "private"),
            ("https://erp/x", "private"),
            ("https://erp.internal./x", "private"),
            ("https://127.0.0.1/x", "private"),
            ("https://2130706433/x", "private"),
            ("https://0x7f.1/x", "private"),
            ("https://10.1.2.3/x", "private"),
            ("https://172.20.0.1/x", "private"),
            ("https://192.168.1.1:443/x", "private"),
            ("https://169.254.169.254/latest", "private"),
            ("https://100.100.0.1/x", "private"),
            ("https://[::1]/x", "private"),
            ("https://[fd00::1]/x", "private"),
            ("https://[::ffff:10.0.0.1]/x", "private"),
        ] {
            let said = outside(wrong).expect_err(wrong);
            assert!(said.contains(part), "{wrong}: {said}");
        }
    }

    #[test]
    fn a_sheet_is_found_by_its_id_or_its_address() {
        let id = "1AbC-dE_f";
        let address = format!("https://docs.google.com/spreadsheets/d/{id}/edit#gid=0");
        assert_eq!(spreadsheet(id).as_deref(), Ok(id));
        assert_eq!(spreadsheet(&address).as_deref(), Ok(id));
        assert!(spreadsheet("minha planilha").is_err());
        assert!(spreadsheet("").is_err());
    }
}
