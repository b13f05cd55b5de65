//! Contact and conversation rows, and what webhooks tell of jobs.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::event::Contact;
use shared::store::{
    Assigned, Changed, Closed, ContactDiff, ContactSeen, ConversationMark, Delivery, Digests, End,
    Erasure, Finished, News, OptMark, PersonId, Settle, Showing, Shown, Status, Store, Wrote,
};

use super::{days, job_in, seconds};

const ID: &str = "35f6f8ccb5504278a2ea099f3a4e0001";

fn maria(tags: &[&str]) -> Contact {
    Contact {
        id: ID.to_owned(),
        name: "Maria".to_owned(),
        phone: Some("+5511987654321".to_owned()),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Contact::default()
    }
}

fn digests() -> Digests {
    Digests::new()
        .phone("+5511987654321")
        .customer("callbell", ID)
}

async fn show(store: &Store, contact: &Contact, event: &str, s: i64, showing: Showing) -> Shown {
    let seen = ContactSeen {
        contact,
        event,
        received_at: testkit::start() + seconds(s),
        showing,
        digests: &digests(),
    };
    store.record_contact(seen).await.unwrap()
}

async fn update(store: &Store, contact: &Contact, event: &str, s: i64) -> Shown {
    show(store, contact, event, s, Showing::Updated).await
}

async fn expect(store: &Store, values: &Value) {
    let values = values.as_object().unwrap();
    store.expect_contact(ID, values, &digests()).await.unwrap();
}

fn changed(fields: &[&str], added: &[&str], removed: &[&str]) -> Shown {
    let list = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
    Shown::Changed(ContactDiff {
        changed: list(fields),
        added_tags: list(added),
        removed_tags: list(removed),
    })
}

#[tokio::test]
async fn a_contact_tells_what_changed_once_an_event() {
    let (store, _) = testkit::store().await;
    assert_eq!(
        show(&store, &maria(&["a"]), "created", 0, Showing::Created).await,
        Shown::New
    );
    let mut after = maria(&["b"]);
    after.fields.insert("Cidade".to_owned(), json!("Olinda"));
    after.avatar_url = Some("https://example.com/signed".to_owned());
    after.first_name = "Maria".to_owned();
    let expected = changed(&["fields.Cidade", "tags"], &["b"], &["a"]);
    assert_eq!(update(&store, &after, "u1", 1).await, expected);
    // To and fro is a change each time, and what an event was told does not change.
    let back = changed(&["fields.Cidade", "tags"], &["a"], &["b"]);
    assert_eq!(update(&store, &maria(&["a"]), "u2", 2).await, back);
    assert_eq!(update(&store, &after, "u1", 1).await, expected);
    // Planned after a later one, which showed it as well.
    assert_eq!(
        update(&store, &maria(&["c"]), "u0", 1).await,
        changed(&[], &[], &[])
    );
    let row = store.contact(ID).await.unwrap().unwrap();
    assert!(row.contact == Some(maria(&["a"])));
    assert_eq!(row.shown_by.as_deref(), Some("u2"));
    assert!(!format!("{row:?}").contains("Maria"));
}

#[tokio::test]
async fn another_event_shows_a_contact_only_to_whom_knows_nothing() {
    let (store, _) = testkit::store().await;
    // Without it the first tag on everybody who was there before us would be told to nobody.
    show(&store, &maria(&[]), "message", 5, Showing::Beside).await;
    assert_eq!(
        update(&store, &maria(&["vip"]), "u1", 3).await,
        changed(&["tags"], &["vip"], &[])
    );
    show(&store, &maria(&[]), "message 2", 6, Showing::Beside).await;
    show(&store, &maria(&[]), "created", 7, Showing::Created).await;
    assert_eq!(
        update(&store, &maria(&["vip"]), "u2", 8).await,
        changed(&[], &[], &[])
    );
    let mut nobody_knew = maria(&["x"]);
    nobody_knew.id = "another".to_owned();
    assert_eq!(update(&store, &nobody_knew, "u3", 1).await, Shown::New);
}

