//! One suite for all sources. Each supplies only its fixtures: `fixtures/{kind}/{name}.json` (`.form`, `.xml`) is a body,
//! byte for byte; `{name}.case.json`, where there is one, what came with it (`headers`, `connection`,
//! `phone_from`, `phone_question`, `country`, `auth`); `{name}.expected.json` what is read from it. A new file is a new test.
//!
//! After a change that is meant, or for a new file, write the expectations anew and read the difference:
//! `UPDATE=1 cargo test -p shared --test sources every_body`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::connections::{Auth, Connection};
use shared::event::{Event, ITEMS_MAX, TEXT_CHARS_MAX};
use shared::keys::PublicKeys;
use shared::payload::Payload;
use shared::raw::{Raw, Verified};
use shared::secrets::Secret;
use shared::sources::callbell::SIGNING_PREFIX;
use shared::sources::{self, ALL, OnUnreadable, Proofs, Reading, Refusal, Source, Unsigned, demo};

/// When every fixture arrives.
const NOW: &str = "2026-03-11T18:00:00Z";
const SECRET: &str = "the source's secret";
/// What the path of a source that stands behind a secret ends in.
const PATH: &str = "the-secret-of-the-path";

/// Public keys that the fixtures' signers have.
static KEYS: LazyLock<PublicKeys> = LazyLock::new(demo::public_keys);

/// What a provider signs with: Callbell's own begin with a word, and Google's say what its tokens are made for.
fn secret(source: &dyn Source, value: &str) -> Secret {
    if source.wants_keys() {
        let demo = demo::google(value);
        let mut google: Value = serde_json::from_str(demo.expose()).unwrap();
        google["audience"] = json!(value);
        return Secret::new(google.to_string());
    }
    let signing = if source.is_behind_secret() {
        SIGNING_PREFIX
    } else {
        ""
    };
    Secret::new(format!("{signing}{value}"))
}

/// What is known of a source: these to sign with, and the secret of its path where it has one.
fn known(source: &dyn Source, values: &[&str]) -> Vec<Secret> {
    let path = source.is_behind_secret().then(|| Secret::new(PATH));
    let values = values.iter().map(|value| secret(source, value));
    values.chain(path).collect()
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    headers: Map<String, Value>,
    connection: Option<String>,
    phone_from: Vec<String>,
    phone_question: Option<String>,
    country: Option<String>,
    auth: Option<Auth>,
}

/// What proves a webhook.
struct Proof {
    headers: Vec<(String, String)>,
    query: String,
}

struct Fixture {
    source: &'static dyn Source,
    path: PathBuf,
    body: Vec<u8>,
    case: Case,
}

impl Fixture {
    fn name(&self) -> String {
        format!(
            "{}/{}",
            self.source.kind(),
            self.path.file_stem().unwrap().to_string_lossy()
        )
    }

    fn connection(&self) -> Connection {
        Connection {
            name: self
                .case
                .connection
                .clone()
                .unwrap_or_else(|| self.source.kind().to_owned()),
            kind: self.source.kind().to_owned(),
            country: self.case.country.clone(),
            phone_from: self.case.phone_from.clone(),
            phone_question: self.case.phone_question.clone(),
            auth: self.case.auth.clone(),
        }
    }

    /// Where it goes, without a query.
    fn url(&self) -> String {
        format!("https://example.com{}", self.url_path())
    }

    fn url_path(&self) -> String {
        let name = self.connection().name;
        let last = if self.source.is_behind_secret() {
            PATH
        } else {
            &name
        };
        format!("/{}/{last}", self.source.function())
    }

    /// What the provider would send with this body.
    fn proof(&self, secret: &Secret, body: &[u8], at: Timestamp) -> Proof {
        let connection = self.connection();
        let url = self.url();
        let unsigned = Unsigned {
            url: &url,
            ..Unsigned::of(&connection, secret, body, at)
        };
        Proof {
            headers: self.source.sign(&unsigned),
            query: sources::query(self.source, secret),
        }
    }

