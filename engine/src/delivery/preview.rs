//! What would happen, without anything happening: for `callbell try`, and for the list that
//! `callbell replay` shows before it asks. The same plan and the same checks as in earnest.

use jiff::Timestamp;
use shared::event::Event;
use shared::store::{ClaimRequest, JobRow, Line, NewJob, Status, StoreError};

use super::Worker;
use super::config::Configured;
use super::decide::{Decision, Facts, decide};
use super::route::{Found, Route};
use crate::actions::message::Recipient;
use crate::actions::render as filling;
use crate::automations::model::Automations;
use crate::automations::render::{self, Form, Occasion};
use crate::automations::templates::Templates;
use crate::plan::{self, Effect, Known};

/// How often a waiting job is looked at again at the time that it waits for.
const LOOKS_MAX: usize = 4;

/// What an event would do.
#[derive(Debug)]
pub struct Explained {
    /// One line an automation that is `on` this event.
    pub lines: Vec<Line>,
    /// The jobs that would be made.
    pub jobs: Vec<Explanation>,
}

/// What a job would do.
#[derive(Debug)]
pub struct Explanation {
    /// The automation's name.
    pub automation: String,
    /// `message.order-confirmed`.
    pub action: String,
    /// When it would act, or end.
    pub at: Timestamp,
    /// What it would do then.
    pub verdict: Verdict,
    /// Who would get it, or why nobody would.
    pub to: Result<Recipient, String>,
    /// The channel's name.
    pub channel: Option<String>,
    /// What they would read: outside the 24 hours, and inside where that differs.
    pub said: Vec<Said>,
    /// What would be written elsewhere, where it speaks to nobody.
    pub written: Option<WrittenElsewhere>,
}

/// What would be written to another system, or to the person in Callbell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenElsewhere {
    /// `HubSpot`.
    pub system: String,
    /// The name of the API secret that it goes by.
    pub secret: String,
    /// Name and value, filled in; empty where nothing can be written.
    pub values: Vec<(String, String)>,
}

/// What a job would do at its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Act.
    Goes,
    /// Wait on: its automation is off, everything is paused.
    Waits(String),
    /// End without acting.
    Ends(Status, String),
}

/// One form of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Free text inside the 24 hours, or the template.
    pub form: Form,
    /// BCP 47 of the variant.
    pub locale: String,
    /// The sentence; `None` where the template's text is not known.
    pub text: Option<String>,
    /// The template's values.
    pub values: Vec<String>,
}

/// What `event` would do under a file, if it came right after it happened and nothing was known of
/// anybody.
pub fn explain(event: Event, automations: &Automations, templates: &Templates) -> Explained {
    let configured = Configured::unpushed(automations.clone(), templates.clone());
    let received_at = event.event.at;
    let known = Known::new(event, automations);
    let mut explained = Explained {
        lines: Vec::new(),
        jobs: Vec::new(),
    };
    for effect in plan::plan(&known, received_at, None, automations) {
        match effect {
            Effect::Job(job) => explained
                .jobs
                .extend(explain_job(&job, &known, &configured)),
            Effect::Planned(planned) => explained.lines = planned.lines,
            Effect::Person(..) | Effect::Erase(..) => {}
        }
    }
    explained
}

fn explain_job(job: &NewJob, known: &Known, configured: &Configured) -> Option<Explanation> {
    let mut row = row(job, known.event.event.at);
    let mut now = job.due_at.max(known.event.event.at);
    let mut verdict = Verdict::Waits("not yet".to_owned());
    for _ in 0..LOOKS_MAX {
        let found = Found::of(&row, configured).ok()?;
        let route = Route::of(&row, configured, &found, known, now);
        let facts = facts(now, &row, configured, found, known);
        match decide(&facts, &route) {
            Decision::Wait(wait) => {
                verdict = Verdict::Waits(wait.reason);
                now = now.max(wait.at);
                row.next_at = now;
                row.due_at = wait.due_at.unwrap_or(row.due_at);
            }
            decided => {
                verdict = verdict_of(&decided);
                break;
            }
        }
    }
    let found = Found::of(&row, configured).ok()?;
    let route = Route::of(&row, configured, &found, known, now);
    Some(Explanation {
        automation: job.automation.clone(),
        action: job.action.clone(),
        at: now,
        verdict,
        channel: route.from.as_ref().map(|from| from.name.clone()),
        said: said(configured, &found, known, &route),
        written: written(&found, known, &route),
        to: route.to,
    })
}

