//! The records of an Outbound Message, and of the JSON in its place.

use roxmltree::{Document, Error, Node, ParsingOptions};
use serde_json::Value;

use super::super::{Unreadable, read};
use crate::event::FreeMap;

/// Most records of one body: as many as Salesforce puts into a message.
const RECORDS_MAX: usize = 100;
/// Most nodes of a document: records of a thousand fields and the blanks between them.
const NODES_MAX: u32 = 250_000;
/// Characters of an id in its short form, which case tells apart; three more say that case again.
const SHORT_ID_CHARS: usize = 15;
const LONG_ID_CHARS: usize = 18;
/// Bits of case that one character of a long id stands for.
const CASE_BITS: usize = 5;
/// The namespace of the envelope's content.
const OUTBOUND: &str = "http://soap.sforce.com/2005/09/outbound";
/// Records' namespaces begin so: `urn:sobject.enterprise.soap.sforce.com`.
const SOBJECT: &str = "urn:sobject.";
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Where an organisation's own pages are.
const DOMAIN: &str = ".salesforce.com";

/// One record as it was sent.
pub(super) struct Record {
    /// `Contact`.
    pub(super) object: String,
    /// As it came: 15 or 18 characters.
    pub(super) id: Option<String>,
    /// 15 characters.
    pub(super) organisation: Option<String>,
    /// Its page.
    pub(super) url: Option<String>,
    /// By Salesforce's names; what is null or empty is absent.
    pub(super) fields: FreeMap,
}

/// Whether a body is an Outbound Message, or would be one.
pub(super) fn is_xml(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    body.trim_ascii_start().starts_with(b"<")
}

/// Every record of a body; none where it is something else. A notification about a record that was deleted
/// meanwhile has no data, and is none.
///
/// # Errors
/// It is neither XML nor JSON, or holds more records than a message does.
pub(super) fn read(body: &[u8]) -> Result<Vec<Record>, Unreadable> {
    let mut records = if is_xml(body) {
        of_xml(body)?
    } else {
        of_json(&read::json(body)?)
    };
    if records.len() > RECORDS_MAX {
        return Err(Unreadable {
            path: "body".to_owned(),
            problem: format!("expected at most {RECORDS_MAX} records"),
        });
    }
    records.retain(|record| !record.fields.is_empty());
    Ok(records)
}

/// An id of 18 characters, whatever its form: the last three say in which case the first 15 are.
/// <https://help.salesforce.com/s/articleView?id=000385585>
pub(super) fn long_id(id: &str) -> Option<String> {
    let letters = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match id.len() {
        LONG_ID_CHARS if letters => Some(id.to_owned()),
        SHORT_ID_CHARS if letters => {
            let mut long = id.to_owned();
            for part in id.as_bytes().chunks(CASE_BITS) {
                let bits = part.iter().rev().fold(0_u32, |bits, byte| {
                    (bits << 1) | u32::from(byte.is_ascii_uppercase())
                });
                long.extend(
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
                        .chars()
                        .nth(bits as usize),
                );
            }
            Some(long)
        }
        _ => None,
    }
}

/// The first 15 characters of an organisation's id.
pub(super) fn organisation(id: &str) -> Option<&str> {
    long_id(id).and(id.get(..SHORT_ID_CHARS))
}

fn of_xml(body: &[u8]) -> Result<Vec<Record>, Unreadable> {
    let unreadable = |problem: String| Unreadable {
        path: "body".to_owned(),
        problem,
    };
    let text = std::str::from_utf8(body).map_err(|_| unreadable("expected UTF-8".to_owned()))?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    // The parser's own words quote the document.
    let document = Document::parse_with_options(text, options).map_err(|error| match error {
        Error::DtdDetected => unreadable("expected no document type".to_owned()),
        Error::NodesLimitReached => unreadable(format!("expected at most {NODES_MAX} nodes")),
        error => {
            let at = error.pos();
            unreadable(format!("not XML at line {}, column {}", at.row, at.col))
        }
    })?;
    let message = document
        .descendants()
        .find(|node| node.has_tag_name((OUTBOUND, "notifications")));
    let Some(message) = message else {
        return Ok(Vec::new());
    };
    let id = child(message, "OrganizationId").and_then(text_of);
    let organisation = id.as_deref().and_then(organisation);
    let enterprise = child(message, "EnterpriseUrl").and_then(text_of);
    let host = enterprise.as_deref().and_then(own_host);
    let notifications = message
        .children()
        .filter(|node| node.has_tag_name((OUTBOUND, "Notification")));
    let records = notifications.filter_map(|notification| {
        let record = of_node(child(notification, "sObject")?)?;
        let url = host.as_ref().zip(record.id.as_ref());
        Some(Record {
            organisation: organisation.map(str::to_owned),
            url: url.map(|(host, id)| format!("https://{host}/{id}")),
            ..record
        })
    });
    Ok(records.collect())
}

