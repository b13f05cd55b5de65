//! What Callbell's own events teach us of persons, conversations and jobs, and what is told to automations
//! with them. Pure.
//!
//! [`lessons`] are recorded before an event is planned, each by its own idempotent write, in any order and
//! any number of times; [`Rows`] are what is known afterwards, and [`complete`] puts that into the event.

use jiff::{SignedDuration, Timestamp};
use shared::event::{Body, Contact, Conversation, Event, Job, MessageKind, Name, SubjectKind};
use shared::store::{
    Assigned, Closed, ContactDiff, ConversationMark, ConversationRow, Delivery, JobId, JobRow,
    News, OptMark, PersonId, PersonRow, Showing, Shown, Status, Wrote,
};

use super::opt_out::Said;
use super::{Beside, Known, opt_out};
use crate::automations::model::Automations;
use crate::automations::names::first_name;

/// The connection, and the kind, of Callbell's own events.
pub const CALLBELL: &str = "callbell";
/// The connection, and the kind, of our own.
pub const OURSELVES: &str = "callbell-serverless";
/// For so long the automation that spoke last counts as what a person answers.
const LAST_SENT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// For so long a team member's message means that people have the conversation in hand.
pub const QUIET_AFTER_HUMAN: SignedDuration = SignedDuration::from_hours(12);

/// One thing that an event teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lesson {
    /// A person wrote.
    Wrote(PersonId, Wrote),
    /// A person opted out, or in again.
    Opt(PersonId, OptMark),
    /// The conversation with the person of this number.
    Conversation(String, ConversationMark),
    /// The message of a job.
    News(JobId, News),
}

/// Whether this is one of Callbell's own events.
pub fn is_of_callbell(event: &Event) -> bool {
    matches!(
        event.event.name.subject(),
        SubjectKind::Contact | SubjectKind::Conversation | SubjectKind::Message
    )
}

/// Why the event shows its contact; `None`: it shows none that counts.
pub fn showing(event: &Event) -> Option<Showing> {
    match event.event.name {
        Name::ContactCreated => Some(Showing::Created),
        Name::ContactUpdated => Some(Showing::Updated),
        Name::MessageReceived
        | Name::MessageSent
        | Name::ConversationOpened
        | Name::ConversationClosed => Some(Showing::Beside),
        _ => None,
    }
}

/// What an event teaches that our door took at `received_at`.
pub fn lessons(known: &Known, received_at: Timestamp, automations: &Automations) -> Vec<Lesson> {
    let event = &known.event;
    if !is_of_callbell(event) {
        return Vec::new();
    }
    let mut lessons = Vec::new();
    if event.event.name == Name::MessageReceived {
        lessons.extend(of_person(known, received_at, automations));
    }
    lessons.extend(of_conversation(known));
    lessons.extend(of_job(event));
    lessons
}

fn of_person(known: &Known, received_at: Timestamp, automations: &Automations) -> Vec<Lesson> {
    let event = &known.event;
    let Some(message) = event.message() else {
        return Vec::new();
    };
    let wrote = Wrote {
        // A clock that goes ahead must not hold the window open.
        at: message.at.min(received_at),
        event: event.event.id.clone(),
        opens_window: message.kind != MessageKind::Reaction,
    };
    let opt = opt_out::said(event, &automations.opt_out).map(|said| OptMark {
        at: message.at.min(received_at),
        event: event.event.id.clone(),
        out: said == Said::Out,
    });
    let of = |person: PersonId| {
        let opt = opt.clone().map(|opt| Lesson::Opt(person.clone(), opt));
        [Some(Lesson::Wrote(person, wrote.clone())), opt]
    };
    let persons = known.reachable().into_iter();
    persons.flat_map(of).flatten().collect()
}

fn of_conversation(known: &Known) -> Option<Lesson> {
    let event = &known.event;
    let contact = event.contact().filter(|contact| !contact.id.is_empty())?;
    let at = event.event.at;
    let mut mark = ConversationMark {
        digests: known.digests(),
        ..ConversationMark::default()
    };
    match event.event.name {
        Name::ContactCreated | Name::ContactUpdated | Name::MessageReceived => {}
        Name::MessageSent if is_automatic(event) => {}
        Name::MessageSent => mark.human_at = Some(at),
        Name::ConversationOpened => mark.opened_at = Some(at),
        Name::ConversationClosed => {
            mark.closed = Some(Closed {
                at,
                assigned: contact.assigned_to.clone(),
            });
        }
        _ => return None,
    }
    mark.assigned = assigned(event, contact);
    Some(Lesson::Conversation(contact.id.clone(), mark))
}

