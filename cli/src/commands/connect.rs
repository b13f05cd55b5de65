//! `callbell connect`: registers our webhooks at the system that sends them. The secret first, so that no
//! event is refused; then the registration; then a first event. Every step can be repeated: what an
//! interrupted one left behind is recognised.

mod by_hand;
mod callbell;

use std::path::Path;
use std::time::{Duration, Instant};

use engine::automations::model::SourceTable;
use engine::automations::{listing, parse};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::connections::{Connection, Connections};
use shared::secrets::Secret;
use shared::store::EventFilter;

use super::Outcome;
use crate::args::ConnectArgs;
use crate::connect::keys::{self, Keys, Table};
use crate::connect::needs::{self, Need};
use crate::connect::plan::{self, Plan, Wish};
use crate::connect::{self, Asked, Failure, Hook, New, Options, Provider, SecretOf};
use crate::error::CliError;
use crate::installation::Installation;
use crate::output::{self, Cell, count};
use crate::project::{self, AUTOMATIONS, SECRETS};
use crate::{ask, lists};

/// How often the events are looked at while waiting for the first one, in milliseconds: on this machine,
/// and on AWS, where each look is a scan.
const LOOK_MS: (u64, u64) = (250, 5_000);

/// Registers, lists or removes webhooks.
///
/// # Errors
/// The automations have errors, a credential is not good, or somebody does not answer.
pub async fn run(args: &ConnectArgs) -> Outcome {
    let on = Installation::of(&args.target).await?;
    let file = automations(&args.automations, &on).await?;
    let name = connection(args, &file.connections)?;
    must_be_pushed(args, &name, &on).await?;
    let own = file.connections.get(&name);
    let mut work = Work {
        args,
        name: &name,
        connection: &own,
        table: file.automations.sources.get(&name),
        url: on.door(args.kind.function(), &name)?,
        needs: needs::needs(&file.automations, &file.text, &name, args.kind),
        file: &file.name,
        on: &on,
    };
    let secrets = args.automations.with_file_name(SECRETS);
    let mut keys = Keys::of(&on, &secrets)?;
    if args.kind.as_str() == shared::sources::callbell::KIND {
        return work.callbell(&mut keys, &secrets).await;
    }
    if args.kind.is_by_hand() {
        return work.by_hand(&mut keys).await;
    }
    let (provider, hooks) = work.open(&mut keys).await?;
    if args.list {
        return work.list(&hooks);
    }
    if args.remove.is_some() || args.remove_all {
        return work.remove(provider.as_ref(), &hooks).await;
    }
    work.connect(provider.as_ref(), &hooks, &mut keys).await
}

/// The automations, and where they stand.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) automations: engine::automations::model::Automations,
    pub(super) connections: Connections,
}

/// The automations of the file; without one, those that are in use.
///
/// # Errors
/// They have errors, or there are none.
pub(super) async fn automations(path: &Path, on: &Installation) -> Result<Read, CliError> {
    let (name, text) = if path.exists() {
        let files = project::Files::read(path)?;
        (path.display().to_string(), files.text)
    } else {
        let pushed = on.store.config().await?.ok_or_else(|| {
            CliError::new(format!(
                "there is no {}, and nothing was pushed",
                path.display()
            ))
            .hint("callbell init writes a first one")
        })?;
        ("the pushed automations".to_owned(), pushed.file)
    };
    let automations = parse(&text).map_err(|diagnostics| {
        output::say(listing(&name, &diagnostics).trim_end());
        CliError::new(format!("{name} cannot be used")).hint("callbell check shows the same")
    })?;
    Ok(Read {
        connections: project::connections(&automations),
        name,
        text,
        automations,
    })
}

