//! What Callbell's own events do to persons, jobs and automations, over the real store.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::event::Name;
use shared::store::{
    Changed, Delivery, Ended, EventStatus, JobRow, Line, PersonId, PersonRow, Status,
};

use super::desk::{Desk, Reply};
use super::interleavings::crash_after;
use super::minutes;
use crate::plan::tests::{merge, order};

const CHANNEL: &str = "35f6f8ccb5504278a2ea099f3a4e0730";
const PHONE: &str = "+5511987654321";
const OWNER: &str = "+5511912345678";
const CONTACT: &str = "0d1a5c0e8f7e4b0c9b1f3f5b6a7c8d9e";
const BSUID: &str = "BR.13491208655302741918";

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// One of Callbell's own events about Maria. `key` behind `callbell/{subject}/`.
fn event(name: &str, key: &str, at: Timestamp, body: Value) -> Value {
    let subject = name.split('.').next().unwrap();
    let mut event = json!({
        "event": {"name": name, "source": "callbell", "kind": "callbell",
                  "id": format!("callbell/{subject}/{key}"), "at": at},
        "customer": {"name": "MARIA DA SILVA", "id": CONTACT,
                     "phones": [{"path": "contact.phoneNumber", "number": PHONE}]},
        "subject": {"kind": subject, "id": key, "as_of": at, "created_at": at, "state": "open",
                    "fresh": "dated"},
        "contact": {"id": CONTACT, "name": "MARIA DA SILVA", "phone": PHONE, "channel": CHANNEL,
                    "channel_kind": "whatsapp", "url": "https://dash.callbell.eu/c/1"}
    });
    merge(&mut event, body);
    event
}

pub(super) fn received(key: &str, at: Timestamp, text: &str) -> Value {
    let message = json!({"text": text, "kind": "text", "status": "received", "at": at});
    event(
        "message.received",
        &format!("{key}/received"),
        at,
        json!({ "message": message }),
    )
}

/// The same of somebody who hides the number.
fn hidden(mut event: Value) -> Value {
    event["customer"]["bsuid"] = json!(BSUID);
    event["customer"]["phones"][0]["number"] = Value::Null;
    event["contact"]["bsuid"] = json!(BSUID);
    event["contact"]["phone"] = Value::Null;
    event
}

/// A status of a job's message.
fn status(
    name: &str,
    job: &JobRow,
    status: &str,
    uuid: &str,
    at: Timestamp,
    change: Value,
) -> Value {
    let mut message = json!({"kind": "text", "status": status, "at": at, "id": uuid});
    merge(&mut message, change);
    let body = json!({"message": message, "job": {"id": job.id.as_str()}});
    event(name, &format!("{uuid}/{status}"), at, body)
}

/// A job's message as the webhook of its own coming into being shows it.
fn echo(job: &JobRow, at: Timestamp) -> Value {
    let message = json!({"text": "Oi", "kind": "text", "status": "sent", "at": at});
    let body = json!({"message": message, "job": {"id": job.id.as_str()}});
    event("message.echo", &format!("{}/echo", job.id), at, body)
}

async fn hear(desk: &Desk, event: Value) -> String {
    let key = desk.receive(event).await;
    desk.stream().await;
    key
}

/// A desk whose customer never wrote.
async fn quiet(file: &str) -> Desk {
    let desk = Desk::empty().await;
    desk.push(file).await;
    desk
}

async fn person(desk: &Desk, id: PersonId) -> PersonRow {
    desk.store.persons(&[id]).await.unwrap().remove(0)
}

async fn lines(desk: &Desk, key: &str) -> Vec<Line> {
    desk.store.event(key).await.unwrap().unwrap().lines
}

async fn whys(desk: &Desk, key: &str) -> Vec<String> {
    let lines = lines(desk, key).await;
    let why = |line: &Line| format!("{}: {}", line.automation, line.why);
    lines.iter().map(why).collect()
}

