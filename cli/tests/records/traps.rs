//! What is said of one system alone.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::actions::deed::{ActError, Done};
use engine::automations::model::MatchBy;
use serde_json::{Value, json};

use super::systems::SYSTEMS;
use super::world::{World, text};

async fn of(name: &str) -> World {
    let fixture = SYSTEMS.iter().find(|fixture| fixture.name == name);
    World::of(fixture.unwrap()).await
}

fn fields<const N: usize>(list: [(&str, Value); N]) -> BTreeMap<String, Value> {
    list.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[tokio::test]
async fn hubspot_gets_texts_and_says_whose_address_it_is() {
    let world = of("hubspot").await;
    let mut wish = world.wish();
    wish.fields = fields([
        ("idade", json!(30)),
        ("callbell_tags", json!(["vip", "br"])),
        ("ok", json!(true)),
    ]);
    let theirs = world.done(&wish, "created").await;
    let record = world.record();
    let of = |name: &str| text(&record, &format!("/properties/{name}")).to_owned();
    assert_eq!(
        (of("idade"), of("callbell_tags"), of("ok")),
        ("30".into(), "vip;br".into(), "true".into())
    );
    // Another record of the phone, whose new address is the first one's.
    let mut other = world.wish();
    (other.phone, other.email) = (Some("+351912345678"), None);
    let id = world.done(&other, "created").await;
    other.id = Some(id);
    other.fields = fields([
        ("email", json!("maria@example.com")),
        ("lastname", json!("Souza")),
    ]);
    assert_eq!(world.done(&other, "updated").await, theirs);
    assert_eq!(text(&world.records()[0], "/properties/lastname"), "Souza");
}

#[tokio::test]
async fn pipedrive_keeps_every_phone_and_address_that_was_there() {
    let world = of("pipedrive").await;
    let mut wish = world.wish();
    wish.fields = fields([
        ("phone", json!("+55 11 98765-4321")),
        ("email", json!("eu@example.com")),
        ("owner_id", json!("7")),
    ]);
    let id = world.done(&wish, "created").await;
    wish.id = Some(id);
    wish.fields = fields([
        ("phone", json!("+351912345678")),
        ("email", json!("EU@example.com")),
    ]);
    world.done(&wish, "updated").await;
    let record = world.record();
    let values = |list: &str| -> Vec<String> {
        let list = record[list].as_array().unwrap();
        list.iter()
            .map(|entry| text(entry, "/value").to_owned())
            .collect()
    };
    assert_eq!(values("phones"), ["+55 11 98765-4321", "+351912345678"]);
    assert_eq!(values("emails"), ["eu@example.com"]);
    assert_eq!(
        (&record["owner_id"], &record["phones"][0]["primary"]),
        (&json!(7), &json!(true))
    );
    // The same again costs no write.
    let before = world.requests();
    world.done(&wish, "unchanged").await;
    assert_eq!(world.requests() - before, 1);
}

#[tokio::test]
async fn salesforce_fills_in_what_a_lead_lacks_and_leaves_a_converted_one() {
    let world = of("salesforce").await;
    let mut wish = world.wish();
    (wish.object, wish.name, wish.fields) = ("Lead", None, BTreeMap::new());
    let lead = world.done(&wish, "created").await;
    assert!(lead.starts_with("00Q"));
    let record = world.record();
    let found = (text(&record, "/LastName"), text(&record, "/Company"));
    assert_eq!(found, ("maria@example.com", "[not provided]"));
    let host = "minha.my.salesforce.com/services/data/v62.0/sobjects";
    let converted = json!({ "IsConverted": true });
    world
        .ask("PATCH", &format!("{host}/Lead/{lead}"), converted)
        .await;
    wish.id = Some(lead.clone());
    wish.fields = fields([("Title", json!("Dra."))]);
    let second = world.done(&wish, "created").await;
    assert_ne!(second, lead);
    assert_eq!(world.done(&wish, "updated").await, second);
    assert_eq!(text(&world.records()[0], "/Title"), "");
}

#[tokio::test]
async fn salesforce_names_no_one_of_several_and_leaves_strangers_alone() {
    let world = of("salesforce").await;
    let mut wish = world.wish();
    wish.match_by = vec![MatchBy::Phone];
    let first = world.done(&wish, "created").await;
    // The rule names her, whose phone this one has; looked for was another phone, so she is left alone.
    let mut other = world.wish();
    (other.phone, other.email) = (Some("+351912345678"), Some("outra@example.com"));
    other.fields = fields([("MobilePhone", json!("+55 11 98765-4321"))]);
    let second = world.done(&other, "created").await;
    assert_ne!(first, second);
    let several = world.upsert(&wish).await;
    let why = "Salesforce: several records of this person, by phone";
    assert_eq!(several, Err(ActError::Rejected(why.to_owned())));
    // Whose id is remembered is known.
    wish.id = Some(first);
    world.done(&wish, "updated").await;
}

#[tokio::test]
async fn mailchimp_needs_an_address_and_never_undoes_an_unsubscription() {
    let world = of("mailchimp").await;
    let mut wish = world.wish();
    let id = world.done(&wish, "created").await;
    assert_eq!(text(&world.record(), "/status"), "transactional");
    wish.id = Some(id.clone());
    wish.email = Some("Nova@example.com");
    let new = world.done(&wish, "updated").await;
    assert_ne!(id, new, "the member has a new address");
    assert_eq!(text(&world.record(), "/email_address"), "Nova@example.com");
    let sent = world.stand_in.requests();
    let put = sent.iter().filter(|request| request["method"] == "PUT");
    assert!(put.clone().count() > 0);
    for request in put {
        assert!(request["body"].get("status").is_none(), "{request}");
    }
    wish.email = None;
    let why = "Mailchimp needs an e-mail address, and there is none";
    assert_eq!(world.upsert(&wish).await, Ok(Done::Skipped(why.to_owned())));
    wish.id = None;
    for (email, title) in [
        ("cleaned@example.com", "Member In Compliance State"),
        ("forgotten@example.com", "Forgotten Email Not Subscribed"),
    ] {
        wish.email = Some(email);
        let why = format!("Mailchimp 400: {title}");
        assert_eq!(world.upsert(&wish).await, Err(ActError::Rejected(why)));
    }
}

#[tokio::test]
async fn zendesk_mails_nobody_shares_a_phone_and_leaves_agents_alone() {
    let world = of("zendesk").await;
    let mut wish = world.wish();
    wish.fields = fields([("phone", json!("+5511987654321")), ("plano", json!("ouro"))]);
    let first = world.done(&wish, "created").await;
    let record = world.record();
    assert_eq!(
        (&record["mailed"], &record["user_fields"]["plano"]),
        (&json!(false), &json!("ouro"))
    );
    assert_eq!(record["external_id"], Value::Null, "the address finds her");
    let mut other = world.wish();
    (other.phone, other.email) = (None, Some("irma@example.com"));
    other.fields = fields([("phone", json!("+5511987654321"))]);
    world.done(&other, "created").await;
    let sister = &world.records()[1];
    assert_eq!(
        (&sister["phone"], text(sister, "/shared_phone_number")),
        (&Value::Null, "+5511987654321")
    );
    // Somebody of a phone alone is known by an id of ours.
    let mut third = world.wish();
    (third.phone, third.email) = (Some("+351912345678"), None);
    world.done(&third, "created").await;
    assert!(text(&world.records()[2], "/external_id").starts_with("callbell:"));
    // A second address finds its user too, and another's is not taken from them.
    wish.id = Some(first);
    wish.fields = fields([("email", json!("segunda@example.com"))]);
    world.done(&wish, "updated").await;
    world.later();
    wish.id = None;
    (wish.phone, wish.email) = (None, Some("segunda@example.com"));
    wish.fields = fields([("email", json!("irma@example.com")), ("notes", json!("oi"))]);
    world.done(&wish, "updated").await;
    assert_eq!(text(&world.records()[0], "/notes"), "oi");
    assert_eq!(world.records().len(), 3);
    wish.fields = BTreeMap::new();
    wish.email = Some("ana@example.com");
    wish.phone = None;
    world.upsert(&wish).await.unwrap();
    world.later();
    let agent = world.upsert(&wish).await;
    assert_eq!(
        agent,
        Err(ActError::Rejected("this is an agent at Zendesk".to_owned()))
    );
}

#[tokio::test]
async fn intercom_brings_back_who_was_archived_and_says_when_to_ask_again() {
    let world = of("intercom").await;
    let mut wish = world.wish();
    let id = world.done(&wish, "created").await;
    world
        .ask(
            "POST",
            &format!("api.intercom.io/contacts/{id}/archive"),
            json!({}),
        )
        .await;
    world.later();
    wish.fields = fields([("apelido", json!("Mari"))]);
    assert_eq!(world.done(&wish, "updated").await, id);
    assert_eq!(world.record()["archived"], false);
    let eu = r#"{"token":"good","region":"eu"}"#;
    assert!(world.with(&[eu], &wish).await.is_ok());
    let requests = world.stand_in.requests();
    assert_eq!(requests.last().unwrap()["to"], "api.eu.intercom.io");
    let elsewhere = world
        .with(&[r#"{"token":"good","region":"br"}"#], &wish)
        .await;
    assert!(matches!(elsewhere, Err(ActError::Refused(_))));
}

#[tokio::test]
async fn limits_are_said_in_each_system_s_own_way() {
    for (name, status, seconds) in [
        ("hubspot", 429, 10),
        ("pipedrive", 429, 2),
        ("pipedrive", 403, 300),
        ("salesforce", 403, 3_600),
        ("mailchimp", 403, 10),
        ("zendesk", 429, 30),
        ("intercom", 429, 10),
    ] {
        let world = of(name).await;
        world.fault(&json!({ "kind": "status", "status": status }));
        let limited = world.upsert(&world.wish()).await;
        let Err(ActError::Limited { retry_after, .. }) = limited else {
            panic!("{name}: {limited:?}");
        };
        assert_eq!(
            retry_after,
            Some(Duration::from_secs(seconds)),
            "{name} {status}"
        );
    }
}
