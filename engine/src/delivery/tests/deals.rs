//! Deals: what waits for one ends when it is deleted, whichever of the two is told first.

use serde_json::{Value, json};
use shared::store::Status;

use super::desk::Desk;
use super::{minutes, state};

const AUTOMATION: &str = r#"
[message.moved]
text = "Sua proposta {{ deal.title }} está em {{ deal.stage }}."

[automation.moved]
on      = "deal.updated"
message = "moved"
at      = "+1h"
"#;

/// A deal that was moved, or deleted, now.
fn deal(desk: &Desk, name: &str) -> Value {
    let now = desk.clock.now();
    let is_gone = name == "deal.deleted";
    let mut event = json!({
        "event": {"name": name, "source": "pipedrive", "kind": "pipedrive", "at": now,
                  "id": format!("pipedrive/deal/77/{name}/{}", now.as_second())},
        "customer": {"first_name": "Maria", "id": "501",
                     "phones": [{"path": "phones.mobile", "number": "+5511987654321"}]},
        "subject": {"kind": "deal", "id": "77", "as_of": now, "created_at": now,
                    "state": if is_gone { "cancelled" } else { "open" }, "fresh": "dated"},
    });
    let fields = event.as_object_mut().unwrap();
    if is_gone {
        fields.insert("customer".to_owned(), json!({}));
        fields.insert("changed".to_owned(), json!({"about": {}}));
    } else {
        let deal = json!({"id": "77", "title": "Site novo", "value": "1500", "currency": "BRL",
                          "stage": "Proposta", "status": "open"});
        fields.insert("deal".to_owned(), deal);
    }
    event
}

#[tokio::test]
async fn a_message_about_a_deal_waits_and_goes_out() {
    let desk = Desk::with(AUTOMATION).await;
    desk.receive(deal(&desk, "deal.updated")).await;
    desk.stream().await;
    assert_eq!(desk.state().await.0, Status::Due);
    desk.minute(minutes(61)).await;
    assert_eq!(desk.state().await.0, Status::Sent);
    let text = desk.callbell.sent()[0]["content"]["text"].clone();
    assert_eq!(text, "Sua proposta Site novo está em Proposta.");
}

#[tokio::test]
async fn a_deleted_deal_ends_what_waits_for_it() {
    for deleted_first in [false, true] {
        let desk = Desk::with(AUTOMATION).await;
        let updated = deal(&desk, "deal.updated");
        desk.clock.advance(minutes(10));
        let deleted = deal(&desk, "deal.deleted");
        let (first, second) = match deleted_first {
            true => (deleted, updated),
            false => (updated, deleted),
        };
        desk.receive(first).await;
        desk.stream().await;
        desk.receive(second).await;
        desk.stream().await;
        desk.minute(minutes(61)).await;
        assert_eq!(
            desk.state().await,
            state(Status::Cancelled, "the deal was deleted"),
            "{deleted_first}"
        );
        assert_eq!(desk.messages(), 0);
    }
}
