//! Webhooks about a message: it came into being, in either direction, or what became of one that went out.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::content::{self, typed_at};
use super::{contact, event, subject};
use crate::connections::Connection;
use crate::event::{Body, Contact, Job, Location, Message, MessageKind, Name, SubjectKind};
use crate::sources::{Reading, Unreadable, read};

/// What a message says, beside who wrote it to whom and when. Callbell misspells one of them.
const CONTENT: [&str; 10] = [
    "text",
    "messageContactCard",
    "mesageContext",
    "messageContext",
    "messageForward",
    "messageInteractiveList",
    "messageLocation",
    "messageReplyButton",
    "messageReaction",
    "type",
];
/// Most files of a message that are kept.
const ATTACHMENTS_MAX: usize = 20;
/// Most people of a contact card that are told.
const CARDS_MAX: usize = 10;
/// Hex digits of a job's number.
const JOB_DIGITS: usize = 32;
/// How far from now WhatsApp's own time of a status may be and still be believed.
const STATUS_AGE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Seconds beyond which a number counts milliseconds: in seconds it would be the year 5138.
const SECONDS_MAX: i64 = 100_000_000_000;
/// Endings of pictures, films and sounds; other files are documents.
const IMAGES: [&str; 8] = ["jpg", "jpeg", "png", "gif", "webp", "heic", "bmp", "tiff"];
const VIDEOS: [&str; 7] = ["mp4", "mov", "3gp", "avi", "mkv", "webm", "m4v"];
const AUDIOS: [&str; 9] = [
    "mp3", "ogg", "oga", "opus", "m4a", "aac", "wav", "amr", "mpga",
];

/// `message_created`: there is one for messages in both directions.
pub(super) fn created(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let job = job(payload);
    let (name, fact) = match (payload.get("status").and_then(Value::as_str), &job) {
        (Some("received"), _) => (Name::MessageReceived, "received"),
        (Some("sent"), Some(_)) => (Name::MessageEcho, "echo"),
        (Some("sent"), None) => (Name::MessageSent, "sent"),
        (Some(_), _) => return Ok(Reading::Nothing("neither received nor sent")),
        (None, _) => return read::required(None, "payload.status", "received or sent"),
    };
    let contact = person(payload)?;
    let at = payload.get("createdAt").and_then(Value::as_str);
    let at = at.and_then(|text| text.parse().ok()).unwrap_or(now);
    let digest = identity(payload, &contact);
    let message = message(payload, at, name == Name::MessageReceived);
    let job = job.filter(|_| name == Name::MessageEcho);
    Ok(about(
        connection,
        (name, at),
        (&digest, fact),
        (message, contact, job),
    ))
}

/// `message_status_updated`, of messages that we sent: nobody asked about the others.
pub(super) fn status(
    payload: &Value,
    connection: &Connection,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let Some(job) = job(payload) else {
        return Ok(Reading::Nothing("the status of a message that is not ours"));
    };
    let status = payload.get("status").and_then(Value::as_str);
    let name = match status {
        Some("delivered") => Name::MessageDelivered,
        Some("read") => Name::MessageRead,
        Some("failed") => Name::MessageFailed,
        Some("enqueued" | "sent" | "mismatch" | "deleted") => Name::MessageStatus,
        Some(_) => return Ok(Reading::Nothing("a status that we do not know")),
        None => return read::required(None, "payload.status", "a status"),
    };
    let status = status.unwrap_or_default();
    let uuid = payload.get("uuid").and_then(read::as_id);
    let uuid = read::required(uuid, "payload.uuid", "Callbell's number of the message")?;
    let inner = inner(payload);
    let at = time_of(&inner, now).unwrap_or(now);
    let message = Message {
        id: Some(uuid.clone()),
        status: status.to_owned(),
        reason: reason(&inner).filter(|_| status == "failed"),
        corrected_phone: corrected(&inner).filter(|_| status == "mismatch"),
        ..blank(at)
    };
    // Of a message of ours the job says whose it is: a webhook without the person is of use all the same.
    let contact = person(payload).unwrap_or_default();
    Ok(about(
        connection,
        (name, at),
        (&uuid, status),
        (message, contact, Some(job)),
    ))
}

/// Whose the message is. Where the person's channel is not said, the message's own is its kind.
fn person(payload: &Value) -> Result<Contact, Unreadable> {
    let person = payload.get("contact").unwrap_or(&Value::Null);
    let mut contact = contact::read(person, "payload.contact")?;
    if contact.channel_kind.is_empty()
        && let Some(kind) = payload.get("channel").and_then(Value::as_str)
    {
        contact.channel_kind = kind.trim().to_lowercase().chars().take(40).collect();
    }
    Ok(contact)
}

