//! Google Calendar: events of a calendar.
//!
//! A push has no content: it says that something changed in a calendar, and proves itself by the token
//! that we gave the channel when we made it. So the door stores "ask" as `source.changed`, and the worker
//! lists what changed with the calendar's sync token; [`read`] tells what became of each.
//! <https://developers.google.com/workspace/calendar/api/guides/push>

mod item;
mod phones;

use jiff::Timestamp;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::question::question;
use super::{Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned};
use crate::connections::Connection;
use crate::event::{Changed, Event, FreeMap, Name};
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

pub(super) use phones::{has as has_word, numbers as numbers_in};

pub use item::{Found, HORIZON, Look, Stored, arrange, is_over, item_id, read, vanished};

/// The provider's name.
pub const KIND: &str = "google-calendar";
/// Echoes the channel's token: the only proof there is.
const TOKEN: &str = "x-goog-channel-token";
/// Which channel pushes.
const CHANNEL: &str = "x-goog-channel-id";
/// Rises with every push of a channel, not by one.
const NUMBER: &str = "x-goog-message-number";
/// What is watched, in Google's words.
const RESOURCE: &str = "x-goog-resource-id";
/// `sync`, `exists` or `not_exists`.
const STATE: &str = "x-goog-resource-state";
/// Longest id of a channel or resource, in characters: Google's limit for channels is 64.
const ID_CHARS_MAX: usize = 200;
/// Longest token of a channel, in characters.
pub const TOKEN_CHARS_MAX: usize = 256;

/// The source.
pub struct GoogleCalendar;

impl Source for GoogleCalendar {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "appointments"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::AppointmentBooked,
            Name::AppointmentRescheduled,
            Name::AppointmentCancelled,
            Name::AppointmentUpdated,
            Name::SourceChanged,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        phones::PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[]
    }

    fn proven_by(&self) -> &'static str {
        "the channel's token, a header"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// There is no signature: the channel's token, in constant time. Header values may begin with a blank.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        let token = raw.header(TOKEN).ok_or(Refusal::NoSignature(TOKEN))?.trim();
        if token.is_empty() || token.len() > TOKEN_CHARS_MAX {
            return Err(Refusal::Malformed(TOKEN));
        }
        let matches = |secret: &Secret| {
            let secret = secret.expose().as_bytes();
            !secret.is_empty() && bool::from(secret.ct_eq(token.as_bytes()))
        };
        // Every secret is compared, so that the time tells nothing of how many there are.
        if secrets.iter().filter(|secret| matches(secret)).count() == 0 {
            return Err(Refusal::NoMatch {
                secrets: secrets.len(),
            });
        }
        Ok(raw.accept())
    }

    /// The headers alone: a push has no body, and whatever stands there is not read. Whether the channel is
    /// ours the worker checks, which knows its row.
    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let header = |name| verified.header(name).map(str::trim);
        match header(STATE) {
            Some("exists" | "not_exists") => {}
            Some("sync") => return Ok(Reading::Nothing("the channel was made")),
            _ => return Ok(Reading::Nothing("no state of a calendar")),
        }
        let id = |name| header(name).filter(|value| is_id(value));
        let number = header(NUMBER).filter(|value| {
            !value.is_empty() && value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit())
        });
        let (Some(channel), Some(resource), Some(number)) = (id(CHANNEL), id(RESOURCE), number)
        else {
            return Ok(Reading::Nothing("no channel of a calendar"));
        };
        let what = format!("{channel}/{number}");
        let ask = Ask::Push {
            channel: channel.to_owned(),
            resource: resource.to_owned(),
        };
        Ok(Reading::Events(vec![ask.event(
            &connection.name,
            &what,
            now,
        )]))
    }

    /// Never: the body is not read.
    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        vec![(TOKEN.to_owned(), unsigned.secret.expose().to_owned())]
    }
}

/// Ids are parts of keys, which `/` divides.
fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+=".contains(&byte);
    !text.is_empty() && text.len() <= ID_CHARS_MAX && text.bytes().all(allowed)
}

/// Why the worker shall ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A push of this channel, about this resource.
    Push {
        /// Our own id of the channel.
        channel: String,
        /// Google's id of what it watches.
        resource: String,
    },
    /// Once an hour, because pushes get lost; and when a calendar was connected.
    Poll,
    /// Once a day: instances of series that have come within the horizon.
    Horizon,
}

impl Ask {
    /// The event that has the worker ask: `{connection}/source/{what}`.
    pub fn event(&self, connection: &str, what: &str, now: Timestamp) -> Event {
        let mut map = FreeMap::new();
        let mut about = |name: &str, value: &str| {
            map.insert(name.to_owned(), Value::from(value));
        };
        match self {
            Ask::Push { channel, resource } => {
                about("ask", "push");
                about("channel", channel);
                about("resource", resource);
            }
            Ask::Poll => about("ask", "poll"),
            Ask::Horizon => about("ask", "horizon"),
        }
        question(connection, KIND, what, now, map)
    }

    /// Reads what [`Ask::event`] wrote.
    pub fn of(changed: &Changed) -> Option<Ask> {
        let text = |name: &str| Some(changed.about.get(name)?.as_str()?.to_owned());
        match text("ask")?.as_str() {
            "push" => Some(Ask::Push {
                channel: text("channel")?,
                resource: text("resource")?,
            }),
            "poll" => Some(Ask::Poll),
            "horizon" => Some(Ask::Horizon),
            _ => None,
        }
    }
}
