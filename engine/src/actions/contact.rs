//! The action `contact`: a person in Callbell is made or changed. Only what differs is written; where
//! nothing does, Callbell is asked and told nothing.
//!
//! Callbell's contacts have no place for an e-mail address of their own. `email` goes into the custom field
//! of type e-mail that the person has, else into the one called `Email`, which has to exist.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::deed::{ActError, Done};
use crate::automations::model::{Bot, ChannelKind, OpenOrClose};
use crate::callbell::{BotStatus, CallError, Callbell, Contact, ContactBody, Funnel, Team};

/// Most characters of a note.
pub const NOTE_CHARS_MAX: usize = 1_000;
/// The custom field of an e-mail address, where the person's own fields show none.
const EMAIL_FIELD: &str = "Email";
/// How long the lists of teams and funnels are believed.
const LISTS_FRESH_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How often the person is looked for: somebody else may make or delete them meanwhile.
const LOOKS_MAX: u32 = 3;

/// Who it is about. What is known best finds the person first: `id`, then `phone`, then `bsuid`.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// Callbell's number of the person: Callbell's own events have it.
    pub id: Option<&'a str>,
    /// E.164.
    pub phone: Option<&'a str>,
    /// WhatsApp's id of a person who hides the number.
    pub bsuid: Option<&'a str>,
    /// What a new person is called where the table has no name.
    pub name: Option<&'a str>,
    /// The channel's uuid: a person on two channels is two in Callbell.
    pub channel: &'a str,
    /// Its kind.
    pub kind: ChannelKind,
}

/// A rendered `[contact.x]`. Blank texts leave things as they are.
#[derive(Clone)]
pub struct Change {
    /// The whole name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The note.
    pub note: Option<String>,
    /// Added to those there.
    pub tags: Vec<String>,
    /// Taken from those there.
    pub remove_tags: Vec<String>,
    /// Custom fields by their Callbell name: texts, numbers, lists of texts.
    pub fields: BTreeMap<String, Value>,
    /// E-mail address of the assigned user.
    pub assign: Option<String>,
    /// Team by name.
    pub team: Option<String>,
    /// Funnel by name.
    pub funnel: Option<String>,
    /// Callbell's own bot.
    pub bot: Option<Bot>,
    /// Opens or closes the conversation.
    pub conversation: Option<OpenOrClose>,
    /// Makes a person who is not there.
    pub create: bool,
    /// Changes one who is.
    pub update: bool,
}

impl Default for Change {
    /// Nothing, to whoever it is.
    fn default() -> Change {
        Change {
            name: None,
            email: None,
            note: None,
            tags: Vec::new(),
            remove_tags: Vec::new(),
            fields: BTreeMap::new(),
            assign: None,
            team: None,
            funnel: None,
            bot: None,
            conversation: None,
            create: true,
            update: true,
        }
    }
}

impl fmt::Debug for Change {
    /// Nothing: it is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").finish_non_exhaustive()
    }
}

/// What is about to be written to a person who is there, so that the webhook that it causes is no news.
#[derive(Clone, PartialEq)]
pub struct Written {
    /// Callbell's number of the person.
    pub contact: String,
    /// In the words of [`shared::event::Contact`]: `name`, `note`, `tags`, `assigned_to`, `team`, `funnel`,
    /// `fields` (those of them that are written), `closed_at` (null: open). Each replaces what was last
    /// seen, `fields` one by one.
    pub values: Map<String, Value>,
}

impl fmt::Debug for Written {
    /// Which values, not what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written")
            .field("contact", &self.contact)
            .field("values", &self.values.keys())
            .finish()
    }
}

/// Who wants to know of our writes before they leave.
pub trait Expect: Sync {
    /// Takes note. Called again with what was there before where Callbell refuses.
    fn expect<'a>(&'a self, written: &'a Written) -> BoxFuture<'a, Result<(), ActError>>;
}

/// What stands beside every attempt.
#[derive(Clone, Copy)]
pub struct Office<'a> {
    /// The account's teams and funnels. One a process.
    pub lists: &'a Lists,
    /// Told of every write first.
    pub expect: &'a dyn Expect,
    /// Now.
    pub now: Timestamp,
}

/// What one attempt came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// `created`, `updated` or `unchanged`, with Callbell's number of the person; or why nothing was done.
    pub done: Done,
    /// What was written to somebody who was there, in order.
    pub written: Vec<Written>,
}

