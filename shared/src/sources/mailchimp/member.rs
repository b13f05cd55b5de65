//! The events of a member of an audience.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::{Reading, Unreadable, read};
use crate::connections::Connection;
use crate::event::{
    Body, Customer, Event, FreeMap, Head, Host, Lead, LeadKind, Name, PhoneCandidate, Subject,
    SubjectKind,
};

/// The tags that audiences have for a phone, unless somebody renamed them: the second is that of text messages.
pub(super) const PHONE_PATHS: &[&str] = &["merges.PHONE", "merges.SMSPHONE"];
/// Any other merge tag: `merges.MMERGE4`.
pub(super) const MERGES: &str = "merges.";
/// Merge tags with a place of their own.
const PLACED: [&str; 6] = ["EMAIL", "FNAME", "LNAME", "PHONE", "SMSPHONE", "COMPANY"];

/// A kind of webhook.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Subscribe,
    Profile,
    Upemail,
    Unsubscribe,
}

/// What a webhook says of a member.
struct Told {
    kind: Kind,
    /// `subscribe`, for the key.
    word: &'static str,
    list: String,
    id: String,
    at: Timestamp,
    email: Option<String>,
    merges: FreeMap,
}

/// The event of a form.
///
/// # Errors
/// It does not say whom it is about, or when it was.
pub(super) fn read(mut form: FreeMap, connection: &Connection) -> Result<Reading, Unreadable> {
    let kind = read::free_text(&form, "type");
    let (kind, word) = match kind.as_deref() {
        Some("subscribe") => (Kind::Subscribe, "subscribe"),
        Some("profile") => (Kind::Profile, "profile"),
        Some("upemail") => (Kind::Upemail, "upemail"),
        Some("unsubscribe") => (Kind::Unsubscribe, "unsubscribe"),
        Some("cleaned") => return Ok(Reading::Nothing("an address that was cleaned")),
        Some("campaign") => return Ok(Reading::Nothing("a campaign")),
        Some(_) => return Ok(Reading::Nothing("a type that we do not know")),
        None => return Ok(Reading::Nothing("no webhook of an audience")),
    };
    let at = read::free_text(&form, "fired_at").as_deref().and_then(time);
    let at = read::required(at, "fired_at", "YYYY-MM-DD HH:MM:SS")?;
    let mut data = match form.remove("data") {
        Some(Value::Object(data)) => data,
        _ => FreeMap::new(),
    };
    let id_at = |name: &str| data.get(name).and_then(read::as_id);
    let (id, id_name) = match kind {
        Kind::Upemail => (id_at("new_id"), "data[new_id]"),
        _ => (id_at("id"), "data[id]"),
    };
    let id = read::required(id, id_name, "an id")?;
    let list = read::required(id_at("list_id"), "data[list_id]", "an id")?;
    let merges = match data.remove("merges") {
        Some(Value::Object(merges)) => merges,
        _ => FreeMap::new(),
    };
    let address = match kind {
        Kind::Upemail => read::free_text(&data, "new_email"),
        _ => read::free_text(&data, "email").or_else(|| read::free_text(&merges, "EMAIL")),
    };
    let told = Told {
        kind,
        word,
        list,
        id,
        at,
        email: read::email(address.as_deref()),
        merges,
    };
    Ok(Reading::Events(vec![event(told, connection)]))
}

