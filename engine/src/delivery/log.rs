//! One line an event and one a job, each readable alone: what happened is in `outcome`, names have dots
//! and their unit. Nothing of a person: keys are the provider's ids, reasons name fields.

use jiff::Timestamp;
use shared::event::Event;
use shared::store::{EventRow, JobRow, Planned, Status, StoreError};

use crate::fetch::FetchError;

/// An event was planned.
pub(super) fn event(row: &EventRow, planned: &Planned, now: Timestamp) {
    let matched = planned.lines.iter().filter(|line| line.matched).count();
    let failed = planned
        .lines
        .iter()
        .filter(|line| line.why.starts_with("when failed"))
        .count();
    tracing::info!(
        outcome = "planned",
        event.key = row.key,
        event.name = row.name.map_or("", |name| name.as_str()),
        source.name = row.source,
        event.age_ms = millis(now, row.received_at),
        event.automations_matched = matched,
        event.automations_not_matched = planned.lines.len() - matched,
        event.automation_errors = failed
    );
}

/// Planning stopped half way; the sweep goes on with it.
pub(super) fn failed_event(key: &str, error: &StoreError) {
    tracing::warn!(outcome = "not planned", event.key = key, reason = %error);
}

/// A system was asked what had changed there.
pub(super) fn fetched(row: &EventRow, planned: &Planned, now: Timestamp) {
    tracing::info!(
        outcome = "asked",
        event.key = row.key,
        source.name = row.source,
        event.age_ms = millis(now, row.received_at),
        reason = planned.lines.first().map(|line| line.why.as_str())
    );
}

/// What a system of the user's own posted was read.
pub(super) fn read(row: &EventRow, planned: &Planned, now: Timestamp) {
    let problem = planned.lines.iter().find(|line| !line.matched);
    tracing::info!(
        outcome = "read",
        event.key = row.key,
        source.name = row.source,
        event.age_ms = millis(now, row.received_at),
        reason = problem.map(|line| line.why.as_str())
    );
}

/// One event that asking, or reading a post, found.
pub(super) fn found(row: &EventRow, event: &Event, is_new: bool) {
    tracing::info!(
        outcome = if is_new { "found" } else { "found again" },
        event.key = event.event.id,
        event.name = event.event.name.as_str(),
        source.name = row.source
    );
}

/// A system could not be asked now.
pub(super) fn not_fetched(row: &EventRow, error: &FetchError) {
    tracing::warn!(outcome = "not asked", event.key = row.key, source.name = row.source, reason = %error);
}

/// A system could not be asked for a day: whatever had changed there stays unknown.
pub(super) fn given_up(row: &EventRow, error: &FetchError) {
    tracing::error!(outcome = "given up", event.key = row.key, source.name = row.source, reason = %error);
}

/// The line that an auditor asks for.
pub(super) fn erased(row: &EventRow, rows: u64) {
    tracing::info!(
        outcome = "erased",
        event.key = row.key,
        event.name = row.name.map_or("", |name| name.as_str()),
        source.name = row.source,
        erased.rows = rows
    );
}

/// A job changed its status. What a person should look at is a warning.
pub(super) fn job(row: &JobRow, now: Timestamp) {
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                outcome = row.status.as_str(),
                job.id = row.id.as_str(),
                job.automation = row.automation,
                job.action = row.action,
                event.key = row.event,
                reason = row.reason.as_deref(),
                job.attempts = row.attempts,
                job.lateness_ms = millis(now, row.due_at),
                job.reached = row.reached,
                message.uuid = row.message_uuid.as_deref()
            )
        };
    }
    match row.status {
        Status::Dead | Status::Held => line!(warn),
        _ => line!(info),
    }
}

/// The job was somebody else's by the time it was done: its message, where it made one, is reconciled.
pub(super) fn lost_job(row: &JobRow) {
    tracing::warn!(
        outcome = "lost",
        job.id = row.id.as_str(),
        reason = "the claim was no longer ours"
    );
}

/// The table did not do its part; the sweep goes on with the job.
pub(super) fn failed_job(id: &str, error: &StoreError) {
    tracing::warn!(outcome = "not changed", job.id = id, reason = %error);
}

/// A channel, or what goes by an API secret, is held from now on: the one line that the alarm goes by.
pub(super) fn held(channel: &str, reason: &str) {
    tracing::error!(outcome = "channel held", channel.name = channel, reason);
}

/// What was held goes on.
pub(super) fn released(channel: &str) {
    tracing::info!(outcome = "channel released", channel.name = channel);
}

fn millis(now: Timestamp, since: Timestamp) -> i64 {
    i64::try_from(now.duration_since(since).as_millis()).unwrap_or(i64::MAX)
}

/// A mailbox's history was gone, and what arrived since was looked for.
pub(super) fn history_gone(connection: &str, since: Timestamp, found: usize, left_out: bool) {
    tracing::warn!(
        outcome = "history gone",
        source.name = connection,
        mails.since = %since,
        mails.found = u64::try_from(found).unwrap_or(u64::MAX),
        mails.left_out = left_out
    );
}
