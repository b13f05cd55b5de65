//! The stand-in Callbell over HTTP: token, answers, faults, history, restart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use cli::dev::{CALLBELL_PATH, Dev, Settings};
use serde_json::{Value, json};

async fn start(data: Option<&Path>) -> Dev {
    let settings = Settings {
        data: data.map(Path::to_owned),
        ..Settings::default()
    };
    Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap()
}

fn template_message(number: u32) -> Value {
    json!({
        "to": "+5511987654321", "from": "whatsapp", "type": "text", "content": {},
        "channel_uuid": "c".repeat(32), "template_uuid": "a".repeat(32), "optin_contact": true,
        "template_values": [format!("#{number}"), "x"], "metadata": { "job": number.to_string() },
        "fields": "contact",
    })
}

struct Http {
    client: reqwest::Client,
    base: String,
}

impl Http {
    fn of(dev: &Dev) -> Http {
        Http {
            client: reqwest::Client::new(),
            base: dev.url(),
        }
    }

    async fn api(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(u16, Value)> {
        let url = format!("{}{CALLBELL_PATH}{path}", self.base);
        let request = self.client.request(method.parse().unwrap(), url);
        let request = request.bearer_auth("demo-callbell-token");
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }

    async fn send(&self, number: u32) -> reqwest::Result<(u16, Value)> {
        self.api("POST", "/messages/send", Some(template_message(number)))
            .await
    }

    async fn get(&self, path: &str) -> Value {
        let response = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self
            .client
            .post(format!("{}{path}", self.base))
            .json(&body)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

#[tokio::test]
async fn an_accepted_message_is_listed_and_stands_in_the_history() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let (status, answer) = http.send(1).await.unwrap();
    assert_eq!(status, 200);
    let uuid = answer["message"]["uuid"].as_str().unwrap().to_owned();
    assert!(
        uuid.len() == 32 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{uuid}"
    );
    assert_eq!(answer["message"]["status"], "enqueued");
    assert!(
        answer["message"]["contact"].is_array(),
        "an array, as the real API answers"
    );
    let messages = http.get("/_dev/messages").await;
    assert_eq!(messages[0]["uuid"], uuid.as_str());
    assert_eq!(messages[0]["body"]["metadata"]["job"], "1");
    assert!(messages[0]["at"].is_string());
    http.send(2).await.unwrap();
    let (_, contact) = http
        .api("GET", "/contacts/phone/+5511987654321", None)
        .await
        .unwrap();
    let contact = contact["contact"][0]["uuid"].as_str().unwrap().to_owned();
    let (_, history) = http
        .api("GET", &format!("/contacts/{contact}/messages?page=1"), None)
        .await
        .unwrap();
    assert_eq!(
        history["messages"][1]["uuid"],
        uuid.as_str(),
        "newest first"
    );
    assert_eq!(history["messages"][1]["status"], "sent");
    assert_eq!(history["meta"], json!({ "page": 1, "pages": 1 }));
}

#[tokio::test]
async fn the_token_is_asked_for_and_what_is_unknown_is_not_found() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let url = format!("{}{CALLBELL_PATH}/auth/me", dev.url());
    let refused = http
        .client
        .get(&url)
        .bearer_auth("other")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(
        refused.json::<Value>().await.unwrap(),
        json!({ "error": "not authorized" })
    );
    assert_eq!(http.api("GET", "/auth/me", None).await.unwrap().0, 200);
    assert_eq!(
        http.api("GET", "/contacts/phone/+391234567890", None)
            .await
            .unwrap()
            .0,
        404
    );
    assert_eq!(
        http.api("GET", "/teams", None).await.unwrap().1["teams"],
        json!([])
    );
    let requests = http.get("/_dev/requests").await;
    assert_eq!(requests.as_array().unwrap().len(), 4);
    assert_eq!(requests[0]["status"], 401);
}

#[tokio::test]
async fn the_24_hour_rule_follows_the_window() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let text = json!({
        "to": "+5511987654321", "from": "whatsapp", "type": "text", "content": { "text": "Oi" },
        "channel_uuid": "c".repeat(32),
    });
    assert_eq!(
        http.api("POST", "/messages/send", Some(text.clone()))
            .await
            .unwrap()
            .0,
        422
    );
    dev.stand_in().set_window("+5511987654321", true).unwrap();
    let (status, _) = http
        .api("POST", "/messages/send", Some(text.clone()))
        .await
        .unwrap();
    assert_eq!(status, 200);
    dev.clock().advance(jiff::SignedDuration::from_hours(25));
    assert_eq!(
        http.api("POST", "/messages/send", Some(text))
            .await
            .unwrap()
            .0,
        422
    );
    assert_eq!(http.get("/_dev/messages").await[0]["text"], "Oi");
}

