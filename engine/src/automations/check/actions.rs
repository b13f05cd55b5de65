//! What automations do beside sending messages: every text of those tables over every event that uses
//! them.

use std::collections::{BTreeMap, BTreeSet};

use shared::event::Name;

use super::super::model::{
    ActionKind, Automation, ContactTable, HeaderValue, RecordTable, ReplyTable, RuleCondition,
    RuleDeed, SheetTable, SlackTable, Text, WebhookTable,
};
use super::message::Part;
use super::strings::Subject;
use super::{Checker, appointment};

/// What a chatbot sees.
const RECEIVED: [Name; 1] = [Name::MessageReceived];

/// A table, as its texts are reported: `slack.ops`.
struct Where<'w> {
    table: String,
    events: &'w [Name],
}

impl<'c> Checker<'c> {
    /// Every table that is an action, but for messages.
    pub(super) fn actions(&mut self) {
        let file = self.file;
        let uses = self.action_uses();
        let events = |kind: ActionKind, name: &str| -> Vec<Name> {
            let found = uses.get(&(kind, name));
            found.into_iter().flatten().copied().collect()
        };
        for (name, one) in &file.contacts {
            let events = events(ActionKind::Contact, name);
            self.contact(&Where::of("contact", name, &events), one);
        }
        for (name, one) in &file.replies {
            self.reply(name, one);
        }
        for (name, one) in &file.slacks {
            let events = events(ActionKind::Slack, name);
            self.slack(&Where::of("slack", name, &events), one);
        }
        for (name, one) in &file.sheets {
            let events = events(ActionKind::Sheet, name);
            self.sheet(&Where::of("sheet", name, &events), one);
        }
        for (name, one) in &file.webhooks {
            let events = events(ActionKind::Webhook, name);
            self.webhook(&Where::of("webhook", name, &events), one);
        }
        for ((crm, name), one) in &file.records {
            let events = events(ActionKind::Record(*crm), name);
            self.record(&Where::of(crm.as_str(), name, &events), one);
        }
        self.two_answers();
    }

