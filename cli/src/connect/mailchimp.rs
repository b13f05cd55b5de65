//! Mailchimp's webhooks, one an audience and address, with an API key.
//! <https://mailchimp.com/developer/marketing/api/list-webhooks/>
//!
//! The address is asked by GET before Mailchimp takes it. Every switch is set, so that no default decides: what an
//! automation waits for; subscribers and colleagues as causes, and the API not, or our own writes would come back. A
//! person who ticks "via the API" on Mailchimp's own page, because other programs add contacts there, is left alone
//! until the webhook has to change.

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use shared::event::Name;
use shared::secrets::Secret;
use shared::sources::KEY;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, Topic, ask, settled,
    unexpected,
};
use crate::error::CliError;

const TITLE: &str = "Mailchimp";
const DOMAIN: &str = ".api.mailchimp.com";
/// Audiences a page.
const PAGE: usize = 100;
/// Longest name of a data centre: `us21`.
const CENTRE_CHARS_MAX: usize = 10;
/// Most audiences whose webhooks are looked at.
const AUDIENCES_MAX: usize = 50;
/// Between an audience's id and a webhook's.
const BETWEEN: char = '.';
/// What a user may be called beside an API key: anything.
const USER: &str = "callbell-serverless";
/// What Mailchimp can tell of. The last two nobody needs.
const EVENTS: [&str; 6] = [
    "subscribe",
    "profile",
    "upemail",
    "unsubscribe",
    "cleaned",
    "campaign",
];
/// Whose doing is told: `api` is ours.
const CAUSES: [(&str, bool); 3] = [("user", true), ("admin", true), ("api", false)];

const TOPICS: &[Topic] = &[
    Topic {
        name: "subscribe",
        events: &[Name::LeadCreated],
        always: true,
    },
    Topic {
        name: "profile",
        events: &[Name::LeadUpdated],
        always: false,
    },
    Topic {
        name: "upemail",
        events: &[Name::LeadUpdated],
        always: false,
    },
    Topic {
        name: "unsubscribe",
        events: &[Name::LeadUpdated],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "mailchimp"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Mailchimp: the key at the end of the address, ?key=…: callbell connect mailchimp makes it. Where Mailchimp signs\n\
             # too, a value sign:… with what it showed once."
    }

    fn provoke(&self) -> &'static str {
        "add a contact to the audience, or fill in its form"
    }

    fn questions(&self) -> &'static [&'static str] {
        &["API key (Mailchimp: Profile, Extras, API keys; it ends in the data centre, -us6)"]
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        let (host, proof) = account(credential).ok_or_else(|| {
            CliError::new("the credential of Mailchimp is an API key that ends in its data centre: …-us6")
                .hint("Mailchimp: Profile, Extras, API keys; of an OAuth app: {\"dc\": \"us6\", \"token\": \"…\"}")
        })?;
        Ok(Box::new(Mailchimp {
            apis: asked.apis.clone(),
            host,
            proof,
            audience: options.scope.clone(),
        }))
    }
}

enum Proof {
    Key(Secret),
    Token(Secret),
}

/// Where the account is asked, and with what: the same secret as the action `[mailchimp.x]` has.
fn account(credential: &Secret) -> Option<(String, Proof)> {
    let (centre, proof) = match serde_json::from_str::<Value>(credential.expose()) {
        Ok(Value::Object(fields)) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str);
            let token = Secret::new(text("token")?);
            (text("dc")?.to_owned(), Proof::Token(token))
        }
        _ => {
            let (_, centre) = credential.expose().trim().rsplit_once('-')?;
            (centre.to_owned(), Proof::Key(credential.clone()))
        }
    };
    let fits = !centre.is_empty()
        && centre.len() <= CENTRE_CHARS_MAX
        && centre.bytes().all(|byte| byte.is_ascii_alphanumeric());
    fits.then(|| (format!("{centre}{DOMAIN}"), proof))
}

