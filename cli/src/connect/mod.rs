//! Registering our webhooks at the systems that send them: what a provider's API is asked, one file a
//! provider, and what to do with what is there already. `commands/connect.rs` orders the steps.

mod calendly;
pub mod keys;
pub mod needs;
pub mod plan;

use std::future::Future;
use std::pin::Pin;

use clap::ValueEnum;
use engine::apis::{Apis, Call, Reply, Unanswered};
use shared::event::Name;
use shared::secrets::Secret;

use crate::ask;
use crate::commands::secrets;
use crate::error::CliError;

/// Most pages of one list.
const PAGES_MAX: usize = 50;

/// The systems that can be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Calendly.
    Calendly,
}

impl Kind {
    /// As `[source.x]` has it, and `kind()` of the source: `cal-com`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Calendly => "calendly",
        }
    }

    /// For sentences.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Calendly => "Calendly",
        }
    }

    /// The kind of this name.
    pub fn parse(kind: &str) -> Option<Kind> {
        Kind::value_variants()
            .iter()
            .copied()
            .find(|one| one.as_str() == kind)
    }

    /// The function that takes its webhooks, and so the first part of their path.
    pub fn function(self) -> &'static str {
        match self {
            Kind::Calendly => "appointments",
        }
    }

    /// What its webhooks are called and what each is for.
    pub fn topics(self) -> &'static [Topic] {
        match self {
            Kind::Calendly => calendly::TOPICS,
        }
    }

    /// The questions for the credential of its API, and where it is found.
    fn questions(self) -> &'static [&'static str] {
        match self {
            Kind::Calendly => &[
                "personal access token (Calendly: Integrations, API & webhooks, Personal access tokens)",
            ],
        }
    }

    /// What to do so that a first event comes.
    pub fn provoke(self) -> &'static str {
        match self {
            Kind::Calendly => "book an appointment",
        }
    }
}

/// A kind of webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// As the provider's API names it.
    pub name: &'static str,
    /// The events that it brings.
    pub events: &'static [Name],
    /// Registered whatever the automations say: without it another topic's events would go wrong, as
    /// reminders of a booking whose cancellation nobody hears of.
    pub always: bool,
}

/// A registered webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What the provider's API knows it by.
    pub id: String,
    /// Where it posts to.
    pub url: String,
    /// Its topics.
    pub topics: Vec<String>,
    /// What keeps it from posting, in a word or two; `None`: nothing.
    pub off: Option<String>,
    /// Whose events, where the provider tells scopes apart.
    pub scope: Option<String>,
    /// Deliveries fail since then and are tried again, where the provider says so.
    pub failing: Option<String>,
}

impl Hook {
    /// `active`, or what keeps it from posting.
    pub fn state(&self) -> String {
        match (&self.off, &self.failing) {
            (Some(off), _) => off.clone(),
            (None, Some(since)) => format!("failing since {since}"),
            (None, None) => "active".to_owned(),
        }
    }
}

/// What the flags say beside the provider's name.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--scope`.
    pub scope: Option<String>,
}

/// An answer that is on its way.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A provider's API, with a credential.
pub trait Provider: Send + Sync {
    /// Every webhook that the credential shows, ours or not.
    fn hooks(&self) -> Answering<'_, Vec<Hook>>;

    /// Registers one webhook for these topics.
    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()>;

    /// Brings a webhook to what `new` says. Between the two requests of this one nothing is sent.
    fn replace<'a>(&'a self, id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            self.remove(id).await?;
            self.register(new).await
        })
    }

    /// Removes a webhook; one that is not there is removed.
    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()>;

    /// Whether a webhook has one topic alone.
    fn one_each(&self) -> bool {
        false
    }

    /// The scope that webhooks are registered in, where the provider tells scopes apart.
    fn scope(&self) -> Option<&str> {
        None
    }

    /// What the provider signs with, where that is not for us to choose.
    fn own_secret(&self) -> Option<Secret> {
        None
    }

    /// What the account keeps from us although the webhook is there.
    fn withheld(&self) -> Answering<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// A webhook to be.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Where it posts to.
    pub url: &'a str,
    /// Its topics.
    pub topics: &'a [&'static str],
    /// What it is signed with.
    pub secret: &'a Secret,
}

