//! A bot as docs/chatbot.md describes one, at any host that is asked what a bot is asked: it says what it was
//! told, and does something else where the person's last words ask for it: `human`, `ignore`, `menu`,
//! `garbage`.

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Api, Reply, Request};

const HOST: &str = "bot.example.com";
/// How old a signature may be.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The stand-in.
#[derive(Debug, Default)]
pub struct HttpBot;

impl Api for HttpBot {
    fn name(&self) -> &'static str {
        "http-bot"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn takes(&self, request: &Request) -> bool {
        self.is_at(&request.host) || request.body.pointer("/data/reply").is_some()
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if request.method != Method::POST {
            return Reply::new(405, Value::Null);
        }
        if !is_signed(request, now) {
            return Reply::new(401, json!({"error": "not signed"}));
        }
        let messages = request.body.pointer("/data/messages");
        let last = messages
            .and_then(Value::as_array)
            .and_then(|messages| messages.last());
        let Some(last) = last else {
            return Reply::new(400, json!({"error": "no message"}));
        };
        let text = last.get("text").and_then(Value::as_str).unwrap_or_default();
        let said = text.to_lowercase();
        Reply::new(
            200,
            if said.contains("human") {
                json!({"handover": true, "say": "Somebody will answer here.", "note": "asked the bot for a person"})
            } else if said.contains("ignore") {
                json!({"ignore": true})
            } else if said.contains("menu") {
                json!({"say_message": "menu"})
            } else if said.contains("garbage") {
                json!({"answer": 42})
            } else {
                json!({"say": format!("You wrote: {text}")})
            },
        )
    }
}

/// Whether the three headers of Standard Webhooks are there and of now. Which secret it is nobody told.
fn is_signed(request: &Request, now: Timestamp) -> bool {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let time: i64 = header("webhook-timestamp").parse().unwrap_or_default();
    let Ok(time) = Timestamp::from_second(time) else {
        return false;
    };
    !header("webhook-id").is_empty()
        && header("webhook-signature").starts_with("v1,")
        && now.duration_since(time).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn it_says_what_it_was_told() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut headers = HeaderMap::new();
        let pairs = [
            ("webhook-id", "j".to_owned()),
            ("webhook-timestamp", now.as_second().to_string()),
            ("webhook-signature", "v1,x".to_owned()),
        ];
        for (name, value) in pairs {
            headers.insert(name, value.parse().unwrap());
        }
        let ask = |text: &str, headers: &HeaderMap, now: Timestamp| {
            let request = Request {
                host: HOST.to_owned(),
                method: Method::POST,
                path: vec!["hook".to_owned()],
                query: Vec::new(),
                headers: headers.clone(),
                body: json!({"data": {"messages": [{"text": "before"}, {"text": text}]}}),
            };
            HttpBot.answer(&request, now)
        };
        let reply = ask("Oi", &headers, now);
        assert_eq!(
            (reply.status, reply.body),
            (200, json!({"say": "You wrote: Oi"}))
        );
        assert_eq!(ask("a HUMAN please", &headers, now).body["handover"], true);
        assert_eq!(ask("ignore this", &headers, now).body["ignore"], true);
        assert_eq!(ask("menu", &headers, now).body["say_message"], "menu");
        assert_eq!(ask("garbage", &headers, now).body["answer"], 42);
        assert_eq!(ask("Oi", &HeaderMap::new(), now).status, 401);
        let late = now + SignedDuration::from_mins(6);
        assert_eq!(ask("Oi", &headers, late).status, 401);
    }
}