impl Applied {
    fn skipped(why: &str) -> Applied {
        Applied {
            done: Done::Skipped(why.to_owned()),
            written: Vec::new(),
        }
    }
}

/// Makes or changes the person, once. Doing the same again changes nothing.
///
/// # Errors
/// [`ActError`].
pub async fn apply(
    callbell: &Callbell,
    person: Person<'_>,
    change: &Change,
    office: Office<'_>,
) -> Result<Applied, ActError> {
    if let Some(note) = &change.note
        && note.chars().count() > NOTE_CHARS_MAX
    {
        let why = format!("the note has more than {NOTE_CHARS_MAX} characters");
        return Err(ActError::Rejected(why));
    }
    if person.id.is_none() && person.phone.is_none() && person.bsuid.is_none() {
        return Ok(Applied::skipped("no phone number"));
    }
    let named = office.lists.named(callbell, change, office.now).await?;
    let task = Task {
        callbell,
        person,
        change,
        named: &named,
        expect: office.expect,
    };
    task.run().await
}

/// Teams and funnels of the account, by name.
#[derive(Debug, Default)]
pub struct Lists {
    teams: Mutex<Option<(Timestamp, Vec<Team>)>>,
    funnels: Mutex<Option<(Timestamp, Vec<Funnel>)>>,
}

/// What the names of a change stand for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Named {
    /// Number and name.
    team: Option<(String, String)>,
    /// Number.
    funnel: Option<String>,
}

impl Lists {
    async fn named(
        &self,
        callbell: &Callbell,
        change: &Change,
        now: Timestamp,
    ) -> Result<Named, ActError> {
        let mut named = Named::default();
        if let Some(name) = filled(change.team.as_deref()) {
            named.team = Some((self.team(callbell, name, now).await?, name.to_owned()));
        }
        if let Some(name) = filled(change.funnel.as_deref()) {
            named.funnel = Some(self.funnel(callbell, name, now).await?);
        }
        Ok(named)
    }

    /// The number of the team called `name`.
    ///
    /// # Errors
    /// [`ActError::Rejected`] where there is none; what came of asking.
    pub async fn team(
        &self,
        callbell: &Callbell,
        name: &str,
        now: Timestamp,
    ) -> Result<String, ActError> {
        let find = |teams: &[Team]| {
            let found = teams.iter().find(|team| team.name == name);
            found.map(|team| team.uuid.clone())
        };
        if let Some(uuid) = known(&self.teams, now).as_deref().and_then(find) {
            return Ok(uuid);
        }
        let teams = callbell.teams().await?;
        let found = find(&teams);
        keep(&self.teams, now, teams);
        found.ok_or_else(|| ActError::Rejected(format!("Callbell has no team called {name}")))
    }

    /// The number of the funnel called `name`.
    ///
    /// # Errors
    /// [`ActError::Rejected`] where there is none; what came of asking.
    pub async fn funnel(
        &self,
        callbell: &Callbell,
        name: &str,
        now: Timestamp,
    ) -> Result<String, ActError> {
        let find = |funnels: &[Funnel]| {
            let found = funnels.iter().find(|funnel| funnel.name == name);
            found.map(|funnel| funnel.uuid.clone())
        };
        if let Some(uuid) = known(&self.funnels, now).as_deref().and_then(find) {
            return Ok(uuid);
        }
        let funnels = callbell.funnels().await?;
        let found = find(&funnels);
        keep(&self.funnels, now, funnels);
        found.ok_or_else(|| ActError::Rejected(format!("Callbell has no funnel called {name}")))
    }
}

fn known<T: Clone>(list: &Mutex<Option<(Timestamp, Vec<T>)>>, now: Timestamp) -> Option<Vec<T>> {
    let held = list.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh = |read_at: Timestamp| now.duration_since(read_at).abs() < LISTS_FRESH_FOR;
    held.as_ref()
        .filter(|(read_at, _)| fresh(*read_at))
        .map(|(_, items)| items.clone())
}

fn keep<T>(list: &Mutex<Option<(Timestamp, Vec<T>)>>, now: Timestamp, items: Vec<T>) {
    *list.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, items));
}