/// The API of one account.
struct Mailchimp {
    apis: Apis,
    host: String,
    proof: Proof,
    /// `--scope`: one audience of several.
    audience: Option<String>,
}

/// An audience.
struct Audience {
    id: String,
    name: String,
}

impl Mailchimp {
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let path: Vec<&str> = ["3.0", "lists"]
            .into_iter()
            .chain(path.iter().copied())
            .collect();
        let call = Call {
            method,
            host: &self.host,
            path: &path,
            query,
            auth: match &self.proof {
                Proof::Key(key) => Auth::Basic(USER, key.expose().trim()),
                Proof::Token(token) => Auth::Bearer(token.expose()),
            },
            body: body.map_or(Body::None, Body::Json),
        };
        settled(TITLE, ask(TITLE, &self.apis, &call).await?)
    }

    /// Every audience of the account.
    async fn audiences(&self) -> Result<Vec<Audience>, Failure> {
        let mut found = Vec::new();
        for page in 0..PAGES_MAX {
            let query = [
                ("fields", "lists.id,lists.name,total_items".to_owned()),
                ("count", PAGE.to_string()),
                ("offset", (page * PAGE).to_string()),
            ];
            let reply = self.call(Method::GET, &[], &query, None).await?;
            let json = reply.json();
            let lists = json.get("lists").and_then(Value::as_array);
            let lists = lists.ok_or_else(|| refused(&reply))?;
            found.extend(lists.iter().filter_map(|list| {
                let text = |name: &str| list.get(name).and_then(Value::as_str);
                Some(Audience {
                    id: text("id")?.to_owned(),
                    name: text("name").unwrap_or_default().to_owned(),
                })
            }));
            if lists.len() < PAGE {
                break;
            }
        }
        Ok(found)
    }

    /// The audience to register at: the one that was named, or the only one.
    async fn chosen(&self) -> Result<String, Failure> {
        if let Some(audience) = &self.audience {
            return Ok(audience.clone());
        }
        let audiences = self.audiences().await?;
        match audiences.as_slice() {
            [only] => Ok(only.id.clone()),
            [] => Err(Failure::other(
                "the account has no audience",
                "Mailchimp: Audience, Create Audience",
            )),
            several => {
                let named = several
                    .iter()
                    .map(|one| format!("--scope {} ({})", one.id, one.name));
                Err(Failure::other(
                    format!("the account has {} audiences", several.len()),
                    format!("which one? {}", named.collect::<Vec<_>>().join(", ")),
                ))
            }
        }
    }

    async fn of_audience(&self, audience: &str) -> Result<Vec<Hook>, Failure> {
        let path = [audience, "webhooks"];
        let reply = self.call(Method::GET, &path, &[], None).await?;
        if reply.status == 404 {
            return Err(no_audience(audience));
        }
        let json = reply.json();
        let list = json.get("webhooks").and_then(Value::as_array);
        let list = list.ok_or_else(|| refused(&reply))?;
        Ok(list.iter().filter_map(|one| hook(audience, one)).collect())
    }
}

fn no_audience(audience: &str) -> Failure {
    Failure::other(
        format!("the account has no audience {audience}"),
        "Mailchimp: Audience, Settings, Audience name and defaults shows its ID",
    )
}

/// Everything that a webhook is: Mailchimp's defaults differ from one request to another.
fn body(new: &New<'_>) -> Value {
    let events = EVENTS.iter().map(|name| {
        let wanted = new.topics.contains(name);
        ((*name).to_owned(), Value::Bool(wanted))
    });
    let causes = CAUSES
        .iter()
        .map(|(name, told)| ((*name).to_owned(), Value::Bool(*told)));
    json!({
        "url": new.url, "events": events.collect::<Value>(), "sources": causes.collect::<Value>(),
    })
}

