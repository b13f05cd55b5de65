//! What follows from one event: a pure function of the event, the rows around it and the automations.
//!
//! Planning may happen twice, on two machines at once, and stop anywhere in between. So nothing here
//! reads a clock or a table, every effect is one idempotent conditional write, and the event counts as
//! planned only after all of them: [`Effect::Planned`] is always the last.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use shared::event::{
    Body, Contact, Conversation, Customer, DEPTH_MAX, Event, Fresh, Name, SubjectKind,
};
use shared::store::{
    Digests, EntityChange, EntityRow, Erasure, Line, Mark, NewJob, PersonId, PersonMark, Planned,
    Shown,
};

use crate::actions;
use crate::automations::context::{self, Scope};
use crate::automations::expr::{self, Truth};
use crate::automations::hours::{self, NoHourLeft};
use crate::automations::locale::Home;
use crate::automations::model::{
    Action, ActionKind, Automation, Automations, Expr, Hours, Purpose, SendHours, Span, Step,
};
use crate::automations::names;
use crate::automations::times;
use crate::phone::{self, NoPhone, Phone};

pub mod appointments;
pub mod callbell;
pub mod custom;
pub mod leads;
pub mod opt_out;
pub mod privacy;

use appointments::Part;
use opt_out::Said;

/// By how much later than it was written a message may reach us, and its answer still wait for more.
const LATE: SignedDuration = SignedDuration::from_secs(30);
/// Behind a checkout's entity key: what its jobs are keyed by, whichever of its events made them.
const ABANDONED: &str = "/abandoned";

/// One idempotent write that an event asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Remember that this person did something that some `stop_on` names.
    Person(PersonId, PersonMark),
    /// Store a job, unless it is there.
    Job(NewJob),
    /// Erase everything about a customer or an account, under this name.
    Erase(String, Erasure),
    /// The event is planned: always the last.
    Planned(Planned),
}

/// An event, with whom it is about.
#[derive(Clone, Debug)]
pub struct Known {
    /// `customer.phone` and `customer.country` are filled in.
    pub event: Event,
    /// The customer's number, or why there is none.
    pub phone: Result<Phone, NoPhone>,
    /// What its contact, or its lead, is against what we had last seen.
    pub shown: Option<Shown>,
    /// The person opted out by it, or in again.
    pub opted: Option<Said>,
    /// Why no automation shall see it.
    pub silent: Option<String>,
    /// What it tells is not written yet, and may never be.
    pub is_early: bool,
    /// The person in Callbell of whom the event itself does not tell, asked for because a step names them.
    pub beside: Option<Box<Beside>>,
}

/// A person in Callbell, and the talk with them.
#[derive(Clone)]
pub struct Beside {
    /// The person.
    pub contact: Contact,
    /// The talk.
    pub conversation: Conversation,
}

impl fmt::Debug for Beside {
    /// Nothing: it is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

impl Known {
    /// Picks the customer's phone: the first candidate that is valid. The source put them in order.
    pub fn new(mut event: Event, automations: &Automations) -> Known {
        let home = Home::of(automations, &event, None);
        let phone = phone::choose(&event.customer.phones, home.country());
        if let Ok(phone) = &phone {
            event.customer.phone = Some(phone.e164.clone());
            event.customer.country = Some(phone.country.clone());
        }
        given_name(&mut event.customer);
        callbell_names(&mut event);
        Known {
            event,
            phone,
            shown: None,
            opted: None,
            silent: None,
            is_early: false,
            beside: None,
        }
    }

    /// The fields of the event, and of the person in Callbell where they were asked for.
    pub fn scope(&self, automations: &Automations, home: &Home<'_>) -> Scope {
        let scope = Scope::new(automations, home, &self.event);
        match self.beside.as_deref() {
            Some(Beside {
                contact,
                conversation,
            }) => scope.with_contact(contact, Some(conversation)),
            None => scope,
        }
    }

