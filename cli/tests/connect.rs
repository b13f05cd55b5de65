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
use std::sync::Arc;

use aws::{Cloud, Ran, run_with};
use cli::dev::secrets::DEMO_TOKEN;
use cli::dev::{Dev, Settings};
use cli::standin::AccountData;
use cli::standin::rules::Channel;
use serde_json::{Value, json};
use shared::connections::Connection;
use shared::sources::Unsigned;
use shared::sources::{Source as _, demo, woocommerce::WooCommerce};
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

#[tokio::test]
async fn a_webhook_that_is_there_and_not_shown_yet_is_not_doubled() {
    let world = World::of(AUTOMATIONS, "[apis]\ncalendly = \"hush-token\"\n").await;
    let calendly = world.dev.connectable().calendly.clone();
    says(&world.calendly(&[]).await, 0, &["registered"]);
    // Both scopes are listed.
    calendly.hide_from_lists(2);
    says(&world.calendly(&["--rotate"]).await, 0, &["registered"]);
    let kept = secrets(world.folder.path());
    let newest = kept["webhooks"]["calendly"][0].as_str().map(str::to_owned);
    assert_eq!(calendly.signing_keys(), [newest]);
    // Somebody else's, which no list shows.
    calendly.hide_from_lists(4);
    let ran = world.calendly(&[]).await;
    says(
        &ran,
        1,
        &["there is such a webhook already (409)", "--list"],
    );
    assert_eq!(calendly.signing_keys().len(), 1);
}

#[tokio::test]
async fn a_development_server_with_secrets_of_its_own_reads_the_new_one_at_once() {
    let folder = project(AUTOMATIONS, "[apis]\ncallbell = \"hush-callbell\"\n");
    let settings = Settings {
        automations: Some(folder.path().join("automations.toml")),
        secrets: Some(folder.path().join("secrets.toml")),
        ..Settings::default()
    };
    let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
    let local = format!("--local={}", dev.url().rsplit(':').next().unwrap());
    let environment = Cloud::start(&dev).await.environment(folder.path());
    for (rotate, input) in [(None, "hush-token"), (Some("--rotate"), "")] {
        let mut args = vec!["connect", "calendly", "--yes", "--wait", "20", &local];
        args.extend(rotate);
        let ran = run_with(folder.path(), &args, &environment, input).await;
        says(
            &ran,
            0,
            &["secrets.toml", "seen after", "appointment.booked"],
        );
        assert!(!ran.out.contains("hush"), "{}", ran.out);
    }
    let kept = secrets(folder.path());
    assert_eq!(kept["webhooks"]["calendly"].as_array().unwrap().len(), 2);
    assert_eq!(kept["apis"]["calendly"].as_str(), Some("hush-token"));
}

/// What is typed, and what is said.
struct Step {
    args: &'static [&'static str],
    input: &'static str,
    code: i32,
    says: &'static [&'static str],
}

const fn step(
    args: &'static [&'static str],
    input: &'static str,
    code: i32,
    says: &'static [&'static str],
) -> Step {
    Step {
        args,
        input,
        code,
        says,
    }
}

/// A shop, for any connection of its kind.
fn shop() -> String {
    AUTOMATIONS
        .replace("appointment.booked", "order.paid")
        .replace("appointment.cancelled", "order.shipped")
}

async fn walk(world: &World, system: &str, steps: &[Step]) {
    for step in steps {
        let args = [&["connect", system, "--no-wait"][..], step.args].concat();
        let ran = world.callbell(&args, step.input).await;
        says(&ran, step.code, step.says);
    }
}

