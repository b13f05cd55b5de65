//! What is done at other systems than a person's phone: once, again where it may be repeated, and never where
//! it must not be.

use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::store::{
    Claim, ClaimRequest, Digests, JobRow, LEASE_MS, Leased, Owner, PersonId, Status,
};

use super::callbell::received;
use super::desk::{Desk, Reply};
use super::systems::{Fault, SECRETS, Systems};
use super::{minutes, state};
use crate::automations::templates::Templates;
use crate::delivery::preview::{self, Verdict};
use crate::plan::tests::order;

/// One table a kind.
const TABLES: &str = r##"
[slack.x]
text = "<!here> {{ customer.first_name }}"

[sheet.x]
spreadsheet = "s1"
tab     = "Pedidos"
columns = { "Nome" = "{{ customer.first_name }}", "Total" = "{{ order.total }}" }

[webhook.erp]
url     = "https://erp.example.com/hooks"
body    = { total = "{{ order.total }}" }
headers = { x-key = "secret:key" }

[hubspot.x]
fields = { firstname = "{{ customer.first_name }}", city = "{{ order.shipping_address.city }}" }

[contact.x]
name = "{{ customer.first_name }} {{ order.number }}"
"##;

/// A kind's action, and what its requests have in their paths.
const KINDS: [(&str, &str, &str); 4] = [
    ("slack", "x", "/hooks.slack.com/services/T/B/x"),
    ("sheet", "x", "append"),
    ("webhook", "erp", "/erp.example.com/hooks"),
    ("hubspot", "x", "/api.hubapi.com/crm/v3/objects/contacts"),
];

/// Those of them that one request is enough for, so that what it meets is what the action meets.
const ONE_REQUEST: [(&str, &str, &str, &str, &str); 2] = [
    ("slack", "x", "/hooks.slack.com/", "slack", "Slack"),
    ("webhook", "erp", "/erp.example.com/", "erp", "webhook"),
];

fn automation(kind: &str, name: &str, more: &str) -> String {
    format!("{TABLES}\n[automation.a]\non = \"order.created\"\n{kind} = \"{name}\"\n{more}\n")
}

/// A desk whose worker reaches the other systems.
async fn desk(file: &str, secrets: &str) -> (Desk, Systems) {
    let mut desk = Desk::with(file).await;
    let (systems, fetching) = Systems::start(secrets, &desk.clock);
    desk.worker = desk.worker.clone().fetching(fetching);
    (desk, systems)
}

async fn receive(desk: &Desk, id: &str, change: Value) {
    desk.receive(order("order.created", id, desk.clock.now(), change))
        .await;
    desk.stream().await;
}

/// Who it is, and that nobody is spoken to.
async fn done_once(kind: &str, name: &str, part: &str) -> Vec<(String, Value)> {
    let (desk, systems) = desk(&automation(kind, name, ""), SECRETS).await;
    receive(&desk, "1", json!({})).await;
    let job = desk.job().await;
    assert_eq!((job.status, job.reason), (Status::Sent, None), "{kind}");
    assert_eq!(job.message_uuid, None);
    let asked = systems.asked(part);
    // Nudged again, and swept: nothing more.
    desk.nudge(vec![shared::store::RowKey::Job(job.id)]).await;
    desk.minute(minutes(5)).await;
    assert_eq!(systems.asked(part).len(), asked.len(), "{kind}");
    assert_eq!(desk.messages(), 0);
    asked
}

#[tokio::test]
async fn each_kind_is_done_once() {
    let mut bodies = Vec::new();
    for (kind, name, part) in KINDS {
        let asked = done_once(kind, name, part).await;
        let (_, body) = asked.last().unwrap().clone();
        bodies.push(body);
    }
    assert_eq!(bodies[0]["text"], "<!here> Maria");
    assert_eq!(bodies[1]["values"], json!([["Maria", "129.9"]]));
    assert_eq!(bodies[2], json!({"total": 129.9}));
    let made = &bodies[3]["properties"];
    assert_eq!(made["firstname"], "Maria");
    assert_eq!(made["phone"], "+5511987654321");
    assert_eq!(made.get("city"), None, "what is blank is left out");
}