    /// The rows of this person's ways to be written to: the number, what stands for one that is hidden, or,
    /// where Callbell knows neither, its own number of the person.
    pub fn reachable(&self) -> Vec<PersonId> {
        let customer = &self.event.customer;
        let phone = self
            .phone
            .iter()
            .map(|phone| PersonId::phone(&phone.identity));
        let bsuid = customer.bsuid.iter().map(|id| PersonId::bsuid(id));
        let mut ids: Vec<PersonId> = phone.chain(bsuid).collect();
        if ids.is_empty() && callbell::is_of_callbell(&self.event) {
            let id = customer.id.iter();
            ids.extend(id.map(|id| PersonId::customer(&self.event.event.source, id)));
        }
        ids
    }

    /// The rows that remember this person.
    pub fn persons(&self) -> Vec<PersonId> {
        let email = self
            .event
            .customer
            .email
            .iter()
            .map(|address| PersonId::email(address));
        self.reachable().into_iter().chain(email).collect()
    }

    /// Whose rows these are, for an erasure.
    pub fn digests(&self) -> Digests {
        let head = &self.event.event;
        let customer = &self.event.customer;
        let mut digests = self.account();
        if let Some(id) = &customer.id {
            digests = digests.customer(&head.source, id);
        }
        if let Ok(phone) = &self.phone {
            digests = digests.phone(&phone.identity);
        }
        if let Some(address) = &customer.email {
            digests = digests.email(address);
        }
        if let Some(bsuid) = &customer.bsuid {
            digests = digests.bsuid(bsuid);
        }
        digests
    }