    /// Whether these secrets believe the request.
    fn verify<'r>(&self, raw: &'r Raw, secrets: &[Secret]) -> Result<Verified<'r>, Refusal> {
        let connection = self.connection();
        let proofs = Proofs {
            keys: &KEYS,
            ..Proofs::of(&connection, secrets)
        };
        self.source.verify(raw, &proofs, now())
    }

    /// Whether its proof covers the body: some show a secret alone.
    fn covers_the_body(&self) -> bool {
        let shows = matches!(self.case.auth, Some(Auth::Bearer | Auth::Basic));
        !shows && !SHOW_A_SECRET.contains(&self.source.kind())
    }

    /// The request with this proof beside the case's own headers, as the function would see it.
    fn request(&self, body: &[u8], proof: &Proof, base64: bool) -> Raw {
        let mut headers = self.case.headers.clone();
        for (name, value) in &proof.headers {
            headers.insert(name.clone(), json!(value));
        }
        let path = self.url_path();
        let body = if base64 {
            STANDARD.encode(body)
        } else {
            String::from_utf8(body.to_vec()).unwrap()
        };
        let envelope = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": proof.query, "headers": headers,
            "requestContext": {"accountId": "1", "apiId": "a", "domainName": "example.com", "stage": "$default",
                "requestId": "r", "routeKey": "$default", "timeEpoch": 1_773_252_000_000_i64,
                "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}},
            "body": body, "isBase64Encoded": base64,
        });
        let payload: Payload = serde_json::from_value(envelope).unwrap();
        let request = payload.into_request();
        sources::raw(self.source, request).unwrap()
    }

    fn signed(&self, body: &[u8]) -> Raw {
        let proof = self.proof(&secret(self.source, SECRET), body, now());
        self.request(body, &proof, false)
    }

    /// What verifying and reading says, in the form of the expectation files.
    fn outcome(&self, raw: &Raw) -> Value {
        let verified = match self.verify(raw, &known(self.source, &[SECRET])) {
            Ok(verified) => verified,
            Err(refusal) => return json!({"refused": refusal.to_string()}),
        };
        match self.source.read(&verified, &self.connection(), now()) {
            Ok(Reading::Events(events)) => json!({"events": events}),
            Ok(Reading::Nothing(reason)) => json!({"nothing": reason}),
            Err(unreadable) => json!({"unreadable": unreadable.to_string()}),
        }
    }

    fn events(&self) -> Vec<Event> {
        let raw = self.signed(&self.body);
        let Ok(verified) = self.verify(&raw, &known(self.source, &[SECRET])) else {
            return Vec::new();
        };
        match self.source.read(&verified, &self.connection(), now()) {
            Ok(Reading::Events(events)) => events,
            _ => Vec::new(),
        }
    }
}

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Whose proof is a secret that they show, in the address or a header: it says nothing of the body.
const SHOW_A_SECRET: [&str; 4] = ["mailchimp", "salesforce", "pipedrive", "gmail"];

/// Whose data is what somebody posted, as it was posted: any JSON is an event, and no text is cut.
const TAKES_ANYTHING: &str = "webhook";

/// Sources that sign a body. Google Calendar's pushes have none; see google_calendar.rs.
fn signing() -> impl Iterator<Item = &'static &'static dyn Source> {
    ALL.iter()
        .filter(|source| source.kind() != "google-calendar")
}

fn fixtures() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for source in signing() {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder().join(source.kind()))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().matches('.').count() == 1)
            .collect();
        paths.sort();
        assert!(paths.len() >= 10, "{} needs fixtures", source.kind());
        for path in paths {
            let case = fs::read(path.with_extension("case.json")).ok();
            let case = case
                .map(|json| serde_json::from_slice(&json).unwrap())
                .unwrap_or_default();
            fixtures.push(Fixture {
                source: *source,
                body: fs::read(&path).unwrap(),
                path,
                case,
            });
        }
    }
    fixtures
}

/// Long expectations are read by people: one key a line.
fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).unwrap())
}

