//! People, deals, forms, e-mails and what else is posted: who is welcomed and when, and that what we write in a
//! CRM ourselves starts nothing.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::store::{Digests, Erasure, OwnWrite, PersonId, RowKey, Status, WroteTo};

use super::desk::{Desk, Reply};
use super::minutes;
use super::systems::{Fault, SECRETS, Systems};
use crate::plan::tests::merge;

const PHONE: &str = "+5511987654321";

/// The wish of everybody: welcome once, also who gets a phone later.
const WELCOME: &str = r#"
[message.welcome]
text = "Bem-vinda, {{ customer.first_name | default('você') }}!"

[automation.welcome]
on      = ["lead.created", "lead.updated"]
when    = "event.name == 'lead.created' or 'phone' in lead.changed"
once    = "customer"
message = "welcome"
"#;

/// The same of the coming into being alone.
const CREATED: &str = r#"
[message.welcome]
text = "Bem-vinda!"

[automation.welcome]
on      = "lead.created"
message = "welcome"
"#;

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// A person in HubSpot as an event of `at` shows them. `phone`: blank where it is none.
fn lead(name: &str, at: Timestamp, phone: Option<&str>, change: Value) -> Value {
    let key = match name {
        "lead.created" => "created".to_owned(),
        _ => format!("updated/{}", at.as_millisecond()),
    };
    let mut event = json!({
        "event": {"name": name, "source": "hubspot", "kind": "hubspot",
                  "id": format!("hubspot/lead/7/{key}"), "at": at},
        "customer": {"name": "Maria da Silva", "first_name": "Maria", "id": "7",
                     "email": "maria@example.com",
                     "phones": [{"path": "properties.phone", "number": phone, "country": "BR"}]},
        "subject": {"kind": "lead", "id": "7", "as_of": at, "created_at": at, "state": "open",
                    "fresh": "dated"},
        "lead": {"id": "7", "kind": "contact", "created_at": at, "fields": {"lifecyclestage": "lead"},
                 "stage": "lead", "changed": []}
    });
    merge(&mut event, change);
    event
}

fn changed(names: &[&str]) -> Value {
    json!({"lead": {"changed": names}})
}

async fn hear(desk: &Desk, event: Value) -> String {
    let key = desk.receive(event).await;
    desk.stream().await;
    key
}

async fn whys(desk: &Desk, key: &str) -> Vec<String> {
    let row = desk.store.event(key).await.unwrap().unwrap();
    let why = |line: &shared::store::Line| format!("{}: {}", line.automation, line.why);
    row.lines.iter().map(why).collect()
}

async fn told(desk: &Desk, key: &str) -> Vec<String> {
    let row = desk.store.event(key).await.unwrap().unwrap();
    match row.contact {
        Some(shared::store::Shown::Changed(diff)) => diff.changed,
        other => panic!("{other:?}"),
    }
}

fn statuses(jobs: &[shared::store::JobRow]) -> Vec<Status> {
    jobs.iter().map(|job| job.status).collect()
}

#[tokio::test]
async fn who_gets_a_phone_later_is_welcomed_then_and_once() {
    for once in ["customer", "lead"] {
        let file = WELCOME.replace("\"customer\"", &format!("\"{once}\""));
        let desk = Desk::with(&file).await;
        let born = desk.clock.now();
        hear(&desk, lead("lead.created", born, None, json!({}))).await;
        let job = desk.job().await;
        assert_eq!(job.status, Status::Skipped);
        let reason = job.reason.unwrap_or_default();
        assert!(reason.starts_with("no usable phone"), "{reason}");

        // A month later somebody types the number. The source does not say what changed.
        desk.clock.advance(SignedDuration::from_hours(30 * 24));
        let at = desk.clock.now();
        let brings = lead("lead.updated", at, Some("11 98765-4321"), json!({}));
        let key = hear(&desk, brings.clone()).await;
        assert_eq!(told(&desk, &key).await, ["phone"]);
        assert_eq!(desk.messages(), 1, "{once}");

        // Again, with another field, with another spelling, with another number.
        desk.receive(brings).await;
        desk.stream().await;
        for (number, name, news) in [
            ("+55 11 98765 4321", "Maria Souza", vec!["name"]),
            ("11 8765-4321", "Maria Souza", vec![]),
            ("11 98765-4321", "Maria", vec!["name"]),
        ] {
            desk.clock.advance(minutes(60));
            let at = desk.clock.now();
            let change = json!({"customer": {"name": name}});
            let key = hear(&desk, lead("lead.updated", at, Some(number), change)).await;
            assert_eq!(told(&desk, &key).await, news);
        }
        assert_eq!(desk.messages(), 1, "{once}");
        assert_eq!(desk.jobs().await.len(), 2, "{once}");
    }
}

