//! What the stand-in answers about people: `/contacts…` and `/funnels`.

use std::io;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::contacts::{self, Person};
use super::journal::{Line, Message};
use super::rules::Refused;
use super::{
    Answer, HISTORY_PAGE, Held, Request, StandIn, derived_uuid, failure, meta, missing, recipient,
};

/// Something that a person wrote.
pub(super) struct Wrote {
    /// The person.
    pub(super) contact: String,
    /// What they wrote.
    pub(super) text: Option<String>,
    /// When.
    pub(super) at: Timestamp,
}

impl Held {
    /// The person whom an identifier names on a channel; without one on the main channel. Where no channel
    /// is known, any is the main one.
    fn person(
        &self,
        identity: fn(&str) -> String,
        identifier: &str,
        channel: Option<&str>,
    ) -> Option<usize> {
        let main = self.channels.first().map(|channel| channel.uuid.as_str());
        let channel = channel.or(main);
        let wanted = identity(identifier);
        self.people.iter().position(|person| {
            let here = channel.is_none_or(|channel| person.channel == channel);
            let named = identity(person.identifier()) == wanted
                || person.bsuid.as_deref() == Some(identifier);
            here && named
        })
    }

    /// The person whom a message is to or from, who comes into being where nobody knows them.
    pub(super) fn meet(
        &mut self,
        identity: fn(&str) -> String,
        identifier: &str,
        (channel, source): (&str, &str),
        now: Timestamp,
    ) -> io::Result<usize> {
        if let Some(index) = self.person(identity, identifier, Some(channel)) {
            return Ok(index);
        }
        self.add(
            self.stranger(identity, identifier, (channel, source), now),
            now,
        )
    }

    /// Somebody of whom nothing is known.
    fn stranger(
        &self,
        identity: fn(&str) -> String,
        identifier: &str,
        (channel, source): (&str, &str),
        now: Timestamp,
    ) -> Person {
        let is_phone = identifier.starts_with('+');
        Person {
            uuid: self.uuid_for(identity, identifier, channel),
            channel: channel.to_owned(),
            source: source.to_owned(),
            phone: is_phone.then(|| identifier.to_owned()),
            bsuid: (!is_phone).then(|| identifier.to_owned()),
            name: identifier.to_owned(),
            created_at: now,
            ..Person::default()
        }
    }

    /// Takes a message of the journal back in: whoever was killed right behind it had not written down whom
    /// it is to.
    pub(super) fn recall_message(&mut self, identity: fn(&str) -> String, message: Message) {
        let field = |name: &str| message.body.get(name).and_then(Value::as_str);
        let channel = field("channel_uuid").unwrap_or_default();
        if let Some(to) = recipient(&message.body)
            && self.person(identity, &to, Some(channel)).is_none()
        {
            let source = field("from").unwrap_or_default();
            let person = self.stranger(identity, &to, (channel, source), message.at);
            self.people.push(person);
        }
        self.messages.push(message);
    }

    /// The same person has the same number in another process, whatever came before.
    fn uuid_for(&self, identity: fn(&str) -> String, identifier: &str, channel: &str) -> String {
        let folded = identity(identifier);
        let first = derived_uuid("contact", &folded);
        match self.people.iter().any(|person| person.uuid == first) {
            true => derived_uuid("contact", &format!("{folded}@{channel}")),
            false => first,
        }
    }

    fn add(&mut self, person: Person, now: Timestamp) -> io::Result<usize> {
        self.journal
            .append(&Line::Contact(Box::new(person.clone())))?;
        let json = person.json(&self.belongings);
        self.people.push(person);
        self.announce("contact_created", json, now);
        Ok(self.people.len().saturating_sub(1))
    }

    /// Puts a changed person in the place of the old one.
    fn replace(
        &mut self,
        index: usize,
        person: Person,
        event: Option<&'static str>,
        now: Timestamp,
    ) -> io::Result<()> {
        let Some(place) = self.people.get_mut(index) else {
            return Ok(());
        };
        if *place == person {
            return Ok(());
        }
        self.journal
            .append(&Line::Contact(Box::new(person.clone())))?;
        let json = person.json(&self.belongings);
        let payload = match event {
            Some("contact_updated") => json,
            _ => conversation(&person, &json),
        };
        *place = person;
        if let Some(event) = event {
            self.announce(event, payload, now);
        }
        Ok(())
    }

    /// Takes a line of the journal back in.
    pub(super) fn recall(&mut self, person: Person) {
        match self.people.iter_mut().find(|one| one.uuid == person.uuid) {
            Some(place) => *place = person,
            None => self.people.push(person),
        }
    }

    pub(super) fn forget(&mut self, uuid: &str) {
        self.people.retain(|person| person.uuid != uuid);
    }

