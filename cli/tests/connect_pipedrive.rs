//! `callbell connect pipedrive` and `callbell connect intercom`, and what the worker asks Pipedrive: against the
//! stand-ins. Everything listens on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod aws;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws::{Cloud, Ran, run_with};
use cli::dev::{Dev, Settings};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::pipedrive::Pipedrive;
use shared::sources::{Source as _, Unsigned};
use support::{Http, start_empty};

/// Longest wait for something to happen.
const WAIT: Duration = Duration::from_secs(60);
const DOOR: &str = "https://a1.execute-api.sa-east-1.amazonaws.com/leads";
const HOOKS: &str = "/_apis/minha-empresa.pipedrive.com/v1/webhooks";
const HEAD: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.sales]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.hello]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["hello", "-", "-", "-"]

[message.deal]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = [
    "{{ deal.title }}", "{{ deal.stage }}", "{{ deal.owner.name | default('-') }}",
    "{{ deal.previous_stage | default('-') }}",
]
"#;
const LEADS: &str = r#"
[automation.welcome]
on      = ["lead.created", "lead.updated"]
message = "hello"
"#;
const DEALS: &str = r#"
[automation.deal]
on      = ["deal.updated", "deal.won", "deal.lost"]
message = "deal"
"#;

fn project(automations: &str, secrets: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("automations.toml", &format!("{HEAD}{automations}"));
    write("secrets.toml", secrets);
    let stack = "[default.global.parameters]\nstack_name = \"shop\"\n";
    write("samconfig.toml", stack);
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/templates.json");
    std::fs::copy(templates, folder.path().join("templates.json")).unwrap();
    folder
}

/// A stack, and the command in a folder.
struct Stack {
    dev: Dev,
    cloud: Cloud,
    folder: tempfile::TempDir,
}

impl Stack {
    async fn of(automations: &str, secrets: &str) -> Stack {
        let dev = start_empty().await;
        Stack {
            cloud: Cloud::start(&dev).await,
            dev,
            folder: project(automations, secrets),
        }
    }

    /// Runs the command; no secret may show.
    async fn connect(&self, system: &str, more: &[&str], input: &str) -> Ran {
        let args = [&["connect", system, "--no-wait"][..], more].concat();
        let environment = self.cloud.environment(self.folder.path());
        let ran = run_with(self.folder.path(), &args, &environment, input).await;
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains("hush"), "{shown}");
        for hook in self.hooks().await {
            let password = hook["http_auth_password"].as_str().unwrap();
            assert!(!shown.contains(password), "{shown}");
        }
        ran
    }

    /// The webhooks as Pipedrive shows them, passwords and all.
    async fn hooks(&self) -> Vec<Value> {
        let http = Http::of(&self.dev);
        let request = http.client.get(format!("{}{HOOKS}", http.base));
        let answer = request.header("x-api-token", "other").send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["data"].as_array().unwrap().clone()
    }

    async fn topics(&self) -> Vec<String> {
        let hooks = self.hooks().await;
        let text = |hook: &Value, name: &str| hook[name].as_str().unwrap().to_owned();
        let topic = |hook: &Value| {
            format!(
                "{}.{}",
                text(hook, "event_action"),
                text(hook, "event_object")
            )
        };
        hooks.iter().map(topic).collect()
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

#[tokio::test]
async fn pipedrive_is_connected_once_behind_a_password_that_nobody_prints() {
    let stack = Stack::of(LEADS, "").await;
    let ran = stack.connect("pipedrive", &[], "").await;
    says(&ran, 1, &["no credential of Pipedrive", "company domain"]);
    let ran = stack
        .connect("pipedrive", &[], "minha-empresa\nhush-token\n")
        .await;
    says(
        &ran,
        0,
        &[
            "/leads/pipedrive",
            "registered: create.person",
            "registered: change.person",
            "secrets.toml and shop/webhooks",
        ],
    );
    assert_eq!(stack.topics().await, ["create.person", "change.person"]);
    let kept = stack.cloud.secret("shop/webhooks").unwrap();
    let password = kept["pipedrive"][0].as_str().unwrap().to_owned();
    for hook in stack.hooks().await {
        assert_eq!(hook["subscription_url"], format!("{DOOR}/pipedrive"));
        assert_eq!(hook["version"], "2.0");
        assert_eq!(hook["http_auth_user"], "callbell");
        assert_eq!(hook["http_auth_password"], password.as_str());
    }
    let apis = stack.cloud.secret("shop/apis").unwrap();
    let credential = apis["pipedrive"][0].as_str().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(credential).unwrap(),
        json!({"domain": "minha-empresa", "token": "hush-token"})
    );
    let ran = stack.connect("pipedrive", &[], "").await;
    says(&ran, 0, &["nothing to do"]);
    assert_eq!(stack.hooks().await.len(), 2);

    // Deals come with their ends.
    let automations = format!("{HEAD}{LEADS}{DEALS}");
    std::fs::write(stack.folder.path().join("automations.toml"), automations).unwrap();
    let ran = stack.connect("pipedrive", &[], "").await;
    says(
        &ran,
        0,
        &["registered: change.deal", "registered: delete.deal"],
    );
    let ran = stack.connect("pipedrive", &["--rotate", "--yes"], "").await;
    says(&ran, 0, &["signed with another secret"]);
    let hooks = stack.hooks().await;
    assert_eq!(hooks.len(), 4);
    let renewed = |hook: &Value| hook["http_auth_password"] != password.as_str();
    assert!(hooks.iter().all(renewed));
    let ran = stack.connect("pipedrive", &["--list"], "").await;
    says(&ran, 0, &["create.person", "active"]);
    let ran = stack
        .connect("pipedrive", &["--remove-all", "--yes"], "")
        .await;
    says(&ran, 0, &["removed 4 webhooks"]);
    assert!(stack.hooks().await.is_empty());
}

