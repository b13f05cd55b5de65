//! What a job that came up should do now: pure, over rows that were just read.
//!
//! The checks stand in one order, and the first that objects decides: is the automation still there, is
//! it on, does anything hold the job, has its subject ended, is it early or late, is it an hour to send,
//! did the person stop it, may they be written to, does the step still want to, is there something to
//! say. `once` comes after all of them, in the store.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use shared::event::{Fact, Name, State, SubjectKind, entity_key};
use shared::store::{Ended, EntityRow, HoldRow, JobRow, OnceKey, PersonId, PersonRow, Status};

use super::backoff::is_late;
use super::config::Configured;
use super::route::{API, Found, Route, Sender};
use super::waits::Waits;
use crate::actions::Table;
use crate::actions::message::{Letter, Recipient};
use crate::actions::render::{self as filling, Deed};
use crate::automations::hours::{self, NoHourLeft};
use crate::automations::model::{Bot, ChannelKind, Consent, Hours, Message, OnceScope, Purpose};
use crate::automations::render::{self, Form, Occasion, Unfit};
use crate::automations::times;
use crate::callbell::Hold;
use crate::phone;
use crate::plan::{self, About, Known, appointments, opt_out};

/// How long a job waits that nothing but a person can free: between two looks at it.
pub(super) const RECHECK: SignedDuration = SignedDuration::from_mins(5);
/// How long a job waits for its automation to come back before it counts as removed.
const REMOVED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// How long a job waits under the red button between two looks at it.
pub(super) const PAUSED_RECHECK: SignedDuration = SignedDuration::from_mins(2);

/// What to do with a job.
#[derive(Debug)]
pub(super) enum Decision {
    /// Not now.
    Wait(Wait),
    /// Never.
    End(Ended),
    /// Now.
    Act(Box<Act>),
}

/// Not now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wait {
    /// When to look again.
    pub(super) at: Timestamp,
    /// A new time from which lateness counts, where the wait is not the job's fault.
    pub(super) due_at: Option<Timestamp>,
    pub(super) reason: String,
}

/// Everything that an attempt needs.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) what: What,
    pub(super) once: Option<(OnceKey, Option<Timestamp>)>,
    /// From when lateness counts.
    pub(super) late_from: Timestamp,
    /// After this instant it is too late.
    pub(super) limit: Timestamp,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum What {
    /// A letter to a person.
    Post(Box<Post>),
    /// An answer to a person, in words that are still to be found.
    Answer { to: Recipient, from: Sender },
    /// Something at another system, or to the person in Callbell.
    Deed { deed: Deed, from: Option<Sender> },
}

/// A letter in its envelope.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) letter: Letter,
    pub(super) to: Recipient,
    pub(super) from: Sender,
    /// E-mail address of the assigned user.
    pub(super) assign: Option<String>,
    /// Team by name.
    pub(super) team: Option<String>,
    /// Callbell's own bot.
    pub(super) bot: Option<Bot>,
}

/// A job's automation is not there, or not any more: a push and a deploy are not atomic, so it may come.
/// Since when it is missed stands in the reason, which survives in the row.
pub(super) fn missing(job: &JobRow, what: &str, now: Timestamp) -> Decision {
    let waits = Waits::read(job.reason.as_deref(), what).unwrap_or_else(|| Waits::since(now, what));
    if now.duration_since(waits.since) >= REMOVED_AFTER {
        return Decision::End(Ended::Skipped(format!("removed: {what}")));
    }
    Decision::Wait(Wait {
        at: now + RECHECK,
        due_at: None,
        reason: waits.to_string(),
    })
}

/// A job whose time ran out: skipped where it had no attempt, dead where it had.
fn ended(job: &JobRow, reason: String) -> Ended {
    if job.attempts > 0 {
        Ended::Dead(reason)
    } else {
        Ended::Skipped(reason)
    }
}

/// Whether a job may have been done in a time that the table does not know any more: it was restored from
/// a backup, and this was to happen before the given instant.
///
/// The row's own next time decides, and the claim's where it was claimed. Of what was to be tried before
/// the instant nobody knows whether it was, and what was being tried may have been settled: neither is
/// tried again. What has its time after it was surely left alone until then, whenever its event was: a
/// reminder for tomorrow, a retry that comes later, a job that a person replayed.
pub(super) fn forgotten(job: &JobRow, nothing_before: Option<Timestamp>) -> Option<Ended> {
    let at = match job.status {
        Status::Running | Status::Uncertain => job.claimed_at.unwrap_or(job.next_at),
        _ => job.next_at,
    };
    let instant = nothing_before.filter(|instant| at < *instant)?;
    Some(Ended::Skipped(format!(
        "from before the restore: nothing due before {} is sent",
        minute(instant)
    )))
}