fn verdict_of(decision: &Decision) -> Verdict {
    match decision {
        Decision::Act(_) => Verdict::Goes,
        Decision::Wait(wait) => Verdict::Waits(wait.reason.clone()),
        Decision::End(ended) => {
            let (status, reason) = ended.parts();
            Verdict::Ends(status, reason.to_owned())
        }
    }
}

/// Nothing is known of anybody, nothing is held or paused by hand.
fn facts<'a>(
    now: Timestamp,
    job: &'a JobRow,
    configured: &'a Configured,
    found: Found<'a>,
    known: &'a Known,
) -> Facts<'a> {
    Facts {
        now,
        job,
        configured,
        found,
        known,
        entity: None,
        aliases: &[],
        paused_since: None,
        hold: None,
        probing: false,
        customer: &[],
        recipient: &[],
        nothing_before: None,
    }
}

fn said(configured: &Configured, found: &Found<'_>, known: &Known, route: &Route<'_>) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let Some(message) = found.message() else {
        return said;
    };
    for window_open in [false, true] {
        let occasion = Occasion {
            automations: &configured.automations,
            automation: Some(found.automation),
            home: &route.home,
            event: &known.event,
            scope: &route.scope,
            window_open,
        };
        let fill = |uuid: &str, values: &[String]| configured.fill(uuid, values);
        if let Ok(rendered) = render::message(message, &occasion, &fill) {
            let one = Said {
                form: rendered.form,
                locale: rendered.locale,
                text: rendered.letter.sentence,
                values: rendered.letter.values,
            };
            if !said.contains(&one) {
                said.push(one);
            }
        }
    }
    said
}

fn written(found: &Found<'_>, known: &Known, route: &Route<'_>) -> Option<WrittenElsewhere> {
    let secret = found.table.secret()?.to_owned();
    let phone = known.phone.as_ref().ok();
    let occasion = filling::Occasion {
        event: &known.event,
        phone: phone.map(|phone| phone.e164.as_str()),
        home: &route.home,
        scope: &route.scope,
    };
    // Why nothing can be written stands in the verdict.
    let deed = filling::deed(found.table, &occasion).ok().flatten();
    Some(WrittenElsewhere {
        system: found.table.system().to_owned(),
        secret,
        values: deed.map(|deed| deed.lines()).unwrap_or_default(),
    })
}

/// The row that a new job would have.
pub(crate) fn row(job: &NewJob, now: Timestamp) -> JobRow {
    JobRow {
        id: job.id(),
        key: job.key(),
        automation: job.automation.clone(),
        action: job.action.clone(),
        event: job.event.clone(),
        event_at: job.event_at,
        created_at: now,
        status: Status::Due,
        reason: None,
        version: 1,
        attempts: 0,
        uncertainties: 0,
        due_at: job.due_at,
        next_at: job.due_at,
        owner: None,
        lease_until: None,
        claimed_at: None,
        request: ClaimRequest::default(),
        message_uuid: None,
        reached: false,
        delivery: None,
        delivery_at: None,
        delivery_reason: None,
        corrected_phone: None,
        depth: job.depth,
        to: None,
        ended_at: None,
        digests: job.digests.clone(),
    }
}

impl Worker {
    /// What a job would do if it were brought back to life, now or when its time comes: what happened
    /// since, lateness, opt-outs and everything else is looked at; a pause or a hold is not, because it
    /// would only wait for that.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn preview(&self, job: &JobRow) -> Result<Verdict, StoreError> {
        let skipped = |reason: &str| Ok(Verdict::Ends(Status::Skipped, reason.to_owned()));
        let Some(configured) = self.configuration.get(&self.store).await? else {
            return Ok(Verdict::Waits("no automations were pushed yet".to_owned()));
        };
        // The clock of a command may be a second behind the table's.
        let now = self.store.clock().now().max(job.due_at);
        let job = JobRow {
            status: Status::Due,
            attempts: 0,
            uncertainties: 0,
            reason: None,
            next_at: now,
            ..job.clone()
        };
        let found = match Found::of(&job, &configured) {
            Ok(found) => found,
            Err(what) => return skipped(&format!("removed: {what}")),
        };
        let Some((known, appointment)) = self.known_of(&job, &configured).await? else {
            return skipped("its event is gone");
        };
        let route = Route::of(&job, &configured, &found, &known, now);
        let rows = self.rows(&known, &route).await?;
        let facts = Facts {
            entity: appointment.as_ref().or(rows.around.entity.as_ref()),
            aliases: &rows.around.aliases,
            customer: &rows.customer,
            recipient: &rows.recipient,
            nothing_before: self.nothing_before,
            ..facts(now, &job, &configured, found, &known)
        };
        Ok(verdict_of(&decide(&facts, &route)))
    }
}
