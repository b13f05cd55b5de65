//! The commands as they are typed, on a running development server.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod support;

use std::path::Path;
use std::process::Stdio;

use cli::dev::Dev;
use cli::standin::AccountData;
use serde_json::{Value, json};
use support::{Http, PHONE, example, noon, order, start};
use tokio::process::Command;

/// What a command printed and how it ended.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the real binary in a folder, without a terminal, where AWS cannot be reached.
async fn callbell(folder: &Path, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_callbell"))
        .args(args)
        .current_dir(folder)
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn local(dev: &Dev) -> String {
    format!("--local={}", dev.url().rsplit(':').next().unwrap())
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn without_local_aws_is_named_and_without_a_server_the_way_to_one() {
    let folder = tempfile::tempdir().unwrap();
    for args in [
        &["jobs"][..],
        &["events"],
        &["pause"],
        &["replay", "--since", "1d"],
    ] {
        let ran = callbell(folder.path(), args).await;
        assert_eq!(ran.code, 1, "{args:?}");
        assert!(
            ran.err.contains("AWS") && ran.err.contains("--local"),
            "{}",
            ran.err
        );
    }
    let ran = callbell(folder.path(), &["jobs", "--local=1"]).await;
    assert!(ran.err.contains("callbell dev"), "{}", ran.err);
    let ran = callbell(folder.path(), &["check"]).await;
    assert!(ran.err.contains("callbell init"), "{}", ran.err);
    assert_eq!(
        callbell(folder.path(), &["--version"]).await.out,
        "callbell 0.1.0\n"
    );
}

#[tokio::test]
async fn init_writes_files_that_pass_and_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let args = [
        "init",
        "--example",
        "shop",
        "--country",
        "IT",
        "--phone",
        "333 123 4567",
    ];
    let ran = callbell(folder.path(), &args).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let file = std::fs::read_to_string(folder.path().join("automations.toml")).unwrap();
    assert!(
        file.contains("+393331234567") && file.contains("Europe/Rome"),
        "{file}"
    );
    assert_eq!(callbell(folder.path(), &["check"]).await.code, 0);
    std::fs::write(folder.path().join("secrets.toml"), "# mine\n").unwrap();
    let ran = callbell(folder.path(), &args).await;
    assert!(ran.out.contains("stays as it is"), "{}", ran.out);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("secrets.toml")).unwrap(),
        "# mine\n"
    );
    let ran = callbell(folder.path(), &["init", "--dir", "other"]).await;
    assert!(ran.err.contains("--country"), "{}", ran.err);
    let ran = callbell(folder.path(), &["schema"]).await;
    assert_eq!(ran.code, 0);
    let schema = std::fs::read(folder.path().join("automations.schema.json")).unwrap();
    assert!(
        serde_json::from_slice::<Value>(&schema)
            .unwrap()
            .is_object()
    );
}