#[tokio::test]
async fn who_has_a_phone_at_once_is_welcomed_once() {
    let desk = Desk::with(WELCOME).await;
    let at = desk.clock.now();
    let created = lead("lead.created", at, Some(PHONE), json!({}));
    hear(&desk, created.clone()).await;
    hear(&desk, created).await;
    assert_eq!(desk.messages(), 1);
    // Another number: the user's condition holds, and the customer is another.
    desk.clock.advance(minutes(5));
    let edited = lead(
        "lead.updated",
        desk.clock.now(),
        Some(PHONE),
        changed(&["phone"]),
    );
    hear(&desk, edited).await;
    assert_eq!(desk.messages(), 1);
    assert_eq!(
        statuses(&desk.jobs().await),
        [Status::Sent, Status::Skipped]
    );
}

#[tokio::test]
async fn an_edit_of_a_person_whom_we_never_saw_welcomes_nobody() {
    let desk = Desk::with(WELCOME).await;
    let old = desk.clock.now() - SignedDuration::from_hours(365 * 24);
    let change = || json!({"subject": {"created_at": old}, "lead": {"created_at": old}});
    let at = desk.clock.now();
    let key = hear(&desk, lead("lead.updated", at, Some(PHONE), change())).await;
    assert_eq!(told(&desk, &key).await, Vec::<String>::new());
    assert!(desk.jobs().await.is_empty());

    // A webhook that shows a part of them, and then one that shows all.
    desk.clock.advance(minutes(1));
    let mut part = lead("lead.updated", desk.clock.now(), None, change());
    part["customer"]["phones"] = json!([]);
    hear(&desk, part).await;
    desk.clock.advance(minutes(1));
    let at = desk.clock.now();
    hear(&desk, lead("lead.updated", at, Some(PHONE), change())).await;
    assert!(desk.jobs().await.is_empty());

    // Their number is edited: the file asks for that.
    desk.clock.advance(minutes(1));
    let mut edited = change();
    merge(&mut edited, changed(&["phone"]));
    let at = desk.clock.now();
    hear(&desk, lead("lead.updated", at, Some(PHONE), edited)).await;
    assert_eq!(desk.messages(), 1);
}

#[tokio::test]
async fn a_part_first_and_all_of_them_then_is_no_new_phone() {
    let desk = Desk::with(WELCOME).await;
    let mut part = lead("lead.updated", desk.clock.now(), None, json!({}));
    part["customer"]["phones"] = json!([]);
    hear(&desk, part).await;
    desk.clock.advance(minutes(1));
    let at = desk.clock.now();
    let key = hear(&desk, lead("lead.updated", at, Some(PHONE), json!({}))).await;
    assert!(!told(&desk, &key).await.contains(&"phone".to_owned()));
    assert!(desk.jobs().await.is_empty());
}

#[tokio::test]
async fn a_person_of_last_year_is_not_created_today() {
    for file in [WELCOME, CREATED] {
        let desk = Desk::with(file).await;
        let old = desk.clock.now() - SignedDuration::from_hours(365 * 24);
        hear(&desk, lead("lead.created", old, Some(PHONE), json!({}))).await;
        assert_eq!(desk.state().await, (Status::Skipped, "too late".to_owned()));
        assert_eq!(desk.messages(), 0);
    }
}

#[tokio::test]
async fn of_the_coming_into_being_alone_the_person_is_told_once() {
    let desk = Desk::with(CREATED).await;
    let at = desk.clock.now();
    hear(&desk, lead("lead.created", at, Some(PHONE), json!({}))).await;
    // Subscribed anew: the same person comes into being again.
    let again = json!({"event": {"id": "hubspot/lead/7/created/2"}});
    hear(&desk, lead("lead.created", at, Some(PHONE), again)).await;
    assert_eq!(desk.messages(), 1);
    let jobs = desk.jobs().await;
    assert_eq!(statuses(&jobs), [Status::Sent, Status::Skipped]);

    // One that was skipped holds nothing: the next one speaks.
    let desk = Desk::with(CREATED).await;
    let at = desk.clock.now();
    hear(&desk, lead("lead.created", at, None, json!({}))).await;
    let again = json!({"event": {"id": "hubspot/lead/7/created/2"}});
    hear(&desk, lead("lead.created", at, Some(PHONE), again)).await;
    assert_eq!(
        statuses(&desk.jobs().await),
        [Status::Skipped, Status::Sent]
    );
    assert_eq!(desk.messages(), 1);
}

