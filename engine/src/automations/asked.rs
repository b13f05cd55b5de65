//! What a step has to ask Callbell for before it acts: the person and the conversation, where its strings
//! name them and the event does not bring them.

use super::model::{
    Action, ActionKind, Automation, Automations, ByLocale, HeaderValue, Message, RuleCondition,
    RuleDeed, Step, Text,
};
use super::syntax::{Said, names_contact};

/// Whether something that this step says, asks or writes names `contact.*` or `conversation.*`.
pub fn step_names_contact(automations: &Automations, automation: &Automation, step: &Step) -> bool {
    let around = [
        automation.to.as_ref(),
        automation.locale.as_ref(),
        step.to.as_ref(),
    ];
    let around = around.into_iter().flatten().map(Said::Text);
    let when = step.when.iter().map(Said::Expr);
    let written = said_by(automations, &step.action);
    when.chain(around).chain(written).any(names_contact)
}

/// Every string of the table that an action names, and of the messages that it says.
fn said_by<'a>(automations: &'a Automations, action: &Action) -> Vec<Said<'a>> {
    let name = &action.name;
    let mut said = Vec::new();
    match action.kind {
        ActionKind::Message => said.extend(automations.messages.get(name).map(message)),
        ActionKind::Contact => said.extend(automations.contacts.get(name).map(|one| {
            let own = [&one.name, &one.email, &one.note].into_iter().flatten();
            let lists = one.tags.iter().chain(&one.remove_tags);
            texts(own.chain(lists).chain(one.fields.values()))
        })),
        ActionKind::Slack => {
            said.extend(automations.slacks.get(name).map(|one| texts([&one.text])));
        }
        ActionKind::Sheet => {
            let sheet = automations.sheets.get(name);
            said.extend(sheet.map(|one| texts(one.columns.values())));
        }
        ActionKind::Webhook => said.extend(automations.webhooks.get(name).map(|one| {
            let headers = one.headers.values().filter_map(|value| match value {
                HeaderValue::Text(text) => Some(text),
                HeaderValue::Secret(_) => None,
            });
            let body = one.body.iter().flat_map(|body| body.values());
            texts([&one.url].into_iter().chain(headers).chain(body))
        })),
        ActionKind::Record(crm) => {
            let record = automations.records.get(&(crm, name.clone()));
            said.extend(record.map(|one| texts(one.fields.values().chain(&one.tags))));
        }
        ActionKind::Reply => said.push(reply(automations, name)),
    }
    said.into_iter().flatten().collect()
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a Text>) -> Vec<Said<'a>> {
    texts.into_iter().map(Said::Text).collect()
}

fn message(message: &Message) -> Vec<Said<'_>> {
    let url = message.media.as_ref().map(|media| &media.url);
    let mut said: Vec<&Text> = message.text.iter().chain(url).flat_map(all).collect();
    said.extend(message.values.iter().flat_map(all).flatten());
    texts(said)
}

fn all<T>(table: &ByLocale<T>) -> Vec<&T> {
    match table {
        ByLocale::All(one) => vec![one],
        ByLocale::Each(each) => each.values().collect(),
    }
}

fn reply<'a>(automations: &'a Automations, name: &str) -> Vec<Said<'a>> {
    let Some(one) = automations.replies.get(name) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    let mut messages: Vec<&String> = one.otherwise.iter().collect();
    for rule in &one.rules {
        if let RuleCondition::When(when) = &rule.condition {
            said.push(Said::Expr(when));
        }
        match &rule.deed {
            RuleDeed::Say(name) => messages.push(name),
            RuleDeed::Handover { say, note, .. } => {
                messages.extend(say);
                said.extend(note.iter().map(Said::Text));
            }
            RuleDeed::Ignore => {}
        }
    }
    let prompt = one.backend.iter().filter_map(|one| one.prompt.as_ref());
    said.extend(prompt.map(Said::Text));
    let messages = messages
        .into_iter()
        .filter_map(|name| automations.messages.get(name));
    said.extend(messages.flat_map(message));
    said
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// Wherever the person stands, they are asked for; elsewhere nobody is.
    #[test]
    fn the_person_is_asked_for_where_they_are_named() {
        let head = "[channel.a]\nuuid = \"35f6f8ccb5504278a2ea099f3a4e0730\"\n[automation.x]\non = \"message.received\"\n";
        let rows = [
            (
                "message = \"x\"",
                "[message.x]\ntext = \"{{ contact.name }}\"",
                true,
            ),
            (
                "message = \"x\"",
                "[message.x]\ntext = \"{{ customer.name }}\"",
                false,
            ),
            (
                "message = \"x\"",
                "[message.x]\ntext.it = \"Ciao\"\ntext.en = \"{{ conversation.url }}\"",
                true,
            ),
            (
                "steps = [{ message = \"x\", when = \"not contact.opted_out\" }]",
                "[message.x]\ntext = \"Oi\"",
                true,
            ),
            (
                "steps = [{ message = \"x\", when = \"'contact' in customer.tags\" }]",
                "[message.x]\ntext = \"Oi\"",
                false,
            ),
            (
                "contact = \"x\"",
                "[contact.x]\nname = \"{{ customer.name }}\"",
                false,
            ),
            (
                "contact = \"x\"",
                "[contact.x]\ntags = [\"{{ contact.team }}\"]",
                true,
            ),
            (
                "slack = \"x\"",
                "[slack.x]\ntext = \"{{ conversation.url }}\"",
                true,
            ),
            (
                "sheet = \"x\"",
                "[sheet.x]\nspreadsheet = \"a\"\ntab = \"b\"\ncolumns = { A = \"{{ contact.id }}\" }",
                true,
            ),
            (
                "webhook = \"x\"",
                "[webhook.x]\nurl = \"https://a.example.com/{{ contact.id }}\"",
                true,
            ),
            (
                "webhook = \"x\"",
                "[webhook.x]\nurl = \"https://a.example.com/contact\"",
                false,
            ),
            (
                "hubspot = \"x\"",
                "[hubspot.x]\nfields = { a = \"{{ contact.fields.b }}\" }",
                true,
            ),
            (
                "reply = \"x\"",
                "[reply.x]\nrules = [{ words = [\"a\"], say = \"m\" }]\n[message.m]\ntext = \"{{ contact.name }}\"",
                true,
            ),
            (
                "reply = \"x\"",
                "[reply.x]\nrules = [{ when = \"contact.blocked\", ignore = true }]",
                true,
            ),
            (
                "reply = \"x\"",
                "[reply.x]\nrules = [{ words = [\"a\"], ignore = true }]",
                false,
            ),
        ];
        for (action, table, expected) in rows {
            let text = format!("{head}{action}\n{table}\n");
            let file = parse(&text)
                .unwrap_or_else(|wrong| panic!("{}", super::super::listing("x", &wrong)));
            let one = &file.automations["x"];
            let found = step_names_contact(&file, one, &one.steps[0]);
            assert_eq!(found, expected, "{text}");
        }
    }
}
