//! `callbell check`: every mistake of a file at once, each with its place and what to write instead.
//!
//! The grammar is the parser's business. Here every expression and text is looked through for fields
//! that its events do not have, and then tried over four samples of each of its events, in each locale.

mod account;
mod actions;
mod appointment;
mod message;
mod place;
mod posts;
mod strings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jiff::Timestamp;
use shared::event::Name;

use super::account::Account;
use super::diagnostic::{Diagnostic, Severity, Source, listing};
use super::model::{Automation, Automations, ByLocale, Consent, Crm, RuleDeed, Step};
use super::parse::{self, Sites};
use super::templates::Templates;
use super::{locale, syntax};

/// What a check found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file as types; `None` where it has an error.
    pub automations: Option<Automations>,
    /// Errors and warnings, by line and column.
    pub diagnostics: Vec<Diagnostic>,
    /// How much was looked at.
    pub counts: Counts,
}

/// How much a file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// `[automation.x]`.
    pub automations: usize,
    /// `[message.x]`.
    pub messages: usize,
    /// Different locales of messages, the default one included.
    pub locales: usize,
}

impl Report {
    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .count()
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.diagnostics.len() - self.errors()
    }

    /// `4 errors, 1 warning; 6 automations, 9 messages, 3 locales`.
    pub fn summary(&self) -> String {
        let counted = |number: usize, one: &str| {
            format!("{number} {one}{}", if number == 1 { "" } else { "s" })
        };
        let Counts {
            automations,
            messages,
            locales,
        } = self.counts;
        format!(
            "{}, {}; {}, {}, {}",
            counted(self.errors(), "error"),
            counted(self.warnings(), "warning"),
            counted(automations, "automation"),
            counted(messages, "message"),
            counted(locales, "locale"),
        )
    }

    /// The whole listing, a line a mistake and the summary, as a terminal shows it. `file` is the name
    /// that the positions begin with.
    pub fn render(&self, file: &str) -> String {
        format!("{}{}\n", listing(file, &self.diagnostics), self.summary())
    }
}

/// Checks a file. With `templates` placeholders are counted and categories compared; an empty set is
/// none. `now` is the time that the samples are made for.
pub fn check(text: &str, templates: Option<&Templates>, now: Timestamp) -> Report {
    // Before the first pull nothing is known, which is no reason to complain.
    let templates = templates.filter(|templates| !templates.is_empty());
    against(text, templates, None, now)
}

/// [`check()`] against an account: also whether it has the file's channels, templates and teams.
pub fn check_account(text: &str, account: &Account, now: Timestamp) -> Report {
    against(text, Some(account.templates()), Some(account), now)
}

fn against(
    text: &str,
    templates: Option<&Templates>,
    account: Option<&Account>,
    now: Timestamp,
) -> Report {
    let parsed = parse::read(text);
    let mut checker = Checker {
        source: Source { text },
        file: &parsed.automations,
        sites: &parsed.sites,
        templates,
        kept: account.is_none(),
        now,
        used: parsed.used,
        doubtful: parsed.doubtful,
        failed: BTreeSet::new(),
        diagnostics: parsed.diagnostics,
    };
    checker.posts();
    checker.automations();
    checker.messages();
    checker.actions();
    if let Some(account) = account {
        checker.account(account);
    }
    if !parsed.broken {
        checker.unused();
    }
    let mut diagnostics = checker.diagnostics;
    diagnostics.sort_by(|a, b| {
        (a.line, a.column, a.severity, &a.message).cmp(&(b.line, b.column, b.severity, &b.message))
    });
    diagnostics.dedup();
    let counts = counts(&parsed.automations);
    let wrong = diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error);
    Report {
        automations: (!wrong).then_some(parsed.automations),
        diagnostics,
        counts,
    }
}

fn counts(file: &Automations) -> Counts {
    let mut locales = BTreeSet::from([file.defaults.locale.clone()]);
    fn add<T>(locales: &mut BTreeSet<String>, table: Option<&ByLocale<T>>) {
        if let Some(ByLocale::Each(each)) = table {
            locales.extend(each.keys().cloned());
        }
    }
    for message in file.messages.values() {
        add(&mut locales, message.text.as_ref());
        add(&mut locales, message.template.as_ref());
        add(&mut locales, message.values.as_ref());
        add(&mut locales, message.media.as_ref().map(|media| &media.url));
    }
    Counts {
        automations: file.automations.len(),
        messages: file.messages.len(),
        locales: locales.len(),
    }
}

