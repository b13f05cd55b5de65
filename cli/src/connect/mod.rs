//! Registering our webhooks at the systems that send them: what a provider's API is asked, one file a
//! provider, and what to do with what is there already. `commands/connect.rs` orders the steps.

mod cal_com;
mod calendly;
pub mod callbell;
mod gmail;
mod google_calendar;
mod google_forms;
mod hubspot;
mod intercom;
pub mod keys;
mod mailchimp;
pub mod needs;
mod pipedrive;
pub mod plan;
mod salesforce;
mod shopify;
mod typeform;
mod webhook;
mod woocommerce;
mod zendesk;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use engine::apis::{Apis, Call, Reply, Unanswered};
use engine::automations::model::SourceTable;
use shared::connections::Connection;
use shared::event::Name;
use shared::secrets::Secret;
use shared::sources::{self, Source};
use shared::store::Store;

use crate::ask;
use crate::commands::secrets;
use crate::error::CliError;

/// Most pages of one list.
const PAGES_MAX: usize = 50;

/// Every system that can be connected, in the order in which the command lists them.
const SYSTEMS: &[Kind] = &[
    Kind(&shopify::System),
    Kind(&woocommerce::System),
    Kind(&calendly::System),
    Kind(&cal_com::System),
    Kind(&google_calendar::System),
    Kind(&hubspot::System),
    Kind(&pipedrive::System),
    Kind(&salesforce::System),
    Kind(&mailchimp::System),
    Kind(&zendesk::System),
    Kind(&intercom::System),
    Kind(&typeform::System),
    Kind(&google_forms::System),
    Kind(&gmail::System),
    Kind(&webhook::System),
    Kind(&callbell::System),
];

/// A system as the command speaks of it: its own file has one.
pub trait System: Sync {
    /// As `[source.x]` has it, and `kind()` of the source: `cal-com`.
    fn kind(&self) -> &'static str;

    /// For sentences.
    fn title(&self) -> &'static str;

    /// What its webhooks are called and what each is for.
    fn topics(&self) -> &'static [Topic];

    /// What its webhook secret is, and where it is found: comment lines of `secrets.toml`, of which the first has
    /// its mark already.
    fn whereabouts(&self) -> &'static str;

    /// What to do so that a first event comes.
    fn provoke(&self) -> &'static str;

    /// The questions for the credential of its API, and where it is found; none: its API is not asked.
    fn questions(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the credential is a file of many lines, nothing to type.
    fn is_file(&self) -> bool {
        false
    }

    /// The credential of these answers.
    ///
    /// # Errors
    /// It is not of the form that the system has.
    fn credential(&self, answers: &[String]) -> Result<Secret, CliError> {
        Ok(Secret::new(answers.concat()))
    }

    /// A credential with what the flags add to it, so that the next command needs no flags.
    ///
    /// # Errors
    /// Something is still missing.
    fn complete(&self, credential: &Secret, _options: &Options) -> Result<Secret, CliError> {
        Ok(credential.clone())
    }

    /// The webhook secret that is made of a random value of ours, where it says more than that.
    ///
    /// # Errors
    /// Something is missing.
    fn webhook_secret(&self, random: Secret, _options: &Options) -> Result<Secret, CliError> {
        Ok(random)
    }

    /// Its API.
    ///
    /// # Errors
    /// The credential is not of the form that this system has, or its API registers no webhooks.
    fn open(
        &self,
        _asked: Asked<'_>,
        _credential: &Secret,
        _options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Err(CliError::new(format!(
            "{}'s API registers no webhooks",
            self.title()
        )))
    }

    /// Whether its API registers no webhooks: then `steps` has what a person has to do instead.
    fn is_by_hand(&self) -> bool {
        false
    }

    /// What a person has to do on its own pages, a step each.
    fn steps(&self, _by_hand: &ByHand<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Who chooses the secret of a system that is connected by hand.
    fn secret_by_hand(&self) -> SecretOf {
        SecretOf::Ours
    }
}

/// A connection to be made by hand.
#[derive(Clone, Copy)]
pub struct ByHand<'a> {
    /// The connection's name.
    pub name: &'a str,
    /// What doors know of it.
    pub connection: &'a Connection,
    /// Its `[source.x]`, where there is one.
    pub table: Option<&'a SourceTable>,
    /// Where the webhooks go, with its key where the address holds one.
    pub url: &'a str,
    /// The connection's secret.
    pub secret: &'a Secret,
    /// Whether it was made just now: then alone it is shown, since whoever prints the steps again knows it.
    pub is_new: bool,
    /// Whether a program reads the steps.
    pub is_json: bool,
    /// The names of the webhooks that the automations need.
    pub topics: &'a [&'static str],
    /// ` --local`, ` --stack NAME` or nothing, to be appended to a command.
    pub flag: &'a str,
}

