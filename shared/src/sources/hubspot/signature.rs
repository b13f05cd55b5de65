//! Three versions of a signature, all of them under the app's client secret.
//! <https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation>
//!
//! HubSpot sends an older one beside version 3, and its version header then names the older one. So where the
//! header of version 3 is there, that signature decides alone: one that is wrong is not made good by an older
//! one, which proves less. Versions 1 and 2 have no time: a replay of theirs finds its events stored.

use http::Method;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::raw::Raw;
use crate::secrets::Secret;
use crate::sources::{Refusal, Unsigned, sign};

/// Version 3: base64 of the HMAC-SHA256 of method, address, body and time.
const V3: &str = "x-hubspot-signature-v3";
/// When version 3 was signed, in milliseconds.
const TIME: &str = "x-hubspot-request-timestamp";
/// Versions 1 and 2: hex of the SHA-256 of secret and body, or of secret, method, address and body.
const OLDER: &str = "x-hubspot-signature";
/// Which of the older ones.
const VERSION: &str = "x-hubspot-signature-version";
/// Most digits of a time.
const TIME_DIGITS_MAX: usize = 15;
/// How old a signature may be, in milliseconds: HubSpot's own bound. Each attempt is signed anew.
const AGE_MAX_MS: i64 = 5 * 60 * 1_000;
/// How far ahead of us HubSpot's clock may be, in milliseconds.
const AHEAD_MAX_MS: i64 = 5 * 60 * 1_000;
/// What HubSpot unescapes of an address before it signs, and nothing else: a `%20` stays as it is.
const UNESCAPED: [(&str, char); 12] = [
    ("3A", ':'),
    ("2F", '/'),
    ("3F", '?'),
    ("40", '@'),
    ("21", '!'),
    ("24", '$'),
    ("27", '\''),
    ("28", '('),
    ("29", ')'),
    ("2A", '*'),
    ("2C", ','),
    ("3B", ';'),
];
/// Digits of an escape.
const ESCAPE_DIGITS: usize = 2;

/// Whether one of these secrets signed the request.
pub(super) fn verify(raw: &Raw, secrets: &[Secret], now: Timestamp) -> Result<(), Refusal> {
    if raw.headers.contains_key(V3) {
        verify_v3(raw, secrets, now)
    } else {
        verify_older(raw, secrets)
    }
}

fn verify_v3(raw: &Raw, secrets: &[Secret], now: Timestamp) -> Result<(), Refusal> {
    let value = raw.header(V3).ok_or(Refusal::NoSignature(V3))?;
    // As text, as it was signed: a number that was read and written again may be another text.
    let time = raw.header(TIME).ok_or(Refusal::NoSignature(TIME))?;
    let signed_ms = milliseconds(time).ok_or(Refusal::Malformed(TIME))?;
    let signature = sign::decode(value).ok_or(Refusal::Malformed(V3))?;
    let uri = unescaped(&raw.url);
    let parts = [
        raw.method.as_str().as_bytes(),
        uri.as_bytes(),
        &raw.body,
        time.as_bytes(),
    ];
    let matches = |secret: &&Secret| sign::matches_parts(secret.expose(), &parts, &signature);
    one_of(secrets, matches)?;
    let age_ms = now.as_millisecond().saturating_sub(signed_ms);
    if (-AHEAD_MAX_MS..=AGE_MAX_MS).contains(&age_ms) {
        Ok(())
    } else {
        Err(Refusal::Stale {
            seconds: age_ms.saturating_abs().div_euclid(1_000),
        })
    }
}

fn verify_older(raw: &Raw, secrets: &[Secret]) -> Result<(), Refusal> {
    let value = raw.header(OLDER).ok_or(Refusal::NoSignature(OLDER))?;
    let signature = sign::decode_hex(value).ok_or(Refusal::Malformed(OLDER))?;
    let uri = unescaped(&raw.url);
    let of_request = [raw.method.as_str().as_bytes(), uri.as_bytes(), &raw.body];
    let parts: &[&[u8]] = match raw.header(VERSION).map(str::trim) {
        Some("v2") => &of_request,
        // The first version came before its header.
        Some("v1") | None => &[&raw.body],
        Some(_) => return Err(Refusal::Malformed(VERSION)),
    };
    one_of(secrets, |secret| {
        let key = secret.expose();
        !key.is_empty() && bool::from(digest(key, parts).ct_eq(signature.as_slice()))
    })
}

