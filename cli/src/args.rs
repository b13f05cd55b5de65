//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;

use crate::connect::Kind;
use crate::span;

/// Callbell, connected with the rest of the business.
#[derive(Debug, Parser)]
#[command(name = "callbell", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole installation on this machine, with a stand-in for Callbell
    Dev(DevArgs),
    /// Post every sample event and show who reads which sentence
    Demo(DemoArgs),
    /// Write automations.toml, secrets.toml and samconfig.toml of your own
    Init(InitArgs),
    /// Every mistake of an automations file at once
    Check(CheckArgs),
    /// Write automations.schema.json, for completion in editors
    Schema(SchemaArgs),
    /// Explain what an event would do, without sending anything
    Try(TryArgs),
    /// Send one message, to see it on a phone
    Send(SendArgs),
    /// The channels of the Callbell account
    Channels(AccountArgs),
    /// The templates of the Callbell account
    Templates(TemplatesArgs),
    /// Put the automations into use
    Push(PushArgs),
    /// Build and deploy to AWS, then push secrets and automations
    Deploy(DeployArgs),
    /// Webhook secrets and API tokens
    Secrets(SecretsArgs),
    /// Register our webhooks at the system that sends them
    Connect(ConnectArgs),
    /// What is not as it should be, and what to do about it
    Doctor(DoctorArgs),
    /// What became of each action
    Jobs(JobsArgs),
    /// Events that matched nothing, and why
    Events(EventsArgs),
    /// Do again what failed, was skipped or came too early for an automation
    Replay(ReplayArgs),
    /// A line an event and a job, as they come
    Tail(TailArgs),
    /// Erase everything of one person
    Forget(ForgetArgs),
    /// Stop everything from going out, at once
    Pause(Target),
    /// Let it go out again
    Resume(Target),
    /// A signed sample event, from a raw body or an older sample
    Sign(SignArgs),
}

/// Which installation a command works on.
#[derive(Clone, Debug, Default, Args)]
pub struct Target {
    /// The callbell dev on this machine, on port 8787 unless told
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "8787"
    )]
    pub local: Option<u16>,
    /// The stack on AWS [default: samconfig.toml's]
    #[arg(long, value_name = "NAME", conflicts_with = "local")]
    pub stack: Option<String>,
}

/// `callbell dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Where to listen, on 127.0.0.1
    #[arg(long, default_value_t = crate::dev::PORT)]
    pub port: u16,
    /// Folder that keeps table, messages and clock across restarts; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The automations, pushed at start and whenever they change [default: automations.toml, else examples/shop.toml]
    #[arg(long, value_name = "FILE")]
    pub automations: Option<PathBuf>,
    /// Secrets of your own, instead of the demo values
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
}

/// `callbell demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Sample events [default: a shop's and a clinic's, each with its example]
    #[arg(long, value_name = "DIR")]
    pub events: Option<PathBuf>,
    /// The automations
    #[arg(long, value_name = "FILE")]
    pub automations: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `callbell init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Which kind of business: shop, clinic (Italian), clinica (Portuguese), crm (Portuguese)
    #[arg(long, default_value = "shop")]
    pub example: String,
    /// Where the files go
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// ISO code of the country, for phone numbers without one: BR
    #[arg(long)]
    pub country: Option<String>,
    /// Language of the messages: pt-BR
    #[arg(long)]
    pub locale: Option<String>,
    /// Time zone: America/Sao_Paulo
    #[arg(long)]
    pub timezone: Option<String>,
    /// Your own WhatsApp number, the only one that gets messages until you go live
    #[arg(long)]
    pub phone: Option<String>,
}

/// `callbell check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The automations
    #[arg(value_name = "FILE", default_value = "automations.toml")]
    pub file: PathBuf,
    /// Ask the stand-in of the callbell dev on this machine, on port 8787 unless told
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "8787"
    )]
    pub local: Option<u16>,
    /// Do not ask Callbell, although secrets.toml beside the file has a token
    #[arg(long, conflicts_with = "local")]
    pub offline: bool,
    /// Also say what differs from what the stack on AWS uses; without a name samconfig.toml's
    #[arg(long, value_name = "NAME", num_args = 0..=1, conflicts_with = "local")]
    pub stack: Option<Option<String>>,
    /// Show the line of each mistake with a mark under it, as on a terminal
    #[arg(long)]
    pub lines: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `callbell schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Where to write it; - prints it
    #[arg(value_name = "FILE", default_value = "automations.schema.json")]
    pub file: PathBuf,
}

/// `callbell try`.
#[derive(Debug, Args)]
pub struct TryArgs {
    /// An event (order.paid), or a file: a body as the provider posts it, or a file of events/
    pub event: String,
    /// Which connection a body comes from
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// What the person wrote, on message.received
    #[arg(long, value_name = "WORDS")]
    pub text: Option<String>,
    /// The automation whose message the person got last, as conversation.last_sent has it
    #[arg(long, value_name = "AUTOMATION")]
    pub last_sent: Option<String>,
    /// The automations
    #[arg(long, value_name = "FILE", default_value = "automations.toml")]
    pub automations: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `callbell send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The name of a [message.x]
    pub message: String,
    /// Who gets it: +5511987654321
    #[arg(long)]
    pub to: String,
    /// Fill it in with a sample event
    #[arg(long, required = true)]
    pub sample: bool,
    /// The variant of this language
    #[arg(long)]
    pub locale: Option<String>,
    /// The automations
    #[arg(long, value_name = "FILE", default_value = "automations.toml")]
    pub automations: PathBuf,
    /// Which account
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Which Callbell account a command asks.
#[derive(Clone, Debug, Args)]
pub struct AccountArgs {
    /// The stand-in of the callbell dev on this machine, on port 8787 unless told
    #[arg(
        long,
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "8787"
    )]
    pub local: Option<u16>,
    /// Where the token stands: callbell, in the table apis
    #[arg(long, value_name = "FILE", default_value = "secrets.toml")]
    pub secrets: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `callbell templates`.
