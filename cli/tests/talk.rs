//! A day at the counter of the crm example, and one of the shop's: who writes is answered, a colleague
//! silences the bot, a new contact stands once in six systems, the team is told, what WhatsApp does not
//! deliver reaches its job, and a sequence stops when its customer answers.

#![recursion_limit = "256"]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::Path;
use std::sync::Arc;

use cli::dev::{Dev, Settings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::Unsigned;
use shared::sources::{Source as _, callbell::Callbell};
use support::{Http, PHONE, noon};

/// The path and the secret of the development server.
const PATH: &str = "/callbell/demo-callbell-path";
const SIGNING: &str = "whsec_demo-callbell-secret";
/// The channel of the examples.
const CHANNEL: &str = "35f6f8ccb5504278a2ea099f3a4e0730";
const MARIA: &str = "eb2b914a977e4ab896e7b886698b3eac";
/// The systems of the example that keep records of people.
const SYSTEMS: [&str; 6] = [
    "hubspot",
    "pipedrive",
    "salesforce",
    "mailchimp",
    "zendesk",
    "intercom",
];

async fn start(example: &str) -> (Dev, Http) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let settings = Settings {
        automations: Some(examples.join(example)),
        ..Settings::default()
    };
    let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
    dev.set_clock(noon());
    let http = Http::of(&dev);
    (dev, http)
}

fn maria(tags: &[&str]) -> Value {
    json!({
        "uuid": MARIA, "name": "Maria Silva", "email": "maria@example.com",
        "phoneNumber": PHONE.trim_start_matches('+'), "source": "whatsapp", "tags": tags,
        "href": format!("https://dash.callbell.eu/contacts/{MARIA}"), "createdAt": noon(),
        "conversationHref": format!("https://dash.callbell.eu/chat/{MARIA}"),
        "channel": { "uuid": CHANNEL, "title": "Loja", "type": "whatsapp", "main": true },
    })
}

/// Posts one webhook as Callbell does, and waits for what it sets off.
async fn webhook(dev: &Dev, http: &Http, event: &str, payload: Value) {
    let body = serde_json::to_vec(&json!({ "event": event, "payload": payload })).unwrap();
    let mut request = http.client.post(format!("{}{PATH}", http.base));
    let (connection, secret) = (Connection::plain("callbell"), Secret::new(SIGNING));
    let unsigned = Unsigned::of(&connection, &secret, &body, dev.clock().now());
    for (name, value) in Callbell.sign(&unsigned) {
        request = request.header(name, value);
    }
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), r#"{"status":"ok"}"#);
    http.idle().await;
}

/// Maria writes, and the stand-in Callbell tells of it.
async fn writes(http: &Http, text: &str) {
    let written = json!({ "phone": PHONE, "text": text, "name": "Maria Silva" });
    let (status, answer) = http.post("/_dev/receive", written).await;
    assert_eq!(status, 200, "{answer}");
    http.idle().await;
}

/// What people were sent, oldest first.
async fn sent(http: &Http) -> Vec<String> {
    let messages = http.list("/_dev/messages").await;
    let text = |one: &Value| one["text"].as_str().unwrap_or_default().to_owned();
    messages.iter().map(text).collect()
}

/// The jobs of an automation: status and reason.
async fn jobs(http: &Http, automation: &str) -> Vec<(String, String)> {
    let jobs = http.list("/_dev/jobs").await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |job: &&Value| job["automation"] == automation;
    let shown = |job: &Value| (text(&job["status"]), text(&job["reason"]));
    jobs.iter().filter(of).map(shown).collect()
}