#[tokio::test]
async fn cal_com_is_connected_changed_and_left() {
    let world = World::of(AUTOMATIONS, "").await;
    let cal_com = world.dev.connectable().cal_com.clone();
    let steps = [
        step(&[], "hush-revoked", 1, &["refuses the credential (401)"]),
        step(
            &[],
            "hush-key",
            0,
            &["registered: BOOKING_CREATED, BOOKING_RESCHEDULED"],
        ),
        step(&[], "", 0, &["nothing to do"]),
    ];
    walk(&world, "cal-com", &steps).await;
    let secret = secrets(world.folder.path())["webhooks"]["cal-com"].clone();
    assert_eq!(cal_com.webhooks()[0]["secret"].as_str(), secret.as_str());
    for (field, value, why) in [
        ("active", json!(false), "(switched off)"),
        (
            "payloadTemplate",
            json!("{{title}}"),
            "(with a payload template of its own)",
        ),
        ("secret", Value::Null, "(without a secret)"),
        (
            "triggers",
            json!(["BOOKING_CREATED"]),
            "(without BOOKING_RESCHEDULED",
        ),
    ] {
        cal_com.set_all(field, &value);
        let steps = [
            step(&[], "", 1, &["to be replaced", "--yes"]),
            step(&["--yes"], "", 0, &["replaced"]),
            step(&[], "", 0, &["nothing to do"]),
        ];
        let ran = world
            .callbell(&["connect", "cal-com", "--no-wait"], "")
            .await;
        says(&ran, 1, &[why]);
        walk(&world, "cal-com", &steps).await;
    }
    assert_eq!(cal_com.webhooks().len(), 1, "it was changed where it is");
    walk(
        &world,
        "cal-com",
        &[step(&["--remove-all", "--yes"], "", 0, &["removed 1"])],
    )
    .await;
    // A key that may only read gets as far as the secret, and the next one goes on from there.
    world.write("secrets.toml", "[apis]\ncal-com = \"hush-reader\"\n");
    walk(
        &world,
        "cal-com",
        &[step(&[], "", 1, &["does not allow this key", "API keys"])],
    )
    .await;
    let half = secrets(world.folder.path())["webhooks"]["cal-com"].clone();
    world.write(
        "secrets.toml",
        &format!("[webhooks]\ncal-com = {half}\n[apis]\ncal-com = \"hush-key\"\n"),
    );
    walk(&world, "cal-com", &[step(&[], "", 0, &["registered"])]).await;
    assert_eq!(cal_com.webhooks()[0]["secret"].as_str(), half.as_str());
}

#[tokio::test]
async fn woocommerce_is_connected_topic_by_topic() {
    let world = World::of(&shop(), "").await;
    let woocommerce = world.dev.connectable().woocommerce.clone();
    let steps = [
        step(&[], "ck_hush\ncs_hush", 1, &["--url is missing"]),
        step(
            &["--url", "http://loja.example"],
            "ck_hush\ncs_hush",
            1,
            &["https://"],
        ),
        step(
            &["--url", "loja.example"],
            "ck_hush-revoked\ncs_hush",
            1,
            &["refuses the credential (401)"],
        ),
        step(
            &["--url", "https://loja.example/loja/"],
            "ck_hush\ncs_hush",
            0,
            &["registered: order.created", "registered: order.updated"],
        ),
        step(&[], "", 0, &["nothing to do"]),
    ];
    walk(&world, "woocommerce", &steps).await;
    woocommerce.disable_all();
    let before = woocommerce.secrets();
    let steps = [
        step(
            &["--yes"],
            "",
            0,
            &["order.created] → ", "(disabled)", "replaced: order.updated"],
        ),
        step(&[], "", 0, &["nothing to do"]),
        step(
            &["--rotate", "--yes"],
            "",
            0,
            &["signed with another secret"],
        ),
    ];
    walk(&world, "woocommerce", &steps).await;
    let after = woocommerce.secrets();
    assert_eq!((before.len(), after.len()), (2, 2));
    assert_ne!(before, after);
    assert_eq!(after[0], after[1], "one secret for all topics");
    let listed = world.listed("woocommerce").await;
    let id = listed[0]["id"].as_str().unwrap();
    let steps = [
        step(&["--remove", "1", "--yes"], "", 0, &["removed 1 webhook"]),
        step(&[], "", 0, &["registered: order.created"]),
    ];
    assert_eq!(id, "1");
    walk(&world, "woocommerce", &steps).await;

    let world = World::of(
        &shop(),
        "[apis]\nwoocommerce = '{\"url\":\"https://loja.example\",\"key\":\"ck_hush-reader\",\"secret\":\"cs_hush\"}'\n",
    )
    .await;
    let steps = [step(
        &[],
        "",
        1,
        &["this key may not do that", "read and write"],
    )];
    walk(&world, "woocommerce", &steps).await;
}

