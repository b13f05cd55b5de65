//! The connected systems: the `[source.x]` tables of the pushed automations file, as doors read them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The `connections` row: one entry a `[source.x]` table. A system that is connected once and needs no
/// table is not in it: its name is its kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connections(pub BTreeMap<String, Connection>);

impl Connections {
    /// The connection called `name`: its table, else the kind of that name with nothing set.
    pub fn get(&self, name: &str) -> Connection {
        self.0
            .get(name)
            .cloned()
            .unwrap_or_else(|| Connection::plain(name))
    }
}

/// One `[source.x]` table, as far as doors and sources need it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The last part of the webhook's path, the secret's name and `event.source`.
    pub name: String,
    /// Which provider.
    pub kind: String,
    /// ISO 3166 alpha-2, for phone numbers without a country code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Which places hold the phone number, in order; empty: the provider's own order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phone_from: Vec<String>,
    /// Which question of a booking page or form asks for the phone number: a regular expression, read
    /// without regard to case; `None`: the source's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_question: Option<String>,
    /// How a system of the user's own proves itself; `None`: Standard Webhooks. Of the kind `webhook` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// How a system of the user's own proves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// As <https://www.standardwebhooks.com> has it.
    #[default]
    StandardWebhooks,
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// `Authorization: Basic`, the secret being `user:password`.
    Basic,
    /// An HMAC of the body, in a header.
    Hmac(HmacOf),
}

/// An HMAC of the body, in a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacOf {
    /// The header's name, in lower case.
    pub header: String,
    /// The digest.
    pub hash: Hash,
    /// How its bytes are written.
    pub encoding: Encoding,
    /// What stands before them: `sha256=`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// SHA-1, which old senders have.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Two digits a byte.
    Hex,
    /// The standard alphabet; padding may be absent.
    Base64,
}

impl Connection {
    /// A connection without a table: its name is its kind.
    pub fn plain(name: &str) -> Connection {
        Connection {
            name: name.to_owned(),
            kind: name.to_owned(),
            ..Connection::default()
        }
    }
}