/// Who is assigned, as far as an event tells. Only a contact's own events tell that nobody is: elsewhere the
/// field may be left out, and that must not take the person away from a colleague.
fn assigned(event: &Event, contact: &Contact) -> Option<Assigned> {
    let tells_nobody = matches!(
        event.event.name,
        Name::ContactCreated | Name::ContactUpdated
    );
    let to = contact.assigned_to.clone();
    (tells_nobody || to.is_some()).then_some(Assigned {
        at: event.event.at,
        to,
    })
}

/// Whether no team member wrote it.
fn is_automatic(event: &Event) -> bool {
    matches!(&event.body, Body::Message { job: Some(_), .. })
}

fn of_job(event: &Event) -> Option<Lesson> {
    let Body::Message {
        message,
        job: Some(job),
        ..
    } = &event.body
    else {
        return None;
    };
    let id = JobId::parse(&job.id)?;
    let echo = event.event.name == Name::MessageEcho;
    let delivery = if echo {
        // That it shows up at Callbell is all that it says.
        Some(Delivery::Enqueued)
    } else {
        Delivery::parse(&message.status)
    };
    let news = News {
        delivery,
        uuid: message.id.clone(),
        written_at: echo.then_some(message.at),
        reason: message.reason.clone(),
        corrected_phone: message.corrected_phone.clone(),
    };
    Some(Lesson::News(id, news))
}

/// What is known around an event after its lessons were recorded.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The rows of its person.
    pub persons: Vec<PersonRow>,
    /// The conversation with them.
    pub conversation: Option<ConversationRow>,
    /// What its contact is against what we had last seen.
    pub shown: Option<Shown>,
    /// The job that it is about.
    pub job: Option<JobRow>,
}

/// The event with everything that the worker fills in, and what follows from that for planning.
#[must_use]
pub fn complete(mut known: Known, rows: &Rows, now: Timestamp, automations: &Automations) -> Known {
    let id = known.event.event.id.clone();
    known.shown.clone_from(&rows.shown);
    known.opted = opted(&known, rows, automations);
    let firsts = rows
        .persons
        .iter()
        .filter_map(|row| row.first_message.as_ref());
    let firsts: Vec<&String> = firsts.collect();
    let is_first = !firsts.is_empty() && firsts.iter().all(|first| **first == id);
    let depth = rows.job.as_ref().map(|job| job.depth.saturating_add(1));
    match &mut known.event.body {
        Body::Message {
            message,
            contact,
            conversation,
            job,
        } => {
            message.is_first = is_first;
            complete_contact(contact, rows, now, automations);
            let talk = conversation.get_or_insert_with(|| Box::new(talk_with(contact)));
            complete_talk(talk, rows, now);
            if let (Some(told), Some(row)) = (job, &rows.job) {
                **told = told_job(row, message.reason.as_deref());
                let depth = depth.unwrap_or_default();
                known.event.event.depth = known.event.event.depth.max(depth);
            }
        }
        Body::Conversation {
            conversation,
            contact,
        } => {
            complete_contact(contact, rows, now, automations);
            complete_talk(conversation, rows, now);
        }
        Body::Contact { contact } => {
            complete_contact(contact, rows, now, automations);
            complete_diff(contact, rows.shown.as_ref());
        }
        Body::Job { .. } => {
            known.is_early = is_dying(&known.event, rows.job.as_ref());
            known.silent = not_dead(&known.event, rows.job.as_ref());
        }
        _ => {}
    }
    if known.event.event.name == Name::ContactUpdated
        && rows.shown == Some(Shown::Changed(ContactDiff::default()))
    {
        known.silent = Some("nothing changed against what we last saw".to_owned());
    }
    known
}

/// Somebody in Callbell whom another system's event is about, with what we know of them.
pub fn person(
    mut contact: Contact,
    rows: &Rows,
    now: Timestamp,
    automations: &Automations,
) -> Beside {
    named(&mut contact);
    complete_contact(&mut contact, rows, now, automations);
    let mut conversation = talk_with(&contact);
    complete_talk(&mut conversation, rows, now);
    Beside {
        contact,
        conversation,
    }
}

/// Fills in the given name and the number in its usual form.
pub(super) fn named(contact: &mut Contact) {
    if contact.first_name.is_empty() {
        contact.first_name = first_name(&contact.name);
    }
}

