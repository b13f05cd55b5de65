//! Each connection: its secret here and on AWS, its webhooks at the provider, and what came from it last.

use std::collections::BTreeSet;

use clap::ValueEnum as _;
use jiff::SignedDuration;
use shared::secrets::Secret;
use shared::sources::{self, callbell, google_calendar};
use shared::store::{EventFilter, EventRow, EventStatus};

use super::{Finding, Patient};
use crate::aws::logs::{self, Refusal};
use crate::commands::secrets::cloud::fingerprints;
use crate::connect::callbell::{self as account, Webhook};
use crate::connect::keys::Table;
use crate::connect::needs::{self, Need};
use crate::connect::plan::{self, Wish};
use crate::connect::{self, Asked, Hook, Kind, Options, Provider, SecretOf};
use crate::error::CliError;
use crate::lists;
use crate::output;

/// How far back the last event is looked for: events stay this long at least.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How far back refusals are looked for.
const REFUSED_BACK: SignedDuration = SignedDuration::from_hours(24);
/// How the doors' reason begins where no secret made the signature.
const NO_MATCH: &str = "matches none";

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let since = patient.on.now().saturating_sub(LOOK_BACK).ok();
    let filter = EventFilter {
        since,
        ..EventFilter::default()
    };
    let events = match lists::events(&patient.on.store, &filter).await {
        Ok(events) => events,
        Err(error) => return vec![Finding::failed("events", &error)],
    };
    let mut findings = Vec::new();
    let names = names(patient, &events);
    let refused = Refused::ask(patient, &names).await;
    for name in names {
        // What connecting a calendar leaves for the worker is our own.
        let ours = format!("{name}/source/connected/");
        let of_it = |row: &&EventRow| row.source == name && !row.key.starts_with(&ours);
        let events: Vec<&EventRow> = events.iter().filter(of_it).collect();
        let (about, is_used) = connection(patient, &name, &events, &refused).await;
        if is_used {
            findings.extend(about);
        }
    }
    if findings.is_empty() {
        let kinds = Kind::value_variants().iter().map(|kind| kind.as_str());
        let kinds: Vec<&str> = kinds.collect();
        let todo = format!("callbell connect SYSTEM: {}", kinds.join(", "));
        findings.push(Finding::look("sources", "nothing is connected yet").todo(todo));
    }
    findings.extend(refused.unasked);
    findings
}

/// Connections that somebody named: in the file, with a secret, or by an event.
fn names(patient: &Patient<'_>, events: &[EventRow]) -> BTreeSet<String> {
    let connections = &patient.read.connections;
    let mut names: BTreeSet<String> = connections.0.keys().cloned().collect();
    names.extend(patient.keys.names(Table::Webhooks));
    names.extend(events.iter().map(|row| row.source.clone()));
    names.retain(|name| sources::by_kind(&connections.get(name).kind).is_some());
    names
}

/// What there is to say of one, and whether anybody uses it: a `callbell dev` has demo values for all.
async fn connection(
    patient: &Patient<'_>,
    name: &str,
    events: &[&EventRow],
    refused: &Refused,
) -> (Vec<Finding>, bool) {
    let mut findings = vec![secret(patient, name).await];
    if name == callbell::KIND {
        let (found, is_ours) = own(patient).await;
        findings.extend(found);
        findings.extend(last(patient, name, events));
        findings.extend(refused.by(patient, name));
        let is_used = is_ours || !events.is_empty() || !patient.keys.is_demo();
        return (findings, is_used);
    }
    let kind = Kind::parse(&patient.read.connections.get(name).kind);
    let mut is_used = !events.is_empty() || !patient.keys.is_demo();
    match kind {
        Some(kind) if kind.is_by_hand() => findings.push(by_hand(patient, name, kind, events)),
        Some(kind) => match webhooks(patient, name, kind).await {
            Ok((found, ours)) => {
                is_used |= ours;
                findings.extend(found);
            }
            Err(error) => findings.push(Finding::failed(name, &error)),
        },
        None => {}
    }
    findings.extend(last(patient, name, events));
    let refusals = refused.by(patient, name);
    is_used |= refusals.is_some();
    findings.extend(refusals);
    (findings, is_used)
}

/// A system that was set up on its own pages: it shows nobody what is set up there, so what came says it.
fn by_hand(patient: &Patient<'_>, name: &str, kind: Kind, events: &[&EventRow]) -> Finding {
    let title = kind.title();
    if !events.is_empty() {
        return Finding::good(name, format!("set up on {title}'s own pages, and it calls"));
    }
    let what = format!("{title} shows nobody what is set up on its pages: what came says it");
    let again = again(patient, name, kind);
    Finding::look(name, what).todo(format!("{again} shows the steps and the address again"))
}

