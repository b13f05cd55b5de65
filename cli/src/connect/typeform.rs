//! Typeform's webhooks, with a personal access token. Each form has its own, called by a tag of whoever makes
//! it: making it again changes it, so one request registers and replaces.
//! <https://www.typeform.com/developers/webhooks/reference/create-or-update-webhook/>

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::event::Name;
use shared::secrets::Secret;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, Topic, ask, settled,
    unexpected,
};
use crate::error::CliError;

const TITLE: &str = "Typeform";
/// Accounts that keep their answers in Europe have an address of their own, and a token is good at one of them.
/// <https://www.typeform.com/developers/get-started/>
const HOSTS: [&str; 2] = ["api.typeform.com", "api.eu.typeform.com"];
/// Forms a page, the most that Typeform gives.
const PAGE: &str = "200";
/// Most forms whose webhooks are looked at where nobody says which form.
const FORMS_MAX: usize = 100;
/// Most forms that a sentence lists.
const FORMS_TOLD_MAX: usize = 10;
/// Digits of the address's digest that a tag has: two stacks at one form do not take each other's webhook.
const TAG_DIGITS: usize = 10;
/// What Typeform tells where it is not said otherwise.
const COMPLETE: &str = "form_response";

/// An answer that is still being written is told only to who asks for it, and nobody does.
const TOPICS: &[Topic] = &[Topic {
    name: COMPLETE,
    events: &[Name::FormSubmitted],
    always: true,
}];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "typeform"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Typeform: no page of its shows it. Whoever makes the webhook chooses it: callbell connect typeform makes one."
    }

    fn provoke(&self) -> &'static str {
        "fill in the form"
    }

    fn questions(&self) -> &'static [&'static str] {
        &[
            "personal access token (Typeform: your picture, Account, Personal tokens; scopes forms:read, webhooks:read, webhooks:write)",
        ]
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Ok(Box::new(Typeform {
            apis: asked.apis.clone(),
            token: credential.clone(),
            form: options.form.as_deref().map(form_id),
        }))
    }
}

/// The id at the end of a form's address, or the id itself.
fn form_id(text: &str) -> String {
    let address = text.split(['?', '#']).next().unwrap_or_default();
    let last = address.trim_end_matches('/').rsplit('/').next();
    last.unwrap_or_default().to_owned()
}

/// The API of one account.
struct Typeform {
    apis: Apis,
    token: Secret,
    /// `--form`.
    form: Option<String>,
}

/// A form of the account.
struct Form {
    id: String,
    title: String,
}

impl Typeform {
    /// A token that one address does not know is shown to the other.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let mut refused = None;
        for host in HOSTS {
            let call = Call {
                method: method.clone(),
                host,
                path,
                query,
                auth: Auth::Bearer(self.token.expose()),
                body: body.map_or(Body::None, Body::Json),
            };
            match ask(TITLE, &self.apis, &call).await {
                Ok(reply) if reply.status == 401 => refused = refused.or(Some(reply)),
                Err(failure) if refused.is_none() => return Err(failure),
                Err(_) => break,
                Ok(reply) => return settled(TITLE, reply),
            }
        }
        match refused {
            Some(reply) => settled(TITLE, reply),
            None => Err(Failure::Credential(TITLE)),
        }
    }

    /// `GET /forms`, all pages.
    async fn forms(&self) -> Result<Vec<Form>, Failure> {
        let mut forms = Vec::new();
        for page in 1..=PAGES_MAX {
            let query = [("page", page.to_string()), ("page_size", PAGE.to_owned())];
            let reply = self.call(Method::GET, &["forms"], &query, None).await?;
            if !reply.is_success() {
                return Err(self.refused(&reply));
            }
            let json = reply.json();
            let items = json.get("items").and_then(Value::as_array);
            forms.extend(items.into_iter().flatten().filter_map(form));
            let pages = json.get("page_count").and_then(Value::as_u64);
            if pages.is_none_or(|pages| pages <= u64::try_from(page).unwrap_or(u64::MAX)) {
                break;
            }
        }
        Ok(forms)
    }

    /// `GET /forms/{form_id}/webhooks`.
    async fn hooks_of(&self, form: &str) -> Result<Vec<Hook>, Failure> {
        let path = ["forms", form, "webhooks"];
        let reply = self.call(Method::GET, &path, &[], None).await?;
        if reply.status == 404 {
            return Err(self.no_form(form).await);
        }
        if !reply.is_success() {
            return Err(self.refused(&reply));
        }
        let json = reply.json();
        let items = json.get("items").and_then(Value::as_array);
        let hooks = items.into_iter().flatten();
        Ok(hooks.filter_map(|json| hook(form, json)).collect())
    }

    /// The form to connect: the one that was named, or the only one.
    async fn chosen(&self) -> Result<String, Failure> {
        if let Some(form) = &self.form {
            return Ok(form.clone());
        }
        let forms = self.forms().await?;
        match forms.as_slice() {
            [only] => Ok(only.id.clone()),
            [] => Err(Failure::other(
                "this account has no form",
                "make one, publish it, then this command again",
            )),
            [first, ..] => Err(Failure::other(
                format!("which form? There are {}", told(&forms)),
                format!(
                    "--form {}, or its address; each is connected by itself",
                    first.id
                ),
            )),
        }
    }

    async fn no_form(&self, form: &str) -> Failure {
        let what = format!("{TITLE} has no form \"{form}\"");
        match self.forms().await {
            Ok(forms) if !forms.is_empty() => {
                Failure::other(what, format!("there are {}", told(&forms)))
            }
            _ => Failure::other(what, "its id is the last part of its address"),
        }
    }

    /// `PUT /forms/{form_id}/webhooks/{tag}`.
    async fn put(&self, form: &str, tag: &str, new: &New<'_>) -> Result<(), Failure> {
        let body = json!({
            "url": new.url, "enabled": true, "secret": new.secret.expose(),
            "event_types": { COMPLETE: true, "form_response_partial": false },
        });
        let path = ["forms", form, "webhooks", tag];
        let reply = self.call(Method::PUT, &path, &[], Some(&body)).await?;
        match reply.status {
            404 => Err(self.no_form(form).await),
            _ if reply.is_success() => Ok(()),
            _ => Err(self.refused(&reply)),
        }
    }

    /// What Typeform says about itself stands in `code` and `description`.
    fn refused(&self, reply: &Reply) -> Failure {
        let json = reply.json();
        let code = json.get("code").and_then(Value::as_str).unwrap_or_default();
        match (reply.status, code) {
            (403, _) => Failure::other(
                "Typeform does not allow this token to do that (403)",
                "a personal token has scopes: forms:read, webhooks:read and webhooks:write",
            ),
            (400, "webhook_url_https_required") => Failure::other(
                "Typeform posts to https alone (400)",
                "connect the stack on AWS; a development server is no address for it",
            ),
            _ => unexpected(TITLE, reply),
        }
    }
}