    /// A webhook of the account: everything that happens to people passes here.
    fn announce(&mut self, event: &'static str, payload: Value, now: Timestamp) {
        self.told
            .push(json!({ "event": event, "payload": payload }));
        self.webhooks.announce(event, payload, now);
    }
}

fn conversation(person: &Person, contact: &Value) -> Value {
    json!({
        "source": person.source, "contact": contact, "createdAt": person.created_at,
        "href": format!("https://dash.callbell.eu/chat/{}", person.uuid), "closedAt": person.closed_at,
    })
}

impl StandIn {
    /// Every webhook about people, oldest first, in the shape in which Callbell posts it.
    pub fn told(&self) -> Vec<Value> {
        self.held().told.clone()
    }

    /// The person as the API shows them who wrote on a channel just now; they come into being where nobody
    /// knows them, and take the name that they call themselves.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn person_writes(
        &self,
        identifier: &str,
        channel: &str,
        source: &str,
        name: Option<&str>,
    ) -> io::Result<Value> {
        let mut held = self.held();
        let now = self.0.clock.now();
        let identity = self.0.identity;
        let index = match (held.person(identity, identifier, Some(channel)), name) {
            (Some(index), _) => index,
            (None, None) => held.meet(identity, identifier, (channel, source), now)?,
            (None, Some(name)) => {
                let stranger = held.stranger(identity, identifier, (channel, source), now);
                let name = name.to_owned();
                held.add(Person { name, ..stranger }, now)?
            }
        };
        let belongings = held.belongings.clone();
        let person = held.people.get(index);
        Ok(person.map_or(Value::Null, |person| person.json(&belongings)))
    }

    /// Takes for granted what a webhook of Callbell says that did not come from here, as a sample's: the person
    /// is known, and who wrote may be answered. Nobody is told.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn witness(&self, webhook: &Value) -> io::Result<()> {
        let Some(contact) = webhook.pointer("/payload/contact") else {
            return Ok(());
        };
        // As the real API, an object here and a one-element array there.
        let contact = contact.get(0).unwrap_or(contact);
        let text = |path: &str| contact.pointer(path).and_then(Value::as_str);
        let phone = text("/phoneNumber").map(|number| number.replace([' ', '+'], ""));
        let person = Person {
            uuid: text("/uuid").unwrap_or_default().to_owned(),
            channel: text("/channel/uuid").unwrap_or_default().to_owned(),
            source: text("/source").unwrap_or("whatsapp").to_owned(),
            phone: phone
                .filter(|number| !number.is_empty())
                .map(|number| format!("+{number}")),
            bsuid: text("/bsuid").map(str::to_owned),
            name: text("/name").unwrap_or_default().to_owned(),
            created_at: self.0.clock.now(),
            ..Person::default()
        };
        let field = |name: &str| webhook.pointer(&format!("/payload/{name}"));
        if field("status").and_then(Value::as_str) == Some("received") {
            self.set_window(person.identifier(), true)?;
            self.held().written.push(Wrote {
                contact: person.uuid.clone(),
                text: field("text").and_then(Value::as_str).map(str::to_owned),
                at: self.0.clock.now(),
            });
        }
        let mut held = self.held();
        if !held.people.iter().any(|known| known.uuid == person.uuid) {
            held.people.push(person);
        }
        Ok(())
    }

    /// `/contacts…`, whatever the method.
    pub(super) fn contacts(&self, request: &Request, path: &[&str]) -> Answer {
        let by_uuid = |uuid: &str| {
            let held = self.held();
            held.people.iter().position(|person| person.uuid == uuid)
        };
        match (request.method.as_str(), path) {
            ("GET", []) => self.contact_list(request),
            ("POST", []) => self.make_contact(request),
            ("GET", ["phone", number]) => {
                let number = number.replace("%2B", "+");
                let channel = request.parameter("channel_uuid");
                let found = self.held().person(self.0.identity, &number, channel);
                // One of the endpoints that answer a one-element array.
                self.show(request, found, true)
            }
            ("GET", ["bsuid", bsuid]) => {
                let held = self.held();
                let mut people = held.people.iter();
                let found = people.position(|person| person.bsuid.as_deref() == Some(*bsuid));
                drop(held);
                self.show(request, found, false)
            }
            ("GET", [uuid]) => self.show(request, by_uuid(uuid), false),
            ("PATCH", [uuid]) => self.change_contact(request, by_uuid(uuid)),
            ("DELETE", [uuid]) => self.delete_contact(by_uuid(uuid)),
            ("GET", [uuid, "messages"]) => match by_uuid(uuid) {
                Some(index) => self.history(index, request.page()),
                None => missing(),
            },
            (_, [uuid, rest @ ..]) => self.conversation(request, by_uuid(uuid), rest),
            _ => missing(),
        }
    }

    pub(super) fn funnels(&self) -> Answer {
        let held = self.held();
        let list: Vec<Value> = held
            .belongings
            .funnels
            .iter()
            .zip(1_u32..)
            .map(|(name, position)| {
                json!({
                    "uuid": derived_uuid("funnel", name), "name": name, "position": position, "emoji": "✨",
                    "createdAt": "2026-01-01 00:00:00 +0100",
                })
            })
            .collect();
        (200, json!({ "funnels": list }))
    }

    fn show(&self, request: &Request, index: Option<usize>, as_array: bool) -> Answer {
        let held = self.held();
        let Some(person) = index.and_then(|index| held.people.get(index)) else {
            return missing();
        };
        let json = match request.parameter("include_field_types") {
            Some("true") => person.json_with_types(&held.belongings),
            _ => person.json(&held.belongings),
        };
        match as_array {
            true => (200, json!({ "contact": [json] })),
            false => (200, json!({ "contact": json })),
        }
    }

    /// By cursor: `meta.next` goes back as `?after=`.
    fn contact_list(&self, request: &Request) -> Answer {
        let held = self.held();
        let start = match request.parameter("after") {
            None => 0,
            Some(after) => {
                let seen = held.people.iter().position(|person| person.uuid == after);
                seen.map_or(held.people.len(), |index| index + 1)
            }
        };
        let people: Vec<&Person> = held
            .people
            .iter()
            .skip(start)
            .take(contacts::PAGE)
            .collect();
        let more = held.people.len() > start + people.len();
        let next = people
            .last()
            .filter(|_| more)
            .map(|person| person.uuid.clone());
        let list: Vec<Value> = people
            .iter()
            .map(|person| person.json(&held.belongings))
            .collect();
        (200, json!({ "contacts": list, "meta": { "next": next } }))
    }

    fn make_contact(&self, request: &Request) -> Answer {
        let Some(body) = request.body.as_object() else {
            return refused(Refused::text(400, "the body must be a JSON object"));
        };
        let new = match contacts::new_person(body) {
            Ok(new) => new,
            Err(problem) => return refused(problem),
        };
        let mut held = self.held();
        let channel = match &new.channel {
            Some(uuid) => uuid.clone(),
            None => {
                let mut channels = held.channels.iter();
                let main = channels.find(|channel| channel.kind == new.source);
                main.map(|channel| channel.uuid.clone()).unwrap_or_default()
            }
        };
        let known = held.channels.iter().find(|known| known.uuid == channel);
        if !held.channels.is_empty() && known.is_none_or(|known| known.kind != new.source) {
            return refused(Refused::field("channel_uuid", "channel not found"));
        }
        let identity = self.0.identity;
        if held
            .person(identity, &new.identifier, Some(&channel))
            .is_some()
        {
            return refused(Refused::field("identifier", "has already been taken"));
        }
        let mut person = Person {
            uuid: held.uuid_for(identity, &new.identifier, &channel),
            channel,
            source: new.source,
            phone: Some(new.identifier),
            created_at: self.0.clock.now(),
            ..Person::default()
        };
        if let Err(problem) = contacts::change(&mut person, body, &held.belongings) {
            return refused(problem);
        }
        let json = person.json(&held.belongings);
        match held.add(person, self.0.clock.now()) {
            Ok(_) => (201, json!({ "contact": [json] })),
            Err(_) => failure(500),
        }
    }

    /// Changes a copy of the person and puts it in their place.
    fn changed(
        &self,
        index: Option<usize>,
        event: Option<&'static str>,
        change: impl FnOnce(&mut Person, &Held) -> Result<(), Refused>,
    ) -> Result<Value, Answer> {
        let mut held = self.held();
        let index = index.ok_or_else(missing)?;
        let mut person = held.people.get(index).cloned().ok_or_else(missing)?;
        change(&mut person, &held).map_err(refused)?;
        let json = person.json(&held.belongings);
        held.replace(index, person, event, self.0.clock.now())
            .map_err(|_| failure(500))?;
        Ok(json)
    }

    fn change_contact(&self, request: &Request, index: Option<usize>) -> Answer {
        let none = Map::new();
        let body = request.body.as_object().unwrap_or(&none);
        let changed = self.changed(index, Some("contact_updated"), |person, held| {
            contacts::change(person, body, &held.belongings)
        });
        match changed {
            Ok(json) => (200, json!({ "contact": [json] })),
            Err(answer) => answer,
        }
    }

    fn delete_contact(&self, index: Option<usize>) -> Answer {
        let mut held = self.held();
        let person = index.and_then(|index| held.people.get(index));
        let Some(uuid) = person.map(|person| person.uuid.clone()) else {
            return missing();
        };
        let line = Line::Deleted {
            contact: uuid.clone(),
        };
        if held.journal.append(&line).is_err() {
            return failure(500);
        }
        held.forget(&uuid);
        let payload = json!({ "uuid": uuid, "deleted": true });
        held.announce("contact_deleted", payload, self.0.clock.now());
        (200, json!({ "status": "contact was destroyed" }))
    }

    fn conversation(&self, request: &Request, index: Option<usize>, path: &[&str]) -> Answer {
        let text = |name: &str| request.body.get(name).and_then(Value::as_str);
        let now = self.0.clock.now();
        let done = match (request.method.as_str(), path) {
            ("GET", ["bot"]) => {
                let held = self.held();
                let person = index.and_then(|index| held.people.get(index));
                return person.map_or_else(missing, |person| (200, person.bot()));
            }
            ("POST", ["bot"]) => {
                let done = self.changed(index, None, |person, _| {
                    let status = text("status").unwrap_or_default();
                    person.bot_ended = contacts::bot_ended("status", status)?;
                    Ok(())
                });
                return match done {
                    Ok(_) => self.conversation(&request.asking(), index, path),
                    Err(answer) => answer,
                };
            }
            ("POST", ["conversation", "note"]) => {
                let done = self.changed(index, None, |person, _| {
                    let note = text("text").filter(|text| !text.trim().is_empty());
                    let note = note
                        .ok_or_else(|| Refused::field("text", "must be present and not empty"))?;
                    person.notes.push((now, note.to_owned()));
                    Ok(())
                });
                return match done {
                    Ok(_) => (200, json!({ "success": true })),
                    Err(answer) => answer,
                };
            }
            ("POST", ["conversation", "open"]) => self
                .changed(index, Some("conversation_opened"), |person, _| {
                    person.closed_at = None;
                    Ok(())
                })
                .map(|json| json!([json])),
            ("POST", ["conversation", "close"]) => {
                self.changed(index, Some("conversation_closed"), |person, _| {
                    person.closed_at = person.closed_at.or(Some(now));
                    Ok(())
                })
            }
            ("PUT", ["conversation", "update_funnel"]) => self
                .changed(index, Some("contact_updated"), |person, held| {
                    contacts::set_funnel(person, &request.body, &held.belongings)
                })
                .map(|json| json!([json])),
            _ => return missing(),
        };
        match done {
            Ok(contact) => (200, json!({ "contact": contact })),
            Err(answer) => answer,
        }
    }

    /// Newest first, without metadata: that is what the real history shows.
    fn history(&self, index: usize, page: usize) -> Answer {
        let held = self.held();
        let Some(person) = held.people.get(index) else {
            return missing();
        };
        let identity = self.0.identity;
        let wanted = identity(person.identifier());
        let of_person = |message: &&Message| {
            let channel = message.body.get("channel_uuid").and_then(Value::as_str);
            let to = recipient(&message.body);
            channel == Some(&person.channel) && to.is_some_and(|to| identity(&to) == wanted)
        };
        let sent = held.messages.iter().filter(of_person).map(|message| {
            let line = json!({
                "text": message.text, "createdAt": message.at, "uuid": message.uuid,
                "status": "sent", "channel": message.body.get("from"),
                "from": null, "to": recipient(&message.body).map(|to| to.replace('+', "")),
            });
            (message.at, line)
        });
        let noted = person
            .notes
            .iter()
            .zip(0_u64..)
            .map(|((at, text), number)| {
                let uuid = derived_uuid("note", &format!("{}/{number}", person.uuid));
                let line = json!({
                    "text": text, "createdAt": at, "uuid": uuid, "status": "note",
                    "channel": person.source, "from": null, "to": null,
                });
                (*at, line)
            });
        let wrote = held.written.iter().zip(0_u64..);
        let wrote = wrote.filter(|(wrote, _)| wrote.contact == person.uuid);
        let wrote = wrote.map(|(wrote, number)| {
            let line = json!({
                "text": wrote.text, "createdAt": wrote.at,
                "uuid": derived_uuid("received", &format!("{}/{number}", person.uuid)),
                "status": "received", "channel": person.source,
                "from": person.identifier().replace('+', ""), "to": null,
            });
            (wrote.at, line)
        });
        let mut lines: Vec<(Timestamp, Value)> = sent.chain(noted).chain(wrote).collect();
        // Of equally old ones the later one is the newer one.
        lines.reverse();
        lines.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let pages = lines.len().div_ceil(HISTORY_PAGE).max(1);
        let list: Vec<Value> = lines
            .into_iter()
            .skip((page - 1).saturating_mul(HISTORY_PAGE))
            .take(HISTORY_PAGE)
            .map(|(_, line)| line)
            .collect();
        (200, json!({ "messages": list, "meta": meta(page, pages) }))
    }
}

fn refused(problem: Refused) -> Answer {
    (problem.status, problem.body)
}