/// A system that can be connected.
#[derive(Clone, Copy)]
pub struct Kind(&'static dyn System);

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Kind) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Kind {}

impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Kind] {
        SYSTEMS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

impl Deref for Kind {
    type Target = dyn System;

    fn deref(&self) -> &Self::Target {
        self.0
    }
}

impl Kind {
    /// As `[source.x]` has it: `cal-com`.
    pub fn as_str(self) -> &'static str {
        self.0.kind()
    }

    /// The kind of this name.
    pub fn parse(kind: &str) -> Option<Kind> {
        SYSTEMS.iter().copied().find(|one| one.as_str() == kind)
    }

    /// Its source.
    fn source(self) -> Option<&'static dyn Source> {
        sources::by_kind(self.as_str())
    }

    /// The function that takes its webhooks, and so the first part of their path.
    pub fn function(self) -> &'static str {
        self.source().map_or("", |source| source.function())
    }

    /// Which of the values that the door accepts the system is given: some say something else, as whose
    /// webhooks have to be.
    pub fn given(self, values: &[Secret]) -> Option<&Secret> {
        let source = self.source();
        let is_given = |value: &&Secret| source.is_none_or(|source| source.is_key(value));
        values.iter().find(is_given)
    }

    /// The address to register: with the secret in it, where nothing else proves a webhook.
    pub fn address(self, url: &str, secret: &Secret) -> String {
        let query = self.source().map(|source| sources::query(source, secret));
        match query.filter(|query| !query.is_empty()) {
            Some(query) => format!("{url}?{query}"),
            None => url.to_owned(),
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
    /// `--shop`.
    pub shop: Option<String>,
    /// `--url`.
    pub url: Option<String>,
    /// `--calendar`, or the one that the connection has.
    pub calendar: Option<String>,
    /// `--form`.
    pub form: Option<String>,
    /// `--topic`, or the one that the connection has.
    pub topic: Option<String>,
}

/// Where a provider is asked, and for which connection.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Every provider's API.
    pub apis: &'a Apis,
    /// The installation's table.
    pub store: &'a Store,
    /// The connection's name.
    pub connection: &'a str,
}

