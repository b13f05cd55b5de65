//! Registering our webhooks at the systems that send them: what a provider's API is asked, one file a
//! provider, and what to do with what is there already. `commands/connect.rs` orders the steps.

mod cal_com;
mod calendly;
pub mod callbell;
mod google_calendar;
pub mod keys;
pub mod needs;
pub mod plan;
mod shopify;
mod woocommerce;

use std::future::Future;
use std::pin::Pin;

use clap::ValueEnum;
use engine::apis::{Apis, Call, Reply, Unanswered};
use shared::event::Name;
use shared::secrets::Secret;
use shared::store::Store;

use crate::ask;
use crate::commands::secrets;
use crate::error::CliError;

/// Most pages of one list.
const PAGES_MAX: usize = 50;

/// The systems that can be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Shopify.
    Shopify,
    /// WooCommerce.
    #[value(name = "woocommerce")]
    WooCommerce,
    /// Calendly.
    Calendly,
    /// Cal.com.
    CalCom,
    /// A Google calendar.
    GoogleCalendar,
    /// Callbell itself.
    Callbell,
}

impl Kind {
    /// As `[source.x]` has it, and `kind()` of the source: `cal-com`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Shopify => "shopify",
            Kind::WooCommerce => "woocommerce",
            Kind::Calendly => "calendly",
            Kind::CalCom => "cal-com",
            Kind::GoogleCalendar => "google-calendar",
            Kind::Callbell => "callbell",
        }
    }

    /// For sentences.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Shopify => "Shopify",
            Kind::WooCommerce => "WooCommerce",
            Kind::Calendly => "Calendly",
            Kind::CalCom => "Cal.com",
            Kind::GoogleCalendar => "Google Calendar",
            Kind::Callbell => "Callbell",
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
            Kind::Shopify | Kind::WooCommerce => "orders",
            Kind::Calendly | Kind::CalCom | Kind::GoogleCalendar => "appointments",
            Kind::Callbell => "callbell",
        }
    }

    /// What its webhooks are called and what each is for.
    pub fn topics(self) -> &'static [Topic] {
        match self {
            Kind::Shopify => shopify::TOPICS,
            Kind::WooCommerce => woocommerce::TOPICS,
            Kind::Calendly => calendly::TOPICS,
            Kind::CalCom => cal_com::TOPICS,
            Kind::GoogleCalendar => google_calendar::TOPICS,
            Kind::Callbell => callbell::TOPICS,
        }
    }

    /// The questions for the credential of its API, and where it is found.
    fn questions(self) -> &'static [&'static str] {
        match self {
            Kind::Shopify => &[
                "client id of the app (Shopify: Dev Dashboard, the app, Settings)",
                "client secret of the app",
            ],
            Kind::WooCommerce => &[
                "consumer key (WooCommerce: Settings, Advanced, REST API, read and write)",
                "consumer secret",
            ],
            Kind::GoogleCalendar => {
                &["the JSON key of a service account, as standard input: < key.json"]
            }
            Kind::Callbell => &["API token (Callbell: dashboard, Settings, API)"],
            Kind::CalCom => &["API key (Cal.com: Settings, Developer, API keys)"],
            Kind::Calendly => &[
                "personal access token (Calendly: Integrations, API & webhooks, Personal access tokens)",
            ],
        }
    }

    /// What to do so that a first event comes.
    pub fn provoke(self) -> &'static str {
        match self {
            Kind::Shopify | Kind::WooCommerce => "place an order",
            Kind::Calendly | Kind::CalCom => "book an appointment",
            Kind::GoogleCalendar => "change an event of the calendar",
            Kind::Callbell => "write to one of your channels, from another phone",
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

    /// What webhooks are signed with.
    fn secret(&self) -> SecretOf {
        SecretOf::Ours
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
    asked: Asked<'_>,
    credential: &Secret,
    options: &Options,
) -> Result<Box<dyn Provider>, CliError> {
    let apis = asked.apis;
    Ok(match kind {
        Kind::GoogleCalendar => Box::new(google_calendar::Calendar::new(
            apis,
            credential,
            asked.store,
            asked.connection,
            options.calendar.as_deref(),
        )?),
        Kind::Shopify => Box::new(shopify::Shopify::new(apis, credential)?),
        Kind::WooCommerce => Box::new(woocommerce::WooCommerce::new(apis, credential)?),
        Kind::Calendly => Box::new(calendly::Calendly::new(apis, credential, options)?),
        Kind::CalCom => Box::new(cal_com::CalCom::new(apis, credential)),
        // An account has one webhook, and no list of them: commands/connect/callbell.rs.
        Kind::Callbell => return Err(CliError::new("Callbell lists no webhooks")),
    })
}

/// A credential, asked for: typed without being shown, or the lines of standard input.
///
/// # Errors
/// Nothing was given, or it is not of the form that the provider has.
pub fn credential(kind: Kind, name: &str) -> Result<Secret, CliError> {
    let questions = kind.questions();
    let mut answers = Vec::new();
    // A key of many lines is nothing to type.
    if ask::is_terminal() && kind != Kind::GoogleCalendar {
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
    Ok(match kind {
        Kind::GoogleCalendar => google_calendar::credential(&answers.join("\n"))?,
        // What stands in secrets.toml may be given as it is.
        _ if answers.concat().starts_with('{') => Secret::new(answers.concat()),
        Kind::Shopify => shopify::credential(&answers),
        Kind::WooCommerce => woocommerce::credential(&answers),
        Kind::Calendly | Kind::CalCom | Kind::Callbell => Secret::new(answers.concat()),
    })
}

/// A credential with what the flags add to it, so that the next command needs no flags.
///
/// # Errors
/// Something is still missing.
pub fn complete(kind: Kind, credential: &Secret, options: &Options) -> Result<Secret, CliError> {
    match kind {
        Kind::Shopify => shopify::complete(credential, options.shop.as_deref()),
        Kind::WooCommerce => woocommerce::complete(credential, options.url.as_deref()),
        Kind::Calendly | Kind::CalCom | Kind::GoogleCalendar | Kind::Callbell => {
            Ok(credential.clone())
        }
    }
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
