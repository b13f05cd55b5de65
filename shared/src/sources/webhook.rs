//! Any system that can post: Zapier, Make, n8n, Nuvemshop, an ERP.
//!
//! It proves itself as its `[source.x]` says: by Standard Webhooks unless told, by a token or a user and password
//! that it shows, or by an HMAC of the body. What it posted becomes one `custom.posted`, with the whole body as
//! `data`. Doors evaluate no expression: what the body means is for the worker to read, by the expressions of the
//! same table.
//!
//! The event's id comes from what names the post, in this order, so that one that is repeated is no second one:
//! - `webhook-id` (or `svix-id`), where Standard Webhooks signs it. It stays the same over all attempts.
//! - The digest of `Idempotency-Key`, in every other way: senders put people into it. Nothing signs it, but whoever shows the secret, or signs a body with
//!   it, is the sender; and somebody who repeats a signed body under another key repeats its `key` as well.
//! - The digest of the body: the same body twice is one event, for as long as its row is kept.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::{Map, Value};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{
    Answer, OnUnreadable, Proofs, Reading, Refusal, Source, Unreadable, Unsigned, read, sign,
    standard,
};
use crate::connections::{Auth, Connection, Encoding, Hash, HmacOf};
use crate::event::{Body, Customer, Event, Head, Name, Subject, SubjectKind};
use crate::raw::{Raw, Verified};
use crate::secrets::Secret;

/// The provider's name.
pub const KIND: &str = "webhook";
/// Longest key that stands in an event's id as it is, in bytes.
pub const KEY_BYTES_MAX: usize = 100;
/// Hex digits that stand for a key that is longer, or has other signs.
const KEY_DIGITS: usize = 32;
/// Hex digits of the digest that names a body which nothing else names.
const BODY_DIGITS: usize = 16;
/// Deepest that lists and tables may lie in one another. A stored event has to be read again by a parser that
/// stops at 128.
const LEVELS_MAX: usize = 64;
/// Most values of a body, those within others included.
const VALUES_MAX: usize = 20_000;
/// The header of a token, or of a user and password.
const AUTHORIZATION: &str = "authorization";
/// The header of an HMAC, as refusals call it: its name is the user's own.
const SIGNATURE: &str = "signature";

/// The source.
pub struct Webhook;

impl Source for Webhook {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn function(&self) -> &'static str {
        "custom"
    }

    fn events(&self) -> &'static [Name] {
        &[Name::CustomReceived, Name::CustomPosted]
    }

    fn phone_paths(&self) -> &'static [&'static str] {
        &[]
    }

    fn phone_prefixes(&self) -> &'static [&'static str] {
        &[]
    }

    fn proven_by(&self) -> &'static str {
        "as its table says: Standard Webhooks, bearer, user and password, an HMAC"
    }

    fn handshake(&self, _raw: &Raw) -> Option<Answer> {
        None
    }

    fn verify<'a>(
        &self,
        raw: &'a Raw,
        proofs: &Proofs<'_>,
        now: Timestamp,
    ) -> Result<Verified<'a>, Refusal> {
        let secrets = proofs.secrets;
        match auth(proofs.connection) {
            Auth::StandardWebhooks => {
                standard::verify(raw, secrets, now)?;
            }
            Auth::Bearer => sign::is_one_of(shown(raw, "bearer")?.as_bytes(), secrets)?,
            Auth::Basic => {
                let given = decode(shown(raw, "basic")?, Encoding::Base64);
                let given = given.filter(|bytes| bytes.contains(&b':'));
                let given = given.ok_or(Refusal::Malformed(AUTHORIZATION))?;
                let name = &proofs.connection.name;
                let secrets: Vec<Secret> =
                    secrets.iter().map(|one| credentials(name, one)).collect();
                sign::is_one_of(&given, &secrets)?;
            }
            Auth::Hmac(of) => by_hmac(raw, &of, secrets)?,
        }
        Ok(raw.accept())
    }

    fn read(
        &self,
        verified: &Verified<'_>,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Reading, Unreadable> {
        let data = data(verified)?;
        let id = id(verified, connection);
        let event = Event {
            event: Head {
                name: Name::CustomPosted,
                source: connection.name.clone(),
                kind: KIND.to_owned(),
                account: None,
                id: posted_key(&connection.name, &id),
                at: now,
                test: false,
                depth: 0,
                notes: Vec::new(),
            },
            customer: Customer::default(),
            subject: Subject::new(SubjectKind::Custom, id, now),
            body: Body::Custom { data },
        };
        Ok(Reading::Events(vec![event]))
    }

    /// Its developer reads the answer, and nothing is deleted for a 4xx.
    fn on_unreadable(&self) -> OnUnreadable {
        OnUnreadable::BadRequest
    }

    fn sign(&self, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
        let secret = unsigned.secret;
        let header = |value: String| vec![(AUTHORIZATION.to_owned(), value)];
        match auth(unsigned.connection) {
            Auth::StandardWebhooks => standard::sign(&standard::id_of(unsigned.body), unsigned),
            Auth::Bearer => header(format!("Bearer {}", secret.expose())),
            Auth::Basic => {
                let credentials = credentials(&unsigned.connection.name, secret);
                header(format!("Basic {}", STANDARD.encode(credentials.expose())))
            }
            Auth::Hmac(of) => {
                let bytes = made(of.hash, secret.expose(), unsigned.body);
                let text = match of.encoding {
                    Encoding::Hex => hex::encode(bytes),
                    Encoding::Base64 => STANDARD.encode(bytes),
                };
                vec![(of.header.clone(), format!("{}{text}", of.prefix))]
            }
        }
    }
}

