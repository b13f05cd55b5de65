//! What a job is to do, found again in the file as it is now; and where a message of it leaves from and
//! to whom.

use jiff::Timestamp;
use shared::event::{Body, Contact, Event};
use shared::store::{JobRow, PersonId};

use super::config::Configured;
use crate::actions::message::Recipient;
use crate::actions::{self, Table};
use crate::automations::context::Scope;
use crate::automations::expr;
use crate::automations::locale::{self, Home};
use crate::automations::model::{
    Automation, Automations, Channel, ChannelKind, IfUnknown, Message, Place, Step,
};
use crate::phone;
use crate::plan::Known;

/// The automation's part of a job, found again in the automations as they are now.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) name: &'a str,
    pub(super) automation: &'a Automation,
    pub(super) step: &'a Step,
    pub(super) table: Table<'a>,
}

impl<'a> Found<'a> {
    pub(super) fn of(job: &'a JobRow, configured: &'a Configured) -> Result<Found<'a>, String> {
        let automations = &configured.automations;
        let automation = automations.automations.get(&job.automation);
        let automation =
            automation.ok_or_else(|| format!("there is no automation {}", job.automation))?;
        let action = actions::parse(&job.action);
        let step = automation
            .steps
            .iter()
            .find(|step| Some(&step.action) == action.as_ref());
        let step =
            step.ok_or_else(|| format!("automation {} has no {}", job.automation, job.action))?;
        let table = Table::of(automations, &step.action);
        let table = table.ok_or_else(|| format!("there is no {}", job.action))?;
        Ok(Found {
            name: &job.automation,
            automation,
            step,
            table,
        })
    }

    /// The message, where it sends one.
    pub(super) fn message(&self) -> Option<&'a Message> {
        match self.table {
            Table::Message(message) => Some(message),
            _ => None,
        }
    }

    /// Whether a person gets it.
    pub(super) fn is_letter(&self) -> bool {
        matches!(self.table, Table::Message(_) | Table::Reply(_))
    }

    pub(super) fn if_unknown(&self, configured: &Configured) -> IfUnknown {
        self.automation
            .if_unknown
            .unwrap_or(configured.automations.defaults.if_unknown)
    }
}

/// A channel of Callbell's, by the name that holds and reasons use.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The file's name for it; the uuid where the file has none.
    pub(super) name: String,
    pub(super) channel: Channel,
}

impl Sender {
    fn named(automations: &Automations, name: &str) -> Option<Sender> {
        let channel = automations.channels.get(name)?;
        Some(Sender {
            name: name.to_owned(),
            channel: channel.clone(),
        })
    }

    /// The channel on which this person is with us.
    fn of(automations: &Automations, contact: &Contact) -> Option<Sender> {
        if contact.channel.is_empty() {
            return Sender::by_kind(automations, &contact.channel_kind);
        }
        let named = Sender::named(automations, &contact.channel);
        let uuid = plain(&contact.channel);
        let by_uuid = || {
            let mut channels = automations.channels.iter();
            let (name, _) = channels.find(|(_, channel)| plain(&channel.uuid) == uuid)?;
            Sender::named(automations, name)
        };
        let unnamed = || {
            let is_uuid = uuid.len() == 32 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit());
            let kind = ChannelKind::parse(&contact.channel_kind).filter(|_| is_uuid)?;
            Some(Sender {
                name: uuid.clone(),
                channel: Channel {
                    uuid: uuid.clone(),
                    kind,
                    place: Place::default(),
                },
            })
        };
        named.or_else(by_uuid).or_else(unnamed)
    }

    /// The default channel, else the only one, of this kind: a webhook may name no more than the kind.
    fn by_kind(automations: &Automations, kind: &str) -> Option<Sender> {
        let kind = ChannelKind::parse(kind)?;
        let named = locale::default_channel(automations);
        let named = named.and_then(|name| Sender::named(automations, name));
        let default = named.filter(|sender| sender.channel.kind == kind);
        let only = || {
            let channels = automations.channels.iter();
            let mut alike = channels.filter(|(_, channel)| channel.kind == kind);
            match (alike.next(), alike.next()) {
                (Some((name, _)), None) => Sender::named(automations, name),
                _ => None,
            }
        };
        default.or_else(only)
    }
}