#[tokio::test]
async fn shopify_signs_with_the_client_secret() {
    let world = World::of(&shop(), "").await;
    let steps = [
        step(&[], "id\nhush-client", 1, &["--shop is missing"]),
        step(
            &["--shop", "minhaloja.com.br"],
            "id\nhush-client",
            1,
            &["permanent domain"],
        ),
        step(
            &["--shop", "missing"],
            "id\nhush-client",
            1,
            &["no shop missing.myshopify.com"],
        ),
        step(
            &["--shop", "minha-loja"],
            "id\nhush-revoked",
            1,
            &["refuses the credential"],
        ),
        step(
            &["--shop", "Minha-Loja.myshopify.com"],
            "id\nhush-client",
            0,
            &["registered: orders/paid", "order.shipped: cancelled"],
        ),
        step(&[], "", 0, &["nothing to do"]),
    ];
    walk(&world, "shopify", &steps).await;
    assert_eq!(
        world.cloud.secret("shop/webhooks").unwrap(),
        json!({ "shopify": ["hush-client"] })
    );
    // Shopify removed some of them.
    let all = world.listed("shopify").await.as_array().unwrap().len();
    world.dev.connectable().shopify.remove_all();
    walk(
        &world,
        "shopify",
        &[step(&[], "", 0, &["registered: orders/updated"])],
    )
    .await;
    assert_eq!(world.listed("shopify").await.as_array().unwrap().len(), all);

    // Without access to protected customer data there is no phone in any order.
    let secrets = "[webhooks]\nshopify = \"hush-old\"\n[apis]\nshopify = '{\"client_id\":\"a\",\"client_secret\":\"hush-level1\",\"shop\":\"minha-loja.myshopify.com\"}'\n";
    let world = World::of(&shop(), secrets).await;
    let steps = [step(
        &[],
        "",
        0,
        &[
            "missing: Shopify keeps customers' data",
            "Protected customer data",
        ],
    )];
    walk(&world, "shopify", &steps).await;
    // A secret that was there stays accepted: webhooks made by hand are signed with it.
    assert_eq!(
        world.cloud.secret("shop/webhooks").unwrap(),
        json!({ "shopify": ["hush-level1", "hush-old"] })
    );

    // The token of an older app does not say what Shopify signs with.
    let world = World::of(&shop(), "").await;
    let steps = [step(
        &["--shop", "minha-loja"],
        "shpat_hush",
        1,
        &["no secret of shopify", "client secret"],
    )];
    walk(&world, "shopify", &steps).await;
}

