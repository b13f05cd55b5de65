//! One expression or one text: what it names, and what it comes out as.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::Timestamp;
use shared::event::{Event, Name};

use super::super::context::Scope;
use super::super::diagnostic::{nearest, suggestion};
use super::super::expr::{self, EvalError};
use super::super::fields::{self, FieldType, Lookup};
use super::super::filters;
use super::super::locale::Home;
use super::super::model::{Expr, Text};
use super::super::samples::{self, Kind};
use super::super::syntax::{self, FieldUse, Found};
use super::{Checker, place};

/// What to do about a comparison with an absent or mixed value.
const MEND_COMPARISON: &str = "add | default(…) or | number";

/// A string of the file that is being checked.
pub(super) struct Subject<'s> {
    /// `message.order-shipped.values[1]`: where it stands.
    pub(super) path: &'s str,
    /// `values[2] of order-shipped`: what people call it.
    pub(super) label: &'s str,
    pub(super) events: &'s [Name],
    /// It is asked when the event arrives: `now` is not known yet.
    pub(super) asked_once: bool,
    /// It goes to the event's customer, whose phone is therefore there.
    pub(super) to_customer: bool,
}

impl Checker<'_> {
    /// The file's span of a span of the string.
    pub(super) fn inside(&self, path: &str, span: &Range<usize>) -> Range<usize> {
        let whole = self.site(path);
        let raw = self.source.text.get(whole.clone()).unwrap_or_default();
        whole.start + place::raw_offset(raw, span.start)
            ..whole.start + place::raw_offset(raw, span.end)
    }

    /// `when`, `consent`, a step's `when`.
    pub(super) fn condition(
        &mut self,
        path: &str,
        label: &str,
        expr: &Expr,
        events: &[Name],
        asked_once: bool,
    ) {
        let Ok(found) = syntax::expression(&expr.0) else {
            return;
        };
        let subject = Subject {
            path,
            label,
            events,
            asked_once,
            to_customer: false,
        };
        if !self.names(&subject, &found) {
            return;
        }
        self.words(&subject, &found);
        // What can be seen is reported at its own place, whether a sample comes by it or not.
        if !self.orderings(&subject, &found) | !self.results(&subject, &found) {
            return;
        }
        let free = Checker::free_paths(&found);
        for (event, kind, sample) in self.samples(&subject, &free) {
            let scope = self.scope(&sample, kind, &free, asked_once);
            let sample = kind.of(event);
            let message = match expr::eval_bool(expr, &scope) {
                Ok(_) | Err(EvalError::Comparison(_)) => {
                    match not_mended(expr::expr_notes(expr, &scope), &found) {
                        Some(note) => format!("{label}: {note}, {sample}: {MEND_COMPARISON}"),
                        None => continue,
                    }
                }
                Err(EvalError::NotBool(what)) => {
                    format!(
                        "{label} gives {what}, not true or false, {sample}: compare it with something"
                    )
                }
                // Not a matter of the sample.
                Err(EvalError::Syntax { message, .. }) => format!("{label}: {message}"),
                Err(EvalError::Failed(why)) => format!("{label}: {why}, {sample}"),
            };
            let span = self.site(path);
            self.error(&span, message);
            return;
        }
    }

    /// A recipient that is no literal.
    pub(super) fn recipient(&mut self, path: &str, label: &str, text: &Text, events: &[Name]) {
        if syntax::is_literal(&text.0) {
            return;
        }
        let blank = self.short_text(path, label, text, events);
        if let Some(blank) = blank {
            let span = self.site(path);
            self.warning(
                &span,
                format!("{label} comes out blank {blank}: such jobs are skipped"),
            );
        }
    }

    /// A text of an automation. Says in which sample it comes out blank.
    pub(super) fn short_text(
        &mut self,
        path: &str,
        label: &str,
        text: &Text,
        events: &[Name],
    ) -> Option<String> {
        let found = syntax::text(&text.0).ok()?;
        let subject = Subject {
            path,
            label,
            events,
            asked_once: false,
            to_customer: false,
        };
        if !self.names(&subject, &found) {
            return None;
        }
        self.words(&subject, &found);
        self.rendered(&subject, text, &found, None).blank
    }

    /// Reports names that do not exist. `false`: trying it out would only repeat that.
    pub(super) fn names(&mut self, subject: &Subject<'_>, found: &Found) -> bool {
        let before = self.diagnostics.len();
        for field in &found.fields {
            if let Some(problem) = self.field_problem(subject, found, field) {
                let span = self.inside(subject.path, &field.span);
                let problem = self.located(subject, &problem);
                self.error(&span, problem);
            }
        }
        for (kind, word, uses) in [
            (filters::Kind::Filter, "filter", &found.filters),
            (filters::Kind::Test, "test", &found.tests),
            (filters::Kind::Function, "function", &found.functions),
        ] {
            let known = || {
                filters::TABLE
                    .iter()
                    .filter(|entry| entry.kind == kind)
                    .map(|entry| entry.name)
            };
            for one in uses
                .iter()
                .filter(|one| !known().any(|name| name == one.name))
            {
                let hint = suggestion(&one.name, known());
                let span = self.inside(subject.path, &one.span);
                self.error(
                    &span,
                    format!("{}: there is no {word} {}{hint}", subject.label, one.name),
                );
            }
        }
        for one in &found.methods {
            let span = self.inside(subject.path, &one.span);
            self.error(
                &span,
                format!(
                    "{}: there are no methods: write | {}",
                    subject.label, one.name
                ),
            );
        }
        for function in &found.functions {
            if !["is_open", "next_open"].contains(&function.name.as_str()) {
                continue;
            }
            let Some(name) = &function.argument else {
                continue;
            };
            if self.file.hours.contains_key(name) {
                self.used.insert(("hours", name.clone()));
            } else {
                let known = suggestion(name, self.file.hours.keys().map(String::as_str));
                let span = self.inside(subject.path, &function.span);
                self.error(&span, format!("no [hours.x] called \"{name}\"{known}"));
            }
        }
        self.diagnostics.len() == before
    }

    /// `unknown field order.totl in message.order-confirmed; did you mean order.total?`
    fn located(&self, subject: &Subject<'_>, problem: &str) -> String {
        let table = subject
            .path
            .split(['.'])
            .take(2)
            .collect::<Vec<_>>()
            .join(".");
        match problem
            .strip_prefix("unknown field ")
            .map(|rest| rest.split_once(';').unwrap_or((rest, "")))
        {
            Some((field, "")) => format!("unknown field {field} in {table}"),
            Some((field, hint)) => format!("unknown field {field} in {table};{hint}"),
            None => format!("{}: {problem}", subject.label),
        }
    }

    fn field_problem(
        &self,
        subject: &Subject<'_>,
        found: &Found,
        field: &FieldUse,
    ) -> Option<String> {
        let events = subject.events;
        let problem = fields::problem(&field.path, events, subject.asked_once)?;
        // A field that only some of the events have may be used where it is asked for first.
        let root = fields::root(&field.path);
        let known = |event: &Name| fields::is_known_in(*event, root, subject.asked_once);
        let (some, all) = (events.iter().any(known), events.iter().all(known));
        let exists = fields::lookup(&field.path) != Lookup::Unknown;
        let asked_for = field
            .filters
            .iter()
            .flatten()
            .any(|filter| filter == "default")
            || field.guarded
            || field.path == root
            || found.fields.iter().any(|other| other.path == root);
        (!(exists && some && !all && asked_for)).then_some(problem)
    }

    /// Comparisons with words that a field never holds.
    pub(super) fn words(&mut self, subject: &Subject<'_>, found: &Found) {
        for one in &found.words {
            let Lookup::Field(field) = fields::lookup(&one.path) else {
                continue;
            };
            let FieldType::Word(words) = field.kind else {
                continue;
            };
            if words.contains(&one.word.as_str()) {
                continue;
            }
            let hint = match nearest(&one.word, words.iter().copied()) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            let span = self.inside(subject.path, &one.span);
            self.error(
                &span,
                format!(
                    "{}: {} is never '{}'; {hint}",
                    subject.label, one.path, one.word
                ),
            );
        }
    }

    /// Reports bare fields in `<` and its like that may be absent or of any type. `false`: there are.
    pub(super) fn orderings(&mut self, subject: &Subject<'_>, found: &Found) -> bool {
        let before = self.diagnostics.len();
        for (one, asked_before) in &found.orderings {
            let why = match fields::lookup(&one.path) {
                Lookup::Field(field)
                    if fields::is_optional_in(field, subject.events) && !asked_before =>
                {
                    "may be absent: add | default(…)"
                }
                Lookup::Free(_) => "may be absent or a text: add | number",
                Lookup::Field(_) | Lookup::Unknown => continue,
            };
            let span = self.inside(subject.path, &one.span);
            self.error(
                &span,
                format!("{} compares {}, which {why}", subject.label, one.path),
            );
        }
        self.diagnostics.len() == before
    }

    /// Reports bare fields that a condition comes out as and that are not true or false.
    fn results(&mut self, subject: &Subject<'_>, found: &Found) -> bool {
        let before = self.diagnostics.len();
        for one in &found.results {
            let what = match fields::lookup(&one.path) {
                Lookup::Field(field) if field.kind != FieldType::Bool => field.kind.is_a(),
                Lookup::Free(_) => "anything",
                Lookup::Field(_) | Lookup::Unknown => continue,
            };
            let span = self.inside(subject.path, &one.span);
            let path = &one.path;
            self.error(
                &span,
                format!("{} gives {what}, not true or false: write {path} is present, or compare {path}", subject.label),
            );
        }
        self.diagnostics.len() == before
    }

    /// Every sample of every event of a string.
    pub(super) fn samples(
        &self,
        subject: &Subject<'_>,
        free: &BTreeSet<String>,
    ) -> Vec<(Name, Kind, Event)> {
        let now: Timestamp = self.now;
        let mut all = Vec::with_capacity(subject.events.len() * Kind::ALL.len());
        for event in subject.events {
            for kind in Kind::ALL {
                let mut sample =
                    samples::sample(*event, kind, now, free.iter().map(String::as_str));
                if subject.to_customer && sample.customer.phone.is_none() {
                    let full = samples::sample(*event, Kind::Full, now, []);
                    sample.customer.phone = full.customer.phone;
                }
                all.push((*event, kind, sample));
            }
        }
        all
    }

    /// What a string sees of a sample of `kind`; `free` are its paths into free maps.
    pub(super) fn scope(
        &self,
        event: &Event,
        kind: Kind,
        free: &BTreeSet<String>,
        asked_once: bool,
    ) -> Scope {
        let home = Home::of(self.file, event, None);
        let scope = Scope::new(self.file, &home, event);
        if asked_once {
            return scope;
        }
        let scope = scope.at(self.now);
        match samples::person(kind, self.now, free.iter().map(String::as_str)) {
            Some((contact, conversation)) => scope.with_contact(&contact, Some(&conversation)),
            None => scope,
        }
    }

    /// Renders a text over all samples, in `locale` where one is given, and reports what fails.
    pub(super) fn rendered(
        &mut self,
        subject: &Subject<'_>,
        text: &Text,
        found: &Found,
        locale: Option<&str>,
    ) -> Rendered {
        let mut result = Rendered::default();
        let free = Checker::free_paths(found);
        let in_locale = locale
            .map(|locale| format!(" in {locale}"))
            .unwrap_or_default();
        for (event, kind, sample) in self.samples(subject, &free) {
            let scope = self.scope(&sample, kind, &free, subject.asked_once);
            let scope = match locale {
                Some(locale) => scope.in_locale(locale),
                None => scope,
            };
            let sample = format!("{}{in_locale}", kind.of(event));
            let message = match expr::render(text, &scope) {
                Ok(out) => {
                    if out.trim().is_empty() {
                        result.blank.get_or_insert(sample.clone());
                    }
                    if kind == Kind::Full {
                        result.full.get_or_insert(out);
                    }
                    match not_mended(expr::text_notes(text, &scope), found) {
                        Some(note) => {
                            format!("{}: {note}, {sample}: {MEND_COMPARISON}", subject.label)
                        }
                        None => continue,
                    }
                }
                Err(EvalError::Syntax { message, .. }) => format!("{}: {message}", subject.label),
                Err(error) => format!("{}: {error}, {sample}", subject.label),
            };
            let span = self.site(subject.path);
            self.error(&span, message);
            result.failed = true;
            self.failed.insert(subject.path.to_owned());
            return result;
        }
        result
    }
}

/// What a text came out as.
#[derive(Default)]
pub(super) struct Rendered {
    /// The first sample in which it is blank, in words.
    pub(super) blank: Option<String>,
    /// What it is with the full sample of its first event.
    pub(super) full: Option<String>,
    /// It failed, which was reported.
    pub(super) failed: bool,
}

/// The first note about a comparison that `| number` does not explain: what is no number then counts
/// as less and as more than nothing, and was meant to.
fn not_mended(notes: Vec<String>, found: &Found) -> Option<String> {
    notes.into_iter().find(|note| {
        let paths = note.rsplit_once(": ").map_or("", |(_, paths)| paths);
        let paths = paths.replace("['", ".").replace("']", "");
        paths.is_empty() || !paths.split(", ").all(|path| found.numbers.contains(path))
    })
}