/// Which word did something by this event: of two that opt out only the first confirms, so that a machine
/// that answers the confirmation with the word is not answered for ever.
fn opted(known: &Known, rows: &Rows, automations: &Automations) -> Option<Said> {
    let id = &known.event.event.id;
    match opt_out::said(&known.event, &automations.opt_out)? {
        Said::Out => {
            let by_us = |row: &PersonRow| row.opted_out_by.as_ref() == Some(id);
            rows.persons.iter().any(by_us).then_some(Said::Out)
        }
        Said::Back => {
            let is_out = |row: &PersonRow| row.opted_out_at.is_some();
            (!rows.persons.iter().any(is_out)).then_some(Said::Back)
        }
    }
}

fn complete_contact(contact: &mut Contact, rows: &Rows, now: Timestamp, automations: &Automations) {
    let plain = |uuid: &str| uuid.replace('-', "").to_ascii_lowercase();
    let uuid = plain(&contact.channel);
    let mut channels = automations.channels.iter();
    if !uuid.is_empty()
        && let Some((name, _)) = channels.find(|(_, channel)| plain(&channel.uuid) == uuid)
    {
        contact.channel.clone_from(name);
    }
    contact.opted_out = rows.persons.iter().any(|row| row.opted_out_at.is_some());
    contact.window_open = rows
        .persons
        .iter()
        .any(|row| row.window_until.is_some_and(|until| until > now));
}

fn complete_diff(contact: &mut Contact, shown: Option<&Shown>) {
    if let Some(Shown::Changed(diff)) = shown {
        contact.changed.clone_from(&diff.changed);
        contact.added_tags.clone_from(&diff.added_tags);
        contact.removed_tags.clone_from(&diff.removed_tags);
    }
}

/// Callbell's conversations have no number of their own.
fn talk_with(contact: &Contact) -> Conversation {
    Conversation {
        id: contact.id.clone(),
        url: contact.url.clone(),
        closed_at: contact.closed_at,
        ..Conversation::default()
    }
}

fn complete_talk(talk: &mut Conversation, rows: &Rows, now: Timestamp) {
    if let Some(row) = &rows.conversation {
        talk.human = row.is_human(now, QUIET_AFTER_HUMAN);
        talk.opened_at = talk.opened_at.or(row.opened_at);
    }
    let sent = rows.persons.iter().filter_map(|row| row.sent.as_ref());
    let lately = sent.filter(|sent| now.duration_since(sent.at) <= LAST_SENT_FOR);
    let last = lately.max_by_key(|sent| sent.at);
    talk.last_sent = last.map(|sent| sent.automation.clone());
}

/// A job as automations see it. `reason`: WhatsApp's own.
fn told_job(row: &JobRow, reason: Option<&str>) -> Job {
    let reason = reason
        .or(row.delivery_reason.as_deref())
        .or(row.reason.as_deref());
    Job {
        id: row.id.as_str().to_owned(),
        key: row.key.clone(),
        automation: row.automation.clone(),
        action: row.action.clone(),
        status: row.status.as_str().to_owned(),
        reason: reason.unwrap_or_default().to_owned(),
        attempts: row.attempts,
        event: row.event.clone(),
    }
}

/// Whether the event is what became of a message of this automation's own: a fallback that fails as well is
/// no reason for another.
pub(super) fn is_of_own(event: &Event, automation: &str) -> bool {
    matches!(&event.body, Body::Message { job: Some(job), .. } if job.automation == automation)
}

/// The `job.dead` of a job whose row will say `dead` next, for this reason. `cause`: the job's own event.
/// Its key names the death: a job that was replayed may die again.
pub fn death(job: &JobRow, cause: &Event, reason: &str, now: Timestamp) -> Event {
    let version = job.version.saturating_add(1);
    let id = job.id.as_str();
    let told = Job {
        status: Status::Dead.as_str().to_owned(),
        ..told_job(job, Some(reason))
    };
    Event {
        event: shared::event::Head {
            name: Name::JobDead,
            source: OURSELVES.to_owned(),
            kind: OURSELVES.to_owned(),
            account: cause.event.account.clone(),
            id: format!("{OURSELVES}/job/{id}/dead/{version}"),
            at: now,
            test: cause.event.test,
            depth: job.depth.max(cause.event.depth).saturating_add(1),
            notes: Vec::new(),
        },
        customer: cause.customer.clone(),
        subject: shared::event::Subject::new(SubjectKind::Job, id, now),
        body: Body::Job {
            job: Box::new(told),
        },
    }
}