/// One attempt.
struct Task<'a> {
    callbell: &'a Callbell,
    person: Person<'a>,
    change: &'a Change,
    named: &'a Named,
    expect: &'a dyn Expect,
}

impl Task<'_> {
    async fn run(&self) -> Result<Applied, ActError> {
        let mut refused = None;
        for _ in 0..LOOKS_MAX {
            let Some(contact) = self.find().await? else {
                if let Some(error) = refused {
                    return Err(error);
                }
                match self.create().await {
                    // Whatever Callbell's words for it: if somebody else made the person meanwhile, the
                    // next look finds them.
                    Err(error @ ActError::Rejected(_)) => refused = Some(error),
                    other => return other,
                }
                continue;
            };
            if !self.change.update {
                return Ok(Applied::skipped("the person is in Callbell already"));
            }
            if let Some(applied) = self.update(&contact).await? {
                return Ok(applied);
            }
        }
        let why = "the person in Callbell came and went";
        Err(ActError::Unavailable(why.to_owned()))
    }

    async fn find(&self) -> Result<Option<Contact>, CallError> {
        if let Some(id) = self.person.id
            && let Some(contact) = self.callbell.contact(id, false).await?
        {
            return Ok(Some(contact));
        }
        if let Some(phone) = self.person.phone {
            let channel = Some(self.person.channel);
            let found = self.callbell.contact_by_phone(phone, channel).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        match self.person.bsuid {
            Some(bsuid) => self.callbell.contact_by_bsuid(bsuid).await,
            None => Ok(None),
        }
    }

    async fn create(&self) -> Result<Applied, ActError> {
        if !self.change.create {
            return Ok(Applied::skipped("the person is not in Callbell"));
        }
        let Some(phone) = self.person.phone else {
            let why = "the person is not in Callbell, and nobody is made without a phone number";
            return Ok(Applied::skipped(why));
        };
        let body = new_contact(&self.person, phone, self.change, self.named);
        let made = self.callbell.create_contact(&body).await?;
        let rest = after_creation(self.change);
        let made = match made {
            Some(made) => made,
            None if rest.is_none() => return Ok(created(None, Vec::new())),
            None => self.find().await?.ok_or_else(|| {
                ActError::Unavailable("the person whom we made is not there yet".to_owned())
            })?,
        };
        let Some(rest) = rest else {
            return Ok(created(Some(made.uuid), Vec::new()));
        };
        let task = Task {
            change: &rest,
            ..*self
        };
        let written = task.update(&made).await?.map(|applied| applied.written);
        Ok(created(Some(made.uuid), written.unwrap_or_default()))
    }

    /// `None`: the person is gone.
    async fn update(&self, contact: &Contact) -> Result<Option<Applied>, ActError> {
        let uuid = &contact.uuid;
        let mut email_field = None;
        if filled(self.change.email.as_deref()).is_some() {
            let typed = self.callbell.contact(uuid, true).await?;
            email_field = typed.and_then(|typed| typed.email_fields.into_iter().next());
        }
        let bot = match self.change.bot {
            Some(_) => self.callbell.bot(uuid).await?,
            None => None,
        };
        let found = Found {
            contact,
            email_field: email_field.as_deref().unwrap_or(EMAIL_FIELD),
            bot: bot.as_deref(),
        };
        let steps = steps(&found, self.change, self.named);
        let what = match steps.as_slice() {
            [] => "unchanged",
            _ => "updated",
        };
        let mut written = Vec::new();
        for step in steps {
            if !step.after.is_empty() {
                written.push(self.tell(uuid, &step.after).await?);
            }
            match self.carry_out(contact, &step).await {
                Ok(()) => {}
                Err(CallError::Refused { status: 404, .. }) => return Ok(None),
                Err(error) => {
                    let surely_not =
                        matches!(error, CallError::Refused { .. } | CallError::Held(_));
                    if surely_not && !step.before.is_empty() {
                        self.tell(uuid, &step.before).await?;
                    }
                    return Err(error.into());
                }
            }
        }
        let id = Some(uuid.clone());
        let done = Done::Done { id, what };
        Ok(Some(Applied { done, written }))
    }

    async fn tell(&self, contact: &str, values: &Map<String, Value>) -> Result<Written, ActError> {
        let written = Written {
            contact: contact.to_owned(),
            values: values.clone(),
        };
        self.expect.expect(&written).await?;
        Ok(written)
    }

    async fn carry_out(&self, contact: &Contact, step: &Step) -> Result<(), CallError> {
        let uuid = &contact.uuid;
        match &step.deed {
            Deed::Change(body) => {
                let after = self.callbell.update_contact(uuid, body).await?;
                match after.and_then(|after| put_back(contact, &after, body)) {
                    Some(body) => self.callbell.update_contact(uuid, &body).await.map(drop),
                    None => Ok(()),
                }
            }
            Deed::Funnel(funnel) => self.callbell.set_funnel(uuid, funnel).await,
            Deed::Conversation(OpenOrClose::Open) => self.callbell.open_conversation(uuid).await,
            Deed::Conversation(OpenOrClose::Close) => self.callbell.close_conversation(uuid).await,
        }
    }
}