/// What Slack was told.
async fn slack(http: &Http) -> Vec<String> {
    let requests = http.list("/_dev/requests").await;
    let told = requests.iter().filter(|one| one["to"] == "hooks.slack.com");
    told.map(|one| one["body"]["text"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_colleague_silences_the_bot_until_the_talk_is_closed() {
    let (dev, http) = start("crm.toml").await;
    writes(&http, "Onde está meu pedido?").await;
    writes(&http, "Vocês abrem sábado?").await;
    let answers = [
        "Veja seu pedido em https://minhaloja.com.br/rastreio",
        "You said: Vocês abrem sábado?",
    ];
    assert_eq!(sent(&http).await, answers, "a rule, then the model");

    // The person has the number that the stand-in gave her.
    let known = dev
        .stand_in()
        .person_writes(PHONE, CHANNEL, "whatsapp", None);
    let known = known.unwrap();
    let at = dev.clock().now().to_string();
    let colleague = json!({
        "from": "551130000000", "to": PHONE.trim_start_matches('+'), "status": "sent", "channel": "whatsapp",
        "text": "Oi Maria, aqui é a Ana.", "contact": known, "createdAt": at,
    });
    webhook(&dev, &http, "message_created", colleague).await;
    writes(&http, "Que bom, Ana!").await;
    assert_eq!(sent(&http).await.len(), 2, "the bot is silent");
    let last = jobs(&http, "balcao").await.pop().unwrap();
    assert_eq!(last.0, "skipped");
    assert!(last.1.starts_with("a team member wrote at"), "{last:?}");

    dev.advance(SignedDuration::from_mins(5)).await.unwrap();
    let closed = json!({
        "source": "whatsapp", "contact": known, "createdAt": at, "closedAt": dev.clock().now().to_string(),
        "href": "https://dash.callbell.eu/chat/1",
    });
    webhook(&dev, &http, "conversation_closed", closed).await;
    dev.advance(SignedDuration::from_mins(1)).await.unwrap();
    writes(&http, "Quero trocar a camiseta").await;
    let answers = sent(&http).await;
    assert_eq!(answers.len(), 3, "{answers:?}");
    assert!(
        answers[2].starts_with("Trocas em até 7 dias"),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_new_contact_stands_once_in_six_systems_and_its_update_updates() {
    let (dev, http) = start("crm.toml").await;
    webhook(&dev, &http, "contact_created", maria(&["lead"])).await;
    webhook(&dev, &http, "contact_created", maria(&["lead"])).await;
    let records = http.get("/_dev/records").await;
    for system in SYSTEMS {
        let count = records[system].as_array().map_or(0, Vec::len);
        assert_eq!(count, 1, "{system}: {records:#}");
    }
    let told = slack(&http).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("Contato novo: Maria Silva"), "{told:?}");

    dev.advance(SignedDuration::from_mins(20)).await.unwrap();
    webhook(&dev, &http, "contact_updated", maria(&["lead", "vip"])).await;
    let records = http.get("/_dev/records").await;
    for system in SYSTEMS {
        let count = records[system].as_array().map_or(0, Vec::len);
        assert_eq!(count, 1, "{system}: {records:#}");
    }
    assert!(
        records["hubspot"].to_string().contains("lead;vip"),
        "{records:#}"
    );
    let sheets = http.get("/_dev/sheets").await;
    let rows = sheets.to_string();
    assert_eq!(rows.matches(MARIA).count(), 1, "one row: {rows}");
    assert!(rows.contains("lead, vip"), "{rows}");
    // What did not change tells nobody.
    dev.advance(SignedDuration::from_mins(20)).await.unwrap();
    let before = jobs(&http, "crm").await.len();
    webhook(&dev, &http, "contact_updated", maria(&["lead", "vip"])).await;
    assert_eq!(jobs(&http, "crm").await.len(), before);
}

#[tokio::test]
async fn what_whatsapp_does_not_deliver_reaches_its_job_and_the_team() {
    let (dev, http) = start("crm.toml").await;
    let fails = json!({ "callbell": [{ "kind": "message_fails", "reason": "Message undeliverable", "times": 1 }] });
    assert_eq!(http.post("/_dev/faults", fails).await.0, 200);
    writes(&http, "rastreio").await;
    dev.advance(SignedDuration::from_secs(5)).await.unwrap();
    http.idle().await;
    let all = http.list("/_dev/jobs").await;
    let answer = all.iter().find(|job| job["automation"] == "balcao");
    let answer = answer.unwrap();
    assert_eq!(
        (&answer["status"], &answer["delivery"]),
        (&json!("sent"), &json!("failed")),
        "{answer}"
    );
    let told = slack(&http).await;
    let told: Vec<&String> = told.iter().filter(|line| line.contains("balcao")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn an_abandoned_basket_is_not_asked_about_once_its_owner_answers() {
    let (dev, http) = start("shop.toml").await;
    let checkout = |at: Timestamp| {
        let at = at.to_string();
        json!({
            "id": 31, "token": "b1946ac92492d2347c6235b4d2611184", "cart_token": "c1", "created_at": at,
            "updated_at": at, "completed_at": null, "currency": "BRL", "presentment_currency": "BRL",
            "total_price": "129.90", "subtotal_price": "129.90", "total_tax": "0.00", "total_discounts": "0.00",
            "abandoned_checkout_url": "https://minha-loja.com.br/checkouts/ac/1/recover",
            "customer_locale": "pt-BR", "phone": PHONE, "sms_marketing_phone": PHONE,
            "buyer_accepts_sms_marketing": true, "email": "maria@example.com", "gateway": null,
            "customer": {
                "id": 7, "first_name": "Maria", "last_name": "da Silva", "phone": PHONE,
                "sms_marketing_consent": { "state": "subscribed" },
            },
            "line_items": [{
                "title": "Camiseta", "quantity": 2, "price": "64.95", "sku": "C-1", "product_id": 11,
                "variant_title": "M",
            }],
            "discount_codes": [], "note_attributes": [],
        })
    };
    let status = http.shopify("checkouts/create", &checkout(noon())).await;
    assert_eq!(status, 200);
    http.idle().await;
    dev.advance(SignedDuration::from_mins(61)).await.unwrap();
    http.idle().await;
    let asked = sent(&http).await;
    assert_eq!(asked.len(), 1, "{:?}", jobs(&http, "abandoned-cart").await);

    writes(&http, "Já volto, obrigada!").await;
    dev.advance(SignedDuration::from_hours(30)).await.unwrap();
    http.idle().await;
    assert_eq!(sent(&http).await.len(), 1, "nothing more");
    let ended = jobs(&http, "abandoned-cart").await;
    let ended: Vec<&(String, String)> = ended
        .iter()
        .filter(|(status, _)| status != "sent")
        .collect();
    assert_eq!(ended.len(), 1, "{ended:?}");
    assert_eq!(ended[0].0, "cancelled");
    assert!(ended[0].1.starts_with("message.received "), "{ended:?}");
}