    fn action_uses(&self) -> BTreeMap<(ActionKind, &'c str), BTreeSet<Name>> {
        let mut uses: BTreeMap<(ActionKind, &'c str), BTreeSet<Name>> = BTreeMap::new();
        for one in self.file.automations.values() {
            for step in &one.steps {
                let key = (step.action.kind, step.action.name.as_str());
                let events = appointment::events_of(one, step);
                uses.entry(key).or_default().extend(events);
            }
        }
        uses
    }

    /// One text of a table; `key` as the file writes it below the table.
    fn text_at(&mut self, place: &Where<'_>, key: &str, text: &Text, part: Part) {
        let subject = Subject {
            path: &format!("{}.{key}", place.table),
            label: &format!("{key} of {}", place.table),
            events: place.events,
            asked_once: false,
            to_customer: false,
        };
        self.part(&subject, text, part, None);
    }

    fn table_at(
        &mut self,
        place: &Where<'_>,
        key: &str,
        table: &BTreeMap<String, Text>,
        part: Part,
    ) {
        for (name, text) in table {
            self.text_at(place, &format!("{key}.{name}"), text, part);
        }
    }

    fn texts_at(&mut self, place: &Where<'_>, key: &str, texts: &[Text]) {
        for (index, text) in texts.iter().enumerate() {
            self.text_at(place, &format!("{key}[{index}]"), text, Part::Field);
        }
    }

    fn contact(&mut self, place: &Where<'_>, one: &ContactTable) {
        for (key, text) in [
            ("name", &one.name),
            ("email", &one.email),
            ("note", &one.note),
        ] {
            if let Some(text) = text {
                self.text_at(place, key, text, Part::Field);
            }
        }
        self.texts_at(place, "tags", &one.tags);
        self.texts_at(place, "remove_tags", &one.remove_tags);
        self.table_at(place, "fields", &one.fields, Part::Field);
    }

    fn slack(&mut self, place: &Where<'_>, one: &SlackTable) {
        self.text_at(place, "text", &one.text, Part::Line);
    }

    fn sheet(&mut self, place: &Where<'_>, one: &SheetTable) {
        self.table_at(place, "columns", &one.columns, Part::Cell);
    }

    fn webhook(&mut self, place: &Where<'_>, one: &WebhookTable) {
        self.text_at(place, "url", &one.url, Part::Url);
        if let Some(body) = &one.body {
            self.table_at(place, "body", body, Part::Field);
        }
        for (name, value) in &one.headers {
            if let HeaderValue::Text(text) = value {
                self.text_at(place, &format!("headers.{name}"), text, Part::Field);
            }
        }
    }

    fn record(&mut self, place: &Where<'_>, one: &RecordTable) {
        self.table_at(place, "fields", &one.fields, Part::Field);
        self.texts_at(place, "tags", &one.tags);
    }

    /// A chatbot is tried on what people write, whether or not something uses it.
    fn reply(&mut self, name: &str, one: &ReplyTable) {
        let place = Where::of("reply", name, &RECEIVED);
        for (index, rule) in one.rules.iter().enumerate() {
            let number = index.saturating_add(1);
            if let RuleCondition::When(when) = &rule.condition {
                self.condition(
                    &format!("reply.{name}.rules[{index}].when"),
                    &format!("when of rule {number} of {name}"),
                    when,
                    &RECEIVED,
                    false,
                );
            }
            if let RuleDeed::Handover {
                note: Some(note), ..
            } = &rule.deed
            {
                let key = format!("rules[{index}].note");
                self.text_at(&place, &key, note, Part::Field);
            }
        }
        let prompt = one.backend.as_ref().and_then(|one| one.prompt.as_ref());
        if let Some(prompt) = prompt {
            self.text_at(&place, "prompt", prompt, Part::Line);
        }
    }

    /// A person who writes once should be answered once. Two automations that each say under which
    /// condition are taken to mean different messages.
    fn two_answers(&mut self) {
        let mut before: Vec<(&str, &Automation, ActionKind)> = Vec::new();
        let file = self.file;
        for (name, one) in &file.automations {
            let Some((index, kind)) = answer_of(one) else {
                continue;
            };
            let other = before
                .iter()
                .find(|(_, other, theirs)| *theirs == kind && may_both_answer(one, other));
            if let Some((other, _, _)) = other {
                let word = kind.as_str();
                let path = format!("automation.{name}");
                let in_step = format!("{path}.steps[{index}].{word}");
                let span = match self.sites.contains_key(&in_step) {
                    true => self.site(&in_step),
                    false => self.site(&format!("{path}.{word}")),
                };
                self.warning(
                    &span,
                    format!(
                        "{name} and {other} both answer the same message.received: give each a when of its own"
                    ),
                );
            }
            before.push((name, one, kind));
        }
    }
}

impl<'w> Where<'w> {
    fn of(kind: &str, name: &str, events: &'w [Name]) -> Where<'w> {
        Where {
            table: format!("{kind}.{name}"),
            events,
        }
    }
}

/// The step by which an automation answers what a person wrote, at once, and how. Beside a message of
/// another automation a chatbot is silent, so only the same kind of answer is one too many.
fn answer_of(one: &Automation) -> Option<(usize, ActionKind)> {
    if !one.enabled || !one.on.contains(&Name::MessageReceived) {
        return None;
    }
    let answers = |kind| matches!(kind, ActionKind::Message | ActionKind::Reply);
    one.steps
        .iter()
        .enumerate()
        .find(|(_, step)| {
            answers(step.action.kind)
                && step.at.is_none()
                && step.to.is_none()
                && one.to.is_none()
                && step.when.is_none()
        })
        .map(|(index, step)| (index, step.action.kind))
}

fn may_both_answer(one: &Automation, other: &Automation) -> bool {
    one.when.is_none() || other.when.is_none() || one.when == other.when
}