fn about(
    connection: &Connection,
    (name, at): (Name, Timestamp),
    (id, fact): (&str, &str),
    (message, contact, job): (Message, Contact, Option<Job>),
) -> Reading {
    let customer = contact::customer(&contact);
    let subject = subject(SubjectKind::Message, id, at);
    let body = Body::Message {
        message: Box::new(message),
        contact: Box::new(contact),
        conversation: None,
        job: job.map(Box::new),
    };
    let what = format!("{id}/{fact}");
    Reading::Events(vec![event(
        connection,
        name,
        (subject, &what),
        customer,
        body,
    )])
}

/// The job that sent it, where its number is in the metadata: an object, or one written as a text.
fn job(payload: &Value) -> Option<Job> {
    let metadata = payload.get("metadata").and_then(content::object)?;
    let id = metadata.get("job")?.as_str()?;
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let fits = id.len() == JOB_DIGITS && id.bytes().all(hex);
    fits.then(|| Job {
        id: id.to_owned(),
        ..Job::default()
    })
}

/// What tells this message from every other: there is no number.
fn identity(payload: &Value, contact: &Contact) -> String {
    let id = Value::from(contact.id.as_str());
    let files: Vec<Value> = attachments(payload)
        .iter()
        // A link to a file carries a signature of its own each time that it is shown.
        .map(|url| Value::from(url.split(['?', '#']).next().unwrap_or_default()))
        .collect();
    let files = Value::from(files);
    let head = ["channel", "status", "createdAt"];
    let members = head.iter().chain(&CONTENT);
    let members = members.filter_map(|name| Some((*name, payload.get(*name)?)));
    content::digest(
        [("contact", &id), ("attachments", &files)]
            .into_iter()
            .chain(members),
    )
}

fn blank(at: Timestamp) -> Message {
    Message {
        text: None,
        kind: MessageKind::Text,
        button: None,
        choice: None,
        attachments: Vec::new(),
        location: None,
        card: None,
        reaction: None,
        forwarded: false,
        is_first: false,
        at,
        id: None,
        status: String::new(),
        reason: None,
        corrected_phone: None,
    }
}

fn message(payload: &Value, at: Timestamp, received: bool) -> Message {
    let text = typed_at(payload, "/text");
    let attachments = attachments(payload);
    let location = location(payload);
    let card = card(payload);
    let reaction = typed_at(payload, "/messageReaction/emoji");
    // What goes out shows buttons; what comes in, the one that was tapped.
    let tapped = |member: &str| {
        let shown = payload.get(member).filter(|_| received)?;
        tap(shown, text.as_deref())
    };
    let (button, row) = (
        tapped("messageReplyButton"),
        tapped("messageInteractiveList"),
    );
    let kind = if reaction.is_some() {
        MessageKind::Reaction
    } else if button.is_some() {
        MessageKind::Button
    } else if row.is_some() {
        MessageKind::List
    } else if location.is_some() {
        MessageKind::Location
    } else if card.is_some() {
        MessageKind::Contact
    } else {
        attachments
            .first()
            .map_or(MessageKind::Text, |url| file_kind(url))
    };
    Message {
        text,
        kind,
        button: button.map(|tap| tap.id),
        choice: row.map(|tap| tap.title),
        attachments,
        location,
        card,
        reaction,
        forwarded: forwarded(payload),
        status: if received { "received" } else { "sent" }.to_owned(),
        ..blank(at)
    }
}

/// Addresses of files, as texts or as objects that hold one.
fn attachments(payload: &Value) -> Vec<String> {
    let list = payload.get("attachments").and_then(Value::as_array);
    let address = |file: &Value| {
        let text = file.as_str().or_else(|| file.get("url")?.as_str());
        text.and_then(read::as_url)
    };
    let list = list.map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(address)
        .take(ATTACHMENTS_MAX)
        .collect()
}

/// By the ending of its name.
fn file_kind(url: &str) -> MessageKind {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let ending = ending.unwrap_or_default().to_ascii_lowercase();
    let is = |endings: &[&str]| endings.contains(&ending.as_str());
    if is(&IMAGES) {
        MessageKind::Image
    } else if is(&VIDEOS) {
        MessageKind::Video
    } else if is(&AUDIOS) {
        MessageKind::Audio
    } else {
        MessageKind::Document
    }
}

/// `{"coordinates": {"x": <north>, "y": <east>}}`.
fn location(payload: &Value) -> Option<Location> {
    let coordinates = payload.pointer("/messageLocation/coordinates")?;
    let degrees = |names: [&str; 2], limit: f64| {
        let value = names.iter().find_map(|name| coordinates.get(*name))?;
        let number = match value {
            Value::String(text) => text.trim().parse().ok()?,
            other => other.as_f64()?,
        };
        (f64::abs(number) <= limit).then_some(number)
    };
    Some(Location {
        latitude: degrees(["x", "latitude"], 90.0)?,
        longitude: degrees(["y", "longitude"], 180.0)?,
    })
}