    /// The account that the event came from.
    pub fn account(&self) -> Digests {
        let head = &self.event.event;
        head.account.as_ref().map_or_else(Digests::new, |account| {
            Digests::new().account(&head.kind, account)
        })
    }
}

/// What the event says about its subject and those that it ends: to be recorded before [`plan`], which
/// asks what the row holds afterwards.
pub fn changes(
    known: &Known,
    received_at: Timestamp,
    automations: &Automations,
) -> Vec<EntityChange> {
    let event = &known.event;
    if !has_entity(event.subject.kind) {
        return Vec::new();
    }
    let keep_until = needed_until(event, automations).unwrap_or(received_at);
    let keep_until = keep_until.max(received_at);
    EntityChange::all(event, received_at, keep_until, &known.digests())
}

/// Whether what the event is about has a row that keeps its newest state. What Callbell and we ourselves
/// tell is dated and over when it is told, and so is an answer to a form or an e-mail.
fn has_entity(kind: SubjectKind) -> bool {
    !matches!(
        kind,
        SubjectKind::Privacy
            | SubjectKind::Source
            | SubjectKind::Contact
            | SubjectKind::Conversation
            | SubjectKind::Message
            | SubjectKind::Job
            | SubjectKind::Form
            | SubjectKind::Email
            | SubjectKind::Custom
    )
}

/// Until when somebody may ask for the event, or for its subject's row: its jobs, and of an appointment
/// those of its booking, whichever event shows it last. An appointment is needed until it is over, with
/// jobs or without: a later event may not show it. `None`: nobody will.
fn needed_until(event: &Event, automations: &Automations) -> Option<Timestamp> {
    let scope = Scope::new(automations, &Home::of(automations, event, None), event);
    let asks = |automation: &&Automation| {
        appointments::part(event, automation).is_some()
            || (event.subject.kind == SubjectKind::Appointment
                && appointments::is_of_bookings(automation))
    };
    let steps = automations.automations.values().filter(asks);
    let times = steps
        .flat_map(|automation| &automation.steps)
        .filter_map(|step| due(step, &scope, event).ok());
    times.max().max(event.subject.end)
}

/// The effects of an event that was stored at `received_at`, over its entity's row as it is after
/// [`changes`] were recorded.
pub fn plan(
    known: &Known,
    received_at: Timestamp,
    entity: Option<&EntityRow>,
    automations: &Automations,
) -> Vec<Effect> {
    let event = &known.event;
    if event.subject.kind == SubjectKind::Privacy {
        return privacy(known);
    }
    let mut last_job_at = match event.subject.kind {
        SubjectKind::Appointment => needed_until(event, automations),
        _ => None,
    };
    if event.event.name.is_internal() || matches!(event.body, Body::AppointmentChange { .. }) {
        let own = callbell::settled(event);
        let lines = appointments::unknown(event)
            .into_iter()
            .chain(own)
            .collect();
        return vec![Effect::Planned(Planned {
            lines,
            digests: known.digests(),
            last_job_at,
            contact: None,
        })];
    }
    let mut effects = stop_marks(known, automations);
    let mut lines = Vec::new();
    if let Some(why) = &known.silent {
        lines.push(Line {
            automation: event.event.name.as_str().to_owned(),
            matched: false,
            why: why.clone(),
        });
    }
    if let Some((line, jobs)) = opting(known, received_at, automations) {
        last_job_at = last_job_at.max(jobs.iter().map(|job| job.due_at).max());
        lines.push(line);
        effects.extend(jobs.into_iter().map(Effect::Job));
    }
    for (name, automation) in &automations.automations {
        let Some(part) = appointments::part(event, automation) else {
            continue;
        };
        if known.silent.is_some() {
            break;
        }
        match why_not(known, received_at, entity, automations, name, automation) {
            Some(why) => lines.push(Line {
                automation: name.clone(),
                matched: false,
                why,
            }),
            None => {
                let jobs = jobs(known, received_at, automations, name, automation, part);
                last_job_at = last_job_at.max(jobs.iter().map(|job| job.due_at).max());
                lines.push(Line {
                    automation: name.clone(),
                    matched: true,
                    why: format!("{}{}", count(jobs.len()), part.words()),
                });
                effects.extend(jobs.into_iter().map(Effect::Job));
            }
        }
    }
    effects.push(Effect::Planned(Planned {
        lines,
        digests: known.digests(),
        last_job_at,
        contact: known.shown.clone(),
    }));
    effects
}

/// What follows from a word that opts out or in again, beside all automations of the file.
fn opting(
    known: &Known,
    received_at: Timestamp,
    automations: &Automations,
) -> Option<(Line, Vec<NewJob>)> {
    let name = known.opted?.automation();
    let jobs = automations
        .automations
        .get(name)
        .map(|automation| jobs(known, received_at, automations, name, automation, Part::All))
        .unwrap_or_default();
    let line = Line {
        automation: name.to_owned(),
        matched: true,
        why: count(jobs.len()),
    };
    Some((line, jobs))
}

/// The event key that a step's job is made for: the event's own; for checkouts one that all events of the
/// checkout share; for steps with a time around an appointment one that all events share that know it
/// by its first id and have it begin then.
pub fn job_event(event: &Event, step: &Step) -> String {
    match event.event.name {
        Name::CheckoutAbandoned => format!("{}{ABANDONED}", event.entity_key()),
        Name::AppointmentBooked | Name::AppointmentRescheduled if appointments::is_timed(step) => {
            appointments::timed_key(event)
        }
        _ => event.event.id.clone(),
    }
}

/// What a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About<'a> {
    /// The event with this key.
    Event(&'a str),
    /// The newest event of the checkout with this entity key.
    Checkout(&'a str),
    /// The newest event of an appointment.
    Appointment {
        /// The entity key of its first id, as far as that was known when the job was made.
        entity: &'a str,
        /// When it begins: with another start the job is none of it any more.
        start: Timestamp,
    },
}

/// What a job with this event key is about.
pub fn about(job_event: &str) -> About<'_> {
    if let Some(entity) = job_event.strip_suffix(ABANDONED) {
        return About::Checkout(entity);
    }
    match appointments::read_timed_key(job_event) {
        Some((entity, start)) => About::Appointment { entity, start },
        None => About::Event(job_event),
    }
}

/// By which event a job holds its `once` mark: all steps of a booking hold the same.
pub fn once_holder(job_event: &str) -> String {
    match about(job_event) {
        About::Appointment { entity, .. } => format!("{entity}/booked"),
        _ => job_event.to_owned(),
    }
}

/// The job's own time, before `send_hours`: `at`, or the event's time.
///
/// # Errors
/// Why there is none, in words: the field is absent.
pub fn due(step: &Step, scope: &Scope, event: &Event) -> Result<Timestamp, String> {
    match &step.at {
        None => Ok(event.event.at),
        Some(at) => times::due(at, scope).map_err(|error| error.to_string()),
    }
}

/// [`due`], moved into the step's `send_hours`. `known_since`: when the event reached us.
///
/// # Errors
/// Why there is none, in words: the field is absent, or no hour is left before it.
pub fn due_in_hours(
    automations: &Automations,
    automation: &Automation,
    step: &Step,
    scope: &Scope,
    event: &Event,
    known_since: Timestamp,
) -> Result<Timestamp, String> {
    let time = due(step, scope, event)?;
    let Some((hours, zone)) = hours_of(automations, automation, step, event) else {
        return Ok(time);
    };
    let announced = match &step.at {
        Some(at) => times::announced(at, scope).map_err(|error| error.to_string())?,
        None => None,
    };
    hours::into_hours(hours, &zone, time, announced, known_since)
        .map_err(|NoHourLeft| no_hour_left(step))
}

/// Sending hours and their zone: the automation's own, for marketing the defaults'.
pub fn hours_of<'a>(
    automations: &'a Automations,
    automation: &Automation,
    step: &Step,
    event: &Event,
) -> Option<(&'a Hours, TimeZone)> {
    let purpose = automations.messages.get(step.action.message()?)?.purpose;
    let name = match (&automation.send_hours, purpose) {
        (Some(SendHours::Any), _) => None,
        (Some(SendHours::Named(name)), _) => Some(name),
        (None, Purpose::Marketing) => automations.defaults.send_hours.as_ref(),
        (None, Purpose::Service) => None,
    };
    let hours = name.and_then(|name| automations.hours.get(name))?;
    let business = &automations.defaults.timezone.zone;
    let own = context::own_zone(event);
    Some((hours, hours::zone_of(hours, own.as_ref(), business).clone()))
}