fn texts(desk: &Desk) -> Vec<String> {
    let sent = desk.callbell.sent();
    let text = |body: &Value| {
        body["content"]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    sent.iter().map(text).collect()
}

async fn jobs_of(desk: &Desk, automation: &str) -> Vec<JobRow> {
    let mut jobs = desk.jobs().await;
    jobs.retain(|job| job.automation == automation);
    jobs
}

const BOTH: &str = r#"
[message.both]
text     = "Livre"
template = "d980fb66fd5043d3ace1aa06ba044342"

[automation.paid]
on      = "order.paid"
message = "both"
"#;

#[tokio::test]
async fn a_message_opens_the_window_and_only_ever_further() {
    let desk = quiet(BOTH).await;
    let start = desk.clock.now();
    let paid = |id: &str, at| order("order.paid", id, at, json!({}));
    hear(&desk, paid("1", start)).await;
    hear(&desk, received("a", start, "Oi")).await;
    hear(&desk, received("late", start - minutes(90), "Oi?")).await;
    hear(&desk, paid("2", start)).await;
    desk.clock.advance(minutes(24 * 60));
    hear(&desk, paid("3", desk.clock.now())).await;
    let is_template: Vec<bool> = desk
        .callbell
        .sent()
        .iter()
        .map(|body| body.get("template_uuid").is_some())
        .collect();
    assert_eq!(is_template, [true, false, true]);
}

#[tokio::test]
async fn a_clock_that_goes_ahead_holds_no_window_open() {
    let desk = quiet("").await;
    let start = desk.clock.now();
    hear(&desk, received("a", start + minutes(600), "Oi")).await;
    let row = person(&desk, PersonId::phone(PHONE)).await;
    assert_eq!(row.window_until, Some(start + minutes(24 * 60)));
}

const OPT_OUT: &str = r#"
[opt_out]
confirm = "bye"
tag     = "opt-out"

[message.bye]
text = "Tudo bem, não escrevemos mais."

[message.hello]
text = "Olá!"

[automation.thanks]
on      = "order.created"
message = "thanks"

[automation.hello]
on      = "message.received"
message = "hello"
"#;

#[tokio::test]
async fn opting_out_silences_and_opting_in_restores() {
    let desk = quiet(OPT_OUT).await;
    let start = desk.clock.now();
    desk.clock.advance(seconds(5));
    let with = |tags: Value| json!({"uuid": CONTACT, "name": "MARIA DA SILVA", "tags": tags});
    desk.callbell.knows(with(json!(["vip"])));
    let key = hear(&desk, received("a", start, " Sair! ")).await;
    assert_eq!(
        whys(&desk, &key).await,
        ["(opt-out): 2 jobs", "hello: 1 job"]
    );
    hear(&desk, order("order.created", "1", start, json!({}))).await;
    // Said again, and said before: neither is answered.
    hear(&desk, received("b", start + seconds(1), "SAIR")).await;
    hear(&desk, received("c", start - seconds(9), "voltar")).await;
    assert_eq!(texts(&desk), ["Tudo bem, não escrevemos mais."]);
    for automation in ["thanks", "hello"] {
        for job in jobs_of(&desk, automation).await {
            let state = (job.status, job.reason.as_deref());
            assert_eq!(state, (Status::Skipped, Some("opted out")), "{automation}");
        }
    }
    let tagged = jobs_of(&desk, "(opt-out)").await;
    let actions: Vec<&str> = tagged.iter().map(|job| job.action.as_str()).collect();
    assert_eq!(actions, ["contact.(opt-out)", "message.bye"]);

    desk.callbell.knows(with(json!(["vip", "opt-out"])));
    desk.clock.advance(seconds(30));
    hear(&desk, received("d", desk.clock.now(), "Voltar")).await;
    hear(
        &desk,
        order("order.created", "2", desk.clock.now(), json!({})),
    )
    .await;
    let back: Vec<String> = texts(&desk).split_off(1);
    assert_eq!(back, ["Olá!", "Obrigado, Maria! Pedido #2."]);
    let untagged = jobs_of(&desk, "(opt-in)").await;
    assert_eq!(untagged.len(), 1);
    assert_eq!(untagged[0].action, "contact.(opt-in)");
    let tags = [
        json!({"tags": ["vip", "opt-out"]}),
        json!({"tags": ["vip"]}),
    ];
    assert_eq!(desk.callbell.persons_changed(), tags);
    assert_eq!(
        person(&desk, PersonId::phone(PHONE)).await.opted_out_at,
        None
    );
}

#[tokio::test]
async fn service_messages_go_on_where_the_file_says_so() {
    let file = r#"
        [opt_out]
        service = "send"
        [message.promo]
        text    = "Promo"
        purpose = "marketing"
        [automation.thanks]
        on      = "order.created"
        message = "thanks"
        [automation.promo]
        on      = "order.created"
        consent = true
        message = "promo"
        [automation.hello]
        on      = "conversation.opened"
        message = "promo"
        consent = true
    "#;
    let desk = quiet(file).await;
    let start = desk.clock.now();
    hear(&desk, received("a", start, "STOP")).await;
    hear(&desk, order("order.created", "1", start, json!({}))).await;
    let talk = json!({"conversation": {"id": CONTACT, "url": "", "opened_at": start}});
    hear(&desk, event("conversation.opened", "o", start, talk)).await;
    assert_eq!(texts(&desk), ["Obrigado, Maria! Pedido #1."]);
}

#[tokio::test]
async fn who_hides_the_number_is_a_person_as_well() {
    let file = r#"
        [message.hello]
        text = "Olá, {{ contact.first_name }}!"
        [message.later]
        text = "E aí?"
        [automation.hello]
        on      = "message.received"
        once    = "customer"
        stop_on = ["message.received"]
        steps   = [{ message = "hello" }, { message = "later", at = "+1h" }]
    "#;
    let desk = quiet(file).await;
    let start = desk.clock.now();
    hear(&desk, hidden(received("a", start, "Oi"))).await;
    hear(&desk, hidden(received("b", start + seconds(1), "Oi?"))).await;
    assert_eq!(texts(&desk), ["Olá, Maria!"]);
    assert_eq!(desk.callbell.sent()[0]["bsuid"], BSUID);
    desk.minute(minutes(61)).await;
    let ends: BTreeMap<String, String> = desk
        .jobs()
        .await
        .into_iter()
        .map(|job| (job.key.clone(), job.reason.unwrap_or_default()))
        .collect();
    let of = |key: &str| ends[&format!("hello/message.{key}/received")].clone();
    assert!(of("later#callbell/message/a").starts_with("message.received"));
    assert!(of("hello#callbell/message/b").starts_with("once: sent for"));
    hear(&desk, hidden(received("c", desk.clock.now(), "Sair"))).await;
    let row = person(&desk, PersonId::bsuid(BSUID)).await;
    assert!(row.opted_out_at.is_some());
    assert_eq!(
        row.first_message.as_deref(),
        Some("callbell/message/a/received")
    );
}

#[tokio::test]
async fn the_safety_catch_has_numbers_alone() {
    let file = r#"
        [message.hello]
        text = "Olá!"
        [automation.hello]
        on      = "message.received"
        message = "hello"
    "#;
    let head = "[defaults]\nonly_to = [\"+5511987654321\"]\n[channel.shop]\nuuid = \"35f6f8ccb5504278a2ea099f3a4e0730\"\n";
    let desk = Desk::empty().await;
    desk.push_raw(&format!("{head}{file}"), "[]").await;
    let start = desk.clock.now();
    hear(&desk, hidden(received("a", start, "Oi"))).await;
    hear(&desk, received("b", start, "Oi")).await;
    let mut reasons: Vec<Option<String>> = Vec::new();
    for job in desk.jobs().await {
        reasons.push(job.reason);
    }
    assert_eq!(reasons, [Some("not in only_to".to_owned()), None]);
    assert_eq!(desk.messages(), 1);
}

/// A job whose answer was lost.
async fn uncertain(file: &str) -> Desk {
    let desk = Desk::with(file).await;
    desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
        .await;
    desk.callbell.next([Reply::AcceptAndDrop]);
    desk.stream().await;
    assert_eq!(desk.state().await.0, Status::Uncertain);
    desk
}

const THANKS: &str = r#"
[automation.thanks]
on      = "order.created"
message = "thanks"
"#;

#[tokio::test]
async fn an_echo_or_a_status_settles_what_nobody_knew() {
    let desk = uncertain(THANKS).await;
    let now = desk.clock.now();
    let key = hear(&desk, echo(&desk.job().await, now)).await;
    assert_eq!(desk.job().await.status, Status::Sent);
    let why = format!(
        "message.echo: the message of job {} is at Callbell",
        desk.job().await.id
    );
    assert_eq!(whys(&desk, &key).await, [why]);
    let sent = person(&desk, PersonId::phone(PHONE)).await.sent.unwrap();
    assert_eq!(sent.automation, "thanks");

    for (name, word) in [("message.status", "enqueued"), ("message.failed", "failed")] {
        let desk = uncertain(THANKS).await;
        let now = desk.clock.now();
        let uuid = "a".repeat(32);
        hear(
            &desk,
            status(name, &desk.job().await, word, &uuid, now, json!({})),
        )
        .await;
        let job = desk.job().await;
        assert_eq!((job.status, job.message_uuid), (Status::Sent, Some(uuid)));
        assert_eq!(job.delivery, Delivery::parse(word));
    }
}

/// An echo that comes while the request still runs must not be forgotten when its answer is lost.
#[tokio::test]
async fn news_that_come_before_the_answer_settle_it_later() {
    let desk = Desk::with(THANKS).await;
    desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
        .await;
    desk.callbell.next([Reply::AcceptAndDrop]);
    desk.stream().await;
    let job = desk.job().await;
    desk.store
        .record_news(
            &job.id,
            &shared::store::News {
                delivery: Some(Delivery::Enqueued),
                ..shared::store::News::default()
            },
        )
        .await
        .unwrap();
    desk.minute(minutes(4)).await;
    assert_eq!(desk.job().await.status, Status::Sent);
    assert_eq!(desk.callbell.questions(), 0, "nobody had to ask");
}

const FALLBACK: &str = r#"
[message.sms]
text = "{{ job.automation }} {{ job.action }} {{ job.status }} {{ job.attempts }}: {{ job.reason }}"

[automation.thanks]
on      = "order.created"
message = "thanks"

[automation.fallback]
on      = "message.failed"
message = "sms"
"#;

#[tokio::test]
async fn a_failure_reaches_the_job_and_its_fallback_once() {
    let desk = Desk::with(FALLBACK).await;
    let now = desk.clock.now();
    hear(&desk, order("order.created", "1", now, json!({}))).await;
    let job = desk.job().await;
    let uuid = job.message_uuid.clone().unwrap();
    let failed = |job: &JobRow, uuid: &str| {
        let reason = json!({"reason": "131026: not on WhatsApp"});
        status("message.failed", job, "failed", uuid, now, reason)
    };
    hear(&desk, failed(&job, &uuid)).await;
    hear(&desk, failed(&job, &uuid)).await;
    let row = desk.store.job(&job.id).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.delivery),
        (Status::Sent, Some(Delivery::Failed))
    );
    assert_eq!(
        row.delivery_reason.as_deref(),
        Some("131026: not on WhatsApp")
    );
    let said = "thanks message.thanks sent 1: 131026: not on WhatsApp";
    assert_eq!(texts(&desk).split_off(1), [said]);

    // The fallback fails as well: no chain.
    let fallback = jobs_of(&desk, "fallback").await.remove(0);
    assert_eq!(fallback.depth, 1);
    let uuid = fallback.message_uuid.clone().unwrap();
    let key = hear(&desk, failed(&fallback, &uuid)).await;
    assert_eq!(
        whys(&desk, &key).await,
        ["fallback: the message was its own"]
    );
    assert_eq!(desk.messages(), 2);
}

