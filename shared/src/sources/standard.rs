//! Standard Webhooks: three headers, of which the signature covers the other two and the raw body. What
//! sources of our own making and of the user's sign with.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! `webhook-id` names the event and stays the same over all attempts, `webhook-timestamp` is the time of this
//! attempt, so that five minutes are enough however long a sender repeats. `webhook-signature` lists any number
//! of `v1,<base64>`: HMAC-SHA256 of `{id}.{timestamp}.{body}`. A sender that changes its secret signs with both.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Refusal, Unsigned};
use crate::raw::Raw;
use crate::secrets::Secret;

/// The names of one family of headers.
struct Names {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

/// What the specification calls them.
const STANDARD_NAMES: Names = Names {
    id: "webhook-id",
    timestamp: "webhook-timestamp",
    signature: "webhook-signature",
};
/// What Svix, from which the specification comes, calls them unless it is told otherwise.
/// <https://docs.svix.com/receiving/verifying-payloads/how-manual>
const SVIX_NAMES: Names = Names {
    id: "svix-id",
    timestamp: "svix-timestamp",
    signature: "svix-signature",
};
/// What stands before the base64 of a key.
const KEY_PREFIX: &str = "whsec_";
/// What stands before a signature by a shared key. `v1a`, by a private one, is passed over, as every version
/// that may come later.
const SIGNATURE_PREFIX: &str = "v1,";
/// How far a webhook's time may be from now, either way, in seconds, as in the reference libraries.
/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/rust/src/lib.rs>
const TOLERANCE_S: i64 = 5 * 60;
/// Longest id, in characters.
const ID_CHARS_MAX: usize = 256;
/// Most digits of a time.
const TIME_DIGITS_MAX: usize = 12;
/// Bytes of a SHA-256.
const DIGEST_BYTES: usize = 32;
/// Most signatures of one webhook: one is usual, two while a secret changes.
const SIGNATURES_MAX: usize = 16;
/// Bytes of a body's digest that an id of our own making has.
const ID_DIGEST_BYTES: usize = 12;

/// The three headers, in their form.
struct Signed<'a> {
    id: &'a str,
    /// As received: so it was signed.
    time: &'a str,
    at_s: i64,
    signatures: Vec<Vec<u8>>,
}

impl<'a> Signed<'a> {
    /// A header that is there twice counts as absent.
    fn of(raw: &'a Raw) -> Result<Signed<'a>, Refusal> {
        let Names {
            id: id_name,
            timestamp,
            signature,
        } = family(raw);
        let header = |name| raw.header(name).ok_or(Refusal::NoSignature(name));
        let (id, time, list) = (header(id_name)?, header(timestamp)?, header(signature)?);
        if !is_id(id) {
            return Err(Refusal::Malformed(id_name));
        }
        // A sign or a blank, which a parser of numbers may take, would not be what was signed.
        let is_time = (1..=TIME_DIGITS_MAX).contains(&time.len())
            && time.bytes().all(|byte| byte.is_ascii_digit());
        let at_s = time.parse().ok().filter(|_| is_time);
        let at_s = at_s.ok_or(Refusal::Malformed(timestamp))?;
        let entries = list.split_ascii_whitespace().take(SIGNATURES_MAX);
        let signatures: Vec<Vec<u8>> = entries
            .filter_map(|entry| entry.strip_prefix(SIGNATURE_PREFIX))
            .filter_map(unpadded)
            .filter(|bytes| bytes.len() == DIGEST_BYTES)
            .collect();
        if signatures.is_empty() {
            return Err(Refusal::Malformed(signature));
        }
        Ok(Signed {
            id,
            time,
            at_s,
            signatures,
        })
    }

    /// Whether `secret` made one of the signatures, compared in constant time.
    fn matches(&self, secret: &Secret, body: &[u8]) -> bool {
        let keys = keys(secret.expose());
        let by_key = |key: &Vec<u8>| {
            let made = mac(key, self.id, self.time, body);
            made.is_some_and(|made| {
                let matches =
                    |signature: &&Vec<u8>| made.clone().verify_slice(signature.as_slice()).is_ok();
                self.signatures.iter().filter(matches).count() > 0
            })
        };
        keys.iter().filter(|key| by_key(key)).count() > 0
    }
}

/// Whether the webhook is signed with one of `secrets`, now; then its id.
pub(super) fn verify<'a>(
    raw: &'a Raw,
    secrets: &[Secret],
    now: Timestamp,
) -> Result<&'a str, Refusal> {
    let signed = Signed::of(raw)?;
    if !secrets
        .iter()
        .any(|secret| signed.matches(secret, &raw.body))
    {
        return Err(Refusal::NoMatch {
            secrets: secrets.len(),
        });
    }
    let seconds = now.as_second().saturating_sub(signed.at_s).saturating_abs();
    if seconds > TOLERANCE_S {
        return Err(Refusal::Stale { seconds });
    }
    Ok(signed.id)
}