#[tokio::test]
async fn a_google_calendar_is_watched_and_left() {
    const KEY: &str =
        r#"{"client_id": "a", "client_secret": "hush-client", "refresh_token": "hush-refresh"}"#;
    let world = World::of(AUTOMATIONS, "").await;
    let google = world.dev.connectable().google_calendar.clone();
    let now = || world.dev.clock().now();
    let steps = [
        step(
            &["--calendar", "a@example.com"],
            "",
            1,
            &["no credential of Google Calendar", "< key.json"],
        ),
        step(
            &["--calendar", "a@example.com"],
            "nonsense",
            1,
            &["neither the JSON key"],
        ),
        step(&[], KEY, 1, &["--calendar is missing", "Calendar ID"]),
    ];
    walk(&world, "google-calendar", &steps).await;
    let calendar: &[&str] = &["--calendar", "a@example.com"];
    // Not shared with whom we are.
    google.refuse_next(&[(404, "notFound")]);
    let steps = [step(
        calendar,
        KEY,
        1,
        &["no such calendar (404)", "may the account"],
    )];
    walk(&world, "google-calendar", &steps).await;
    assert!(!secrets(world.folder.path()).contains_key("apis"));
    let steps = [
        step(
            calendar,
            KEY,
            0,
            &[
                "kept in",
                "registered: changes",
                "calendar: Agenda, Europe/Rome",
                "channel until ",
            ],
        ),
        // From now on it is known which calendar it is.
        step(&[], "", 0, &["nothing to do", "calendar: Agenda"]),
    ];
    walk(&world, "google-calendar", &steps).await;
    let first = google.channels(now());
    assert_eq!(first.len(), 1);
    let url = "https://a1.execute-api.sa-east-1.amazonaws.com/appointments/google-calendar";
    assert_eq!(world.listed("google-calendar").await[0]["url"], url);

    // A new token is a new channel, as is another calendar; the old one is stopped.
    let steps = [
        step(
            &["--rotate", "--yes"],
            "",
            0,
            &["signed with another secret", "replaced: changes"],
        ),
        step(
            &["--calendar", "b@example.com", "--yes"],
            "",
            0,
            &["scope a@example.com", "replaced"],
        ),
    ];
    walk(&world, "google-calendar", &steps).await;
    let second = google.channels(now());
    assert_eq!(second.len(), 1);
    assert_ne!(first, second);
    let row = world
        .dev
        .store()
        .cursor("google-calendar")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (row.calendar.as_str(), row.door.as_str()),
        ("b@example.com", url)
    );

    let ran = world.callbell(&["doctor"], "").await;
    says(
        &ran,
        1,
        &[
            "webhooks are active: changes",
            "✓ google-calendar  channel until ",
        ],
    );
    let steps = [step(
        &["--remove-all", "--yes"],
        "",
        0,
        &["removed 1 webhook"],
    )];
    walk(&world, "google-calendar", &steps).await;
    assert_eq!(google.channels(now()), Vec::<String>::new());
    assert_eq!(
        world.dev.store().cursor("google-calendar").await.unwrap(),
        None
    );
    let ran = world.callbell(&["doctor"], "").await;
    says(&ran, 1, &["✗ google-calendar  no calendar is watched"]);
}

#[tokio::test]
async fn a_connection_of_one_s_own_name_has_to_be_pushed_first() {
    let source = "\n[source.loja]\nkind = \"woocommerce\"\n";
    let world = World::of(&format!("{}{source}", shop()), "").await;
    let args = [
        "connect",
        "woocommerce",
        "--no-wait",
        "--url",
        "loja.example",
    ];
    let key = "ck_hush\ncs_hush";
    says(
        &world.callbell(&args, key).await,
        1,
        &["[source.loja] is not pushed yet", "callbell push"],
    );
    says(&world.callbell(&["push"], "").await, 0, &[]);
    says(
        &world.callbell(&args, key).await,
        0,
        &["/orders/loja", "registered"],
    );
    let other = [&args[..], &["--name", "other"]].concat();
    says(
        &world.callbell(&other, key).await,
        1,
        &["no [source.other]"],
    );
    let webhooks = world.cloud.secret("shop/webhooks").unwrap();
    assert_eq!(webhooks["loja"].as_array().unwrap().len(), 1, "{webhooks}");
}

