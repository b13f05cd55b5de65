//! The sample webhooks of `events/`: signed with the demo secrets, in the order of their time, each what
//! its name says.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use shared::connections::Connection;
use shared::event::Event;
use shared::payload::Payload;
use shared::raw::Raw;
use shared::sources::{self, Proofs, Reading, Source, demo};

struct Sample {
    name: String,
    json: Value,
    raw: Raw,
    at: Timestamp,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn samples(function: &str) -> Vec<Sample> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder().join(function))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    paths.sort();
    paths.into_iter().map(|path| sample(&path)).collect()
}

fn sample(path: &Path) -> Sample {
    let text = fs::read_to_string(path).unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    let millis = json["requestContext"]["timeEpoch"].as_i64().unwrap();
    let request = serde_json::from_str::<Payload>(&text)
        .unwrap()
        .into_request();
    let function = path.parent().unwrap().file_name().unwrap();
    let raw = match sources::behind_secret(&function.to_string_lossy()) {
        Some(source) => sources::raw(source, request),
        None => Raw::from_request(request),
    }
    .unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    Sample {
        name,
        json,
        raw,
        at: Timestamp::from_millisecond(millis).unwrap(),
    }
}

/// Every folder of `events/` is a function.
fn functions() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    names
        .filter(|entry| entry.path().is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The connection that a sample's path names.
fn connection(sample: &Sample) -> Connection {
    demo::connections().get(&sample.raw.connection)
}

fn source(sample: &Sample) -> &'static dyn Source {
    sources::by_kind(&connection(sample).kind).unwrap()
}

fn events(sample: &Sample) -> Result<Vec<Event>, &'static str> {
    let (source, connection) = (source(sample), connection(sample));
    let secrets = demo::secrets().get(&connection.name).to_vec();
    let keys = demo::public_keys();
    let proofs = Proofs {
        keys: &keys,
        ..Proofs::of(&connection, &secrets)
    };
    let verified = source.verify(&sample.raw, &proofs, sample.at).unwrap();
    match source.read(&verified, &connection, sample.at).unwrap() {
        Reading::Events(events) => Ok(events),
        Reading::Nothing(reason) => Err(reason),
    }
}

#[test]
fn every_sample_verifies_with_the_demo_secret_and_reads() {
    for function in functions() {
        let samples = samples(&function);
        assert!(!samples.is_empty(), "{function} has no samples");
        for sample in samples {
            let source = source(&sample);
            assert_eq!(source.function(), function, "{}", sample.name);
            if source.handshake(&sample.raw).is_some() {
                continue;
            }
            match events(&sample) {
                Ok(events) => {
                    // What a sample is about happened just before it came.
                    let newest = events.iter().map(|event| event.event.at).max().unwrap();
                    let age_s = sample.at.duration_since(newest).as_secs();
                    assert!((0..120).contains(&age_s), "{}: {age_s} s", sample.name);
                }
                Err(reason) => assert!(
                    ["without-phone", "without-metadata", "partial", "ping"]
                        .iter()
                        .any(|part| sample.name.contains(part)),
                    "{}: {reason}",
                    sample.name
                ),
            }
        }
    }
}

#[test]
fn the_numbers_follow_the_time() {
    for function in functions() {
        let samples = samples(&function);
        // Each system of a function has numbers of its own, so there may be gaps.
        let number = |sample: &Sample| {
            let (number, _) = sample.name.split_once('-').unwrap();
            assert_eq!(number.len(), 2, "{}", sample.name);
            number.parse::<u32>().unwrap()
        };
        let numbers: Vec<u32> = samples.iter().map(number).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{function}");
        for sample in &samples {
            let written = sample.json["requestContext"]["time"].as_str().unwrap();
            assert_eq!(
                sample.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                written,
                "{}",
                sample.name
            );
        }
        assert!(samples.is_sorted_by_key(|sample| sample.at), "{function}");
    }
}

