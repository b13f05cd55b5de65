//! The chatbot over the real store: each backend against a server of this machine, bursts, takeovers, lost
//! answers, and any interleaving of them.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use shared::secrets::{Secret, Secrets, SecretsProvider};
use shared::store::{Ended, JobRow, LANE_CHAT, RowKey, Status};
use testkit::Engine;

use super::desk::{Desk, OTHER, Reply};
use super::interleavings::crash_after;
use super::{minutes, state};
use crate::apis::Apis;
use crate::chat::Answerer;
use crate::delivery::Worker;
use crate::fetch::Fetching;

const MESSAGES: &str = r#"
[message.menu]
text = "Menu"

[message.rastreio]
text = "Rastreio"

[message.ja-vai]
text = "Já vai, {{ contact.first_name | default('cliente') }}"
"#;

const RULES: &str = r#"
[reply.balcao]
handover  = "Vendas"
max_turns = 3
rules = [
  { words = ["humano"], handover = true, say = "ja-vai", note = "{{ contact.name }} pede uma pessoa" },
  { words = ["aviso"], say = "rastreio", once = "customer every 12h" },
  { words = ["nada"], ignore = true },
  { words = ["equipe"], handover = true },
]
otherwise = "menu"

[automation.balcao]
on    = "message.received"
reply = "balcao"
"#;

const HTTP: &str = r#"
[reply.balcao]
backend   = "http"
url       = "https://bot.example.com/hook"
timeout   = "1s"
handover  = "Vendas"
otherwise = "menu"

[automation.balcao]
on    = "message.received"
reply = "balcao"
"#;

const AI: &str = r#"
[reply.balcao]
backend   = "ai"
url       = "https://api.openai.com/v1/chat/completions"
model     = "gpt-4o-mini"
prompt    = "Você atende a loja."
timeout   = "1s"
handover  = "Vendas"
otherwise = "menu"

[automation.balcao]
on    = "message.received"
reply = "balcao"
"#;

/// One answer of the server that stands in for all backends.
#[derive(Clone)]
struct Said {
    status: u16,
    body: Value,
    after: Duration,
}

/// The server: what it answers next, then an echo; and what it was asked.
#[derive(Clone, Default)]
struct Bots {
    script: Arc<Mutex<VecDeque<Said>>>,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Bots {
    fn start() -> (Bots, String) {
        let bots = Bots::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = bots.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = served.clone();
                std::thread::spawn(move || served.answer(stream));
            }
        });
        (bots, address)
    }

    fn next(&self, status: u16, body: Value) {
        self.next_after(Duration::ZERO, status, body);
    }

    fn next_after(&self, after: Duration, status: u16, body: Value) {
        let said = Said {
            status,
            body,
            after,
        };
        self.script.lock().unwrap().push_back(said);
    }

    /// Heads and bodies of what was asked.
    fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some((head, body)) = request(&mut stream) else {
            return;
        };
        self.asked
            .lock()
            .unwrap()
            .push((head.clone(), body.clone()));
        let said = self.script.lock().unwrap().pop_front();
        let said = said.unwrap_or_else(|| Said {
            status: 200,
            body: echo(&head, &body),
            after: Duration::ZERO,
        });
        std::thread::sleep(said.after);
        let text = said.body.to_string();
        let _ = write!(
            stream,
            "HTTP/1.1 {} X\r\ncontent-length: {}\r\n\r\n{text}",
            said.status,
            text.len()
        );
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn echo(head: &str, body: &Value) -> Value {
    if head.contains("/api.openai.com/") {
        let last = body["messages"].as_array().unwrap().last().unwrap();
        return completion(&format!("AI: {}", last["content"].as_str().unwrap()));
    }
    let texts = body["data"]["messages"].as_array().unwrap();
    let texts: Vec<&str> = texts
        .iter()
        .filter_map(|one| one["text"].as_str())
        .collect();
    json!({"say": format!("Bot: {}", texts.join("+"))})
}

fn completion(text: &str) -> Value {
    json!({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text}}]})
}

fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some((head, serde_json::from_str(body).unwrap_or_default()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// A desk with a chatbot.
struct Chat {
    desk: Desk,
    bots: Bots,
    fetching: Fetching,
}

impl Chat {
    async fn with(file: &str) -> Chat {
        let desk = Desk::empty().await;
        desk.push(&format!("{MESSAGES}\n{file}")).await;
        let (bots, address) = Bots::start();
        let apis = Apis::new(Some(&address)).unwrap();
        let mut secrets = Secrets::default();
        secrets.insert(
            "balcao",
            Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        );
        secrets.insert(
            "other",
            Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        );
        let provider = SecretsProvider::Fixed(secrets);
        let fetching = Fetching::new(apis, provider, desk.clock.clone());
        Chat {
            desk,
            bots,
            fetching,
        }
    }

    /// A worker that plans, sweeps, and answers what the stream lost.
    fn deliver(&self) -> Worker {
        let answerer = Answerer::new(self.fetching.clone());
        self.desk.another_worker().answering(Arc::new(answerer))
    }

    /// A worker of the lane `chat`.
    fn reply(&self) -> Worker {
        self.deliver().chatting()
    }

    fn deadline(&self) -> Timestamp {
        self.desk.clock.now() + SignedDuration::from_secs(90)
    }

    /// Somebody's message is stored by the door.
    async fn receive(&self, person: &str, id: &str, at: Timestamp, kind: &str, text: &str) {
        self.desk.receive(message(person, id, at, kind, text)).await;
    }

    /// Maria writes now.
    async fn says(&self, id: &str, text: &str) {
        let now = self.desk.clock.now();
        self.receive("person", id, now, "text", text).await;
    }

    async fn plan(&self) {
        let rows = testkit::lane(Engine::shared(), &self.desk.store).await;
        self.deliver().on_stream(rows, self.desk.deadline()).await;
    }

    async fn lane(&self) -> Vec<RowKey> {
        testkit::lane_of(Engine::shared(), &self.desk.store, LANE_CHAT).await
    }

    /// What was stored is planned, and the chatbot gets its rows.
    async fn answer(&self) {
        self.plan().await;
        let rows = self.lane().await;
        self.reply().on_stream(rows, self.deadline()).await;
    }

    /// Maria writes, and the chatbot has its turn.
    async fn chat(&self, id: &str, text: &str) {
        self.says(id, text).await;
        self.answer().await;
    }

    /// The texts that were sent.
    fn sent(&self) -> Vec<String> {
        let text = |body: &Value| body["content"]["text"].as_str().unwrap().to_owned();
        self.desk.callbell.sent().iter().map(text).collect()
    }

    /// Status and reason of the reply to a message.
    async fn state_of(&self, id: &str) -> (Status, String) {
        let jobs = self.desk.jobs().await;
        let of = |job: &&JobRow| job.event == event_key(id) && job.action.starts_with("reply.");
        let job = jobs.iter().find(of).unwrap();
        (job.status, job.reason.clone().unwrap_or_default())
    }

    async fn minute(&self, after: SignedDuration) {
        self.desk.clock.advance(after);
        self.deliver().on_minute(self.desk.deadline()).await;
    }
}

fn event_key(id: &str) -> String {
    format!("callbell/message/{id}/received")
}

fn contact(person: &str) -> Value {
    json!({
        "id": person, "name": "Maria da Silva", "phone": phone(person), "tags": ["vip"], "channel_kind": "whatsapp",
        "channel": "35f6f8ccb5504278a2ea099f3a4e0730",
    })
}

fn phone(person: &str) -> &str {
    if person == "person" {
        "+5511987654321"
    } else {
        OTHER
    }
}

fn event(name: &str, id: &str, person: &str, at: Timestamp) -> Value {
    json!({
        "event": {"name": name, "source": "callbell", "kind": "callbell", "id": id, "at": at.to_string()},
        "customer": {"name": "Maria da Silva", "id": person, "tags": [],
            "phones": [{"path": "contact.phoneNumber", "number": phone(person)}]},
        "subject": {"kind": "message", "id": id, "as_of": at.to_string(), "created_at": at.to_string(),
            "state": "open", "fresh": "dated"},
        "contact": contact(person),
    })
}

fn message(person: &str, id: &str, at: Timestamp, kind: &str, text: &str) -> Value {
    let mut event = event("message.received", &event_key(id), person, at);
    let text = (!text.is_empty()).then_some(text);
    event["message"] =
        json!({"kind": kind, "text": text, "status": "received", "at": at.to_string()});
    if kind == "reaction" {
        event["message"]["reaction"] = json!("👍");
    }
    event
}

/// A colleague writes.
fn colleague(person: &str, id: &str, at: Timestamp) -> Value {
    let key = format!("callbell/message/{id}/sent");
    let mut event = event("message.sent", &key, person, at);
    event["message"] =
        json!({"kind": "text", "text": "Oi, sou a Ana", "status": "sent", "at": at.to_string()});
    event
}

/// The conversation is closed.
fn closed(person: &str, at: Timestamp) -> Value {
    let key = format!("callbell/conversation/{person}/closed/{}", at.as_second());
    let mut event = event("conversation.closed", &key, person, at);
    event["subject"]["kind"] = json!("conversation");
    event["conversation"] = json!({"id": person, "url": "", "closed_at": at.to_string()});
    event
}

const TOGETHER: &str = "answered together with a later message";

#[tokio::test]
async fn a_rule_answers_when_the_burst_is_over() {
    let chat = Chat::with(RULES).await;
    let written = chat.desk.clock.now();
    chat.says("1", "oi").await;
    chat.desk.clock.advance(SignedDuration::from_secs(2));
    chat.says("2", "AVISO?").await;
    chat.answer().await;
    assert_eq!(chat.sent(), ["Rastreio"]);
    assert_eq!(chat.state_of("1").await, state(Status::Skipped, TOGETHER));
    assert_eq!(chat.state_of("2").await, state(Status::Sent, ""));
    let times = chat.desk.callbell.times();
    assert_eq!(
        times[0].duration_since(written).as_secs(),
        5,
        "the last, and what is gathered"
    );
    // The rule has said it; the next that matches has its turn.
    chat.chat("3", "aviso").await;
    assert_eq!(chat.sent(), ["Rastreio", "Menu"]);
    chat.chat("4", "nada").await;
    assert_eq!(
        chat.state_of("4").await,
        state(Status::Skipped, "ignored by rule 3")
    );
    assert_eq!(chat.sent().len(), 2);
    let body = &chat.desk.callbell.sent()[0];
    assert_eq!(body["to"], "+5511987654321");
    assert_eq!(body["channel_uuid"], "35f6f8ccb5504278a2ea099f3a4e0730");
}

/// The message_created that Callbell documents has the kind of the channel alone.
#[tokio::test]
async fn a_person_whose_channel_is_not_named_is_answered_on_the_only_one_of_its_kind() {
    let chat = Chat::with(RULES).await;
    let now = chat.desk.clock.now();
    let mut event = message("person", "1", now, "text", "oi");
    event["contact"]["channel"] = json!("");
    chat.desk.receive(event).await;
    chat.answer().await;
    assert_eq!(chat.state_of("1").await, state(Status::Sent, ""));
    assert_eq!(chat.sent(), ["Menu"]);
}

#[tokio::test]
async fn a_message_whose_reply_ended_unasked_does_not_silence_the_one_before_it() {
    let chat = Chat::with(RULES).await;
    chat.says("1", "oi").await;
    chat.desk.clock.advance(SignedDuration::from_secs(1));
    chat.says("2", "tchau").await;
    chat.plan().await;
    let jobs = chat.desk.jobs().await;
    let later = jobs.iter().find(|job| job.event == event_key("2")).unwrap();
    let ended = Ended::Skipped("when is false".to_owned());
    let store = &chat.desk.store;
    let end = store.end(&later.id, later.version, &[Status::Due], &ended);
    end.await.unwrap();
    let rows = chat.lane().await;
    chat.reply().on_stream(rows, chat.deadline()).await;
    assert_eq!(chat.state_of("1").await, state(Status::Sent, ""));
    assert_eq!(chat.sent(), ["Menu"]);
    chat.chat("3", "oi").await;
    assert_eq!(chat.sent(), ["Menu", "Menu"]);
}

#[tokio::test]
async fn redeliveries_and_many_workers_answer_once() {
    let chat = Chat::with(RULES).await;
    for _ in 0..2 {
        chat.says("1", "oi").await;
        chat.says("2", "tudo bem?").await;
    }
    chat.plan().await;
    let rows = chat.lane().await;
    assert_eq!(rows.len(), 2);
    let (one, other, third) = (chat.reply(), chat.reply(), chat.deliver());
    let deadline = chat.deadline();
    tokio::join!(
        one.on_stream(rows.clone(), deadline),
        other.on_stream(rows.clone(), deadline),
        third.on_stream(rows, deadline)
    );
    chat.minute(minutes(3)).await;
    assert_eq!(chat.sent(), ["Menu"]);
}

#[tokio::test]
async fn what_the_stream_lost_the_minute_answers() {
    let chat = Chat::with(RULES).await;
    chat.says("1", "oi").await;
    chat.plan().await;
    chat.minute(minutes(1)).await;
    assert_eq!(chat.sent().len(), 0, "the stream still has its head start");
    chat.minute(minutes(1)).await;
    assert_eq!(chat.sent(), ["Menu"]);
}

#[tokio::test]
async fn a_reaction_is_never_answered_and_a_picture_is() {
    let chat = Chat::with(RULES).await;
    let now = chat.desk.clock.now();
    chat.says("1", "oi").await;
    chat.receive(
        "person",
        "2",
        now + SignedDuration::from_secs(1),
        "reaction",
        "",
    )
    .await;
    chat.answer().await;
    assert_eq!(chat.sent(), ["Menu"], "a reaction is no later message");
    let never = state(Status::Skipped, "a reaction is never answered");
    assert_eq!(chat.state_of("2").await, never);
    let now = chat.desk.clock.now();
    chat.receive("person", "3", now, "image", "").await;
    chat.answer().await;
    assert_eq!(chat.sent(), ["Menu", "Menu"]);
}

#[tokio::test]
async fn a_colleague_silences_the_chatbot_until_the_conversation_is_closed() {
    let chat = Chat::with(RULES).await;
    let now = chat.desk.clock.now();
    chat.says("1", "oi").await;
    // While the answer waits for the rest of the burst.
    chat.desk.receive(colleague("person", "a", now)).await;
    chat.answer().await;
    let (status, reason) = chat.state_of("1").await;
    assert_eq!(status, Status::Skipped);
    assert!(reason.starts_with("a team member wrote at"), "{reason}");
    let now = chat.desk.clock.now();
    chat.desk.receive(closed("person", now)).await;
    chat.desk.clock.advance(SignedDuration::from_secs(1));
    chat.chat("2", "aviso").await;
    assert_eq!(chat.sent(), ["Rastreio"]);
}

#[tokio::test]
async fn handing_over_tells_the_team_and_silences_the_chatbot() {
    let chat = Chat::with(RULES).await;
    chat.chat("1", "quero um HUMANO").await;
    assert_eq!(chat.sent(), ["Já vai, Maria"]);
    let body = &chat.desk.callbell.sent()[0];
    assert_eq!(body["team_uuid"], "team-7");
    assert_eq!(body["bot_status"], "bot_end");
    let note = (
        "POST /v1/contacts/person/conversation/note",
        json!({"text": "Maria da Silva pede uma pessoa"}),
    );
    let changes = chat.desk.callbell.changes();
    let told: Vec<(&str, Value)> = changes
        .iter()
        .map(|(line, body)| (line.as_str(), serde_json::from_str(body).unwrap()))
        .collect();
    assert_eq!(told, [note]);
    chat.chat("2", "oi?").await;
    let (status, reason) = chat.state_of("2").await;
    assert_eq!(status, Status::Skipped);
    assert!(reason.starts_with("handed over at"), "{reason}");
    // Without words the conversation is assigned by itself.
    let now = chat.desk.clock.now();
    chat.desk.receive(closed("person", now)).await;
    chat.desk.clock.advance(SignedDuration::from_secs(1));
    chat.chat("3", "equipe").await;
    assert_eq!(chat.state_of("3").await, state(Status::Sent, ""));
    assert_eq!(chat.sent().len(), 1);
    let changes = chat.desk.callbell.changes();
    let (line, body) = changes.last().unwrap();
    assert_eq!(line, "PATCH /v1/contacts/person");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        json!({"team_uuid": "team-7", "bot_status": "bot_end"})
    );
}

#[tokio::test]
async fn a_handover_that_callbell_refuses_does_not_leave_the_person_waiting() {
    let chat = Chat::with(RULES).await;
    chat.desk.callbell.refuse("POST /v1/contacts/", 422);
    chat.chat("1", "humano").await;
    assert_eq!(chat.state_of("1").await, state(Status::Sent, ""));
    assert_eq!(chat.sent(), ["Já vai, Maria"]);
    let sent = chat.desk.callbell.sent();
    assert_eq!(sent[0]["team_uuid"], "team-7");

    chat.desk.callbell.refuse("PATCH /v1/contacts/", 422);
    let now = chat.desk.clock.now();
    chat.desk.receive(closed("person", now)).await;
    chat.desk.clock.advance(SignedDuration::from_secs(1));
    chat.chat("2", "equipe").await;
    let (status, reason) = chat.state_of("2").await;
    assert_eq!(status, Status::Dead);
    assert!(
        reason.starts_with("not handed over: Callbell 422"),
        "{reason}"
    );
}

#[tokio::test]
async fn two_bots_do_not_talk_for_ever() {
    let chat = Chat::with(RULES).await;
    for n in 0..6 {
        chat.chat(&n.to_string(), "oi").await;
        chat.desk.clock.advance(minutes(1));
    }
    assert_eq!(chat.sent(), ["Menu"; 3]);
    assert_eq!(
        chat.state_of("3").await,
        state(Status::Sent, ""),
        "it handed over"
    );
    assert!(chat.state_of("4").await.1.starts_with("handed over at"));
    let changes = chat.desk.callbell.changes();
    assert_eq!(changes.len(), 2, "{changes:?}");
}

#[tokio::test]
async fn where_a_message_answers_the_reply_is_silent() {
    let file = format!(
        "{RULES}\n[automation.visit-yes]\non = \"message.received\"\nwhen = \"message.text == 'sim'\"\nmessage = \"rastreio\"\n"
    );
    let chat = Chat::with(&file).await;
    chat.chat("1", "sim").await;
    assert_eq!(chat.sent(), ["Rastreio"]);
    assert_eq!(
        chat.state_of("1").await,
        state(Status::Skipped, "answered by visit-yes")
    );
    chat.chat("2", "oi").await;
    assert_eq!(chat.sent(), ["Rastreio", "Menu"]);
}

#[tokio::test]
async fn a_message_that_is_about_to_go_out_is_waited_for_and_one_that_is_put_off_is_not() {
    let file = format!(
        "{RULES}\n[automation.visit-yes]\non = \"message.received\"\nwhen = \"message.text == 'sim'\"\nmessage = \"rastreio\"\n"
    );
    let chat = Chat::with(&file).await;
    chat.desk.callbell.next([Reply::Limit(5)]);
    chat.chat("1", "sim").await;
    assert_eq!(
        chat.state_of("1").await,
        state(Status::Due, "visit-yes may answer it")
    );
    chat.minute(SignedDuration::from_secs(9)).await;
    chat.minute(minutes(1)).await;
    assert_eq!(chat.sent(), ["Rastreio"]);
    assert_eq!(
        chat.state_of("1").await,
        state(Status::Skipped, "answered by visit-yes")
    );
    chat.desk.callbell.next([Reply::Limit(600)]);
    chat.chat("2", "sim").await;
    assert_eq!(chat.state_of("2").await, state(Status::Sent, ""));
    assert_eq!(chat.sent(), ["Rastreio", "Menu"]);
}

#[tokio::test]
async fn an_http_bot_is_asked_and_its_answer_is_done() {
    let chat = Chat::with(HTTP).await;
    chat.desk
        .callbell
        .remember("u", "Bem-vinda", chat.desk.clock.now());
    chat.desk.clock.advance(minutes(1));
    chat.says("1", "oi").await;
    chat.chat("2", "tudo bem?").await;
    assert_eq!(chat.sent(), ["Bot: oi+tudo bem?"]);
    let asked = chat.bots.asked();
    assert_eq!(asked.len(), 1);
    let (head, body) = &asked[0];
    assert!(head.starts_with("post /bot.example.com/hook "), "{head}");
    let id = format!("webhook-id: {}", job_id("2"));
    for header in [&id, "webhook-timestamp: ", "webhook-signature: v1,"] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert_eq!(body["data"]["contact"]["name"], "Maria da Silva");
    assert_eq!(body["data"]["contact"]["locale"], "pt-BR");
    assert_eq!(body["data"]["turns"], 0);
    assert_eq!(body["data"]["history"][0]["text"], "Bem-vinda");
    assert_eq!(body["data"]["history"][0]["from"], "us");

    chat.bots.next(200, json!({"say_message": "rastreio"}));
    chat.chat("3", "x").await;
    chat.bots.next(200, json!({"ignore": true}));
    chat.chat("4", "x").await;
    assert_eq!(
        chat.state_of("4").await,
        state(Status::Skipped, "the bot ignored it")
    );
    for (n, (status, body)) in [
        (200, json!({"answer": 42})),
        (500, json!({})),
        (302, json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        chat.bots.next(status, body);
        chat.chat(&format!("bad-{n}"), "x").await;
    }
    chat.bots.next_after(
        Duration::from_millis(1_300),
        200,
        json!({"say": "too late"}),
    );
    chat.chat("slow", "x").await;
    let mut expected = vec!["Bot: oi+tudo bem?", "Rastreio"];
    expected.extend(["Menu"; 4]);
    assert_eq!(chat.sent(), expected);
    chat.bots.next(
        200,
        json!({"handover": "Vendas", "say": "Já vai.", "note": "quer 200 peças"}),
    );
    chat.chat("5", "x").await;
    let body = chat.desk.callbell.sent().pop().unwrap();
    assert_eq!(
        (&body["content"]["text"], &body["team_uuid"]),
        (&json!("Já vai."), &json!("team-7"))
    );
    assert!(chat.desk.callbell.changes()[0].1.contains("quer 200 peças"));
}

fn job_id(id: &str) -> String {
    shared::store::JobId::of("balcao", "reply.balcao", &event_key(id))
        .as_str()
        .to_owned()
}

#[tokio::test]
async fn a_model_answers_with_the_history_as_its_context() {
    let chat = Chat::with(AI).await;
    let callbell = &chat.desk.callbell;
    callbell.remember_theirs("quero uma camiseta", chat.desk.clock.now());
    callbell.remember("u", "Qual tamanho?", chat.desk.clock.now());
    chat.desk.clock.advance(minutes(1));
    callbell.remember_theirs("M", chat.desk.clock.now());
    chat.chat("1", "M").await;
    assert_eq!(chat.sent(), ["AI: M"]);
    let (head, body) = chat.bots.asked().pop().unwrap();
    assert!(
        head.starts_with("post /api.openai.com/v1/chat/completions "),
        "{head}"
    );
    assert!(head.contains("authorization: bearer whsec_"), "{head}");
    let told: Vec<(&str, &str)> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["role"].as_str().unwrap(),
                one["content"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("system", "Você atende a loja."),
        ("user", "quero uma camiseta"),
        ("assistant", "Qual tamanho?"),
        ("user", "M"),
    ];
    assert_eq!(told, expected);
    for (n, (status, body)) in [
        (401, json!({})),
        (429, json!({})),
        (200, json!({"choices": "none"})),
    ]
    .into_iter()
    .enumerate()
    {
        chat.bots.next(status, body);
        chat.chat(&format!("bad-{n}"), "x").await;
    }
    chat.bots.next(200, completion(" handover. "));
    chat.chat("2", "x").await;
    assert_eq!(chat.sent(), ["AI: M", "Menu", "Menu", "Menu"]);
    assert_eq!(
        chat.desk.callbell.changes()[0].0,
        "PATCH /v1/contacts/person"
    );
    chat.chat("3", "x").await;
    assert!(chat.state_of("3").await.1.starts_with("handed over at"));
    assert_eq!(chat.bots.asked().len(), 5, "nobody is asked any more");
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_a_refused_one_repeated_and_nobody_is_asked_twice() {
    let chat = Chat::with(HTTP).await;
    chat.desk.callbell.next([Reply::AcceptAndDrop]);
    chat.chat("1", "oi").await;
    assert_eq!(chat.state_of("1").await.0, Status::Uncertain);
    chat.minute(minutes(4)).await;
    assert_eq!(chat.state_of("1").await.0, Status::Sent);
    chat.desk.callbell.next([Reply::Refuse(503, "")]);
    chat.chat("2", "de novo").await;
    assert_eq!(chat.state_of("2").await.0, Status::Due);
    chat.minute(minutes(2)).await;
    assert_eq!(chat.state_of("2").await, state(Status::Sent, ""));
    assert_eq!(chat.sent(), ["Bot: oi", "Bot: de novo"]);
    assert_eq!(chat.bots.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_that_did_not_go_out_is_given_with_the_next() {
    let chat = Chat::with(HTTP).await;
    chat.desk.callbell.next([Reply::Refuse(503, "")]);
    chat.chat("1", "oi").await;
    chat.chat("2", "olá?").await;
    chat.minute(minutes(2)).await;
    assert_eq!(chat.sent(), ["Bot: oi+olá?"]);
    assert_eq!(chat.state_of("1").await, state(Status::Skipped, TOGETHER));
}

#[tokio::test]
async fn a_colleague_who_writes_while_a_backend_thinks_is_not_interrupted() {
    let chat = Chat::with(HTTP).await;
    chat.says("1", "oi").await;
    chat.plan().await;
    let rows = chat.lane().await;
    let late = Duration::from_millis(600);
    chat.bots.next_after(late, 200, json!({"say": "Bot"}));
    let worker = chat.reply();
    let deadline = chat.deadline();
    tokio::join!(worker.on_stream(rows, deadline), async {
        while chat.bots.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        let now = chat.desk.clock.now();
        chat.desk.receive(colleague("person", "a", now)).await;
        chat.plan().await;
    });
    assert_eq!(chat.sent().len(), 0);
    assert!(
        chat.state_of("1")
            .await
            .1
            .starts_with("a team member wrote at")
    );
}

#[tokio::test]
async fn a_slow_backend_delays_nobody_else() {
    let slow = "[reply.slow]\nbackend = \"http\"\nurl = \"https://slow.example.com/\"\ntimeout = \"2s\"\nsecret = \"other\"\n\
                [automation.slow]\non = \"message.received\"\nwhen = \"message.text == 'slow'\"\nreply = \"slow\"\n";
    let file = HTTP.replace(
        "on    = \"message.received\"\n",
        "on    = \"message.received\"\nwhen  = \"message.text != 'slow'\"\n",
    );
    let chat = Chat::with(&format!("{file}\n{slow}")).await;
    let now = chat.desk.clock.now();
    chat.receive("person", "1", now, "text", "slow").await;
    chat.plan().await;
    let first = chat.lane().await;
    let taken = first.clone();
    chat.bots
        .next_after(Duration::from_millis(1_000), 200, json!({"say": "at last"}));
    let worker = chat.reply();
    let deadline = chat.deadline();
    tokio::join!(worker.on_stream(first, deadline), async {
        while chat.bots.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        chat.receive("other", "2", now, "text", "fast").await;
        chat.plan().await;
        let mut rows = chat.lane().await;
        rows.retain(|row| !taken.contains(row));
        let worker = chat.reply();
        worker.on_stream(rows, chat.deadline()).await;
        assert_eq!(chat.sent(), ["Bot: fast"]);
    });
    assert_eq!(chat.sent(), ["Bot: fast", "at last"]);
}

/// How many sequences are tried, and how long they are at most.
const CASES: u32 = 12;
const STEPS_MAX: usize = 9;
/// More wake-ups than a run has: no crash.
const NEVER: u32 = 10_000;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// One of two persons writes so many messages, a second apart, which arrive in another order and twice.
    Burst(bool, u8, bool),
    /// A colleague writes to them.
    Colleague(bool),
    /// The conversation is closed.
    Close(bool),
    /// The chatbot gets its rows; the worker may crash.
    Chat(u32),
    /// Two of them get the same rows.
    TwoChats(u32, u32),
    /// The minute's sweep, after so many seconds.
    Minute(i64, u32),
    /// What Callbell does with the next send.
    Callbell(Reply),
}

fn step() -> impl Strategy<Value = Step> {
    let crash = || prop_oneof![2 => Just(NEVER), 2 => 0..90_u32];
    let reply = prop_oneof![
        2 => Just(Reply::AcceptAndDrop),
        1 => Just(Reply::Drop),
        2 => Just(Reply::Refuse(503, "")),
    ];
    prop_oneof![
        5 => (any::<bool>(), 1..4_u8, any::<bool>()).prop_map(|(who, count, turned)| Step::Burst(who, count, turned)),
        1 => any::<bool>().prop_map(Step::Colleague),
        1 => any::<bool>().prop_map(Step::Close),
        4 => crash().prop_map(Step::Chat),
        3 => (crash(), crash()).prop_map(|(one, other)| Step::TwoChats(one, other)),
        2 => (prop_oneof![Just(5_i64), Just(100), Just(240)], crash()).prop_map(|(s, crash)| Step::Minute(s, crash)),
        2 => reply.prop_map(Step::Callbell),
    ]
}

/// What a person's conversation has come to.
#[derive(Clone, Copy, Default)]
struct Side {
    written: usize,
    has_human: bool,
    /// Answers since it was closed last.
    turns: usize,
}

struct Worlds {
    chat: Chat,
    sides: [Side; 2],
    /// The burst that each message is of.
    bursts: Vec<Vec<String>>,
}

impl Worlds {
    fn person(who: bool) -> &'static str {
        if who { "person" } else { "other" }
    }

    async fn take(&mut self, step: Step) {
        let chat = &self.chat;
        let before = chat.desk.messages();
        let now = chat.desk.clock.now();
        match step {
            Step::Burst(who, count, turned) => {
                let mut burst = Vec::new();
                for n in 0..count {
                    let id = format!(
                        "{}-{}-{n}",
                        Self::person(who),
                        self.sides[usize::from(who)].written
                    );
                    burst.push((id, now + SignedDuration::from_secs(i64::from(n))));
                }
                self.sides[usize::from(who)].written += 1;
                if turned {
                    burst.reverse();
                }
                for (id, at) in burst.iter().chain(&burst) {
                    chat.receive(Self::person(who), id, *at, "text", "oi").await;
                }
                chat.plan().await;
                self.bursts
                    .push(burst.into_iter().map(|(id, _)| id).collect());
            }
            Step::Colleague(who) => {
                let id = format!("{}-{}", Self::person(who), now.as_millisecond());
                chat.desk
                    .receive(colleague(Self::person(who), &id, now))
                    .await;
                chat.plan().await;
                self.sides[usize::from(who)].has_human = true;
            }
            Step::Close(who) => {
                chat.desk.clock.advance(SignedDuration::from_secs(1));
                chat.desk
                    .receive(closed(Self::person(who), chat.desk.clock.now()))
                    .await;
                chat.plan().await;
                chat.desk.clock.advance(SignedDuration::from_secs(1));
                self.sides[usize::from(who)] = Side {
                    written: self.sides[usize::from(who)].written,
                    ..Side::default()
                };
            }
            Step::Chat(crash) => {
                let rows = chat.lane().await;
                crash_after(crash, chat.reply().on_stream(rows, chat.deadline())).await;
            }
            Step::TwoChats(one, other) => {
                let rows = chat.lane().await;
                let (first, second) = (chat.reply(), chat.reply());
                tokio::join!(
                    crash_after(one, first.on_stream(rows.clone(), chat.deadline())),
                    crash_after(other, second.on_stream(rows, chat.deadline())),
                );
            }
            Step::Minute(s, crash) => {
                chat.desk.clock.advance(SignedDuration::from_secs(s));
                crash_after(crash, chat.deliver().on_minute(chat.desk.deadline())).await;
            }
            Step::Callbell(reply) => chat.desk.callbell.next([reply]),
        }
        self.chat.desk.callbell.drain().await;
        self.count(before);
    }

    /// Nothing is said while a colleague is there, and only so often.
    fn count(&mut self, before: usize) {
        for body in self.chat.desk.callbell.sent().iter().skip(before) {
            let who = body["to"] == phone("person");
            let side = &mut self.sides[usize::from(who)];
            assert!(!side.has_human, "a colleague is there");
            side.turns += 1;
            assert!(side.turns <= 3, "{} answers", side.turns);
        }
    }

    async fn settle_down(&mut self) -> Vec<JobRow> {
        self.chat.desk.callbell.forget_script();
        for _ in 0..40 {
            let before = self.chat.desk.messages();
            self.chat.minute(minutes(4)).await;
            self.count(before);
            let jobs = self.chat.desk.jobs().await;
            if jobs.iter().all(|job| job.status.has_ended()) {
                return jobs;
            }
        }
        panic!("it never ends: {:?}", self.chat.desk.jobs().await)
    }

    fn check(&self, jobs: &[JobRow]) {
        let sent = self.chat.desk.callbell.sent();
        let messages = |job: &JobRow| {
            let of_job = |body: &&Value| body["metadata"]["job"] == job.id.as_str();
            sent.iter().filter(of_job).count()
        };
        for job in jobs {
            assert!(messages(job) <= 1, "{job:?}");
            if job.status != Status::Sent {
                assert!(job.reason.is_some(), "{job:?}");
            }
        }
        for burst in &self.bursts {
            let of_burst = |job: &&JobRow| burst.iter().any(|id| job.event == event_key(id));
            let answers: usize = jobs.iter().filter(of_burst).map(messages).sum();
            assert!(answers <= 1, "{answers} answers to one burst");
        }
    }
}

#[test]
fn any_interleaving_answers_each_burst_at_most_once_and_nobody_is_interrupted() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 40,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&prop::collection::vec(step(), 3..STEPS_MAX), |steps| {
            runtime.block_on(async {
                let mut worlds = Worlds {
                    chat: Chat::with(RULES).await,
                    sides: [Side::default(); 2],
                    bursts: Vec::new(),
                };
                Box::pin(worlds.take(Step::Burst(true, 2, true))).await;
                for step in steps {
                    Box::pin(worlds.take(step)).await;
                }
                let jobs = worlds.settle_down().await;
                worlds.check(&jobs);
            });
            Ok(())
        })
        .unwrap();
}
