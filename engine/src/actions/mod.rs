//! What a job does: one file an action. Adding one is its file, a variant of
//! [`Action`], and its lines here.
//!
//! An action only says what has to be sent; sending it, and everything around it (tokens, claims,
//! outcomes), is the business of `delivery`.

pub mod contact;
mod crm;
pub mod deed;
pub mod hubspot;
pub mod intercom;
pub mod mailchimp;
pub mod message;
pub mod pipedrive;
pub mod record;
pub mod render;
pub mod salesforce;
pub mod sheet;
pub mod slack;
pub mod tokens;
pub mod webhook;
pub mod zendesk;

use jiff::SignedDuration;

use crate::automations::model::{
    Action, ActionKind, Automations, ContactTable, Message, RecordTable, ReplyTable, SheetTable,
    SlackTable, WebhookTable,
};

/// Lateness of messages unless the file says otherwise.
const MESSAGE_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Lateness of a chatbot's answer: later it answers nobody.
const REPLY_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Lateness of everything that no person waits for.
const OTHER_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);

/// The API secret that holds Callbell's token.
pub const CALLBELL: &str = "callbell";

/// Whether what became of a request of this action has to be found out before it is repeated: a person
/// would get it twice. Everything else is idempotent. An action that this version does not know counts as
/// one of these.
pub fn speaks_to_a_person(action: &str) -> bool {
    parse(action)
        .is_none_or(|action| matches!(action.kind, ActionKind::Message | ActionKind::Reply))
}

/// Finds the action that a job's row names: `message.order-confirmed`. `None`: made by another version
/// of this program.
pub fn parse(key: &str) -> Option<Action> {
    let (kind, name) = key.split_once('.')?;
    let kind = ActionKind::parse(kind)?;
    (!name.is_empty()).then(|| Action {
        kind,
        name: name.to_owned(),
    })
}

/// The latest start after a job's own time, where neither the automation nor the defaults name one.
pub fn give_up_after(action: &Action) -> SignedDuration {
    match action.kind {
        ActionKind::Message => MESSAGE_GIVE_UP_AFTER,
        ActionKind::Reply => REPLY_GIVE_UP_AFTER,
        _ => OTHER_GIVE_UP_AFTER,
    }
}

/// The table that an action names, as the file has it now.
#[derive(Clone, Copy, Debug)]
pub enum Table<'a> {
    /// `[message.x]`.
    Message(&'a Message),
    /// `[reply.x]`.
    Reply(&'a ReplyTable),
    /// `[contact.x]`.
    Contact(&'a ContactTable),
    /// `[slack.x]`.
    Slack(&'a SlackTable),
    /// `[sheet.x]`.
    Sheet(&'a SheetTable),
    /// `[webhook.x]`.
    Webhook(&'a WebhookTable),
    /// `[hubspot.x]` … `[intercom.x]`.
    Record(&'a RecordTable),
}

impl<'a> Table<'a> {
    /// The table of this kind and name.
    pub fn of(automations: &'a Automations, action: &Action) -> Option<Table<'a>> {
        let name = &action.name;
        match action.kind {
            ActionKind::Message => automations.messages.get(name).map(Table::Message),
            ActionKind::Reply => automations.replies.get(name).map(Table::Reply),
            ActionKind::Contact => automations.contacts.get(name).map(Table::Contact),
            ActionKind::Slack => automations.slacks.get(name).map(Table::Slack),
            ActionKind::Sheet => automations.sheets.get(name).map(Table::Sheet),
            ActionKind::Webhook => automations.webhooks.get(name).map(Table::Webhook),
            ActionKind::Record(crm) => {
                let table = automations.records.get(&(crm, name.clone()));
                table.map(Table::Record)
            }
        }
    }

    /// The system, as people call it.
    pub fn system(&self) -> &'static str {
        match self {
            Table::Message(_) | Table::Reply(_) | Table::Contact(_) => "Callbell",
            Table::Slack(_) => "Slack",
            Table::Sheet(_) => "Google Sheets",
            Table::Webhook(_) => "webhook",
            Table::Record(table) => record::name(table.crm),
        }
    }

    /// The name of the API secret that it goes by. `None`: what goes by a channel of Callbell's.
    pub fn secret(&self) -> Option<&'a str> {
        match self {
            Table::Message(_) | Table::Reply(_) => None,
            Table::Contact(_) => Some(CALLBELL),
            Table::Slack(table) => Some(&table.secret),
            Table::Sheet(table) => Some(&table.secret),
            Table::Webhook(table) => Some(&table.secret),
            Table::Record(table) => Some(&table.secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        for kind in ActionKind::ALL {
            let name = "cart-1".to_owned();
            let action = Action { kind, name };
            assert_eq!(parse(&action.key()), Some(action));
        }
        assert_eq!(parse("slack."), None);
        assert_eq!(parse("fax.x"), None);
        assert_eq!(parse("message"), None);
    }
}