fn created(id: Option<String>, written: Vec<Written>) -> Applied {
    let what = "created";
    Applied {
        done: Done::Done { id, what },
        written,
    }
}

/// The body that makes a person. Callbell insists on a name.
fn new_contact(person: &Person<'_>, phone: &str, change: &Change, named: &Named) -> ContactBody {
    let name = filled(change.name.as_deref()).or_else(|| filled(person.name));
    let tags = merged(&[], &change.tags, &change.remove_tags);
    ContactBody {
        identifier: Some(phone.to_owned()),
        source: Some(person.kind.as_str()),
        channel_uuid: Some(person.channel.to_owned()),
        name: Some(name.unwrap_or(phone).to_owned()),
        tags: Some(tags).filter(|tags| !tags.is_empty()),
        custom_fields: values(&change.fields).collect(),
        assigned_user: filled(change.assign.as_deref()).map(str::to_owned),
        team_uuid: named.team.as_ref().map(|(uuid, _)| uuid.clone()),
        bot_status: change.bot.map(|bot| bot_status(bot).as_str()),
        note: filled(change.note.as_deref()).map(str::to_owned),
    }
}

/// What `POST /contacts` cannot do.
fn after_creation(change: &Change) -> Option<Change> {
    let email = filled(change.email.as_deref()).map(str::to_owned);
    let funnel = filled(change.funnel.as_deref()).map(str::to_owned);
    let any = email.is_some() || funnel.is_some() || change.conversation.is_some();
    any.then(|| Change {
        email,
        funnel,
        conversation: change.conversation,
        ..Change::default()
    })
}

/// A person as found.
struct Found<'a> {
    contact: &'a Contact,
    email_field: &'a str,
    /// `started`, `in_progress`, `ended`.
    bot: Option<&'a str>,
}

/// One request, and what of the person it changes.
#[derive(Debug, PartialEq)]
struct Step {
    deed: Deed,
    after: Map<String, Value>,
    before: Map<String, Value>,
}

#[derive(Debug, PartialEq)]
enum Deed {
    Change(ContactBody),
    Funnel(String),
    Conversation(OpenOrClose),
}

/// What differs, as the requests that mend it.
fn steps(found: &Found<'_>, change: &Change, named: &Named) -> Vec<Step> {
    let contact = found.contact;
    let mut steps = Vec::new();
    let patch = patch(found, change, named);
    if !patch_is_empty(&patch) {
        steps.push(patch);
    }
    if let Some(funnel) = &named.funnel
        && contact.funnel.as_ref() != Some(funnel)
        && filled(change.funnel.as_deref()).is_some()
    {
        steps.push(Step {
            deed: Deed::Funnel(funnel.clone()),
            after: one("funnel", json!(funnel)),
            before: one("funnel", json!(contact.funnel)),
        });
    }
    let conversation = change.conversation.filter(|wanted| match wanted {
        OpenOrClose::Open => contact.closed,
        OpenOrClose::Close => !contact.closed,
    });
    if let Some(wanted) = conversation {
        let closed_at = contact.json.get("closedAt").cloned().unwrap_or_default();
        let (after, before) = match wanted {
            OpenOrClose::Open => (one("closed_at", Value::Null), one("closed_at", closed_at)),
            // Callbell sets the instant; who compares has to leave it out.
            OpenOrClose::Close => (Map::new(), Map::new()),
        };
        let deed = Deed::Conversation(wanted);
        steps.push(Step {
            deed,
            after,
            before,
        });
    }
    steps
}

