//! The pipeline over the real store: what ends in one message, in none, and with which reason.

mod appointments;
mod callbell;
mod chat;
mod custom;
mod deals;
mod desk;
mod elsewhere;
mod interleavings;
mod leads;
mod systems;
mod year;

use super::Report;
use super::decide::forgotten;
use crate::plan::tests::{checkout, order};
use desk::{Desk, Reply};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::store::{ClaimRequest, Ended, JobRow, LEASE_MS, Owner, RowKey, Status};

const THANKS: &str = r#"
[automation.thanks]
on      = "order.created"
message = "thanks"
"#;

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

#[tokio::test]
async fn an_order_becomes_one_message() {
    let desk = Desk::with(THANKS).await;
    desk.receive(order("order.created", "1001", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    assert_eq!(desk.state().await, (Status::Sent, String::new()));
    let sent = desk.callbell.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["content"]["text"], "Obrigado, Maria! Pedido #1001.");
    assert_eq!(sent[0]["to"], "+5511987654321");
    assert_eq!(sent[0]["metadata"]["job"], desk.job().await.id.as_str());
}

/// A desk that received one order.
async fn ordered(file: &str) -> Desk {
    let desk = Desk::with(file).await;
    desk.receive(order("order.created", "1001", desk.clock.now(), json!({})))
        .await;
    desk
}

fn state(status: Status, reason: &str) -> (Status, String) {
    (status, reason.to_owned())
}

#[tokio::test]
async fn redeliveries_and_repeated_nudges_send_nothing_twice() {
    let desk = Desk::with(THANKS).await;
    let event = order("order.created", "1001", desk.clock.now(), json!({}));
    let key = desk.receive(event.clone()).await;
    desk.receive(event).await;
    let rows = vec![RowKey::Event(key.clone()), RowKey::Event(key)];
    desk.nudge(rows.clone()).await;
    desk.nudge(rows).await;
    desk.stream().await;
    desk.minute(minutes(5)).await;
    assert_eq!(desk.messages(), 1);
}

#[tokio::test]
async fn two_workers_at_once_send_one_message_each() {
    let desk = Desk::with(THANKS).await;
    for id in 0..10 {
        desk.receive(order(
            "order.created",
            &id.to_string(),
            desk.clock.now(),
            json!({}),
        ))
        .await;
    }
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    let (one, other) = (desk.another_worker(), desk.another_worker());
    tokio::join!(
        one.on_stream(rows.clone(), desk.deadline()),
        other.on_stream(rows, desk.deadline())
    );
    desk.minute(minutes(2)).await;
    assert_eq!(desk.messages(), 10);
    assert!(
        desk.jobs()
            .await
            .iter()
            .all(|job| job.status == Status::Sent)
    );
}

#[tokio::test]
async fn what_the_stream_lost_the_minute_finds() {
    let desk = ordered(THANKS).await;
    desk.minute(minutes(1)).await;
    assert_eq!(desk.messages(), 0, "the stream still has its head start");
    desk.minute(minutes(1)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
}

#[tokio::test]
async fn a_run_says_what_it_did_and_for_how_long_work_waited() {
    let desk = ordered(THANKS).await;
    assert_eq!(desk.minute(minutes(1)).await.oldest_due_age_ms, Some(0));
    let report = desk.minute(minutes(1)).await;
    assert_eq!(report.oldest_due_age_ms, Some(30_000), "since 90 seconds");
    assert_eq!(report.events_planned, 1);
    assert_eq!(report.jobs, [(Status::Sent, 1)].into());
    assert_eq!(desk.minute(minutes(1)).await.oldest_due_age_ms, Some(0));
    assert_eq!(
        desk.worker.on_stream(Vec::new(), desk.deadline()).await,
        Report::default()
    );
}

/// Waiting on purpose is not being late: under the red button, on a held channel, for a lost answer.
#[tokio::test]
async fn what_waits_on_purpose_is_not_late() {
    let desk = Desk::with(THANKS).await;
    for (id, reply) in [("1", Reply::AcceptAndDrop), ("2", Reply::Refuse(401, ""))] {
        desk.receive(order("order.created", id, desk.clock.now(), json!({})))
            .await;
        desk.callbell.next([reply]);
        desk.stream().await;
    }
    desk.receive(order("order.created", "3", desk.clock.now(), json!({})))
        .await;
    desk.minute(minutes(2)).await;
    desk.store.pause().await.unwrap();
    for _ in 0..20 {
        let age = desk.minute(minutes(1)).await.oldest_due_age_ms;
        assert!(age.is_some_and(|age| age <= 60_000), "{age:?}");
    }
    let states: Vec<Status> = desk.jobs().await.iter().map(|job| job.status).collect();
    assert_eq!(states, [Status::Uncertain, Status::Due, Status::Due]);

    // Nobody looks for ten minutes: now it is late.
    let age = desk.minute(minutes(10)).await.oldest_due_age_ms;
    assert!(age.is_some_and(|age| age > 7 * 60_000), "{age:?}");
}

#[tokio::test]
async fn without_automations_an_event_waits_and_is_too_late_when_it_is() {
    let desk = Desk::empty().await;
    desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.minute(minutes(2)).await;
    assert!(desk.jobs().await.is_empty());
    desk.push(THANKS).await;
    desk.open_window(SignedDuration::from_hours(100)).await;
    desk.minute(minutes(2)).await;
    assert_eq!(desk.state().await.0, Status::Sent);

    let desk = Desk::empty().await;
    desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.clock.advance(SignedDuration::from_hours(25));
    desk.push(THANKS).await;
    desk.minute(minutes(2)).await;
    assert_eq!(desk.state().await, state(Status::Skipped, "too late"));
}

#[tokio::test]
async fn surely_not_sent_is_tried_again() {
    for reply in [Reply::Refuse(503, ""), Reply::Limit(3)] {
        let desk = ordered(THANKS).await;
        desk.callbell.next([reply.clone()]);
        desk.stream().await;
        assert_eq!(desk.state().await.0, Status::Due, "{reply:?}");
        desk.minute(minutes(2)).await;
        assert_eq!(desk.state().await.0, Status::Sent, "{reply:?}");
        let spent = if matches!(reply, Reply::Limit(_)) {
            1
        } else {
            2
        };
        assert_eq!(desk.job().await.attempts, spent, "{reply:?}");
        assert_eq!(desk.messages(), 1);
    }
}

#[tokio::test]
async fn an_outage_longer_than_give_up_after_ends_dead() {
    let desk = ordered(THANKS).await;
    desk.callbell
        .next(std::iter::repeat_n(Reply::Refuse(503, ""), 50));
    desk.stream().await;
    let start = desk.clock.now();
    let mut tries = Vec::new();
    while desk.job().await.status == Status::Due {
        // The sweep comes once a minute, half a minute after the job's time.
        let next = desk.job().await.next_at;
        desk.minute(next.duration_since(desk.clock.now()) + SignedDuration::from_secs(30))
            .await;
        tries.push(next.duration_since(start).as_mins());
    }
    assert_eq!(
        desk.state().await,
        state(Status::Dead, "too late: Callbell 503")
    );
    assert_eq!(
        tries,
        [1, 6, 22, 82, 263, 623, 1344, 1440],
        "the last one on due + give_up_after"
    );
    assert_eq!(desk.messages(), 0);
}

#[tokio::test]
async fn refused_for_good_is_dead_with_callbells_words() {
    let desk = ordered(THANKS).await;
    desk.callbell.next([Reply::Refuse(
        422,
        r#"{"error":{"template_uuid":["is rejected"]}}"#,
    )]);
    desk.stream().await;
    assert_eq!(
        desk.state().await,
        state(Status::Dead, "Callbell 422: template_uuid is rejected")
    );
    desk.minute(minutes(60)).await;
    assert_eq!(desk.callbell.tries(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_in_the_history() {
    for reply in [
        Reply::AcceptAndDrop,
        Reply::AcceptThen(502),
        Reply::AcceptThen(200),
    ] {
        let desk = ordered(THANKS).await;
        desk.callbell.next([reply.clone()]);
        desk.stream().await;
        assert_eq!(desk.state().await.0, Status::Uncertain, "{reply:?}");
        desk.minute(minutes(2)).await;
        assert_eq!(
            desk.state().await.0,
            Status::Uncertain,
            "not before three minutes"
        );
        desk.minute(minutes(1)).await;
        assert_eq!(desk.state().await.0, Status::Sent, "{reply:?}");
        assert_eq!(
            desk.job().await.message_uuid.as_deref(),
            Some(format!("{:032x}", 1).as_str())
        );
        assert_eq!(desk.messages(), 1);
    }
}

#[tokio::test]
async fn a_request_that_never_arrived_is_sent_once_more() {
    let desk = ordered(THANKS).await;
    desk.callbell.next([Reply::Drop]);
    desk.stream().await;
    desk.minute(minutes(3)).await;
    desk.minute(minutes(1)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
    assert_eq!((desk.messages(), desk.callbell.tries()), (1, 2));
}

#[tokio::test]
async fn what_cannot_be_told_follows_if_unknown() {
    let resend = format!("{THANKS}if_unknown = \"resend\"\n");
    for (file, status, tries) in [
        (THANKS, Status::Held, 2),
        (resend.as_str(), Status::Sent, 3),
    ] {
        let desk = ordered(file).await;
        // Lost, then lost again after the history did not have it.
        desk.callbell.next([Reply::Drop, Reply::Drop]);
        desk.stream().await;
        for _ in 0..10 {
            desk.minute(minutes(1)).await;
        }
        assert_eq!(
            (desk.state().await.0, desk.callbell.tries()),
            (status, tries)
        );
    }
}

#[tokio::test]
async fn several_messages_alike_are_no_proof() {
    let desk = ordered(THANKS).await;
    desk.callbell.next([Reply::AcceptAndDrop]);
    desk.stream().await;
    desk.callbell
        .remember("other", "Obrigado,  Maria! Pedido #1001.", desk.clock.now());
    desk.minute(minutes(3)).await;
    assert_eq!(
        desk.state().await,
        state(
            Status::Held,
            "Callbell's answer was lost; the history has several like it"
        )
    );
}

#[tokio::test]
async fn a_crash_after_the_claim_is_reconciled() {
    let desk = ordered(THANKS).await;
    // Planned by a worker without time to send, then claimed by one that is never heard of again.
    desk.worker
        .on_stream(
            testkit::lane(testkit::Engine::shared(), &desk.store).await,
            desk.deadline(),
        )
        .await;
    let desk = ordered(THANKS).await;
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    desk.callbell.next([Reply::Refuse(503, "")]);
    desk.nudge(rows).await;
    desk.clock.advance(minutes(2));
    let job = desk.job().await;
    let request = ClaimRequest::default();
    desk.store
        .claim(
            &job.id,
            job.version,
            &Owner::new().unwrap(),
            LEASE_MS,
            &request,
        )
        .await
        .unwrap();
    desk.minute(minutes(1)).await;
    assert_eq!(desk.state().await.0, Status::Running, "the lease holds");
    desk.minute(minutes(1)).await;
    assert_eq!(desk.state().await.0, Status::Uncertain);
    desk.minute(minutes(2)).await;
    assert_eq!(
        desk.state().await.0,
        Status::Held,
        "the claim left no text to look for"
    );
    assert_eq!(desk.messages(), 0);
}

#[tokio::test]
async fn out_of_credit_holds_templates_alone_and_one_job_probes() {
    let desk = Desk::empty().await;
    desk.push(
        r#"
        [message.template]
        template = "d980fb66fd5043d3ace1aa06ba044342"
        values   = ["{{ order.number }}"]
        [automation.paid]
        on      = "order.paid"
        message = "template"
        "#,
    )
    .await;
    for id in 0..3 {
        desk.receive(order(
            "order.paid",
            &id.to_string(),
            desk.clock.now(),
            json!({}),
        ))
        .await;
    }
    let broke = Reply::Refuse(
        402,
        r#"{"error":"x","code":"whatsapp_wallet_depleted_credit"}"#,
    );
    desk.callbell.next(std::iter::repeat_n(broke, 30));
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    for row in rows {
        desk.nudge(vec![row]).await;
    }
    assert_eq!(desk.callbell.tries(), 1, "the others see the hold");
    desk.minute(minutes(6)).await;
    assert_eq!(desk.callbell.tries(), 1, "ten minutes between probes");
    // Longer than give_up_after: a hold spends no lateness, and one job probes for all.
    for hour in 1..30 {
        desk.minute(minutes(60)).await;
        assert_eq!(desk.callbell.tries(), 1 + hour);
    }
    desk.minute(minutes(60)).await;
    desk.minute(minutes(6)).await;
    assert!(
        desk.jobs()
            .await
            .iter()
            .all(|job| job.status == Status::Sent),
        "{:?}",
        desk.jobs().await
    );
    assert_eq!(desk.messages(), 3);
    assert!(desk.store.held("shop").await.unwrap().is_none());
}

#[tokio::test]
async fn a_refused_token_holds_everything() {
    let desk = ordered(THANKS).await;
    desk.callbell
        .next([Reply::Refuse(401, r#"{"error":"not authorized"}"#)]);
    desk.stream().await;
    assert_eq!(
        desk.state().await,
        state(Status::Due, "Callbell refused the token")
    );
    assert_eq!(desk.job().await.attempts, 0);
    desk.minute(minutes(6)).await;
    assert_eq!(
        desk.state().await,
        state(Status::Due, "channel shop is held: token_refused")
    );
    desk.minute(minutes(6)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
}

#[tokio::test]
async fn the_red_button_stops_everything_and_costs_no_lateness() {
    let desk = ordered(THANKS).await;
    desk.store.pause().await.unwrap();
    desk.stream().await;
    assert_eq!(desk.state().await, state(Status::Due, "paused"));
    for _ in 0..40 {
        desk.minute(SignedDuration::from_hours(1)).await;
    }
    assert_eq!(desk.messages(), 0);
    desk.store.resume().await.unwrap();
    desk.minute(minutes(3)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
}

#[tokio::test]
async fn a_paused_file_waits_too() {
    let desk = ordered(THANKS).await;
    desk.push_raw(&format!("[defaults]\npaused = true\n[channel.shop]\nuuid = \"{}\"\n[message.thanks]\ntext = \"a {{{{ order.number }}}}\"\n{THANKS}", "3".repeat(32)), "[]").await;
    desk.stream().await;
    assert_eq!(
        desk.state().await,
        state(Status::Due, "paused in the automations file")
    );
    desk.push(THANKS).await;
    desk.minute(minutes(3)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
}

#[tokio::test]
async fn a_cancelled_order_ends_what_waits_but_not_its_own_message() {
    let file = r#"
        [automation.later]
        on    = ["order.created", "order.cancelled"]
        steps = [{ message = "thanks", at = "+1h" }]
    "#;
    let desk = ordered(file).await;
    desk.stream().await;
    let change = json!({"subject": {"state": "cancelled"}});
    desk.receive(order("order.cancelled", "1001", desk.clock.now(), change))
        .await;
    desk.stream().await;
    desk.minute(minutes(61)).await;
    let jobs: Vec<_> = desk
        .jobs()
        .await
        .into_iter()
        .map(|job| (job.event, job.status, job.reason))
        .collect();
    assert_eq!(
        jobs,
        [
            (
                "shopify/order/1001/cancelled".to_owned(),
                Status::Sent,
                None
            ),
            (
                "shopify/order/1001/created".to_owned(),
                Status::Cancelled,
                Some("the order was cancelled".to_owned())
            ),
        ]
    );
}

#[tokio::test]
async fn every_refund_without_a_date_is_planned_once() {
    let file = r#"
        [automation.refunded]
        on            = "order.refunded"
        give_up_after = "24h"
        message       = "thanks"
    "#;
    let desk = Desk::with(file).await;
    let now = desk.clock.now();
    // A body as the door reads it: an event of the order and one of each refund it shows.
    let body = |desk: &Desk, id: &str, refunds: &[&str]| -> Vec<Value> {
        let parts: Vec<String> = refunds.iter().map(|n| format!("refund/{n}")).collect();
        let fact = if parts.is_empty() {
            "unrefunded"
        } else {
            "refunded"
        };
        let of = |name: &str, key: String, fresh: Value| {
            let change = json!({
                "event": {"id": format!("shopify/order/{id}/{key}")},
                "subject": {"created_at": now - minutes(60 * 24 * 365), "facts": [fact],
                            "parts": parts, "fresh": fresh},
            });
            order(name, id, desk.clock.now(), change)
        };
        let created = of("order.created", "created".to_owned(), json!("dated"));
        let refunded = refunds.iter().zip(&parts).map(|(n, part)| {
            let fresh = json!({"part": {"part": part}});
            of("order.refunded", format!("refunded/{n}"), fresh)
        });
        std::iter::once(created).chain(refunded).collect()
    };
    // One order is old and refunded when we first see it, the other one is not refunded yet.
    for (days, id, refunds, messages) in [
        (0, "old", &["1"][..], 0),
        (0, "new", &[], 0),
        (5, "new", &["1"], 1),
        (5, "new", &["1"], 1),
        (5, "old", &["1", "2"], 2),
        (5, "new", &["1", "2"], 3),
        (5, "new", &["1", "2"], 3),
        (0, "new", &["1", "2", "3", "4"], 5),
    ] {
        desk.clock.advance(minutes(60 * 24 * days));
        for event in body(&desk, id, refunds) {
            desk.receive(event).await;
        }
        desk.stream().await;
        desk.minute(minutes(5)).await;
        assert_eq!(desk.messages(), messages, "{id} with {refunds:?}");
    }
}

const CART: &str = r#"
[automation.cart]
on    = "checkout.abandoned"
steps = [{ message = "cart", at = "+1h" }]
"#;

#[tokio::test]
async fn a_checkout_moves_with_its_last_change() {
    let desk = Desk::with(CART).await;
    desk.receive(checkout("t1", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.clock.advance(minutes(30));
    desk.receive(checkout(
        "t1",
        desk.clock.now(),
        json!({"checkout": {"total": "120"}}),
    ))
    .await;
    desk.stream().await;
    desk.minute(minutes(35)).await;
    assert_eq!(
        desk.state().await,
        state(Status::Due, "not yet"),
        "one job, moved"
    );
    desk.minute(minutes(26)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
    let text = desk.callbell.sent()[0]["content"]["text"].clone();
    assert!(text.as_str().unwrap().contains("120,00"), "{text}");
    // Changed after its message: nothing new.
    desk.receive(checkout("t1", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.minute(minutes(90)).await;
    assert_eq!((desk.jobs().await.len(), desk.messages()), (1, 1));
}

#[tokio::test]
async fn a_checkout_that_became_an_order_is_left_alone() {
    // The order may name the checkout or its cart, and come first.
    for (ended, order_first) in [("t1", false), ("cart-1", false), ("cart-1", true)] {
        let desk = Desk::with(CART).await;
        let ends = json!({"subject": {"ends": [{"kind": "checkout", "id": ended}]}});
        let aliases = json!({"subject": {"aliases": [{"kind": "checkout", "id": "cart-1"}]}});
        let ordered = order("order.created", "9", desk.clock.now(), ends);
        if order_first {
            desk.receive(ordered.clone()).await;
            desk.stream().await;
        }
        desk.receive(checkout("t1", desk.clock.now(), aliases))
            .await;
        desk.stream().await;
        if !order_first {
            desk.receive(ordered).await;
            desk.stream().await;
        }
        desk.minute(minutes(61)).await;
        let ended = state(Status::Cancelled, "the checkout became an order");
        assert_eq!(desk.state().await, ended);
    }
}

const TEMPLATE: &str = r#"
[message.paid]
text     = "Pago: {{ order.number }}"
template = "d980fb66fd5043d3ace1aa06ba044342"
values   = ["{{ customer.first_name }}", "{{ order.number }}"]

[automation.paid]
on      = "order.paid"
message = "paid"
"#;

#[tokio::test]
async fn text_inside_the_24_hours_and_the_template_outside() {
    let desk = Desk::empty().await;
    desk.push(TEMPLATE).await;
    desk.receive(order("order.paid", "1", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.open_window(minutes(1)).await;
    desk.receive(order("order.paid", "2", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.clock.advance(minutes(2));
    desk.receive(order("order.paid", "3", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    let sent = desk.callbell.sent();
    let form = |body: &Value| {
        (
            body["template_uuid"].is_string(),
            body["content"]["text"].clone(),
        )
    };
    assert_eq!(form(&sent[0]), (true, json!("Maria")));
    assert_eq!(sent[0]["template_values"], json!(["Maria", "#1"]));
    assert_eq!(form(&sent[1]), (false, json!("Pago: #2")));
    assert_eq!(form(&sent[2]), (true, json!("Maria")));
}

#[tokio::test]
async fn a_template_is_found_in_the_history_by_its_sentence() {
    let templates =
        r#"[{"uuid": "d980fb66fd5043d3ace1aa06ba044342", "text": "Oi {{1}}, pedido {{2}} pago."}]"#;
    for (templates, expected) in [(templates, Status::Sent), ("[]", Status::Held)] {
        let desk = Desk::empty().await;
        desk.push_with_templates(TEMPLATE, templates).await;
        desk.receive(order("order.paid", "1", desk.clock.now(), json!({})))
            .await;
        desk.callbell.next([Reply::Drop]);
        desk.stream().await;
        desk.callbell
            .remember("m1", "Oi Maria,\npedido #1 pago.", desk.clock.now());
        desk.minute(minutes(3)).await;
        assert_eq!(desk.state().await.0, expected);
    }
}

#[tokio::test]
async fn a_blank_value_is_never_sent() {
    let desk = Desk::empty().await;
    desk.push(TEMPLATE).await;
    let nameless = json!({"customer": {"first_name": null}});
    desk.receive(order("order.paid", "1", desk.clock.now(), nameless))
        .await;
    desk.stream().await;
    let blank = "value 1 is blank: {{ customer.first_name }}";
    assert_eq!(desk.state().await, state(Status::Skipped, blank));
}

#[tokio::test]
async fn a_job_cancelled_while_it_was_sent_says_that_it_reached_callbell() {
    let desk = ordered(THANKS).await;
    desk.callbell
        .next([Reply::AcceptAfter(std::time::Duration::from_millis(300))]);
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    let cancel = async {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let Some(job) = desk.jobs().await.pop() else {
                continue;
            };
            if job.status == Status::Running {
                let end = Ended::Cancelled("by hand".to_owned());
                return desk
                    .store
                    .end(&job.id, job.version, &[Status::Running], &end)
                    .await
                    .unwrap();
            }
        }
    };
    tokio::join!(desk.nudge(rows), cancel);
    let job = desk.job().await;
    assert_eq!(
        (job.status, job.reached, job.message_uuid.is_some()),
        (Status::Cancelled, true, true)
    );
}

#[tokio::test]
async fn after_a_429_the_others_wait_too() {
    let desk = Desk::with(THANKS).await;
    for id in 0..3 {
        desk.receive(order(
            "order.created",
            &id.to_string(),
            desk.clock.now(),
            json!({}),
        ))
        .await;
    }
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    let start = desk.clock.now();
    desk.callbell.next([Reply::Limit(20)]);
    for row in rows {
        desk.nudge(vec![row]).await;
    }
    for at in desk.callbell.times() {
        assert!(at.duration_since(start) >= SignedDuration::from_secs(20));
    }
    desk.minute(minutes(2)).await;
    assert_eq!(desk.messages(), 3);
}

#[tokio::test]
async fn marketing_waits_for_its_hours_and_needs_consent() {
    let file = r#"
        [hours.day]
        mon-fri = ["09:00-12:00"]
        [message.promo]
        text    = "Promo {{ order.number }}"
        purpose = "marketing"
        [automation.promo]
        on         = "order.created"
        send_hours = "day"
        message    = "promo"
    "#;
    // Monday 12:00 UTC is 09:00 in São Paulo; four hours later it is closed.
    let desk = Desk::with(file).await;
    desk.clock.advance(SignedDuration::from_hours(4));
    let yes = json!({"customer": {"accepts_marketing": true}});
    desk.receive(order("order.created", "1", desk.clock.now(), yes))
        .await;
    desk.stream().await;
    assert_eq!(desk.state().await, state(Status::Due, "not yet"));
    assert_eq!(desk.job().await.next_at.to_string(), "2026-03-10T12:00:00Z");
    desk.minute(SignedDuration::from_hours(20) + minutes(1))
        .await;
    assert_eq!(desk.state().await.0, Status::Sent);

    let desk = Desk::with(file).await;
    desk.receive(order("order.created", "1", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    assert_eq!(desk.state().await, state(Status::Skipped, "no consent"));
}

#[tokio::test]
async fn a_late_job_outside_its_hours_goes_to_the_next_opening() {
    let file = r#"
        [hours.day]
        mon-fri = ["09:00-12:00"]
        [automation.thanks]
        on         = "order.created"
        send_hours = "day"
        message    = "thanks"
    "#;
    let desk = ordered(file).await;
    desk.callbell.next([Reply::Refuse(503, "")]);
    desk.stream().await;
    desk.minute(SignedDuration::from_hours(4)).await;
    assert_eq!(desk.state().await, state(Status::Due, "outside send_hours"));
    assert_eq!(desk.job().await.next_at.to_string(), "2026-03-10T12:00:00Z");
    // Thirty hours after its first time, but lateness counts from the opening.
    desk.minute(SignedDuration::from_hours(26)).await;
    assert_eq!(
        desk.state().await.0,
        Status::Due,
        "closed again: a further day"
    );
    desk.minute(SignedDuration::from_hours(18)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
}

#[tokio::test]
async fn a_stop_ends_the_remaining_steps() {
    let file = r#"
        [automation.pix]
        on      = "order.created"
        stop_on = ["order.paid"]
        steps   = [{ message = "thanks", at = "+30m" }]
    "#;
    for other_order in [false, true] {
        let desk = ordered(file).await;
        desk.stream().await;
        desk.clock.advance(minutes(10));
        let id = if other_order { "1002" } else { "1001" };
        desk.receive(order(
            "order.paid",
            id,
            desk.clock.now(),
            json!({"subject": {"facts": ["paid"]}}),
        ))
        .await;
        desk.stream().await;
        desk.minute(minutes(30)).await;
        let (status, reason) = desk.state().await;
        assert_eq!(status, Status::Cancelled);
        assert!(
            reason.starts_with("order.paid 2026-03-09 12:10"),
            "{reason}"
        );
    }
    let desk = Desk::with(file).await;
    desk.receive(order("order.paid", "1000", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.clock.advance(minutes(1));
    desk.receive(order("order.created", "1001", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    desk.minute(minutes(31)).await;
    assert_eq!(
        desk.state().await.0,
        Status::Sent,
        "what happened before the event stops nothing"
    );
}

#[tokio::test]
async fn once_a_customer_every_week() {
    let desk = Desk::with(&format!("{THANKS}once = \"customer every 7d\"\n")).await;
    for day in 0..9 {
        desk.receive(order(
            "order.created",
            &day.to_string(),
            desk.clock.now(),
            json!({}),
        ))
        .await;
        desk.stream().await;
        desk.clock.advance(SignedDuration::from_hours(24));
    }
    let sent: Vec<_> = desk
        .jobs()
        .await
        .into_iter()
        .filter(|job| job.status == Status::Sent)
        .map(|job| job.event)
        .collect();
    assert_eq!(sent, ["shopify/order/0/created", "shopify/order/7/created"]);
    let skipped = desk
        .jobs()
        .await
        .into_iter()
        .find(|job| job.status == Status::Skipped)
        .unwrap();
    assert_eq!(
        skipped.reason.as_deref(),
        Some("once: sent for shopify/order/0/created on 2026-03-09 12:00 UTC")
    );
}

#[tokio::test]
async fn a_skipped_job_takes_no_mark() {
    let file = format!("{THANKS}once = \"customer\"\n");
    let desk = Desk::with(&file).await;
    desk.receive(order(
        "order.created",
        "1",
        desk.clock.now(),
        json!({"order": {"test": true}, "event": {"test": true}}),
    ))
    .await;
    desk.stream().await;
    assert_eq!(desk.state().await, state(Status::Skipped, "test order"));
    desk.receive(order("order.created", "2", desk.clock.now(), json!({})))
        .await;
    desk.stream().await;
    assert_eq!(desk.messages(), 1);
}

#[tokio::test]
async fn a_backlog_leaves_at_the_rate() {
    let desk = Desk::with(THANKS).await;
    desk.store.pause().await.unwrap();
    for id in 0..60 {
        desk.receive(order(
            "order.created",
            &id.to_string(),
            desk.clock.now(),
            json!({}),
        ))
        .await;
    }
    desk.stream().await;
    desk.store.resume().await.unwrap();
    desk.minute(minutes(3)).await;
    assert_eq!(desk.messages(), 60);
    let mut seconds: std::collections::BTreeMap<i64, usize> = Default::default();
    for at in desk.callbell.times() {
        *seconds.entry(at.as_second()).or_default() += 1;
    }
    // Tokens are of a second, and the stand-in looks at the clock when a request arrives: one that was
    // begun at the end of a second may count for the next.
    assert!(seconds.values().all(|count| *count < 40), "{seconds:?}");
    assert!(seconds.len() >= 3, "{seconds:?}");
}

#[tokio::test]
async fn nothing_is_begun_without_time_for_it() {
    let desk = ordered(THANKS).await;
    let rows = testkit::lane(testkit::Engine::shared(), &desk.store).await;
    desk.worker
        .on_stream(rows, desk.clock.now() + SignedDuration::from_secs(10))
        .await;
    assert!(desk.jobs().await.is_empty());
    assert_eq!(desk.callbell.tries(), 0);
}

#[tokio::test]
async fn an_unknown_automation_is_waited_for_and_then_removed() {
    let later = r#"
        [automation.thanks]
        on    = "order.created"
        steps = [{ message = "thanks", at = "+10m" }]
    "#;
    let desk = ordered(later).await;
    desk.stream().await;
    desk.push(CART).await;
    desk.minute(minutes(11)).await;
    let (status, reason) = desk.state().await;
    assert_eq!(status, Status::Due);
    assert!(
        reason.starts_with("there is no automation thanks; waits since "),
        "{reason}"
    );
    desk.push(later).await;
    desk.minute(minutes(6)).await;
    assert_eq!(desk.state().await.0, Status::Sent, "it came back");

    let desk = ordered(later).await;
    desk.stream().await;
    desk.push(CART).await;
    for _ in 0..20 {
        desk.minute(minutes(6)).await;
    }
    assert_eq!(
        desk.state().await,
        state(Status::Skipped, "removed: there is no automation thanks")
    );
}

#[tokio::test]
async fn a_disabled_automation_waits() {
    let later = |more: &str| {
        format!(
            "[automation.thanks]\non = \"order.created\"\nsteps = [{{ message = \"thanks\", at = \"+10m\" }}]\n{more}"
        )
    };
    let desk = ordered(&later("")).await;
    desk.stream().await;
    desk.push(&later("enabled = false")).await;
    desk.minute(minutes(11)).await;
    assert_eq!(
        desk.state().await,
        state(Status::Due, "its automation is not enabled")
    );
    desk.push(&later("")).await;
    desk.minute(minutes(6)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
}

#[tokio::test]
async fn who_may_not_or_cannot_be_reached_is_skipped_with_the_reason() {
    let rows: [(&str, Value, &str); 4] = [
        (
            "",
            json!({"customer": {"phones": [{"path": "phone", "number": "123"}]}}),
            "no usable phone: phone ",
        ),
        (
            "when = \"order.total > 500\"",
            json!({}),
            "when is false (order.total is 129.9)",
        ),
        (
            "to = \"+39 06 1234567\"",
            json!({}),
            "24-hour window closed and no template",
        ),
        (
            "to = \"{{ order.note | default('x') }}\"",
            json!({}),
            "no usable phone: to has letters",
        ),
    ];
    for (step, change, expected) in rows {
        let step = if step.is_empty() {
            String::new()
        } else {
            format!(", {step}")
        };
        let file = format!(
            "[automation.a]\non = \"order.created\"\nsteps = [{{ message = \"thanks\"{step} }}]\n"
        );
        let desk = Desk::with(&file).await;
        desk.receive(order("order.created", "1", desk.clock.now(), change))
            .await;
        desk.stream().await;
        let (status, reason) = desk.state().await;
        assert_eq!(status, Status::Skipped, "{step}: {reason}");
        assert!(reason.starts_with(expected), "{step}: {reason}");
    }
}

#[tokio::test]
async fn only_to_lets_test_orders_through_to_its_own() {
    let head = |list: &str| {
        format!(
            "[defaults]\ncountry = \"BR\"\nonly_to = [{list}]\n[channel.shop]\nuuid = \"{}\"\n[message.thanks]\ntext = \"a {{{{ order.number }}}}\"\n{THANKS}",
            "3".repeat(32)
        )
    };
    let test = json!({"event": {"test": true}, "order": {"test": true}});
    for (list, change, expected) in [
        // The same person, without the ninth digit.
        ("\"+551187654321\"", test.clone(), state(Status::Sent, "")),
        ("\"+5511987654321\"", json!({}), state(Status::Sent, "")),
        (
            "\"+5511912345678\"",
            test,
            state(Status::Skipped, "test order"),
        ),
        (
            "\"+5511912345678\"",
            json!({}),
            state(Status::Skipped, "not in only_to"),
        ),
    ] {
        let desk = Desk::empty().await;
        desk.push_raw(&head(list), "[]").await;
        desk.open_window(SignedDuration::from_hours(1)).await;
        desk.receive(order("order.created", "1", desk.clock.now(), change))
            .await;
        desk.stream().await;
        assert_eq!(desk.state().await, expected, "{list}");
    }
}

#[tokio::test]
async fn teams_are_sent_by_number() {
    let file = |team: &str| {
        format!(
            "[message.hi]\ntext = \"a {{{{ order.number }}}}\"\nteam = \"{team}\"\nassign = \"ana@example.com\"\n[automation.a]\non = \"order.created\"\nmessage = \"hi\"\n"
        )
    };
    let desk = ordered(&file("Vendas")).await;
    desk.stream().await;
    assert_eq!(desk.callbell.sent()[0]["team_uuid"], "team-7");
    assert_eq!(desk.callbell.sent()[0]["assigned_user"], "ana@example.com");
    let desk = ordered(&file("Compras")).await;
    desk.stream().await;
    assert_eq!(
        desk.state().await,
        state(Status::Dead, "Callbell has no team called Compras")
    );
}

#[tokio::test]
async fn a_request_to_erase_a_customer_erases_their_rows() {
    let desk = ordered(THANKS).await;
    desk.receive(order(
        "order.created",
        "2",
        desk.clock.now(),
        json!({"customer": {"id": "c2", "email": "x@example.com",
        "phones": [{"path": "phone", "number": "+5511912345678"}]}}),
    ))
    .await;
    desk.stream().await;
    assert_eq!(desk.jobs().await.len(), 2);
    let now = desk.clock.now();
    desk.receive(json!({
        "event": {"name": "privacy.redact_customer", "source": "shopify", "kind": "shopify",
                  "account": "loja.myshopify.com", "id": "shopify/privacy/77/redact_customer", "at": now},
        "customer": {"id": "c1", "email": "maria@example.com", "phones": [{"path": "phone", "number": "+5511987654321"}]},
        "subject": {"kind": "privacy", "id": "77", "as_of": now, "created_at": now, "state": "open", "fresh": "dated"},
        "privacy": {"request_id": "77", "order_ids": ["1001"]}
    }))
    .await;
    desk.stream().await;
    let left: Vec<_> = desk.jobs().await.into_iter().map(|job| job.event).collect();
    assert_eq!(left, ["shopify/order/2/created"]);
    assert!(
        desk.store
            .event("shopify/order/1001/created")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        desk.store
            .entity("shopify/order/1001")
            .await
            .unwrap()
            .is_none()
    );
    let request = desk
        .store
        .event("shopify/privacy/77/redact_customer")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        request.lines[0].why,
        "request 77: every row of the customer is erased"
    );
}

/// The table was restored from a backup: what was to happen before the restore may have happened.
#[tokio::test]
async fn after_a_restore_what_was_due_before_is_not_sent() {
    let desk = ordered(THANKS).await;
    desk.clock.advance(minutes(60));
    let restored_at = desk.clock.now();
    let worker = desk
        .another_worker()
        .sending_nothing_before(Some(restored_at));
    desk.receive(order("order.created", "2002", restored_at, json!({})))
        .await;
    desk.clock.advance(minutes(2));
    worker.on_minute(desk.deadline()).await;
    let jobs = desk.jobs().await;
    let (before, after) = (&jobs[0], &jobs[1]);
    assert!(before.key.contains("1001") && after.key.contains("2002"));
    assert_eq!(
        (before.status, after.status),
        (Status::Skipped, Status::Sent)
    );
    let reason = before.reason.as_deref().unwrap();
    assert!(
        reason.starts_with("from before the restore: nothing due before 2026-"),
        "{reason}"
    );

    // A person who knows better sends it all the same.
    desk.store
        .revive(&before.id, before.version, None, None, &Default::default())
        .await
        .unwrap();
    desk.clock.advance(minutes(2));
    worker.on_minute(desk.deadline()).await;
    assert_eq!(desk.messages(), 2);
}

#[tokio::test]
async fn after_a_restore_nothing_is_repeated() {
    for (reply, status) in [
        // Callbell's history has the one and not the other.
        (Reply::AcceptAndDrop, Status::Sent),
        (Reply::Drop, Status::Skipped),
    ] {
        let desk = ordered(THANKS).await;
        desk.callbell.next([reply]);
        desk.stream().await;
        assert_eq!(desk.state().await.0, Status::Uncertain);
        let tries = desk.callbell.tries();
        desk.clock.advance(minutes(1));
        let worker = desk
            .another_worker()
            .sending_nothing_before(Some(desk.clock.now()));
        for _ in 0..5 {
            desk.clock.advance(minutes(2));
            worker.on_minute(desk.deadline()).await;
        }
        assert_eq!(desk.job().await.status, status);
        assert_eq!(desk.callbell.tries(), tries);
    }
}

/// Whoever ran it when the backup was made finished it, or not.
#[tokio::test]
async fn after_a_restore_a_claim_of_before_is_not_repeated() {
    let desk = ordered(THANKS).await;
    desk.callbell.next([Reply::Refuse(503, "")]);
    desk.stream().await;
    let job = desk.job().await;
    desk.store
        .claim(
            &job.id,
            job.version,
            &Owner::new().unwrap(),
            LEASE_MS,
            &ClaimRequest {
                text_digest: Some("0".repeat(32)),
                ..ClaimRequest::default()
            },
        )
        .await
        .unwrap();
    desk.clock.advance(minutes(1));
    let worker = desk
        .another_worker()
        .sending_nothing_before(Some(desk.clock.now()));
    for _ in 0..5 {
        desk.clock.advance(minutes(2));
        worker.on_minute(desk.deadline()).await;
    }
    assert_eq!(desk.job().await.status, Status::Skipped);
    assert_eq!(desk.messages(), 0);
}

#[tokio::test]
async fn what_a_restore_forgot_is_told_by_the_row_alone() {
    let desk = ordered(THANKS).await;
    desk.stream().await;
    let now = desk.clock.now();
    let (before, after) = (now - minutes(1), now + minutes(1));
    let rows = [
        (Status::Due, before, None, true),
        (Status::Due, after, None, false),
        // A retry that comes after the instant was left alone until then.
        (Status::Due, after, Some(before), false),
        (Status::Due, now, None, false),
        // A claim of before is over, wherever its next look stands.
        (Status::Running, before, Some(before), true),
        (Status::Uncertain, after, Some(before), true),
        (Status::Uncertain, after, Some(after), false),
    ];
    for (status, next_at, claimed_at, expected) in rows {
        let job = JobRow {
            status,
            next_at,
            claimed_at,
            ..desk.job().await
        };
        let label = format!("{status} {next_at} {claimed_at:?}");
        assert_eq!(forgotten(&job, Some(now)).is_some(), expected, "{label}");
        assert_eq!(forgotten(&job, None), None);
    }
}
