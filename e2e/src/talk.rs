//! The people who write: what they are in Callbell, and its webhooks about them, as Callbell posts them.

use cli::standin::journal::Message;
use cli::standin::webhooks::Written;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::sources::callbell::KIND;

use crate::failure::{During as _, Outcome, ensure};
use crate::shop::Webhook;
use crate::world::World;

/// What is pushed beside the shop's example: a chatbot that has an answer to one question, and everybody
/// new into HubSpot.
pub(crate) const AUTOMATIONS: &str = r#"
[message.opening]
text = "Oi {{ contact.first_name }}! Abrimos das 9 às 20 horas, domingo a partir das 10."

[reply.e2e]
rules  = [{ words = ["que horas"], say = "opening" }]
gather = "1s"

[automation.counter]
on    = "message.received"
reply = "e2e"

[hubspot.person]
fields = { firstname = "{{ contact.first_name }}", phone = "{{ contact.phone }}", email = "{{ contact.email }}" }

[automation.crm]
on      = "contact.created"
hubspot = "person"
"#;
/// `gather` of the chatbot.
pub(crate) const GATHER: SignedDuration = SignedDuration::from_secs(1);
/// Who writes.
pub(crate) const PHONE: &str = "+5521998877001";
/// What they write. The chatbot has words for the first alone, so the second is answered with it or not at
/// all.
pub(crate) const QUESTIONS: [&str; 2] = ["Que horas voces abrem?", "E no domingo?"];
/// What they are answered.
pub(crate) const ANSWER: &str = "Oi Tiago! Abrimos das 9 às 20 horas, domingo a partir das 10.";
/// Somebody else, who is new.
pub(crate) const NEW_PHONE: &str = "+5531991234002";
/// Whom a webhook tells of that nobody may believe.
pub(crate) const STRANGER: &str = "0000e2e0000000000000000000000bad";
/// Callbell's number of whoever is new.
pub(crate) const NEW: &str = "0000e2e0000000000000000000000002";
/// Why WhatsApp does not deliver a message.
pub(crate) const UNDELIVERABLE: &str = "Message undeliverable";
/// What nobody but these people, Callbell, HubSpot and the table may read.
pub(crate) const PRIVATE: &[&str] = &[
    "Tiago",
    "99887700",
    "Que horas",
    "E no domingo",
    "Abrimos das",
    "Beatriz",
    "99123400",
    "beatriz@",
];
/// The example's channel.
const CHANNEL: &str = "35f6f8ccb5504278a2ea099f3a4e0730";
/// The business's own number, as Callbell writes it.
const BUSINESS: &str = "551133334444";
/// The one answer that Callbell takes for one.
const OK: &str = r#"{"status":"ok"}"#;

/// [`PHONE`] writes [`QUESTIONS`], a second apart: Callbell takes an answer to them from now on, and these are
/// its webhooks.
pub(crate) fn writes(world: &World) -> Outcome<[Value; 2]> {
    let now = Timestamp::now();
    let [first, last] = QUESTIONS;
    Ok([
        received(world, first, now - SignedDuration::from_secs(1))?,
        received(world, last, now)?,
    ])
}

fn received(world: &World, text: &str, at: Timestamp) -> Outcome<Value> {
    let written = Written {
        phone: Some(PHONE.to_owned()),
        name: Some("Tiago Ramos".to_owned()),
        text: Some(text.to_owned()),
        ..Written::default()
    };
    let contact = world.stand_in.receive(&written);
    let contact = contact.during("the stand-in for Callbell")?;
    Ok(json!({ "event": "message_created", "payload": {
        "from": PHONE.trim_start_matches('+'), "to": BUSINESS, "text": text, "status": "received",
        "channel": "whatsapp", "contact": contact, "createdAt": second(at),
    }}))
}

/// The webhook of somebody of this number at Callbell who came into being just now.
pub(crate) fn created(uuid: &str) -> Value {
    json!({ "event": "contact_created", "payload": {
        "uuid": uuid, "name": "Beatriz Nunes", "phoneNumber": NEW_PHONE.trim_start_matches('+'),
        "email": "beatriz@example.com", "source": "whatsapp", "tags": ["Lead"], "avatarUrl": null,
        "href": format!("https://dash.callbell.eu/contacts/{uuid}"),
        "conversationHref": format!("https://dash.callbell.eu/chat/{uuid}"),
        "createdAt": second(Timestamp::now()), "assignedUser": null, "customFields": {},
        "channel": { "uuid": CHANNEL, "title": "Loja", "type": "whatsapp", "main": true },
    }})
}

/// The webhook of what became of a message that we sent: `delivered`, `failed`. Its metadata comes as a text.
pub(crate) fn status(world: &World, message: &Message, status: &str) -> Outcome<Value> {
    let to = message.body["to"].as_str().unwrap_or_default();
    let person = world
        .stand_in
        .person_writes(to, CHANNEL, "whatsapp", None)
        .during("the stand-in for Callbell")?;
    let metadata = &message.body["metadata"];
    ensure(metadata.is_object(), || {
        format!("the message's metadata is {metadata}")
    })?;
    let mut inner = json!({ "ts": Timestamp::now().as_second() });
    if status == "failed" {
        inner["code"] = 1003.into();
        inner["reason"] = UNDELIVERABLE.into();
    }
    Ok(json!({ "event": "message_status_updated", "payload": {
        "uuid": message.uuid, "status": status, "contact": [person], "metadata": metadata.to_string(),
        "messageStatusPayload": { "id": message.uuid, "type": status, "payload": inner },
    }}))
}

/// A time as Callbell writes it: to the second.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// This body, signed just now.
pub(crate) async fn sign(world: &World, body: &Value) -> Outcome<Webhook> {
    Webhook::of_body(world, KIND, body).await
}

/// Posts a webhook, which has to be answered as Callbell wants it.
pub(crate) async fn post(world: &World, webhook: &Webhook) -> Outcome {
    let answer = webhook.post(world).await?;
    ensure(answer.status == 200 && answer.body == OK, || {
        format!(
            "the webhook got {} {}, not 200 {OK}",
            answer.status, answer.body
        )
    })
}
