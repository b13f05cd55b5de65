//! Pipedrive: persons and deals.
//!
//! A person's webhook says all of them. A deal's names its person by number alone: the door stores what it
//! said as `source.changed`, and the worker asks for the person ([`wanted`]) and makes the deal's event
//! ([`complete`]). Bodies come in two versions, of which version 2 is the usual one since March 2025:
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>, <https://pipedrive.readme.io/docs/guide-for-webhooks>
//!
//! Pipedrive signs nothing: a webhook shows a user and a password, `Authorization: Basic`. The secret of a
//! connection is both, `user:password`; one without a colon is the password of the user `callbell`, which is
//! what `callbell connect` registers.
//!
//! Ten deliveries whose first attempt is not answered 2xx ban the webhook for half an hour, and what happens
//! meanwhile is lost; three days without a success delete it: nothing that shows the secret gets a 4xx.
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2#webhooks-policy>
//!
//! `meta.change_source` of `api` is no echo of ours: any other program that writes there has it too.

mod body;
mod deal;
mod person;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read, sign,
};
use crate::connections::Connection;
use crate::event::Name;
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

pub use deal::{Found, Wanted, complete, wanted};

/// The provider's name.
pub const KIND: &str = "pipedrive";
/// The user of a secret that is a password alone.
pub const USER: &str = "callbell";
/// Where the secret is shown.
const AUTHORIZATION: &str = "authorization";
/// Before user and password, in any case.
const SCHEME: &str = "basic ";

/// The source.
pub struct Pipedrive;

impl Source for Pipedrive {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "leads"
    }

    fn events(&self) -> &'static [Name] {
        &[
            Name::LeadCreated,
            Name::LeadUpdated,
            Name::DealUpdated,
            Name::DealWon,
            Name::DealLost,
            Name::DealDeleted,
            Name::SourceChanged,
        ]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        person::PHONE_PATHS
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[person::OF_LABEL, person::CUSTOM]
    }

    fn proven_by(&self) -> &'static str {
        "user and password"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    /// `Authorization: Basic` with the user and the password that the webhook was registered with.
    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        _now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let value = raw
            .header(AUTHORIZATION)
            .ok_or(Refusal::NoSignature(AUTHORIZATION))?;
        let shown = shown(value).ok_or(Refusal::Malformed(AUTHORIZATION))?;
        let known: Vec<Secret> = proofs.secrets.iter().map(whole).collect();
        sign::is_one_of(&shown, &known)?;
        Ok(raw.accept())
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        _now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let value = read::json(verified.body())?;
        let Some(webhook) = body::Webhook::read(&value)? else {
            return Ok(Reading::Nothing("foreign topic"));
        };
        match webhook.entity {
            body::Entity::Person => person::read(&webhook, connection),
            body::Entity::Deal => deal::read(&webhook, connection),
        }
    }

    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::Record
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let (user, password) = user_and_password(unsigned.secret);
        let value = STANDARD.encode(format!("{user}:{password}"));
        vec![(AUTHORIZATION.to_owned(), format!("Basic {value}"))]
    }
}

/// The user and the password of a connection's secret.
pub fn user_and_password(secret: &Secret) -> (&str, &str) {
    secret
        .expose()
        .split_once(':')
        .unwrap_or((USER, secret.expose()))
}

/// What a webhook shows of a secret. Nothing where the password is empty: that proves nothing.
fn whole(secret: &Secret) -> Secret {
    match user_and_password(secret) {
        (_, "") => Secret::new(""),
        (user, password) => Secret::new(format!("{user}:{password}")),
    }
}

/// User and password of a header; `None`: it has not their form.
fn shown(value: &str) -> Option<Vec<u8>> {
    let scheme = value.get(..SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let pair = STANDARD.decode(value.get(SCHEME.len()..)?.trim()).ok()?;
    pair.contains(&b':').then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_proven(header: &str, secret: &str) -> bool {
        let mut headers = http::HeaderMap::new();
        headers.insert(AUTHORIZATION, header.parse().unwrap());
        let raw = Raw {
            method: http::Method::POST,
            connection: KIND.into(),
            path_secret: None,
            headers,
            query: String::new(),
            url: String::new(),
            body: b"{}".to_vec(),
        };
        let connection = Connection::plain(KIND);
        let secret = Secret::new(secret);
        let proofs = Proofs::of(&connection, std::slice::from_ref(&secret));
        Pipedrive
            .verify(&raw, &proofs, Timestamp::UNIX_EPOCH)
            .is_ok()
    }

    #[test]
    fn a_secret_is_user_and_password_or_the_password_of_callbell() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (pair, secret, proven) in [
            ("callbell:hush", "hush", true),
            ("callbell:hush", "callbell:hush", true),
            ("ana:hush", "ana:hush", true),
            // The first colon divides; a password may have more of them.
            ("ana:hu:sh", "ana:hu:sh", true),
            ("ana:hush", "hush", false),
            ("callbell:hush", "ana:hush", false),
            ("callbell:", "", false),
            ("ana:", "ana:", false),
            (":", ":", false),
        ] {
            assert_eq!(is_proven(&basic(pair), secret), proven, "{pair} {secret}");
        }
        let any_case = format!("bAsIc  {} ", STANDARD.encode("callbell:hush"));
        assert!(is_proven(&any_case, "hush"));
        assert!(!is_proven(
            &format!("Bearer {}", STANDARD.encode("callbell:hush")),
            "hush"
        ));
    }
}