#[tokio::test]
async fn our_own_writes_are_no_change_once_and_for_a_while() {
    let (store, clock) = testkit::store().await;
    let ours = json!({
        "name": "Maria", "fields": {"Idade": 7}, "team": "Vendas", "tags": ["lead"], "closed_at": null,
    });
    // Of a person that we never saw.
    expect(&store, &ours).await;
    let mut written = maria(&["lead"]);
    written.fields.insert("Idade".to_owned(), json!("7"));
    written.team = Some("Vendas".to_owned());
    assert_eq!(
        update(&store, &written, "u1", 1).await,
        changed(&[], &[], &[])
    );
    // Somebody else's change in the same webhook stays.
    let ours = json!({"tags": ["lead", "vip"]});
    expect(&store, &ours).await;
    written.tags = vec!["lead".to_owned(), "vip".to_owned(), "novo".to_owned()];
    assert_eq!(
        update(&store, &written, "u2", 2).await,
        changed(&["tags"], &["novo"], &[])
    );
    // Taken off and put on by a person: ours came true already.
    written.tags = vec!["lead".to_owned()];
    update(&store, &written, "u3", 3).await;
    written.tags.push("vip".to_owned());
    assert_eq!(
        update(&store, &written, "u4", 4).await,
        changed(&["tags"], &["vip"], &[])
    );
    // A request that failed hides nothing later.
    let ours = json!({"tags": ["lead"]});
    expect(&store, &ours).await;
    clock.advance(seconds(601));
    written.tags.pop();
    assert_eq!(
        update(&store, &written, "u5", 5).await,
        changed(&["tags"], &[], &["vip"])
    );
}

#[tokio::test]
async fn a_deleted_contact_goes_with_its_event() {
    let (store, clock) = testkit::store().await;
    show(&store, &maria(&[]), "created", 0, Showing::Created).await;
    let mark = ConversationMark {
        human_at: Some(clock.now()),
        ..ConversationMark::default()
    };
    store.record_conversation(ID, &mark).await.unwrap();
    store.forget_contact(ID).await.unwrap();
    store.forget_contact("nobody").await.unwrap();
    assert_eq!(store.contact("nobody").await.unwrap(), None);
    assert!(store.contact(ID).await.unwrap().is_some());
    let answer = testkit::Engine::shared()
        .client()
        .scan()
        .table_name(store.table())
        .send()
        .await
        .unwrap();
    let ends = (clock.now() + days(7)).as_second() + 1;
    for item in answer.items() {
        assert_eq!(item["expires_at"].as_n().unwrap(), &ends.to_string());
    }
    assert_eq!(answer.items().len(), 2);
}

fn assigned(s: i64, to: Option<&str>) -> ConversationMark {
    ConversationMark {
        assigned: Some(Assigned {
            at: testkit::start() + seconds(s),
            to: to.map(str::to_owned),
        }),
        ..ConversationMark::default()
    }
}

fn human(s: i64) -> ConversationMark {
    ConversationMark {
        human_at: Some(testkit::start() + seconds(s)),
        ..ConversationMark::default()
    }
}

fn closed(s: i64, assigned: Option<&str>) -> ConversationMark {
    ConversationMark {
        closed: Some(Closed {
            at: testkit::start() + seconds(s),
            assigned: assigned.map(str::to_owned),
        }),
        ..ConversationMark::default()
    }
}

#[tokio::test]
async fn people_have_a_conversation_in_hand_until_it_is_closed() {
    let quiet = SignedDuration::from_hours(12);
    let ana = Some("ana@example.com");
    let rows: [(&str, Vec<ConversationMark>, i64, bool); 9] = [
        ("nobody", vec![assigned(1, None)], 2, false),
        ("assigned", vec![assigned(1, ana)], 90_000, true),
        (
            "taken off",
            vec![assigned(2, None), assigned(1, ana)],
            3,
            false,
        ),
        ("wrote lately", vec![human(1)], 2, true),
        ("wrote long ago", vec![human(1)], 43_202, false),
        (
            "closed",
            vec![human(1), assigned(1, ana), closed(2, ana)],
            3,
            false,
        ),
        // Callbell leaves them assigned.
        (
            "left over",
            vec![closed(2, ana), assigned(3, ana)],
            4,
            false,
        ),
        (
            "somebody else",
            vec![closed(2, ana), assigned(3, Some("rui@example.com"))],
            4,
            true,
        ),
        (
            "at it again",
            vec![closed(2, ana), assigned(3, ana), human(4)],
            90_000,
            true,
        ),
    ];
    for (what, marks, after, expected) in rows {
        let (store, _) = testkit::store().await;
        for mark in marks.iter().chain(marks.iter().rev()) {
            store.record_conversation(ID, mark).await.unwrap();
        }
        let row = store.conversation(ID).await.unwrap().unwrap();
        let now = testkit::start() + seconds(after);
        assert_eq!(row.is_human(now, quiet), expected, "{what}");
    }
}

