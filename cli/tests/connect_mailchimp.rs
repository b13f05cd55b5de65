//! `callbell connect mailchimp` and `callbell connect salesforce` on a development server with secrets of its own,
//! against the stand-in of Mailchimp's API. Everything listens on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod aws;
mod support;

use std::path::Path;
use std::sync::Arc;

use aws::{Cloud, Ran, run_with};
use cli::dev::{Dev, Settings};
use serde_json::{Value, json};
use shared::event::Name;
use shared::store::EventFilter;
use support::Http;

const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.clinic]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.hello]
text = "Olá"

[automation.welcome]
on      = "lead.created"
message = "hello"
"#;
const MORE: &str = r#"
[automation.changed]
on      = "lead.updated"
message = "hello"
"#;

/// A development server with files of its own, and the command in their folder.
struct World {
    dev: Dev,
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl World {
    async fn of(secrets: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("automations.toml"), AUTOMATIONS).unwrap();
        std::fs::write(file("secrets.toml"), secrets).unwrap();
        let settings = Settings {
            automations: Some(file("automations.toml")),
            secrets: Some(file("secrets.toml")),
            ..Settings::default()
        };
        let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
        let environment = Cloud::start(&dev).await.environment(folder.path());
        World {
            dev,
            folder,
            environment,
        }
    }

    /// Runs the command; no secret may show but in the steps of what is done by hand.
    async fn callbell(&self, args: &[&str], input: &str) -> Ran {
        let local = format!("--local={}", self.dev.url().rsplit(':').next().unwrap());
        let args = [args, &[local.as_str()]].concat();
        let ran = run_with(self.folder.path(), &args, &self.environment, input).await;
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains("hush"), "{shown}");
        ran
    }

    async fn mailchimp(&self, more: &[&str], code: i32, parts: &[&str]) {
        let args = [&["connect", "mailchimp", "--no-wait", "--yes"][..], more].concat();
        let ran = self.callbell(&args, "").await;
        says(&ran, code, parts);
        for key in self.keys("mailchimp") {
            let shown = format!("{}{}", ran.out, ran.err);
            assert!(!shown.contains(&key), "{shown}");
        }
    }

    async fn listed(&self) -> Vec<Value> {
        let args = ["connect", "mailchimp", "--list", "--json"];
        let ran = self.callbell(&args, "").await;
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err))
    }

    /// What the file has for the door.
    fn keys(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("secrets.toml")).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let values = table.get("webhooks").and_then(|table| table.get(name));
        match values {
            Some(toml::Value::String(value)) => vec![value.clone()],
            Some(toml::Value::Array(values)) => {
                let values = values
                    .iter()
                    .map(|value| value.as_str().unwrap().to_owned());
                values.collect()
            }
            _ => Vec::new(),
        }
    }

    /// The bodies that Mailchimp was sent by this method, oldest first.
    async fn sent(&self, method: &str) -> Vec<Value> {
        let all = Http::of(&self.dev).list("/_dev/requests").await;
        let is = |request: &&Value| {
            let url = request["url"].as_str().unwrap_or_default();
            request["method"] == method && url.contains("api.mailchimp.com")
        };
        let bodies = all.iter().filter(is).map(|request| request["body"].clone());
        bodies.collect()
    }
}