/// The command that connects it, again or for the first time.
fn again(patient: &Patient<'_>, name: &str, kind: Kind) -> String {
    let named = if name == kind.as_str() {
        String::new()
    } else {
        format!(" --name {name}")
    };
    let flag = patient.on.flag();
    format!("callbell connect {}{named}{flag}", kind.as_str())
}

/// What the doors refused lately, where their logs can be read.
struct Refused {
    all: Vec<Refusal>,
    /// Why a log could not be read.
    unasked: Option<Finding>,
}

impl Refused {
    /// One question a door that any of these connections has.
    async fn ask(patient: &Patient<'_>, names: &BTreeSet<String>) -> Refused {
        let mut refused = Refused {
            all: Vec::new(),
            unasked: None,
        };
        let (Some(stack), Ok(since)) = (
            patient.on.stack(),
            patient.on.now().checked_sub(REFUSED_BACK),
        ) else {
            return refused;
        };
        let functions: BTreeSet<&str> = names.iter().map(|name| function(patient, name)).collect();
        for function in functions {
            let group = group(&stack.described.name, function);
            match logs::refusals(&stack.session, &group, since).await {
                Ok(found) => refused.all.extend(found),
                Err(error) => {
                    let what = format!("refused webhooks are not known: {error}");
                    let todo = format!("they stand in its log: aws logs tail {group} --since 1d");
                    refused.unasked = Some(Finding::look("logs", what).todo(todo));
                }
            }
        }
        refused
    }

    /// How many of a connection's, since when, and why the last one.
    fn by(&self, patient: &Patient<'_>, name: &str) -> Option<Finding> {
        let theirs = self.all.iter().filter(|refusal| refusal.source == name);
        let theirs: Vec<&Refusal> = theirs.collect();
        let (first, last) = (theirs.first()?, theirs.last()?);
        let zone = &patient.read.automations.defaults.timezone.zone;
        let at = |at| output::instant(at, zone);
        let held = match last.fingerprints.as_str() {
            "" => String::new(),
            prints => format!(" (fingerprint {prints})"),
        };
        let what = format!(
            "{} refused since {}, the last {}: {}{held}",
            theirs.len(),
            at(first.at),
            at(last.at),
            last.reason
        );
        let finding = Finding::look(name, what);
        // Another secret mends neither a stale signature nor a header that is absent.
        if !last.reason.starts_with(NO_MATCH) {
            return Some(finding);
        }
        let todo = format!(
            "whoever signs them has another secret: callbell secrets set {name} --add, then callbell secrets push{}",
            patient.on.flag()
        );
        Some(finding.todo(todo))
    }
}

