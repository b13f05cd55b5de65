//! `callbell connect` and `callbell doctor`: against the stand-ins of the providers' APIs, on a stack and on
//! a development server. Everything listens on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod aws;
mod support;

use std::path::Path;

use aws::{Cloud, Ran, run_with};
use cli::dev::Dev;
use serde_json::{Value, json};
use support::start_empty;

/// Automations of a clinic and of a shop, for any connection of their kind.
const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.clinic]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.hello]
text = "Olá"

[automation.confirm]
on      = "appointment.booked"
message = "hello"

[automation.cancelled]
on      = "appointment.cancelled"
message = "hello"
"#;

/// A folder with automations and secrets, for the stack `shop`.
fn project(automations: &str, secrets: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("automations.toml", automations);
    write("secrets.toml", secrets);
    write(
        "samconfig.toml",
        "[default.global.parameters]\nstack_name = \"shop\"\n",
    );
    folder
}

fn secrets(folder: &Path) -> toml::Table {
    let text = std::fs::read_to_string(folder.join("secrets.toml")).unwrap();
    text.parse().unwrap()
}

/// A stack, and the command in a folder.
struct World {
    dev: Dev,
    cloud: Cloud,
    folder: tempfile::TempDir,
}

impl World {
    async fn of(automations: &str, secrets: &str) -> World {
        let dev = start_empty().await;
        World {
            cloud: Cloud::start(&dev).await,
            dev,
            folder: project(automations, secrets),
        }
    }

    /// Runs the command; no secret may show.
    async fn callbell(&self, args: &[&str], input: &str) -> Ran {
        let environment = self.cloud.environment(self.folder.path());
        let ran = run_with(self.folder.path(), args, &environment, input).await;
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains("hush"), "{shown}");
        ran
    }

    async fn calendly(&self, more: &[&str]) -> Ran {
        let args = [&["connect", "calendly", "--no-wait"][..], more].concat();
        self.callbell(&args, "").await
    }

    /// The subscriptions' states and topics at the stand-in.
    async fn listed(&self, system: &str) -> Value {
        let ran = self
            .callbell(&["connect", system, "--list", "--json"], "")
            .await;
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err))
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
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

const DOOR: &str = "https://a1.execute-api.sa-east-1.amazonaws.com/appointments/calendly";

#[tokio::test]
async fn a_first_connect_keeps_the_secret_before_it_registers_and_a_second_one_does_nothing() {
    let world = World::of(AUTOMATIONS, "").await;
    // The credential comes by standard input, as from a password manager.
    let args = ["connect", "calendly", "--no-wait"];
    let ran = world.callbell(&args, "").await;
    says(
        &ran,
        1,
        &[
            "no credential of Calendly",
            "callbell secrets set calendly --api",
        ],
    );
    let ran = world.callbell(&args, "hush-token\n").await;
    says(
        &ran,
        0,
        &[
            DOOR,
            "appointment.booked: confirm (automations.toml:13)",
            "secrets.toml and shop/webhooks",
            "secrets.toml and shop/apis",
            "registered: invitee.created, invitee.canceled",
        ],
    );
    let kept = secrets(world.folder.path());
    assert_eq!(kept["apis"]["calendly"].as_str(), Some("hush-token"));
    let secret = kept["webhooks"]["calendly"].as_str().unwrap();
    assert!(secret.len() >= 32, "at least 128 random bits");
    assert!(!ran.out.contains(secret));
    assert_eq!(
        world.cloud.secret("shop/webhooks").unwrap(),
        json!({ "calendly": [secret] })
    );
    assert_eq!(
        world.cloud.secret("shop/apis").unwrap(),
        json!({ "calendly": ["hush-token"] })
    );
    let keys = world.dev.connectable().calendly.signing_keys();
    assert_eq!(keys, [Some(secret.to_owned())]);
    let _ = world.cloud.actions();

    let ran = world.calendly(&[]).await;
    says(&ran, 0, &["nothing to do"]);
    let written = world.cloud.actions();
    assert!(
        written.iter().all(|action| !action.starts_with("Put")),
        "{written:?}"
    );
    assert_eq!(world.dev.connectable().calendly.signing_keys().len(), 1);
    let hooks = world.listed("calendly").await;
    assert_eq!(hooks[0]["url"], DOOR);
    assert_eq!(hooks[0]["state"], "active");
}