struct Checker<'c> {
    source: Source<'c>,
    file: &'c Automations,
    sites: &'c Sites,
    templates: Option<&'c Templates>,
    /// The templates are those of `templates.json`, which may be older than the account.
    kept: bool,
    now: Timestamp,
    used: BTreeSet<(&'static str, String)>,
    /// Kinds of tables of which some name was wrong: perhaps it meant the one that nothing uses.
    doubtful: BTreeSet<&'static str>,
    /// Texts that failed or came out blank: once is enough, whatever the locale.
    failed: BTreeSet<String>,
    diagnostics: Vec<Diagnostic>,
}

/// Which events make a message, and to whom it may go.
#[derive(Default)]
struct Use {
    events: BTreeSet<Name>,
    /// Some automation sends it to somebody else than the event's customer.
    to_others: bool,
}

impl<'c> Checker<'c> {
    fn report(&mut self, severity: Severity, span: &Range<usize>, message: String) {
        let one = self.source.diagnostic(severity, span, message);
        self.diagnostics.push(one);
    }

    fn error(&mut self, span: &Range<usize>, message: String) {
        self.report(Severity::Error, span, message);
    }

    fn warning(&mut self, span: &Range<usize>, message: String) {
        self.report(Severity::Warning, span, message);
    }

    /// Where something stands; the start of the file for what was never written.
    fn site(&self, path: &str) -> Range<usize> {
        self.sites.get(path).cloned().unwrap_or(0..0)
    }

    fn automations(&mut self) {
        for (name, one) in &self.file.automations {
            self.automation(name, one);
        }
    }

    fn automation(&mut self, name: &str, one: &Automation) {
        let path = format!("automation.{name}");
        let events = appointment::all_events_of(one);
        let many = one.steps.len() > 1 || self.sites.contains_key(&format!("{path}.steps[0]"));
        if let Some(when) = &one.when {
            self.condition(
                &format!("{path}.when"),
                &format!("when of {name}"),
                when,
                &events,
                true,
            );
        }
        if let Some(Consent::Expr(consent)) = &one.consent {
            self.condition(
                &format!("{path}.consent"),
                &format!("consent of {name}"),
                consent,
                &events,
                true,
            );
        }
        if let Some(to) = &one.to {
            self.recipient(&format!("{path}.to"), &format!("to of {name}"), to, &events);
        }
        if let Some(locale) = &one.locale {
            self.short_text(
                &format!("{path}.locale"),
                &format!("locale of {name}"),
                locale,
                &events,
            );
        }
        self.own_echo(&path, name, one);
        for (index, step) in one.steps.iter().enumerate() {
            let (path, label) = match many {
                true => (
                    format!("{path}.steps[{index}]"),
                    format!("step {} of {name}", index + 1),
                ),
                false => (path.clone(), name.to_owned()),
            };
            let events = appointment::events_of(one, step);
            if let Some(when) = &step.when {
                self.condition(
                    &format!("{path}.when"),
                    &format!("when of {label}"),
                    when,
                    &events,
                    false,
                );
            }
            if let Some(to) = &step.to {
                self.recipient(
                    &format!("{path}.to"),
                    &format!("to of {label}"),
                    to,
                    &events,
                );
            }
            self.appointment_step(&path, name, one, step);
            self.template_channel(&path, one, step);
        }
    }

    /// What is sent because something was delivered is delivered as well.
    fn own_echo(&mut self, path: &str, name: &str, one: &Automation) {
        let echoes = [Name::MessageDelivered, Name::MessageRead];
        let event = one.on.iter().find(|event| echoes.contains(event));
        let sends = |step: &Step| step.action.message().is_some();
        let Some(event) = event.filter(|_| one.when.is_none() && one.steps.iter().any(sends))
        else {
            return;
        };
        let span = self.site(path);
        self.warning(
            &span,
            format!("{name} sends a message on {event}, which makes {event} again: say after which in a when, like job.automation == 'order-confirmed'"),
        );
    }