/// Whether a dead job is news to anybody: what comes of `job.*` itself makes none.
pub fn dies_in_silence(job: &JobRow, cause: Name, automations: &Automations) -> bool {
    let of_jobs = |name: &Name| name.subject() == SubjectKind::Job;
    let automation = automations.automations.get(&job.automation);
    of_jobs(&cause) || automation.is_some_and(|automation| automation.on.iter().any(of_jobs))
}

/// The version that the job's row has once it is dead, by the key of its `job.dead`.
fn death_version(event: &Event) -> Option<u64> {
    event.event.id.rsplit_once("/dead/")?.1.parse().ok()
}

/// Whether the death that an event tells of is still to be written: the event is stored before it.
pub fn is_dying(event: &Event, job: Option<&JobRow>) -> bool {
    event.event.name == Name::JobDead
        && job.is_some_and(|job| {
            death_version(event).is_some_and(|version| job.version < version)
                && !job.status.has_ended()
        })
}

/// Why nobody hears of a death; `None`: it is true.
fn not_dead(event: &Event, job: Option<&JobRow>) -> Option<String> {
    let is_dead = job
        .is_none_or(|job| job.status == Status::Dead && Some(job.version) == death_version(event));
    (!is_dead).then(|| "the job is not dead after all".to_owned())
}

