//! The door of Google Calendar: pushes without a body, which a token proves.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use jiff::Timestamp;
use lambda_http::{Body, Request};
use shared::connections::Connection;
use shared::event::{Body as EventBody, Name};
use shared::raw::Raw;
use shared::secrets::Secret;
use shared::sources::google_calendar::{Ask, GoogleCalendar};
use shared::sources::{Proofs, Reading, Refusal, Source};

const TOKEN: &str = "a-token-of-the-channel";

fn now() -> Timestamp {
    "2026-03-11T18:00:00Z".parse().unwrap()
}

fn push(headers: &[(&str, &str)], body: &str) -> Raw {
    let mut request = lambda_http::http::Request::builder()
        .method("POST")
        .uri("https://example.com/appointments/google-calendar");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request: Request = request.body(Body::from(body)).unwrap();
    Raw::from_request(request).unwrap()
}

fn usual(state: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("X-Goog-Channel-Token", TOKEN),
        ("X-Goog-Channel-ID", "8a1f3a30-5b1c-4f4e-9d5a-3f1f0c6d7e8f"),
        ("X-Goog-Message-Number", "17"),
        ("X-Goog-Resource-ID", "ret08u3rv24htgh289g"),
        ("X-Goog-Resource-State", state),
    ]
}

fn read(raw: &Raw) -> Reading {
    let secrets = [Secret::new("another"), Secret::new(TOKEN)];
    let connection = Connection::plain("google-calendar");
    let proofs = Proofs::of(&connection, &secrets);
    let verified = GoogleCalendar.verify(raw, &proofs, now()).unwrap();
    GoogleCalendar.read(&verified, &connection, now()).unwrap()
}

#[test]
fn a_push_becomes_one_question() {
    for (state, body) in [
        ("exists", ""),
        ("not_exists", "{}"),
        ("exists", "{\"id\": "),
    ] {
        let Reading::Events(events) = read(&push(&usual(state), body)) else {
            panic!("no event");
        };
        let [event] = events.as_slice() else {
            panic!("{} events", events.len());
        };
        assert_eq!(event.event.name, Name::SourceChanged);
        let key = "google-calendar/source/8a1f3a30-5b1c-4f4e-9d5a-3f1f0c6d7e8f/17";
        assert_eq!(event.event.id, key);
        let EventBody::Changed { changed } = &event.body else {
            panic!("another body");
        };
        let expected = Ask::Push {
            channel: "8a1f3a30-5b1c-4f4e-9d5a-3f1f0c6d7e8f".to_owned(),
            resource: "ret08u3rv24htgh289g".to_owned(),
        };
        assert_eq!(Ask::of(changed), Some(expected));
    }
}

#[test]
fn header_values_may_have_blanks_around_them() {
    let mut headers = usual("exists");
    for (_, value) in &mut headers {
        *value = Box::leak(format!(" {value} ").into_boxed_str());
    }
    assert!(matches!(read(&push(&headers, "")), Reading::Events(_)));
}

#[test]
fn what_is_no_change_is_nothing() {
    assert!(matches!(
        read(&push(&usual("sync"), "")),
        Reading::Nothing(_)
    ));
    assert!(matches!(
        read(&push(&usual("add"), "")),
        Reading::Nothing(_)
    ));
    for absent in 1..5 {
        let mut headers = usual("exists");
        headers.remove(absent);
        assert!(
            matches!(read(&push(&headers, "")), Reading::Nothing(_)),
            "{absent}"
        );
    }
    for (position, odd) in [(1, "a/b"), (2, "seventeen"), (2, ""), (3, "a b"), (1, "")] {
        let mut headers = usual("exists");
        headers.get_mut(position).unwrap().1 = odd;
        assert!(
            matches!(read(&push(&headers, "")), Reading::Nothing(_)),
            "{odd}"
        );
    }
}

#[test]
fn only_the_channel_s_token_proves_a_push() {
    let verify = |token: Option<&str>, secrets: &[&str]| {
        let mut headers = usual("exists");
        headers.remove(0);
        headers.extend(token.map(|token| {
            let token: &'static str = Box::leak(token.to_owned().into_boxed_str());
            ("x-goog-channel-token", token)
        }));
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let raw = push(&headers, "");
        let connection = Connection::plain("google-calendar");
        let proofs = Proofs::of(&connection, &secrets);
        GoogleCalendar.verify(&raw, &proofs, now()).map(|_| ())
    };
    let header = "x-goog-channel-token";
    assert_eq!(verify(Some(TOKEN), &["new", TOKEN]), Ok(()));
    assert_eq!(
        verify(Some(TOKEN), &["new"]),
        Err(Refusal::NoMatch { secrets: 1 })
    );
    assert_eq!(
        verify(Some(TOKEN), &[]),
        Err(Refusal::NoMatch { secrets: 0 })
    );
    assert_eq!(
        verify(Some("a-token"), &[TOKEN]),
        Err(Refusal::NoMatch { secrets: 1 })
    );
    assert_eq!(verify(Some(""), &[""]), Err(Refusal::Malformed(header)));
    assert_eq!(verify(None, &[TOKEN]), Err(Refusal::NoSignature(header)));
    let long = "t".repeat(257);
    assert_eq!(
        verify(Some(&long), &[&long]),
        Err(Refusal::Malformed(header))
    );
}