impl Provider for Typeform {
    fn scope(&self) -> Option<&str> {
        self.form.as_deref()
    }

    /// Of the form that was named; else of all.
    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            if let Some(form) = &self.form {
                return self.hooks_of(form).await;
            }
            let mut hooks = Vec::new();
            for form in self.forms().await?.iter().take(FORMS_MAX) {
                hooks.extend(self.hooks_of(&form.id).await?);
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let form = self.chosen().await?;
            self.put(&form, &tag(new.url), new).await
        })
    }

    fn replace<'a>(&'a self, id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            match id.split_once('/') {
                Some((form, tag)) => self.put(form, tag, new).await,
                None => self.register(new).await,
            }
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let (form, tag) = id.split_once('/').unwrap_or((id, ""));
            let path = ["forms", form, "webhooks", tag];
            let reply = self.call(Method::DELETE, &path, &[], None).await?;
            match reply.status {
                404 => Ok(()),
                _ if reply.is_success() => Ok(()),
                _ => Err(self.refused(&reply)),
            }
        })
    }
}

/// The same address has the same tag.
fn tag(url: &str) -> String {
    let digest = hex::encode(Sha256::digest(url.as_bytes()));
    let digits: String = digest.chars().take(TAG_DIGITS).collect();
    format!("callbell-{digits}")
}

/// `u6nXL7 (Contato), …`.
fn told(forms: &[Form]) -> String {
    let one = |form: &Form| format!("{} ({})", form.id, form.title);
    let mut list: Vec<String> = forms.iter().take(FORMS_TOLD_MAX).map(one).collect();
    if forms.len() > FORMS_TOLD_MAX {
        list.push("…".to_owned());
    }
    list.join(", ")
}

fn form(json: &Value) -> Option<Form> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    Some(Form {
        id: text("id")?.to_owned(),
        title: text("title").unwrap_or_default().to_owned(),
    })
}

/// Its id is the form's and the tag: what Typeform's API knows it by.
fn hook(form: &str, json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let topics = match json.get("event_types").and_then(Value::as_object) {
        Some(types) => {
            let on = types.iter().filter(|(_, is_on)| **is_on == json!(true));
            on.map(|(name, _)| name.clone()).collect()
        }
        None => vec![COMPLETE.to_owned()],
    };
    let is_on = json.get("enabled") == Some(&json!(true));
    Some(Hook {
        id: format!("{form}/{}", text("tag")?),
        url: text("url")?.to_owned(),
        topics,
        off: (!is_on).then(|| "disabled".to_owned()),
        scope: Some(form.to_owned()),
        failing: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_named_by_its_id_or_its_address() {
        for text in [
            "u6nXL7",
            "https://form.typeform.com/to/u6nXL7",
            "https://minha.typeform.com/to/u6nXL7/?utm_source=x#y",
        ] {
            assert_eq!(form_id(text), "u6nXL7", "{text}");
        }
    }
}