#[tokio::test]
async fn deliveries_only_rise_and_a_corrected_number_is_kept() {
    let desk = Desk::with(THANKS).await;
    let now = desk.clock.now();
    hear(&desk, order("order.created", "1", now, json!({}))).await;
    let job = desk.job().await;
    let uuid = job.message_uuid.clone().unwrap();
    let corrected = json!({"corrected_phone": "+551187654321"});
    let statuses = [
        ("message.read", "read", json!({})),
        ("message.status", "mismatch", corrected),
        ("message.delivered", "delivered", json!({})),
        ("message.status", "enqueued", json!({})),
    ];
    for (name, word, change) in statuses {
        let key = hear(&desk, status(name, &job, word, &uuid, now, change)).await;
        let told = whys(&desk, &key).await.concat();
        assert!(!told.contains("87654321"), "{told}");
    }
    let job = desk.job().await;
    assert_eq!(job.delivery, Some(Delivery::Read));
    assert_eq!(job.corrected_phone.as_deref(), Some("+551187654321"));
}

/// Two automations that answer each other's messages.
#[tokio::test]
async fn a_circle_of_our_own_making_stops() {
    let file = r#"
        [message.ping]
        text = "ping"
        [automation.start]
        on      = "order.created"
        message = "ping"
        [automation.one]
        on      = "message.delivered"
        message = "ping"
        [automation.two]
        on      = "message.delivered"
        message = "ping"
    "#;
    let desk = Desk::with(file).await;
    hear(
        &desk,
        order("order.created", "1", desk.clock.now(), json!({})),
    )
    .await;
    let mut delivered: Vec<String> = Vec::new();
    let mut last = String::new();
    for _ in 0..10 {
        let mut jobs = desk.jobs().await;
        jobs.retain(|job| !delivered.contains(&job.key));
        for job in jobs {
            let uuid = job.message_uuid.clone().unwrap();
            let now = desk.clock.now();
            last = hear(
                &desk,
                status(
                    "message.delivered",
                    &job,
                    "delivered",
                    &uuid,
                    now,
                    json!({}),
                ),
            )
            .await;
            delivered.push(job.key.clone());
        }
        desk.clock.advance(minutes(1));
    }
    let depths = desk.jobs().await.iter().map(|job| job.depth).max();
    assert_eq!(depths, Some(4));
    // One, then both, then each answers the other: 1 + 2 + 2 + 2 + 2.
    assert_eq!(desk.messages(), 9);
    assert!(
        whys(&desk, &last)
            .await
            .iter()
            .any(|why| why.contains("our own actions led to this 5 times over"))
    );
}