/// Why a step is skipped that finds no hour to send in.
pub fn no_hour_left(step: &Step) -> String {
    let field = step.at.as_ref().and_then(|at| at.field.as_deref());
    match field {
        Some(field) => format!("no sending hour left before {field}"),
        None => "no sending hour left".to_owned(),
    }
}

/// Lateness that an action allows itself: the automation's, the defaults', its own.
pub fn give_up_after(
    automations: &Automations,
    automation: &Automation,
    action: &Action,
) -> SignedDuration {
    match automation
        .give_up_after
        .or(automations.defaults.give_up_after)
    {
        Some(Span::Exact(duration)) => duration,
        Some(Span::Days(days)) => SignedDuration::from_hours(24 * i64::from(days)),
        None => actions::give_up_after(action),
    }
}

fn why_not(
    known: &Known,
    received_at: Timestamp,
    entity: Option<&EntityRow>,
    automations: &Automations,
    name: &str,
    automation: &Automation,
) -> Option<String> {
    let head = &known.event.event;
    if !automation.enabled {
        return Some("enabled is false".to_owned());
    }
    let here = |source: &String| *source == head.source || *source == head.kind;
    if !automation.source.is_empty() && !automation.source.iter().any(here) {
        return Some(format!(
            "source is {}, not {}",
            head.source,
            automation.source.join(" or ")
        ));
    }
    if callbell::is_of_own(&known.event, name) {
        return Some("the message was its own".to_owned());
    }
    if head.depth >= DEPTH_MAX {
        return Some(format!(
            "our own actions led to this {} times over: stopped",
            head.depth
        ));
    }
    let patience = automation
        .steps
        .iter()
        .map(|step| give_up_after(automations, automation, &step.action))
        .max();
    if !is_news(
        &known.event,
        received_at,
        entity,
        patience.unwrap_or_default(),
    ) {
        return Some("state older than us".to_owned());
    }
    let home = Home::of(automations, &known.event, automation.channel.as_deref());
    let scope = Scope::new(automations, &home, &known.event);
    automation
        .when
        .as_ref()
        .and_then(|when| is_false(when, &scope))
}

