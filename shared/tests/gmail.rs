//! Mails: each fixture is a message as Gmail's API shows it, and beside it the event that it is. After a change
//! that is meant: `UPDATE=1 cargo test -p shared --test gmail`. And the token that proves a push.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use lambda_http::{Body, Request};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::event::Event;
use shared::keys::PublicKeys;
use shared::raw::Raw;
use shared::secrets::Secret;
use shared::sources::gmail::{self, Ask, Gmail, Look, mail};
use shared::sources::google_calendar;
use shared::sources::{Proofs, Reading, Refusal, Source, Unsigned, demo};

fn now() -> Timestamp {
    "2026-03-11T18:00:00Z".parse().unwrap()
}

fn read(message: &Value) -> Option<Event> {
    let connection = Connection::plain("gmail");
    let labels = BTreeMap::from([("Label_7".to_owned(), "Orçamentos".to_owned())]);
    let look = Look {
        connection: &connection,
        address: "vendas@minhaloja.com.br",
        labels: &labels,
        since: "2026-03-01T00:00:00Z".parse().unwrap(),
    };
    mail(message, &look)
}

#[test]
fn every_mail_reads_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gmail-mails");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with(".expected.json") {
            continue;
        }
        count += 1;
        let message: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let event = read(&message);
        let found = serde_json::to_string_pretty(&event).unwrap() + "\n";
        let file = path.with_extension("expected.json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &found).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != found {
            wrong.push(path.display().to_string());
        }
        let Some(event) = event else { continue };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        assert_eq!(event.customer.phone, None);
        for phone in &event.customer.phones {
            assert!(Gmail.phone_paths().contains(&phone.path.as_str()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 20, "{count}");
}

/// A mail of one part.
fn message(kind: &str, words: &str, headers: &[(&str, &str)]) -> Value {
    let headers: Vec<Value> = headers
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({
        "id": "195aaff", "labelIds": ["INBOX"], "snippet": "", "internalDate": "1773252000000",
        "payload": {
            "mimeType": kind, "filename": "", "headers": headers,
            "body": {"size": words.len(), "data": URL_SAFE_NO_PAD.encode(words)},
        },
    })
}

/// What this gives, which must not take longer than a second in a debug build: at one of three attempts, as the
/// machine may have other work. What reads a megabyte over and over takes many times as long.
fn within_a_second<T>(what: &str, work: impl Fn() -> T) -> T {
    let mut begun = Instant::now();
    let mut given = work();
    let mut attempts = 1;
    while begun.elapsed() >= Duration::from_secs(1) {
        assert!(attempts < 3, "{what}");
        attempts += 1;
        begun = Instant::now();
        given = work();
    }
    given
}

#[test]
fn hostile_mail_is_read_as_soon_as_another() {
    const MEGABYTE: usize = 1_000_000;
    let in_words = [
        "<a",
        "<title>",
        "<title></title>",
        "<title></",
        "<!--",
        "<",
        "<br>",
        "&",
        "De:\n",
    ];
    for one in in_words {
        let text = one.repeat(MEGABYTE / one.len());
        for kind in ["text/html", "text/plain"] {
            let message = message(kind, &text, &[("From", "ana@example.com")]);
            let event = within_a_second(&format!("{kind} of {one:?}"), || read(&message));
            assert!(event.is_some(), "{kind} of {one:?}");
        }
    }
    let in_headers = ["=?a?b", "=?a?b?x", "=?a?q?x", "\"", ";", "<a@b"];
    for one in in_headers {
        let text = one.repeat(MEGABYTE / one.len());
        // A word that ends far behind all beginnings is searched once, too.
        for text in [format!("{text}?="), text] {
            for name in ["Subject", "From", "Authentication-Results"] {
                let message = message("text/plain", "oi", &[(name, &text)]);
                let event = within_a_second(&format!("{name} of {one:?}"), || read(&message));
                assert!(event.is_some(), "{name} of {one:?}");
            }
        }
    }
}

#[test]
fn hostile_text_of_any_source_is_read_as_soon_as_another() {
    let connection = Connection::plain("google-calendar");
    let look = google_calendar::Look {
        connection: &connection,
        calendar: "vendas@minhaloja.com.br",
        zone: None,
        now: now(),
        known_before: None,
    };
    for one in ["<a", "<", "</", "<!"] {
        let item = json!({
            "id": "e1", "status": "confirmed", "summary": "x", "description": format!("+55 11 98009-1045 {}", one.repeat(500_000)),
            "created": "2026-03-11T17:00:00Z", "updated": "2026-03-11T17:00:00Z",
            "start": {"dateTime": "2026-03-12T17:00:00Z"}, "end": {"dateTime": "2026-03-12T18:00:00Z"},
        });
        let found = within_a_second(one, || google_calendar::read(&item, None, &look));
        assert!(found.is_some(), "{one}");
    }
}

#[test]
fn words_are_cut_between_characters() {
    for kind in ["text/html", "text/plain"] {
        // The number stands behind what is read.
        let words = format!("oi {}\n11 98009-1044", "é".repeat(200_000));
        let event = read(&message(kind, &words, &[])).unwrap();
        assert_eq!(event.customer.phones[0].number, None, "{kind}");
        let words = format!("11 98009-1044\n{}", "é".repeat(200_000));
        let event = read(&message(kind, &words, &[])).unwrap();
        let number = event.customer.phones[0].number.as_deref();
        assert_eq!(number, Some("11 98009-1044"), "{kind}");
    }
    let picture = format!("<p>oi</p><img src=\"{}\">", "A".repeat(400_000));
    let event = read(&message("text/html", &picture, &[])).unwrap();
    let shared::event::Body::Email { email } = event.body else {
        panic!("no email");
    };
    assert_eq!(email.text, "oi");
}

#[test]
fn a_sender_is_proven_by_google_s_own_clause_alone() {
    for (results, is_proven) in [
        ("mx.google.com; dmarc=pass", true),
        (
            "mx.google.com; spf=pass (x) y=z; dmarc=pass(p=NONE) header.from=a.com",
            true,
        ),
        (
            "mx.google.com;\r\n dmarc=pass (p=NONE; x)\r\n header.from=a.com",
            true,
        ),
        (
            "mx.google.com; dmarc=fail (p=NONE) header.from=a.com",
            false,
        ),
        ("mx.google.com; dmarc=passed", false),
        ("mx.google.com; spf=pass dmarc=pass", false),
        ("mx.google.com (; dmarc=pass)", false),
        (
            "mx.google.com; spf=pass smtp.mailfrom=\"a; dmarc=pass b\"@evil.example",
            false,
        ),
        (
            "mx.google.com; spf=pass smtp.mailfrom=\"a\\\"; dmarc=pass b\"@evil.example",
            false,
        ),
        (
            "mx.google.com; spf=pass (domain of \"a dmarc=pass b\"@evil.example)",
            false,
        ),
        (
            "mx.google.com; spf=pass x=a; dmarc=pass b; dmarc=pass",
            false,
        ),
        ("mx.google.com; dmarc=fail; dmarc=pass", false),
        ("mail.evil.example; dmarc=pass", false),
        ("\"mx.google.com; dmarc=pass", false),
        ("dmarc=pass", false),
        ("", false),
    ] {
        let headers = [("From", "a@a.com"), ("Authentication-Results", results)];
        let event = read(&message("text/plain", "oi", &headers)).unwrap();
        assert_eq!(event.event.notes.is_empty(), is_proven, "{results}");
    }
}

/// A push with this header.
fn push(header: &str, body: &str) -> Raw {
    let mut request = Request::new(Body::Text(body.to_owned()));
    *request.uri_mut() = "/emails/gmail".parse().unwrap();
    let value = header.parse().unwrap();
    request.headers_mut().insert("authorization", value);
    Raw::from_request(request).unwrap()
}

fn token(secret: &Secret) -> String {
    let connection = Connection::plain("gmail");
    let unsigned = Unsigned::of(&connection, secret, b"", now());
    Gmail.sign(&unsigned).remove(0).1
}

fn verify(header: &str, secrets: &[Secret], keys: &PublicKeys) -> Result<(), Refusal> {
    let connection = Connection::plain("gmail");
    let proofs = Proofs {
        connection: &connection,
        secrets,
        keys,
    };
    Gmail
        .verify(&push(header, "{}"), &proofs, now())
        .map(|_| ())
}

/// The secret as it is in use: without the key, which is Google's.
fn of(email: &str, audience: &str) -> Secret {
    gmail::secret(email, audience)
}

const EMAIL: &str = "push@demo.iam.gserviceaccount.com";
const AUDIENCE: &str = "demo-a-audience";

#[test]
fn a_token_is_believed_for_its_account_and_audience_alone() {
    let header = token(&demo::google("a"));
    let keys = demo::public_keys();
    let try_with = |secret: Secret| verify(&header, &[secret], &keys);
    for (email, audience) in [
        (EMAIL, AUDIENCE),
        (EMAIL, "Demo-A-Audience"),
        ("Push@demo.iam.gserviceaccount.com", AUDIENCE),
    ] {
        assert_eq!(try_with(of(email, audience)), Ok(()), "{email} {audience}");
    }
    for secret in [
        of("other@demo.iam.gserviceaccount.com", AUDIENCE),
        of("", AUDIENCE),
        of(EMAIL, "https://example.com"),
        of(EMAIL, ""),
        Secret::new(AUDIENCE),
        Secret::new("{}"),
    ] {
        assert_eq!(try_with(secret), Err(Refusal::NoMatch { secrets: 1 }));
    }
    let both = [of(EMAIL, "old"), of(EMAIL, AUDIENCE)];
    assert_eq!(verify(&header, &both, &keys), Ok(()));
}

#[test]
fn a_token_of_an_unknown_key_or_algorithm_is_refused() {
    let header = token(&demo::google("a"));
    let secrets = [of(EMAIL, AUDIENCE)];
    assert_eq!(
        verify(&header, &secrets, PublicKeys::none()),
        Err(Refusal::UnknownKey)
    );
    let mut other = demo::public_keys();
    for key in other.0.values_mut() {
        key.n.replace_range(100..104, "AAAA");
    }
    let no_match = Err(Refusal::NoMatch { secrets: 1 });
    assert_eq!(verify(&header, &secrets, &other), no_match);

    let keys = demo::public_keys();
    let bearer = header.strip_prefix("Bearer ").unwrap();
    let parts: Vec<&str> = bearer.split('.').collect();
    let [head, claims, signature] = parts.as_slice() else {
        panic!("{} parts", parts.len());
    };
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let malformed = Err(Refusal::Malformed("authorization"));
    for header in [
        format!("Basic {bearer}"),
        format!("Bearer {head}.{claims}"),
        format!("Bearer {head}.{claims}."),
        format!(
            "Bearer {}.{claims}.",
            encoded(&json!({"alg": "none", "kid": "demo"}))
        ),
        format!(
            "Bearer {}.{claims}.{signature}",
            encoded(&json!({"alg": "HS256", "kid": "demo"}))
        ),
        format!(
            "Bearer {}.{claims}.{signature}",
            encoded(&json!({"alg": "RS256"}))
        ),
        format!(
            "Bearer {}.{claims}.{signature}",
            encoded(&json!({"alg": "RS256", "kid": "demo", "crit": ["x"]}))
        ),
        format!(
            "Bearer {head}.{}.{signature}",
            encoded(&json!({"iss": "x"}))
        ),
    ] {
        let refused = verify(&header, &secrets, &keys);
        let is = refused == malformed || refused == no_match;
        assert!(is, "{header}: {refused:?}");
    }
    // Claims of somebody else under a signature that was seen once.
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": EMAIL, "email_verified": true,
        "iat": now().as_second(), "exp": now().as_second() + 3_600, "x": 1,
    });
    let forged = format!("Bearer {head}.{}.{signature}", encoded(&claims));
    assert_eq!(verify(&forged, &secrets, &keys), no_match);
    // Of the scheme's name any case will do.
    assert_eq!(verify(&format!("bearer {bearer}"), &secrets, &keys), Ok(()));
}

#[test]
fn what_is_no_push_is_nothing_and_a_question_reads_back() {
    let header = token(&demo::google("gmail"));
    let (secrets, keys) = ([demo::google("gmail")], demo::public_keys());
    let connection = Connection::plain("gmail");
    let proofs = Proofs {
        connection: &connection,
        secrets: &secrets,
        keys: &keys,
    };
    for body in ["{}", "[]", "null", "1", r#"{"message":1}"#] {
        let raw = push(&header, body);
        let verified = Gmail.verify(&raw, &proofs, now()).unwrap();
        let reading = Gmail.read(&verified, &connection, now()).unwrap();
        assert!(matches!(reading, Reading::Nothing(_)), "{body}");
    }
    let asks = [
        Ask::Poll,
        Ask::Push {
            mailbox: gmail::mailbox(" Vendas@MinhaLoja.com.br"),
            history: u64::MAX,
        },
    ];
    for ask in asks {
        let event = ask.event("gmail", "x", now() + SignedDuration::from_secs(1));
        let shared::event::Body::Changed { changed } = &event.body else {
            panic!("{}", event.event.id);
        };
        assert_eq!(Ask::of(changed), Some(ask));
    }
}
