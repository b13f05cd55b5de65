//! Rows as earlier versions of this program wrote them: each file of `tests/fixtures/rows` is an item in
//! DynamoDB's own JSON and what it has to be read as. A new file is a new test; an old one is never changed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::event::SubjectKind;
use shared::store::{
    ConversationRow, EntityRow, Erasure, EventRow, JobId, JobRow, Once, OnceKey, PersonId,
    PersonRow, RateLease, Store, StoreError, WroteTo,
};
use testkit::Engine;

/// Whose person and once rows the fixtures hold.
const PHONE: &str = "+5511987654321";

/// One attribute of DynamoDB's JSON: `{"S": "due"}`.
fn attribute(value: &Value) -> AttributeValue {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    let texts = || {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(STANDARD.decode(text()).unwrap())),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "SS" => AttributeValue::Ss(texts()),
        other => panic!("attributes of type {other} are not in use"),
    }
}

fn item(fixture: &Value) -> HashMap<String, AttributeValue> {
    fixture["item"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), attribute(value)))
        .collect()
}

fn event(row: &EventRow) -> Value {
    let mut reads = json!({
        "key": row.key, "status": row.status.as_str(), "event": row.event, "name": row.name, "source": row.source,
        "received_at": row.received_at, "sweep_at": row.sweep_at, "problem": row.problem, "lines": row.lines,
        "expires_at": row.expires_at,
    });
    if let Some(contact) = &row.contact {
        reads["contact"] = json!(contact);
    }
    reads
}

fn job(row: &JobRow) -> Value {
    let mut reads = json!({
        "id": row.id, "key": row.key, "automation": row.automation, "action": row.action, "event": row.event,
        "event_at": row.event_at, "created_at": row.created_at, "status": row.status, "reason": row.reason,
        "version": row.version, "attempts": row.attempts, "uncertainties": row.uncertainties, "due_at": row.due_at,
        "next_at": row.next_at, "owner": row.owner, "lease_until": row.lease_until, "claimed_at": row.claimed_at,
        "text_digest": row.request.text_digest, "recipient": row.request.recipient, "channel": row.request.channel,
        "message_uuid": row.message_uuid, "reached": row.reached, "delivery": row.delivery,
        "delivery_at": row.delivery_at, "to": row.to, "ended_at": row.ended_at,
    });
    // Jobs of the first release have none of these.
    if row.depth > 0 {
        reads["callbell"] = json!([row.depth, row.delivery_reason, row.corrected_phone]);
    }
    reads
}

fn entity(row: &EntityRow) -> Value {
    let seen: BTreeMap<&str, Timestamp> = row
        .seen
        .iter()
        .map(|(fact, at)| (fact.as_str(), *at))
        .collect();
    let mut reads = json!({
        "key": row.key, "state": row.state.as_str(), "as_of": row.as_of, "event": row.event,
        "created_at": row.created_at, "seen": seen, "expires_at": row.expires_at,
    });
    // Rows from before there were parts have none.
    if !row.parts.is_empty() {
        reads["parts"] = json!(row.parts);
    }
    // Rows of what has no time have none of these.
    if let Some(holder) = &row.holder {
        let starts: Vec<_> = row.starts.iter().collect();
        reads["appointment"] = json!({
            "holder": holder, "start": row.start, "end": row.end, "starts": starts,
            "event_holder": row.event_holder, "alias_of": row.alias_of, "on_the_move": row.is_on_the_move(),
        });
    }
    reads
}

fn person(row: &PersonRow) -> Value {
    let stops: BTreeMap<&str, Value> = row
        .stops
        .iter()
        .map(|(name, mark)| (name.as_str(), json!([mark.at, mark.event])))
        .collect();
    let sent = row
        .sent
        .as_ref()
        .map(|sent| json!([sent.at, sent.automation]));
    let mut reads = json!({ "window_until": row.window_until, "stops": stops, "sent": sent });
    // Rows of whom Callbell told nothing have none of these.
    if row.first_message.is_some() {
        reads["callbell"] = json!([row.first_message, row.opted_out_at, row.opted_out_by]);
    }
    reads
}