/// What one of our own messages tells of its job, as the event's line. The corrected number stands with the
/// job.
pub(super) fn settled(event: &Event) -> Option<shared::store::Line> {
    let Body::Message {
        message,
        job: Some(job),
        ..
    } = &event.body
    else {
        return None;
    };
    let what = match event.event.name {
        Name::MessageEcho => "is at Callbell",
        _ if message.status == "mismatch" => "went to the number as WhatsApp corrected it",
        _ => message.status.as_str(),
    };
    Some(shared::store::Line {
        automation: event.event.name.as_str().to_owned(),
        matched: false,
        why: format!("the message of job {} {what}", job.id),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use shared::store::{Digests, NewJob};

    use crate::automations::parse;
    use crate::delivery::preview::row;
    use crate::plan::tests::merge;

    const JOB: &str = "0123456789abcdef0123456789abcdef";

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_773_057_600 + s).unwrap()
    }

    fn event(name: &str, change: Value) -> Event {
        let kind = name.split('.').next().unwrap();
        let mut event = json!({
            "event": {"name": name, "source": "callbell", "kind": "callbell", "id": "k", "at": at(0)},
            "customer": {"id": "c1", "phones": [{"path": "p", "number": "+5511987654321"}]},
            "subject": {"kind": kind, "id": "1", "as_of": at(0), "created_at": at(0), "state": "open",
                        "fresh": "dated"},
            "contact": {"id": "c1", "name": "Maria"}
        });
        merge(&mut event, change);
        serde_json::from_value(event).unwrap()
    }

    fn message(status: &str, change: Value) -> Value {
        let mut message =
            json!({"message": {"text": "Oi", "kind": "text", "status": status, "at": at(0)}});
        merge(&mut message, change);
        message
    }

    fn job(automation: &str) -> JobRow {
        let job = NewJob {
            automation: automation.to_owned(),
            action: "message.m".to_owned(),
            event: "k".to_owned(),
            event_at: at(0),
            due_at: at(0),
            depth: 0,
            digests: Digests::new(),
            ended: None,
        };
        row(&job, at(0))
    }

    fn words(lesson: &Lesson) -> String {
        match lesson {
            Lesson::Wrote(_, wrote) => format!("wrote {} {}", wrote.at, wrote.opens_window),
            Lesson::Opt(_, mark) => {
                format!("opt {} {}", if mark.out { "out" } else { "in" }, mark.at)
            }
            Lesson::Conversation(contact, mark) => {
                let assigned = mark.assigned.as_ref().map(|assigned| assigned.to.is_some());
                let facts = [
                    ("human", mark.human_at.is_some()),
                    ("opened", mark.opened_at.is_some()),
                    ("closed", mark.closed.is_some()),
                    ("assigned", assigned == Some(true)),
                ];
                let facts = facts.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
                let mut said = vec!["talk", contact];
                said.extend(facts);
                said.join(" ")
            }
            Lesson::News(id, news) => format!(
                "job {} {:?} {:?} {:?} {}",
                &id.as_str()[..4],
                news.delivery,
                news.uuid,
                news.reason,
                news.written_at.is_some()
            ),
        }
    }

    #[test]
    fn what_each_event_teaches() {
        let automations = parse("").unwrap();
        let ours = json!({"job": {"id": JOB}});
        let ours_with = |status: &str, change: Value| {
            let mut body = message(status, ours.clone());
            merge(&mut body, change);
            body
        };
        let uuid = json!({"message": {"id": "u", "reason": "r"}});
        let wrote = format!("wrote {} true", at(-5));
        let rows = [
            (
                "message.received",
                message("received", json!({})),
                vec![wrote, "talk c1".to_owned()],
            ),
            (
                "message.received",
                message(
                    "received",
                    json!({"message": {"text": "Sair", "at": at(-9)}}),
                ),
                vec![
                    format!("wrote {} true", at(-9)),
                    format!("opt out {}", at(-9)),
                    "talk c1".to_owned(),
                ],
            ),
            (
                "message.received",
                message(
                    "received",
                    json!({"message": {"kind": "reaction", "text": null, "reaction": "x"}}),
                ),
                vec![format!("wrote {} false", at(-5)), "talk c1".to_owned()],
            ),
            (
                "message.sent",
                message(
                    "sent",
                    json!({"contact": {"assigned_to": "ana@example.com"}}),
                ),
                vec!["talk c1 human assigned".to_owned()],
            ),
            (
                "message.echo",
                ours_with("sent", json!({})),
                vec!["job 0123 Some(Enqueued) None None true".to_owned()],
            ),
            (
                "message.failed",
                ours_with("failed", uuid),
                vec![r#"job 0123 Some(Failed) Some("u") Some("r") false"#.to_owned()],
            ),
            (
                "message.status",
                ours_with("mismatch", json!({"message": {"id": "u"}})),
                vec![r#"job 0123 None Some("u") None false"#.to_owned()],
            ),
            (
                "message.read",
                ours_with("read", json!({"job": {"id": "no job of ours"}})),
                vec![],
            ),
            ("contact.updated", json!({}), vec!["talk c1".to_owned()]),
            ("contact.deleted", json!({}), vec![]),
            (
                "conversation.opened",
                json!({"conversation": {"id": "c1", "url": ""}}),
                vec!["talk c1 opened".to_owned()],
            ),
            (
                "conversation.closed",
                json!({"conversation": {"id": "c1", "url": ""}}),
                vec!["talk c1 closed".to_owned()],
            ),
        ];
        for (name, change, expected) in rows {
            let known = Known::new(event(name, change), &automations);
            let taught = lessons(&known, at(-5), &automations);
            let said: Vec<String> = taught.iter().map(words).collect();
            assert_eq!(said, expected, "{name}");
            assert_eq!(lessons(&known, at(-5), &automations), taught);
        }
    }

    #[test]
    fn a_death_is_named_by_what_the_row_will_say() {
        let cause = event("message.received", message("received", json!({})));
        let mut job = job("a");
        job.depth = 2;
        let dead = death(&job, &cause, "refused", at(0));
        let version = job.version + 1;
        assert_eq!(
            dead.event.id,
            format!("callbell-serverless/job/{}/dead/{version}", job.id)
        );
        assert_eq!((dead.event.depth, dead.event.kind.as_str()), (3, OURSELVES));
        assert!(is_dying(&dead, Some(&job)));
        assert!(not_dead(&dead, Some(&job)).is_some());
        job.status = Status::Dead;
        job.version = version;
        assert!(!is_dying(&dead, Some(&job)));
        assert_eq!(not_dead(&dead, Some(&job)), None);
        // Replayed, and dead again: another death, told by its own event.
        job.version += 3;
        assert!(not_dead(&dead, Some(&job)).is_some());
    }

    #[test]
    fn deaths_of_what_tells_of_deaths_are_silent() {
        let file = "[channel.a]\nuuid = \"35f6f8ccb5504278a2ea099f3a4e0730\"\n[message.m]\ntext = \"a\"\n\
            [automation.a]\non = [\"job.dead\", \"message.failed\"]\nmessage = \"m\"\n\
            [automation.b]\non = \"message.failed\"\nmessage = \"m\"\n";
        let automations = parse(file).unwrap();
        let rows = [
            ("a", Name::MessageFailed, true),
            ("b", Name::MessageFailed, false),
            ("b", Name::JobDead, true),
            ("gone", Name::OrderPaid, false),
        ];
        for (automation, cause, expected) in rows {
            let job = job(automation);
            assert_eq!(
                dies_in_silence(&job, cause, &automations),
                expected,
                "{automation} {cause}"
            );
        }
    }
}
