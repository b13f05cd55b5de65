//! Typeform's API as far as forms are listed and their webhooks go.
//! <https://www.typeform.com/developers/webhooks/reference/create-or-update-webhook/>
//!
//! What an account may is in its token's name: one with `revoked` is none, with `reader` it may not write, with
//! `eu` it is good at the European address alone, with `many` it has several forms, with `empty` none.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::secrets::Secret;

use super::deliver::{self, Webhook};
use super::{Api, Reply, Request};

const HOST: &str = "api.typeform.com";
const EUROPE: &str = "api.eu.typeform.com";
/// Every form, by id and title; most accounts have the first alone.
const FORMS: [(&str, &str); 3] = [
    ("u6nXL7", "Quero saber mais"),
    ("k3PqR9", "Pesquisa"),
    ("zz0001", "Trabalhe conosco"),
];

/// The stand-in.
#[derive(Debug, Default)]
pub struct Typeform(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    made: u32,
    /// With their secrets, oldest first.
    webhooks: Vec<Value>,
}

impl Typeform {
    /// Switches every webhook off, as Typeform does on 404 and 410.
    pub fn disable_all(&self) {
        for webhook in &mut self.held().webhooks {
            set(webhook, "enabled", json!(false));
        }
    }

    /// Every webhook, with its secret, oldest first.
    pub fn webhooks(&self) -> Vec<Value> {
        self.held().webhooks.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, form: &str, tag: &str, body: &Value, now: Timestamp) -> Reply {
        let url = body.get("url").and_then(Value::as_str).unwrap_or_default();
        if !deliver::takes(url) {
            return refusal(400, "webhook_url_https_required");
        }
        let mut held = self.held();
        let is = |one: &Value| {
            one.get("form_id") == Some(&json!(form)) && one.get("tag") == Some(&json!(tag))
        };
        let known = held.webhooks.iter().position(is);
        let mut webhook = match known {
            Some(index) => held.webhooks.remove(index),
            None => {
                held.made += 1;
                json!({ "id": format!("01WH{:08}", held.made), "form_id": form, "tag": tag, "created_at": now })
            }
        };
        for name in ["url", "enabled", "secret", "event_types"] {
            if let Some(value) = body.get(name) {
                set(&mut webhook, name, value.clone());
            }
        }
        set(&mut webhook, "updated_at", json!(now));
        set(&mut webhook, "verify_ssl", json!(true));
        let number = held.made;
        held.webhooks.push(webhook.clone());
        if let Some(secret) = webhook.get("secret").and_then(Value::as_str) {
            let first = Webhook {
                kind: "typeform",
                url: url.to_owned(),
                secret: Secret::new(secret),
                headers: Vec::new(),
                body: answer(form, number, now),
            };
            first.post(now);
        }
        Reply::new(200, shown(&webhook))
    }

    fn delete(&self, form: &str, tag: &str) -> Reply {
        let mut held = self.held();
        let before = held.webhooks.len();
        let is = |one: &Value| {
            one.get("form_id") == Some(&json!(form)) && one.get("tag") == Some(&json!(tag))
        };
        held.webhooks.retain(|one| !is(one));
        if held.webhooks.len() < before {
            Reply::new(204, Value::Null)
        } else {
            refusal(404, "WEBHOOK_NOT_FOUND")
        }
    }

    fn list(&self, form: &str) -> Reply {
        let held = self.held();
        let of_form = held
            .webhooks
            .iter()
            .filter(|one| one.get("form_id") == Some(&json!(form)));
        let items: Vec<Value> = of_form.map(shown).collect();
        Reply::new(200, json!({ "items": items }))
    }
}

impl Api for Typeform {
    fn name(&self) -> &'static str {
        "typeform"
    }

    fn is_at(&self, host: &str) -> bool {
        [HOST, EUROPE].contains(&host)
    }

    fn answer(&self, request: &Request, now: Timestamp) -> Reply {
        let token = request.header("authorization").unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        let is_here = token.contains("eu") == (request.host == EUROPE);
        if token.is_empty() || token.contains("revoked") || !is_here {
            return refusal(401, "AUTHENTICATION_FAILED");
        }
        if token.contains("reader") && request.method != Method::GET {
            return refusal(403, "FORBIDDEN");
        }
        let forms = forms(token);
        let parts = request.parts();
        match (&request.method, parts.as_slice()) {
            (&Method::GET, ["forms"]) => page(request, forms),
            (_, ["forms", form, "webhooks", ..]) if forms.iter().all(|(id, _)| id != form) => {
                refusal(404, "FORM_NOT_FOUND")
            }
            (&Method::GET, ["forms", form, "webhooks"]) => self.list(form),
            (&Method::PUT, ["forms", form, "webhooks", tag]) => {
                self.put(form, tag, &request.body, now)
            }
            (&Method::DELETE, ["forms", form, "webhooks", tag]) => self.delete(form, tag),
            _ => refusal(404, "NOT_FOUND"),
        }
    }
}

/// The forms of a token's account.
fn forms(token: &str) -> &'static [(&'static str, &'static str)] {
    let [first, ..] = &FORMS;
    match token {
        many if many.contains("many") => &FORMS,
        empty if empty.contains("empty") => &[],
        _ => std::slice::from_ref(first),
    }
}

/// A page has two forms whatever was asked, so that there is a second one to be read.
fn page(request: &Request, forms: &[(&str, &str)]) -> Reply {
    const FORMS_A_PAGE: usize = 2;
    let page = request.query("page").and_then(|page| page.parse().ok());
    let page: usize = page.unwrap_or(1);
    let start = page.saturating_sub(1).saturating_mul(FORMS_A_PAGE);
    let of_page = forms.iter().skip(start).take(FORMS_A_PAGE);
    let items: Vec<Value> = of_page
        .map(|(id, title)| json!({ "id": id, "title": title, "last_updated_at": "2026-03-01T12:00:00Z" }))
        .collect();
    let pages = forms.len().div_ceil(FORMS_A_PAGE);
    Reply::new(
        200,
        json!({ "total_items": forms.len(), "page_count": pages, "items": items }),
    )
}

/// As Typeform shows it: without its secret.
fn shown(webhook: &Value) -> Value {
    let mut webhook = webhook.clone();
    if let Some(fields) = webhook.as_object_mut() {
        fields.remove("secret");
    }
    webhook
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::new(
        status,
        json!({ "code": code, "description": code.to_lowercase() }),
    )
}

fn set(webhook: &mut Value, field: &str, value: Value) {
    if let Some(fields) = webhook.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

/// Somebody fills in the form.
fn answer(form: &str, number: u32, now: Timestamp) -> Value {
    let begun = now
        .saturating_sub(SignedDuration::from_mins(2))
        .unwrap_or(now);
    json!({
        "event_id": format!("01EV{number:08}"), "event_type": "form_response",
        "form_response": {
            "form_id": form, "token": format!("first{number:08}{}", now.as_second()), "landed_at": begun, "submitted_at": now,
            "definition": { "id": form, "title": "Quero saber mais", "fields": [
                { "id": "f1", "ref": "nome", "type": "short_text", "title": "Qual é o seu nome?", "properties": {} },
                { "id": "f2", "ref": "telefone", "type": "phone_number", "title": "Seu WhatsApp?", "properties": {} },
            ] },
            "answers": [
                { "type": "text", "text": "Maria da Silva", "field": { "id": "f1", "type": "short_text", "ref": "nome" } },
                { "type": "phone_number", "phone_number": "+5511987654321",
                  "field": { "id": "f2", "type": "phone_number", "ref": "telefone" } },
            ],
        },
    })
}
