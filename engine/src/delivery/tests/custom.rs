//! What a system of the user's own posts: read by its table, made an event, and no more than once.

use serde_json::{Value, json};
use shared::connections::{Auth, Connection};
use shared::event::{Body, Event};
use shared::sources::{Reading, read_file, webhook};
use shared::store::{Digests, EventRow, EventStatus, JobRow, Status};

use super::desk::Desk;
use super::minutes;

const ERP: &str = r#"
[source.erp]
kind  = "webhook"
auth  = "bearer"
key   = "data.numero ~ '/' ~ data.tipo"
phone = "data.cliente.celular"
name  = "data.cliente.nome"
at    = "data.emitida_em"

[message.nota]
text = "{{ customer.first_name | default('cliente') }}, nota {{ data.numero }}: {{ data.valor | number | money('BRL') | default('-') }}"

[automation.nota]
on      = "custom.received"
source  = "erp"
when    = "data.tipo == 'nota_emitida'"
message = "nota"
"#;

/// Stores a post as the door does; its row's key.
async fn post(desk: &Desk, body: &Value) -> String {
    let connection = Connection {
        kind: webhook::KIND.to_owned(),
        auth: Some(Auth::Bearer),
        ..Connection::plain("erp")
    };
    let bytes = body.to_string().into_bytes();
    let now = desk.clock.now();
    let read = read_file(
        &webhook::Webhook,
        &connection,
        Default::default(),
        bytes,
        now,
    );
    let Ok(Reading::Events(events)) = read else {
        panic!("{read:?}");
    };
    let event: Event = events.into_iter().next().unwrap();
    let key = event.event.id.clone();
    desk.store.put_event(event).await.unwrap();
    // The post, and then what it is.
    desk.stream().await;
    desk.stream().await;
    key
}

async fn row(desk: &Desk, key: &str) -> EventRow {
    desk.store.event(key).await.unwrap().unwrap()
}

async fn said(desk: &Desk, key: &str) -> Vec<String> {
    let row = row(desk, key).await;
    assert_eq!(row.status, EventStatus::Planned);
    row.lines.into_iter().map(|line| line.why).collect()
}

fn nota(numero: &str, more: Value) -> Value {
    let mut body = json!({"numero": numero, "tipo": "nota_emitida", "valor": "129.90",
        "cliente": {"nome": "Maria da Silva", "celular": "11 98765-4321"}});
    crate::plan::tests::merge(&mut body, more);
    body
}

#[tokio::test]
async fn a_post_becomes_one_message_and_its_key_makes_it_the_same_again() {
    let desk = Desk::with(ERP).await;
    let first = post(&desk, &nota("4711", json!({}))).await;
    assert_eq!(
        said(&desk, &first).await,
        ["1 custom.received: erp/custom/4711/nota_emitida"]
    );
    let made = row(&desk, "erp/custom/4711/nota_emitida").await;
    assert!(matches!(made.event.unwrap().body, Body::Custom { .. }));
    let sent = desk.callbell.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["to"], "+5511987654321");
    assert_eq!(
        sent[0]["content"]["text"],
        "Maria, nota 4711: R$\u{a0}129,90"
    );
    let JobRow { status, key, .. } = desk.job().await;
    assert_eq!(
        (status, key.as_str()),
        (
            Status::Sent,
            "nota/message.nota#erp/custom/4711/nota_emitida"
        )
    );
    // Another body about the same: another post, and nothing new.
    let again = post(&desk, &nota("4711", json!({"valor": "130.00"}))).await;
    assert_ne!(first, again);
    assert_eq!(
        said(&desk, &again).await,
        ["1 known already: erp/custom/4711/nota_emitida"]
    );
    assert_eq!(desk.messages(), 1);
    // A crash between the event and the post's record repeats the reading.
    desk.minute(minutes(5)).await;
    assert_eq!(desk.messages(), 1);
}