const CRM: &str = r#"
[message.tagged]
text = "{{ contact.added_tags | join(',') }}|{{ contact.changed | join(',') }}"

[automation.vip]
on      = "contact.updated"
when    = "'vip' in contact.added_tags"
message = "tagged"

[automation.any]
on      = "contact.updated"
message = "tagged"
to      = "+5511912345678"
"#;

fn updated(key: &str, at: Timestamp, tags: &[&str]) -> Value {
    event(
        "contact.updated",
        key,
        at,
        json!({"contact": {"tags": tags}}),
    )
}

#[tokio::test]
async fn a_contact_that_changes_tells_what_did() {
    let desk = Desk::with(CRM).await;
    let owner = PersonId::phone(OWNER);
    let open = Some(desk.clock.now() + minutes(60_000));
    desk.store.set_window(&owner, open).await.unwrap();
    let now = desk.clock.now();
    hear(&desk, received("a", now, "Oi")).await;
    desk.clock.advance(seconds(1));
    hear(&desk, updated("u1", now, &["vip"])).await;
    assert_eq!(texts(&desk), ["vip|tags", "vip|tags"]);
    // Nothing changed: nobody is told, and the event says so.
    desk.clock.advance(seconds(1));
    let key = hear(&desk, updated("u2", now, &["vip"])).await;
    let nothing = "contact.updated: nothing changed against what we last saw";
    assert_eq!(whys(&desk, &key).await, [nothing]);
    // To and fro.
    for (key, tags) in [("u3", &[][..]), ("u4", &["vip"])] {
        desk.clock.advance(seconds(1));
        hear(&desk, updated(key, now, tags)).await;
    }
    assert_eq!(texts(&desk).split_off(2), ["|tags", "vip|tags", "vip|tags"]);
    // What we write ourselves is no news.
    let values = json!({"tags": ["vip", "lead"], "name": "Maria"});
    let digests = shared::store::Digests::new().phone(PHONE);
    desk.store
        .expect_contact(CONTACT, values.as_object().unwrap(), &digests)
        .await
        .unwrap();
    desk.clock.advance(seconds(1));
    let mut ours = updated("u5", now, &["vip", "lead"]);
    ours["contact"]["name"] = json!("Maria");
    let key = hear(&desk, ours).await;
    assert_eq!(whys(&desk, &key).await, [nothing]);
    assert_eq!(desk.messages(), 5);
}

