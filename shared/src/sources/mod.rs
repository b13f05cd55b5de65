//! One file a provider: how it signs, how its JSON is read, what it wants to be answered.
//!
//! A source knows no automation and no database, does no I/O and reads no clock.

mod booking;
pub mod cal_com;
pub mod calendly;
pub mod callbell;
pub mod demo;
mod facts;
mod form;
pub mod gmail;
pub mod google_calendar;
pub mod google_forms;
pub mod hubspot;
pub mod intercom;
pub mod mailchimp;
mod parcel;
pub mod pipedrive;
mod question;
mod read;
pub mod salesforce;
pub mod shopify;
mod sign;
mod standard;
pub mod typeform;
pub mod webhook;
pub mod woocommerce;
pub mod zendesk;

use http::Method;
use jiff::Timestamp;
use lambda_http::Request;

use crate::connections::Connection;
use crate::event::{Event, Name};
use crate::keys::PublicKeys;
use crate::raw::{Raw, RawError, Verified};
use crate::secrets::Secret;

/// Every source of every function, for the checker and the command line. A door knows its own alone.
pub const ALL: &[&dyn Source] = &[
    &shopify::Shopify,
    &woocommerce::WooCommerce,
    &calendly::Calendly,
    &cal_com::CalCom,
    &google_calendar::GoogleCalendar,
    &hubspot::HubSpot,
    &pipedrive::Pipedrive,
    &salesforce::Salesforce,
    &mailchimp::Mailchimp,
    &zendesk::Zendesk,
    &intercom::Intercom,
    &typeform::Typeform,
    &google_forms::GoogleForms,
    &gmail::Gmail,
    &webhook::Webhook,
    &callbell::Callbell,
];

/// The source of a kind.
pub fn by_kind(kind: &str) -> Option<&'static dyn Source> {
    ALL.iter().copied().find(|source| source.kind() == kind)
}

/// A provider.
pub trait Source: Sync {
    /// The provider's name: `shopify`. Also the name of a connection that has no table.
    fn kind(&self) -> &'static str;

    /// The function that takes its webhooks, and so the first part of their path: `orders`.
    fn function(&self) -> &'static str;

    /// The events that it can make; `callbell check` compares automations with it.
    fn events(&self) -> &'static [Name];

    /// Paths that `phone_from` may name, in the provider's own order of preference.
    fn phone_paths(&self) -> &'static [&'static str];

    /// Prefixes of paths whose last part is the shop's own word and that `phone_from` may name as well:
    /// `meta.` for `meta._billing_cellphone`.
    fn phone_prefixes(&self) -> &'static [&'static str];

    /// Whether it asks people questions, of which one may be for the phone number: `phone_question`.
    fn asks_questions(&self) -> bool {
        false
    }

    /// How its webhooks prove themselves, in the words of README's table.
    fn proven_by(&self) -> &'static str;

    /// Answers what is no event and carries no signature: pings, validations by GET or HEAD. Asked
    /// before secrets and configuration are needed. `None`: go on.
    fn handshake(&self, raw: &Raw) -> Option<Answer>;

    /// Checks the provider's signature over the bytes, in constant time, against every active secret.
    ///
    /// # Errors
    /// The reason for the one log line.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal>;

    /// Reads the signed bytes.
    ///
    /// # Errors
    /// The JSON path that could not be read.
    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable>;

    /// What a signed body that cannot be read gets.
    fn on_unreadable(&self) -> OnUnreadable;

    /// Whether the last part of its path is a secret and names no connection. Such a source has a function of
    /// its own and one connection, called as its kind.
    fn is_behind_secret(&self) -> bool {
        false
    }

    /// Whether its webhooks prove themselves by `?key=SECRET` at the end of their address, because the provider
    /// signs nothing and sends no header of ours. Such an address is a secret itself.
    fn is_keyed(&self) -> bool {
        false
    }

    /// Whether a value of its secret is what an address ends in. Values of a source that [`Source::is_keyed`]
    /// may say something else besides: what its bodies are signed with, whose they have to be.
    fn is_key(&self, _secret: &Secret) -> bool {
        true
    }

    /// Whether it proves itself by somebody else's public keys, which the door then has to know.
    fn wants_keys(&self) -> bool {
        false
    }

    /// Whether it sends webhooks by this method; what it does not take gets 405.
    fn takes(&self, method: &Method) -> bool {
        method == Method::POST
    }

    /// The body that it wants of every 200 to such a request, where it wants one.
    fn acknowledgement(&self, _raw: &Raw) -> Option<Acknowledgement> {
        None
    }

    /// How webhooks prove themselves with these secrets, for the line at the start; `None` where there is one
    /// way alone.
    fn proof(&self, _secrets: &[Secret]) -> Option<&'static str> {
        None
    }

    /// The headers that the provider would send with this body: for tests, sample events and
    /// `callbell sign`.
    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)>;
}

/// What a webhook's proof is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Proofs<'a> {
    /// The connection that its path names.
    pub connection: &'a Connection,
    /// Every active secret of the connection.
    pub secrets: &'a [Secret],
    /// Public keys, of a source that [`Source::wants_keys`].
    pub keys: &'a PublicKeys,
}

impl<'a> Proofs<'a> {
    /// These secrets, and no public keys.
    pub fn of(connection: &'a Connection, secrets: &'a [Secret]) -> Proofs<'a> {
        Proofs {
            connection,
            secrets,
            keys: PublicKeys::none(),
        }
    }
}

/// A webhook to be signed: what some provider's signature covers.
#[derive(Clone, Copy)]
pub struct Unsigned<'a> {
    /// The connection that it goes to.
    pub connection: &'a Connection,
    /// What it is signed with.
    pub secret: &'a Secret,
    /// The whole address that it goes to.
    pub url: &'a str,
    /// Its bytes.
    pub body: &'a [u8],
    /// When.
    pub now: Timestamp,
}