/// What the checks read. All rows were read after the job's.
pub(super) struct Facts<'a> {
    pub(super) now: Timestamp,
    pub(super) job: &'a JobRow,
    pub(super) configured: &'a Configured,
    pub(super) found: Found<'a>,
    pub(super) known: &'a Known,
    pub(super) entity: Option<&'a EntityRow>,
    /// The rows under the subject's other names: an order may end a checkout by its cart's.
    pub(super) aliases: &'a [EntityRow],
    /// Since when the red button is pressed.
    pub(super) paused_since: Option<Timestamp>,
    /// The hold of the job's channel.
    pub(super) hold: Option<&'a HoldRow>,
    /// This job tries whether the held channel goes through.
    pub(super) probing: bool,
    /// The customer's rows.
    pub(super) customer: &'a [PersonRow],
    /// The recipient's rows.
    pub(super) recipient: &'a [PersonRow],
    /// See [`forgotten`].
    pub(super) nothing_before: Option<Timestamp>,
}

/// Runs the checks. `route` is of the same job, rows and instant.
pub(super) fn decide(facts: &Facts<'_>, route: &Route<'_>) -> Decision {
    match object(facts, route) {
        Err(decision) => decision,
        Ok(act) => Decision::Act(Box::new(act)),
    }
}

fn object(facts: &Facts<'_>, route: &Route<'_>) -> Result<Act, Decision> {
    let due = in_time(facts, route)?;
    let what = match facts.found.table {
        Table::Message(message) => post(facts, route, message)?,
        Table::Reply(_) => answer(facts, route)?,
        table => deed(facts, route, table)?,
    };
    Ok(Act {
        what,
        once: once(facts),
        late_from: due.late_from,
        limit: due.limit,
    })
}

/// What all actions have in common: is it on, does anything hold it, has its subject ended, is it the time?
fn in_time(facts: &Facts<'_>, route: &Route<'_>) -> Result<Due, Decision> {
    let Facts { now, job, .. } = *facts;
    // Before anything that puts the job off: its time says whether it is from before a restore.
    let forgotten = forgotten(job, facts.nothing_before);
    if !facts.found.automation.enabled {
        let off = || wait(now + RECHECK, None, "its automation is not enabled");
        return Err(forgotten.map_or_else(off, Decision::End));
    }
    // Read first, because a pause and a hold move what lateness counts from.
    let mut due = match due(facts, route) {
        Ok(due) => due,
        // A booking that moved has its times around another start.
        Err(decision) => {
            let ended = ended_by_subject(facts, job.due_at);
            return Err(ended.map_or(decision, |why| over(facts, why)));
        }
    };
    // A checkout that changed later has its time later than its row says.
    if let Some(ended) = forgotten
        && facts.nothing_before.is_some_and(|instant| due.at < instant)
    {
        return Err(Decision::End(ended));
    }
    held(facts, &mut due, costs_credit(facts, route))?;
    if let Some(why) = ended_by_subject(facts, due.at) {
        return Err(over(facts, why));
    }
    if due.at > now {
        return Err(wait(due.at, Some(due.at), "not yet"));
    }
    if is_late(now, due.limit, job.attempts, job.next_at) {
        let last = job.reason.as_deref().filter(|_| job.attempts > 0);
        let reason = last.map_or_else(|| "too late".to_owned(), |last| format!("too late: {last}"));
        return Err(Decision::End(ended(job, reason)));
    }
    in_send_hours(facts, &due)?;
    if let Some(why) = stopped(facts) {
        return Err(Decision::End(Ended::Cancelled(why)));
    }
    Ok(due)
}

fn skip(why: String) -> Decision {
    Decision::End(Ended::Skipped(why))
}