/// Why a provider did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The credential is not good.
    #[error("{0} refuses the credential (401)")]
    Credential(&'static str),
    /// There is such a webhook already.
    #[error("{0} says that there is such a webhook already (409)")]
    Exists(&'static str),
    /// Anything else, in words for the person at the terminal.
    #[error("{what}")]
    Other {
        /// What went wrong.
        what: String,
        /// What to do about it.
        todo: String,
    },
}

impl Failure {
    /// A failure in words.
    pub fn other(what: impl Into<String>, todo: impl Into<String>) -> Failure {
        Failure::Other {
            what: what.into(),
            todo: todo.into(),
        }
    }

    /// The failure as a command reports it; `name` is the connection.
    pub fn told(self, name: &str) -> CliError {
        let error = CliError::new(self.to_string());
        match self {
            Failure::Credential(_) => error.hint(format!(
                "another one: callbell secrets set {name} --api, then this command again"
            )),
            Failure::Exists(_) => {
                error.hint("what is registered: add --list; --remove ID removes it")
            }
            Failure::Other { todo, .. } if todo.is_empty() => error,
            Failure::Other { todo, .. } => error.hint(todo),
        }
    }
}

/// The provider's API.
///
/// # Errors
/// The credential is not of the form that this provider has.
pub fn open(
    kind: Kind,
    apis: &Apis,
    credential: &Secret,
    options: &Options,
) -> Result<Box<dyn Provider>, CliError> {
    match kind {
        Kind::Calendly => Ok(Box::new(calendly::Calendly::new(
            apis, credential, options,
        )?)),
    }
}

/// A credential, asked for: typed without being shown, or the lines of standard input.
///
/// # Errors
/// Nothing was given, or it is not of the form that the provider has.
pub fn credential(kind: Kind, name: &str) -> Result<Secret, CliError> {
    let questions = kind.questions();
    let mut answers = Vec::new();
    if ask::is_terminal() {
        for question in questions {
            answers.push(secrets::ask(question)?);
        }
    } else {
        let text = secrets::ask("").map_err(|_| {
            CliError::new(format!("there is no credential of {}", kind.title())).hint(format!(
                "callbell secrets set {name} --api, or type it in a terminal: {}",
                questions.join(", ")
            ))
        })?;
        answers.extend(text.lines().map(|line| line.trim().to_owned()));
    }
    match kind {
        Kind::Calendly => Ok(Secret::new(answers.concat())),
    }
}

/// One request; every status is an answer.
async fn ask(title: &'static str, apis: &Apis, call: &Call<'_>) -> Result<Reply, Failure> {
    let reply = apis.call(call).await.map_err(|error| match error {
        Unanswered::Malformed => Failure::other(
            format!("{} is no address that can be asked", call.host),
            "write the host alone: minha-loja.myshopify.com, loja.example.com",
        ),
        Unanswered::NotConnected => Failure::other(
            format!("{title} cannot be reached at {}: no connection", call.host),
            "is there a network? Starting this command again does no harm",
        ),
        Unanswered::NoAnswer | Unanswered::TooLarge => Failure::other(
            format!("{title}: {error}"),
            "start this command again: what was registered meanwhile is recognised",
        ),
    })?;
    match reply.status {
        401 => Err(Failure::Credential(title)),
        409 => Err(Failure::Exists(title)),
        429 => {
            let wait = reply.retry_after.map_or(String::new(), |wait| {
                format!(" in {} seconds", wait.as_secs().max(1))
            });
            Err(Failure::other(
                format!("{title} gets too many requests (429)"),
                format!("start this command again{wait}"),
            ))
        }
        _ => Ok(reply),
    }
}

/// What an answer means that is not the one that was hoped for. Of the provider's text only what it says
/// about itself is repeated: a `message`.
fn unexpected(title: &str, reply: &Reply) -> Failure {
    let json = reply.json();
    let message = json.get("message").and_then(serde_json::Value::as_str);
    let message = message.map_or(String::new(), |text| {
        let short: String = text.chars().take(MESSAGE_CHARS_MAX).collect();
        format!(": {short}")
    });
    let todo = if reply.status >= 500 {
        "later again: starting this command again does no harm"
    } else {
        ""
    };
    Failure::other(format!("{title} answers {}{message}", reply.status), todo)
}

/// Most characters of a provider's own words that are repeated.
const MESSAGE_CHARS_MAX: usize = 200;