#[tokio::test]
async fn on_a_development_server_a_first_event_comes() {
    let dev = start_empty().await;
    let folder = project(&shop(), "");
    let local = format!("--local={}", dev.url().rsplit(':').next().unwrap());
    let cloud = Cloud::start(&dev).await;
    let environment = cloud.environment(folder.path());
    let run = async |args: &[&str]| run_with(folder.path(), args, &environment, "").await;
    says(&run(&["push", &local]).await, 0, &[]);
    for (system, event) in [
        ("shopify", "✓ order."),
        ("woocommerce", "✓ order."),
        ("calendly", "✓ appointment.booked"),
        ("cal-com", "✓ appointment.booked"),
    ] {
        let ran = run(&["connect", system, "--wait", "20", &local]).await;
        says(&ran, 0, &["registered", "seen after", event]);
        let ran = run(&["connect", system, "--json", &local]).await;
        let shown: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(shown["registered"], json!([]), "{}", ran.out);
        assert_eq!(shown["missing"], json!([]), "{}", ran.out);
    }
    // Nothing of it reached the real file.
    assert!(!secrets(folder.path()).contains_key("webhooks"));
}

#[tokio::test]
async fn doctor_says_what_is_not_as_it_should_be() {
    let token = format!("[apis]\ncallbell = \"{DEMO_TOKEN}\"\ncal-com = \"hush-key\"\n");
    let world = World::of(AUTOMATIONS, &token).await;
    let doctor = async || world.callbell(&["doctor"], "").await;
    world.dev.stand_in().set_account(AccountData {
        tokens: vec![DEMO_TOKEN.to_owned()],
        channels: vec![Channel {
            uuid: "35f6f8ccb5504278a2ea099f3a4e0730".to_owned(),
            title: "Clinic".to_owned(),
            kind: "whatsapp".to_owned(),
        }],
        ..AccountData::default()
    });

    // Nothing was done yet.
    let ran = doctor().await;
    let parts = [
        "✗ automations  nothing was pushed yet",
        "→ callbell push",
        "✓ token        Callbell knows it",
        "✓ lambda       1000 functions at once",
        "✓ account      has the 1 channel",
        "! sources      nothing is connected yet",
    ];
    says(&ran, 1, &parts);

    // Everything is as it should be, but for what only time brings.
    says(&world.callbell(&["push"], "").await, 0, &[]);
    says(
        &world.callbell(&["secrets", "push", "--yes"], "").await,
        0,
        &[],
    );
    says(
        &world
            .callbell(&["connect", "cal-com", "--no-wait"], "")
            .await,
        0,
        &[],
    );
    let ran = doctor().await;
    let parts = [
        "✓ automations  automations.toml is in use as version 1",
        "✓ cal-com      secret ",
        " here and on AWS",
        "✓ cal-com      webhooks are active: BOOKING_CREATED",
        "! cal-com      no event in the last 7 days",
        "/aws/lambda/shop-appointments",
        ", 0 ✗",
    ];
    says(&ran, 0, &parts);
    assert!(!ran.out.contains("calendly"), "{}", ran.out);

    // One thing after the other goes wrong.
    let store = world.dev.store();
    store.pause().await.unwrap();
    let probe = world.dev.clock().now();
    store.hold("clinic", "out_of_credit", probe).await.unwrap();
    world.cloud.set_concurrency(Some(10));
    world
        .dev
        .connectable()
        .cal_com
        .set_all("active", &json!(false));
    let changed = AUTOMATIONS
        .replace(
            "[channel.clinic]",
            "only_to = [\"+5511987654321\"]\n\n[channel.clinic]",
        )
        .replace("[automation.cancelled]", "[automation.gone]");
    world.write("automations.toml", &changed);
    let mut table = secrets(world.folder.path());
    table["webhooks"]["cal-com"] = "hush-other".into();
    world.write("secrets.toml", &table.to_string());
    let ran = doctor().await;
    let parts = [
        "! automations     version 1 is in use; not pushed yet: automation.gone new, defaults changed, automation.cancelled removed",
        "! paused          since ",
        "→ callbell resume",
        "✗ channel clinic  out_of_credit since ",
        "! only_to         only_to is set: 1 number alone gets messages",
        "→ going live",
        "! lambda          this AWS account runs 10 functions at once",
        "→ callbell secrets push",
        "is switched off",
        "→ callbell connect cal-com",
    ];
    says(&ran, 1, &parts);
    let ran = world.callbell(&["doctor", "--json"], "").await;
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(shown[0]["level"], "look");
    assert_eq!(ran.code, 1);

    // Who cannot be asked is a line.
    world.cloud.set_concurrency(None);
    table["apis"]["callbell"] = "hush-wrong".into();
    table["apis"]["cal-com"] = "hush-revoked".into();
    world.write("secrets.toml", &table.to_string());
    let ran = doctor().await;
    let parts = [
        "concurrency not known: AWS does not allow you lambda:GetAccountSettings",
        "✗ token           Callbell refuses it",
        "✗ cal-com         Cal.com refuses the credential (401)",
    ];
    says(&ran, 1, &parts);
}