/// One thing that a webhook says of a person.
#[derive(Clone, Debug)]
enum Said {
    Wrote(i64),
    Opt(i64, bool),
}

async fn say(store: &Store, said: &Said) {
    let id = PersonId::bsuid("BR.13491208655302741918");
    let at = |s: i64| testkit::start() + seconds(s);
    match said {
        Said::Wrote(s) => {
            let wrote = Wrote {
                at: at(*s),
                event: format!("message {s}"),
                opens_window: true,
            };
            store.record_wrote(&id, &wrote, &digests()).await.unwrap();
        }
        Said::Opt(s, out) => {
            let mark = OptMark {
                at: at(*s),
                event: format!("opt {s}"),
                out: *out,
            };
            store.record_opt(&id, &mark, &digests()).await.unwrap();
        }
    }
}

/// Window, whether opted out, whether the row has an end.
async fn person(store: &Store) -> (Option<Timestamp>, bool, bool) {
    let id = PersonId::bsuid("BR.13491208655302741918");
    let row = store.persons(std::slice::from_ref(&id)).await.unwrap();
    let answer = testkit::Engine::shared()
        .client()
        .scan()
        .table_name(store.table())
        .send()
        .await
        .unwrap();
    let ends = answer.items()[0].contains_key("expires_at");
    (row[0].window_until, row[0].opted_out_at.is_some(), ends)
}