#[test]
fn every_topic_has_a_sample() {
    let samples = samples("orders");
    let topics: BTreeSet<&str> = samples
        .iter()
        .filter_map(|sample| sample.json["headers"]["x-shopify-topic"].as_str())
        .collect();
    let wanted = [
        "checkouts/create",
        "checkouts/update",
        "customers/data_request",
        "customers/redact",
        "orders/cancelled",
        "orders/create",
        "orders/fulfilled",
        "orders/paid",
        "orders/partially_fulfilled",
        "orders/updated",
        "shop/redact",
    ];
    assert_eq!(topics, BTreeSet::from(wanted));
    for topic in ["order.created", "order.updated"] {
        assert!(
            samples
                .iter()
                .any(|sample| sample.json["headers"]["x-wc-webhook-topic"] == topic),
            "{topic}"
        );
    }
}

/// Some have none: a parcel's delivery, what the worker has to ask a provider for, what it finds there about
/// people and deals that a webhook of this source only names, and what it reads from a post by the expressions of the
/// user's own table.
#[test]
fn every_event_that_a_source_makes_has_a_sample() {
    use shared::event::Name;
    for function in functions() {
        let made: BTreeSet<_> = samples(&function)
            .iter()
            .filter(|sample| !sample.name.contains("ping"))
            .filter_map(|sample| events(sample).ok())
            .flatten()
            .map(|event| (event.event.kind, event.event.name))
            .collect();
        let has = |kind: &str, name: Name| made.contains(&(kind.to_owned(), name));
        let of_function = |name: Name| made.iter().any(|(_, made)| *made == name);
        for source in sources::ALL
            .iter()
            .filter(|source| source.function() == function)
        {
            let asks = has(source.kind(), Name::SourceChanged);
            for name in source.events() {
                let without = [
                    Name::OrderDelivered,
                    Name::SourceChanged,
                    Name::CustomReceived,
                    Name::EmailReceived,
                ]
                .contains(name);
                let by_asking = [
                    Name::LeadCreated,
                    Name::LeadUpdated,
                    Name::DealUpdated,
                    Name::DealWon,
                    Name::DealLost,
                ];
                let found = asks && by_asking.contains(name);
                assert!(
                    without || found || of_function(*name),
                    "{}: {name}",
                    source.kind()
                );
            }
        }
    }
}

#[test]
fn the_redelivery_has_the_same_body_and_the_same_keys() {
    for (function, name) in [
        ("orders", "orders-paid"),
        ("appointments", "invitee-created"),
        ("callbell", "message-created-received"),
    ] {
        let samples = samples(function);
        let find = |part: &str| {
            samples
                .iter()
                .find(|sample| sample.name.ends_with(part))
                .unwrap()
        };
        let (first, again) = (find(name), find(&format!("{name}-redelivered")));
        assert_eq!(first.json["body"], again.json["body"]);
        assert_ne!(first.at, again.at);
        let keys = |sample: &Sample| -> Vec<String> {
            events(sample)
                .unwrap()
                .into_iter()
                .map(|event| event.event.id)
                .collect()
        };
        assert_eq!(keys(first), keys(again));
    }
}

#[test]
fn two_samples_of_one_second_share_a_delivery_id_and_no_key() {
    let samples = samples("orders");
    let both: Vec<&Sample> = samples
        .iter()
        .filter(|s| s.name.contains("woocommerce-order-created"))
        .collect();
    assert_eq!(both.len(), 2);
    let id = |sample: &Sample| sample.json["headers"]["x-wc-webhook-delivery-id"].clone();
    assert_eq!((id(both[0]), both[0].at), (id(both[1]), both[1].at));
    let keys = |sample: &Sample| -> BTreeSet<String> {
        events(sample)
            .unwrap()
            .into_iter()
            .map(|event| event.event.id)
            .collect()
    };
    assert!(keys(both[0]).is_disjoint(&keys(both[1])));
}