fn patch_is_empty(step: &Step) -> bool {
    matches!(&step.deed, Deed::Change(body) if body.is_empty())
}

/// What one `PATCH` changes.
fn patch(found: &Found<'_>, change: &Change, named: &Named) -> Step {
    let contact = found.contact;
    let mut body = ContactBody::default();
    let (mut after, mut before) = (Map::new(), Map::new());
    let mut note = |name: &str, new: Value, old: Value| {
        after.insert(name.to_owned(), new);
        before.insert(name.to_owned(), old);
    };
    let differs = |new: &Option<String>, old: &Option<String>| {
        let new = filled(new.as_deref()).filter(|new| Some(*new) != old.as_deref());
        new.map(str::to_owned)
    };
    body.name = differs(&change.name, &contact.name);
    if let Some(name) = &body.name {
        note(
            "name",
            json!(name),
            json!(contact.name.as_deref().unwrap_or_default()),
        );
    }
    body.note = differs(&change.note, &contact.note);
    if let Some(text) = &body.note {
        note("note", json!(text), json!(contact.note));
    }
    body.assigned_user = differs(&change.assign, &contact.assigned_user);
    if let Some(user) = &body.assigned_user {
        note("assigned_to", json!(user), json!(contact.assigned_user));
    }
    let tags = merged(&contact.tags, &change.tags, &change.remove_tags);
    if tags != contact.tags {
        note("tags", json!(tags), json!(contact.tags));
        body.tags = Some(tags);
    }
    if let Some((uuid, name)) = &named.team
        && contact.team.as_ref() != Some(uuid)
        && filled(change.team.as_deref()).is_some()
    {
        body.team_uuid = Some(uuid.clone());
        note("team", json!(name), json!(contact.team_name));
    }
    body.custom_fields = different_fields(found, change);
    if !body.custom_fields.is_empty() {
        let old = |name: &String| contact.fields.get(name).cloned().unwrap_or_default();
        let old: Map<_, _> = body
            .custom_fields
            .keys()
            .map(|name| (name.clone(), old(name)))
            .collect();
        note("fields", json!(body.custom_fields), Value::Object(old));
    }
    if let Some(bot) = change.bot
        && !bot_is(Some(bot), found.bot)
    {
        body.bot_status = Some(bot_status(bot).as_str());
    }
    let deed = Deed::Change(body);
    Step {
        deed,
        after,
        before,
    }
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    [(name.to_owned(), value)].into_iter().collect()
}

fn bot_status(bot: Bot) -> BotStatus {
    match bot {
        Bot::Start => BotStatus::Start,
        Bot::End => BotStatus::End,
    }
}