fn of_node(node: Node<'_, '_>) -> Option<Record> {
    let mut fields = FreeMap::new();
    let own = node.children().filter(|field| {
        let space = field.tag_name().namespace();
        space.is_some_and(|space| space.starts_with(SOBJECT))
    });
    for field in own {
        if let Some(text) = text_of(field) {
            read::put(&mut fields, field.tag_name().name(), typed(text));
        }
    }
    let id = fields.remove("Id").as_ref().and_then(read::as_text);
    // `sf:Contact`; which prefix stands for which namespace, only the document knows.
    let kind = node.attribute((XSI, "type"))?.trim();
    let (prefix, name) = match kind.split_once(':') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, kind),
    };
    let space = node.lookup_namespace_uri(prefix);
    let is_record = space.is_some_and(|space| space.starts_with(SOBJECT));
    is_record.then(|| Record {
        object: name.to_owned(),
        id,
        organisation: None,
        url: None,
        fields,
    })
}

/// Of a tick, true or false: as a text both would be true to a condition.
fn typed(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::String(text),
    }
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children()
        .find(|child| child.has_tag_name((OUTBOUND, name)))
}

/// An element's text, its entities decoded; `None` where there is none.
fn text_of(node: Node<'_, '_>) -> Option<String> {
    let texts = node.children().filter(Node::is_text);
    let text: String = texts.filter_map(|text| text.text()).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn of_json(value: &Value) -> Vec<Record> {
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let record = |value: &Value| {
        let text = |name: &str| value.get(name).and_then(read::as_text);
        let mut fields = FreeMap::new();
        let given = value.get("fields").and_then(Value::as_object);
        for (name, value) in given.into_iter().flatten() {
            read::put(&mut fields, name, value.clone());
        }
        let own = fields.remove("Id").as_ref().and_then(read::as_text);
        let url = value.get("url").and_then(Value::as_str);
        let url = url.and_then(read::as_url);
        Some(Record {
            object: text("object")?,
            id: text("id").or(own),
            organisation: text("organizationId")
                .as_deref()
                .and_then(organisation)
                .map(str::to_owned),
            url: url.filter(|url| own_host(url).is_some()),
            fields,
        })
    };
    all.iter().filter_map(record).collect()
}

/// The host of an address of Salesforce's. What stands in a body may be anybody's: nobody calls it, and no link to
/// another place is shown.
fn own_host(url: &str) -> Option<String> {
    let host = read::host(url)?.to_ascii_lowercase();
    (url.starts_with("https://") && host.ends_with(DOMAIN)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_form() {
        for (id, long) in [
            ("001A0000006Vm9u", Some("001A0000006Vm9uIAC")),
            ("001A0000006Vm9uIAC", Some("001A0000006Vm9uIAC")),
            ("00D000000000062", Some("00D000000000062EAA")),
            ("00D", None),
            ("001A0000006Vm9uIA", None),
            ("001A0000006Vm9/", None),
            ("", None),
        ] {
            assert_eq!(long_id(id).as_deref(), long, "{id}");
        }
        assert_eq!(organisation("00D000000000062EAA"), Some("00D000000000062"));
        assert_eq!(organisation("00D0000000000"), None);
    }

    #[test]
    fn links_lead_to_salesforce_alone() {
        for (url, host) in [
            (
                "https://Minha-Empresa.my.salesforce.com/services/Soap/c/62.0/00D",
                Some("minha-empresa.my.salesforce.com"),
            ),
            ("https://na1.salesforce.com", Some("na1.salesforce.com")),
            ("http://na1.salesforce.com/", None),
            ("https://evilsalesforce.com/", None),
            ("https://salesforce.com.example.com/", None),
            ("https://na1.salesforce.com@example.com/", None),
            ("na1.salesforce.com", None),
        ] {
            assert_eq!(own_host(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn documents_with_a_type_or_too_deep_are_refused_or_nothing() {
        let dtd = b"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>";
        let problem = |body: &[u8]| read(body).err().map(|error| error.problem);
        assert_eq!(problem(dtd).as_deref(), Some("expected no document type"));
        assert_eq!(problem(b"<a>\xff</a>").as_deref(), Some("expected UTF-8"));
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
        assert!(read(deep.as_bytes()).is_ok_and(|records| records.is_empty()));
        let many = format!("<a>{}</a>", "<b/>".repeat(260_000));
        assert_eq!(
            problem(many.as_bytes()).as_deref(),
            Some("expected at most 250000 nodes")
        );
    }
}