#[tokio::test]
async fn an_older_version_tells_nothing_that_its_source_does_not_say() {
    let file = r#"
        [slack.x]
        text = "x"
        [automation.a]
        on    = "lead.updated"
        when  = "lead.changed | length > 0"
        slack = "x"
    "#;
    let desk = Desk::with(file).await;
    let start = desk.clock.now();
    let at = |count: i64| start + seconds(count);
    hear(&desk, lead("lead.created", at(0), Some(PHONE), json!({}))).await;
    let stage = |name: &str| json!({"lead": {"stage": name, "fields": {"cor": name}}});
    let newer = hear(
        &desk,
        lead("lead.updated", at(20), Some(PHONE), stage("customer")),
    )
    .await;
    assert_eq!(told(&desk, &newer).await, ["cor", "stage"]);
    let older = lead("lead.updated", at(10), Some(PHONE), stage("mql"));
    let older = hear(&desk, older).await;
    assert_eq!(told(&desk, &older).await, Vec::<String>::new());
    // It did not put anything back.
    let newest = lead("lead.updated", at(30), Some(PHONE), stage("customer"));
    let newest = hear(&desk, newest).await;
    assert_eq!(told(&desk, &newest).await, Vec::<String>::new());
    // What the source says itself it says at any time.
    let mut said = stage("mql");
    merge(&mut said, changed(&["stage"]));
    let late = hear(&desk, lead("lead.updated", at(5), Some(PHONE), said)).await;
    assert_eq!(whys(&desk, &late).await, ["a: 1 job"]);
    // The row goes with the person.
    let erasure = Erasure {
        digests: Digests::new().email("maria@example.com"),
        entities: Vec::new(),
    };
    while !desk.store.erase_step("e", &erasure).await.unwrap().done {}
    let told = desk.store.lead_told("hubspot/lead/7", &newest).await;
    assert_eq!(told.unwrap(), None);
}

#[tokio::test]
async fn an_event_is_told_the_same_again() {
    let desk = Desk::with(WELCOME).await;
    let at = desk.clock.now();
    hear(&desk, lead("lead.created", at, None, json!({}))).await;
    desk.clock.advance(minutes(1));
    let at = desk.clock.now();
    let key = hear(&desk, lead("lead.updated", at, Some(PHONE), json!({}))).await;
    assert_eq!(desk.messages(), 1);
    assert!(desk.store.replan_event(&key).await.unwrap());
    desk.nudge(vec![RowKey::Event(key.clone())]).await;
    assert_eq!(told(&desk, &key).await, ["phone"]);
    assert_eq!(whys(&desk, &key).await, ["welcome: 1 job"]);
    assert_eq!(desk.messages(), 1);
}

/// Who leaves a list is not welcomed for the number that they gave meanwhile, whichever webhook shows it first.
#[tokio::test]
async fn who_left_is_not_welcomed_for_a_phone() {
    let desk = Desk::with(WELCOME).await;
    let stage = |name: &str| json!({"lead": {"stage": name}});
    let at = desk.clock.now();
    hear(&desk, lead("lead.created", at, None, stage("subscribed"))).await;
    desk.clock.advance(minutes(5));
    let mut left = lead(
        "lead.updated",
        desk.clock.now(),
        None,
        stage("unsubscribed"),
    );
    left["customer"]["phones"] = json!([]);
    merge(&mut left, changed(&["stage"]));
    hear(&desk, left).await;

    desk.clock.advance(minutes(5));
    let blank = json!({"lead": {"stage": null}, "customer": {"name": "Maria"}});
    let at = desk.clock.now();
    let key = hear(&desk, lead("lead.updated", at, Some(PHONE), blank)).await;
    assert_eq!(told(&desk, &key).await, ["name"]);
    assert_eq!(desk.messages(), 0);

    // Back on it, the next number is news.
    desk.clock.advance(minutes(5));
    let at = desk.clock.now();
    let back = json!({"lead": {"stage": "subscribed"}, "customer": {"name": "Maria"}});
    let back = lead("lead.updated", at, Some("11 98765-4320"), back);
    let key = hear(&desk, back).await;
    assert_eq!(told(&desk, &key).await, ["phone", "stage"]);
    assert_eq!(whys(&desk, &key).await, ["welcome: 1 job"]);
}