#[test]
fn every_body_reads_as_expected() {
    let mut wrong = Vec::new();
    for fixture in fixtures() {
        let outcome = pretty(&fixture.outcome(&fixture.signed(&fixture.body)));
        let file = fixture.path.with_extension("expected.json");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &outcome).unwrap();
        }
        let expected = fs::read_to_string(file).unwrap_or_default();
        if outcome != expected {
            let differ = outcome
                .lines()
                .zip(expected.lines())
                .find(|(now, before)| now != before);
            let (now, before) = differ.unwrap_or((&outcome, "a shorter or longer file"));
            wrong.push(format!(
                "{}: {} instead of {}",
                fixture.name(),
                now.trim(),
                before.trim()
            ));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

#[test]
fn every_expectation_has_a_body() {
    for source in signing() {
        for entry in fs::read_dir(folder().join(source.kind())).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap();
            assert!(
                ["json", "form", "xml"]
                    .iter()
                    .any(|ending| path.with_file_name(format!("{stem}.{ending}")).exists()),
                "{name} has no body"
            );
        }
    }
}

#[test]
fn header_names_compare_in_any_case_and_base64_changes_nothing() {
    for fixture in fixtures() {
        let plain = fixture.outcome(&fixture.signed(&fixture.body));
        let mut upper = fixture.proof(&secret(fixture.source, SECRET), &fixture.body, now());
        for (name, _) in &mut upper.headers {
            *name = name.to_uppercase();
        }
        assert_eq!(
            fixture.outcome(&fixture.request(&fixture.body, &upper, true)),
            plain,
            "{}",
            fixture.name()
        );
    }
}

#[test]
fn a_tampered_body_is_refused() {
    for fixture in fixtures().into_iter().filter(Fixture::covers_the_body) {
        let signature = fixture.proof(&secret(fixture.source, SECRET), &fixture.body, now());
        let mut body = fixture.body.clone();
        let is_boundary = |at: &usize| std::str::from_utf8(&fixture.body[..*at]).is_ok();
        let middle = (body.len() / 2..).find(is_boundary).unwrap();
        body.insert(middle, b' ');
        let raw = fixture.request(&body, &signature, false);
        let refusal = fixture
            .verify(&raw, &known(fixture.source, &[SECRET]))
            .err();
        assert_eq!(
            refusal,
            Some(Refusal::NoMatch { secrets: 1 }),
            "{}",
            fixture.name()
        );
    }
}

#[test]
fn a_wrong_secret_an_empty_one_and_none_are_refused() {
    for fixture in fixtures() {
        let raw = fixture.signed(&fixture.body);
        for values in [&["another"][..], &[""], &[]] {
            // Behind a secret no other has to be known: see callbell.rs.
            if values.is_empty() && fixture.source.is_behind_secret() {
                continue;
            }
            let secrets = known(fixture.source, values);
            let refusal = fixture.verify(&raw, &secrets).err();
            assert_eq!(
                refusal,
                Some(Refusal::NoMatch {
                    secrets: values.len()
                }),
                "{}",
                fixture.name()
            );
        }
        let empty = secret(fixture.source, "");
        let by_empty = fixture.proof(&empty, &fixture.body, now());
        let raw = fixture.request(&fixture.body, &by_empty, false);
        assert!(
            fixture.verify(&raw, &known(fixture.source, &[""])).is_err(),
            "{}",
            fixture.name()
        );
    }
}