/// The connection's name: the one that was typed, the only one of this kind in the file, else the kind.
fn connection(args: &ConnectArgs, connections: &Connections) -> Result<String, CliError> {
    let kind = args.kind.as_str();
    if let Some(name) = &args.name {
        let found = connections.get(name).kind;
        if found != kind {
            return Err(CliError::new(format!(
                "{AUTOMATIONS} has no [source.{name}] with kind = \"{kind}\""
            ))
            .hint(format!(
                "write it, then callbell push:\n  [source.{name}]\n  kind = \"{kind}\""
            )));
        }
        return Ok(name.clone());
    }
    let mut of_kind = connections.0.values().filter(|one| one.kind == kind);
    match (of_kind.next(), of_kind.next()) {
        (Some(only), None) => Ok(only.name.clone()),
        (None, _) => Ok(kind.to_owned()),
        (Some(first), Some(_)) => Err(CliError::new(format!(
            "{AUTOMATIONS} has several sources of the kind {kind}"
        ))
        .hint(format!("which one? --name {}", first.name))),
    }
}

/// The door knows a name of our own by what was pushed alone, and answers 404 until then.
async fn must_be_pushed(args: &ConnectArgs, name: &str, on: &Installation) -> Result<(), CliError> {
    let kind = args.kind.as_str();
    if name == kind || args.list || args.remove.is_some() || args.remove_all {
        return Ok(());
    }
    let pushed = on.store.connections().await?.unwrap_or_default();
    if pushed.get(name).kind == kind {
        return Ok(());
    }
    Err(CliError::new(format!(
        "[source.{name}] is not pushed yet: its webhooks would be refused"
    ))
    .hint(format!(
        "callbell push{}, then this command again",
        on.flag()
    )))
}

/// What one command works on.
struct Work<'a> {
    args: &'a ConnectArgs,
    name: &'a str,
    connection: &'a Connection,
    /// `[source.NAME]`, where there is one.
    table: Option<&'a SourceTable>,
    /// Where the webhooks go.
    url: String,
    needs: Vec<Need>,
    /// The automations, for sentences.
    file: &'a str,
    on: &'a Installation,
}

/// What was done, for `--json`.
#[derive(Default)]
struct Done {
    secret: Option<String>,
    registered: Vec<String>,
    replaced: Vec<String>,
    removed: Vec<String>,
}