/// Every secret is compared, so that the time tells nothing of how many there are.
fn one_of(secrets: &[Secret], matches: impl Fn(&&Secret) -> bool) -> Result<(), Refusal> {
    match secrets.iter().filter(matches).count() {
        0 => Err(Refusal::NoMatch {
            secrets: secrets.len(),
        }),
        _ => Ok(()),
    }
}

fn digest(key: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(key.as_bytes());
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

fn milliseconds(time: &str) -> Option<i64> {
    let is_number = (1..=TIME_DIGITS_MAX).contains(&time.len())
        && time.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { time.parse().ok() } else { None }
}

/// An address as HubSpot signs it.
fn unescaped(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.get(..ESCAPE_DIGITS).unwrap_or_default();
        let known = UNESCAPED
            .iter()
            .find(|(escape, _)| escape.eq_ignore_ascii_case(digits));
        rest = match known {
            Some((_, plain)) => {
                out.push(*plain);
                after.get(ESCAPE_DIGITS..).unwrap_or_default()
            }
            None => {
                out.push('%');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

/// The headers of version 3.
pub(super) fn of(unsigned: &Unsigned<'_>) -> Vec<(String, String)> {
    let time = unsigned.now.as_millisecond().to_string();
    let signed = [
        Method::POST.as_str().as_bytes(),
        unescaped(unsigned.url).as_bytes(),
        unsigned.body,
        time.as_bytes(),
    ]
    .concat();
    let signature = sign::hmac_base64(unsigned.secret.expose(), &signed);
    vec![(V3.to_owned(), signature), (TIME.to_owned(), time)]
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;
    use crate::connections::Connection;

    const URL: &str = "https://a1.example/leads/hubspot?a=x%20y%3Az&b=%2F";
    const BODY: &[u8] = br#"[{"objectId":1}]"#;
    const NOW: &str = "2026-03-16T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn raw(url: &str, headers: &[(&str, &str)]) -> Raw {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        Raw {
            method: Method::POST,
            connection: "hubspot".to_owned(),
            path_secret: None,
            headers: map,
            query: String::new(),
            url: url.to_owned(),
            body: BODY.to_vec(),
        }
    }

    fn check(url: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let secrets = [Secret::new("old"), Secret::new("secret")];
        verify(&raw(url, headers), &secrets, now())
    }

    fn v3(url: &str, at: Timestamp) -> Vec<(String, String)> {
        let (connection, secret) = (Connection::plain("hubspot"), Secret::new("secret"));
        let unsigned = Unsigned {
            url,
            ..Unsigned::of(&connection, &secret, BODY, at)
        };
        of(&unsigned)
    }

    fn borrowed(headers: &[(String, String)]) -> Vec<(&str, &str)> {
        let pairs = headers.iter();
        pairs.map(|(n, v)| (n.as_str(), v.as_str())).collect()
    }

    /// Computed apart from this code, by Python's hashlib.
    const V1_HEX: &str = "07d532aaf66d5803c7b9bb4b53337d56296fc5532671c69596729181fe45f970";
    const V2_HEX: &str = "89da3bde417d5bb694a8045e5fa169189c3974d9195ca60695181866b4444752";
    const V3_BASE64: &str = "b4XIoaVQIz+n69PVauz6oZX/t789+smfGRI0DMoQ2G8=";

    #[test]
    fn the_three_versions_are_as_documented() {
        let no_match = Err(Refusal::NoMatch { secrets: 2 });
        assert_eq!(check(URL, &[(OLDER, V1_HEX)]), Ok(()));
        assert_eq!(check(URL, &[(OLDER, V1_HEX), (VERSION, "v1")]), Ok(()));
        assert_eq!(check("", &[(OLDER, V1_HEX), (VERSION, "v1")]), Ok(()));
        assert_eq!(check(URL, &[(OLDER, V2_HEX), (VERSION, "v2")]), Ok(()));
        assert_eq!(check(URL, &[(OLDER, V1_HEX), (VERSION, "v2")]), no_match);
        assert_eq!(check(URL, &[(OLDER, V2_HEX)]), no_match);
        let moved = check("https://b1.example/", &[(OLDER, V2_HEX), (VERSION, "v2")]);
        assert_eq!(moved, no_match);
        assert_eq!(
            check(URL, &[(OLDER, V1_HEX), (VERSION, "v9")]),
            Err(Refusal::Malformed(VERSION))
        );
        assert_eq!(
            borrowed(&v3(URL, now())),
            [(V3, V3_BASE64), (TIME, "1773662400000")]
        );
        assert_eq!(
            check(URL, &[(V3, V3_BASE64), (TIME, "1773662400000")]),
            Ok(())
        );
    }

    #[test]
    fn version_3_decides_where_it_is_there() {
        let wrong = sign::hmac_base64("another", BODY);
        let time = "1773662400000";
        let older = [(OLDER, V1_HEX), (VERSION, "v1")];
        let with = |more: &[(&'static str, &str)]| check(URL, &[&older[..], more].concat());
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(
            with(&[(V3, &wrong), (TIME, time)]),
            Err(Refusal::NoMatch { secrets: 2 })
        );
        assert_eq!(with(&[(V3, "")]), Err(Refusal::NoSignature(TIME)));
        assert_eq!(with(&[(V3, ""), (TIME, time)]), Err(Refusal::Malformed(V3)));
        // A header that is there twice proves nothing, and no older one takes its place.
        assert_eq!(
            with(&[(V3, V3_BASE64), (V3, V3_BASE64), (TIME, time)]),
            Err(Refusal::NoSignature(V3))
        );
        assert_eq!(
            with(&[(V3, V3_BASE64), (TIME, time), (TIME, time)]),
            Err(Refusal::NoSignature(TIME))
        );
        assert_eq!(with(&[(V3, V3_BASE64), (TIME, time)]), Ok(()));
    }

    #[test]
    fn the_time_is_signed_as_its_text_and_bounded_on_both_sides() {
        for (time, problem) in [
            ("1773662400000.0", Refusal::Malformed(TIME)),
            ("-1", Refusal::Malformed(TIME)),
            ("", Refusal::Malformed(TIME)),
            ("9999999999999999", Refusal::Malformed(TIME)),
            ("01773662400000", Refusal::NoMatch { secrets: 2 }),
            ("1773662400001", Refusal::NoMatch { secrets: 2 }),
        ] {
            let headers = [(V3, V3_BASE64), (TIME, time)];
            assert_eq!(check(URL, &headers), Err(problem), "{time}");
        }
        let at = |ms: i64| Timestamp::from_millisecond(now().as_millisecond() + ms).unwrap();
        let signed = |ms: i64| check(URL, &borrowed(&v3(URL, at(ms))));
        for ms in [-300_000, -1, 0, 300_000] {
            assert_eq!(signed(ms), Ok(()), "{ms}");
        }
        assert_eq!(signed(-300_001), Err(Refusal::Stale { seconds: 300 }));
        assert_eq!(signed(301_000), Err(Refusal::Stale { seconds: 301 }));
    }

    #[test]
    fn twelve_escapes_are_undone_and_no_others() {
        let all = "%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B";
        assert_eq!(unescaped(all), ":/?@!$'()*,;");
        assert_eq!(unescaped(&all.to_lowercase()), ":/?@!$'()*,;");
        for same in ["%20%26%3D%23%25%2B", "a%", "a%2", "%é", "%%", ""] {
            assert_eq!(unescaped(same), same);
        }
        // Once: what an escape hides is another escape's text.
        assert_eq!(unescaped("%253A%3a"), "%253A:");
    }
}