#[test]
fn a_missing_or_malformed_signature_is_refused() {
    for fixture in fixtures() {
        let nothing = Proof {
            headers: Vec::new(),
            query: String::new(),
        };
        let raw = fixture.request(&fixture.body, &nothing, false);
        let refusal = fixture
            .verify(&raw, &known(fixture.source, &[SECRET]))
            .err();
        assert!(
            matches!(refusal, Some(Refusal::NoSignature(_) | Refusal::NoKey)),
            "{}: {refusal:?}",
            fixture.name()
        );
        // An address has one secret or another: nothing about it is malformed.
        if fixture.source.is_keyed() {
            continue;
        }
        let signature = fixture.proof(&secret(fixture.source, SECRET), &fixture.body, now());
        for spoilt in ["", "%", "AAAA", &"A".repeat(5_000)] {
            let spoil = |(name, _): &(String, String)| (name.clone(), spoilt.to_owned());
            let spoilt = Proof {
                headers: signature.headers.iter().map(spoil).collect(),
                query: String::new(),
            };
            let raw = fixture.request(&fixture.body, &spoilt, false);
            let refusal = fixture
                .verify(&raw, &known(fixture.source, &[SECRET]))
                .err();
            assert!(
                matches!(refusal, Some(Refusal::Malformed(_))),
                "{}: {refusal:?}",
                fixture.name()
            );
        }
    }
}

#[test]
fn old_and_new_secret_are_both_accepted() {
    for fixture in fixtures() {
        let contradicts = fixture
            .outcome(&fixture.signed(&fixture.body))
            .get("refused")
            .is_some();
        let both = known(fixture.source, &["the new one", SECRET]);
        for value in ["the new one", SECRET] {
            let secret = secret(fixture.source, value);
            let signature = fixture.proof(&secret, &fixture.body, now());
            let raw = fixture.request(&fixture.body, &signature, false);
            assert_ne!(
                fixture.verify(&raw, &both).is_ok(),
                contradicts,
                "{}",
                fixture.name()
            );
        }
    }
}

/// Only where the provider signs the time at all. Two days are more than any provider repeats a webhook.
#[test]
fn a_stale_signature_is_refused() {
    let mut dated = 0;
    for fixture in fixtures() {
        let source = fixture.source;
        let (secret, known) = (secret(source, SECRET), known(source, &[SECRET]));
        let refusal = |at: Timestamp| {
            let signature = fixture.proof(&secret, &fixture.body, at);
            let raw = fixture.request(&fixture.body, &signature, false);
            fixture.verify(&raw, &known).err()
        };
        let before = now() - SignedDuration::from_hours(48);
        let sign = |at| fixture.proof(&secret, &fixture.body, at).headers;
        if sign(before) == sign(now()) {
            continue;
        }
        dated += 1;
        let ahead = now() + SignedDuration::from_hours(1);
        for (at, seconds) in [(before, 172_800), (ahead, 3_600)] {
            assert_eq!(
                refusal(at),
                Some(Refusal::Stale { seconds }),
                "{}",
                fixture.name()
            );
        }
        // A repetition may carry the time of the first attempt, and no two clocks agree.
        let late = SignedDuration::from_mins(source_repeats_for_mins(source));
        for at in [now() - late, now() + SignedDuration::from_secs(60)] {
            assert_eq!(refusal(at), None, "{}", fixture.name());
        }
    }
    assert!(dated > 0, "no source signs the time");
}

/// For how long a provider that signs the time repeats a webhook under it, in minutes. Most sign each attempt
/// anew; of Zendesk nobody knows.
fn source_repeats_for_mins(source: &dyn Source) -> i64 {
    match source.kind() {
        "calendly" | "zendesk" => 24 * 60,
        "callbell" | "hubspot" | "google-forms" | "webhook" => 5,
        // Each attempt has a token of its own, which is good for an hour.
        "gmail" => 60,
        other => panic!("how long does {other} repeat a webhook?"),
    }
}

#[test]
fn truncated_json_is_unreadable_and_quotes_nothing() {
    // Half a form is a form.
    let is_json = |fixture: &Fixture| fixture.path.extension().is_some_and(|is| is == "json");
    for fixture in fixtures().into_iter().filter(is_json) {
        let mut body = fixture.body.clone();
        body.truncate(body.len() - 1);
        while std::str::from_utf8(&body).is_err() {
            body.pop();
        }
        let outcome = fixture.outcome(&fixture.signed(&body));
        let problem = outcome["unreadable"].as_str().unwrap_or_default();
        assert!(
            problem.starts_with("body: not JSON at line"),
            "{}: {outcome}",
            fixture.name()
        );
    }
}