/// A uuid without its dashes.
fn plain(uuid: &str) -> String {
    uuid.replace('-', "").to_ascii_lowercase()
}

/// The person in Callbell whom one of Callbell's own events is about.
pub(super) fn contact_of(event: &Event) -> Option<&Contact> {
    match &event.body {
        Body::Message { contact, .. }
        | Body::Conversation { contact, .. }
        | Body::Contact { contact } => Some(contact),
        _ => None,
    }
}

/// Where a message of this job leaves from, and to whom. Known before the recipient's rows are read.
pub(super) struct Route<'a> {
    pub(super) from: Option<Sender>,
    pub(super) home: Home<'a>,
    pub(super) scope: Scope,
    /// Who gets it, or why nobody does.
    pub(super) to: Result<Recipient, String>,
    /// The person at Callbell who gets it, and the channel on which they are with us: where the event is
    /// about them.
    pub(super) contact: Option<(String, Option<String>)>,
    /// What holds the job where a system refuses our secret or our money: the channel, or the API secret.
    pub(super) hold: Option<String>,
}

impl<'a> Route<'a> {
    pub(super) fn of(
        job: &JobRow,
        configured: &'a Configured,
        found: &Found<'a>,
        known: &'a Known,
        now: Timestamp,
    ) -> Route<'a> {
        let automations = &configured.automations;
        let from = sender(automations, found, &known.event);
        let name = from.as_ref().map(|from| from.name.as_str());
        let home = Home::of(automations, &known.event, name);
        let scope = known.scope(automations, &home).at(now);
        let (to, is_customer) = if found.is_letter() {
            recipient(job, found, known, &scope, home.country())
        } else {
            (Err("no message".to_owned()), true)
        };
        let contact = contact_of(&known.event).filter(|_| is_customer);
        let hold = match found.table.secret() {
            Some(secret) => Some(format!("{API}{secret}")),
            None => from.as_ref().map(|from| from.name.clone()),
        };
        Route {
            contact: contact.map(|contact| {
                let on = Sender::of(automations, contact);
                (contact.id.clone(), on.map(|on| on.name))
            }),
            from,
            home,
            scope,
            to,
            hold,
        }
    }
}

/// Before the name of an API secret, in the name of a hold.
pub(super) const API: &str = "api:";

impl Route<'_> {
    /// Whose row says whether they may be written to.
    pub(super) fn recipient(&self) -> Option<PersonId> {
        self.to.as_ref().ok().map(Recipient::person)
    }

    /// Callbell's number of whoever gets it, where that is theirs on this channel: each channel has its own
    /// of one person.
    pub(super) fn contact_on(&self, channel: Option<&str>) -> Option<String> {
        let (uuid, on) = self.contact.as_ref()?;
        let same = on.is_some() && on.as_deref() == channel && !uuid.is_empty();
        same.then(|| uuid.clone())
    }
}

/// Who sends: the step's or the automation's own channel; on Callbell's events the one on which the person
/// is with us; the source's; the default one. Replies leave by no other than the person's.
fn sender(automations: &Automations, found: &Found<'_>, event: &Event) -> Option<Sender> {
    let theirs = || contact_of(event).and_then(|contact| Sender::of(automations, contact));
    if matches!(found.table, Table::Reply(_)) {
        return theirs();
    }
    let own = found.step.channel.as_ref();
    let own = own.or(found.automation.channel.as_ref());
    let of_file = || {
        let name = locale::channel_of(automations, found.automation, found.step, event);
        name.and_then(|name| Sender::named(automations, name))
    };
    // A kind alone says less than the source's own channel.
    let is_named = contact_of(event).is_some_and(|contact| !contact.channel.is_empty());
    let source = automations.sources.get(&event.event.source);
    let of_source = source.is_some_and(|source| source.channel.is_some());
    if own.is_some() || (of_source && !is_named) {
        return of_file();
    }
    theirs().or_else(of_file)
}

