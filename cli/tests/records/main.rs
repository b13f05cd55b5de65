//! One suite for every system that keeps records of people: what `[hubspot.x]` and its likes do, each
//! against its stand-in. A system is one entry of `systems.rs`; what is said of one alone is in `traps.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod systems;
mod traps;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use engine::actions::deed::{ActError, Done};
use engine::automations::model::MatchBy;
use jiff::SignedDuration;
use serde_json::{Value, json};

use systems::SYSTEMS;
use world::{EMAIL, Wish, World, text};

/// Runs a test with each system.
async fn each(test: impl AsyncFn(World)) {
    for fixture in SYSTEMS {
        test(World::of(fixture).await).await;
    }
}

#[tokio::test]
async fn a_record_is_made_once_and_then_changed() {
    each(async |world| {
        let (fixture, mut wish) = (world.fixture, world.wish());
        let id = world.done(&wish, "created").await;
        assert_eq!(text(&world.record(), fixture.first.1), "Maria");
        assert_eq!(text(&world.record(), fixture.email), EMAIL);
        world.later();
        for how in ["our own memory", "phone", "email"] {
            let (field, at) = fixture.last;
            wish.fields = BTreeMap::from([(field.to_owned(), json!(how))]);
            wish.id = (how == "our own memory").then(|| id.clone());
            wish.match_by = match how {
                "phone" if fixture.phone.is_some() => vec![MatchBy::Phone],
                _ => vec![MatchBy::Email],
            };
            assert_eq!(
                world.done(&wish, "updated").await,
                id,
                "{}: {how}",
                fixture.name
            );
            let record = world.record();
            assert_eq!(text(&record, at), how, "{}", fixture.name);
            assert_eq!(
                text(&record, fixture.first.1),
                "Maria",
                "{}: what is not sent stays",
                fixture.name
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_phone_is_found_however_it_was_typed() {
    each(async |world| {
        let Some((field, at)) = world.fixture.phone else {
            return;
        };
        for typed in [
            "+5511987654321",
            "5511987654321",
            "(11) 98765-4321",
            "+55 11 8765-4321",
        ] {
            let world = World::of(world.fixture).await;
            let mut wish = world.wish();
            wish.fields.insert(field.to_owned(), json!(typed));
            let id = world.done(&wish, "created").await;
            assert_eq!(text(&world.record(), at), typed);
            world.later();
            wish.fields.remove(field);
            wish.match_by = vec![MatchBy::Phone];
            wish.email = None;
            wish.fields
                .insert(world.fixture.last.0.to_owned(), json!("da Silva"));
            let found = world.done(&wish, "updated").await;
            assert_eq!(found, id, "{}: {typed}", world.fixture.name);
            assert_eq!(text(&world.record(), at), typed, "not written over");
        }
    })
    .await;
}

#[tokio::test]
async fn another_person_s_number_is_not_taken_for_theirs() {
    each(async |world| {
        if world.fixture.phone.is_none() {
            return;
        }
        let mut wish = world.wish();
        wish.email = None;
        world.done(&wish, "created").await;
        world.later();
        // The same eight digits at the end, in another city.
        wish.phone = Some("+5521987654321");
        world.done(&wish, "created").await;
        assert_eq!(world.records().len(), 2, "{}", world.fixture.name);
    })
    .await;
}

#[tokio::test]
async fn tags_are_added_to_those_there() {
    each(async |world| {
        let Some((at, name)) = world.fixture.tags else {
            return;
        };
        let mut wish = world.wish();
        for (tags, expected) in [
            (["vip", "br"], vec!["br", "vip"]),
            (["vip", "novo"], vec!["br", "novo", "vip"]),
        ] {
            wish.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            world.upsert(&wish).await.unwrap();
            let record = world.record();
            let list = record
                .pointer(at)
                .and_then(Value::as_array)
                .unwrap()
                .clone();
            let mut names: Vec<&str> = list.iter().map(name).collect();
            names.sort_unstable();
            assert_eq!(names, expected, "{}", world.fixture.name);
            world.later();
        }
    })
    .await;
}

#[tokio::test]
async fn create_and_update_may_be_forbidden() {
    each(async |world| {
        let fixture = world.fixture;
        let mut wish = world.wish();
        wish.create = false;
        let Ok(Done::Skipped(why)) = world.upsert(&wish).await else {
            panic!("{}", fixture.name);
        };
        let (start, rest) = why.split_once(" in ").unwrap();
        assert_eq!(start, "no such record");
        assert!(
            rest.to_lowercase().starts_with(fixture.name) && rest.ends_with(", and create = false")
        );
        assert!(world.records().is_empty());
        wish.create = true;
        wish.update = false;
        let id = world.done(&wish, "created").await;
        let before = world.record();
        world.later();
        wish.fields
            .insert(fixture.last.0.to_owned(), json!("Souza"));
        assert_eq!(world.done(&wish, "unchanged").await, id);
        wish.id = Some(id.clone());
        assert_eq!(world.done(&wish, "unchanged").await, id);
        assert_eq!(world.record(), before, "{}", fixture.name);
    })
    .await;
}

#[tokio::test]
async fn nobody_is_made_whom_nothing_would_find_again() {
    each(async |world| {
        let mut wish = world.wish();
        (wish.phone, wish.email) = (None, None);
        let done = world.upsert(&wish).await;
        assert!(
            matches!(done, Ok(Done::Skipped(_))),
            "{}: {done:?}",
            world.fixture.name
        );
        assert!(world.records().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_person_without_a_name_has_a_record_too() {
    each(async |world| {
        let mut wish = world.wish();
        (wish.name, wish.fields) = (None, BTreeMap::new());
        world.done(&wish, "created").await;
        if world.fixture.phone.is_some() {
            wish.email = None;
            wish.phone = Some("+351912345678");
            world.done(&wish, "created").await;
        }
    })
    .await;
}

#[tokio::test]
async fn somebody_else_may_be_first() {
    each(async |world| {
        let fixture = world.fixture;
        let mut wish = world.wish();
        world.fault(&json!({ "kind": "race" }));
        let done = world.upsert(&wish).await;
        assert!(
            matches!(done, Ok(Done::Done { .. })),
            "{}: {done:?}",
            fixture.name
        );
        // Some systems take two people of one address; nobody can know better than they do.
        let records = if fixture.unique_email { 1 } else { 2 };
        assert_eq!(world.records().len(), records, "{}", fixture.name);
        if fixture.phone.is_some() {
            let world = World::of(fixture).await;
            wish.email = None;
            world.fault(&json!({ "kind": "race" }));
            world.upsert(&wish).await.unwrap();
            let records = if fixture.unique_phone { 1 } else { 2 };
            assert_eq!(world.records().len(), records, "{}", fixture.name);
        }
    })
    .await;
}

#[tokio::test]
async fn a_remembered_record_that_is_gone_is_looked_for() {
    each(async |world| {
        let mut wish = world.wish();
        wish.id = Some(world.fixture.gone.to_owned());
        let id = world.done(&wish, "created").await;
        assert_ne!(id, world.fixture.gone);
        world.later();
        wish.fields
            .insert(world.fixture.last.0.to_owned(), json!("Souza"));
        assert_eq!(
            world.done(&wish, "updated").await,
            id,
            "{}",
            world.fixture.name
        );
        wish.update = false;
        assert_eq!(
            world.done(&wish, "unchanged").await,
            id,
            "{}",
            world.fixture.name
        );
        world.record();
    })
    .await;
}

#[tokio::test]
async fn a_refused_secret_gives_way_to_the_next() {
    each(async |world| {
        let (fixture, wish) = (world.fixture, world.wish());
        let refused = world.with(&[fixture.refused], &wish).await;
        let Err(ActError::Refused(why)) = refused else {
            panic!("{}: {refused:?}", fixture.name);
        };
        assert!(!why.contains("revoked"), "{why}");
        let done = world
            .with(&[fixture.refused, "{}", fixture.key], &wish)
            .await;
        assert!(done.is_ok(), "{}: {done:?}", fixture.name);
        for secrets in [&["{}"][..], &[]] {
            let refused = world.with(secrets, &wish).await;
            assert!(
                matches!(refused, Err(ActError::Refused(_))),
                "{}: {refused:?}",
                fixture.name
            );
        }
        world.record();
    })
    .await;
}

#[tokio::test]
async fn an_access_token_is_kept_and_made_anew_when_it_is_refused() {
    each(async |world| {
        let Some(grant) = world.fixture.grant else {
            return;
        };
        let mut wish = world.wish();
        let made = async |wish: &Wish| {
            let before = world.requests();
            let done = world.with(&[grant], wish).await;
            assert!(done.is_ok(), "{}: {done:?}", world.fixture.name);
            let requests = world.stand_in.requests();
            let mut new = requests.iter().skip(before);
            new.by_ref()
                .filter(|request| request["path"].to_string().contains("token"))
                .count()
        };
        assert_eq!(made(&wish).await, 1, "{}", world.fixture.name);
        wish.fields
            .insert(world.fixture.last.0.to_owned(), json!("Souza"));
        assert_eq!(made(&wish).await, 0, "{}: it is kept", world.fixture.name);
        // For the system the token has ended, for us it has not.
        let now = world.clock.now();
        world.clock.advance(SignedDuration::from_hours(12));
        wish.fields
            .insert(world.fixture.last.0.to_owned(), json!("Costa"));
        let done = world.at(now, &[grant], &wish).await;
        assert!(done.is_ok(), "{}: {done:?}", world.fixture.name);
        assert_eq!(text(&world.record(), world.fixture.last.1), "Costa");
        let revoked = grant.replace("\"b\"", "\"revoked\"");
        let refused = world.with(&[&revoked], &wish).await;
        assert!(
            matches!(refused, Err(ActError::Refused(_))),
            "{}: {refused:?}",
            world.fixture.name
        );
    })
    .await;
}

#[tokio::test]
async fn what_the_system_says_is_told_apart() {
    each(async |world| {
        let (fixture, wish) = (world.fixture, world.wish());
        let seven = Some(Duration::from_secs(7));
        world.fault(&json!({ "kind": "limited", "status": fixture.limit, "retry_after": 7 }));
        let limited = world.upsert(&wish).await;
        assert!(
            matches!(&limited, Err(ActError::Limited { retry_after, .. }) if *retry_after == seven),
            "{}: {limited:?}",
            fixture.name
        );
        for status in [fixture.limit, 429] {
            world.fault(&json!({ "kind": "status", "status": status }));
            let limited = world.upsert(&wish).await;
            assert!(
                matches!(limited, Err(ActError::Limited { .. })),
                "{}: {limited:?}",
                fixture.name
            );
        }
        for status in [500, 502, 503, 504] {
            world.fault(&json!({ "kind": "status", "status": status }));
            let unavailable = world.upsert(&wish).await;
            assert!(
                matches!(unavailable, Err(ActError::Unavailable(_))),
                "{}: {unavailable:?}",
                fixture.name
            );
        }
        world.fault(&json!({ "kind": "status", "status": 401, "times": 2 }));
        let refused = world.upsert(&wish).await;
        assert!(
            matches!(refused, Err(ActError::Refused(_))),
            "{}: {refused:?}",
            fixture.name
        );
        assert!(world.records().is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_it_refuses_is_named_and_nothing_of_it_repeated() {
    each(async |world| {
        let (field, expected) = world.fixture.bad;
        let mut wish = world.wish();
        wish.fields.insert(field.to_owned(), json!("segredo"));
        let rejected = world.upsert(&wish).await;
        assert_eq!(rejected, Err(ActError::Rejected(expected.to_owned())));
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_makes_nothing_twice() {
    each(async |world| {
        let fixture = world.fixture;
        for fault in [
            json!({ "kind": "drop_after_accept" }),
            json!({ "kind": "accept_then_status", "status": 502 }),
        ] {
            for phone_alone in [false, true] {
                if phone_alone && fixture.phone.is_none() {
                    continue;
                }
                let world = World::of(fixture).await;
                let mut wish = world.wish();
                if phone_alone {
                    wish.email = None;
                }
                world.fault(&fault);
                let lost = world.upsert(&wish).await;
                assert!(
                    matches!(lost, Err(ActError::Unavailable(_))),
                    "{}: {lost:?}",
                    fixture.name
                );
                // The next attempt comes after a minute.
                world.clock.advance(SignedDuration::from_mins(1));
                world.upsert(&wish).await.unwrap();
                world.record();
            }
        }
    })
    .await;
}