    /// Templates exist on WhatsApp alone.
    fn template_channel(&mut self, path: &str, one: &Automation, step: &Step) {
        let Some(message) = step.action.message() else {
            return;
        };
        let has_template = self
            .file
            .messages
            .get(message)
            .is_some_and(|message| message.template.is_some());
        if !has_template {
            return;
        }
        for name in self.channels(one, step) {
            let Some(channel) = self.file.channels.get(&name) else {
                continue;
            };
            if channel.kind == super::model::ChannelKind::Whatsapp {
                continue;
            }
            let kind = channel.kind.as_str();
            let said = format!(
                "{message} has a template, and channel {name} is {kind}: templates exist on whatsapp only"
            );
            let span = self.site(&format!("{path}.message"));
            self.error(&span, said);
        }
    }

    /// The channels by which a step may send.
    fn channels(&self, one: &Automation, step: &Step) -> BTreeSet<String> {
        if let Some(name) = step.channel.as_ref().or(one.channel.as_ref()) {
            return BTreeSet::from([name.clone()]);
        }
        let default = locale::default_channel(self.file);
        let of_source = |(name, source): (&String, &super::model::SourceTable)| {
            let named = one.source.is_empty()
                || one.source.contains(name)
                || one.source.contains(&source.kind);
            if named { source.channel.clone() } else { None }
        };
        let mut found: BTreeSet<String> = self.file.sources.iter().filter_map(of_source).collect();
        let has_own = |name: &String| {
            self.file
                .sources
                .get(name)
                .is_some_and(|source| source.channel.is_some())
        };
        if one.source.is_empty() || !one.source.iter().all(has_own) {
            found.extend(default.map(str::to_owned));
        }
        found
    }

    fn uses(&self) -> BTreeMap<&'c str, Use> {
        let mut uses: BTreeMap<&'c str, Use> = BTreeMap::new();
        for one in self.file.automations.values() {
            for step in &one.steps {
                let Some(name) = step.action.message() else {
                    continue;
                };
                let entry = uses.entry(name).or_default();
                entry.events.extend(appointment::events_of(one, step));
                entry.to_others |= step.to.is_some() || one.to.is_some();
            }
        }
        for name in self.said_in_answer() {
            let entry = uses.entry(name).or_default();
            entry.events.insert(Name::MessageReceived);
        }
        uses
    }

    /// Messages that answer what a person wrote: a chatbot's, and what confirms an opt-out.
    fn said_in_answer(&self) -> Vec<&'c str> {
        let mut names: Vec<&'c String> = self.file.opt_out.confirm.iter().collect();
        for reply in self.file.replies.values() {
            names.extend(&reply.otherwise);
            for rule in &reply.rules {
                match &rule.deed {
                    RuleDeed::Say(name) => names.push(name),
                    RuleDeed::Handover { say, .. } => names.extend(say),
                    RuleDeed::Ignore => {}
                }
            }
        }
        names.into_iter().map(String::as_str).collect()
    }

    fn messages(&mut self) {
        let uses = self.uses();
        let unused = Use::default();
        for (name, message) in &self.file.messages {
            self.message(name, message, uses.get(name.as_str()).unwrap_or(&unused));
        }
    }

    /// Tables that nothing names.
    fn unused(&mut self) {
        let file = self.file;
        let mut kinds: Vec<(&'static str, Vec<&String>)> = vec![
            ("channel", file.channels.keys().collect()),
            ("hours", file.hours.keys().collect()),
            ("message", file.messages.keys().collect()),
            ("contact", file.contacts.keys().collect()),
            ("reply", file.replies.keys().collect()),
            ("slack", file.slacks.keys().collect()),
            ("sheet", file.sheets.keys().collect()),
            ("webhook", file.webhooks.keys().collect()),
        ];
        for crm in Crm::ALL {
            let names = file.records.keys().filter(|(one, _)| *one == crm);
            kinds.push((crm.as_str(), names.map(|(_, name)| name).collect()));
        }
        for (kind, names) in kinds {
            for name in names {
                if !self.used.contains(&(kind, name.clone())) && !self.doubtful.contains(kind) {
                    let span = self.site(&format!("{kind}.{name}"));
                    self.warning(&span, format!("nothing uses [{kind}.{name}]"));
                }
            }
        }
    }

    /// Paths into free maps, which samples have to fill.
    fn free_paths(found: &syntax::Found) -> BTreeSet<String> {
        let free =
            |path: &&str| matches!(super::fields::lookup(path), super::fields::Lookup::Free(_));
        found
            .fields
            .iter()
            .map(|field| field.path.as_str())
            .filter(free)
            .map(str::to_owned)
            .collect()
    }
}