/// One that was recovered hours later is stored now, and is no newer for that.
#[tokio::test]
async fn a_change_that_is_recovered_after_a_later_one_is_no_news() {
    let desk = Desk::with(CRM).await;
    let owner = PersonId::phone(OWNER);
    let open = Some(desk.clock.now() + minutes(60_000));
    desk.store.set_window(&owner, open).await.unwrap();
    let start = desk.clock.now();
    hear(&desk, updated("u1", start, &[])).await;
    desk.clock.advance(minutes(2));
    hear(&desk, updated("u3", start + minutes(2), &["b2b"])).await;
    let before = texts(&desk);
    desk.clock.advance(minutes(180));
    let key = hear(&desk, updated("u2", start + minutes(1), &["vip"])).await;
    let nothing = "contact.updated: nothing changed against what we last saw";
    assert_eq!(whys(&desk, &key).await, [nothing]);
    assert_eq!(texts(&desk), before);
    let row = desk.store.contact(CONTACT).await.unwrap().unwrap();
    assert_eq!(row.contact.unwrap().tags, ["b2b"]);
}

/// Callbell may leave out who is assigned: only what is about the contact itself tells that nobody is.
#[tokio::test]
async fn a_webhook_that_names_nobody_takes_no_colleague_away() {
    let start = quiet("").await.clock.now();
    let at = |s: i64| start + seconds(s);
    let with = |mut event: Value, to: &str| {
        event["contact"]["assigned_to"] = json!(to);
        event
    };
    let ana = |event: Value| with(event, "ana@example.com");
    let talk = json!({"conversation": {"id": CONTACT, "url": ""}});
    let closed = |s: i64| event("conversation.closed", "closed", at(s), talk.clone());
    let opened = |s: i64| event("conversation.opened", "opened", at(s), talk.clone());
    let cases = [
        ("written to", vec![received("b", at(2), "Oi")], true),
        ("opened", vec![opened(2)], true),
        ("changed", vec![updated("u", at(2), &[])], false),
        ("closed", vec![closed(2)], false),
        (
            "left over from before it was closed",
            vec![closed(2), ana(received("b", at(3), "Oi"))],
            false,
        ),
        (
            "somebody else since it was closed",
            vec![
                closed(2),
                with(updated("u", at(3), &[]), "bia@example.com"),
                received("b", at(4), "Oi"),
            ],
            true,
        ),
        ("closed before", vec![closed(0)], true),
    ];
    for (what, events, expected) in cases {
        let desk = quiet("").await;
        desk.clock.advance(minutes(1));
        hear(&desk, ana(received("a", at(1), "Oi"))).await;
        for event in events {
            hear(&desk, event).await;
        }
        let talk = desk.store.conversation(CONTACT).await.unwrap().unwrap();
        assert_eq!(talk.is_assigned(), expected, "{what}: {talk:?}");
    }
}