/// Why a condition does not hold; `None`: it does. One that fails counts as false.
pub(crate) fn is_false(when: &Expr, scope: &Scope) -> Option<String> {
    match expr::eval_bool(when, scope) {
        Ok(Truth::True) => None,
        Ok(Truth::False | Truth::Absent) => Some(match expr::explain_false(when, scope) {
            why if why.is_empty() => "when is false".to_owned(),
            why => format!("when is false ({why})"),
        }),
        Err(error) => Some(format!("when failed, which counts as false: {error}")),
    }
}

/// Whether the event may be news, see [`Fresh`]. Ages are measured from when we received it, so that
/// planning it later, or twice, comes to the same.
fn is_news(
    event: &Event,
    received_at: Timestamp,
    entity: Option<&EntityRow>,
    patience: SignedDuration,
) -> bool {
    let within = |at: Timestamp| received_at.duration_since(at) <= patience;
    let young = within(event.subject.created_at);
    if !has_entity(event.subject.kind) {
        return true;
    }
    match (&event.subject.fresh, entity) {
        (Fresh::Dated, _) => true,
        (Fresh::Known, _) => false,
        (_, _) if young => true,
        (_, None) => false,
        (Fresh::Transition { before, now }, Some(entity)) => {
            let seen_before = entity.seen.contains_key(before);
            seen_before && entity.seen.get(now).copied().is_none_or(within)
        }
        // An event's facts and parts are recorded in one write. So a part that is younger than some fact
        // was absent from an earlier body, whichever event of its own body came first.
        (Fresh::Part { part }, Some(entity)) => {
            let first_seen = entity.parts.get(part).copied().unwrap_or(received_at);
            let seen_without = entity.seen.values().any(|at| *at < first_seen);
            seen_without && within(first_seen)
        }
    }
}

fn jobs(
    known: &Known,
    received_at: Timestamp,
    automations: &Automations,
    name: &str,
    automation: &Automation,
    part: Part,
) -> Vec<NewJob> {
    let event = &known.event;
    let scope = Scope::new(
        automations,
        &Home::of(automations, event, automation.channel.as_deref()),
        event,
    );
    // Hours that come earlier have to be looked at then; later ones are found at the time itself.
    let time = |step: &Step| {
        let time = due(step, &scope, event)?;
        let moved = due_in_hours(automations, automation, step, &scope, event, received_at);
        Ok::<_, String>(moved.map_or(time, |moved| moved.min(time)))
    };
    let job = |step: &Step| NewJob {
        automation: name.to_owned(),
        action: step.action.key(),
        event: job_event(event, step),
        event_at: event.event.at,
        // A time that cannot be told is no reason to lose the job: at its claim it is skipped with it.
        due_at: gathered_at(event, received_at, automations, step)
            .unwrap_or_else(|| time(step).unwrap_or(event.event.at)),
        depth: event.event.depth,
        digests: known.digests(),
        ended: None,
    };
    // A word that opts out or in is no question.
    let is_word = opt_out::said(event, &automations.opt_out).is_some();
    let asked = |step: &&Step| !is_word || step.action.kind != ActionKind::Reply;
    let steps = automation.steps.iter().filter(asked);
    steps.filter(|step| part.has(step)).map(job).collect()
}

/// When an answer is due: people write in bursts, so it waits for the rest. It waits from when the message
/// reached us, because more of them may be as late; one that comes later than [`LATE`] is late for an
/// answer too. `None`: the step is none.
fn gathered_at(
    event: &Event,
    received_at: Timestamp,
    automations: &Automations,
    step: &Step,
) -> Option<Timestamp> {
    if step.action.kind != ActionKind::Reply || step.at.is_some() {
        return None;
    }
    let table = automations.replies.get(&step.action.name)?;
    let at = event.event.at;
    let latest = at.saturating_add(LATE).unwrap_or(at);
    let from = received_at.max(at).min(latest);
    from.saturating_add(table.gather).ok()
}