#[tokio::test]
async fn check_shows_every_mistake_and_exits_1() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(example()).unwrap();
    let broken = text
        .replace("order.number", "order.numbr")
        .replace("country    = \"BR\"", "country = \"Brasil\"");
    std::fs::write(folder.path().join("automations.toml"), broken).unwrap();
    let ran = callbell(folder.path(), &["check"]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("did you mean order.number?"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("write BR"), "{}", ran.out);
    assert!(
        !ran.out.contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    let ran = callbell(folder.path(), &["check", "--json"]).await;
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(listed["diagnostics"].as_array().unwrap().len() >= 2);
}

#[tokio::test]
async fn check_asks_callbell_where_it_can() {
    let dev = start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let local = local(&dev);
    let text = std::fs::read_to_string(example()).unwrap();
    let path = folder.path().join("automations.toml");
    std::fs::write(&path, &text).unwrap();
    let ran = callbell(folder.path(), &["check", &local]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.err.is_empty(), "{}", ran.err);
    // Right by its grammar, and the account has none of it.
    let elsewhere = text
        .replace("35f6f8ccb5504278a2ea099f3a4e0730", &"e".repeat(32))
        .replace("d980fb66fd5043d3ace1aa06ba044342", &"f".repeat(32))
        .replace(
            "[message.pix-reminder]\n",
            "[message.pix-reminder]\nteam = \"Vendas\"\n",
        );
    std::fs::write(&path, elsewhere).unwrap();
    let ran = callbell(folder.path(), &["check", "--lines", &local]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    let channel = format!(
        "automations.toml:11:8   error  shop: Callbell has no channel {0}: see callbell channels\n    \
         uuid = \"{0}\"\n           ^\n",
        "e".repeat(32)
    );
    assert!(ran.out.contains(&channel), "{}", ran.out);
    assert!(
        ran.out.contains("Callbell has no template ffff"),
        "{}",
        ran.out
    );
    assert!(
        ran.out.contains("Callbell has no team \"Vendas\""),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("3 errors"), "{}", ran.out);
    for args in [&["check"][..], &["check", "--offline"]] {
        let ran = callbell(folder.path(), args).await;
        assert_eq!(ran.code, 0, "nobody to ask: {}{}", ran.out, ran.err);
    }
}

#[tokio::test]
async fn check_goes_on_where_callbell_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(example(), folder.path().join("automations.toml")).unwrap();
    let ran = callbell(folder.path(), &["check", "--local=1", "--json"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("without asking Callbell"), "{}", ran.err);
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(listed["asked_callbell"], false);

    let dev = start(None).await;
    dev.stand_in().set_account(AccountData {
        tokens: vec!["another".to_owned()],
        ..AccountData::default()
    });
    let ran = callbell(folder.path(), &["check", &local(&dev)]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("refused the token"), "{}", ran.err);

    // A file of secrets that cannot be read is no reason to stop either, unless nobody is asked.
    std::fs::write(folder.path().join("secrets.toml"), "callbell\n").unwrap();
    let ran = callbell(folder.path(), &["check"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("secrets.toml"), "{}", ran.err);
    let ran = callbell(folder.path(), &["check", "--offline"]).await;
    assert!(ran.err.is_empty(), "{}", ran.err);
}

#[tokio::test]
async fn try_explains_an_event_a_body_and_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let automations = example();
    let automations = automations.to_str().unwrap();
    let ran = callbell(
        folder.path(),
        &["try", "order.paid", "--automations", automations],
    )
    .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("yes order-confirmed"), "{}", ran.out);
    assert!(ran.out.contains("Recebemos o pagamento"), "{}", ran.out);
    let mut body = order(1, noon());
    body["financial_status"] = json!("pending");
    std::fs::write(folder.path().join("order.json"), body.to_string()).unwrap();
    let args = [
        "try",
        "order.json",
        "--source",
        "shopify",
        "--automations",
        automations,
    ];
    let ran = callbell(folder.path(), &args).await;
    assert!(
        ran.out.contains("yes pix-reminder") && ran.out.contains("Maria"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert!(
        !ran.out.contains("98765"),
        "the number is masked: {}",
        ran.out
    );
    let sample = root().join("events/orders/02-shopify-orders-paid.json");
    let args = [
        "try",
        sample.to_str().unwrap(),
        "--automations",
        automations,
        "--json",
    ];
    let ran = callbell(folder.path(), &args).await;
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    assert!(!listed.as_array().unwrap().is_empty());
    let ran = callbell(
        folder.path(),
        &["try", "order.payed", "--automations", automations],
    )
    .await;
    assert!(ran.err.contains("order.paid"), "{}", ran.err);
}

#[tokio::test]
async fn send_shows_a_message_before_anything_is_deployed() {
    let dev = start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let automations = example();
    let automations = automations.to_str().unwrap();
    let local = local(&dev);
    let args = [
        "send",
        "order-confirmed",
        "--to",
        PHONE,
        "--sample",
        "--locale",
        "en",
        "--json",
    ];
    let args = [&args[..], &["--automations", automations, &local]].concat();
    let ran = callbell(folder.path(), &args).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let sent: Value = serde_json::from_str(&ran.out).unwrap();
    let messages = dev.stand_in().messages();
    assert_eq!(messages[0].uuid, sent["uuid"].as_str().unwrap());
    assert!(
        messages[0].text.as_deref().unwrap().starts_with("Hi "),
        "{:?}",
        messages[0].text
    );
    let args = [
        "send",
        "nothing",
        "--to",
        PHONE,
        "--sample",
        "--automations",
        automations,
        &local,
    ];
    assert!(
        callbell(folder.path(), &args)
            .await
            .err
            .contains("order-confirmed")
    );
    let ran = callbell(folder.path(), &["channels", &local]).await;
    assert!(
        ran.out.contains("35f6f8ccb5504278a2ea099f3a4e0730"),
        "{}",
        ran.out
    );
    let ran = callbell(folder.path(), &["templates", "pull", &local]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let kept = std::fs::read_to_string(folder.path().join("templates.json")).unwrap();
    assert!(
        engine::automations::templates::Templates::from_json(&kept)
            .unwrap()
            .iter()
            .count()
            >= 5
    );
}

#[tokio::test]
async fn jobs_and_events_are_listed_and_replayed() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let folder = tempfile::tempdir().unwrap();
    let local = local(&dev);
    let mut body = order(2001, noon());
    body["customer"]["phone"] = Value::Null;
    body["shipping_address"]["phone"] = json!("ring twice");
    http.shopify("orders/paid", &body).await;
    http.idle().await;
    let ran = callbell(
        folder.path(),
        &["jobs", "--status", "skipped", "--json", &local],
    )
    .await;
    let jobs: Value = serde_json::from_str(&ran.out).unwrap();
    let id = jobs[0]["id"].as_str().unwrap();
    assert!(
        jobs[0]["reason"]
            .as_str()
            .unwrap()
            .starts_with("no usable phone"),
        "{jobs:#}"
    );
    let ran = callbell(folder.path(), &["jobs", "show", &id[..8], &local]).await;
    assert!(
        ran.out.contains("order-confirmed/message.order-confirmed#"),
        "{}{}",
        ran.out,
        ran.err
    );
    let ran = callbell(
        folder.path(),
        &["replay", "--automation", "order-confirmed", &local],
    )
    .await;
    assert!(
        ran.out.contains("would send 0 (1 no usable phone)"),
        "{}{}",
        ran.out,
        ran.err
    );
    let ran = callbell(folder.path(), &["replay", id, "--to", PHONE, &local]).await;
    assert!(
        ran.err.contains("--yes"),
        "nobody is here to answer: {}",
        ran.err
    );
    let ran = callbell(
        folder.path(),
        &["replay", id, "--to", PHONE, "--yes", &local],
    )
    .await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    http.idle().await;
    assert_eq!(http.list("/_dev/messages").await[0]["body"]["to"], PHONE);
    let ran = callbell(folder.path(), &["events", &local]).await;
    assert!(ran.out.contains("matched nothing"), "{}", ran.out);
}

#[tokio::test]
async fn a_new_automation_is_replayed_over_earlier_events() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let folder = tempfile::tempdir().unwrap();
    let local = local(&dev);
    http.shopify("orders/paid", &order(3001, noon())).await;
    http.idle().await;
    let file = folder.path().join("automations.toml");
    let text = std::fs::read_to_string(example()).unwrap();
    let more = format!(
        "{text}\n[automation.thanks]\non = \"order.paid\"\nmessage = \"order-confirmed\"\n"
    );
    std::fs::write(&file, &more).unwrap();
    let ran = callbell(folder.path(), &["push", &local]).await;
    assert!(
        ran.out.contains("automation.thanks new"),
        "{}{}",
        ran.out,
        ran.err
    );
    let args = [
        "replay",
        "--events",
        "--automation",
        "thanks",
        "--since",
        "1d",
        &local,
    ];
    let ran = callbell(folder.path(), &args).await;
    assert!(ran.out.contains("would send 1"), "{}{}", ran.out, ran.err);
    let ran = callbell(folder.path(), &[&args[..], &["--yes"]].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    http.idle().await;
    assert_eq!(http.list("/_dev/messages").await.len(), 2);
    let ran = callbell(folder.path(), &[&args[..], &["--yes"]].concat()).await;
    assert!(
        ran.out.contains("would send 0"),
        "once is enough: {}",
        ran.out
    );
    let ran = callbell(folder.path(), &["push", "--rollback", &local]).await;
    assert!(
        ran.out.contains("automation.thanks removed"),
        "{}{}",
        ran.out,
        ran.err
    );
}

#[tokio::test]
async fn a_renamed_automation_keeps_its_jobs_and_a_pause_holds_them() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let http = Http::of(&dev);
    let folder = tempfile::tempdir().unwrap();
    let local = local(&dev);
    let mut pending = order(4001, noon());
    pending["financial_status"] = json!("pending");
    http.shopify("orders/create", &pending).await;
    http.idle().await;
    let text = std::fs::read_to_string(example()).unwrap();
    let renamed = text.replace("[automation.pix-reminder]", "[automation.pay]");
    std::fs::write(folder.path().join("automations.toml"), renamed).unwrap();
    let ran = callbell(folder.path(), &["push", &local]).await;
    assert!(
        ran.out.contains("pix-reminder: 1 job"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(ran.code, 1, "nobody is here to say yes");
    let ran = callbell(
        folder.path(),
        &["push", "--rename", "pix-reminder=pay", &local],
    )
    .await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let ran = callbell(folder.path(), &["pause", &local]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    http.post("/_dev/clock", json!({ "advance": "40m" })).await;
    assert!(http.list("/_dev/messages").await.is_empty());
    assert_eq!(callbell(folder.path(), &["resume", &local]).await.code, 0);
    http.post("/_dev/clock", json!({ "advance": "10m" })).await;
    let jobs = http.list("/_dev/jobs").await;
    let of = |name: &str| jobs.iter().find(|job| job["automation"] == name).unwrap();
    assert_eq!(of("pix-reminder")["status"], "cancelled", "{jobs:#?}");
    assert_eq!(of("pay")["status"], "sent", "{jobs:#?}");
    assert_eq!(http.list("/_dev/messages").await.len(), 1);
}

#[tokio::test]
async fn a_signed_body_is_a_sample_event() {
    let folder = tempfile::tempdir().unwrap();
    let dev = start(None).await;
    std::fs::write(
        folder.path().join("body.json"),
        order(5, noon()).to_string(),
    )
    .unwrap();
    let args = [
        "sign",
        "body.json",
        "--source",
        "shopify",
        "--topic",
        "orders/paid",
        "--now",
        "-o",
        "event.json",
    ];
    let ran = callbell(folder.path(), &args).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let again = callbell(
        folder.path(),
        &["sign", "event.json", "--at", "2026-03-10T10:00:00Z"],
    )
    .await;
    let event: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(event["requestContext"]["timeEpoch"], 1_773_136_800_000_i64);
    let sample = cli::dev::envelope::read(&event).unwrap();
    let client = reqwest::Client::new();
    let mut request = client.post(format!("{}{}", dev.url(), sample.path));
    for (name, value) in sample.headers {
        request = request.header(name, value);
    }
    assert_eq!(
        request.body(sample.body).send().await.unwrap().status(),
        200
    );
    let ran = callbell(folder.path(), &["sign", "body.json"]).await;
    assert!(ran.err.contains("--source"), "{}", ran.err);
}

#[tokio::test]
async fn secrets_are_set_and_listed_without_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_callbell"))
        .args(["secrets", "set", "shopify"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"shpss_secret\n")
        .await
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let ran = callbell(folder.path(), &["secrets", "list"]).await;
    assert!(
        ran.out.contains("shopify") && !ran.out.contains("shpss"),
        "{}",
        ran.out
    );
    assert!(!String::from_utf8(output.stdout).unwrap().contains("shpss"));
}