/// A webhook that shows that somebody left and their number at once.
#[tokio::test]
async fn leaving_itself_tells_no_phone() {
    let desk = Desk::with(WELCOME).await;
    let at = desk.clock.now();
    hear(&desk, lead("lead.created", at, None, json!({}))).await;
    desk.clock.advance(minutes(5));
    let left = json!({"lead": {"stage": "unsubscribed"}});
    let at = desk.clock.now();
    let key = hear(&desk, lead("lead.updated", at, Some(PHONE), left)).await;
    assert_eq!(told(&desk, &key).await, ["stage"]);
    assert_eq!(desk.messages(), 0);
}

/// Somebody who subscribes again comes with the key of the first time, whose rows are long gone.
#[tokio::test]
async fn a_key_that_comes_again_after_its_rows_went_is_welcomed_no_more() {
    for once in ["customer", "lead"] {
        let file = WELCOME.replace("\"customer\"", &format!("\"{once}\""));
        let desk = Desk::with(&file).await;
        let at = desk.clock.now();
        let key = hear(&desk, lead("lead.created", at, Some(PHONE), json!({}))).await;
        assert_eq!(desk.messages(), 1, "{once}");

        desk.clock.advance(SignedDuration::from_hours(120 * 24));
        let again = desk.clock.now();
        hear(&desk, lead("lead.created", again, Some(PHONE), json!({}))).await;
        assert_eq!(desk.messages(), 1, "{once}");
        let row = desk.store.event(&key).await.unwrap().unwrap();
        assert_eq!(row.received_at, again, "it is another event");
        let jobs = desk.jobs().await;
        let last = jobs.iter().find(|job| job.event_at == again).unwrap();
        assert_eq!(last.status, Status::Skipped, "{once}");
        let reason = last.reason.clone().unwrap_or_default();
        assert!(reason.starts_with("once: sent for "), "{reason}");
    }
}

/// The later steps of one event go out whenever they are due, under the mark of the first.
#[tokio::test]
async fn a_step_of_months_later_goes_under_the_mark_of_its_event() {
    let file = r#"
        [message.welcome]
        text = "Bem-vinda!"
        [message.later]
        text = "Tudo bem?"
        [automation.welcome]
        on    = "lead.created"
        once  = "customer"
        steps = [{ message = "welcome" }, { message = "later", at = "+60d" }]
    "#;
    let desk = Desk::with(file).await;
    let at = desk.clock.now();
    hear(&desk, lead("lead.created", at, Some(PHONE), json!({}))).await;
    assert_eq!(desk.messages(), 1);
    desk.minute(minutes(60 * 24 * 60 + 5)).await;
    desk.minute(minutes(1)).await;
    assert_eq!(desk.messages(), 2);
}

/// A deal that changed, which leaves its person and its stage to be asked for.
fn question(desk: &Desk) -> Value {
    let at = desk.clock.now();
    let deal = deal("deal.updated", at, json!({"deal": {"stage": "2"}}));
    json!({
        "event": {"name": "source.changed", "source": "pipedrive", "kind": "pipedrive",
                  "id": format!("pipedrive/source/77/{at}"), "at": at},
        "customer": {},
        "subject": {"kind": "source", "id": "77", "as_of": at, "created_at": at, "state": "open",
                    "fresh": "dated"},
        "changed": {"about": {"event": deal, "person_id": "501"}}
    })
}

#[tokio::test]
async fn the_name_of_a_stage_is_asked_for_until_it_is_answered_or_refused() {
    let desk_of = async || {
        let mut desk = Desk::with(CREATED).await;
        let secrets = r#"{"pipedrive": "token"}"#;
        let (systems, fetching) = Systems::start(secrets, &desk.clock);
        desk.worker = desk.worker.clone().fetching(fetching);
        (desk, systems)
    };
    let found = async |desk: &Desk, key: &str| desk.store.event(key).await.unwrap().is_some();
    for fault in [Fault::Limit(60), Fault::Status(503), Fault::Silence] {
        let (desk, systems) = desk_of().await;
        systems.next([Fault::Status(200), fault]);
        let question = question(&desk);
        let key = question.pointer("/changed/about/event/event/id").unwrap();
        let key = key.as_str().unwrap().to_owned();
        hear(&desk, question).await;
        assert!(!found(&desk, &key).await, "{fault:?}");
        desk.minute(minutes(5)).await;
        assert!(found(&desk, &key).await, "{fault:?}");
        assert_eq!(systems.asked("/stages/2").len(), 2, "{fault:?}");
    }
    // A token that may not read it: the number has to do.
    let (desk, systems) = desk_of().await;
    systems.next([Fault::Status(200), Fault::Status(402)]);
    let question = question(&desk);
    let key = question.pointer("/changed/about/event/event/id").unwrap();
    let key = key.as_str().unwrap().to_owned();
    hear(&desk, question).await;
    assert!(found(&desk, &key).await);
}