#[tokio::test]
async fn what_pipedrive_refuses_is_said_in_words() {
    for (credential, code, part) in [
        ("revoked", 1, "Pipedrive refuses the credential"),
        (
            "{\"domain\":\"x\"}",
            1,
            "the credential of Pipedrive is a token",
        ),
        ("member", 0, "no admin"),
    ] {
        let stack = Stack::of(LEADS, "").await;
        let ran = stack.connect("pipedrive", &[], credential).await;
        says(&ran, code, &[part]);
    }
}

/// An app's credentials make tokens, as they do for whoever writes there.
#[tokio::test]
async fn an_app_of_pipedrive_connects_too() {
    let app = r#"{"domain":"minha-empresa","client_id":"id","client_secret":"hush","refresh_token":"hush"}"#;
    let stack = Stack::of(LEADS, "").await;
    let ran = stack.connect("pipedrive", &[], app).await;
    says(&ran, 0, &["registered: create.person"]);
}

#[tokio::test]
async fn intercom_is_connected_by_hand() {
    let stack = Stack::of(LEADS, "").await;
    let ran = stack.connect("intercom", &[], "").await;
    says(&ran, 1, &["callbell secrets set intercom", "client secret"]);
    let secrets = "[webhooks]\nintercom = \"hush-client-secret\"\n";
    std::fs::write(stack.folder.path().join("secrets.toml"), secrets).unwrap();
    let ran = stack.connect("intercom", &[], "").await;
    let url = format!("endpoint URL: {DOOR}/intercom");
    says(
        &ran,
        0,
        &[
            "shop/webhooks",
            &url,
            "contact.user.created, contact.lead.created, contact.user.updated",
        ],
    );
    let kept = stack.cloud.secret("shop/webhooks").unwrap();
    assert_eq!(kept["intercom"], json!(["hush-client-secret"]));
    let ran = stack.connect("intercom", &["--list"], "").await;
    says(&ran, 1, &["on its own pages"]);
}

#[tokio::test]
async fn on_a_development_server_a_first_person_comes() {
    let dev = start_empty().await;
    let folder = project(LEADS, "");
    let local = format!("--local={}", dev.url().rsplit(':').next().unwrap());
    let environment = Cloud::start(&dev).await.environment(folder.path());
    let run = async |args: &[&str]| run_with(folder.path(), args, &environment, "").await;
    says(&run(&["push", &local]).await, 0, &[]);
    let ran = run(&["connect", "pipedrive", "--wait", "20", &local]).await;
    says(&ran, 0, &["registered", "seen after", "✓ lead.created"]);
}

/// A development server with automations about deals.
struct World {
    dev: Dev,
    http: Http,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(token: &str) -> World {
        let secrets = format!(
            "[webhooks]\npipedrive = \"ana:hush\"\n[apis]\ncallbell = \"demo-callbell-token\"\npipedrive = \"{token}\"\n"
        );
        let folder = project(DEALS, &secrets);
        let settings = Settings {
            automations: Some(folder.path().join("automations.toml")),
            secrets: Some(folder.path().join("secrets.toml")),
            ..Settings::default()
        };
        let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
        World {
            http: Http::of(&dev),
            dev,
            _folder: folder,
        }
    }

