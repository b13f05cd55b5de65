//! HubSpot and Zendesk from end to end: what their webhooks name is read and becomes leads, and both are
//! connected. Everything listens on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
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
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::{self, Unsigned};
use support::{Http, start_empty};

/// Longest wait for something to happen.
const WAIT: Duration = Duration::from_secs(60);
const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.clinic]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.welcome]
template.pt-BR = "d980fb66fd5043d3ace1aa06ba044342"
values = ["{{ customer.first_name | default('-') }}", "{{ lead.owner.name | default('-') }}", "{{ lead.id }}", "-"]

[automation.welcome]
on      = ["lead.created", "lead.updated"]
message = "welcome"
"#;

/// A development server with these API secrets.
struct World {
    dev: Dev,
    http: Http,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(apis: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("automations.toml", AUTOMATIONS);
        let webhooks = "[webhooks]\nhubspot = \"key\"\nzendesk = \"key\"\n";
        write(
            "secrets.toml",
            &format!("{webhooks}[apis]\ncallbell = \"demo-callbell-token\"\n{apis}"),
        );
        let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/templates.json");
        std::fs::copy(templates, folder.path().join("templates.json")).unwrap();
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

    fn now(&self) -> Timestamp {
        self.dev.clock().now()
    }

    async fn post(&self, kind: &str, body: &Value) {
        let bytes = serde_json::to_vec(body).unwrap();
        let url = format!("{}/leads/{kind}", self.dev.url());
        // Every function is called over https, and this one's address says so.
        let called = url.replace("http://", "https://");
        let (connection, secret) = (Connection::plain(kind), Secret::new("key"));
        let unsigned = Unsigned {
            url: &called,
            ..Unsigned::of(&connection, &secret, &bytes, self.now())
        };
        let mut request = self.http.client.post(url);
        for (name, value) in sources::by_kind(kind).unwrap().sign(&unsigned) {
            request = request.header(name, value);
        }
        let answer = request.body(bytes).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
    }

    /// The question's line, once it has one.
    async fn asked(&self) -> String {
        let started = Instant::now();
        loop {
            let events = self.http.list("/_dev/events?all=1").await;
            let question = events.iter().find(|one| one["name"] == "source.changed");
            let line = question.and_then(|one| {
                let done = one["automations"][0]["why"].as_str();
                done.or(one["reason"].as_str())
            });
            if let Some(line) = line {
                return line.to_owned();
            }
            assert!(started.elapsed() < WAIT, "nothing was asked: {events:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn keys(&self, name: &str) -> Vec<String> {
        let events = self.http.list("/_dev/events?all=1").await;
        let named = events.iter().filter(|one| one["name"] == name);
        let mut keys: Vec<String> = named
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect();
        keys.sort();
        keys
    }

    /// Who was written to, and the words that were filled in.
    async fn messages(&self) -> Vec<(String, Value)> {
        self.http.idle().await;
        let messages = self.http.list("/_dev/messages").await;
        let one = |message: &Value| {
            let body = &message["body"];
            (
                body["to"].as_str().unwrap().to_owned(),
                body["template_values"].clone(),
            )
        };
        let mut told: Vec<_> = messages.iter().map(one).collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        told
    }

    fn made(&self, portal: u64, contact: u64) -> Value {
        json!({
            "objectId": contact, "portalId": portal, "occurredAt": self.now().as_millisecond(),
            "subscriptionType": "contact.creation", "attemptNumber": 0, "eventId": contact,
        })
    }
}

const BRUNA: u64 = 61_500_000_101;
const CAIO: u64 = 61_500_000_102;

#[tokio::test(flavor = "multi_thread")]
async fn contacts_are_read_in_one_request_and_those_who_are_gone_are_nobody() {
    let world = World::start("hubspot = \"pat-eu1\"\n").await;
    let gone = world.made(62_515, 404);
    let items = json!([world.made(62_515, BRUNA), gone, world.made(62_515, CAIO)]);
    world.post("hubspot", &items).await;
    assert_eq!(world.asked().await, "2 lead.created");
    assert_eq!(
        world.keys("lead.created").await,
        [
            format!("hubspot/lead/{BRUNA}/created"),
            format!("hubspot/lead/{CAIO}/created")
        ]
    );
    // Caio left no number.
    let told = world.messages().await;
    let words = json!(["Bruna", "Rui Sá", BRUNA.to_string(), "-"]);
    assert_eq!(told, [("+5511980010101".to_owned(), words)]);
    let requests = world.http.list("/_dev/requests").await;
    let asked = |part: &str| {
        let all = requests.iter();
        all.filter(|one| one.to_string().contains(part)).count()
    };
    assert_eq!((asked("batch/read"), asked("owners")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_comes_later_is_told_and_an_owner_that_may_not_be_read_is_no_obstacle() {
    let world = World::start("hubspot = [\"revoked\", \"pat-no-owners\"]\n").await;
    world
        .post("hubspot", &json!([world.made(62_515, CAIO)]))
        .await;
    assert_eq!(world.asked().await, "1 lead.created");
    world
        .dev
        .advance(jiff::SignedDuration::from_mins(30))
        .await
        .unwrap();
    let at = world.now().as_millisecond();
    let change = |name: &str, value: &str| {
        json!({
            "objectId": CAIO, "portalId": 62_515, "occurredAt": at, "propertyName": name,
            "propertyValue": value, "subscriptionType": "contact.propertyChange",
        })
    };
    let items = json!([
        change("mobilephone", "x"),
        change("lifecyclestage", "lead"),
        world.made(62_515, BRUNA)
    ]);
    world.post("hubspot", &items).await;
    let started = Instant::now();
    while world.keys("lead.updated").await.is_empty() {
        assert!(started.elapsed() < WAIT, "nothing was updated");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let updated = format!("hubspot/lead/{CAIO}/updated/{at}");
    assert_eq!(world.keys("lead.updated").await, [updated]);
    let told = world.messages().await;
    let words = |name: &str, id: u64| json!([name, "-", id.to_string(), "-"]);
    assert_eq!(
        told,
        [
            ("+5511980010101".to_owned(), words("Bruna", BRUNA)),
            ("+5511980010102".to_owned(), words("Caio", CAIO)),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_is_asked_with_its_own_secret() {
    let world = World::start("hubspot = [\"pat-portal-777001\", \"revoked\"]\n").await;
    // The same id in two accounts is two people; of one of the accounts there is no secret.
    let items = json!([world.made(62_515, BRUNA), world.made(777_001, CAIO)]);
    world.post("hubspot", &items).await;
    assert_eq!(world.asked().await, "1 lead.created");
    let keys = world.keys("lead.created").await;
    assert_eq!(keys, [format!("hubspot/lead/{CAIO}/created")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_one_account_is_read_with_its_secret_alone() {
    let world = World::start("hubspot = [\"pat-portal-777001\", \"pat-portal-62515\"]\n").await;
    let asked = async |part: &str| {
        let requests = world.http.list("/_dev/requests").await;
        let all = requests.iter();
        all.filter(|one| one.to_string().contains(part)).count()
    };
    for contact in [BRUNA, CAIO] {
        world
            .post("hubspot", &json!([world.made(62_515, contact)]))
            .await;
        let started = Instant::now();
        let key = format!("hubspot/lead/{contact}/created");
        while !world.keys("lead.created").await.contains(&key) {
            assert!(started.elapsed() < WAIT, "not read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // Which account a secret is of is asked once.
    let asked = (asked("account-info").await, asked("batch/read").await);
    assert_eq!(asked, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_of_another_account_are_not_read() {
    for secrets in ["\"pat-portal-777001\"", "[\"pat-portal-1\", \"revoked\"]"] {
        let world = World::start(&format!("hubspot = {secrets}\n")).await;
        world
            .post("hubspot", &json!([world.made(62_515, BRUNA)]))
            .await;
        let why = "no API secret is of the account of these contacts";
        assert_eq!(world.asked().await, why);
        assert!(world.keys("lead.created").await.is_empty());
        let requests = world.http.list("/_dev/requests").await;
        let mut read = requests.iter();
        assert!(!read.any(|one| one.to_string().contains("batch/read")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_secret_is_said_and_waited_for() {
    let world = World::start("hubspot = \"revoked\"\n").await;
    world
        .post("hubspot", &json!([world.made(62_515, BRUNA)]))
        .await;
    assert!(world.asked().await.starts_with("HubSpot 401"));
}

const ZENDESK: &str =
    r#"zendesk = '{"subdomain":"minha-empresa","email":"ana@example.com","token":"t"}'"#;
const FELIPE: u64 = 61_500_000_401;
const GABRIELA: u64 = 61_500_000_402;

fn user(kind: &str, id: u64, at: Timestamp, event: &Value) -> Value {
    json!({
        "type": format!("zen:event-type:{kind}"), "account_id": 22_129_848, "id": "an-event", "time": at,
        "zendesk_event_version": "2022-06-20", "subject": format!("zen:user:{id}"),
        "detail": {"id": id.to_string(), "role": "end-user", "email": "", "created_at": at},
        "event": event,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_read_and_second_phones_where_the_first_is_absent() {
    let world = World::start(&format!("{ZENDESK}\n")).await;
    let now = world.now();
    for id in [FELIPE, GABRIELA, 404] {
        let body = user("user.created", id, now, &json!({}));
        world.post("zendesk", &body).await;
    }
    let started = Instant::now();
    while world.keys("lead.created").await.len() < 2 {
        assert!(started.elapsed() < WAIT, "not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world
        .dev
        .advance(jiff::SignedDuration::from_mins(20))
        .await
        .unwrap();
    let at = world.now();
    let phone = json!({"identity": {"id": (GABRIELA + 2).to_string(), "type": "phone_number"}});
    let body = user("user.identity_created", GABRIELA, at, &phone);
    world.post("zendesk", &body).await;
    while world.keys("lead.updated").await.is_empty() {
        assert!(started.elapsed() < WAIT, "not read again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        world.keys("lead.created").await,
        [
            format!("zendesk/lead/{FELIPE}/created"),
            format!("zendesk/lead/{GABRIELA}/created")
        ]
    );
    let numbers: Vec<String> = world
        .messages()
        .await
        .into_iter()
        .map(|(to, _)| to)
        .collect();
    assert_eq!(numbers, ["+5511980050401", "+5511980050402"]);
}

/// A stack, and the command in a folder.
struct Project {
    dev: Dev,
    cloud: Cloud,
    folder: tempfile::TempDir,
}

impl Project {
    async fn start(secrets: &str) -> Project {
        let dev = start_empty().await;
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("automations.toml", AUTOMATIONS);
        write("secrets.toml", secrets);
        write(
            "samconfig.toml",
            "[default.global.parameters]\nstack_name = \"shop\"\n",
        );
        Project {
            cloud: Cloud::start(&dev).await,
            dev,
            folder,
        }
    }

    async fn callbell(&self, args: &[&str], input: &str) -> Ran {
        let environment = self.cloud.environment(self.folder.path());
        run_with(self.folder.path(), args, &environment, input).await
    }

    async fn zendesk(&self, more: &[&str]) -> Ran {
        let args = [&["connect", "zendesk", "--no-wait"][..], more].concat();
        self.callbell(&args, "").await
    }

    async fn listed(&self) -> Value {
        let args = ["connect", "zendesk", "--list", "--json"];
        let ran = self.callbell(&args, "").await;
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err))
    }

    /// What the stand-in is asked beside what the command asks.
    async fn api(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!(
            "{}/_apis/minha-empresa.zendesk.com/api/v2/webhooks{path}",
            self.dev.url()
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client.request(method, url);
        let request = request.basic_auth("ana@example.com/token", Some("t"));
        let answer = request.json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    fn kept(&self) -> Vec<Value> {
        let kept = self.cloud.secret("shop/webhooks").unwrap();
        kept["zendesk"].as_array().cloned().unwrap_or_default()
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

const DOOR: &str = "https://a1.execute-api.sa-east-1.amazonaws.com/leads/zendesk";

#[tokio::test]
async fn zendesk_s_own_secret_is_kept_before_its_webhook_posts() {
    let project = Project::start("").await;
    let answers = "minha-empresa\nana@example.com\nhush-token\n";
    let args = ["connect", "zendesk", "--no-wait"];
    let ran = project.callbell(&args, answers).await;
    says(
        &ran,
        0,
        &[
            DOOR,
            "lead.created: welcome",
            "registered: zen:event-type:user.created, zen:event-type:user.identity_created",
            "secrets.toml and shop/webhooks",
        ],
    );
    let hooks = project.listed().await;
    assert_eq!(hooks.as_array().unwrap().len(), 1);
    assert_eq!(
        (&hooks[0]["url"], &hooks[0]["state"]),
        (&json!(DOOR), &json!("active"))
    );
    let id = hooks[0]["id"].as_str().unwrap();
    let secret = format!("demo-signing-secret-of-{id}");
    assert_eq!(project.kept(), [json!(secret)]);
    let shown = format!("{}{}", ran.out, ran.err);
    assert!(
        !shown.contains(&secret) && !shown.contains("hush"),
        "{shown}"
    );
    let apis = project.cloud.secret("shop/apis").unwrap();
    let credential: Value = serde_json::from_str(apis["zendesk"][0].as_str().unwrap()).unwrap();
    assert_eq!(
        credential,
        json!({"subdomain": "minha-empresa", "email": "ana@example.com", "token": "hush-token"})
    );

    says(&project.zendesk(&[]).await, 0, &["nothing to do"]);
    assert_eq!(project.kept().len(), 1);
    // A secret that nobody has any more is asked for again.
    let apis = format!("[apis]\nzendesk = '{credential}'\n");
    std::fs::write(project.folder.path().join("secrets.toml"), apis).unwrap();
    let push = ["secrets", "push", "--yes"];
    says(&project.callbell(&push, "").await, 0, &[]);
    says(
        &project.zendesk(&[]).await,
        0,
        &["kept in", "nothing to do"],
    );
    assert_eq!(project.kept(), [json!(secret)]);

    says(
        &project.zendesk(&["--remove-all", "--yes"]).await,
        0,
        &["removed 1 webhook"],
    );
    assert_eq!(project.listed().await, json!([]));
}

#[tokio::test]
async fn a_connection_that_was_interrupted_is_gone_on_with() {
    let project = Project::start(&format!("[apis]\n{ZENDESK}\n")).await;
    let webhook = |endpoint: &str, status: &str, topic: &str| {
        json!({"webhook": {
            "name": "x", "status": status, "endpoint": endpoint, "http_method": "POST",
            "request_format": "json", "subscriptions": [topic],
        }})
    };
    let created = "zen:event-type:user.created";
    // Others' come first, on more than a page; then one of ours that never got to post.
    for number in 0..3 {
        let endpoint = format!("https://zap.example/{number}");
        let body = webhook(&endpoint, "active", "conditional_ticket_events");
        project.api("POST", "", &body).await;
    }
    project
        .api("POST", "", &webhook(DOOR, "inactive", created))
        .await;
    let ran = project.zendesk(&[]).await;
    says(
        &ran,
        1,
        &[
            "to be replaced",
            "inactive, without zen:event-type:user.identity_created",
        ],
    );
    says(
        &project.zendesk(&["--yes"]).await,
        0,
        &["kept in", "replaced"],
    );
    let hooks = project.listed().await;
    let ours = hooks
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["url"] == DOOR);
    let ours: Vec<&Value> = ours.collect();
    assert_eq!(ours.len(), 1, "{hooks}");
    assert_eq!(ours[0]["state"], "active");
    let id = ours[0]["id"].as_str().unwrap();
    let made = project
        .api("GET", &format!("/{id}/signing_secret"), &Value::Null)
        .await;
    assert_eq!(project.kept(), [made["signing_secret"]["secret"].clone()]);
    assert_eq!(hooks.as_array().unwrap().len(), 4, "the others are there");
    says(&project.zendesk(&[]).await, 0, &["nothing to do"]);
}

#[tokio::test]
async fn what_zendesk_refuses_is_said_in_words() {
    for (token, parts) in [
        (
            "revoked",
            &["refuses the credential (401)", "secrets set zendesk --api"][..],
        ),
        ("agent", &["does not allow this user", "an admin's"]),
    ] {
        let project = Project::start("").await;
        let answers = format!("minha-empresa\nana@example.com\n{token}\n");
        let args = ["connect", "zendesk", "--no-wait"];
        says(&project.callbell(&args, &answers).await, 1, parts);
    }
    let project = Project::start("[apis]\nzendesk = \"token\"\n").await;
    says(&project.zendesk(&[]).await, 1, &["is JSON", "subdomain"]);
}

#[tokio::test]
async fn hubspot_is_connected_by_hand_with_its_own_secret() {
    let project = Project::start("").await;
    let args = ["connect", "hubspot", "--no-wait"];
    let ran = project.callbell(&args, "").await;
    says(
        &ran,
        1,
        &[
            "no secret of hubspot",
            "secrets set hubspot",
            "client secret",
        ],
    );
    let project =
        Project::start("[webhooks]\nhubspot = \"hush-client\"\n[apis]\nhubspot = \"hush-pat\"\n")
            .await;
    let ran = project.callbell(&args, "").await;
    says(
        &ran,
        0,
        &[
            "Target URL: https://a1.execute-api.sa-east-1.amazonaws.com/leads/hubspot",
            "contact.creation, contact.propertyChange, contact.privacyDeletion",
            "hs_whatsapp_phone_number",
        ],
    );
    let shown = format!("{}{}", ran.out, ran.err);
    assert!(!shown.contains("hush"), "{shown}");
}