#[tokio::test]
async fn a_person_in_callbell_is_changed_at_the_rate_of_callbell() {
    let (desk, _) = desk(&automation("contact", "x", ""), SECRETS).await;
    receive(&desk, "1", json!({})).await;
    assert_eq!(desk.state().await, (Status::Sent, String::new()));
    let changed = desk.callbell.persons_changed();
    assert_eq!(changed, [json!({"name": "Maria #1"})]);
    // The webhook that this causes is no news: what is written was noted before.
    assert!(desk.store.contact("person").await.unwrap().is_some());
    desk.minute(minutes(5)).await;
    assert_eq!(desk.callbell.persons_changed().len(), 1);
}

#[tokio::test]
async fn a_refused_secret_holds_its_system_and_one_job_probes() {
    let kinds = [
        ("slack", "/hooks.slack.com/"),
        ("hubspot", "/api.hubapi.com/"),
    ];
    for (kind, part) in kinds {
        let (name, secret) = ("x", kind);
        for status in [401, 403] {
            let (desk, systems) = desk(&automation(kind, name, ""), SECRETS).await;
            systems.next([Fault::Status(status), Fault::Status(status)]);
            receive(&desk, "1", json!({})).await;
            let hold = desk.store.held(&format!("api:{secret}")).await.unwrap();
            assert!(hold.is_some(), "{kind} {status}");
            receive(&desk, "2", json!({})).await;
            let jobs = desk.jobs().await;
            assert!(
                jobs.iter()
                    .all(|job| job.status == Status::Due && job.attempts == 0)
            );
            let reason = jobs[1].reason.clone().unwrap_or_default();
            assert!(
                reason.starts_with(&format!("{secret} is held: ")),
                "{reason}"
            );
            assert_eq!(
                systems.asked(part).len(),
                1,
                "the second waits without asking"
            );

            // Ten minutes later one of them tries, in vain, and ten minutes later another, which goes through.
            let report = desk.minute(minutes(11)).await;
            assert_eq!(report.channel_held, Some(true));
            assert_eq!(systems.asked(part).len(), 2, "one alone");
            let report = desk.minute(minutes(11)).await;
            assert_eq!(report.channel_held, Some(false));
            desk.minute(minutes(6)).await;
            let jobs = desk.jobs().await;
            assert!(
                jobs.iter().all(|job| job.status == Status::Sent),
                "{jobs:?}"
            );
        }
    }
}

/// A receiver of the user's own that refuses one request may take the next: it holds up nothing.
#[tokio::test]
async fn a_receiver_that_refuses_holds_nothing() {
    let (desk, systems) = desk(&automation("webhook", "erp", ""), SECRETS).await;
    systems.next([Fault::Status(403)]);
    receive(&desk, "1", json!({})).await;
    let reason = "the receiver answered 403";
    assert_eq!(desk.state().await, state(Status::Dead, reason));
    receive(&desk, "2", json!({})).await;
    assert_eq!(desk.jobs().await[1].status, Status::Sent);
}

#[tokio::test]
async fn what_has_no_secret_waits_for_it() {
    let file = automation("slack", "x", "");
    let (desk, systems) = desk(&file, "{}").await;
    receive(&desk, "1", json!({})).await;
    let reason = "there is no API secret called slack";
    assert_eq!(desk.state().await, state(Status::Due, reason));
    assert_eq!(desk.job().await.attempts, 0);
    // Four days later somebody sets it: not too late, because the wait was not the job's fault.
    for _ in 0..16 {
        desk.minute(SignedDuration::from_hours(6)).await;
    }
    assert_eq!(desk.job().await.status, Status::Due);
    assert!(systems.asked("").is_empty());
    let (systems, fetching) = Systems::start(SECRETS, &desk.clock);
    let worker = desk.another_worker().fetching(fetching);
    desk.clock.advance(minutes(11));
    worker.on_minute(desk.deadline()).await;
    assert_eq!(desk.state().await.0, Status::Sent);
    assert_eq!(systems.asked("/hooks.slack.com/").len(), 1);
}

#[tokio::test]
async fn a_busy_system_is_asked_later_and_no_attempt_is_spent() {
    for (kind, name, part, _, system) in ONE_REQUEST {
        let (desk, systems) = desk(&automation(kind, name, ""), SECRETS).await;
        systems.next([Fault::Limit(120)]);
        receive(&desk, "1", json!({})).await;
        let job = desk.job().await;
        assert_eq!((job.status, job.attempts), (Status::Due, 0), "{kind}");
        assert!(job.next_at >= desk.clock.now() + minutes(2), "{kind}");
        // The others wait too, without asking.
        receive(&desk, "2", json!({})).await;
        let waits = format!("{system} wants to be asked less often");
        assert_eq!(desk.jobs().await[1].reason.as_deref(), Some(waits.as_str()));
        assert_eq!(systems.asked(part).len(), 1);
        desk.minute(minutes(4)).await;
        let jobs = desk.jobs().await;
        assert!(
            jobs.iter().all(|job| job.status == Status::Sent),
            "{jobs:?}"
        );
        assert_eq!(systems.asked(part).len(), 3);
    }
}