/// Who gets it, and whether that is the person whom the event is about.
fn recipient(
    job: &JobRow,
    found: &Found<'_>,
    known: &Known,
    scope: &Scope,
    country: Option<&str>,
) -> (Result<Recipient, String>, bool) {
    let read = |text: &str, from: &str| {
        let phone = phone::read(text, country);
        phone
            .map(Recipient::Phone)
            .map_err(|refusal| format!("no usable phone: {from} {refusal}"))
    };
    if let Some(to) = &job.to {
        return (read(to, "the replay's recipient"), false);
    }
    match found.step.to.as_ref().or(found.automation.to.as_ref()) {
        // A reply is to whoever wrote.
        Some(to) if found.message().is_some() => {
            let text = expr::render(to, scope);
            let to = text
                .map_err(|error| format!("no usable phone: to failed: {error}"))
                .and_then(|text| read(&text, "to"));
            (to, false)
        }
        _ => (customer(known), true),
    }
}

/// The customer's number, else what stands for one that is hidden.
fn customer(known: &Known) -> Result<Recipient, String> {
    match (&known.phone, &known.event.customer.bsuid) {
        (Ok(phone), _) => Ok(Recipient::Phone(phone.clone())),
        (Err(_), Some(bsuid)) => Ok(Recipient::Bsuid(bsuid.clone())),
        (Err(none), None) => Err(none.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies and what answers a message leave by the channel on which the person wrote, whatever the file
    /// calls it and whether it knows it at all.
    #[test]
    fn a_person_is_found_on_a_channel_by_its_name_its_uuid_or_as_callbell_shows_it() {
        let file = r#"
[channel.shop]
uuid = "35f6f8cc-b550-4278-a2ea-099f3a4e0730"

[channel.insta]
uuid = "35f6f8ccb5504278a2ea099f3a4e0731"
kind = "instagram"
"#;
        let automations = crate::automations::parse(file).unwrap();
        let other = "aaaabbbbccccddddeeeeffff00001111";
        let rows = [
            ("shop", "whatsapp", Some(("shop", "whatsapp"))),
            (
                "35F6F8CC-B550-4278-A2EA-099F3A4E0730",
                "",
                Some(("shop", "whatsapp")),
            ),
            (
                "35f6f8ccb5504278a2ea099f3a4e0731",
                "whatsapp",
                Some(("insta", "instagram")),
            ),
            (
                "AAAABBBB-CCCC-DDDD-EEEE-FFFF00001111",
                "telegram",
                Some((other, "telegram")),
            ),
            (other, "fax", None),
            ("somewhere", "whatsapp", None),
            ("", "whatsapp", Some(("shop", "whatsapp"))),
            ("", "instagram", Some(("insta", "instagram"))),
            ("", "telegram", None),
            ("", "", None),
        ];
        for (channel, kind, expected) in rows {
            let contact = Contact {
                channel: channel.to_owned(),
                channel_kind: kind.to_owned(),
                ..Contact::default()
            };
            let found = Sender::of(&automations, &contact);
            let found = found.map(|found| (found.name, found.channel.kind.as_str()));
            let expected = expected.map(|(name, kind)| (name.to_owned(), kind));
            assert_eq!(found, expected, "{channel}");
        }
    }

    /// Where Callbell says the kind alone and two channels are of it, the default one is meant or none.
    #[test]
    fn a_kind_alone_is_not_guessed_among_two_channels() {
        let file = r#"
[channel.shop]
uuid = "35f6f8cc-b550-4278-a2ea-099f3a4e0730"

[channel.works]
uuid = "35f6f8ccb5504278a2ea099f3a4e0731"
"#;
        let contact = Contact {
            channel_kind: "whatsapp".to_owned(),
            ..Contact::default()
        };
        let found = |file: &str| {
            let automations = crate::automations::parse(file).unwrap();
            Sender::of(&automations, &contact).map(|found| found.name)
        };
        assert_eq!(found(file), None);
        let with_default = format!("[defaults]\nchannel = \"works\"\n{file}");
        assert_eq!(found(&with_default).as_deref(), Some("works"));
    }
}