/// The function whose door takes a connection's webhooks.
fn function(patient: &Patient<'_>, name: &str) -> &'static str {
    let kind = patient.read.connections.get(name).kind;
    sources::by_kind(&kind).map_or("orders", |source| source.function())
}

fn group(stack: &str, function: &str) -> String {
    format!("/aws/lambda/{stack}-{function}")
}

/// Callbell's own webhook: what proves it, and what the log of its deliveries shows. Whether it comes here.
async fn own(patient: &Patient<'_>) -> (Vec<Finding>, bool) {
    let name = callbell::KIND;
    let again = format!("callbell connect {name}{}", patient.on.flag());
    let values = patient.keys.get(Table::Webhooks, name);
    let mut findings = Vec::new();
    if account::path_of(&values).is_none() {
        let what = "no secret of the path: the door answers 401";
        findings.push(Finding::bad(name, what).todo(again.as_str()));
    }
    findings.push(if account::is_signed(&values) {
        Finding::good(name, "webhooks have to be signed".to_owned())
    } else {
        let todo = "Callbell: Settings, API, Webhooks, Generate secret; then callbell secrets set callbell --add";
        Finding::look(name, "its path is the only proof of a webhook").todo(todo)
    });
    let looked = match patient.on.callbell(patient.secrets).await {
        Ok(client) => account::look(&client, &patient.on.store, patient.on.now())
            .await
            .map_err(|error| CliError::new(error.to_string())),
        Err(error) => Err(error),
    };
    let zone = &patient.read.automations.defaults.timezone.zone;
    let at = |instant| output::instant(instant, zone);
    let (finding, is_ours) = match looked {
        Ok(Webhook::Here(newest)) => {
            let what = format!("the account's webhook is active: {}", at(newest));
            (Finding::good(name, what), true)
        }
        Ok(Webhook::Elsewhere(newest)) => {
            let what = format!(
                "the account's webhook goes somewhere else: what was delivered {} did not come here",
                at(newest)
            );
            (Finding::bad(name, what).todo(again), false)
        }
        Ok(Webhook::Failing(since, why)) => {
            let what = format!("the account's webhook since {}: {why}", at(since));
            (Finding::bad(name, what).todo(again), true)
        }
        Ok(Webhook::Unknown) => {
            let what = "Callbell shows no delivery of the last day, and not where it goes";
            (Finding::look(name, what).todo(again), false)
        }
        Err(error) => (Finding::failed(name, &error), false),
    };
    findings.push(finding);
    (findings, is_ours)
}

/// The webhook secret, here and where the door reads it.
async fn secret(patient: &Patient<'_>, name: &str) -> Finding {
    let here = patient.keys.get(Table::Webhooks, name);
    let prints = |values: &[Secret]| fingerprints(values).join(", ");
    let Some(stack) = patient.on.stack() else {
        return match here.as_slice() {
            [] => no_secret(patient, name),
            _ => Finding::good(name, format!("secret {}", prints(&here))),
        };
    };
    let there = match patient.keys.on_aws(Table::Webhooks, name).await {
        Ok(there) => there,
        Err(error) => return Finding::failed(name, &error),
    };
    let push = format!("callbell secrets push{}", stack.flag());
    let what = format!("secret {} here, {} on AWS", prints(&here), prints(&there));
    match (here.as_slice(), there.as_slice()) {
        ([], []) => no_secret(patient, name),
        (here, there) if here == there => {
            Finding::good(name, format!("secret {} here and on AWS", prints(here)))
        }
        (here, []) => Finding::bad(
            name,
            format!(
                "secret {} here, none on AWS: the door answers 404",
                prints(here)
            ),
        )
        .todo(push),
        ([], there) => Finding::look(name, format!("secret {} on AWS, none here", prints(there)))
            .todo(format!(
                "callbell secrets set {name}, or callbell connect takes it over"
            )),
        (here, there) if here.iter().all(|value| there.contains(value)) => Finding::look(
            name,
            format!("{what}: more are accepted than the file says"),
        )
        .todo(push),
        _ => Finding::bad(name, what).todo(push),
    }
}

fn no_secret(patient: &Patient<'_>, name: &str) -> Finding {
    let kind = patient.read.connections.get(name).kind;
    let todo = match Kind::parse(&kind) {
        Some(kind) => again(patient, name, kind),
        None => format!("callbell secrets set {name}"),
    };
    Finding::bad(name, "no secret: the door answers 404").todo(todo)
}

/// What is registered at the provider, and whether any of it is ours.
async fn webhooks(
    patient: &Patient<'_>,
    name: &str,
    kind: Kind,
) -> Result<(Vec<Finding>, bool), CliError> {
    let again = again(patient, name, kind);
    let mut credentials = patient.keys.get(Table::Apis, name);
    if credentials.is_empty() {
        credentials = patient.keys.on_aws(Table::Apis, name).await?;
    }
    let Some(credential) = credentials.first() else {
        let what = format!("{} was not asked: there is no credential", kind.title());
        return Ok((vec![Finding::look(name, what).todo(again)], false));
    };
    let row = patient.on.store.cursor(name).await?;
    if kind.as_str() == google_calendar::KIND && row.is_none() {
        let what = "no calendar is watched";
        return Ok((vec![Finding::bad(name, what).todo(again)], false));
    }
    let apis = patient.on.apis()?;
    let asked = Asked {
        apis: &apis,
        store: &patient.on.store,
        connection: name,
    };
    let url = patient.on.door(kind.function(), name)?;
    let mailbox = patient.on.store.mailbox(name).await?;
    let mut options = Options {
        calendar: row.map(|row| row.calendar),
        topic: mailbox.map(|row| row.topic),
        ..Options::default()
    };
    let told = |failure: connect::Failure| failure.told(name);
    let mut provider = kind.open(asked, credential, &options)?;
    let hooks = match provider.hooks().await {
        // Of an account that shows its own webhooks alone.
        Err(failure) if kind.as_str() == "calendly" => {
            options.scope = Some("user".to_owned());
            provider = kind.open(asked, credential, &options)?;
            provider.hooks().await.map_err(|_| told(failure))?
        }
        other => other.map_err(told)?,
    };
    let needs = needs::needs(&patient.read.automations, &patient.read.text, name, kind);
    let ours = hooks.iter().any(|hook| plan::is_same(&hook.url, &url));
    let seen = Seen {
        name,
        kind,
        url: &url,
        needs: &needs,
        again,
    };
    let mut findings = seen.registered(provider.as_ref(), &hooks);
    for line in provider.withheld().await.map_err(told)? {
        findings.push(Finding::bad(name, line));
    }
    for line in provider.about().await.map_err(told)? {
        findings.push(Finding::good(name, line));
    }
    Ok((findings, ours))
}

/// One connection at its provider.
struct Seen<'a> {
    name: &'a str,
    kind: Kind,
    url: &'a str,
    needs: &'a [Need],
    /// The command that mends it.
    again: String,
}