#[tokio::test]
async fn what_did_not_come_to_an_end_is_done_again() {
    for (kind, name, part, _, _) in ONE_REQUEST {
        for fault in [Fault::Status(500), Fault::Status(503), Fault::Silence] {
            let (desk, systems) = desk(&automation(kind, name, ""), SECRETS).await;
            systems.next([fault]);
            receive(&desk, "1", json!({})).await;
            let job = desk.job().await;
            let found = (job.status, job.attempts, job.uncertainties);
            assert_eq!(found, (Status::Due, 1, 0), "{kind} {fault:?}");
            desk.minute(minutes(2)).await;
            assert_eq!(desk.state().await.0, Status::Sent, "{kind} {fault:?}");
            assert_eq!(systems.asked(part).len(), 2);
        }
    }
}

#[tokio::test]
async fn after_three_days_it_is_given_up() {
    let (desk, systems) = desk(&automation("slack", "x", ""), SECRETS).await;
    systems.next(std::iter::repeat_n(Fault::Status(503), 40));
    receive(&desk, "1", json!({})).await;
    let start = desk.clock.now();
    while desk.job().await.status == Status::Due {
        let next = desk.job().await.next_at;
        desk.minute(next.duration_since(desk.clock.now()) + SignedDuration::from_secs(30))
            .await;
    }
    let (status, reason) = desk.state().await;
    assert_eq!(status, Status::Dead);
    assert!(reason.starts_with("too late: Slack 503"), "{reason}");
    let hours = desk.clock.now().duration_since(start).as_hours();
    assert!((72..=73).contains(&hours), "{hours}");
}

#[tokio::test]
async fn what_is_refused_for_good_is_dead_with_the_reason() {
    for (kind, name, _, _, system) in ONE_REQUEST {
        let (desk, systems) = desk(&automation(kind, name, ""), SECRETS).await;
        systems.next([Fault::Status(400)]);
        receive(&desk, "1", json!({})).await;
        let (status, reason) = desk.state().await;
        assert_eq!(status, Status::Dead, "{kind}");
        assert!(reason.contains("400"), "{system}: {reason}");
    }
}

#[tokio::test]
async fn who_does_not_want_it_does_not_get_it() {
    let rows = [
        ("", json!({"event": {"test": true}}), "test order"),
        (
            "when = \"order.total > 200\"",
            json!({}),
            "when is false (order.total is 129.9)",
        ),
    ];
    for (more, change, expected) in rows {
        for (kind, name, part) in KINDS {
            let steps = more.replace("when", ", when");
            let file = format!(
                "{TABLES}\n[automation.a]\non = \"order.created\"\nsteps = [ {{ {kind} = \"{name}\" {steps} }} ]\n"
            );
            let (desk, systems) = desk(&file, SECRETS).await;
            receive(&desk, "1", change.clone()).await;
            assert_eq!(
                desk.state().await,
                state(Status::Skipped, expected),
                "{kind}"
            );
            assert!(systems.asked(part).is_empty());
        }
    }
    let blank = format!(
        "{TABLES}\n[slack.y]\ntext = \"{{{{ order.note }}}}\"\n[automation.a]\non = \"order.created\"\nslack = \"y\""
    );
    let (desk, _) = desk(&blank, SECRETS).await;
    receive(&desk, "1", json!({})).await;
    let why = "text is blank: {{ order.note }}";
    assert_eq!(desk.state().await, state(Status::Skipped, why));
}