    /// Somebody changes a deal of this person.
    async fn change(&self, person: Option<u64>, deal: Value, previous: Value) {
        let now = self.dev.clock().now();
        let mut data = json!({
            "id": 77, "title": "Site novo", "value": 1500, "currency": "BRL", "status": "open",
            "stage_id": 2, "pipeline_id": 1, "owner_id": 1, "person_id": person, "org_id": null,
            "add_time": "2026-03-01T12:00:00Z", "update_time": now, "custom_fields": {},
        });
        let fields = data.as_object_mut().unwrap();
        fields.extend(deal.as_object().unwrap().clone());
        let body = json!({
            "meta": {"action": "change", "entity": "deal", "entity_id": "77", "timestamp": now,
                     "host": "minha-empresa.pipedrive.com", "version": "2.0", "change_source": "api"},
            "data": data, "previous": previous,
        });
        let bytes = serde_json::to_vec(&body).unwrap();
        let url = format!("{}/leads/pipedrive", self.dev.url());
        let mut request = self.http.client.post(url);
        let (connection, secret) = (Connection::plain("pipedrive"), Secret::new("ana:hush"));
        let unsigned = Unsigned::of(&connection, &secret, &bytes, now);
        for (name, value) in Pipedrive.sign(&unsigned) {
            request = request.header(name, value);
        }
        let answer = request.body(bytes).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }

    async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !is().await {
            assert!(started.elapsed() < WAIT, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The events of this name, as `callbell events` sees them.
    async fn events(&self, name: &str) -> Vec<Value> {
        let events = self.http.list("/_dev/events?all=1").await;
        events
            .into_iter()
            .filter(|event| event["name"] == name)
            .collect()
    }

    async fn asked(&self, part: &str) -> usize {
        let requests = self.http.list("/_dev/requests").await;
        let theirs = requests
            .iter()
            .filter(|request| request.to_string().contains(part));
        theirs.count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_won_deal_reaches_its_person_with_the_names_of_where_it_stands() {
    let world = World::start("token").await;
    let now = world.dev.clock().now();
    let won = json!({"status": "won", "stage_id": 3, "won_time": now});
    let before = json!({"status": "open", "stage_id": 2, "won_time": null});
    world.change(Some(7001), won.clone(), before.clone()).await;
    let sent = async || !world.http.list("/_dev/messages").await.is_empty();
    world.until("the person is written to", sent).await;
    let messages = world.http.list("/_dev/messages").await;
    let values = messages[0].pointer("/body/template_values").unwrap();
    assert_eq!(
        values,
        &json!(["Site novo", "Negociação", "Ana Lima", "Proposta"])
    );
    assert_eq!(messages[0].pointer("/body/to").unwrap(), "+5511980020001");
    // A redelivery asks nobody.
    let asked = world.asked("persons/7001").await;
    world.change(Some(7001), won, before).await;
    world.http.idle().await;
    assert_eq!(world.asked("persons/7001").await, asked);
    assert_eq!(world.http.list("/_dev/messages").await.len(), 1);
    assert_eq!(world.events("deal.won").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_of_nobody_is_an_event_all_the_same() {
    // Without a token that is good: nobody has to be asked for.
    for (token, person) in [("revoked", None), ("token", None), ("token", Some(999_999))] {
        let world = World::start(token).await;
        world
            .change(person, json!({"title": "Outro"}), json!({"title": "Site"}))
            .await;
        let known = async || !world.events("deal.updated").await.is_empty();
        world.until("the event is there", known).await;
        world.http.idle().await;
        assert!(world.http.list("/_dev/messages").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_whom_nobody_may_ask_for_is_waited_for() {
    let world = World::start("revoked").await;
    world
        .change(
            Some(7001),
            json!({"title": "Outro"}),
            json!({"title": "Site"}),
        )
        .await;
    let reason = async || world.events("source.changed").await[0]["reason"].clone();
    let refused = async || reason().await.is_string();
    world.until("the refusal is said", refused).await;
    assert_eq!(reason().await, "Pipedrive 401");
    world
        .dev
        .advance(SignedDuration::from_hours(2))
        .await
        .unwrap();
    assert!(world.events("deal.updated").await.is_empty());
    assert!(world.asked("persons/7001").await >= 2);
}