#[tokio::test]
async fn what_is_not_as_it_should_be_is_shown_and_replaced_after_asking() {
    let world = World::of(AUTOMATIONS, "[apis]\ncalendly = \"hush-token\"\n").await;
    says(&world.calendly(&[]).await, 0, &["registered"]);
    let calendly = world.dev.connectable().calendly.clone();
    let first = calendly.signing_keys();

    // Switched off by Calendly after a day of failures.
    calendly.disable_all();
    let ran = world.calendly(&[]).await;
    says(&ran, 1, &["to be replaced", "(disabled)", "--yes"]);
    assert_eq!(world.listed("calendly").await[0]["state"], "disabled");
    says(
        &world.calendly(&["--yes"]).await,
        0,
        &["replaced: invitee.created"],
    );
    assert_eq!(world.listed("calendly").await[0]["state"], "active");
    assert_eq!(calendly.signing_keys(), first, "the secret is as it was");

    // An automation that needs another topic.
    let more = "\n[automation.missed]\non = \"appointment.no_show\"\nmessage = \"hello\"\n";
    world.write("automations.toml", &format!("{AUTOMATIONS}{more}"));
    let ran = world.calendly(&["--yes"]).await;
    says(
        &ran,
        0,
        &[
            "without invitee_no_show.created",
            "appointment.no_show: missed (automations.toml:21)",
        ],
    );

    // Rotation: both values are accepted, the new one is signed with.
    let ran = world.calendly(&["--rotate", "--yes"]).await;
    says(&ran, 0, &["signed with another secret"]);
    let both = world.cloud.secret("shop/webhooks").unwrap();
    let both = both["calendly"].as_array().unwrap().clone();
    assert_eq!(both.len(), 2);
    assert_eq!(both[1].as_str(), first[0].as_deref());
    assert_eq!(
        calendly.signing_keys(),
        [both[0].as_str().map(str::to_owned)]
    );

    // A secret that nobody has any more cannot be what the webhook is signed with.
    world.write("secrets.toml", "[apis]\ncalendly = \"hush-token\"\n");
    says(
        &world.callbell(&["secrets", "push", "--yes"], "").await,
        0,
        &[],
    );
    let ran = world.calendly(&["--yes"]).await;
    says(&ran, 0, &["signed with another secret", "kept in"]);
    let kept = secrets(world.folder.path());
    let kept = kept["webhooks"]["calendly"].as_str().map(str::to_owned);
    assert_eq!(calendly.signing_keys(), [kept]);

    // What only AWS still has is taken over, not replaced.
    world.write("secrets.toml", "[apis]\ncalendly = \"hush-token\"\n");
    says(&world.calendly(&[]).await, 0, &["nothing to do"]);

    says(
        &world.calendly(&["--remove", "nothing"]).await,
        1,
        &["no webhook nothing"],
    );
    says(
        &world.calendly(&["--remove-all"]).await,
        1,
        &["remove 1 webhook?", "--yes"],
    );
    says(
        &world.calendly(&["--remove-all", "--yes"]).await,
        0,
        &["removed 1 webhook"],
    );
    says(
        &world.calendly(&["--remove-all"]).await,
        0,
        &["nothing to remove"],
    );
    assert_eq!(world.listed("calendly").await, json!([]));
}

#[tokio::test]
async fn what_a_provider_refuses_is_said_in_words() {
    let cases: [(&str, &[&str], &[&str]); 5] = [
        (
            "hush-revoked",
            &[],
            &["refuses the credential (401)", "secrets set calendly --api"],
        ),
        (
            "hush-free",
            &[],
            &["free plan has no webhooks", "google-calendar"],
        ),
        (
            "hush-member",
            &[],
            &["does not allow this token", "--scope user"],
        ),
        ("hush-member", &["--scope", "user"], &["registered"]),
        ("hush-token", &["--scope", "team"], &["no scope \"team\""]),
    ];
    for (token, more, parts) in cases {
        let world = World::of(AUTOMATIONS, "").await;
        let args = [&["connect", "calendly", "--no-wait"][..], more].concat();
        let ran = world.callbell(&args, token).await;
        let good = parts.contains(&"registered");
        says(&ran, i32::from(!good), parts);
        // A credential that is not good is not kept, and nothing else either.
        let kept = secrets(world.folder.path());
        assert_eq!(kept.contains_key("webhooks"), good, "{token}");
        assert_eq!(kept.contains_key("apis"), good, "{token}");
        assert!(ran.err.lines().count() <= 2, "{}", ran.err);
    }
}

#[tokio::test]
async fn a_webhook_at_another_address_is_somebody_else_s_until_told() {
    let world = World::of(AUTOMATIONS, "[apis]\ncalendly = \"hush-token\"\n").await;
    let path = "appointments/calendly";
    for url in [
        format!("https://old.example/{path}"),
        "https://zap.example/1".to_owned(),
    ] {
        register(&world.dev, "hush-token", &url).await;
    }
    let ran = world.calendly(&["--yes"]).await;
    says(
        &ran,
        0,
        &[
            "at another address",
            "https://old.example",
            "it stays",
            "--remove CCCC",
        ],
    );
    assert!(!ran.out.contains("zap.example"), "{}", ran.out);
    let hooks = world.listed("calendly").await;
    assert_eq!(hooks.as_array().unwrap().len(), 3);
    let id = hooks[0]["id"].as_str().unwrap();
    says(
        &world.calendly(&["--remove", id, "--yes"]).await,
        0,
        &["removed 1 webhook"],
    );
    assert_eq!(world.listed("calendly").await.as_array().unwrap().len(), 2);
}

/// Registers a webhook at Calendly's stand-in, as somebody else would.
async fn register(dev: &Dev, token: &str, url: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(format!(
            "{}/_apis/api.calendly.com/webhook_subscriptions",
            dev.url()
        ))
        .bearer_auth(token)
        .json(&json!({
            "url": url, "events": ["invitee.created"], "scope": "organization",
            "organization": "https://api.calendly.com/organizations/BBBBBBBBBBBBBBBB",
        }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
}