fn event(told: Told, connection: &Connection) -> Event {
    let subject_id = format!("{}-{}", told.list, told.id);
    let (name, fact) = match told.kind {
        Kind::Subscribe => (Name::LeadCreated, "created".to_owned()),
        _ => {
            let fact = format!("updated/{}-{}", told.at, told.word);
            (Name::LeadUpdated, fact)
        }
    };
    // Leaving an audience is the last stage of it: a condition reads `lead.stage`, and no consent comes of it.
    let (stage, changed) = match told.kind {
        Kind::Subscribe => (Some("subscribed"), None),
        Kind::Unsubscribe => (Some("unsubscribed"), Some("stage")),
        Kind::Upemail => (None, Some("email")),
        Kind::Profile => (None, None),
    };
    let customer = customer(&told, connection);
    let mut fields = FreeMap::new();
    for (tag, value) in &told.merges {
        if !PLACED.contains(&tag.as_str()) {
            read::put(&mut fields, tag, value.clone());
        }
    }
    Event {
        event: Head {
            name,
            source: connection.name.clone(),
            kind: super::KIND.to_owned(),
            account: None,
            id: format!("{}/lead/{subject_id}/{fact}", connection.name),
            at: told.at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer,
        subject: Subject::new(SubjectKind::Lead, subject_id, told.at),
        body: Body::Lead {
            lead: Box::new(Lead {
                id: told.id,
                kind: LeadKind::Subscriber,
                // The page of a member has the account's data centre in its address, which no webhook names.
                url: None,
                created_at: (told.kind == Kind::Subscribe).then_some(told.at),
                owner: Host::default(),
                company: read::free_text(&told.merges, "COMPANY"),
                stage: stage.map(str::to_owned),
                fields,
                changed: changed.map(str::to_owned).into_iter().collect(),
                list: Some(told.list),
            }),
        },
    }
}

fn customer(told: &Told, connection: &Connection) -> Customer {
    let merge = |tag: &str| read::free_text(&told.merges, tag);
    let (first_name, last_name) = (merge("FNAME"), merge("LNAME"));
    // An address is a table, or one line.
    let address = told.merges.get("ADDRESS").and_then(Value::as_object);
    let country = address.and_then(|address| read::free_text(address, "country"));
    let country = read::country(country.as_deref());
    let own = connection.phone_from.iter().map(String::as_str);
    let mut paths: Vec<&str> = own.collect();
    if paths.is_empty() {
        paths.extend(PHONE_PATHS);
    }
    // A form without merge tags, as of `upemail`, says nothing of a number: not that there is none either, or the
    // next one would say that it came. The merge tags of one who leaves may show a number that they gave since we
    // last saw them, and nobody is welcomed for leaving.
    if told.merges.is_empty() || told.kind == Kind::Unsubscribe {
        paths.clear();
    }
    let candidate = |path: &str| {
        let number = path.strip_prefix(MERGES).and_then(merge);
        PhoneCandidate {
            path: path.to_owned(),
            country: number.as_ref().and(country.clone()),
            number,
        }
    };
    Customer {
        name: read::full_name(first_name.as_deref(), last_name.as_deref()),
        first_name,
        last_name,
        email: told.email.clone(),
        id: Some(told.id.clone()),
        accepts_email: match told.kind {
            Kind::Subscribe => Some(true),
            Kind::Unsubscribe => Some(false),
            Kind::Profile | Kind::Upemail => None,
        },
        phones: paths.into_iter().map(candidate).collect(),
        country,
        ..Customer::default()
    }
}

/// `2026-03-16 15:00:00`, in UTC as far as anybody knows: Mailchimp does not say.
fn time(text: &str) -> Option<Timestamp> {
    let local: DateTime = text.parse().ok()?;
    let zoned = local.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::super::form;
    use super::*;

    /// Whatever a form claims: who leaves agrees to nothing and brings no number, and no form says that one may be
    /// written to.
    #[test]
    fn leaving_is_no_consent_and_brings_no_number() {
        for (kind, accepts_email, numbers) in [
            ("subscribe", Some(true), 2),
            ("profile", None, 2),
            ("upemail", None, 2),
            ("unsubscribe", Some(false), 0),
        ] {
            let body = format!(
                "type={kind}&fired_at=2026-03-16+15:00:00&data[id]=1&data[new_id]=1&data[list_id]=2\
                 &data[merges][SMSPHONE]=%2B5511980040001&data[merges][accepts_email]=true\
                 &data[merges][SMS_CONSENT]=subscribed&data[status]=subscribed&data[action]=unsub"
            );
            let read = read(form::read(body.as_bytes()), &Connection::plain("mailchimp"));
            let Ok(Reading::Events(events)) = read else {
                panic!("{kind}");
            };
            for event in events {
                assert_eq!(event.customer.accepts_email, accepts_email, "{kind}");
                assert_eq!(event.customer.accepts_marketing, None, "{kind}");
                assert_eq!(event.customer.phones.len(), numbers, "{kind}");
            }
        }
    }
}
