//! CRMs, forms and a system of the user's own: their webhooks through the real API, doors and workers.

use std::path::Path;

use cli::dev::envelope;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::failure::{During as _, Outcome, ensure};
use crate::shop::Webhook;
use crate::world::World;

/// What is pushed beside the other scenes': who comes into being at HubSpot or Salesforce, fills in a form or
/// stands in what the ERP posts gets a message.
pub(crate) const AUTOMATIONS: &str = r#"
[source.erp]
kind  = "webhook"
auth  = "bearer"
key   = "data.numero ~ '/' ~ data.tipo"
phone = "data.cliente.celular"
name  = "data.cliente.nome"

[message.lead]
template = "40000000000000000000000000000002"
values   = ["{{ customer.first_name | default('tudo bem') }}"]

[message.form]
template = "40000000000000000000000000000001"
values   = ["{{ customer.first_name | default('tudo bem') }}", "{{ form.answers.interesse | default('nossos planos') }}"]

[message.boleto]
template = "30000000000000000000000000000002"
values   = ["{{ data.numero | default('-') }}", "{{ data.valor | number | money('BRL') | default('-') }}"]

[automation.lead]
on      = "lead.created"
message = "lead"

[automation.form]
on      = "form.submitted"
message = "form"

[automation.boleto]
on      = "custom.received"
source  = "erp"
when    = "data.tipo == 'boleto_emitido'"
message = "boleto"
"#;
/// Who fills in the form of the sample, what she may read, and what interests her.
pub(crate) const FORM: (&str, &str) = (
    "events/forms/02-typeform-form-response.json",
    "+5511980071001",
);
/// Who comes into being at Salesforce.
pub(crate) const SALESFORCE: (&str, &str) = (
    "events/leads/20-salesforce-contact-created.json",
    "+5511980031001",
);
/// Who comes into being at HubSpot, by somebody's hand.
pub(crate) const HUBSPOT_PHONE: &str = "+5511980019001";
/// Whom the ERP writes to.
pub(crate) const ERP_PHONE: &str = "+5511980109001";
/// HubSpot's number of the account.
const PORTAL: u64 = 62_515;
/// What nobody but these people, Callbell, their systems and the table may read.
pub(crate) const PRIVATE: &[&str] = &[
    "Beatriz", "80071001", "80031001", "80019001", "80109001", "beatriz@", "Otávio", "Campinas",
    "Pilates",
];

/// A sample's webhook, as if it came now.
pub(crate) async fn sample(world: &World, file: &str) -> Outcome<Webhook> {
    let path = world.tools.root.join(file);
    let signed = world.file(&file.replace('/', "-"));
    let words: Vec<&Path> = vec![
        Path::new("sign"),
        &path,
        Path::new("--now"),
        Path::new("--secrets"),
        &world.secrets,
        Path::new("--out"),
        &signed,
    ];
    world.callbell(&words).await?;
    Webhook::read(&signed)
}

/// A contact that somebody makes at HubSpot, and the webhook that names it: signed over the address that API
/// Gateway is called by.
pub(crate) async fn at_hubspot(world: &World) -> Outcome<Webhook> {
    let properties = json!({
        "firstname": "Otávio", "lastname": "Reis", "phone": HUBSPOT_PHONE, "email": "otavio@example.com",
    });
    let contact = world.make_at_hubspot(&properties).await?;
    let id: u64 = contact["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .during("HubSpot's number of a contact")?;
    let body = json!([{
        "eventId": 1, "subscriptionId": 1, "portalId": PORTAL, "appId": 1,
        "occurredAt": Timestamp::now().as_millisecond(), "subscriptionType": "contact.creation",
        "attemptNumber": 0, "objectId": id, "changeFlag": "NEW", "changeSource": "CRM_UI",
    }]);
    let (from, to) = (
        world.file("hubspot.json"),
        world.file("hubspot-signed.json"),
    );
    std::fs::write(&from, body.to_string()).during(from.display())?;
    let words: Vec<&Path> = vec![
        Path::new("sign"),
        &from,
        Path::new("--source"),
        Path::new("hubspot"),
        Path::new("--host"),
        Path::new(&world.stack.api_host),
        Path::new("--secrets"),
        &world.secrets,
        Path::new("--out"),
        &to,
    ];
    world.callbell(&words).await?;
    Webhook::read(&to)
}

/// What the ERP posts: a token, and whatever its developer thought of.
pub(crate) fn of_erp(secret: &str) -> Webhook {
    let body = json!({
        "tipo": "boleto_emitido", "numero": "4711", "valor": "129.90",
        "cliente": { "nome": "Otávio Reis", "celular": ERP_PHONE },
    });
    Webhook::plain(envelope::Sample {
        method: "POST".to_owned(),
        host: String::new(),
        path: "/custom/erp".to_owned(),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("authorization".to_owned(), format!("Bearer {secret}")),
        ],
        body: body.to_string().into_bytes(),
        at: Timestamp::now(),
    })
}

/// Salesforce takes nothing for an answer but its own.
pub(crate) async fn is_acknowledged(world: &World, webhook: &Webhook) -> Outcome {
    let answer = webhook.post(world).await?;
    let right = answer.status == 200
        && answer.content_type.starts_with("text/xml")
        && answer.body.contains("<Ack>true</Ack>");
    ensure(right, || {
        format!(
            "Salesforce got {} {}: {}",
            answer.status, answer.content_type, answer.body
        )
    })
}

/// The event that an answer names.
pub(crate) fn named(body: &str) -> String {
    let answer: Value = serde_json::from_str(body).unwrap_or_default();
    answer["event"].as_str().unwrap_or_default().to_owned()
}