/// The headers of this webhook under this id.
pub(super) fn sign(id: &str, unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
    let time = unsigned.now.as_second().to_string();
    let key = keys(unsigned.secret.expose()).into_iter().next();
    let made = mac(&key.unwrap_or_default(), id, &time, unsigned.body);
    let base64 = made.map(|made| STANDARD.encode(made.finalize().into_bytes()));
    let signature = format!("{SIGNATURE_PREFIX}{}", base64.unwrap_or_default());
    let Names {
        id: id_name,
        timestamp,
        signature: signature_name,
    } = STANDARD_NAMES;
    vec![
        (id_name.to_owned(), id.to_owned()),
        (timestamp.to_owned(), time),
        (signature_name.to_owned(), signature),
    ]
}

/// An id for a body that names none: the same body has the same.
pub(super) fn id_of(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    format!(
        "msg_{}",
        hex::encode(digest.get(..ID_DIGEST_BYTES).unwrap_or_default())
    )
}

/// Which names the sender uses. One header of the first family decides: a webhook that has its signature in
/// one and its id in the other has none.
fn family(raw: &Raw) -> Names {
    let Names {
        id,
        timestamp,
        signature,
    } = SVIX_NAMES;
    let is_there = |name: &str| raw.headers.contains_key(name);
    let is_standard = is_there(STANDARD_NAMES.id)
        || is_there(STANDARD_NAMES.timestamp)
        || is_there(STANDARD_NAMES.signature);
    let is_svix = is_there(id) || is_there(timestamp) || is_there(signature);
    if is_svix && !is_standard {
        SVIX_NAMES
    } else {
        STANDARD_NAMES
    }
}

/// A point divides what is signed, so an id has none: with one, its end could be shown as a time.
fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'.';
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// The keys that a secret may stand for, the one that we sign with first.
///
/// - `whsec_` and base64: what is encoded, the prefix taken off once.
/// - Any other text: its bytes, as the scripts and actions of this project have it. Where it is base64 too, what
///   that encodes counts as well, because the reference libraries decode a secret without the prefix. Our own
///   secrets are hex, so both readings of them are used.
///
/// An empty key proves nothing and is none.
fn keys(secret: &str) -> Vec<Vec<u8>> {
    let as_given = || Some(secret.as_bytes().to_vec());
    let keys = match secret.strip_prefix(KEY_PREFIX) {
        Some(text) => [unpadded(text).or_else(as_given), None],
        None => [as_given(), unpadded(secret)],
    };
    let keys = keys.into_iter().flatten();
    keys.filter(|key| !key.is_empty()).collect()
}

/// What standard base64 encodes, with its padding or without.
fn unpadded(base64: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(base64.trim_end_matches('=')).ok()
}