#[tokio::test]
async fn without_a_key_nothing_is_done_and_the_record_says_so() {
    let desk = Desk::with(ERP).await;
    let key = post(&desk, &nota("", json!({}))).await;
    assert_eq!(said(&desk, &key).await, ["key: data.numero is absent"]);
    let key = post(&desk, &json!([])).await;
    assert_eq!(said(&desk, &key).await, ["key: data.numero is absent"]);
    assert!(desk.jobs().await.is_empty());
}

/// The body stays for days all the same, and an erasure has to find it.
#[tokio::test]
async fn what_makes_no_event_is_found_by_whose_it_is() {
    let maria = Digests::new().phone("+5511987654321");
    let desk = Desk::with(ERP).await;
    let key = post(&desk, &nota("", json!({}))).await;
    assert!(row(&desk, &key).await.digests.meets(&maria));
    let key = post(&desk, &json!({"tipo": "nota_emitida"})).await;
    assert!(row(&desk, &key).await.digests.is_empty());
    let file = ERP.replace(
        "kind  = \"webhook\"",
        "kind  = \"webhook\"\neach  = \"data.notas\"",
    );
    let desk = Desk::with(&file).await;
    let many = json!({"notas": vec![nota("1", json!({})); 101]});
    for body in [many, json!({"notas": [nota("", json!({}))]})] {
        let key = post(&desk, &body).await;
        assert!(row(&desk, &key).await.digests.meets(&maria));
    }
    assert!(desk.jobs().await.is_empty());
}

#[tokio::test]
async fn a_source_without_a_table_does_nothing() {
    let desk = Desk::with("").await;
    let key = post(&desk, &nota("4711", json!({}))).await;
    assert_eq!(
        said(&desk, &key).await,
        ["there is no [source.erp] with a key: nothing says what it is"]
    );
}

#[tokio::test]
async fn what_happened_long_ago_is_too_late_and_a_strange_time_is_noted() {
    let desk = Desk::with(ERP).await;
    post(
        &desk,
        &nota("1", json!({"emitida_em": "2020-01-01T10:00:00-03:00"})),
    )
    .await;
    let job = desk.job().await;
    assert_eq!(job.status, Status::Skipped);
    assert_eq!(job.reason.as_deref(), Some("too late"));
    post(&desk, &nota("2", json!({"emitida_em": "ontem"}))).await;
    let event = row(&desk, "erp/custom/2/nota_emitida").await.event.unwrap();
    assert_eq!(
        event.event.notes,
        ["at is no time: it counts as when it was posted"]
    );
    assert_eq!(event.event.at, desk.clock.now());
    assert_eq!(desk.messages(), 1);
}

#[tokio::test]
async fn each_element_of_a_list_is_planned_by_itself() {
    let file = ERP.replace(
        "kind  = \"webhook\"",
        "kind  = \"webhook\"\neach  = \"data.notas\"",
    );
    let desk = Desk::with(&file).await;
    let other = nota("2", json!({"tipo": "boleto"}));
    let body = json!({"notas": [nota("1", json!({})), other, {"tipo": "nota_emitida"}]});
    let key = post(&desk, &body).await;
    assert_eq!(
        said(&desk, &key).await,
        [
            "2 custom.received: erp/custom/1/nota_emitida, erp/custom/2/boleto",
            "element 3: key: data.numero is absent"
        ]
    );
    assert_eq!(desk.messages(), 1);
    let boleto = said(&desk, "erp/custom/2/boleto").await;
    assert!(boleto[0].starts_with("when is false"), "{boleto:?}");
}

#[tokio::test]
async fn once_a_custom_subject_is_once_a_key() {
    let file = ERP.replace(
        "message = \"nota\"\n",
        "message = \"nota\"\nonce = \"custom\"\n",
    );
    let desk = Desk::with(&file).await;
    for numero in ["1", "1", "2"] {
        post(&desk, &nota(numero, json!({"x": numero}))).await;
    }
    assert_eq!(desk.messages(), 2);
}