#[tokio::test]
async fn doctor_knows_what_came_last() {
    let dev = start_empty().await;
    let cloud = Cloud::start(&dev).await;
    let folder = project(&shop(), "");
    let local = format!("--local={}", dev.url().rsplit(':').next().unwrap());
    let environment = cloud.environment(folder.path());
    let run = async |args: &[&str]| run_with(folder.path(), args, &environment, "").await;
    let ran = run(&["connect", "woocommerce", "--wait", "20", &local]).await;
    says(&ran, 0, &["seen after"]);
    let ran = run(&["doctor", &local]).await;
    says(
        &ran,
        1,
        &[
            "✓ woocommerce  last event",
            "order.created",
            "webhooks are active",
        ],
    );
    assert!(!ran.out.contains("shopify"), "{}", ran.out);
    // A secret that the door has, and a body that nobody can read.
    let http = support::Http::of(&dev);
    let signed = demo::secret("woocommerce");
    let body = br#"{"id":1,"status":"processing","line_items":5,"currency":"BRL"}"#;
    let mut request = http
        .client
        .post(format!("{}/orders/woocommerce", dev.url()));
    let (connection, secret) = (Connection::plain("woocommerce"), signed.clone());
    let unsigned = Unsigned::of(&connection, &secret, body, dev.clock().now());
    for (name, value) in WooCommerce.sign(&unsigned) {
        request = request.header(name, value);
    }
    assert_eq!(
        request.body(body.to_vec()).send().await.unwrap().status(),
        200
    );
    let ran = run(&["doctor", &local]).await;
    says(&ran, 1, &["! woocommerce  could not be read at "]);
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

/// Callbell's own: an account has one webhook, whoever subscribes last has it, and nobody can ask whose it is.
#[tokio::test]
async fn callbell_s_webhook_is_taken_over_after_asking_and_keeps_its_path_secret() {
    let token = format!("[apis]\ncallbell = \"{DEMO_TOKEN}\"\n");
    let world = World::of(AUTOMATIONS, &token).await;
    let connect = async |more: &[&str]| {
        let args = [&["connect", "callbell", "--no-wait"][..], more].concat();
        world.callbell(&args, "").await
    };
    let goes_to = || world.dev.stand_in().webhook().map(|(url, _)| url);
    let values = || -> Vec<String> {
        let kept = secrets(world.folder.path());
        let kept = kept.get("webhooks").and_then(|table| table.get("callbell"));
        match kept {
            Some(toml::Value::Array(list)) => list
                .iter()
                .map(|value| value.as_str().unwrap().to_owned())
                .collect(),
            Some(value) => vec![value.as_str().unwrap().to_owned()],
            None => Vec::new(),
        }
    };
    let door = "https://a1.execute-api.sa-east-1.amazonaws.com/callbell/";
    let zap = "https://hooks.zapier.example/1";
    world
        .dev
        .stand_in()
        .subscribe(zap, &["message_created"], None);

    let ran = connect(&[]).await;
    let parts = [
        "does not say where it goes",
        "gets nothing any more",
        "--yes",
    ];
    says(&ran, 1, &parts);
    assert_eq!((goes_to().as_deref(), values()), (Some(zap), vec![]));

    let ran = connect(&["--yes"]).await;
    let parts = [
        "secrets.toml and shop/webhooks",
        "subscribed: message_created",
        "Generate secret",
        "callbell secrets push",
    ];
    says(&ran, 0, &parts);
    let [path] = values().try_into().unwrap();
    assert!(path.len() >= 32, "at least 128 random bits");
    assert!(!ran.out.contains(&path), "{}", ran.out);
    assert_eq!(goes_to(), Some(format!("{door}{path}")));
    assert_eq!(
        world.cloud.secret("shop/webhooks").unwrap(),
        json!({ "callbell": [path] })
    );
    assert!(world.dev.store().missed().await.unwrap().is_some());

    // What signs stands beside it, with --add and without.
    for args in [&["--add"][..], &[]] {
        let args = [&["secrets", "set", "callbell"][..], args].concat();
        says(&world.callbell(&args, "whsec_hush").await, 0, &[]);
        assert_eq!(values(), ["whsec_hush", &path]);
    }
    let ran = connect(&["--yes"]).await;
    assert!(!ran.out.contains("Generate secret"), "{}", ran.out);
    assert_eq!(goes_to(), Some(format!("{door}{path}")));
    let ran = world.callbell(&["doctor"], "").await;
    for part in ["webhooks have to be signed", "no delivery of the last day"] {
        assert!(ran.out.contains(part), "{part}: {}{}", ran.out, ran.err);
    }

    says(&connect(&["--rotate", "--yes"]).await, 0, &["subscribed"]);
    let [new, signing, old] = values().try_into().unwrap();
    assert_eq!((signing.as_str(), &old), ("whsec_hush", &path));
    assert_eq!(goes_to(), Some(format!("{door}{new}")));

    let listed = connect(&["--list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed, json!({ "webhook": "unknown" }));
    says(&connect(&["--remove-all"]).await, 1, &["--yes"]);
    says(&connect(&["--remove-all", "--yes"]).await, 0, &["removed"]);
    assert_eq!(goes_to(), None);
    assert_eq!(values().len(), 3);
}

/// On a development server what was delivered can be seen, and whether it came here.
#[tokio::test]
async fn callbell_s_webhook_of_a_development_server_is_its_own() {
    let dev = start_empty().await;
    let folder = project(AUTOMATIONS, "");
    let environment = Cloud::start(&dev).await.environment(folder.path());
    let local = format!("--local={}", dev.url().rsplit(':').next().unwrap());
    let run = async |args: &[&str]| {
        let args = [args, &[local.as_str()]].concat();
        run_with(folder.path(), &args, &environment, "").await
    };
    let written = cli::standin::webhooks::Written {
        phone: Some("+5511987654321".to_owned()),
        text: Some("Oi".to_owned()),
        ..Default::default()
    };
    // The first hour begins before the first message.
    let hour = jiff::SignedDuration::from_hours(1);
    dev.advance(hour).await.unwrap();
    dev.stand_in().receive(&written).unwrap();
    dev.stand_in().post_webhooks().await;
    dev.advance(jiff::SignedDuration::from_mins(15))
        .await
        .unwrap();
    let ran = run(&["connect", "callbell", "--list"]).await;
    says(&ran, 0, &["goes here"]);
    // Nobody is asked about one's own.
    says(
        &run(&["connect", "callbell", "--no-wait"]).await,
        0,
        &["subscribed"],
    );
    let ran = run(&["doctor"]).await;
    assert!(
        ran.out.contains("the account's webhook is active"),
        "{}{}",
        ran.out,
        ran.err
    );
}
