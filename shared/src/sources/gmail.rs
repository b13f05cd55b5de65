//! Gmail: e-mails that arrive.
//!
//! A push comes from Google's Pub/Sub and says no more than that something changed in a mailbox. It proves
//! itself by a token that Google signs, which covers who pushes and not what: see `gmail/token.rs`. So the door
//! stores "ask" as `source.changed`, and the worker lists what was added since it asked last; [`mail()`] reads
//! each message. <https://developers.google.com/workspace/gmail/api/guides/push>

mod mail;
mod token;
mod words;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::question::question;
use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read};
use crate::connections::Connection;
use crate::event::{Changed, Event, FreeMap, Name};
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

pub use mail::{Look, is_news, labels, mail};
pub use token::KID as DEMO_KID;

/// The provider's name.
pub const KIND: &str = "gmail";
/// Where automations find the number: the mail's own words.
const PHONE_PATHS: &[&str] = &["text"];
/// Digits of the digest by which an event names a mailbox.
const MAILBOX_DIGITS: usize = 32;

/// Base64 of either alphabet once it was brought to one, with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The source.
pub struct Gmail;

impl Source for Gmail {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "emails"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::EmailReceived, Name::SourceChanged]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[]
    }

    fn proven_by(&self) -> &'static str {
        "Google's signed token of Pub/Sub: whose, for whom, until when"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn wants_keys(&self) -> bool {
        true
    }

    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let header = raw
            .header(token::HEADER)
            .ok_or(Refusal::NoSignature(token::HEADER))?;
        token::verify(header, proofs, now)?;
        Ok(raw.accept())
    }

    /// One question a push, whoever's mailbox it names: whether it is ours the worker knows.
    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let body = read::json(verified.body())?;
        let Some(message) = body.get("message").filter(|message| message.is_object()) else {
            return Ok(Reading::Nothing("no message of Pub/Sub"));
        };
        // Pub/Sub writes both; libraries that stand in for it write one of them.
        let id = ["messageId", "message_id"]
            .iter()
            .find_map(|name| message.get(*name).and_then(read::as_id));
        let id = read::required(id, "message.messageId", "an id")?;
        let data = message.get("data").and_then(Value::as_str);
        let data = read::required(data, "message.data", "base64")?;
        let data = read::required(decode(data), "message.data", "base64")?;
        let data: Value = read::required(
            serde_json::from_slice(&data).ok(),
            "message.data",
            "JSON in base64",
        )?;
        let address = data.get("emailAddress").and_then(Value::as_str);
        let address = address.filter(|address| !address.trim().is_empty());
        let address = read::required(address, "message.data.emailAddress", "an address")?;
        // A text in one of Google's samples, a number in its reference.
        let history = data.get("historyId").and_then(as_history);
        let history = read::required(history, "message.data.historyId", "a number")?;
        let ask = Ask::Push {
            mailbox: mailbox(address),
            history,
        };
        Ok(Reading::Events(vec![ask.event(&connection.name, &id, now)]))
    }

    /// Pub/Sub repeats for a week what is answered by anything but 2xx: what cannot be read now cannot be
    /// read then. <https://cloud.google.com/pubsub/docs/push#receive_push>
    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    /// With a secret that holds a private key, as demo values do. The real key is Google's.
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let header = token::make(unsigned.secret, unsigned.now);
        header
            .map(|header| (token::HEADER.to_owned(), header))
            .into_iter()
            .collect()
    }
}

/// The secret of a connection: who pushes, and what Pub/Sub has tokens made for.
pub fn secret(email: &str, audience: &str) -> Secret {
    Secret::new(json!({"email": email, "audience": audience}).to_string())
}

/// Who pushes, and the audience, of a secret that [`secret`] made.
pub fn expected(secret: &Secret) -> Option<(String, String)> {
    let json: Value = serde_json::from_str(secret.expose()).ok()?;
    let text = |name: &str| Some(json.get(name)?.as_str()?.to_owned());
    Some((text("email")?, text("audience")?))
}

/// Base64 of either alphabet, with or without padding: Gmail's guide and Pub/Sub's reference differ.
/// <https://developers.google.com/workspace/gmail/api/guides/push#receive-notifications>
fn decode(text: &str) -> Option<Vec<u8>> {
    let one_alphabet = |c: char| match c {
        '+' => '-',
        '/' => '_',
        c => c,
    };
    let text: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(one_alphabet)
        .collect();
    LENIENT.decode(text).ok()
}

/// A place in a mailbox's history.
pub fn as_history(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        number => number.as_u64(),
    }
}

/// What events call a mailbox: its address stands in no row that is kept for long.
pub fn mailbox(address: &str) -> String {
    let digest = hex::encode(Sha256::digest(address.trim().to_lowercase().as_bytes()));
    digest.chars().take(MAILBOX_DIGITS).collect()
}

/// Why the worker shall ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A push.
    Push {
        /// About this mailbox, see [`mailbox`].
        mailbox: String,
        /// The mailbox's newest place when it was sent. No place to begin at: what changed lies before it.
        history: u64,
    },
    /// Once an hour, because pushes get lost; and when a mailbox was connected.
    Poll,
}

impl Ask {
    /// The event that has the worker ask: `{connection}/source/{what}`.
    pub fn event(&self, connection: &str, what: &str, now: Timestamp) -> Event {
        let mut map = FreeMap::new();
        let mut about = |name: &str, value: &str| {
            map.insert(name.to_owned(), Value::from(value));
        };
        match self {
            Ask::Push { mailbox, history } => {
                about("ask", "push");
                about("mailbox", mailbox);
                about("history", &history.to_string());
            }
            Ask::Poll => about("ask", "poll"),
        }
        question(connection, KIND, what, now, map)
    }

    /// Reads what [`Ask::event`] wrote.
    pub fn of(changed: &Changed) -> Option<Ask> {
        let text = |name: &str| changed.about.get(name)?.as_str();
        match text("ask")? {
            "push" => Some(Ask::Push {
                mailbox: text("mailbox")?.to_owned(),
                history: text("history")?.parse().ok()?,
            }),
            "poll" => Some(Ask::Poll),
            _ => None,
        }
    }
}