/// How senders of this connection prove themselves.
pub fn auth(connection: &Connection) -> Auth {
    connection.auth.clone().unwrap_or_default()
}

/// The key of a post's own event. No event that is read from a post can have it: those are of
/// [`received_key`].
fn posted_key(connection: &str, id: &str) -> String {
    format!("{connection}/posted/{id}")
}

/// The key of an event that is read from a post, whose own word for what makes it the same event is `key`.
pub fn received_key(connection: &str, key: &str) -> String {
    format!(
        "{connection}/{}/{}",
        SubjectKind::Custom.as_str(),
        part(key)
    )
}

/// A text as a part of an event's id, which goes into logs and answers: as it is where it looks like an id or
/// several of them, else its digest. A sign of an address or of an international number is none of an id.
pub fn part(text: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/=~".contains(&byte);
    if (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
        return text.to_owned();
    }
    digest(text)
}

/// Hex digits that stand for a text.
pub fn digest(text: &str) -> String {
    digits(text.as_bytes(), KEY_DIGITS)
}

fn digits(bytes: &[u8], count: usize) -> String {
    let digest = hex::encode(Sha256::digest(bytes));
    digest.chars().take(count).collect()
}

/// What names a post.
fn id(verified: &Verified<'_>, connection: &Connection) -> String {
    let header = |name: &str| {
        let text = verified.header(name).map(str::trim);
        text.filter(|text| !text.is_empty())
    };
    let signed = |name: &str| header(name).map(part);
    let named = match auth(connection) {
        // Which of the two was signed: one header of the first family decides, see `standard`.
        Auth::StandardWebhooks => signed("webhook-id").or_else(|| signed("svix-id")),
        Auth::Bearer | Auth::Basic | Auth::Hmac(_) => header("idempotency-key").map(digest),
    };
    named.unwrap_or_else(|| digits(verified.body(), BODY_DIGITS))
}

/// What stands behind this scheme in the one `Authorization` header.
/// <https://www.rfc-editor.org/rfc/rfc9110#section-11.4>
fn shown<'a>(raw: &'a Raw, scheme: &str) -> Result<&'a str, Refusal> {
    let value = raw.header(AUTHORIZATION);
    let value = value.ok_or(Refusal::NoSignature(AUTHORIZATION))?;
    let (own, given) = value
        .trim()
        .split_once(' ')
        .ok_or(Refusal::Malformed(AUTHORIZATION))?;
    if own.eq_ignore_ascii_case(scheme) {
        Ok(given.trim())
    } else {
        Err(Refusal::Malformed(AUTHORIZATION))
    }
}