/// `map#` rows: a message's job, what we last saw of a contact or a lead, what we wrote elsewhere.
async fn map(store: &Store, key: &str) -> Result<Value, StoreError> {
    if let Some(uuid) = key.strip_prefix("callbell/contact/") {
        let row = store.contact(uuid).await?.unwrap();
        let shown = store
            .shown_by(uuid, row.shown_by.as_deref().unwrap())
            .await?;
        return Ok(json!([row.contact, row.shown_by, row.version, shown]));
    }
    if let Some(lead) = key.strip_prefix("lead/") {
        let event = "hubspot/lead/512/updated/1773662400000";
        return Ok(json!(store.lead_told(lead, event).await?));
    }
    if let Some(id) = key.strip_prefix("wrote/hubspot/record/") {
        let to = [WroteTo::Record(id)];
        return Ok(json!(store.own_writes("hubspot", &to).await?));
    }
    let uuid = key.strip_prefix("callbell/message/").unwrap();
    Ok(json!(store.message_job(uuid).await?))
}

fn conversation(row: &ConversationRow) -> Value {
    let assigned = row.assigned.as_ref().map(|one| json!([one.at, one.to]));
    let closed = row.closed.as_ref().map(|one| json!([one.at, one.assigned]));
    json!({ "human_at": row.human_at, "assigned": assigned, "opened_at": row.opened_at, "closed": closed })
}

/// The row of the fixture, read as what its key says it is.
async fn read(store: &Store, pk: &str) -> Result<Value, StoreError> {
    let (kind, rest) = pk.split_once('#').unwrap_or((pk, ""));
    Ok(match kind {
        "event" => event(&store.event(rest).await?.unwrap()),
        "job" => job(&store.job(&JobId::parse(rest).unwrap()).await?.unwrap()),
        "entity" => entity(&store.entity(rest).await?.unwrap()),
        "person" => person(&store.persons(&[PersonId::phone(PHONE)]).await?[0]),
        "once" => {
            let key = if rest.contains("#customer#") {
                OnceKey::customer("promo", &PersonId::phone(PHONE))
            } else {
                OnceKey::subject("thanks", SubjectKind::Order, "shopify/order/1001")
            };
            match store.take_once(&key, "another event", None).await? {
                Once::HeldBy { event, at } => json!([event, at]),
                other => panic!("{other:?}"),
            }
        }
        "rate" => match store.lease_rate(5, 20).await? {
            RateLease::Tokens { tokens, .. } => json!({ "left of 20": tokens }),
            RateLease::Paused => panic!("paused"),
        },
        "hold" => {
            let hold = store
                .held(rest.strip_prefix("callbell#").unwrap())
                .await?
                .unwrap();
            json!([hold.channel, hold.reason, hold.since, hold.probe_at])
        }
        "paused" => json!(store.paused().await?.unwrap().since),
        "config" if rest.is_empty() => {
            let config = store.config().await?.unwrap();
            json!([
                config.version,
                config.pushed_at,
                config.file,
                config.templates,
                config.connections
            ])
        }
        "connections" => json!(store.connections().await?.unwrap()),
        "map" => map(store, rest).await?,
        "conversation" => conversation(&store.conversation(rest).await?.unwrap()),
        "cursor" => {
            let erased = store
                .erase_step(rest.strip_prefix("erase/").unwrap(), &Erasure::default())
                .await?;
            json!({ "rows": erased.rows, "done": erased.done })
        }
        other => panic!("no rows begin with {other}"),
    })
}

#[tokio::test]
async fn every_row_that_was_ever_written_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rows");
    let mut kinds = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let fixture: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let store = testkit::store_with(Engine::shared(), Clock::manual(testkit::start())).await;
        let item = item(&fixture);
        let pk = item["pk"].as_s().unwrap().clone();
        Engine::shared()
            .client()
            .put_item()
            .table_name(store.table())
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
        let reads = match read(&store, &pk).await {
            Ok(reads) => reads,
            Err(error @ StoreError::Corrupt { .. }) => json!({ "error": error.to_string() }),
            Err(error) => panic!("{}: {error}", path.display()),
        };
        assert_eq!(reads, fixture["reads"], "{}\n{reads:#}", path.display());
        *kinds
            .entry(pk.split('#').next().unwrap().to_owned())
            .or_insert(0) += 1;
    }
    let expected = [
        "config",
        "connections",
        "conversation",
        "cursor",
        "entity",
        "event",
        "hold",
        "job",
        "map",
        "once",
        "paused",
        "person",
        "rate",
    ];
    assert_eq!(
        kinds.keys().map(String::as_str).collect::<Vec<_>>(),
        expected,
        "a fixture of every kind of row"
    );
}