#[test]
fn what_is_foreign_is_nothing() {
    for source in ALL.iter().filter(|source| source.kind() != TAKES_ANYTHING) {
        let fixture = Fixture {
            source: *source,
            path: PathBuf::from("foreign.json"),
            body: Vec::new(),
            case: Case::default(),
        };
        for body in [
            "{}",
            "[]",
            "null",
            "1",
            "\"order\"",
            r#"{"id":1}"#,
            r#"{"id":1,"other":{"id":2}}"#,
        ] {
            let outcome = fixture.outcome(&fixture.signed(body.as_bytes()));
            assert!(
                outcome.get("nothing").is_some(),
                "{} {body}: {outcome}",
                source.kind()
            );
        }
    }
}

#[test]
fn the_same_body_makes_the_same_keys() {
    for fixture in fixtures() {
        let keys = |events: &[Event]| -> Vec<String> {
            events.iter().map(|e| e.event.id.clone()).collect()
        };
        let (first, again) = (keys(&fixture.events()), keys(&fixture.events()));
        assert_eq!(first, again, "{}", fixture.name());
        assert_eq!(
            first.iter().collect::<BTreeSet<_>>().len(),
            first.len(),
            "{}",
            fixture.name()
        );
    }
}

#[test]
fn events_are_the_sources_own_and_hold_no_more_than_they_may() {
    for fixture in fixtures() {
        for event in fixture.events() {
            check(&fixture, &event);
            let source = fixture.source;
            for phone in &event.customer.phones {
                let known = source.phone_paths().contains(&phone.path.as_str())
                    || source
                        .phone_prefixes()
                        .iter()
                        .any(|prefix| phone.path.starts_with(prefix));
                assert!(
                    known,
                    "{}: {} is no path of this kind",
                    fixture.name(),
                    phone.path
                );
            }
        }
    }
}

/// What holds for every event of every body.
fn check(fixture: &Fixture, event: &Event) {
    let name = fixture.name();
    let head = &event.event;
    assert!(
        fixture.source.events().contains(&head.name),
        "{name}: {}",
        head.name
    );
    assert_eq!(
        (head.source.as_str(), head.kind.as_str()),
        (fixture.connection().name.as_str(), fixture.source.kind())
    );
    assert!(
        head.id.starts_with(&format!("{}/", head.source)),
        "{name}: {}",
        head.id
    );
    assert!(head.id.len() <= 400, "{name}: {}", head.id);
    assert_eq!(
        event.customer.phone, None,
        "{name}: a source picks no phone"
    );
    let personal = [
        &event.customer.name,
        &event.customer.email,
        &event.customer.last_name,
    ];
    let numbers = event.customer.phones.iter().map(|phone| &phone.number);
    for text in personal.into_iter().chain(numbers).flatten() {
        let in_key = text.chars().count() > 3 && head.id.contains(text.as_str());
        assert!(!in_key, "{name}: personal data in the key");
    }
    let json = serde_json::to_value(event).unwrap();
    assert_eq!(
        serde_json::from_value::<Event>(json.clone()).unwrap(),
        *event,
        "{name}: reads back"
    );
    within_limits(&name, &json);
}

fn within_limits(name: &str, value: &Value) {
    if name.starts_with(TAKES_ANYTHING) {
        return;
    }
    match value {
        Value::String(text) => assert!(
            text.chars().count() <= TEXT_CHARS_MAX,
            "{name}: a long text"
        ),
        Value::Array(values) => values.iter().for_each(|value| within_limits(name, value)),
        Value::Object(map) => {
            if let Some(Value::Array(items)) = map.get("items") {
                assert!(items.len() <= ITEMS_MAX, "{name}: too many items");
            }
            map.values().for_each(|value| within_limits(name, value));
        }
        _ => {}
    }
}

