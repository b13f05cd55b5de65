//! OpenAI's chat endpoint with a canned model: it repeats what the person said, and does something else where
//! their last words ask for it: `human`, `tool`, `long`, `refuse`, `garbage`.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Api, Reply, Request, room};

const HOST: &str = "api.openai.com";

/// The stand-in.
#[derive(Debug, Default)]
pub struct OpenAi;

impl Api for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn is_at(&self, host: &str) -> bool {
        host == HOST
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        if request.method != Method::POST || request.parts() != ["v1", "chat", "completions"] {
            return failed(404, "Unknown request URL");
        }
        if !is_authorized(request) {
            return failed(401, "Incorrect API key provided");
        }
        let (Some(model), Some(asked)) = (text(&request.body, "model"), last(&request.body)) else {
            return failed(400, "you must provide a model and messages");
        };
        if request.body.get("max_tokens").is_some() {
            return failed(
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            );
        }
        let said = asked.to_lowercase();
        if said.contains("garbage") {
            return Reply::new(200, json!({"choices": "none"}));
        }
        let (finish, message) = if said.contains("human") {
            ("stop", json!({"content": "HANDOVER"}))
        } else if said.contains("tool") {
            let call = json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
            ("tool_calls", json!({"content": null, "tool_calls": [call]}))
        } else if said.contains("long") {
            ("length", json!({"content": "A whole sentence. Half a"}))
        } else if said.contains("refuse") {
            (
                "stop",
                json!({"content": null, "refusal": "I can't help with that."}),
            )
        } else {
            ("stop", json!({"content": format!("You said: {asked}")}))
        };
        let mut message = message;
        if let Some(message) = message.as_object_mut() {
            message.insert("role".to_owned(), json!("assistant"));
        }
        Reply::new(
            200,
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": now.as_second(), "model": model,
                "choices": [{"index": 0, "finish_reason": finish, "message": message, "logprobs": null}],
                "usage": {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28},
            }),
        )
    }
}

fn is_authorized(request: &Request) -> bool {
    room::bearer(request).is_some_and(|token| !token.is_empty() && !token.contains("revoked"))
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// What the person said last.
fn last(body: &Value) -> Option<&str> {
    let last = body.get("messages")?.as_array()?.last()?;
    (text(last, "role")? == "user").then(|| text(last, "content"))?
}

fn failed(status: u16, message: &str) -> Reply {
    Reply::new(
        status,
        json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn ask(body: Value, token: &str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        let request = Request {
            host: HOST.to_owned(),
            method: Method::POST,
            path: ["v1", "chat", "completions"].map(str::to_owned).to_vec(),
            query: Vec::new(),
            headers,
            body,
        };
        OpenAi.answer(&request, "2026-11-22T12:00:00Z".parse().unwrap())
    }

    fn body(text: &str) -> Value {
        json!({"model": "gpt-4o-mini", "messages": [
            {"role": "system", "content": "s"}, {"role": "user", "content": text},
        ]})
    }

    #[test]
    fn it_answers_as_the_real_one_does() {
        let content = |reply: &Reply| reply.body["choices"][0]["message"]["content"].clone();
        assert_eq!(content(&ask(body("Oi"), "sk")), "You said: Oi");
        assert_eq!(content(&ask(body("a human, please"), "sk")), "HANDOVER");
        assert_eq!(
            ask(body("long"), "sk").body["choices"][0]["finish_reason"],
            "length"
        );
        assert!(ask(body("tool"), "sk").body["choices"][0]["message"]["tool_calls"].is_array());
        assert!(ask(body("refuse"), "sk").body["choices"][0]["message"]["refusal"].is_string());
        assert_eq!(ask(body("garbage"), "sk").body["choices"], "none");
        for (body, token, status) in [
            (body("Oi"), "", 401),
            (body("Oi"), "revoked", 401),
            (json!({"model": "m", "messages": []}), "sk", 400),
            (
                json!({"messages": [{"role": "user", "content": "x"}]}),
                "sk",
                400,
            ),
            (
                json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}),
                "sk",
                400,
            ),
            (
                json!({"model": "m", "messages": [{"role": "assistant", "content": "x"}]}),
                "sk",
                400,
            ),
        ] {
            assert_eq!(ask(body, token).status, status);
        }
    }
}