/// The checks of `[message.x]`, and what it says.
fn post(facts: &Facts<'_>, route: &Route<'_>, message: &Message) -> Result<What, Decision> {
    consents(facts, route, message).map_err(skip)?;
    let to = route.to.clone().map_err(skip)?;
    may_reach(facts, &to).map_err(skip)?;
    not_opted_out(facts, Some(message.purpose)).map_err(skip)?;
    let from = sender(route)?;
    render::form(message, is_window_open(facts, route)).map_err(|unfit| skip(unfit.to_string()))?;
    still_wants(facts, route)?;
    let letter = letter(facts, route, message)?;
    Ok(What::Post(Box::new(Post {
        letter,
        to,
        from,
        assign: message.assign.clone(),
        team: message.team.clone(),
        bot: message.bot,
    })))
}

/// The checks of `[reply.x]`. Whoever wrote may be answered: no consent, no window.
fn answer(facts: &Facts<'_>, route: &Route<'_>) -> Result<What, Decision> {
    let to = route.to.clone().map_err(skip)?;
    may_reach(facts, &to).map_err(skip)?;
    not_opted_out(facts, None).map_err(skip)?;
    let from = sender(route)?;
    still_wants(facts, route)?;
    Ok(What::Answer { to, from })
}

/// The checks of everything else, and what it writes. Nobody is spoken to, so nobody is asked for consent;
/// what was made for a test stays inside.
fn deed(facts: &Facts<'_>, route: &Route<'_>, table: Table<'_>) -> Result<What, Decision> {
    if facts.known.event.event.test {
        return Err(skip("test order".to_owned()));
    }
    if matches!(table, Table::Contact(_)) {
        sender(route)?;
    }
    still_wants(facts, route)?;
    let phone = facts.known.phone.as_ref().ok();
    let occasion = filling::Occasion {
        event: &facts.known.event,
        phone: phone.map(|phone| phone.e164.as_str()),
        home: &route.home,
        scope: &route.scope,
    };
    match filling::deed(table, &occasion).map_err(unfit)? {
        Some(deed) => Ok(What::Deed {
            deed,
            from: route.from.clone(),
        }),
        None => Err(skip("this version cannot do it".to_owned())),
    }
}

fn sender(route: &Route<'_>) -> Result<Sender, Decision> {
    let from = route.from.clone();
    from.ok_or_else(|| skip("no channel to send from".to_owned()))
}

/// The step's own `when`, over what is true now.
fn still_wants(facts: &Facts<'_>, route: &Route<'_>) -> Result<(), Decision> {
    let when = facts.found.step.when.as_ref();
    match when.and_then(|when| plan::is_false(when, &route.scope)) {
        Some(why) => Err(skip(why)),
        None => Ok(()),
    }
}

/// Whether free text may be sent.
fn is_window_open(facts: &Facts<'_>, route: &Route<'_>) -> bool {
    let other_rules = |from: &Sender| from.channel.kind != ChannelKind::Whatsapp;
    route.from.as_ref().is_some_and(other_rules) || window(facts)
}

/// Only templates cost credit.
fn costs_credit(facts: &Facts<'_>, route: &Route<'_>) -> bool {
    let message = facts.found.message();
    message.is_some_and(|message| {
        let form = render::form(message, is_window_open(facts, route));
        form.ok() != Some(Form::Free)
    })
}

fn wait(at: Timestamp, due_at: Option<Timestamp>, reason: &str) -> Decision {
    Decision::Wait(Wait {
        at,
        due_at,
        reason: reason.to_owned(),
    })
}

/// When the job is due, and until when.
struct Due {
    /// Its time by the automation as it is now, moved into its hours.
    at: Timestamp,
    /// From when lateness counts.
    late_from: Timestamp,
    /// After this it is too late.
    limit: Timestamp,
    /// What a before-time announces.
    announced: Option<Timestamp>,
}

impl Due {
    /// Lateness stands still for so long. What a before-time announces does not wait.
    fn put_off(&mut self, by: SignedDuration) {
        self.late_from += by;
        self.limit = self
            .announced
            .map_or(self.limit + by, |announced| announced.min(self.limit + by));
    }
}