/// The user and password of a secret. One without a colon is the password alone, of the user called as the
/// source: so every secret of our own making is one. An empty one stays empty and proves nothing.
pub fn credentials(connection: &str, secret: &Secret) -> Secret {
    let text = secret.expose();
    if text.is_empty() || text.contains(':') {
        return secret.clone();
    }
    Secret::new(format!("{connection}:{text}"))
}

/// Whether the header that the table names holds the HMAC of the body.
fn by_hmac(raw: &Raw, of: &HmacOf, secrets: &[Secret]) -> Result<(), Refusal> {
    let value = raw.header(&of.header);
    let value = value.ok_or(Refusal::NoSignature(SIGNATURE))?.trim();
    let given = value
        .strip_prefix(of.prefix.as_str())
        .and_then(|text| decode(text, of.encoding))
        .filter(|bytes| bytes.len() == length(of.hash))
        .ok_or(Refusal::Malformed(SIGNATURE))?;
    let matches = |secret: &&Secret| matches(of.hash, secret.expose(), &raw.body, &given);
    match secrets.iter().filter(matches).count() {
        0 => Err(Refusal::NoMatch {
            secrets: secrets.len(),
        }),
        _ => Ok(()),
    }
}

fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text.trim()).ok(),
        Encoding::Base64 => {
            let text = text.trim().trim_end_matches('=');
            STANDARD_NO_PAD.decode(text).ok()
        }
    }
}

/// Bytes of a digest.
fn length(hash: Hash) -> usize {
    match hash {
        Hash::Sha1 => 20,
        Hash::Sha256 => 32,
        Hash::Sha512 => 64,
    }
}

/// The HMAC of a body, ready to be compared or written; `None` where no key can be made (never for HMAC).
fn mac<M: Mac + KeyInit>(key: &str, body: &[u8]) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).ok()?;
    mac.update(body);
    Some(mac)
}

/// Compares in constant time. An empty key proves nothing and matches nothing.
fn matches(hash: Hash, key: &str, body: &[u8], given: &[u8]) -> bool {
    fn of<M: Mac + KeyInit>(key: &str, body: &[u8], given: &[u8]) -> bool {
        mac::<M>(key, body).is_some_and(|mac| mac.verify_slice(given).is_ok())
    }
    !key.is_empty()
        && match hash {
            Hash::Sha1 => of::<Hmac<Sha1>>(key, body, given),
            Hash::Sha256 => of::<Hmac<Sha256>>(key, body, given),
            Hash::Sha512 => of::<Hmac<Sha512>>(key, body, given),
        }
}

fn made(hash: Hash, key: &str, body: &[u8]) -> Vec<u8> {
    fn of<M: Mac + KeyInit>(key: &str, body: &[u8]) -> Vec<u8> {
        let bytes = |mac: M| mac.finalize().into_bytes().to_vec();
        mac(key, body).map(bytes).unwrap_or_default()
    }
    match hash {
        Hash::Sha1 => of::<Hmac<Sha1>>(key, body),
        Hash::Sha256 => of::<Hmac<Sha256>>(key, body),
        Hash::Sha512 => of::<Hmac<Sha512>>(key, body),
    }
}

/// The body as JSON, whatever its content type says: a `curl -d '{…}'` says that it is a form. A form becomes a
/// table of texts.
fn data(verified: &Verified<'_>) -> Result<Value, Unreadable> {
    let body = verified.body();
    // A mark of the byte order, which some write before JSON.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(unreadable("is empty"));
    }
    let is_json = || {
        let kind = verified.header("content-type").unwrap_or_default();
        body.starts_with(b"{") || body.starts_with(b"[") || kind.contains("json")
    };
    let data = match read::json(body) {
        Ok(data) => data,
        Err(_) if !is_json() && body.contains(&b'=') => form(body),
        Err(error) => return Err(error),
    };
    if !data.is_object() && !data.is_array() {
        return Err(unreadable("expected a table or a list of them"));
    }
    within(&data)?;
    Ok(data)
}