/// The signature under `key`, or `None` where no key can be made of it (never for HMAC).
fn mac(key: &[u8], id: &str, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};

    use super::*;
    use crate::connections::Connection;

    /// The example of the reference libraries' tests.
    /// <https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/rust/src/lib.rs>
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT_S: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const BASE64: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn raw(headers: &[(&str, &str)]) -> Raw {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            map.append(name, value.parse().unwrap());
        }
        Raw {
            method: Method::POST,
            connection: "any".to_owned(),
            path_secret: None,
            headers: map,
            query: String::new(),
            url: String::new(),
            body: BODY.to_vec(),
        }
    }

    fn standard(id: &str, time: &str, signature: &str) -> Raw {
        raw(&[
            ("webhook-id", id),
            ("webhook-timestamp", time),
            ("webhook-signature", signature),
        ])
    }

    fn example() -> Raw {
        standard(ID, "1614265330", SIGNATURE)
    }

    fn check(raw: &Raw, secrets: &[&str]) -> Result<String, Refusal> {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
        verify(raw, &secrets, at(AT_S)).map(str::to_owned)
    }

    fn signed(id: &str, secret: &str, second: i64) -> Vec<(String, String)> {
        let (connection, secret) = (Connection::default(), Secret::new(secret));
        let unsigned = Unsigned::of(&connection, &secret, BODY, at(second));
        sign(id, &unsigned)
    }

    fn signature(secret: &str) -> String {
        let headers = signed(ID, secret, AT_S);
        headers.into_iter().nth(2).unwrap().1
    }

    #[test]
    fn the_example_of_the_specification_holds() {
        let whole = format!("whsec_{BASE64}");
        assert_eq!(check(&example(), &[&whole]), Ok(ID.to_owned()));
        assert_eq!(
            signed(ID, &whole, AT_S),
            [
                ("webhook-id", ID),
                ("webhook-timestamp", "1614265330"),
                ("webhook-signature", SIGNATURE),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        // The reference libraries decode a secret without the prefix too.
        assert_eq!(check(&example(), &[BASE64]), Ok(ID.to_owned()));
    }

    #[test]
    fn a_secret_is_read_as_its_sender_may_have_read_it() {
        // 32 bytes in hex, as our own are: a text to our script, base64 to a library.
        let hex = "0123456789abcdef".repeat(4);
        for (made_with, known) in [
            (hex.as_str(), hex.as_str()),
            (&format!("whsec_{hex}"), &hex),
            ("whsec_YWJjZA==", "whsec_YWJjZA"),
            ("whsec_YWJjZA", "whsec_YWJjZA=="),
            ("any other text", "any other text"),
            ("whsec_no base64", "whsec_no base64"),
        ] {
            let raw = standard(ID, "1614265330", &signature(made_with));
            assert!(check(&raw, &[known]).is_ok(), "{made_with} {known}");
        }
        // The prefix is taken off once, and what follows it is no text.
        let twice = format!("whsec_whsec_{BASE64}");
        for (made_with, known) in [
            (twice.as_str(), BASE64),
            ("abcd", "whsec_abcd"),
            ("any", "other"),
        ] {
            let raw = standard(ID, "1614265330", &signature(made_with));
            let refusal = Refusal::NoMatch { secrets: 1 };
            assert_eq!(check(&raw, &[known]), Err(refusal), "{made_with} {known}");
        }
    }

    #[test]
    fn an_empty_key_proves_nothing() {
        for empty in ["", "whsec_", "whsec_===="] {
            let raw = standard(ID, "1614265330", &signature(empty));
            for known in ["", "whsec_", "whsec_====", "===="] {
                let refusal = Refusal::NoMatch { secrets: 1 };
                assert_eq!(check(&raw, &[known]), Err(refusal), "{empty} {known}");
            }
        }
    }

    #[test]
    fn one_of_several_signatures_and_secrets_is_enough() {
        let whole = format!("whsec_{BASE64}");
        let other = signature("another");
        for list in [
            format!("{other} {SIGNATURE}"),
            format!("{SIGNATURE} {other}"),
            format!("v1a,{}  v2,x {SIGNATURE}", "A".repeat(86)),
            format!("v1,AAAA v1,% {SIGNATURE}"),
            SIGNATURE.trim_end_matches('=').to_owned(),
        ] {
            let raw = standard(ID, "1614265330", &list);
            assert!(check(&raw, &["new", &whole]).is_ok(), "{list}");
        }
        for list in [
            "",
            " ",
            "v1,",
            "v1,AAAA",
            "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ] {
            let raw = standard(ID, "1614265330", list);
            let refusal = Refusal::Malformed("webhook-signature");
            assert_eq!(check(&raw, &[&whole]), Err(refusal), "{list}");
        }
    }

    #[test]
    fn times_are_digits_and_at_most_five_minutes_away() {
        for time in ["", "+1614265330", "-1", " 1", "16142653.3", "1614265330000"] {
            let raw = standard(ID, time, SIGNATURE);
            let refusal = Err(Refusal::Malformed("webhook-timestamp"));
            assert_eq!(check(&raw, &[BASE64]), refusal, "{time}");
        }
        // What was signed is the text, not the number.
        let raw = standard(ID, "01614265330", SIGNATURE);
        assert_eq!(check(&raw, &[BASE64]), Err(Refusal::NoMatch { secrets: 1 }));
        let secrets = [Secret::new(BASE64)];
        for (seconds, is_stale) in [(-301, true), (-300, false), (300, false), (301, true)] {
            let refusal = verify(&example(), &secrets, at(AT_S + seconds)).err();
            let stale = is_stale.then_some(Refusal::Stale { seconds: 301 });
            assert_eq!(refusal, stale, "{seconds}");
        }
    }

    #[test]
    fn an_id_has_no_point() {
        for id in ["a.1614265330", "", "a b", &"x".repeat(257)] {
            let raw = standard(id, "1614265330", SIGNATURE);
            assert_eq!(
                check(&raw, &[BASE64]),
                Err(Refusal::Malformed("webhook-id")),
                "{id}"
            );
        }
        assert_eq!(id_of(BODY), id_of(BODY));
        assert!(is_id(&id_of(b"")));
    }

    #[test]
    fn svix_s_names_are_other_names_of_the_same() {
        let (id, time) = (("svix-id", ID), ("svix-timestamp", "1614265330"));
        let of_svix = [id, time, ("svix-signature", SIGNATURE)];
        assert!(check(&raw(&of_svix), &[BASE64]).is_ok());
        let mixed = [id, time, ("webhook-signature", SIGNATURE)];
        assert_eq!(
            check(&raw(&mixed), &[BASE64]),
            Err(Refusal::NoSignature("webhook-id"))
        );
        assert_eq!(
            check(&raw(&of_svix[..2]), &[BASE64]),
            Err(Refusal::NoSignature("svix-signature"))
        );
        assert_eq!(
            check(&raw(&[]), &[BASE64]),
            Err(Refusal::NoSignature("webhook-id"))
        );
    }

    #[test]
    fn a_header_that_is_there_twice_is_none() {
        let three = [
            ("webhook-id", ID),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", SIGNATURE),
        ];
        for (name, value) in three {
            let mut four = three.to_vec();
            four.push((name, value));
            assert_eq!(
                check(&raw(&four), &[BASE64]),
                Err(Refusal::NoSignature(name))
            );
        }
    }
}