#[test]
fn no_provider_gets_a_4xx_for_what_it_signed() {
    // A system of the user's own gives up nothing for a 4xx, and its developer reads it.
    for source in ALL.iter().filter(|source| source.kind() != "webhook") {
        assert_eq!(
            source.on_unreadable(),
            OnUnreadable::Record,
            "{}",
            source.kind()
        );
    }
}

/// The fixture of this kind and name.
fn fixture(kind: &str, name: &str) -> Fixture {
    let wanted = format!("{kind}/{name}");
    fixtures()
        .into_iter()
        .find(|fixture| fixture.name() == wanted)
        .unwrap()
}

#[test]
fn a_webhook_that_its_sender_did_not_sign_is_refused_as_that() {
    let fixture = fixture("cal-com", "created");
    for text in ["no-secret-provided", " no-secret-provided "] {
        let header = Proof {
            headers: vec![("x-cal-signature-256".to_owned(), text.to_owned())],
            query: String::new(),
        };
        let raw = fixture.request(&fixture.body, &header, false);
        for secrets in [&[Secret::new(SECRET)][..], &[Secret::new("")], &[]] {
            let refusal = fixture.verify(&raw, secrets).err();
            assert_eq!(refusal, Some(Refusal::Unsigned));
        }
    }
}

/// What the worker makes of a webhook whose scheduled event it had to fetch is what the door would have
/// made of the whole webhook.
#[test]
fn a_webhook_completed_is_the_whole_webhook() {
    use shared::event::Body;
    use shared::sources::calendly;
    let whole = fixture("calendly", "created");
    let mut body: Value = serde_json::from_slice(&whole.body).unwrap();
    let payload = body["payload"].as_object_mut().unwrap();
    let scheduled = payload.remove("scheduled_event").unwrap();
    let part = Fixture {
        body: serde_json::to_vec(&body).unwrap(),
        ..fixture("calendly", "created")
    };
    let events = part.events();
    let Body::Changed { changed } = &events[0].body else {
        panic!("{:?}", events[0]);
    };
    let uri = scheduled["uri"].as_str().unwrap();
    assert_eq!(calendly::wanted(changed), uri.rsplit('/').next());
    for answer in [scheduled.clone(), json!({"resource": scheduled})] {
        let complete = calendly::complete(&events[0], &answer, &whole.connection());
        assert_eq!(complete, Ok(whole.events()));
    }
    for answer in [json!({}), json!(null), json!({"resource": {"name": "x"}})] {
        let error = calendly::complete(&events[0], &answer, &whole.connection()).unwrap_err();
        assert_eq!(error.path, "scheduled_event");
    }
    let other = &whole.events()[0];
    assert!(calendly::complete(other, &scheduled, &whole.connection()).is_err());
}

/// A class has one id at Cal.com and many people, each of whom is told alone.
#[test]
fn a_seat_is_a_booking_of_its_own() {
    use shared::event::{Body, Event};
    let all = |name: &str| fixture("cal-com", name).events();
    let one = |name: &str| -> Event { all(name).remove(0) };
    let (maria, luca) = (one("seat-created-first"), one("seat-created-second"));
    assert_ne!(maria.event.id, luca.event.id);
    assert_ne!(maria.subject.id, luca.subject.id);
    let given_up = one("seat-cancelled-alone");
    assert_eq!(given_up.subject.id, luca.subject.id);
    let of = |events: &[Event]| -> Vec<String> {
        events
            .iter()
            .map(|event| event.subject.id.clone())
            .collect()
    };
    let both = [maria.subject.id, luca.subject.id.clone()];
    let ended = all("seats-cancelled-all");
    assert_eq!(of(&ended), both);
    for event in ended.iter().chain([&given_up]) {
        assert!(matches!(event.body, Body::AppointmentChange { .. }));
    }
    let moved = all("seats-rescheduled-all");
    let previous = moved.iter().map(|event| event.subject.previous_id.clone());
    assert!(previous.eq(both.map(Some)));
    // What Maria typed is not Luca's number.
    let numbers = |event: &Event| -> Vec<String> {
        let phones = event.customer.phones.iter();
        phones.filter_map(|phone| phone.number.clone()).collect()
    };
    assert_eq!(
        moved.iter().map(numbers).collect::<Vec<_>>(),
        [["+393471234567"], ["+393337654321"]]
    );
    let alone = one("seat-rescheduled-alone");
    assert_eq!(alone.subject.previous_id, Some(luca.subject.id));
}