#[tokio::test]
async fn faults_meet_sends_as_often_as_told() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let (status, left) = http
        .post(
            "/_dev/faults",
            json!({ "callbell": [
                { "kind": "status", "status": 503, "times": 2 },
                { "kind": "drop_after_accept", "times": 1 },
                { "kind": "accept_then_status", "status": 502, "times": 1 },
                { "kind": "delay", "ms": 30, "times": 1 },
                { "kind": "out_of_credit", "times": 1 },
            ]}),
        )
        .await;
    assert_eq!((status, left["left"].as_u64()), (200, Some(6)));
    assert_eq!(http.send(1).await.unwrap().0, 503);
    assert_eq!(http.send(2).await.unwrap().0, 503);
    assert!(http.send(3).await.is_err(), "no answer at all");
    assert_eq!(http.send(4).await.unwrap().0, 502);
    let started = std::time::Instant::now();
    assert_eq!(http.send(5).await.unwrap().0, 200);
    assert!(started.elapsed().as_millis() >= 30);
    let (status, body) = http.send(6).await.unwrap();
    assert_eq!(
        (status, body["code"].as_str()),
        (402, Some("whatsapp_wallet_depleted_credit"))
    );
    assert_eq!(http.send(7).await.unwrap().0, 200);
    let messages = http.get("/_dev/messages").await;
    let jobs: Vec<&str> = messages
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["body"]["metadata"]["job"].as_str().unwrap())
        .collect();
    assert_eq!(
        jobs,
        ["3", "4", "5", "7"],
        "what was accepted, whatever was answered"
    );
    let refused = http
        .post("/_dev/faults", json!({ "callbell": [{ "kind": "flood" }] }))
        .await;
    assert_eq!(refused.0, 400);
}

#[tokio::test]
async fn messages_and_clock_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let dev = start(Some(folder.path())).await;
    let http = Http::of(&dev);
    http.send(1).await.unwrap();
    let (status, moved) = http.post("/_dev/clock", json!({ "advance": "25h" })).await;
    assert_eq!(status, 200);
    drop(dev);
    let journal = folder.path().join("callbell.jsonl");
    let mut cut_off = std::fs::read(&journal).unwrap();
    cut_off.extend_from_slice(b"{\"message\":{\"uuid\":\"12");
    std::fs::write(&journal, cut_off).unwrap();
    let dev = start(Some(folder.path())).await;
    let http = Http::of(&dev);
    http.send(2).await.unwrap();
    drop(dev);
    let dev = start(Some(folder.path())).await;
    let http = Http::of(&dev);
    assert_eq!(
        http.get("/_dev/messages").await.as_array().unwrap().len(),
        2
    );
    let now: jiff::Timestamp = http.get("/_dev/clock").await["now"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let then: jiff::Timestamp = moved["now"].as_str().unwrap().parse().unwrap();
    assert!(
        now >= then && now.duration_since(then).as_secs() < 600,
        "{then} {now}"
    );
}