/// Marks are left for every automation, disabled ones too: their jobs wait.
fn stop_marks(known: &Known, automations: &Automations) -> Vec<Effect> {
    let head = &known.event.event;
    let named = automations
        .automations
        .values()
        .any(|automation| automation.stop_on.contains(&head.name));
    if !named || head.test || known.silent.is_some() {
        return Vec::new();
    }
    let digests = if callbell::is_of_callbell(&known.event) {
        known.digests()
    } else {
        known.account()
    };
    let mark = PersonMark {
        stops: vec![(
            head.name,
            Mark {
                at: head.at,
                event: head.id.clone(),
            },
        )],
        sent: None,
        digests,
    };
    known
        .persons()
        .into_iter()
        .map(|person| Effect::Person(person, mark.clone()))
        .collect()
}

/// Requests under data protection law act on rows; no automation sees them. Their lines are the record
/// that an auditor asks for, so they name the provider's request and nobody.
fn privacy(known: &Known) -> Vec<Effect> {
    let event = &known.event;
    let request = match &event.body {
        shared::event::Body::Privacy { privacy } => privacy.clone(),
        _ => shared::event::Privacy::default(),
    };
    let number = request.request_id.as_deref().unwrap_or("without a number");
    let line = |why: String| Line {
        automation: event.event.name.as_str().to_owned(),
        matched: true,
        why,
    };
    let erase = |digests: Digests, entities: Vec<String>| {
        Effect::Erase(event.event.id.clone(), Erasure { digests, entities })
    };
    let key = |id: &String| shared::event::entity_key(&event.event.source, SubjectKind::Order, id);
    let (erased, why) = match event.event.name {
        Name::PrivacyRedactCustomer => {
            let orders = request.order_ids.iter().map(key).collect();
            (
                Some(erase(customer_alone(known), orders)),
                format!("request {number}: every row of the customer is erased"),
            )
        }
        Name::PrivacyRedactAccount => (
            Some(erase(known.account(), Vec::new())),
            format!("request {number}: every row of the account is erased"),
        ),
        _ => (
            None,
            format!(
                "request {number}: a person asks which data is held; to be answered by the shop"
            ),
        ),
    };
    let planned = Planned {
        lines: vec![line(why)],
        ..Planned::default()
    };
    erased
        .into_iter()
        .chain([Effect::Planned(planned)])
        .collect()
}

/// Many systems know the whole name alone. What is none, an address or a number in its place, has no given one.
fn given_name(customer: &mut Customer) {
    let is_name = |name: &&str| !name.contains(|c: char| c == '@' || c.is_ascii_digit());
    if customer.first_name.is_none() {
        let name = customer.name.as_deref().filter(is_name);
        let given = name.map(names::first_name);
        customer.first_name = given.filter(|name| !name.is_empty());
    }
}

/// On Callbell's own events the person's given name is the customer's, and the number stands as Callbell shows it.
fn callbell_names(event: &mut Event) {
    if !callbell::is_of_callbell(event) {
        return;
    }
    let phone = event.customer.phone.clone();
    if let Some(contact) = event.contact_mut() {
        callbell::named(contact);
        contact.phone = phone.or(contact.phone.take());
    }
}

/// The customer without the account: erasing one customer must not erase the shop.
fn customer_alone(known: &Known) -> Digests {
    let customer = &known.event.customer;
    let mut digests = Digests::new();
    if let Some(id) = &customer.id {
        digests = digests.customer(&known.event.event.source, id);
    }
    if let Ok(phone) = &known.phone {
        digests = digests.phone(&phone.identity);
    }
    if let Some(address) = &customer.email {
        digests = digests.email(address);
    }
    if let Some(bsuid) = &customer.bsuid {
        digests = digests.bsuid(bsuid);
    }
    digests
}

fn count(jobs: usize) -> String {
    if jobs == 1 {
        "1 job".to_owned()
    } else {
        format!("{jobs} jobs")
    }
}

#[cfg(test)]
pub(crate) mod tests;