/// From Callbell into the CRM and back: a circle, were it not for our own memory.
const CIRCLE: &str = r#"
[message.welcome]
text = "Bem-vinda!"

[hubspot.x]
fields = { firstname = "{{ customer.first_name }}" }

[automation.into-the-crm]
on      = ["contact.created", "contact.updated", "lead.updated"]
hubspot = "x"

[automation.welcome]
on      = ["lead.created", "lead.updated"]
message = "welcome"
"#;

async fn circle(file: &str) -> (Desk, Systems) {
    let mut desk = Desk::with(file).await;
    let (systems, fetching) = Systems::start(SECRETS, &desk.clock);
    desk.worker = desk.worker.clone().fetching(fetching);
    (desk, systems)
}

fn contact(at: Timestamp) -> Value {
    json!({
        "event": {"name": "contact.created", "source": "callbell", "kind": "callbell",
                  "id": format!("callbell/contact/c1/{at}"), "at": at},
        "customer": {"name": "Maria", "first_name": "Maria", "id": "c1", "email": "maria@example.com",
                     "phones": [{"path": "contact.phoneNumber", "number": PHONE}]},
        "subject": {"kind": "contact", "id": "c1", "as_of": at, "created_at": at, "state": "open",
                    "fresh": "dated"},
        "contact": {"id": "c1", "name": "Maria", "phone": PHONE, "channel": "35f6f8ccb5504278a2ea099f3a4e0730",
                    "channel_kind": "whatsapp"}
    })
}

#[tokio::test]
async fn what_we_make_in_a_crm_ourselves_starts_nothing() {
    let (desk, systems) = circle(CIRCLE).await;
    let at = desk.clock.now();
    hear(&desk, contact(at)).await;
    assert_eq!(desk.job().await.status, Status::Sent);
    assert!(!systems.asked("/contacts").is_empty());

    desk.clock.advance(seconds(2));
    let made = lead("lead.created", at, Some(PHONE), json!({}));
    let key = hear(&desk, made).await;
    assert_eq!(whys(&desk, &key).await, ["lead.created: our own write"]);
    // Planned again the next day, when nobody remembers what we wrote.
    desk.clock.advance(SignedDuration::from_hours(24));
    assert!(desk.store.replan_event(&key).await.unwrap());
    desk.nudge(vec![RowKey::Event(key.clone())]).await;
    assert_eq!(whys(&desk, &key).await, ["lead.created: our own write"]);
    assert_eq!(desk.jobs().await.len(), 1);
}

#[tokio::test]
async fn each_webhook_of_what_we_wrote_is_ours_and_no_later_one() {
    let (desk, _) = circle(CIRCLE).await;
    let at = desk.clock.now();
    hear(&desk, contact(at)).await;
    // HubSpot tells of each property too.
    let written = lead(
        "lead.updated",
        at + seconds(1),
        Some(PHONE),
        changed(&["name"]),
    );
    let key = hear(&desk, written).await;
    assert_eq!(whys(&desk, &key).await, ["lead.updated: our own write"]);
    // By its address alone: the id of its webhook is another than the API's.
    let other = json!({"subject": {"id": "md5"}, "event": {"id": "hubspot/lead/md5/created"}});
    let key = hear(&desk, lead("lead.created", at, None, other)).await;
    assert_eq!(whys(&desk, &key).await, ["lead.created: our own write"]);
    assert_eq!(desk.jobs().await.len(), 1);

    // Somebody else's change soon afterwards is news, and knows what led to it.
    desk.clock.advance(minutes(2));
    let at = desk.clock.now();
    let key = hear(
        &desk,
        lead("lead.updated", at, Some(PHONE), changed(&["name"])),
    )
    .await;
    assert_eq!(
        whys(&desk, &key).await,
        ["into-the-crm: 1 job", "welcome: 1 job"]
    );
    let jobs = desk.jobs().await;
    assert!(
        jobs.iter()
            .filter(|job| job.event == key)
            .all(|job| job.depth == 1)
    );
}

