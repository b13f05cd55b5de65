//! Whole lists of a table, page after page. On AWS they are scans under the user's own role: a long one shows
//! how far it is, and none holds more than so many rows.

use std::future::Future;

use indicatif::ProgressBar;
use shared::store::{EventFilter, EventRow, JobFilter, JobRow, Page, Store, StoreError};

use crate::error::CliError;
use crate::output;

/// Most rows of one list.
pub const ROWS_MAX: usize = 20_000;

/// Jobs that match, oldest first. Where there are more than [`ROWS_MAX`], some of them, with a warning.
///
/// # Errors
/// What the table reports.
pub async fn jobs(store: &Store, filter: &JobFilter) -> Result<Vec<JobRow>, CliError> {
    let mut jobs = all("jobs", ROWS_MAX, |page| store.list_jobs(filter, page)).await?;
    jobs.sort_by(|a, b| (a.created_at, &a.key).cmp(&(b.created_at, &b.key)));
    Ok(jobs)
}

/// Events that match, oldest first. Where there are more than [`ROWS_MAX`], some of them, with a warning.
///
/// # Errors
/// What the table reports.
pub async fn events(store: &Store, filter: &EventFilter) -> Result<Vec<EventRow>, CliError> {
    let mut events = all("events", ROWS_MAX, |page| store.list_events(filter, page)).await?;
    events.sort_by(|a, b| (a.received_at, &a.key).cmp(&(b.received_at, &b.key)));
    Ok(events)
}

async fn all<Row, Next>(
    what: &str,
    rows_max: usize,
    next: impl Fn(Option<Page>) -> Next,
) -> Result<Vec<Row>, CliError>
where
    Next: Future<Output = Result<(Vec<Row>, Option<Page>), StoreError>>,
{
    // Drawn on a terminal alone.
    let bar = ProgressBar::new_spinner();
    let mut rows = Vec::new();
    let mut page = None;
    loop {
        let (found, following) = next(page).await?;
        rows.extend(found);
        bar.set_message(format!("{} {what} so far", rows.len()));
        bar.tick();
        page = following;
        if page.is_none() || rows.len() >= rows_max {
            break;
        }
    }
    bar.finish_and_clear();
    if page.is_some() {
        output::warn(
            &format!("there may be more than these {} {what}", rows.len()),
            Some("choose fewer: --since, --status, --automation"),
        );
    }
    Ok(rows)
}