#[derive(Debug, Args)]
pub struct TemplatesArgs {
    /// What to do with them; without it they are listed
    #[command(subcommand)]
    pub action: Option<TemplatesAction>,
    /// Which account
    #[command(flatten)]
    pub account: AccountArgs,
}

/// What to do with templates.
#[derive(Debug, Subcommand)]
pub enum TemplatesAction {
    /// Keep them in templates.json, for checks without a token
    Pull {
        /// Where
        #[arg(value_name = "FILE", default_value = "templates.json")]
        file: PathBuf,
        /// Which account
        #[command(flatten)]
        account: AccountArgs,
    },
}

/// `callbell push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// The automations
    #[arg(value_name = "FILE", default_value = "automations.toml")]
    pub file: PathBuf,
    /// Back to the version before, or to this one
    #[arg(long, value_name = "VERSION", num_args = 0..=1, require_equals = true)]
    pub rollback: Option<Option<u64>>,
    /// Let waiting jobs take over times that have become earlier
    #[arg(long)]
    pub replan: bool,
    /// Automations that only changed their name keep their jobs: old=new
    #[arg(long, value_name = "OLD=NEW", value_parser = rename)]
    pub rename: Vec<(String, String)>,
    /// Do not ask Callbell, although secrets.toml beside the file has a token
    #[arg(long)]
    pub offline: bool,
    /// Do not ask before going on
    #[arg(long)]
    pub yes: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell deploy`. Everything else stands in samconfig.toml.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Do not ask before secrets are removed or customers get messages
    #[arg(long)]
    pub yes: bool,
}

/// `callbell secrets`.
#[derive(Debug, Args)]
pub struct SecretsArgs {
    /// What to do
    #[command(subcommand)]
    pub action: SecretsAction,
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsAction {
    /// Set one; the value is asked for, or read from standard input
    Set {
        /// The name: a connection (shopify), or with --api a system that is called (callbell)
        name: String,
        /// Keep the values that are there: both are accepted
        #[arg(long)]
        add: bool,
        /// A token of a system that is called, not a webhook's secret
        #[arg(long)]
        api: bool,
        /// The file
        #[arg(long, value_name = "FILE", default_value = "secrets.toml")]
        file: PathBuf,
    },
    /// Put secrets.toml into the stack's two secrets on AWS; values are never printed
    Push {
        /// The file
        #[arg(long, value_name = "FILE", default_value = "secrets.toml")]
        file: PathBuf,
        /// Do not ask before values that are in use are removed
        #[arg(long)]
        yes: bool,
        /// The stack on AWS [default: samconfig.toml's]
        #[arg(long, value_name = "NAME")]
        stack: Option<String>,
    },
    /// Names and fingerprints, never values
    List {
        /// Beside what the stack on AWS has; without a name samconfig.toml's
        #[arg(long, value_name = "NAME", num_args = 0..=1)]
        stack: Option<Option<String>>,
        /// The file
        #[arg(long, value_name = "FILE", default_value = "secrets.toml")]
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// `callbell connect`.
#[derive(Debug, Args)]
pub struct ConnectArgs {
    /// Which system
    #[arg(value_name = "SYSTEM")]
    pub kind: Kind,
    /// The connection, where [source.NAME] of the automations gives it a name of its own
    #[arg(long, value_name = "CONNECTION")]
    pub name: Option<String>,
    /// What is registered there, ours or not
    #[arg(long, conflicts_with_all = ["remove", "remove_all", "rotate"])]
    pub list: bool,
    /// Remove one webhook, by its id
    #[arg(long, value_name = "ID", conflicts_with_all = ["remove_all", "rotate"])]
    pub remove: Option<String>,
    /// Remove every webhook that goes to this installation's connection
    #[arg(long, conflicts_with = "rotate")]
    pub remove_all: bool,
    /// A new webhook secret; the old one is accepted as well until it is taken out of secrets.toml
    #[arg(long)]
    pub rotate: bool,
    /// Whose events: of calendly organization (everybody's, the default) or user (your own), of mailchimp an
    /// audience's ID
    #[arg(long)]
    pub scope: Option<String>,
    /// The shop, of shopify: minha-loja.myshopify.com
    #[arg(long, value_name = "SHOP")]
    pub shop: Option<String>,
    /// The shop's address, of woocommerce: `https://loja.example.com`
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The calendar's ID, of google-calendar: often an e-mail address
    #[arg(long, value_name = "ID")]
    pub calendar: Option<String>,
    /// The form, of typeform, where the account has several: its id or its address
    #[arg(long, value_name = "FORM")]
    pub form: Option<String>,
    /// The topic of Cloud Pub/Sub, of gmail: projects/minha-loja/topics/gmail
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// Longest wait for a first event, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub wait: u64,
    /// Do not wait for a first event
    #[arg(long)]
    pub no_wait: bool,
    /// The automations
    #[arg(long, value_name = "FILE", default_value = "automations.toml")]
    pub automations: PathBuf,
    /// Do not ask before webhooks of ours are replaced or removed
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The automations
    #[arg(long, value_name = "FILE", default_value = "automations.toml")]
    pub automations: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell jobs`.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// One job in full
    #[command(subcommand)]
    pub action: Option<JobsAction>,
    /// due, running, uncertain, sent, held, skipped, dead or cancelled
    #[arg(long)]
    pub status: Option<String>,
    /// Of this automation
    #[arg(long)]
    pub automation: Option<String>,
    /// Made within this time: 2h, 1d
    #[arg(long, value_parser = span::parse)]
    pub since: Option<SignedDuration>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsAction {
    /// One job in full
    Show {
        /// Its id, or the beginning of it, or its key
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Which installation
        #[command(flatten)]
        target: Target,
    },
}

/// `callbell events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Those that matched as well
    #[arg(long)]
    pub all: bool,
    /// Received within this time: 2h, 1d
    #[arg(long, value_parser = span::parse)]
    pub since: Option<SignedDuration>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// One job: its id, the beginning of it, or its key
    pub job: Option<String>,
    /// Send that job to somebody else
    #[arg(long, requires = "job")]
    pub to: Option<String>,
    /// Events instead of jobs: makes the jobs that an automation would have made
    #[arg(long, requires = "automation", conflicts_with = "job")]
    pub events: bool,
    /// Of this automation
    #[arg(long, conflicts_with = "job")]
    pub automation: Option<String>,
    /// Made within this time: 2h, 1d
    #[arg(long, value_parser = span::parse, conflicts_with = "job")]
    pub since: Option<SignedDuration>,
    /// dead, skipped or held; all three unless told
    #[arg(long, conflicts_with = "job")]
    pub status: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// As JSON; then nothing is done without --yes
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell tail`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each look reads the whole table. On AWS that costs, so after each look it waits a second for \
                  every 500 rows of the table: an hour costs cents with a small table and some ten cents with a \
                  large one. Ctrl-C ends it."
)]
pub struct TailArgs {
    /// Of this connection
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Of this automation
    #[arg(long, value_name = "NAME")]
    pub automation: Option<String>,
    /// Begin with what came within this time: 10m, 2h
    #[arg(long, value_parser = span::parse)]
    pub since: Option<SignedDuration>,
    /// Shortest time between two looks
    #[arg(long, value_name = "TIME", value_parser = span::parse, default_value = "5s")]
    pub every: SignedDuration,
    /// As JSON, one value a line
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell forget`.
#[derive(Debug, Args)]
#[command(
    after_help = "Rows are found by the number and the address. Where one person has several, or where some \
                  events know the address alone, name both: callbell forget +5511987654321 --email maria@example.com"
)]
pub struct ForgetArgs {
    /// The person's number: +5511987654321
    #[arg(value_name = "PHONE")]
    pub phone: Option<String>,
    /// The person's e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Which installation
    #[command(flatten)]
    pub target: Target,
}

/// `callbell sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// A raw body, or a sample event to be signed again
    pub file: PathBuf,
    /// The connection: shopify
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// The provider, where the connection's name does not say it
    #[arg(long)]
    pub kind: Option<String>,
    /// The topic of the body: orders/paid
    #[arg(long)]
    pub topic: Option<String>,
    /// Further headers of the provider: Name=value
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// What to sign with; the demo secret unless told
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
    /// The automations whose [source.x] says how a system of your own proves itself
    #[arg(long, value_name = "FILE")]
    pub automations: Option<PathBuf>,
    /// When it came, as 2026-11-22T10:00:00Z
    #[arg(long)]
    pub at: Option<jiff::Timestamp>,
    /// It comes now: every time in its body moves along
    #[arg(long, conflicts_with = "at")]
    pub now: bool,
    /// Where it goes, for systems that sign the address too: 127.0.0.1:8787
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Where to write it; standard output unless told
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

fn rename(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "write old=new".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "write Name=value".to_owned())
}

fn pair(text: &str) -> Option<(String, String)> {
    let (left, right) = text.split_once('=')?;
    let filled = !left.is_empty() && !right.is_empty();
    filled.then(|| (left.to_owned(), right.to_owned()))
}