#[tokio::test]
async fn a_phone_that_our_write_did_not_know_is_welcomed() {
    let (desk, _) = circle(CIRCLE).await;
    let at = desk.clock.now();
    let mut nobody = contact(at);
    nobody["customer"]["phones"] = json!([]);
    nobody["contact"]["phone"] = Value::Null;
    hear(&desk, nobody).await;
    let key = hear(
        &desk,
        lead("lead.updated", at, Some(PHONE), changed(&["phone"])),
    )
    .await;
    assert!(
        whys(&desk, &key)
            .await
            .contains(&"welcome: 1 job".to_owned())
    );
}

#[tokio::test]
async fn somebody_whom_a_colleague_made_is_not_taken_for_ours() {
    let (desk, _) = circle(CIRCLE).await;
    let at = desk.clock.now();
    let persons = [PersonId::email("maria@example.com"), PersonId::phone(PHONE)];
    // We changed the record a second after a colleague had made it.
    let write = OwnWrite {
        to: Some(at + seconds(2)),
        ..OwnWrite::begun(at + seconds(1), 0, &persons)
    };
    let nobody = Digests::new();
    desk.store
        .note_write("hubspot", &[WroteTo::Record("7")], &write, &nobody)
        .await
        .unwrap();
    let key = hear(&desk, lead("lead.created", at, Some(PHONE), json!({}))).await;
    assert_eq!(whys(&desk, &key).await, ["welcome: 1 job"]);
}

#[tokio::test]
async fn a_webhook_that_is_faster_than_the_answer_waits_for_it() {
    let (desk, _) = circle(CIRCLE).await;
    let at = desk.clock.now();
    let persons = [PersonId::email("maria@example.com"), PersonId::phone(PHONE)];
    let to: Vec<WroteTo<'_>> = persons.iter().map(WroteTo::Person).collect();
    let begun = OwnWrite::begun(at, 0, &persons);
    let nobody = Digests::new();
    desk.store
        .note_write("hubspot", &to, &begun, &nobody)
        .await
        .unwrap();
    desk.clock.advance(seconds(1));
    let key = hear(&desk, lead("lead.created", at, Some(PHONE), json!({}))).await;
    let row = desk.store.event(&key).await.unwrap().unwrap();
    assert_eq!(row.status, shared::store::EventStatus::New);

    let ended = OwnWrite {
        to: Some(desk.clock.now()),
        created: true,
        ..begun
    };
    desk.store
        .note_write("hubspot", &to, &ended, &nobody)
        .await
        .unwrap();
    desk.minute(minutes(1)).await;
    assert_eq!(whys(&desk, &key).await, ["lead.created: our own write"]);
}

/// The answer was lost: nobody knows whether the record was made. Its webhook is ours all the same.
#[tokio::test]
async fn a_record_whose_answer_was_lost_is_ours() {
    let (desk, systems) = circle(CIRCLE).await;
    // Both searches find nothing, and then the record is made.
    let at = desk.clock.now();
    systems.next([Fault::Status(200), Fault::Status(200), Fault::Silence]);
    hear(&desk, contact(at)).await;
    assert_eq!(desk.job().await.status, Status::Due);
    let asked = systems.asked("/contacts");
    assert!(
        asked.last().unwrap().0.ends_with("/contacts HTTP/1.1"),
        "{asked:?}"
    );
    desk.clock.advance(seconds(90));
    let key = hear(
        &desk,
        lead("lead.created", at + seconds(1), Some(PHONE), json!({})),
    )
    .await;
    assert_eq!(whys(&desk, &key).await, ["lead.created: our own write"]);
}