fn due(facts: &Facts<'_>, route: &Route<'_>) -> Result<Due, Decision> {
    let event = &facts.known.event;
    let skip = |why: String| Decision::End(Ended::Skipped(why));
    let step = facts.found.step;
    let (time, announced) = match &step.at {
        None => (event.event.at, None),
        Some(at) => {
            let time = times::due(at, &route.scope).map_err(|error| skip(error.to_string()))?;
            (
                time,
                times::announced(at, &route.scope).map_err(|error| skip(error.to_string()))?,
            )
        }
    };
    let counts = announced.is_some() || event.subject.kind == SubjectKind::Appointment;
    if appointments::is_timed(step) && counts && time < facts.job.event_at {
        return Err(skip("its time had passed".to_owned()));
    }
    // A job that went over to the booking's first id is younger than its time.
    let known_since = facts.job.created_at.min(facts.job.due_at);
    let at = match hours_of(facts) {
        None => time,
        Some((hours, zone)) => hours::into_hours(hours, &zone, time, announced, known_since)
            .map_err(|NoHourLeft| skip(plan::no_hour_left(step)))?,
    };
    // What a pause, a hold or closed hours moved stays moved.
    let late_from = at.max(facts.job.due_at);
    let patience = plan::give_up_after(
        &facts.configured.automations,
        facts.found.automation,
        &facts.found.step.action,
    );
    let limit = announced.map_or(late_from + patience, |announced| {
        announced.min(late_from + patience)
    });
    Ok(Due {
        at,
        late_from,
        limit,
        announced,
    })
}

fn hours_of<'a>(facts: &Facts<'a>) -> Option<(&'a Hours, TimeZone)> {
    plan::hours_of(
        &facts.configured.automations,
        facts.found.automation,
        facts.found.step,
        &facts.known.event,
    )
}

/// The red button, `paused` in the file, and the channel's hold. None of them spends an attempt or
/// lateness: what the job waits for them is added to its time.
fn held(facts: &Facts<'_>, due: &mut Due, costs_credit: bool) -> Result<(), Decision> {
    let concerns = |hold: &&HoldRow| hold.reason != Hold::OutOfCredit.as_str() || costs_credit;
    let (since, every, reason) = if let Some(since) = facts.paused_since {
        (since, PAUSED_RECHECK, "paused".to_owned())
    } else if facts.configured.automations.defaults.paused {
        (
            Timestamp::MIN,
            PAUSED_RECHECK,
            "paused in the automations file".to_owned(),
        )
    } else if let Some(hold) = facts.hold.filter(concerns) {
        (
            hold.since,
            RECHECK,
            match hold.channel.strip_prefix(API) {
                Some(secret) => format!("{secret} is held: {}", hold.reason),
                None => format!("channel {} is held: {}", hold.channel, hold.reason),
            },
        )
    } else {
        return Ok(());
    };
    if due.at > facts.now {
        return Ok(());
    }
    let waited_from = facts.job.next_at.max(due.at).max(since).min(facts.now);
    let paused = facts.paused_since.is_some() || facts.configured.automations.defaults.paused;
    if facts.probing && !paused {
        due.put_off(facts.now.duration_since(waited_from));
        return Ok(());
    }
    let at = facts.now + every;
    due.put_off(at.duration_since(waited_from));
    Err(wait(at, Some(due.late_from), &reason))
}

/// Whether what happened to the subject, under any of its names, ends the job. A job about an end is not
/// ended by it. `due_at`: the job's time.
fn ended_by_subject(facts: &Facts<'_>, due_at: Timestamp) -> Option<String> {
    let name = facts.known.event.event.name;
    if name.subject() == SubjectKind::Appointment {
        return ended_by_appointment(facts, due_at).map(str::to_owned);
    }
    let about_the_end = matches!(name, Name::OrderCancelled | Name::OrderRefunded);
    let ended = |row: &EntityRow| match (name.subject(), row.state) {
        (SubjectKind::Order | SubjectKind::Shipment, State::Cancelled) if !about_the_end => {
            Some("the order was cancelled")
        }
        (SubjectKind::Order | SubjectKind::Shipment, State::Refunded) if !about_the_end => {
            Some("the order was refunded")
        }
        (SubjectKind::Checkout, State::Ordered) => Some("the checkout became an order"),
        (SubjectKind::Checkout, State::Emptied) => Some("the checkout was emptied"),
        (SubjectKind::Checkout, State::Cancelled | State::Refunded) => Some("the checkout ended"),
        (SubjectKind::Deal, State::Cancelled) => Some("the deal was deleted"),
        _ => None,
    };
    let rows = facts.entity.into_iter().chain(facts.aliases);
    rows.filter_map(ended).next().map(str::to_owned)
}