impl<'a> Unsigned<'a> {
    /// A webhook whose address is not signed.
    pub fn of(
        connection: &'a Connection,
        secret: &'a Secret,
        body: &'a [u8],
        now: Timestamp,
    ) -> Unsigned<'a> {
        Unsigned {
            connection,
            secret,
            url: "",
            body,
            now,
        }
    }
}

/// What a provider wants to read in a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// `text/plain`.
    pub content_type: &'static str,
    /// The body.
    pub body: &'static str,
}

/// What a signed body says.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// What happened; never empty.
    Events(Vec<Event>),
    /// Nothing that automations know, and why: a foreign topic, a draft. For the log and the answer.
    Nothing(&'static str),
}

/// What a signed body that cannot be read gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnreadable {
    /// 400 naming the JSON path.
    BadRequest,
    /// 200 and an `unreadable` event record: this provider deletes subscriptions that answer 4xx.
    Record,
}

/// An answer that a source dictates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON or text body.
    pub body: String,
}

/// Why a request was not believed. The door answers 401 and logs it once, without the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The signature's header is absent, or there more than once.
    #[error("no {0} header")]
    NoSignature(&'static str),
    /// The provider says itself that it did not sign.
    #[error("not signed: the provider has no secret for this webhook")]
    Unsigned,
    /// The signature's header is not in the provider's form.
    #[error("malformed {0} header")]
    Malformed(&'static str),
    /// The address holds no secret, or more than one.
    #[error("no ?{KEY}= in the address")]
    NoKey,
    /// The path ends in none of the secrets that it may end in.
    #[error("the path ends in none of {secrets} secret(s)")]
    Path {
        /// How many were tried.
        secrets: usize,
    },
    /// No secret made this signature.
    #[error("matches none of {secrets} secret(s)")]
    NoMatch {
        /// How many were tried.
        secrets: usize,
    },
    /// It comes from an account that is not among those that may send.
    #[error("comes from none of {accounts} account(s)")]
    Account {
        /// How many may.
        accounts: usize,
    },
    /// Signed with a key that nobody told us of.
    #[error("signed with an unknown key")]
    UnknownKey,
    /// The signature is too old or from the future.
    #[error("{seconds} s stale")]
    Stale {
        /// How far from now.
        seconds: i64,
    },
    /// A header contradicts the signed body.
    #[error("{0} contradicts the signed body")]
    Contradiction(&'static str),
}

impl Refusal {
    /// Whether other secrets than those that were tried may change it: they may have been set just now, or
    /// taken away.
    pub fn depends_on_secrets(&self) -> bool {
        matches!(
            self,
            Refusal::NoMatch { .. }
                | Refusal::Path { .. }
                | Refusal::NoSignature(_)
                | Refusal::NoKey
                | Refusal::Account { .. }
        )
    }
}

/// A signed body that does not say what it has to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct Unreadable {
    /// The JSON path: `line_items[2].price`; `body` for the whole of it.
    pub path: String,
    /// What was expected there. No value from the body.
    pub problem: String,
}

/// A request to this source's plain connection, taken apart as its function does.
///
/// # Errors
/// See [`Raw::from_request`] and [`Raw::behind_secret`].
pub fn raw(source: &dyn Source, request: Request) -> Result<Raw, RawError> {
    if source.is_behind_secret() {
        Raw::behind_secret(request, source.kind())
    } else {
        Raw::from_request(request)
    }
}

/// Whether paths of this function end in a secret: then its source.
pub fn behind_secret(function: &str) -> Option<&'static dyn Source> {
    let is = |source: &&dyn Source| source.is_behind_secret() && source.function() == function;
    ALL.iter().copied().find(is)
}

/// The query of the address that a source's webhooks go to: its secret, where it proves itself so.
pub fn query(source: &dyn Source, secret: &Secret) -> String {
    if source.is_keyed() {
        form_urlencoded::Serializer::new(String::new())
            .append_pair(KEY, secret.expose())
            .finish()
    } else {
        String::new()
    }
}

/// The name of the secret in the address of a source that [`Source::is_keyed`].
pub const KEY: &str = "key";

/// Reads a body that somebody has as a file, as the source would read it from the wire: signs it with a
/// secret of its own making and goes through `verify`, so that there is one way in.
///
/// # Errors
/// What cannot be read.
pub fn read_file(
    source: &dyn Source,
    connection: &Connection,
    headers: http::HeaderMap,
    body: Vec<u8>,
    now: Timestamp,
) -> Result<Reading, Unreadable> {
    let secret = Secret::new("a file needs no secret");
    let url = "https://localhost/";
    let mut raw = Raw {
        method: Method::POST,
        connection: connection.name.clone(),
        path_secret: Some(secret.clone()),
        headers,
        query: query(source, &secret),
        url: url.to_owned(),
        body,
    };
    let unsigned = Unsigned {
        connection,
        secret: &secret,
        url,
        body: &raw.body,
        now,
    };
    for (name, value) in source.sign(&unsigned) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), value.parse()) {
            raw.headers.insert(name, value);
        }
    }
    let refused = |refusal: Refusal| Unreadable {
        path: "headers".into(),
        problem: refusal.to_string(),
    };
    let proofs = Proofs::of(connection, std::slice::from_ref(&secret));
    let verified = if source.wants_keys() {
        // Nobody but its owner can sign for such a source.
        raw.accept()
    } else {
        source.verify(&raw, &proofs, now).map_err(refused)?
    };
    source.read(&verified, connection, now)
}