/// A rule of the CRM that answers each write of ours with a change of its own: each time around counts.
#[tokio::test]
async fn a_circle_through_a_rule_of_the_crm_stops() {
    let (desk, _) = circle(CIRCLE).await;
    hear(&desk, contact(desk.clock.now())).await;
    for _ in 0..12 {
        desk.clock.advance(seconds(20));
        let at = desk.clock.now();
        hear(
            &desk,
            lead("lead.updated", at, Some(PHONE), changed(&["score"])),
        )
        .await;
    }
    let jobs = desk.jobs().await;
    let crm = jobs.iter().filter(|job| job.action == "hubspot.x").count();
    assert!(crm <= 6, "{crm}");
    let messages = desk.messages();
    assert!(messages <= 5, "{messages}");
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Wait(u8),
    Created,
    Updated,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        (0_u8..30).prop_map(Turn::Wait),
        Just(Turn::Created),
        Just(Turn::Updated),
    ];
    proptest::collection::vec(turn, 0..8)
}

/// Whenever and however often a CRM tells of what we wrote there, nobody is spoken to.
#[test]
fn the_circle_stops_in_whichever_order_it_is_told() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 12,
        ..ProptestConfig::default()
    };
    proptest!(config, |(turns in turns())| {
        runtime.block_on(async {
            let (desk, systems) = circle(CIRCLE).await;
            let at = desk.clock.now();
            hear(&desk, contact(at)).await;
            for (index, turn) in (0_i64..).zip(&turns) {
                match turn {
                    Turn::Wait(count) => desk.clock.advance(seconds(i64::from(*count))),
                    Turn::Created => {
                        hear(&desk, lead("lead.created", at, Some(PHONE), json!({}))).await;
                    }
                    Turn::Updated => {
                        let at = at + SignedDuration::from_millis(index);
                        hear(&desk, lead("lead.updated", at, Some(PHONE), json!({}))).await;
                    }
                }
            }
            assert_eq!(desk.messages(), 0);
            assert_eq!(desk.jobs().await.len(), 1);
            let made = systems.asked("/contacts");
            let made = made.iter().filter(|(line, _)| line.ends_with("/contacts HTTP/1.1"));
            assert_eq!(made.count(), 1);
        });
    });
}

fn other(subject: &str, name: &str, id: &str, at: Timestamp, body: Value) -> Value {
    let (_, fact) = name.split_once('.').unwrap();
    let mut event = json!({
        "event": {"name": name, "source": "s", "kind": "s", "id": format!("s/{subject}/{id}/{fact}"), "at": at},
        "customer": {"first_name": "Maria", "id": "c1", "email": "maria@example.com",
                     "phones": [{"path": "phone", "number": PHONE}]},
        "subject": {"kind": subject, "id": id, "as_of": at, "created_at": at, "state": "open",
                    "fresh": "dated"}
    });
    merge(&mut event, body);
    event
}

fn deal(name: &str, at: Timestamp, change: Value) -> Value {
    let status = match name {
        "deal.won" => "won",
        "deal.lost" => "lost",
        _ => "open",
    };
    let body = json!({"deal": {"id": "77", "title": "Plano", "value": "1200", "currency": "BRL",
                               "stage": "Proposta", "status": status}});
    let mut event = other("deal", name, "77", at, body);
    event["event"]["id"] = json!(format!("s/deal/77/{name}/{}", at.as_millisecond()));
    merge(&mut event, change);
    event
}

#[tokio::test]
async fn a_deal_is_spoken_of_once_at_its_time_and_not_after_its_deletion() {
    let file = r#"
        [message.offer]
        text = "{{ deal.title }} {{ deal.stage }}"
        [automation.offer]
        on      = "deal.updated"
        when    = "deal.stage == 'Proposta'"
        once    = "deal"
        at      = "+2h"
        message = "offer"
        [automation.won]
        on      = "deal.won"
        once    = "deal"
        message = "offer"
    "#;
    let desk = Desk::with(file).await;
    let at = desk.clock.now();
    hear(&desk, deal("deal.updated", at, json!({}))).await;
    hear(&desk, deal("deal.updated", at + seconds(5), json!({}))).await;
    desk.minute(minutes(125)).await;
    desk.minute(minutes(1)).await;
    let mut ended = statuses(&desk.jobs().await);
    ended.sort_by_key(|status| status.as_str());
    assert_eq!(ended, [Status::Sent, Status::Skipped]);
    let at = desk.clock.now();
    hear(&desk, deal("deal.won", at, json!({}))).await;
    hear(&desk, deal("deal.won", at + seconds(5), json!({}))).await;
    assert_eq!(desk.messages(), 2);

    let desk = Desk::with(file).await;
    let at = desk.clock.now();
    hear(&desk, deal("deal.updated", at, json!({}))).await;
    desk.clock.advance(minutes(10));
    let gone = json!({"subject": {"state": "cancelled"}});
    hear(&desk, deal("deal.deleted", desk.clock.now(), gone)).await;
    // A webhook from before comes late, and brings nobody back.
    hear(&desk, deal("deal.updated", at + seconds(1), json!({}))).await;
    desk.minute(minutes(125)).await;
    let jobs = desk.jobs().await;
    assert_eq!(statuses(&jobs), [Status::Cancelled, Status::Cancelled]);
    let why = Some("the deal was deleted");
    assert!(jobs.iter().all(|job| job.reason.as_deref() == why));
    assert_eq!(desk.messages(), 0);
}