impl Seen<'_> {
    fn registered(&self, provider: &dyn Provider, hooks: &[Hook]) -> Vec<Finding> {
        let topics = needs::wanted(self.kind, self.needs);
        let own = hooks
            .iter()
            .find(|hook| plan::is_same(&hook.url, self.url))
            .and_then(|hook| hook.scope.clone());
        let wish = Wish {
            url: self.url,
            topics: &topics,
            one_each: provider.one_each(),
            // In whichever scope it was connected; where nobody chose one, each has its own.
            scope: provider.scope().and(own.as_deref()),
            renew: false,
        };
        let plan = plan::plan(hooks, &wish);
        let bad = |what: String| Finding::bad(self.name, what).todo(self.again.as_str());
        let mut findings = Vec::new();
        for hook in &plan.keep {
            findings.extend(hook.failing.as_ref().map(|_| {
                Finding::look(
                    self.name,
                    format!("webhook {} is {}", hook.id, hook.state()),
                )
                .todo("what the door answered stands in its log; an answer of 200 ends it")
            }));
        }
        for (hook, _, why) in &plan.replace {
            findings.push(bad(format!("webhook {} is {why}", hook.id)));
        }
        for topics in &plan.register {
            let what = format!("not registered: {}", topics.join(", "));
            findings.push(match (provider.secret(), plan.keep.is_empty()) {
                // Shopify's own pages and files register webhooks that its API does not show.
                (SecretOf::Theirs(_) | SecretOf::Known(_), _) => Finding::look(
                    self.name,
                    format!(
                        "{what} (those made on Shopify's pages or in an app's file are not shown)"
                    ),
                )
                .todo(self.again.as_str()),
                _ => bad(what),
            });
        }
        for (hook, why) in &plan.surplus {
            let what = format!("webhook {} is {why}", hook.id);
            findings.push(Finding::look(self.name, what).todo(self.again.as_str()));
        }
        for hook in &plan.elsewhere {
            let what = format!("another webhook goes to {}", hook.url);
            findings.push(Finding::look(self.name, what));
        }
        if plan.is_done() {
            let what = format!("webhooks are active: {}", topics.join(", "));
            findings.insert(0, Finding::good(self.name, what));
        }
        findings
    }
}

/// The last event, and the last body that could not be read where that is newer.
fn last(patient: &Patient<'_>, name: &str, events: &[&EventRow]) -> Vec<Finding> {
    let zone = &patient.read.automations.defaults.timezone.zone;
    let at = |row: &EventRow| output::instant(row.received_at, zone);
    let readable = events
        .iter()
        .rev()
        .find(|row| row.status != EventStatus::Unreadable);
    let unreadable = events
        .iter()
        .rev()
        .find(|row| row.status == EventStatus::Unreadable);
    let mut findings = vec![match readable {
        Some(row) => {
            let event = row.name.map_or("", |name| name.as_str());
            Finding::good(name, format!("last event {}: {event}", at(row)))
        }
        None => Finding::look(name, "no event in the last 7 days").todo(log(patient, name)),
    }];
    if let Some(row) = unreadable {
        let why = row.problem.as_deref().unwrap_or_default();
        let what = format!("could not be read at {}: {why}", at(row));
        findings.push(Finding::look(name, what).todo("callbell events --since 7d"));
    }
    findings
}

/// Where refusals are: the door stores nothing of what it does not believe.
fn log(patient: &Patient<'_>, name: &str) -> String {
    match patient.on.stack() {
        Some(stack) => format!(
            "refused ones are in the door's log: aws logs tail {} --since 1d",
            group(&stack.described.name, function(patient, name))
        ),
        None => "refused ones are in the output of callbell dev".to_owned(),
    }
}