/// `Peter Parker: 3331122336699`, a line a person.
fn card(payload: &Value) -> Option<String> {
    let people = payload
        .pointer("/messageContactCard/contactsInfo")?
        .as_array()?;
    let line = |person: &Value| {
        let name = person
            .get("name")
            .and_then(read::as_text)
            .or_else(|| typed_at(person, "/name/formatted_name"));
        let phones = person.get("phones").and_then(Value::as_array);
        let numbers: Vec<String> = phones
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .filter_map(|phone| phone.get("phone").and_then(read::as_text))
            .take(CARDS_MAX)
            .collect();
        match (name, numbers.is_empty()) {
            (Some(name), true) => Some(name),
            (Some(name), false) => Some(format!("{name}: {}", numbers.join(", "))),
            (None, false) => Some(numbers.join(", ")),
            (None, true) => None,
        }
    };
    let lines: Vec<String> = people.iter().filter_map(line).take(CARDS_MAX).collect();
    content::typed(&lines.join("\n"))
}

/// Something tapped: its id, where it has one, and its title.
struct Tap {
    id: String,
    title: String,
}

/// The button or row that was tapped. Callbell shows all that there were; the text of the message is the
/// title of the one. What a person typed instead of tapping is no tap.
fn tap(shown: &Value, text: Option<&str>) -> Option<Tap> {
    let metadata = shown.get("metadata").and_then(content::object);
    let metadata = metadata.unwrap_or_else(|| json!({}));
    let options = options(&metadata);
    let chosen = [shown, &metadata]
        .iter()
        .find_map(|place| Some((typed_at(place, "/id")?, typed_at(place, "/title"))));
    if let Some((id, title)) = chosen {
        let title = title.or_else(|| text.map(str::to_owned));
        let title = title.unwrap_or_else(|| id.clone());
        return Some(Tap { id, title });
    }
    let text = text?;
    if options.is_empty() {
        let title = text.to_owned();
        return Some(Tap {
            id: title.clone(),
            title,
        });
    }
    options.into_iter().find(|option| option.title == text)
}

/// Buttons stand in `options`, rows of a list in `sections[].items`.
fn options(metadata: &Value) -> Vec<Tap> {
    let all = |value: Option<&Value>| {
        let list = value.and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let rows = all(metadata.get("sections"));
    let rows = rows.iter().flat_map(|section| all(section.get("items")));
    all(metadata.get("options"))
        .into_iter()
        .chain(rows)
        .filter_map(|option| {
            let title = ["/title", "/header"]
                .iter()
                .find_map(|at| typed_at(&option, at))?;
            let ids = ["/postback_text", "/postbackText", "/id"];
            let id = ids.iter().find_map(|at| typed_at(&option, at));
            Some(Tap {
                id: id.unwrap_or_else(|| title.clone()),
                title,
            })
        })
        .collect()
}

fn forwarded(payload: &Value) -> bool {
    match payload.get("messageForward") {
        Some(Value::Bool(yes)) => *yes,
        Some(forward) => forward.get("forwarded") == Some(&Value::Bool(true)),
        None => false,
    }
}

/// What WhatsApp said, as Callbell passes it on: an object, or one written as a text.
fn inner(payload: &Value) -> Value {
    let inner = payload.get("messageStatusPayload");
    inner.and_then(content::object).unwrap_or_else(|| json!({}))
}

/// WhatsApp's own time of a status, in seconds since 1970, or in milliseconds. A time that is far from now
/// is none.
fn time_of(inner: &Value, now: Timestamp) -> Option<Timestamp> {
    let places = ["/payload/ts", "/payload/timestamp", "/timestamp"];
    let number = places.iter().find_map(|place| {
        let value = inner.pointer(place)?;
        value
            .as_i64()
            .or_else(|| value.as_str()?.trim().parse().ok())
    })?;
    let at = if number > SECONDS_MAX {
        Timestamp::from_millisecond(number)
    } else {
        Timestamp::from_second(number)
    };
    at.ok().filter(|at| {
        let age = now.duration_since(*at);
        age >= -SignedDuration::from_mins(5) && age <= STATUS_AGE_MAX
    })
}

/// Why a message was not delivered, in WhatsApp's words.
fn reason(inner: &Value) -> Option<String> {
    [
        "/payload/reason",
        "/payload/errors/0/error_data/details",
        "/payload/errors/0/title",
        "/payload/errors/0/message",
        "/errors/0/error_data/details",
        "/errors/0/title",
        "/errors/0/message",
        "/payload/message",
        "/payload/error",
        "/reason",
        "/message",
        "/error",
    ]
    .iter()
    .find_map(|place| typed_at(inner, place))
}

/// The number that WhatsApp made of it, with a `+`.
fn corrected(inner: &Value) -> Option<String> {
    let places = ["/payload/phone", "/payload/wa_id", "/phone", "/wa_id"];
    places
        .iter()
        .find_map(|place| contact::phone(inner.pointer(place)?))
}