/// Each of what has no state of its own: its name, its subject and what it holds.
fn dated() -> [(&'static str, &'static str, Value); 3] {
    let at = "2026-03-16T20:00:00Z";
    [
        (
            "form.submitted",
            "form",
            json!({"form": {"id": "f", "title": "Contato", "submitted_at": at, "response_id": "1"}}),
        ),
        (
            "email.received",
            "email",
            json!({"email": {"id": "1", "from": {"address": "maria@example.com"}, "subject": "Oi",
                             "snippet": "Oi", "text": "Oi", "at": at}}),
        ),
        ("custom.received", "custom", json!({"data": {"total": 12}})),
    ]
}

#[tokio::test]
async fn what_is_over_when_it_is_told_is_planned_once_replayed_and_erased() {
    for (name, subject, body) in dated() {
        let file = format!(
            "[message.hi]\ntext = \"Oi\"\n[automation.a]\non = \"{name}\"\nonce = \"{subject}\"\nmessage = \"hi\"\n\
             [automation.later]\non = \"{name}\"\nat = \"+40d\"\nmessage = \"hi\"\n"
        );
        let desk = Desk::with(&file).await;
        let at = desk.clock.now();
        let event = other(subject, name, "1", at, body.clone());
        let key = hear(&desk, event.clone()).await;
        hear(&desk, event).await;
        assert_eq!(desk.messages(), 1, "{name}");
        assert_eq!(whys(&desk, &key).await, ["a: 1 job", "later: 1 job"]);
        assert!(
            desk.store
                .entity(&format!("s/{subject}/1"))
                .await
                .unwrap()
                .is_none()
        );
        // The event stays until its last job has ended.
        let row = desk.store.event(&key).await.unwrap().unwrap();
        assert!(row.expires_at.unwrap() > at + SignedDuration::from_hours(24 * 60));
        // The same answer under another key, as where a form is connected twice.
        let mut again = other(subject, name, "1", at, body);
        again["event"]["id"] = json!(format!("s/{subject}/1/again"));
        hear(&desk, again).await;
        assert_eq!(desk.messages(), 1, "{name}: once");
        // Planned again: nothing more.
        assert!(desk.store.replan_event(&key).await.unwrap());
        desk.nudge(vec![RowKey::Event(key.clone())]).await;
        assert_eq!(desk.messages(), 1, "{name}");
        let erasure = Erasure {
            digests: Digests::new().phone(PHONE),
            entities: Vec::new(),
        };
        while !desk.store.erase_step("e", &erasure).await.unwrap().done {}
        assert!(desk.store.event(&key).await.unwrap().is_none(), "{name}");
        assert!(desk.jobs().await.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_a_person_does_elsewhere_stops_what_waits_for_them() {
    let leads = (
        "lead.updated",
        "lead",
        json!({"lead": {"id": "1", "kind": "contact"}}),
    );
    let deals = (
        "deal.won",
        "deal",
        json!({"deal": {"id": "1", "title": "P", "value": "1", "currency": "BRL", "stage": "x",
                        "status": "won"}}),
    );
    for (name, subject, body) in dated().into_iter().chain([leads, deals]) {
        let file = format!(
            "[automation.a]\non = \"order.created\"\nat = \"+2h\"\nstop_on = [\"{name}\"]\nmessage = \"thanks\"\n"
        );
        let desk = Desk::with(&file).await;
        let at = desk.clock.now();
        hear(
            &desk,
            crate::plan::tests::order("order.created", "1", at, json!({})),
        )
        .await;
        desk.clock.advance(minutes(10));
        desk.callbell.next([Reply::Accept]);
        hear(&desk, other(subject, name, "1", desk.clock.now(), body)).await;
        desk.minute(minutes(125)).await;
        assert_eq!(desk.job().await.status, Status::Cancelled, "{name}");
    }
}