/// A message may assign its person to a team or to somebody: the webhook of that is our own doing.
#[tokio::test]
async fn whom_our_message_assigns_is_no_news() {
    let file = r#"
        [message.menu]
        text   = "Menu"
        team   = "Vendas"
        assign = "ana@example.com"
        [message.tagged]
        text = "changed {{ contact.changed | join(',') }}"
        [automation.menu]
        on      = "message.received"
        message = "menu"
        [automation.tagged]
        on      = "contact.updated"
        message = "tagged"
    "#;
    let desk = Desk::with(file).await;
    let now = desk.clock.now();
    hear(&desk, received("a", now, "Oi")).await;
    assert_eq!(texts(&desk), ["Menu"]);
    desk.clock.advance(seconds(1));
    let assigned = |key: &str, to: &str| {
        let mut event = updated(key, now, &[]);
        event["contact"]["team"] = json!("Vendas");
        event["contact"]["assigned_to"] = json!(to);
        event
    };
    let key = hear(&desk, assigned("u1", "ana@example.com")).await;
    let nothing = "contact.updated: nothing changed against what we last saw";
    assert_eq!(whys(&desk, &key).await, [nothing]);
    // Somebody else's doing is.
    desk.clock.advance(seconds(1));
    hear(&desk, assigned("u2", "bia@example.com")).await;
    assert_eq!(texts(&desk), ["Menu", "changed assigned_to"]);
}

/// By the time a job comes up we may have seen more; and a planner that stops half way is told the same.
#[tokio::test]
async fn what_changed_is_told_the_same_whenever_it_is_asked() {
    let later = CRM.replace(
        "message = \"tagged\"\nto ",
        "at = \"+1h\"\nmessage = \"tagged\"\nto ",
    );
    for wakes in (0..60).step_by(3) {
        let desk = Desk::with(&later).await;
        let open = Some(desk.clock.now() + minutes(60_000));
        desk.store
            .set_window(&PersonId::phone(OWNER), open)
            .await
            .unwrap();
        let now = desk.clock.now();
        hear(&desk, received("a", now, "Oi")).await;
        desk.clock.advance(seconds(1));
        desk.receive(updated("u1", now, &["vip"])).await;
        let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
        crash_after(
            wakes,
            desk.another_worker().on_stream(rows, desk.deadline()),
        )
        .await;
        // Another change overtakes it.
        desk.clock.advance(seconds(1));
        let key = desk.receive(updated("u2", now, &["vip", "b2b"])).await;
        desk.nudge(vec![shared::store::RowKey::Event(key)]).await;
        desk.stream().await;
        desk.minute(minutes(5)).await;
        desk.minute(minutes(60)).await;
        let mut said = texts(&desk);
        said.sort();
        said.dedup();
        // Each change once: by both events, or all of it by the later one.
        let apart = ["b2b|tags", "vip|tags"];
        let at_once = ["b2b,vip|tags"];
        assert!(said == apart || said == at_once, "{wakes}: {said:?}");
    }
}

#[tokio::test]
async fn a_deleted_contact_is_told_as_we_last_saw_it() {
    let file = r#"
        [message.gone]
        text = "{{ contact.name }} {{ contact.tags | join(',') }} {{ contact.phone }}"
        [automation.gone]
        on      = "contact.deleted"
        steps   = [{ message = "gone" }]
    "#;
    let desk = Desk::with(file).await;
    let now = desk.clock.now();
    hear(&desk, updated("u1", now, &["vip"])).await;
    let mut deleted = event("contact.deleted", "d", now, json!({}));
    deleted["contact"] = json!({"id": CONTACT});
    deleted["customer"] = json!({"id": CONTACT});
    hear(&desk, deleted).await;
    assert_eq!(texts(&desk), [format!("MARIA DA SILVA vip {PHONE}")]);
}

const DEAD: &str = r#"
[message.alert]
text = "{{ job.automation }}: {{ job.reason }} ({{ customer.first_name }})"

[automation.thanks]
on      = "order.created"
message = "thanks"

[automation.tell-us]
on      = "job.dead"
message = "alert"
to      = "+5511912345678"
"#;

async fn alerted() -> Desk {
    let desk = Desk::with(DEAD).await;
    let open = Some(desk.clock.now() + minutes(60_000));
    let owner = PersonId::phone(OWNER);
    desk.store.set_window(&owner, open).await.unwrap();
    desk
}