/// Who chooses what webhooks are signed with.
#[derive(Clone, Debug)]
pub enum SecretOf {
    /// We do.
    Ours,
    /// The provider: this.
    Theirs(Secret),
    /// The provider, and a person has to look it up; which, and where.
    Known(&'static str),
    /// The provider, for each webhook another once it is there: [`Provider::made`] shows it. Until it is kept
    /// the webhook waits.
    Made,
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
            self.register(new).await.map_err(Failure::halfway)
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

    /// What webhooks are signed with.
    fn secret(&self) -> SecretOf {
        SecretOf::Ours
    }

    /// What this webhook is signed with, where the provider makes a secret for each.
    fn made<'a>(&'a self, _id: &'a str) -> Answering<'a, Option<Secret>> {
        Box::pin(async { Ok(None) })
    }

    /// Has a webhook post that was registered to wait until its secret is kept.
    fn start<'a>(&'a self, _id: &'a str) -> Answering<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What a person has to do besides, before a webhook is registered, a step each.
    fn steps(&self, _new: &New<'_>) -> Vec<String> {
        Vec::new()
    }

    /// What there is to know of the account besides.
    fn about(&self) -> Answering<'_, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
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

    /// Why a webhook that was to be replaced is gone.
    fn halfway(self) -> Failure {
        let again = "start this command again";
        let what = format!("{self}: the old webhook was removed and not made again");
        let todo = match self {
            Failure::Other { todo, .. } if todo.starts_with(again) => todo,
            Failure::Other { todo, .. } if !todo.is_empty() => format!("{again}; {todo}"),
            _ => again.to_owned(),
        };
        Failure::Other { what, todo }
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

/// A credential, asked for: typed without being shown, or the lines of standard input.
///
/// # Errors
/// Nothing was given, or it is not of the form that the provider has.
pub fn credential(kind: Kind, name: &str) -> Result<Secret, CliError> {
    let questions = kind.questions();
    let mut answers = Vec::new();
    // A key of many lines is nothing to type.
    if ask::is_terminal() && !kind.is_file() {
        for question in questions {
            answers.push(secrets::ask(question)?);
        }
    } else {
        let text = if ask::is_terminal() {
            Err(CliError::new(""))
        } else {
            secrets::ask("")
        };
        let text = text.map_err(|_| {
            CliError::new(format!("there is no credential of {}", kind.title())).hint(format!(
                "callbell secrets set {name} --api, or type it in a terminal: {}",
                questions.join(", ")
            ))
        })?;
        answers.extend(text.lines().map(|line| line.trim().to_owned()));
    }
    // What stands in secrets.toml may be given as it is.
    if answers.concat().starts_with('{') && !kind.is_file() {
        return Ok(Secret::new(answers.concat()));
    }
    kind.credential(&answers)
}

/// One request; every status is an answer.
async fn ask(title: &'static str, apis: &Apis, call: &Call<'_>) -> Result<Reply, Failure> {
    apis.call(call).await.map_err(|error| match error {
        Unanswered::Malformed | Unanswered::NotPublic => Failure::other(
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
    })
}

/// An answer, unless its status means the same with every provider.
fn settled(title: &'static str, reply: Reply) -> Result<Reply, Failure> {
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
    let message = ["/message", "/error/message"]
        .into_iter()
        .find_map(|path| json.pointer(path)?.as_str());
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

/// The texts of a list.
fn texts(list: Option<&serde_json::Value>) -> Vec<String> {
    let list = list.and_then(serde_json::Value::as_array);
    let texts = list
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str);
    texts.map(str::to_owned).collect()
}

/// Most characters of a provider's own words that are repeated.
const MESSAGE_CHARS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    /// Removes, and registers nothing.
    struct Broken;

    impl Provider for Broken {
        fn hooks(&self) -> Answering<'_, Vec<Hook>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
            let failure = match new.topics {
                [] => Failure::Credential("Shop"),
                ["late"] => Failure::other("too many requests", "start this command again soon"),
                _ => Failure::other("no such topic", "a larger plan"),
            };
            Box::pin(async { Err(failure) })
        }

        fn remove<'a>(&'a self, _id: &'a str) -> Answering<'a, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn a_webhook_that_was_removed_and_not_made_again_is_said_to_be() {
        let again = "start this command again";
        for (topics, why, todo) in [
            (&[][..], "Shop refuses the credential (401)", again),
            (
                &["late"],
                "too many requests",
                "start this command again soon",
            ),
            (
                &["a"],
                "no such topic",
                "start this command again; a larger plan",
            ),
        ] {
            let new = New {
                url: "https://localhost/",
                topics,
                secret: &Secret::new("a"),
            };
            let told = Broken.replace("1", &new).await.unwrap_err().told("shop");
            let what = format!("{why}: the old webhook was removed and not made again");
            assert_eq!((told.to_string(), told.todo()), (what, Some(todo)));
        }
    }
}