/// What Mailchimp says of a refusal, without its details: they repeat the address, which holds the key.
fn refused(reply: &Reply) -> Failure {
    let json = reply.json();
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    let detail = text("detail").to_lowercase();
    if reply.status == 400 && detail.contains("multiple webhooks") {
        return Failure::Exists(TITLE);
    }
    let errors = json.get("errors").and_then(Value::as_array);
    let mut fields = errors
        .into_iter()
        .flatten()
        .filter_map(|error| error.get("field")?.as_str());
    let about_url = fields.any(|field| field.contains("url")) || detail.contains("url");
    match reply.status {
        400 if about_url => Failure::other(
            "Mailchimp does not take the address (400)",
            "it asks the address by GET first, and wants 200: is the stack deployed, and is the address reachable?",
        ),
        403 => Failure::other(
            "Mailchimp does not allow this key to do that (403)",
            "the key of an owner, admin or manager of the account may",
        ),
        _ => unexpected(TITLE, reply),
    }
}

fn good(reply: &Reply) -> Result<(), Failure> {
    if reply.is_success() {
        Ok(())
    } else {
        Err(refused(reply))
    }
}

/// The audience and the webhook of an id of ours.
fn parts(id: &str) -> Result<(&str, &str), Failure> {
    id.split_once(BETWEEN).ok_or_else(|| {
        Failure::other(
            format!("there is no webhook {id}"),
            "add --list to see them",
        )
    })
}

impl Provider for Mailchimp {
    /// A member of two audiences is told twice.
    fn scope(&self) -> Option<&str> {
        self.audience.as_deref()
    }

    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            if let Some(audience) = &self.audience {
                return self.of_audience(audience).await;
            }
            let mut hooks = Vec::new();
            for audience in self.audiences().await?.iter().take(AUDIENCES_MAX) {
                hooks.extend(self.of_audience(&audience.id).await?);
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let audience = self.chosen().await?;
            let path = [audience.as_str(), "webhooks"];
            let body = body(new);
            let reply = self.call(Method::POST, &path, &[], Some(&body)).await?;
            match reply.status {
                404 => Err(no_audience(&audience)),
                _ => good(&reply),
            }
        })
    }

    fn replace<'a>(&'a self, id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let (audience, hook) = parts(id)?;
            let path = [audience, "webhooks", hook];
            let body = body(new);
            good(&self.call(Method::PATCH, &path, &[], Some(&body)).await?)
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let (audience, hook) = parts(id)?;
            let path = [audience, "webhooks", hook];
            let reply = self.call(Method::DELETE, &path, &[], None).await?;
            match reply.status {
                404 => Ok(()),
                _ => good(&reply),
            }
        })
    }

    fn about(&self) -> Answering<'_, Vec<String>> {
        let line = "contacts that any program adds by Mailchimp's API make no event, or our own writes would come back; where others add them so: Audience, Settings, Webhooks, tick \"via the API\"";
        Box::pin(async move { Ok(vec![line.to_owned()]) })
    }
}

fn hook(audience: &str, json: &Value) -> Option<Hook> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let is_on = |path: &str| json.pointer(path).and_then(Value::as_bool) == Some(true);
    let topics = EVENTS
        .iter()
        .filter(|name| is_on(&format!("/events/{name}")));
    let url = Url::parse(text("url")?).ok();
    let has_key = url
        .as_ref()
        .is_some_and(|url| url.query_pairs().any(|(name, _)| name == KEY));
    // Whoever else has webhooks there knows no key.
    let is_door = url
        .as_ref()
        .is_some_and(|url| url.path().contains("/leads/"));
    let off = if is_door && !has_key {
        Some("without its key")
    } else if !is_on("/sources/user") {
        Some("silent about what subscribers do themselves")
    } else {
        None
    };
    // The query is a secret.
    let shown = url.map(|mut url| {
        url.set_query(None);
        url.to_string()
    });
    Some(Hook {
        id: format!("{audience}{BETWEEN}{}", text("id")?),
        url: shown?,
        topics: topics.map(|name| (*name).to_owned()).collect(),
        off: off.map(str::to_owned),
        scope: Some(audience.to_owned()),
        failing: None,
    })
}