#[tokio::test]
async fn only_this_machine_by_its_own_name() {
    let dev = start(None).await;
    let client = reqwest::Client::new();
    let url = format!("{}/_dev/messages", dev.url());
    let other = client
        .get(&url)
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(other.status(), 403);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
    let unknown = client
        .get(format!("{}/nothing", dev.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn people_are_kept_noted_paged_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let dev = start(Some(folder.path())).await;
    let http = Http::of(&dev);
    http.send(1).await.unwrap();
    for number in 0..51 {
        let body = json!({
            "identifier": format!("+55119000000{number:02}"), "source": "whatsapp", "name": format!("P {number}"),
            "channel_uuid": "c".repeat(32),
        });
        let (status, made) = http
            .api("POST", "/contacts", Some(body.clone()))
            .await
            .unwrap();
        assert_eq!(status, 201, "{made}");
        assert!(
            made["contact"].is_array(),
            "an array, as the real API answers"
        );
        if number == 0 {
            let (status, again) = http.api("POST", "/contacts", Some(body)).await.unwrap();
            assert_eq!(status, 422);
            assert!(again["error"]["identifier"].is_array(), "{again}");
        }
    }
    let (_, first) = http.api("GET", "/contacts", None).await.unwrap();
    let next = first["meta"]["next"].as_str().unwrap();
    let (_, second) = http
        .api("GET", &format!("/contacts?after={next}"), None)
        .await
        .unwrap();
    let names = |page: &Value| page["contacts"].as_array().unwrap().len();
    assert_eq!((names(&first), names(&second)), (50, 2));
    assert_eq!(second["meta"]["next"], Value::Null);

    let uuid = first["contacts"][0]["uuid"].as_str().unwrap().to_owned();
    let note = format!("/contacts/{uuid}/conversation/note");
    let (status, _) = http.api("POST", &note, Some(json!({}))).await.unwrap();
    assert_eq!(status, 422);
    let noted = http.api("POST", &note, Some(json!({"text": "n"}))).await;
    assert_eq!(noted.unwrap(), (200, json!({"success": true})));
    let bot = format!("/contacts/{uuid}/bot");
    let (_, ended) = http
        .api("POST", &bot, Some(json!({"status": "bot_end"})))
        .await
        .unwrap();
    assert_eq!(ended["bot"]["status"], "ended");
    drop(dev);

    let dev = start(Some(folder.path())).await;
    let http = Http::of(&dev);
    let history = format!("/contacts/{uuid}/messages");
    let (_, lines) = http.api("GET", &history, None).await.unwrap();
    let lines = lines["messages"].as_array().unwrap().clone();
    let statuses: Vec<&Value> = lines.iter().map(|line| &line["status"]).collect();
    assert_eq!(statuses, ["note", "sent"], "newest first");
    assert_eq!(
        http.api("GET", &bot, None).await.unwrap().1["bot"]["status"],
        "ended"
    );
    let one = format!("/contacts/{uuid}");
    assert_eq!(http.api("DELETE", &one, None).await.unwrap().0, 200);
    assert_eq!(http.api("GET", &one, None).await.unwrap().0, 404);
    let told = dev.stand_in().told();
    assert_eq!(
        told,
        [json!({"event": "contact_deleted", "payload": {"uuid": uuid, "deleted": true}})]
    );
}

#[tokio::test]
async fn every_system_of_the_stand_ins_can_fail_and_shows_its_records() {
    let dev = start(None).await;
    let http = Http::of(&dev);
    let records = http.get("/_dev/records").await;
    for system in [
        "hubspot",
        "pipedrive",
        "salesforce",
        "mailchimp",
        "zendesk",
        "intercom",
    ] {
        assert_eq!(records[system], json!([]), "{system}");
    }
    let fault = json!({ "kind": "limited", "retry_after": 7 });
    let faults = json!({ "hubspot": [fault], "callbell": [] });
    assert_eq!(
        http.post("/_dev/faults", faults).await,
        (200, json!({ "left": 1 }))
    );
    for wrong in [
        json!({ "fax": [{ "kind": "race" }] }),
        json!({ "callbell": [{ "kind": "race" }] }),
        json!({ "hubspot": [{ "kind": "out_of_credit" }] }),
        json!({ "hubspot": [{ "kind": "limited", "status": 200, "retry_after": 1 }] }),
        json!({ "hubspot": {} }),
    ] {
        let (status, _) = http.post("/_dev/faults", wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}");
    }
    let url = format!("{}/_apis/api.hubapi.com/crm/v3/objects/contacts", dev.url());
    let make = async || {
        let body = json!({ "properties": { "firstname": "Maria" } });
        let request = http
            .client
            .post(&url)
            .bearer_auth("pat-eu1-demo")
            .json(&body);
        request.send().await.unwrap()
    };
    let limited = make().await;
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    assert_eq!(make().await.status().as_u16(), 201);
    let records = http.get("/_dev/records").await;
    assert_eq!(records["hubspot"][0]["properties"]["firstname"], "Maria");
}