impl Work<'_> {
    /// The provider and what is registered there. A credential that was asked for is kept once it is good.
    async fn open(&self, keys: &mut Keys<'_>) -> Result<(Box<dyn Provider>, Vec<Hook>), CliError> {
        let kind = self.args.kind;
        let mut known = keys.get(Table::Apis, self.name);
        if known.is_empty() {
            known = keys.on_aws(Table::Apis, self.name).await?;
        }
        let credential = match known.first() {
            Some(credential) => credential.clone(),
            None => connect::credential(kind, self.name)?,
        };
        let options = self.options().await?;
        let credential = kind.complete(&credential, &options)?;
        match known.first_mut() {
            Some(first) => first.clone_from(&credential),
            None => known.push(credential.clone()),
        }
        let asked = Asked {
            apis: &self.on.apis()?,
            store: &self.on.store,
            connection: self.name,
        };
        let provider = kind.open(asked, &credential, &options)?;
        let hooks = provider
            .hooks()
            .await
            .map_err(|failure| failure.told(self.name))?;
        // The workers ask the provider too.
        if keys.keep(Table::Apis, self.name, &known).await? {
            let print = credential.fingerprint();
            self.say(format!(
                "credential (fingerprint {print}) kept in {}",
                self.kept_in(keys, Table::Apis)
            ));
        }
        Ok((provider, hooks))
    }

    /// What the flags say; a calendar and a topic are known from the first time on.
    async fn options(&self) -> Result<Options, CliError> {
        let calendar = match &self.args.calendar {
            Some(calendar) => Some(calendar.clone()),
            None => self
                .on
                .store
                .cursor(self.name)
                .await?
                .map(|row| row.calendar),
        };
        let topic = match &self.args.topic {
            Some(topic) => Some(topic.clone()),
            None => self.on.store.mailbox(self.name).await?.map(|row| row.topic),
        };
        Ok(Options {
            scope: self.args.scope.clone(),
            shop: self.args.shop.clone(),
            url: self.args.url.clone(),
            calendar,
            form: self.args.form.clone(),
            topic,
        })
    }

    /// The steps, in this order.
    async fn connect(
        &self,
        provider: &dyn Provider,
        hooks: &[Hook],
        keys: &mut Keys<'_>,
    ) -> Outcome {
        let topics = needs::wanted(self.args.kind, &self.needs);
        self.say(format!("{} → {}", self.name, self.url));
        self.tell_needs(&topics);
        let (mut values, renew) = self.secret(provider, hooks, keys).await?;
        let wish = Wish {
            url: &self.url,
            topics: &topics,
            one_each: provider.one_each(),
            scope: provider.scope(),
            renew,
        };
        let plan = plan::plan(hooks, &wish);
        if !self.agreed(&plan)? {
            self.say("nothing was changed");
            return Ok(1);
        }
        let started = self.on.now();
        let mut done = Done::default();
        self.keep(keys, &values, &mut done).await?;
        let given = self.args.kind.given(&values).cloned();
        let secret = given.unwrap_or_else(|| Secret::new(""));
        if !self.steps_are_done(provider, &plan, &secret)? {
            self.say("nothing was registered; this command again goes on from here");
            return Ok(1);
        }
        self.carry_out(provider, &plan, &secret, &mut done).await?;
        if matches!(provider.secret(), SecretOf::Made) && !plan.is_done() {
            self.start(provider, keys, &mut values, &mut done).await?;
        }
        self.elsewhere(provider, &plan, &mut done).await?;
        self.report(provider, &plan, done, started).await
    }

    /// Keeps the values that the door is to accept; says so where that is new.
    async fn keep(
        &self,
        keys: &mut Keys<'_>,
        values: &[Secret],
        done: &mut Done,
    ) -> Result<(), CliError> {
        // A provider that makes secrets has made none yet.
        if values.is_empty() || !keys.keep(Table::Webhooks, self.name, values).await? {
            return Ok(());
        }
        let print = self.args.kind.given(values).map(Secret::fingerprint);
        self.say(format!(
            "secret (fingerprint {}) kept in {}",
            print.clone().unwrap_or_default(),
            self.kept_in(keys, Table::Webhooks)
        ));
        done.secret = print;
        Ok(())
    }

    /// Keeps what the provider made for webhooks that wait for it, and only then has them post.
    async fn start(
        &self,
        provider: &dyn Provider,
        keys: &mut Keys<'_>,
        values: &mut Vec<Secret>,
        done: &mut Done,
    ) -> Result<(), CliError> {
        let told = |failure: Failure| failure.told(self.name);
        let hooks = provider.hooks().await.map_err(told)?;
        self.made(provider, &hooks, values).await?;
        self.keep(keys, values, done).await?;
        for hook in self.ours(&hooks).filter(|hook| hook.off.is_some()) {
            provider.start(&hook.id).await.map_err(told)?;
        }
        Ok(())
    }

    /// Puts what our webhooks are signed with in front, where the provider makes that.
    async fn made(
        &self,
        provider: &dyn Provider,
        hooks: &[Hook],
        values: &mut Vec<Secret>,
    ) -> Result<(), CliError> {
        for hook in self.ours(hooks) {
            let made = provider.made(&hook.id).await;
            if let Some(made) = made.map_err(|failure| failure.told(self.name))? {
                values.retain(|value| *value != made);
                values.insert(0, made);
            }
        }
        Ok(())
    }

    /// The webhooks that come to our door.
    fn ours<'h>(&'h self, hooks: &'h [Hook]) -> impl Iterator<Item = &'h Hook> {
        let ours = |hook: &&Hook| plan::is_same(&hook.url, &self.url);
        hooks.iter().filter(ours)
    }

    /// Which topics are needed, and by what.
    fn tell_needs(&self, topics: &[&str]) {
        self.say(format!("topics: {}", topics.join(", ")));
        if self.needs.is_empty() {
            self.say(format!("{} uses no event of it yet", self.file));
        }
        for need in &self.needs {
            self.say(format!(
                "  {}: {} ({}:{})",
                need.event, need.automation, self.file, need.line
            ));
        }
    }

    /// The values that the door is to accept, the one to sign with first; and whether what is registered
    /// has to be signed anew.
    async fn secret(
        &self,
        provider: &dyn Provider,
        hooks: &[Hook],
        keys: &Keys<'_>,
    ) -> Result<(Vec<Secret>, bool), CliError> {
        let mut values = keys.get(Table::Webhooks, self.name);
        for value in keys.on_aws(Table::Webhooks, self.name).await? {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        match provider.secret() {
            SecretOf::Ours => {}
            SecretOf::Theirs(own) => {
                values.retain(|value| *value != own);
                values.insert(0, own);
                return Ok((values, false));
            }
            SecretOf::Known(where_from) if values.is_empty() => {
                return Err(
                    CliError::new(format!("there is no secret of {}", self.name))
                        .hint(format!("{where_from} {}", self.name)),
                );
            }
            SecretOf::Known(_) => return Ok((values, false)),
            SecretOf::Made if self.args.rotate => {
                let title = self.args.kind.title();
                return Err(CliError::new(format!(
                    "{title} makes the secret of a webhook: --rotate has none to make"
                ))
                .hint(format!(
                    "reset it at {title}, on the page of the webhook or by its API; then this command again without --rotate fetches it, and the old one stays accepted"
                )));
            }
            SecretOf::Made => {
                self.made(provider, hooks, &mut values).await?;
                return Ok((values, false));
            }
        }
        let renew = self.args.kind.given(&values).is_none() || self.args.rotate;
        if renew {
            let options = self.options().await?;
            let made = self.args.kind.webhook_secret(keys::make()?, &options)?;
            values.insert(0, made);
        }
        Ok((values, renew))
    }

    /// Shows what is registered and has to change, and asks.
    fn agreed(&self, plan: &Plan) -> Result<bool, CliError> {
        for (hook, _, why) in &plan.replace {
            self.say(format!("to be replaced: {} ({why})", self.told(hook)));
        }
        for (hook, why) in &plan.surplus {
            self.say(format!("to be removed: {} ({why})", self.told(hook)));
        }
        if plan.replace.is_empty() && plan.surplus.is_empty() {
            return Ok(true);
        }
        Ok(self.args.yes || ask::confirm("go on?")?)
    }

    /// Says what a person has to do before anything can be registered, and waits for their word.
    fn steps_are_done(
        &self,
        provider: &dyn Provider,
        plan: &Plan,
        secret: &Secret,
    ) -> Result<bool, CliError> {
        if plan.register.is_empty() && plan.replace.is_empty() {
            return Ok(true);
        }
        let steps = provider.steps(&New {
            url: &self.url,
            topics: &[],
            secret,
        });
        for (number, step) in steps.iter().enumerate() {
            self.say(format!("{}. {step}", number.saturating_add(1)));
        }
        let asked = !steps.is_empty() && !self.args.yes && !self.args.json && ask::is_terminal();
        Ok(!asked || ask::confirm("is that done?")?)
    }

    async fn carry_out(
        &self,
        provider: &dyn Provider,
        plan: &Plan,
        secret: &Secret,
        done: &mut Done,
    ) -> Result<(), CliError> {
        let told = |failure: Failure| failure.told(self.name);
        let address = self.args.kind.address(&self.url, secret);
        let new = |topics| New {
            url: &address,
            topics,
            secret,
        };
        for (hook, topics, _) in &plan.replace {
            provider
                .replace(&hook.id, &new(topics))
                .await
                .map_err(told)?;
            self.say(format!("replaced: {}", topics.join(", ")));
            done.replaced.push(hook.id.clone());
        }
        for (hook, _) in &plan.surplus {
            provider.remove(&hook.id).await.map_err(told)?;
            self.say(format!("removed: {}", hook.id));
            done.removed.push(hook.id.clone());
        }
        for topics in &plan.register {
            match provider.register(&new(topics)).await {
                Err(Failure::Exists(title)) => {
                    // Somebody else was faster, or an answer of ours was lost.
                    let hooks = provider.hooks().await.map_err(told)?;
                    let twin = hooks.iter().find(|hook| {
                        plan::is_same(&hook.url, &self.url)
                            && topics
                                .iter()
                                .all(|topic| hook.topics.iter().any(|other| other == topic))
                    });
                    let twin = twin.ok_or_else(|| Failure::Exists(title).told(self.name))?;
                    provider
                        .replace(&twin.id, &new(topics))
                        .await
                        .map_err(told)?;
                }
                other => other.map_err(told)?,
            }
            self.say(format!("registered: {}", topics.join(", ")));
            done.registered
                .extend(topics.iter().map(|topic| (*topic).to_owned()));
        }
        Ok(())
    }

    /// Webhooks to our path at another address may be another stack's that is in use: they go only where
    /// a person says so.
    async fn elsewhere(
        &self,
        provider: &dyn Provider,
        plan: &Plan,
        done: &mut Done,
    ) -> Result<(), CliError> {
        for hook in &plan.elsewhere {
            self.say(format!("at another address: {}", self.told(hook)));
            let asked = !self.args.yes && !self.args.json && ask::is_terminal();
            if asked && ask::confirm("is that an old one of yours, to be removed?")? {
                let removed = provider.remove(&hook.id).await;
                removed.map_err(|failure| failure.told(self.name))?;
                done.removed.push(hook.id.clone());
            } else {
                self.say(format!(
                    "  it stays; an old one is removed by: callbell connect {} --remove {}{}",
                    self.args.kind.as_str(),
                    hook.id,
                    self.on.flag()
                ));
            }
        }
        Ok(())
    }

    /// Looks at what is registered now, waits for a first event, and says what will never come.
    async fn report(
        &self,
        provider: &dyn Provider,
        plan: &Plan,
        done: Done,
        started: Timestamp,
    ) -> Outcome {
        let told = |failure: Failure| failure.told(self.name);
        let hooks = provider.hooks().await.map_err(told)?;
        let registered = serving(&hooks, &self.url);
        let unmet = needs::unmet(self.args.kind, &self.needs, &registered);
        for line in provider.about().await.map_err(told)? {
            self.say(line);
        }
        if plan.is_done() {
            self.say(format!("{} is connected: nothing to do", self.name));
        }
        let seen = match plan.register.is_empty() && plan.replace.is_empty() {
            true => None,
            false if self.args.no_wait => None,
            false => self.wait(started).await?,
        };
        for need in &unmet {
            self.say(format!(
                "missing: {} does not come from {}: {} ({}:{})",
                need.event,
                self.args.kind.title(),
                need.automation,
                self.file,
                need.line
            ));
        }
        let withheld = provider.withheld().await.map_err(told)?;
        for line in &withheld {
            self.say(format!("missing: {line}"));
        }
        if self.args.json {
            output::json(&json!({
                "connection": self.name, "kind": self.args.kind.as_str(), "url": self.url,
                "secret": done.secret, "registered": done.registered, "replaced": done.replaced,
                "removed": done.removed, "topics": registered,
                "missing": unmet.iter().map(|need| needed(need)).collect::<Vec<_>>(),
                "withheld": withheld,
                "elsewhere": plan.elsewhere.iter().map(shown).collect::<Vec<_>>(),
                "first_event_after_s": seen.map(|seen| seen.as_secs()),
            }))?;
        }
        Ok(u8::from(!unmet.is_empty()))
    }

    /// Waits for the first event that the door stores; how long that took. Stopping it harms nothing.
    async fn wait(&self, since: Timestamp) -> Result<Option<Duration>, CliError> {
        let limit = Duration::from_secs(self.args.wait);
        self.say(format!(
            "waiting for a first event, at most {} s: {} (Ctrl-C does no harm)",
            limit.as_secs(),
            self.args.kind.provoke()
        ));
        let (here, there) = LOOK_MS;
        let pause = if self.on.stack().is_some() {
            there
        } else {
            here
        };
        let started = Instant::now();
        let filter = EventFilter {
            source: Some(self.name.to_owned()),
            since: Some(since),
            ..EventFilter::default()
        };
        while started.elapsed() < limit {
            let events = lists::events(&self.on.store, &filter).await?;
            // What connecting a calendar leaves for the worker is our own.
            let ours = format!("{}/source/connected/", self.name);
            if let Some(first) = events.iter().find(|event| !event.key.starts_with(&ours)) {
                let after = started.elapsed();
                let what = match (&first.name, &first.problem) {
                    (Some(name), _) => name.to_string(),
                    (None, problem) => problem.clone().unwrap_or_default(),
                };
                self.say(format!("seen after {} s ✓ {what}", after.as_secs()));
                return Ok(Some(after));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        self.say(format!(
            "none yet: the webhooks stay registered; callbell doctor{} shows the first one",
            self.on.flag()
        ));
        Ok(None)
    }

    fn list(&self, hooks: &[Hook]) -> Outcome {
        if self.args.json {
            output::json(&hooks.iter().map(shown).collect::<Vec<_>>())?;
            return Ok(0);
        }
        let row = |hook: &Hook| -> Vec<Cell> {
            let ours = plan::is_same(&hook.url, &self.url);
            vec![
                hook.id.as_str().into(),
                if ours { "yes" } else { "" }.into(),
                hook.state().into(),
                hook.scope.clone().unwrap_or_default().into(),
                hook.url.as_str().into(),
                hook.topics.join(", ").into(),
            ]
        };
        let rows: Vec<Vec<Cell>> = hooks.iter().map(row).collect();
        if rows.is_empty() {
            self.say(format!("{} has no webhooks", self.args.kind.title()));
            return Ok(0);
        }
        let head = ["id", "ours", "state", "scope", "URL", "topics"];
        self.say(output::table(&head, &rows).trim_end());
        Ok(0)
    }

    async fn remove(&self, provider: &dyn Provider, hooks: &[Hook]) -> Outcome {
        let chosen: Vec<&Hook> = match &self.args.remove {
            Some(id) => hooks.iter().filter(|hook| hook.id == *id).collect(),
            None => hooks
                .iter()
                .filter(|hook| plan::is_same(&hook.url, &self.url))
                .collect(),
        };
        if chosen.is_empty() {
            return match &self.args.remove {
                Some(id) => Err(CliError::new(format!("there is no webhook {id}"))
                    .hint("add --list to see them")),
                None => {
                    self.say("none of its webhooks goes here: nothing to remove");
                    Ok(0)
                }
            };
        }
        for hook in &chosen {
            self.say(self.told(hook));
        }
        let what = count(chosen.len(), "webhook");
        if !self.args.yes && !ask::confirm(&format!("remove {what}?"))? {
            self.say("nothing was removed");
            return Ok(1);
        }
        for hook in &chosen {
            let removed = provider.remove(&hook.id).await;
            removed.map_err(|failure| failure.told(self.name))?;
        }
        self.say(format!("removed {what}; the secret stays where it is"));
        if self.args.json {
            let ids: Vec<&str> = chosen.iter().map(|hook| hook.id.as_str()).collect();
            output::json(&json!({ "removed": ids }))?;
        }
        Ok(0)
    }

    fn told(&self, hook: &Hook) -> String {
        format!(
            "{} {} [{}] → {}",
            hook.id,
            hook.state(),
            hook.topics.join(", "),
            hook.url
        )
    }

    fn kept_in(&self, keys: &Keys<'_>, table: Table) -> String {
        match self.on.stack() {
            None => keys.place(),
            Some(stack) => format!("{} and {}", keys.place(), stack.secret(table.as_str())),
        }
    }

    /// A line for the person; programs get one JSON value at the end.
    fn say(&self, line: impl AsRef<str>) {
        if !self.args.json {
            output::say(line);
        }
    }
}

/// The topics that come to our door.
fn serving(hooks: &[Hook], url: &str) -> Vec<String> {
    let ours = hooks
        .iter()
        .filter(|hook| hook.off.is_none() && plan::is_same(&hook.url, url));
    ours.flat_map(|hook| hook.topics.clone()).collect()
}

fn needed(need: &Need) -> Value {
    json!({ "event": need.event.as_str(), "automation": need.automation, "line": need.line })
}

fn shown(hook: &Hook) -> Value {
    json!({
        "id": hook.id, "url": hook.url, "topics": hook.topics, "state": hook.state(),
        "scope": hook.scope,
    })
}
