//! What one invocation did, for whoever counts it. Outcomes alone: everything else is in the log lines.

use std::collections::BTreeMap;

use shared::store::{JobRow, Status};

/// What one invocation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Changes of jobs, by the status that each came to. [`Status::Due`] are those that wait again: an
    /// attempt that surely did not go out, or a wait with a new reason. One job may be in it twice.
    pub jobs: BTreeMap<Status, u64>,
    /// Events that were planned.
    pub events_planned: u64,
    /// Events and jobs that were left as they are because the table did not do its part. The sweep finds
    /// them again.
    pub rows_failed: u64,
    /// Questions to other systems that were given up after a day.
    pub fetches_given_up: u64,
    /// `true`: a send met a channel that is held (out of credit, the token was refused), for the first time
    /// or as a probe, so that a word that got lost is said again; `false`: one goes on again. `None`: nothing
    /// new.
    pub channel_held: Option<bool>,
    /// For how long, in milliseconds, the row that waits longest has been waiting to be looked at, as it was
    /// before this run's work; 0 where none waits. `None`: not asked (the stream's nudges are not), or no
    /// shard of the index answered.
    ///
    /// It counts from `sweep_at`: a job's time, the end of a wait, 90 seconds after a row was given to the
    /// stream, the end of a lease. A row that waits on purpose (paused, a held channel, closed hours, a
    /// retry, nothing pushed yet) gets a new `sweep_at` at every look, minutes to days ahead, so it counts
    /// only once nobody has looked at it in time. So the figure stays below two minutes as long as workers
    /// keep up, and grows where they do not run, fail, or have more to send than the rate lets through.
    pub oldest_due_age_ms: Option<u64>,
}

impl Report {
    /// A job came to another status.
    pub(super) fn count(&mut self, row: &JobRow) {
        let count = self.jobs.entry(row.status).or_default();
        *count = count.saturating_add(1);
    }
}