/// A job about a booking ends with it, and with its start where the move made the job anew; one about
/// another state ends where that is not true any more.
fn ended_by_appointment(facts: &Facts<'_>, due_at: Timestamp) -> Option<&'static str> {
    let row = facts.entity?;
    let event = &facts.known.event;
    let (name, start) = match plan::about(&facts.job.event) {
        About::Appointment { start, .. } => (Name::AppointmentBooked, Some(start)),
        _ => (event.event.name, appointments::start(event)),
    };
    let other_start = row
        .start
        .zip(start)
        .is_some_and(|(now, then)| now.as_second() != then.as_second());
    let moved = (row.is_on_the_move() || other_start) && !follows_moves(facts);
    let over = row.end.is_some_and(|end| due_at >= end);
    match (name, row.state) {
        (Name::AppointmentRequested, State::Open | State::NoShow) => Some("booked"),
        (
            Name::AppointmentRequested | Name::AppointmentBooked | Name::AppointmentRescheduled,
            _,
        ) if moved => Some("moved"),
        (
            Name::AppointmentRequested | Name::AppointmentBooked | Name::AppointmentRescheduled,
            State::Cancelled,
        ) => Some("booking cancelled"),
        (Name::AppointmentBooked | Name::AppointmentRescheduled, State::NoShow) if over => {
            Some("no-show")
        }
        (Name::AppointmentCancelled, State::Open | State::Requested | State::NoShow) => {
            Some("booked again")
        }
        (Name::AppointmentNoShow, State::Open | State::Requested) => Some("no no-show after all"),
        _ => None,
    }
}

/// A step a while after the booking follows it wherever it moves, unless each move makes its own.
fn follows_moves(facts: &Facts<'_>) -> bool {
    facts.known.event.event.name == Name::AppointmentBooked
        && appointments::is_after_the_event(facts.found.step)
        && !facts
            .found
            .automation
            .on
            .contains(&Name::AppointmentRescheduled)
}

/// The end of a job whose subject ended it. Before its time a reminder waits all the same: the booking
/// may move back, or open again.
fn over(facts: &Facts<'_>, why: String) -> Decision {
    let at = facts.job.due_at;
    match plan::about(&facts.job.event) {
        About::Appointment { .. } if at > facts.now => {
            wait(at, None, &format!("{why}, unless that changes"))
        }
        _ => Decision::End(Ended::Cancelled(why)),
    }
}

/// Whether this is an hour to send. The job's own time lies inside its hours already; this is about a
/// job that comes late.
fn in_send_hours(facts: &Facts<'_>, due: &Due) -> Result<(), Decision> {
    let Some((hours, zone)) = hours_of(facts) else {
        return Ok(());
    };
    if hours::is_open(hours, &zone, facts.now) {
        return Ok(());
    }
    match hours::next_open(hours, &zone, facts.now) {
        Some(open) if due.announced.is_none_or(|announced| open < announced) => {
            Err(wait(open, Some(open), "outside send_hours"))
        }
        _ => {
            let why = plan::no_hour_left(facts.found.step);
            Err(Decision::End(ended(facts.job, why)))
        }
    }
}

/// Whether the person did one of the `stop_on` since the job's event: by the subject's own row first,
/// which needs no phone, then by the person's.
fn stopped(facts: &Facts<'_>) -> Option<String> {
    let event = &facts.known.event.event;
    for name in &facts.found.automation.stop_on {
        // Of the subject's own row, the job's own event does not count.
        let linked = (*name != event.name).then(|| seen(*name, facts)).flatten();
        if let Some(at) = linked.filter(|at| *at >= facts.job.created_at) {
            return Some(format!("{name} {}", minute(at)));
        }
        let marks = facts.customer.iter().filter_map(|row| row.stops.get(name));
        // The event that made a reminder is told by its time alone.
        let is_reminder = is_reminder(facts);
        let after = |mark: &&shared::store::Mark| {
            mark.event != event.id
                && (mark.at > facts.job.event_at || (mark.at == facts.job.event_at && !is_reminder))
        };
        if let Some(mark) = marks.filter(after).max_by_key(|mark| mark.at) {
            return Some(format!("{name} {}", minute(mark.at)));
        }
    }
    None
}

/// Whether the job is about an appointment's start and not about an event.
fn is_reminder(facts: &Facts<'_>) -> bool {
    matches!(plan::about(&facts.job.event), About::Appointment { .. })
}

/// When the job's own subject was first seen as the event says.
fn seen(name: Name, facts: &Facts<'_>) -> Option<Timestamp> {
    let fact = match name {
        Name::OrderPaid => Fact::Paid,
        Name::OrderFulfilled => Fact::Fulfilled,
        Name::OrderCancelled => Fact::Cancelled,
        Name::OrderRefunded => Fact::Refunded,
        _ => return None,
    };
    facts.entity?.seen.get(&fact).copied()
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Marketing needs consent; the automation may ask for more, or say that it is held elsewhere.
fn consents(facts: &Facts<'_>, route: &Route<'_>, message: &Message) -> Result<(), String> {
    let agreed = match &facts.found.automation.consent {
        Some(Consent::Held) => true,
        Some(Consent::Expr(when)) => plan::is_false(when, &route.scope).is_none(),
        None => {
            message.purpose == Purpose::Service
                || facts.known.event.customer.accepts_marketing == Some(true)
        }
    };
    if agreed {
        Ok(())
    } else {
        Err("no consent".to_owned())
    }
}

/// The safety catch. Test orders leave through it alone.
fn may_reach(facts: &Facts<'_>, to: &Recipient) -> Result<(), String> {
    let listed = |list: &Vec<String>| match to {
        Recipient::Phone(to) => list
            .iter()
            .any(|number| phone::identity(number) == to.identity),
        // The list has numbers alone.
        Recipient::Bsuid(_) => false,
    };
    match (
        &facts.configured.automations.defaults.only_to,
        facts.known.event.event.test,
    ) {
        (Some(list), _) if listed(list) => Ok(()),
        (_, true) => Err("test order".to_owned()),
        (Some(_), false) => Err("not in only_to".to_owned()),
        (None, false) => Ok(()),
    }
}

/// Whoever asked to be left alone gets no message. `purpose`: `None` for a reply.
fn not_opted_out(facts: &Facts<'_>, purpose: Option<Purpose>) -> Result<(), String> {
    let event = &facts.known.event;
    let opt_out = &facts.configured.automations.opt_out;
    let why = opt_out::silences(facts.recipient, facts.job, event, purpose, opt_out);
    why.map_or(Ok(()), Err)
}

/// Whether the recipient wrote within 24 hours. Unknown counts as no.
fn window(facts: &Facts<'_>) -> bool {
    facts
        .recipient
        .iter()
        .any(|row| row.window_until.is_some_and(|until| until > facts.now))
}

fn letter(facts: &Facts<'_>, route: &Route<'_>, message: &Message) -> Result<Letter, Decision> {
    let occasion = Occasion {
        automations: &facts.configured.automations,
        automation: Some(facts.found.automation),
        home: &route.home,
        event: &facts.known.event,
        scope: &route.scope,
        window_open: is_window_open(facts, route),
    };
    let fill = |uuid: &str, values: &[String]| facts.configured.fill(uuid, values);
    render::message(message, &occasion, &fill)
        .map(|rendered| rendered.letter)
        .map_err(unfit)
}

fn unfit(unfit: Unfit) -> Decision {
    Decision::End(match unfit {
        Unfit::Skip(why) => Ended::Skipped(why),
        Unfit::Dead(why) => Ended::Dead(why),
    })
}

/// Which mark the job takes, and until when. Its holder is the job's event, whose further steps pass.
fn once(facts: &Facts<'_>) -> Option<(OnceKey, Option<Timestamp>)> {
    let once = &facts.found.automation.once;
    let event = &facts.known.event;
    let key = match once.scope {
        OnceScope::Event => return None,
        // A reminder's own key says it: one for each start that the appointment has.
        OnceScope::Subject if is_reminder(facts) => return None,
        OnceScope::Subject => {
            let kind = event.event.name.subject();
            let id = match (kind, &event.body) {
                (
                    SubjectKind::Shipment,
                    shared::event::Body::Order {
                        shipment: Some(shipment),
                        ..
                    },
                ) => &shipment.id,
                _ => &event.subject.id,
            };
            OnceKey::subject(
                facts.found.name,
                kind,
                &entity_key(&event.event.source, kind, id),
            )
        }
        OnceScope::Customer => OnceKey::customer(facts.found.name, &person(facts.known)?),
    };
    let until = once.every.map(|span| {
        times::after(
            facts.now,
            span,
            &facts.configured.automations.defaults.timezone.zone,
        )
    });
    Some((key, until))
}

/// The customer, by the identity that says most.
fn person(known: &Known) -> Option<PersonId> {
    known.persons().into_iter().next()
}
