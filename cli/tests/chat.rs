//! The chatbot in the development server: people write, each backend answers, a slow one delays nobody else,
//! and one that fails is made up for.

#![recursion_limit = "256"]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;

use cli::dev::{Dev, Settings};
use serde_json::{Value, json};
use support::Http;

/// Who is answered by an HTTP bot.
const BOT: &str = "+5511987654321";
/// By a model.
const MODEL: &str = "+5511912345678";
/// By rules.
const RULES: &str = "+5521987654321";

const FILE: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.br]
uuid = "35f6f8ccb5504278a2ea099f3a4e0733"

[message.menu]
text = "Menu"

[message.horario]
text = "Das 9 às 18"

[reply.bot]
gather    = "1s"
backend   = "http"
url       = "https://bot.example.com/hook"
otherwise = "menu"

[reply.model]
gather    = "1s"
backend   = "ai"
url       = "https://api.openai.com/v1/chat/completions"
model     = "gpt-4o-mini"
prompt    = "Você atende a loja."
otherwise = "menu"

[reply.rules]
gather    = "1s"
rules     = [{ words = ["horário"], say = "horario" }]
otherwise = "menu"

[automation.bot]
on    = "message.received"
when  = "customer.phone == '+5511987654321'"
reply = "bot"

[automation.model]
on    = "message.received"
when  = "customer.phone == '+5511912345678'"
reply = "model"

[automation.rules]
on    = "message.received"
when  = "customer.phone == '+5521987654321'"
reply = "rules"
"#;

async fn start() -> (Dev, Http, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("automations.toml");
    std::fs::write(&path, FILE).unwrap();
    let settings = Settings {
        automations: Some(path),
        ..Settings::default()
    };
    let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
    let http = Http::of(&dev);
    (dev, http, folder)
}

async fn write(http: &Http, phone: &str, text: &str) {
    let written = json!({ "phone": phone, "text": text, "name": "Maria" });
    let (status, answer) = http.post("/_dev/receive", written).await;
    assert_eq!(status, 200, "{answer}");
}

/// What a person was sent, oldest first.
async fn sent(http: &Http, phone: &str) -> Vec<String> {
    let messages = http.list("/_dev/messages").await;
    let theirs = messages.iter().filter(|one| one["body"]["to"] == phone);
    theirs
        .map(|one| one["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}

async fn fault(http: &Http, system: &str, fault: Value) {
    let (status, answer) = http.post("/_dev/faults", json!({ system: [fault] })).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn each_backend_answers_and_what_fails_is_made_up_for() {
    let (_dev, http, _folder) = start().await;
    write(&http, BOT, "Oi").await;
    write(&http, BOT, "tudo bem?").await;
    write(&http, MODEL, "Oi").await;
    write(&http, RULES, "Qual o HORARIO?").await;
    http.idle().await;
    assert_eq!(sent(&http, BOT).await, ["You wrote: tudo bem?"]);
    assert_eq!(sent(&http, MODEL).await, ["You said: Oi"]);
    assert_eq!(sent(&http, RULES).await, ["Das 9 às 18"]);

    fault(&http, "openai", json!({ "kind": "status", "status": 500 })).await;
    write(&http, MODEL, "de novo").await;
    write(&http, BOT, "garbage").await;
    http.idle().await;
    assert_eq!(sent(&http, MODEL).await, ["You said: Oi", "Menu"]);
    assert_eq!(sent(&http, BOT).await, ["You wrote: tudo bem?", "Menu"]);

    write(&http, BOT, "a human, please").await;
    http.idle().await;
    write(&http, BOT, "hello?").await;
    http.idle().await;
    let told = sent(&http, BOT).await;
    assert_eq!(
        told.last().map(String::as_str),
        Some("Somebody will answer here.")
    );
    assert_eq!(told.len(), 3, "silent after a handover");
    let last = http.list("/_dev/messages").await.pop().unwrap();
    assert_eq!(last["body"]["bot_status"], "bot_end");
    let jobs = http.list("/_dev/jobs").await;
    let reason = jobs.last().unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("handed over at"), "{reason}");
}

#[tokio::test]
async fn a_slow_backend_delays_nobody_else() {
    let (_dev, http, _folder) = start().await;
    fault(&http, "http-bot", json!({ "kind": "delay", "ms": 8_000 })).await;
    write(&http, BOT, "Oi").await;
    write(&http, RULES, "horário").await;
    while sent(&http, RULES).await.is_empty() {}
    assert_eq!(sent(&http, BOT).await.len(), 0, "its backend still thinks");
    http.idle().await;
    assert_eq!(sent(&http, BOT).await, ["You wrote: Oi"]);
}