/// Consent guards messages alone; `stop_on` and `once` hold for everything.
#[tokio::test]
async fn consent_is_for_messages_stop_on_and_once_for_all() {
    let (asked, systems) = desk(
        &automation(
            "slack",
            "x",
            "consent = \"order.total > 200\"\nonce = \"customer\"",
        ),
        SECRETS,
    )
    .await;
    receive(&asked, "1", json!({})).await;
    receive(&asked, "2", json!({})).await;
    let states: Vec<Status> = asked.jobs().await.iter().map(|job| job.status).collect();
    assert_eq!(states, [Status::Sent, Status::Skipped]);
    assert_eq!(systems.asked("/hooks.slack.com/").len(), 1);

    let later = automation("slack", "x", "at = \"+1h\"\nstop_on = [\"order.paid\"]");
    let (stopped, systems) = desk(&later, SECRETS).await;
    receive(&stopped, "1", json!({})).await;
    stopped.clock.advance(minutes(10));
    let paid = order("order.paid", "1", stopped.clock.now(), json!({}));
    stopped.receive(paid).await;
    stopped.stream().await;
    stopped.minute(minutes(60)).await;
    assert_eq!(stopped.job().await.status, Status::Cancelled);
    assert!(systems.asked("/hooks.slack.com/").is_empty());
}

/// Two jobs for one person: one makes the record, the other changes it.
#[tokio::test]
async fn two_jobs_for_one_person_make_one_record() {
    let (desk, systems) = desk(&automation("hubspot", "x", ""), SECRETS).await;
    let other = desk.worker.clone();
    for id in ["1", "2", "3"] {
        desk.receive(order("order.created", id, desk.clock.now(), json!({})))
            .await;
    }
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    tokio::join!(
        desk.worker.on_stream(rows.clone(), desk.deadline()),
        other.on_stream(rows, desk.deadline())
    );
    for _ in 0..4 {
        desk.minute(minutes(2)).await;
    }
    let jobs = desk.jobs().await;
    let done = |job: &JobRow| job.status == Status::Sent && job.attempts == 1;
    assert!(jobs.iter().all(done), "{jobs:?}");
    let made = |line: &str| line.starts_with("POST") && line.ends_with("/contacts HTTP/1.1");
    let asked = systems.asked("/crm/v3/objects/contacts");
    assert_eq!(asked.iter().filter(|(line, _)| made(line)).count(), 1);
    let changed = |line: &str| line.starts_with("PATCH") && line.contains("/contacts/7");
    assert_eq!(asked.iter().filter(|(line, _)| changed(line)).count(), 2);
}

