//! One line an event and one a job, each readable alone. Dotted names, units in names, and nothing of a
//! person: keys are the provider's ids, reasons name fields.

use jiff::Timestamp;
use shared::store::{EventRow, JobRow, Planned, StoreError};

/// An event was planned.
pub(super) fn event(row: &EventRow, planned: &Planned) {
    let matched = planned.lines.iter().filter(|line| line.matched).count();
    let failed = planned
        .lines
        .iter()
        .filter(|line| line.why.contains("failed"))
        .count();
    tracing::info!(
        event.key = row.key,
        event.name = row.name.map_or("", |name| name.as_str()),
        event.source = row.source,
        event.automations_matched = matched,
        event.automations_not_matched = planned.lines.len() - matched,
        event.automation_errors = failed,
        "event planned"
    );
}

/// Planning stopped half way; the sweep goes on with it.
pub(super) fn failed_event(key: &str, error: &StoreError) {
    tracing::warn!(event.key = key, error = %error, "event not planned");
}

/// The line that an auditor asks for.
pub(super) fn erased(row: &EventRow, rows: u64) {
    tracing::info!(
        event.key = row.key,
        event.name = row.name.map_or("", |name| name.as_str()),
        erased.rows = rows,
        "erased"
    );
}

/// A job changed its status.
pub(super) fn job(row: &JobRow, now: Timestamp) {
    tracing::info!(
        job.id = row.id.as_str(),
        job.automation = row.automation,
        job.action = row.action,
        job.event = row.event,
        job.status = row.status.as_str(),
        job.reason = row.reason.as_deref().unwrap_or_default(),
        job.attempts = row.attempts,
        job.late_ms = i64::try_from(now.duration_since(row.due_at).as_millis()).unwrap_or(i64::MAX),
        job.message_uuid = row.message_uuid.as_deref().unwrap_or_default(),
        "job"
    );
}

/// The table did not do its part; the sweep goes on with the job.
pub(super) fn failed_job(id: &str, error: &StoreError) {
    tracing::warn!(job.id = id, error = %error, "job not changed");
}

/// A channel is held from now on: the one line that the alarm goes by.
pub(super) fn held(channel: &str, reason: &str) {
    tracing::error!(hold.channel = channel, hold.reason = reason, "channel held");
}

/// A held channel goes on.
pub(super) fn released(channel: &str) {
    tracing::info!(hold.channel = channel, "channel released");
}