#[tokio::test]
async fn a_death_is_told_once_and_its_own_failures_are_not() {
    let desk = alerted().await;
    let now = desk.clock.now();
    desk.receive(order("order.created", "1", now, json!({})))
        .await;
    desk.callbell
        .next([Reply::Refuse(422, r#"{"error": "not on WhatsApp"}"#)]);
    desk.stream().await;
    desk.stream().await;
    assert_eq!(
        texts(&desk),
        ["thanks: Callbell 422: not on WhatsApp (Maria)"]
    );
    let told = jobs_of(&desk, "tell-us").await.remove(0);
    assert_eq!(told.depth, 1);
    assert_eq!(jobs_of(&desk, "thanks").await[0].status, Status::Dead);

    // Its telling dies: nobody is told of that.
    desk.receive(order("order.created", "2", now, json!({})))
        .await;
    desk.callbell
        .next([Reply::Refuse(422, "{}"), Reply::Refuse(422, "{}")]);
    for _ in 0..4 {
        desk.stream().await;
        desk.minute(minutes(2)).await;
    }
    let dead = desk
        .jobs()
        .await
        .into_iter()
        .filter(|job| job.status == Status::Dead);
    assert_eq!(dead.count(), 3);
    assert_eq!(jobs_of(&desk, "tell-us").await.len(), 2);
}

/// The event is stored before the row says so: planning it waits for that, and drops it where the row comes
/// to say something else.
#[tokio::test]
async fn a_death_that_is_not_written_yet_waits_and_one_that_is_not_true_is_told_to_nobody() {
    let truths = [
        (Ended::Dead("refused".to_owned()), 1),
        (Ended::Cancelled("by hand".to_owned()), 0),
    ];
    for (end, told) in truths {
        let desk = alerted().await;
        desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
            .await;
        desk.callbell.next([Reply::Refuse(503, "")]);
        desk.stream().await;
        let job = desk.job().await;
        assert_eq!((job.status, job.attempts), (Status::Due, 1));
        for _ in 0..2 {
            desk.worker.job_died(&job, "refused").await.unwrap();
        }
        let key = format!(
            "callbell-serverless/job/{}/dead/{}",
            job.id,
            job.version + 1
        );
        desk.stream().await;
        let row = desk.store.event(&key).await.unwrap().unwrap();
        assert_eq!(row.status, EventStatus::New);
        let event = row.event.unwrap();
        assert_eq!(event.event.depth, 1);
        assert_eq!(event.customer.id.as_deref(), Some("c1"));
        let from = &[Status::Due];
        let ended = desk.store.end(&job.id, job.version, from, &end).await;
        assert!(matches!(ended, Ok(Changed::Done(_))));
        desk.minute(seconds(10)).await;
        assert_eq!(jobs_of(&desk, "tell-us").await.len(), told);
        if told == 0 {
            let why = "job.dead: the job is not dead after all";
            assert_eq!(whys(&desk, &key).await, [why]);
        }
    }
}

/// The event is stored before the row says so. Whoever stops in between leaves no death that is not told,
/// and none that is told twice or is not true.
#[tokio::test]
async fn a_death_is_told_once_whatever_stops_half_way() {
    for wakes in (10..90).step_by(7) {
        let desk = alerted().await;
        desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
            .await;
        desk.callbell.next([Reply::Refuse(422, "{}")]);
        let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
        crash_after(
            wakes,
            desk.another_worker().on_stream(rows, desk.deadline()),
        )
        .await;
        desk.callbell.drain().await;
        let is_refused = desk.callbell.tries() > 0;
        for _ in 0..8 {
            desk.stream().await;
            desk.minute(minutes(4)).await;
        }
        let thanks = jobs_of(&desk, "thanks").await.remove(0);
        let deaths = jobs_of(&desk, "tell-us").await.len();
        let expected = usize::from(thanks.status == Status::Dead);
        assert_eq!(deaths, expected, "{wakes}: {thanks:?}");
        assert!(
            is_refused || thanks.status == Status::Dead,
            "{wakes}: {thanks:?}"
        );
    }
}

const ASKS: &str = r#"
[message.tags]
text = "{{ contact.tags | join(',') }} {{ contact.first_name | default('nobody') }} {{ conversation.last_sent }} {{ contact.opted_out }}"

[automation.asks]
on    = "order.created"
steps = [{ message = "tags", when = "'atacado' not in contact.tags" }]
"#;

#[tokio::test]
async fn the_person_in_callbell_is_asked_for_where_a_step_names_them() {
    let desk = Desk::with(&format!(
        "{ASKS}{}",
        THANKS.replace("order.created", "order.paid")
    ))
    .await;
    let now = desk.clock.now();
    hear(&desk, order("order.paid", "1", now, json!({}))).await;
    assert_eq!(desk.callbell.questions(), 0, "nothing named them");
    desk.callbell.knows(json!({"uuid": CONTACT, "name": "MARIA", "tags": ["vip"], "phoneNumber": "55 11 98765-4321"}));
    hear(&desk, order("order.created", "1", now, json!({}))).await;
    assert_eq!(texts(&desk).split_off(1), ["vip Maria thanks false"]);
    assert_eq!(desk.callbell.questions(), 1);
    desk.callbell
        .knows(json!({"uuid": CONTACT, "tags": ["atacado"]}));
    hear(&desk, order("order.created", "2", now, json!({}))).await;
    let skipped = jobs_of(&desk, "asks").await.remove(1);
    assert_eq!(skipped.status, Status::Skipped);
    // Nobody there, in either form of the number: everything of them is absent.
    desk.callbell.knows(json!({}));
    let before = desk.callbell.questions();
    hear(&desk, order("order.created", "3", now, json!({}))).await;
    assert_eq!(desk.callbell.questions() - before, 2);
    assert_eq!(desk.messages(), 3);
}

#[tokio::test]
async fn nobody_is_asked_for_while_a_job_waits_anyway_and_waiting_costs_no_attempt() {
    let desk = Desk::with(ASKS).await;
    desk.store.pause().await.unwrap();
    hear(
        &desk,
        order("order.created", "1", desk.clock.now(), json!({})),
    )
    .await;
    desk.minute(minutes(3)).await;
    assert_eq!(desk.callbell.questions(), 0);
    desk.store.resume().await.unwrap();
    desk.minute(minutes(3)).await;
    let job = desk.job().await;
    assert_eq!((job.status, job.attempts), (Status::Sent, 1));
}

#[tokio::test]
async fn what_a_person_answers_is_told() {
    let file = r#"
        [message.ok]
        text = "{{ conversation.last_sent | default('-') }} {{ message.is_first }} {{ conversation.human }} {{ contact.channel }} {{ customer.first_name }}"
        [automation.thanks]
        on      = "order.created"
        message = "thanks"
        [automation.yes]
        on      = "message.received"
        message = "ok"
    "#;
    let desk = Desk::with(file).await;
    let start = desk.clock.now();
    hear(&desk, order("order.created", "1", start, json!({}))).await;
    hear(&desk, received("a", start, "sim")).await;
    desk.clock.advance(seconds(5));
    let sent = json!({"message": {"text": "Oi", "kind": "text", "status": "sent", "at": start}});
    hear(&desk, event("message.sent", "s/sent", start, sent)).await;
    hear(&desk, received("b", start + seconds(5), "sim")).await;
    desk.clock.advance(minutes(8 * 24 * 60));
    hear(&desk, received("c", desk.clock.now(), "sim")).await;
    assert_eq!(
        texts(&desk).split_off(1),
        [
            "thanks true false shop Maria",
            "yes false true shop Maria",
            "- false false shop Maria"
        ]
    );
}

#[test]
fn webhooks_in_any_order_end_the_same() {
    let cases = (
        proptest::sample::subsequence((0..8_usize).collect::<Vec<_>>(), 2..7),
        any::<u64>(),
    );
    let config = ProptestConfig {
        cases: 12,
        ..ProptestConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    proptest!(config, |((picked, seed) in cases)| {
        runtime.block_on(async {
            let mut shuffled: Vec<usize> = picked.iter().chain(&picked).copied().collect();
            let mut state = seed | 1;
            for n in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let other = usize::try_from((state >> 33) % (n as u64 + 1)).unwrap();
                shuffled.swap(n, other);
            }
            assert_eq!(outcome(&picked).await, outcome(&shuffled).await, "{shuffled:?}");
        });
    });
}

/// Window, opted out, stop mark, human, assigned, after these webhooks.
async fn outcome(webhooks: &[usize]) -> Value {
    let file = r#"
        [automation.stop]
        on      = "order.created"
        stop_on = ["message.received"]
        steps   = [{ message = "thanks", at = "+1h" }]
    "#;
    let desk = quiet(file).await;
    let start = desk.clock.now();
    desk.clock.advance(minutes(60));
    let at = |s: i64| start + seconds(s);
    let sent = json!({"message": {"text": "Oi", "kind": "text", "status": "sent", "at": at(4)}});
    let talk = |s: i64| json!({"conversation": {"id": CONTACT, "url": "", "closed_at": at(s)}});
    let assigned = json!({"contact": {"assigned_to": "ana@example.com"}});
    let mut opened = talk(0);
    merge(&mut opened, assigned.clone());
    let mut assigned_message = received("g", at(9), "?");
    merge(&mut assigned_message, assigned);
    let all = [
        received("a", at(1), "Oi"),
        received("b", at(2), "sair"),
        received("c", at(3), "voltar"),
        event("message.sent", "d/sent", at(4), sent),
        event("conversation.closed", "e", at(5), talk(5)),
        received("f", at(6), "Sair"),
        assigned_message,
        event("conversation.opened", "h", at(7), opened),
    ];
    for n in webhooks {
        hear(&desk, all[*n].clone()).await;
    }
    let rows = desk.store.persons(&[PersonId::phone(PHONE)]).await.unwrap();
    let talk = desk.store.conversation(CONTACT).await.unwrap();
    let row = rows.first();
    json!({
        "window": row.and_then(|row| row.window_until),
        "out": row.is_some_and(|row| row.opted_out_at.is_some()),
        "stop": row.and_then(|row| row.stops.get(&Name::MessageReceived)).map(|mark| mark.event.clone()),
        "human": talk.as_ref().is_some_and(|talk| talk.is_human(at(60), minutes(60))),
        "assigned": talk.and_then(|talk| talk.assigned?.to),
    })
}