/// Every part stands in what was printed.
fn says(ran: &Ran, code: i32, parts: &[&str]) {
    let shown = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, code, "{shown}");
    for part in parts {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

#[tokio::test]
async fn mailchimp_is_connected_and_a_first_subscriber_comes() {
    let world = World::of("").await;
    let args = ["connect", "mailchimp", "--wait", "20"];
    let ran = world.callbell(&args, "").await;
    says(&ran, 1, &["no credential of Mailchimp", "API key"]);
    let ran = world.callbell(&args, "no centre").await;
    says(&ran, 1, &["ends in its data centre"]);
    let ran = world.callbell(&args, "hush-revoked-us6").await;
    says(&ran, 1, &["refuses the credential"]);
    let ran = world.callbell(&args, "hush-key-us6").await;
    says(
        &ran,
        0,
        &[
            "lead.created: welcome (automations.toml:13)",
            "registered: subscribe",
            "seen after",
            "lead.created",
            "via the API",
        ],
    );
    let [key] = world.keys("mailchimp").try_into().unwrap();
    assert!(!ran.out.contains(&key), "{}", ran.out);
    let [posted] = world.sent("POST").await.try_into().unwrap();
    let door = format!("{}/leads/mailchimp", world.dev.url());
    assert_eq!(
        posted,
        json!({
            "url": format!("{door}?key={key}"),
            "events": {
                "subscribe": true, "profile": false, "upemail": false, "unsubscribe": false,
                "cleaned": false, "campaign": false,
            },
            "sources": { "user": true, "admin": true, "api": false },
        })
    );
    let filter = EventFilter::default();
    let (events, _) = world.dev.store().list_events(&filter, None).await.unwrap();
    let names: Vec<_> = events.iter().map(|event| event.name).collect();
    assert_eq!(names, [Some(Name::LeadCreated)]);

    // Mailchimp asks the address before it takes it.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
        let answer = client.request(method, &door).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    world.mailchimp(&[], 0, &["nothing to do"]).await;
    let [hook] = world.listed().await.try_into().unwrap();
    assert_eq!(hook["url"], door.as_str(), "the list shows no key");
    assert_eq!(
        (&hook["state"], &hook["scope"]),
        (&json!("active"), &json!("a1b2c3d4e5"))
    );
}

#[tokio::test]
async fn what_is_missing_is_added_and_a_new_key_goes_into_the_address() {
    let world = World::of("[apis]\nmailchimp = \"hush-key-us6\"\n").await;
    world.mailchimp(&[], 0, &["registered: subscribe"]).await;
    let folder = world.folder.path();
    write(folder, "automations.toml", &format!("{AUTOMATIONS}{MORE}"));
    let added = [
        "without profile, upemail, unsubscribe",
        "replaced: subscribe, profile, upemail, unsubscribe",
    ];
    world.mailchimp(&[], 0, &added).await;
    let before = world.keys("mailchimp");
    world
        .mailchimp(&["--rotate"], 0, &["signed with another secret"])
        .await;
    let after = world.keys("mailchimp");
    assert_eq!(after[1..], before, "the old key is accepted as well");
    let changed = world.sent("PATCH").await;
    let url = changed.last().unwrap()["url"].as_str().unwrap();
    assert!(url.ends_with(&format!("?key={}", after[0])));
    assert_eq!(world.listed().await.len(), 1);

    // A signing secret that was added is no key of the address.
    let ran = world.callbell(&["secrets", "list", "--json"], "").await;
    assert_ne!(ran.code, 101);
    let text = std::fs::read_to_string(folder.join("secrets.toml")).unwrap();
    let signed = text.replace(
        &format!("\"{}\"", after[0]),
        &format!("\"sign:hush\", \"{}\"", after[0]),
    );
    write(folder, "secrets.toml", &signed);
    world.mailchimp(&[], 0, &["nothing to do"]).await;

    let [hook] = world.listed().await.try_into().unwrap();
    let id = hook["id"].as_str().unwrap();
    world
        .mailchimp(&["--remove", "x.y"], 1, &["no webhook x.y"])
        .await;
    world
        .mailchimp(&["--remove", id], 0, &["removed 1 webhook"])
        .await;
    assert!(world.listed().await.is_empty());
}

#[tokio::test]
async fn of_several_audiences_one_is_named_and_each_is_of_use() {
    let world = World::of("[apis]\nmailchimp = \"hush-two-audiences-us6\"\n").await;
    let which = [
        "has 2 audiences",
        "--scope a1b2c3d4e5 (Clientes), --scope f6a7b8c9d0 (Newsletter)",
    ];
    world.mailchimp(&[], 1, &which).await;
    world
        .mailchimp(&["--scope", "nothing"], 1, &["no audience nothing"])
        .await;
    for audience in ["a1b2c3d4e5", "f6a7b8c9d0"] {
        let scope = ["--scope", audience];
        world.mailchimp(&scope, 0, &["registered: subscribe"]).await;
        world.mailchimp(&scope, 0, &["nothing to do"]).await;
    }
    // From now on nothing has to be named, and none is a double of the other.
    world.mailchimp(&[], 0, &["nothing to do"]).await;
    let scopes: Vec<Value> = world
        .listed()
        .await
        .iter()
        .map(|hook| hook["scope"].clone())
        .collect();
    assert_eq!(scopes, [json!("a1b2c3d4e5"), json!("f6a7b8c9d0")]);
    let ran = world.callbell(&["doctor"], "").await;
    let shown = format!("{}{}", ran.out, ran.err);
    assert!(shown.contains("webhooks are active: subscribe"), "{shown}");
    assert!(!shown.contains("double"), "{shown}");
    world
        .mailchimp(&["--remove-all"], 0, &["removed 2 webhooks"])
        .await;
}

#[tokio::test]
async fn what_mailchimp_refuses_is_said_in_words() {
    for (key, parts) in [
        ("hush-no-audience-us6", ["no audience", "Create Audience"]),
        ("hush-viewer-us6", ["does not allow this key", "admin"]),
        ("hush-us6.example.com", ["data centre", "-us6"]),
    ] {
        let world = World::of(&format!("[apis]\nmailchimp = \"{key}\"\n")).await;
        world.mailchimp(&[], 1, &parts).await;
    }
}

#[tokio::test]
async fn salesforce_is_connected_by_hand_with_everything_filled_in() {
    let world = World::of("").await;
    let args = ["connect", "salesforce", "--no-wait"];
    let ran = world.callbell(&args, "").await;
    let [key] = world.keys("salesforce").try_into().unwrap();
    let url = format!("{}/leads/salesforce?key={key}", world.dev.url());
    says(
        &ran,
        0,
        &[
            "lead.created: welcome (automations.toml:13)",
            "1. Setup, Outbound Messages",
            &url,
            "it starts when a record is created;",
            "LastModifiedDate",
            "untick \"Send Outbound Messages\"",
            "callbell secrets set salesforce --add",
        ],
    );
    // An organisation that was added is no key of the address, and nothing is made anew.
    let folder = world.folder.path();
    let text = std::fs::read_to_string(folder.join("secrets.toml")).unwrap();
    let more = text.replace(
        &format!("\"{key}\""),
        &format!("[\"org:00DHp0000001abcMAA\", \"{key}\"]"),
    );
    write(folder, "secrets.toml", &more);
    write(folder, "automations.toml", &format!("{AUTOMATIONS}{MORE}"));
    let ran = world.callbell(&args, "").await;
    says(
        &ran,
        0,
        &[&url, "it starts when a record is created or updated;"],
    );
    assert_eq!(world.keys("salesforce").len(), 2);
    let ran = world
        .callbell(&["connect", "salesforce", "--list"], "")
        .await;
    says(&ran, 1, &["on its own pages"]);
}