/// Tags are read, merged and written whole: two at once would each undo the other's.
#[tokio::test]
async fn two_jobs_for_one_person_in_callbell_leave_both_tags() {
    let file = r#"
        [contact.one]
        tags = ["one"]
        [contact.two]
        tags = ["two"]
        [automation.a]
        on      = "order.created"
        contact = "one"
        [automation.b]
        on      = "order.created"
        contact = "two"
    "#;
    let (desk, _) = desk(file, SECRETS).await;
    desk.callbell.knows(json!({"uuid": "person", "tags": []}));
    let key = shared::store::RecordKey::new(
        "callbell",
        Some("write"),
        &PersonId::phone("+5511987654321"),
    );
    let owner = Owner::new().unwrap();
    let nobody = Digests::new();
    let lease = desk.store.lease_record(&key, &owner, LEASE_MS, &nobody);
    assert_eq!(lease.await.unwrap(), Leased::Leased { id: None });
    receive(&desk, "1", json!({})).await;
    assert!(desk.callbell.persons_changed().is_empty());
    let waits = |job: &JobRow| job.status == Status::Due && job.attempts == 0;
    let jobs = desk.jobs().await;
    assert!(jobs.len() == 2 && jobs.iter().all(waits), "{jobs:?}");

    desk.store.finish_record(&key, &owner, None).await.unwrap();
    desk.clock.advance(SignedDuration::from_secs(3));
    let other = desk.worker.clone();
    tokio::join!(
        desk.worker.on_minute(desk.deadline()),
        other.on_minute(desk.deadline())
    );
    for _ in 0..2 {
        desk.minute(minutes(1)).await;
    }
    let done = |job: &JobRow| job.status == Status::Sent && job.attempts == 1;
    let jobs = desk.jobs().await;
    assert!(jobs.iter().all(done), "{jobs:?}");
    let person = desk.callbell.person().unwrap();
    let mut tags: Vec<&str> = person["tags"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    tags.sort_unstable();
    assert_eq!(tags, ["one", "two"]);
}

/// Callbell's own events have another number for a person than a shop has.
#[tokio::test]
async fn a_person_of_two_systems_has_one_record() {
    let on = r#"on = ["order.created", "message.received"]"#;
    let file = automation("hubspot", "x", "").replace("on = \"order.created\"", on);
    let (desk, systems) = desk(&file, SECRETS).await;
    receive(&desk, "1", json!({})).await;
    desk.receive(received("a", desk.clock.now(), "Oi")).await;
    desk.stream().await;
    let jobs = desk.jobs().await;
    let done = |job: &JobRow| job.status == Status::Sent;
    assert!(jobs.len() == 2 && jobs.iter().all(done), "{jobs:?}");
    let asked = systems.asked("/crm/v3/objects/contacts");
    let made = |line: &str| line.starts_with("POST") && line.ends_with("/contacts HTTP/1.1");
    assert_eq!(asked.iter().filter(|(line, _)| made(line)).count(), 1);
}

/// Whoever did it stopped behind the request: the same is done again, and finds what was made.
#[tokio::test]
async fn a_crash_behind_the_request_repeats_it_and_makes_nothing_twice() {
    let (desk, systems) = desk(&automation("hubspot", "x", ""), SECRETS).await;
    let event = order("order.created", "1", desk.clock.now(), json!({}));
    desk.receive(event).await;
    // Planned by a worker that can do nothing else.
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    desk.another_worker().on_stream(rows, desk.deadline()).await;
    let job = desk.job().await;
    let owner = Owner::new().unwrap();
    let claim = desk
        .store
        .claim(
            &job.id,
            job.version,
            &owner,
            LEASE_MS,
            &ClaimRequest::default(),
        )
        .await
        .unwrap();
    assert!(matches!(claim, Claim::Won(_)), "{job:?}");
    let key = shared::store::RecordKey::new("hubspot", None, &PersonId::phone("+5511987654321"));
    let leased = desk
        .store
        .lease_record(&key, &owner, LEASE_MS, &Digests::new())
        .await
        .unwrap();
    assert_eq!(leased, Leased::Leased { id: None });
    desk.store
        .finish_record(&key, &owner, Some("7"))
        .await
        .unwrap();

    for _ in 0..4 {
        desk.minute(minutes(2)).await;
    }
    let job = desk.job().await;
    assert_eq!((job.status, job.uncertainties), (Status::Sent, 0));
    assert_eq!(job.attempts, 2);
    let asked = systems.asked("/crm/v3/objects/contacts");
    assert!(
        asked.iter().all(|(line, _)| !line.starts_with("POST")),
        "{asked:?}"
    );
    assert!(asked.iter().any(|(line, _)| line.starts_with("PATCH")));
}

/// What is said to a person and what is done elsewhere are jobs of their own: neither waits for the other.
#[tokio::test]
async fn an_outage_of_one_system_delays_nobody_else() {
    let file = format!(
        "{TABLES}\n[automation.a]\non = \"order.created\"\nsteps = [ {{ message = \"thanks\" }}, {{ slack = \"x\" }} ]\n"
    );
    let (desk, systems) = desk(&file, SECRETS).await;
    systems.next([Fault::Status(503)]);
    desk.callbell.next([Reply::Accept]);
    receive(&desk, "1", json!({})).await;
    let jobs = desk.jobs().await;
    let states: Vec<Status> = jobs.iter().map(|job| job.status).collect();
    assert_eq!(states, [Status::Sent, Status::Due]);
    desk.minute(minutes(2)).await;
    assert!(
        desk.jobs()
            .await
            .iter()
            .all(|job| job.status == Status::Sent)
    );
}

#[test]
fn a_preview_shows_what_would_be_written() {
    let file = format!(
        "[channel.shop]\nuuid = \"35f6f8ccb5504278a2ea099f3a4e0730\"\n{}",
        automation("hubspot", "x", "")
    );
    let automations = crate::automations::parse(&file).unwrap();
    let now = "2026-11-22T15:00:00Z".parse().unwrap();
    let event = serde_json::from_value(order("order.created", "1", now, json!({}))).unwrap();
    let explained = preview::explain(event, &automations, &Templates::default());
    let job = explained.jobs.first().unwrap();
    assert_eq!(job.verdict, Verdict::Goes);
    let written = job.written.clone().unwrap();
    assert_eq!(
        (written.system.as_str(), written.secret.as_str()),
        ("HubSpot", "hubspot")
    );
    let values = [("firstname".to_owned(), "Maria".to_owned())];
    assert_eq!(written.values, values);
}