fn unreadable(problem: &str) -> Unreadable {
    Unreadable {
        path: "body".to_owned(),
        problem: problem.to_owned(),
    }
}

/// A form's fields. One that is there several times is a list; `itens[0]` is a name like any other.
/// <https://url.spec.whatwg.org/#application/x-www-form-urlencoded>
fn form(body: &[u8]) -> Value {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body).take(VALUES_MAX) {
        let value = Value::from(value.into_owned());
        match fields.get_mut(name.as_ref()) {
            None => {
                fields.insert(name.into_owned(), value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(fields)
}

/// Whether a body is as deep and as long as it may be.
fn within(data: &Value) -> Result<(), Unreadable> {
    let (mut level, mut values) = (vec![data], 0_usize);
    let mut levels = 0_usize;
    while !level.is_empty() {
        values = values.saturating_add(level.len());
        levels = levels.saturating_add(1);
        if values > VALUES_MAX {
            return Err(unreadable(&format!("more than {VALUES_MAX} values")));
        }
        if levels > LEVELS_MAX {
            return Err(unreadable(&format!(
                "more than {LEVELS_MAX} levels in one another"
            )));
        }
        let below = level.into_iter().flat_map(|value| {
            let (list, table) = (value.as_array(), value.as_object());
            let of_table = table.into_iter().flat_map(Map::values);
            list.into_iter().flatten().chain(of_table)
        });
        level = below.collect();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_own_id_where_it_looks_like_one() {
        for plain in ["4711", "4711/nota_emitida", "msg_2x:7.1~a=b-c"] {
            assert_eq!(part(plain), plain);
        }
        for other in [
            "",
            "maria@example.com",
            "+5511987654321",
            "nota fiscal",
            "ação",
            &"9".repeat(101),
        ] {
            let digest = part(other);
            assert_eq!(digest.len(), KEY_DIGITS, "{other}");
            assert!(digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        assert_ne!(part("maria@example.com"), part("ana@example.com"));
        assert_eq!(received_key("erp", "4711/a"), "erp/custom/4711/a");
    }

    #[test]
    fn a_form_keeps_its_names_and_repeats_become_lists() {
        let read = form(b"a=1&b%5B0%5D=x&a=2&a=&c=+%C3%A9&d");
        let expected = r#"{"a":["1","2",""],"b[0]":"x","c":" é","d":""}"#;
        assert_eq!(read, serde_json::from_str::<Value>(expected).unwrap());
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_unreadable() {
        let nested = |levels: usize| {
            let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert!(within(&nested(LEVELS_MAX)).is_ok());
        assert!(within(&nested(LEVELS_MAX + 1)).is_err());
        let long = |values: usize| Value::Array(vec![Value::Null; values]);
        assert!(within(&long(VALUES_MAX - 1)).is_ok());
        assert!(within(&long(VALUES_MAX)).is_err());
    }

    /// GitHub's own example of an HMAC of a body.
    /// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
    #[test]
    fn a_published_hmac_holds() {
        let key = "It's a Secret to Everybody";
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(hex::encode(made(Hash::Sha256, key, b"Hello, World!")), hex);
        let given = hex::decode(hex).unwrap();
        assert!(matches(Hash::Sha256, key, b"Hello, World!", &given));
        assert!(!matches(Hash::Sha256, "", b"Hello, World!", &given));
        // RFC 2202 and RFC 4231, second cases.
        let body = b"what do ya want for nothing?";
        for (hash, start) in [
            (Hash::Sha1, "effcdf6ae5eb2fa2d274"),
            (Hash::Sha256, "5bdcc146bf60754e6a04"),
            (Hash::Sha512, "164b7a7bfcf819e2e395"),
        ] {
            let bytes = made(hash, "Jefe", body);
            assert_eq!(bytes.len(), length(hash));
            assert!(hex::encode(bytes).starts_with(start), "{hash:?}");
        }
    }
}