/// The two webhooks of a reschedule, and the one of a cancellation that is none: whichever comes last must
/// not overrule what is newer.
#[test]
fn half_of_a_reschedule_is_as_old_as_the_booking_that_it_ends() {
    use shared::event::{Name, State, released};
    let one = |name: &str| fixture("calendly", name).events().remove(0);
    let (left, new) = (one("rescheduled-canceled"), one("rescheduled-created"));
    assert_eq!(left.event.name, Name::AppointmentReleased);
    assert_eq!(left.subject.state, State::Open);
    assert_eq!(left.subject.as_of, left.subject.created_at);
    assert!(left.subject.as_of < new.subject.as_of);
    assert_eq!(new.subject.previous_id.as_ref(), Some(&left.subject.id));
    assert_eq!(left.subject.parts, [released(&left.subject.id)]);
    assert_eq!(new.subject.parts, left.subject.parts);
    // Told late, when the new booking has been moved on itself.
    let late = one("rescheduled-twice-created-late");
    assert_eq!(late.event.id, new.event.id);
    assert_eq!(
        (late.subject.state, late.subject.as_of),
        (State::Open, new.subject.as_of)
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(json!("2026-03-10T10:00:00-03:00")),
        Just(json!("-99999999999999.9999")),
        Just(json!("9".repeat(3_000))),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".*", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Replaces the value at one place of the tree.
fn mutate(value: &mut Value, mut steps: impl Iterator<Item = usize>, with: Value) {
    let mut place = value;
    loop {
        let size = match &*place {
            Value::Array(values) => values.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        };
        let (Some(step), true) = (steps.next(), size > 0) else {
            break;
        };
        place = match place {
            Value::Array(values) => &mut values[step % size],
            Value::Object(map) => map.values_mut().nth(step % size).unwrap(),
            _ => break,
        };
    }
    *place = with;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// No body makes a panic, and whatever is read keeps to the limits.
    #[test]
    fn no_body_makes_a_panic(
        index in any::<prop::sample::Index>(),
        changes in prop::collection::vec((prop::collection::vec(any::<usize>(), 1..5), any_json()), 1..4),
    ) {
        let mut fixtures = fixtures();
        let mut fixture = fixtures.swap_remove(index.index(fixtures.len()));
        let Ok(mut value) = serde_json::from_slice::<Value>(&fixture.body) else { return Ok(()) };
        for (steps, with) in changes {
            mutate(&mut value, steps.into_iter(), with);
        }
        fixture.body = serde_json::to_vec(&value).unwrap();
        for event in fixture.events() {
            let json = serde_json::to_value(&event).unwrap();
            within_limits(&fixture.name(), &json);
            prop_assert_eq!(serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }

    /// No bytes and no headers make a panic either.
    #[test]
    fn no_bytes_make_a_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        value in "[ -~]{0,60}",
        topic in "[ -~]{0,30}",
    ) {
        for source in ALL {
            let fixture = Fixture {
                source: *source,
                path: PathBuf::from("bytes.json"),
                body: body.clone(),
                case: Case { headers: Map::from_iter([("x-shopify-topic".to_owned(), json!(topic))]), ..Case::default() },
            };
            let mut signature = fixture.proof(&secret(*source, SECRET), &body, now());
            let raw = fixture.request(&body, &signature, true);
            fixture.outcome(&raw);
            let _ = source.handshake(&raw);
            for (_, spoilt) in &mut signature.headers {
                *spoilt = value.clone();
            }
            fixture.outcome(&fixture.request(&body, &signature, true));
        }
    }
}