/// Whether the bot is in the wanted state already.
fn bot_is(wanted: Option<Bot>, status: Option<&str>) -> bool {
    match (wanted, status) {
        (None, _) => true,
        (Some(Bot::Start), Some(status)) => status == "started" || status == "in_progress",
        (Some(Bot::End), Some(status)) => status == "ended",
        (Some(_), None) => false,
    }
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// The tags there, without those to remove, with those to add. Callbell does not tell capitals from small
/// letters.
fn merged(there: &[String], add: &[String], remove: &[String]) -> Vec<String> {
    let same = |one: &str, other: &str| one.to_lowercase() == other.to_lowercase();
    let mut tags: Vec<String> = Vec::new();
    let wanted = add.iter().filter_map(|tag| filled(Some(tag)));
    let there = there.iter().map(String::as_str);
    for tag in there.chain(wanted) {
        let removed = remove.iter().any(|removed| same(removed.trim(), tag));
        if !removed && !tags.iter().any(|known| same(known, tag)) {
            tags.push(tag.to_owned());
        }
    }
    tags
}

/// Custom fields as Callbell takes them: texts, and lists of texts. Blank ones are left out.
fn values(fields: &BTreeMap<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let taken = fields.iter();
    taken.filter_map(|(name, value)| Some((name.clone(), taken_value(value)?)))
}

fn taken_value(value: &Value) -> Option<Value> {
    let plain = |value: &Value| match value {
        Value::String(text) => filled(Some(text)).map(str::to_owned),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match value {
        Value::Array(list) => {
            let list: Vec<String> = list.iter().filter_map(plain).collect();
            (!list.is_empty()).then(|| json!(list))
        }
        value => plain(value).map(Value::from),
    }
}

fn different_fields(found: &Found<'_>, change: &Change) -> Map<String, Value> {
    let email = filled(change.email.as_deref());
    let email = email.map(|email| (found.email_field.to_owned(), json!(email)));
    let there = &found.contact.fields;
    values(&change.fields)
        .chain(email)
        .filter(|(name, value)| !there.get(name).is_some_and(|old| is_same(old, value)))
        .collect()
}

/// Whether a custom field has this value. The boxes of a checkbox have no order.
fn is_same(old: &Value, new: &Value) -> bool {
    let sorted = |value: &Value| {
        let mut list: Vec<String> = match taken_value(value) {
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            Some(Value::String(text)) => vec![text],
            _ => Vec::new(),
        };
        list.sort();
        list
    };
    sorted(old) == sorted(new)
}

/// Callbell does not say whether `PATCH` takes custom fields one by one or all at once. Where its answer
/// shows that others than ours are gone, all of them go back.
fn put_back(before: &Contact, after: &Contact, written: &ContactBody) -> Option<ContactBody> {
    let shows = after.json.get("customFields").is_some_and(Value::is_object);
    if written.custom_fields.is_empty() || !shows {
        return None;
    }
    let kept = before.fields.iter();
    let kept: Map<String, Value> = kept
        .filter_map(|(name, value)| Some((name.clone(), taken_value(value)?)))
        .collect();
    let lost = kept.keys().any(|name| {
        !written.custom_fields.contains_key(name)
            && after.fields.get(name).and_then(taken_value).is_none()
    });
    lost.then(|| ContactBody {
        custom_fields: kept
            .into_iter()
            .chain(written.custom_fields.clone())
            .collect(),
        ..ContactBody::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(json: Value) -> Contact {
        serde_json::from_value(json).unwrap()
    }

    fn maria() -> Contact {
        contact(json!({
            "uuid": "u", "name": "Maria", "tags": ["Lead", "vip"], "assignedUser": "ana@example.com",
            "customFields": {"Cidade": "Roma", "Extras": "[\"x\", \"y\"]", "Idade": "42"},
            "team": {"uuid": "t1", "name": "Vendas"}, "funnelId": "f1", "note": "n", "closedAt": null,
        }))
    }

    /// The requests that a change makes: method's word and body.
    fn requests(
        contact: &Contact,
        change: &Change,
        named: &Named,
        bot: Option<&str>,
    ) -> Vec<Value> {
        let found = Found {
            contact,
            email_field: "Email",
            bot,
        };
        let told = |step: Step| match step.deed {
            Deed::Change(body) => json!({ "patch": body }),
            Deed::Funnel(funnel) => json!({ "funnel": funnel }),
            Deed::Conversation(OpenOrClose::Open) => json!("open"),
            Deed::Conversation(OpenOrClose::Close) => json!("close"),
        };
        steps(&found, change, named).into_iter().map(told).collect()
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn only_what_differs_is_written() {
        let named = |team: &str, funnel: &str| Named {
            team: Some((team.to_owned(), "Vendas".to_owned())),
            funnel: some(funnel),
        };
        let fields = |list: &[(&str, Value)]| -> BTreeMap<String, Value> {
            let own = list.iter();
            own.map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect()
        };
        let same = Change {
            name: some("Maria"),
            note: some("n"),
            tags: texts(&["lead"]),
            remove_tags: texts(&["old"]),
            assign: some("ana@example.com"),
            team: some("Vendas"),
            funnel: some("F"),
            fields: fields(&[
                ("Cidade", json!("Roma")),
                ("Extras", json!(["y", "x"])),
                ("Idade", json!(42)),
                ("Vazio", json!("  ")),
                ("Nada", json!([])),
            ]),
            bot: Some(Bot::End),
            conversation: Some(OpenOrClose::Open),
            ..Change::default()
        };
        let nothing: Vec<Value> = Vec::new();
        let made = requests(&maria(), &same, &named("t1", "f1"), Some("ended"));
        assert_eq!(made, nothing);
        let blank = Change {
            name: some(" "),
            email: some(""),
            note: some(""),
            assign: some(""),
            tags: texts(&[" "]),
            ..Change::default()
        };
        assert_eq!(requests(&maria(), &blank, &Named::default(), None), nothing);

        let other = Change {
            name: some("Maria Rossi"),
            email: some("m@example.com"),
            note: some("other"),
            tags: texts(&["new", "VIP"]),
            remove_tags: texts(&["lead"]),
            assign: some("bia@example.com"),
            team: some("Vendas"),
            funnel: some("F"),
            fields: fields(&[("Cidade", json!("Milano")), ("Extras", json!(["x"]))]),
            bot: Some(Bot::Start),
            conversation: Some(OpenOrClose::Close),
            ..Change::default()
        };
        let made = requests(&maria(), &other, &named("t2", "f2"), Some("ended"));
        let expected = [
            json!({"patch": {
                "name": "Maria Rossi", "note": "other", "tags": ["vip", "new"], "bot_status": "bot_start",
                "assigned_user": "bia@example.com", "team_uuid": "t2",
                "custom_fields": {"Cidade": "Milano", "Extras": ["x"], "Email": "m@example.com"},
            }}),
            json!({"funnel": "f2"}),
            json!("close"),
        ];
        assert_eq!(made, expected);
    }

    #[test]
    fn what_is_written_is_told_in_the_words_of_events() {
        let change = Change {
            name: some("Maria Rossi"),
            remove_tags: texts(&["vip", "lead"]),
            fields: [("Cidade".to_owned(), json!("Milano"))].into(),
            conversation: Some(OpenOrClose::Open),
            ..Change::default()
        };
        let mut closed = maria();
        closed.closed = true;
        let found = Found {
            contact: &closed,
            email_field: "Email",
            bot: None,
        };
        let told: Vec<(Value, Value)> = steps(&found, &change, &Named::default())
            .into_iter()
            .map(|step| (Value::Object(step.after), Value::Object(step.before)))
            .collect();
        let expected = [
            (
                json!({"name": "Maria Rossi", "tags": [], "fields": {"Cidade": "Milano"}}),
                json!({"name": "Maria", "tags": ["Lead", "vip"], "fields": {"Cidade": "Roma"}}),
            ),
            (json!({"closed_at": null}), json!({"closed_at": null})),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_new_person_has_a_name_whatever_is_known() {
        let person = |name| Person {
            id: None,
            phone: Some("+55"),
            bsuid: None,
            name,
            channel: "c",
            kind: ChannelKind::Whatsapp,
        };
        let body = |name, change: &Change| {
            let body = new_contact(&person(name), "+55", change, &Named::default());
            serde_json::to_value(body).unwrap()
        };
        let bare =
            json!({"identifier": "+55", "source": "whatsapp", "channel_uuid": "c", "name": "+55"});
        assert_eq!(body(None, &Change::default()), bare);
        assert_eq!(body(Some("Maria"), &Change::default())["name"], "Maria");
        let change = Change {
            name: some("Ana"),
            tags: texts(&["a", "b", "A"]),
            remove_tags: texts(&["b"]),
            fields: [("Idade".to_owned(), json!(4))].into(),
            bot: Some(Bot::End),
            note: some("n"),
            ..Change::default()
        };
        let full = json!({
            "identifier": "+55", "source": "whatsapp", "channel_uuid": "c", "name": "Ana", "tags": ["a"],
            "custom_fields": {"Idade": "4"}, "bot_status": "bot_end", "note": "n",
        });
        assert_eq!(body(Some("Maria"), &change), full);
    }

    #[test]
    fn fields_that_an_answer_no_longer_shows_go_back() {
        let after = |fields: Value| contact(json!({"uuid": "u", "customFields": fields}));
        let written = ContactBody {
            custom_fields: one("Cidade", json!("Milano")),
            ..ContactBody::default()
        };
        let kept = after(json!({"Cidade": "Milano", "Extras": ["x", "y"], "Idade": "42"}));
        assert_eq!(put_back(&maria(), &kept, &written), None);
        let lost = put_back(&maria(), &after(json!({"Cidade": "Milano"})), &written).unwrap();
        assert_eq!(
            Value::Object(lost.custom_fields),
            json!({"Cidade": "Milano", "Extras": ["x", "y"], "Idade": "42"})
        );
        let silent = contact(json!({"uuid": "u"}));
        assert_eq!(put_back(&maria(), &silent, &written), None);
        let nothing = put_back(&maria(), &after(json!({})), &ContactBody::default());
        assert_eq!(nothing, None);
    }
}