#[test]
fn late_webhooks_in_any_order_end_the_same() {
    let one = prop_oneof![
        (0..20_i64).prop_map(Said::Wrote),
        (0..20_i64, any::<bool>()).prop_map(|(s, out)| Said::Opt(s, out)),
    ];
    let cases = prop::collection::vec(one, 1..7).prop_flat_map(|said| {
        let twice: Vec<Said> = said.iter().chain(&said).cloned().collect();
        (Just(said), Just(twice).prop_shuffle())
    });
    let config = ProptestConfig {
        cases: 24,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    proptest!(config, |((said, shuffled) in cases)| {
        let (window, out, ends) = runtime.block_on(async {
            let (store, _) = testkit::store().await;
            for said in &shuffled {
                say(&store, said).await;
            }
            person(&store).await
        });
        let wrote = said.iter().filter_map(|said| match said {
            Said::Wrote(s) => Some(testkit::start() + seconds(*s) + days(1)),
            Said::Opt(..) => None,
        });
        let last = said.iter().filter_map(|said| match said {
            Said::Opt(s, out) => Some((*s, *out)),
            Said::Wrote(_) => None,
        });
        prop_assert_eq!(window, wrote.max());
        prop_assert_eq!(out, last.max().is_some_and(|(_, out)| out));
        prop_assert_eq!(ends, !out);
    });
}

#[tokio::test]
async fn the_first_message_stays_the_first_and_a_reaction_opens_nothing() {
    let (store, clock) = testkit::store().await;
    let id = PersonId::customer("callbell", ID);
    for (event, s, opens_window) in [("b", 5, false), ("a", 1, true), ("c", 9, false)] {
        let wrote = Wrote {
            at: clock.now() + seconds(s),
            event: event.to_owned(),
            opens_window,
        };
        store.record_wrote(&id, &wrote, &digests()).await.unwrap();
    }
    let row = &store.persons(&[id]).await.unwrap()[0];
    assert_eq!(row.first_message.as_deref(), Some("b"));
    assert_eq!(row.window_until, Some(clock.now() + days(1) + seconds(1)));
}

#[tokio::test]
async fn a_person_keeps_who_opted_them_out_until_they_opt_in() {
    let (store, _) = testkit::store().await;
    for said in [Said::Opt(1, true), Said::Opt(5, true)] {
        say(&store, &said).await;
    }
    let id = PersonId::bsuid("BR.13491208655302741918");
    let row = &store.persons(std::slice::from_ref(&id)).await.unwrap()[0];
    assert_eq!(row.opted_out_by.as_deref(), Some("opt 1"));
    say(&store, &Said::Opt(6, false)).await;
    let row = &store.persons(std::slice::from_ref(&id)).await.unwrap()[0];
    assert_eq!((row.opted_out_at, &row.opted_out_by), (None, &None));
}

fn enqueued(uuid: Option<&str>, written_at: Option<Timestamp>) -> News {
    News {
        delivery: Some(Delivery::Enqueued),
        uuid: uuid.map(str::to_owned),
        written_at,
        ..News::default()
    }
}

#[tokio::test]
async fn news_settle_what_nobody_knew() {
    let (store, clock) = testkit::store().await;
    // The state, and what it becomes: of what is running or done somebody knows already.
    let rows = [
        (Status::Due, Status::Due),
        (Status::Running, Status::Running),
        (Status::Uncertain, Status::Sent),
        (Status::Sent, Status::Sent),
        (Status::Held, Status::Held),
        (Status::Skipped, Status::Skipped),
        (Status::Dead, Status::Dead),
        (Status::Cancelled, Status::Cancelled),
    ];
    for (n, (status, expected)) in rows.into_iter().enumerate() {
        let (job, _) = job_in(&store, &n.to_string(), status).await;
        let uuid = job.message_uuid.clone().unwrap_or(format!("uuid-{n}"));
        let news = enqueued(Some(&uuid), None);
        let is_new = store.record_news(&job.id, &news).await.unwrap();
        assert_eq!(is_new, status != Status::Due, "{status}");
        assert!(!store.record_news(&job.id, &news).await.unwrap());
        let job = store.job(&job.id).await.unwrap().unwrap();
        let settled = store.settle_by_news(&job).await.unwrap();
        let done = matches!(settled, Changed::Done(_));
        assert_eq!(done, status != expected, "{status}");
        let job = store.job(&job.id).await.unwrap().unwrap();
        assert_eq!(job.status, expected);
        if done {
            assert_eq!(job.message_uuid.as_deref(), Some(uuid.as_str()));
            assert_eq!(store.message_job(&uuid).await.unwrap(), Some(job.id));
        }
    }
    // What a person was asked to look at because nobody could say.
    let (job, _) = job_in(&store, "held", Status::Uncertain).await;
    let held = Settle::Held("nobody can say".to_owned());
    store.settle(&job.id, job.version, &held).await.unwrap();
    store
        .record_news(&job.id, &enqueued(Some("u-held"), None))
        .await
        .unwrap();
    let job = store.job(&job.id).await.unwrap().unwrap();
    let settled = store.settle_by_news(&job).await.unwrap();
    assert!(matches!(settled, Changed::Done(row) if row.status == Status::Sent));
    // A claim that lapsed is unknown as well.
    let (job, _) = job_in(&store, "lapsed", Status::Running).await;
    clock.advance(seconds(76));
    let news = enqueued(None, job.claimed_at);
    assert!(store.record_news(&job.id, &news).await.unwrap());
    let job = store.job(&job.id).await.unwrap().unwrap();
    let settled = store.settle_by_news(&job).await.unwrap();
    assert!(matches!(settled, Changed::Done(row) if row.status == Status::Sent));
}

/// Whatever stands before Callbell said no, and Callbell had taken the message: it is not sent again. What a
/// person replays is another message.
#[tokio::test]
async fn a_message_that_was_refused_and_taken_all_the_same_is_sent() {
    let (store, clock) = testkit::store().await;
    for told_while_running in [true, false] {
        let (job, owner) = job_in(&store, &told_while_running.to_string(), Status::Running).await;
        let news = enqueued(None, job.claimed_at);
        if told_while_running {
            assert!(store.record_news(&job.id, &news).await.unwrap());
        }
        let refused = End::Due {
            at: clock.now() + seconds(60),
            reason: "503".to_owned(),
            attempt_spent: true,
            due_at: None,
        };
        let finished = store.finish(&job.id, &owner, job.version, &refused).await;
        assert!(matches!(finished, Ok(Finished::Done(_))));
        if !told_while_running {
            assert!(store.record_news(&job.id, &news).await.unwrap());
        }
        let job = store.job(&job.id).await.unwrap().unwrap();
        let settled = store.settle_by_news(&job).await.unwrap();
        assert!(matches!(settled, Changed::Done(row) if row.status == Status::Sent));
    }
    let (job, _) = job_in(&store, "dead", Status::Dead).await;
    let digests = Digests::new();
    let revived = store
        .revive(&job.id, job.version, None, None, &digests)
        .await;
    assert!(matches!(revived, Ok(Changed::Done(_))));
    let news = enqueued(None, job.claimed_at);
    assert!(!store.record_news(&job.id, &news).await.unwrap());
}

#[tokio::test]
async fn a_message_from_before_the_attempt_is_another_one() {
    let (store, clock) = testkit::store().await;
    clock.advance(seconds(60));
    let (job, _) = job_in(&store, "1", Status::Uncertain).await;
    let claimed_at = job.claimed_at.unwrap();
    for (before, expected) in [(20, false), (5, true)] {
        let news = enqueued(None, Some(claimed_at - seconds(before)));
        assert_eq!(
            store.record_news(&job.id, &news).await.unwrap(),
            expected,
            "{before}"
        );
    }
}

#[tokio::test]
async fn a_failure_keeps_its_reason_and_a_mismatch_its_number() {
    let (store, _) = testkit::store().await;
    let (job, _) = job_in(&store, "1", Status::Sent).await;
    let failed = News {
        delivery: Some(Delivery::Failed),
        uuid: job.message_uuid.clone(),
        reason: Some("131026".to_owned()),
        ..News::default()
    };
    let mismatch = News {
        uuid: job.message_uuid.clone(),
        corrected_phone: Some("+551187654321".to_owned()),
        ..News::default()
    };
    for news in [
        &failed,
        &mismatch,
        &enqueued(job.message_uuid.as_deref(), None),
    ] {
        store.record_news(&job.id, news).await.unwrap();
    }
    let row = store.job(&job.id).await.unwrap().unwrap();
    assert_eq!(row.delivery, Some(Delivery::Failed));
    assert_eq!(row.delivery_reason.as_deref(), Some("131026"));
    assert_eq!(row.corrected_phone.as_deref(), Some("+551187654321"));
    assert_eq!(row.version, job.version);
    assert!(!format!("{row:?}{mismatch:?}").contains("551187654321"));
}

#[tokio::test]
async fn an_erasure_takes_everything_of_a_person_along() {
    let (store, clock) = testkit::store().await;
    show(&store, &maria(&[]), "created", 0, Showing::Created).await;
    let mark = ConversationMark {
        human_at: Some(clock.now()),
        digests: digests(),
        ..ConversationMark::default()
    };
    store.record_conversation(ID, &mark).await.unwrap();
    // Also what is known of them under the other identity, and although they are opted out.
    say(&store, &Said::Opt(1, true)).await;
    let erasure = Erasure {
        digests: Digests::new().phone("+5511987654321"),
        entities: Vec::new(),
    };
    let erased = store.erase_step("e", &erasure).await.unwrap();
    assert_eq!((erased.rows, erased.done), (3, true));
    let hidden = PersonId::bsuid("BR.13491208655302741918");
    // What they asked of us is kept, and nothing else of them.
    let kept = store.persons(&[hidden]).await.unwrap().remove(0);
    assert!(kept.opted_out_at.is_some());
    let nothing = kept.window_until.is_none() && kept.sent.is_none() && kept.stops.is_empty();
    assert!(nothing && kept.opted_out_by.is_none() && kept.first_message.is_none());
    assert_eq!(store.contact(ID).await, Ok(None));
    assert_eq!(store.conversation(ID).await, Ok(None));
}
