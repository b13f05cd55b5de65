//! The sweep's index: rows with work left, by the time when somebody has to look at them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::list::Page;
use super::request::{Item, aliases};
use super::rows::{text, time};
use super::table::{INDEX, INDEX_RANGE, KEY};
use super::{JobId, JobRow, Status, Store, StoreError, failed, job, keys};

/// How many shards the index has, so that no single partition takes all writes.
pub const SHARDS: u8 = 16;
/// Rows of one page.
const SWEEP_PAGE_ROWS: i32 = 100;

/// A row with work left.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowKey {
    /// An event that is not planned, by its key.
    Event(String),
    /// A job that has not ended.
    Job(JobId),
}

impl RowKey {
    /// The row with this partition key, as stream records and the index have it; `None` for other kinds.
    pub fn parse(pk: &str) -> Option<RowKey> {
        if let Some(key) = pk.strip_prefix(keys::EVENT) {
            return Some(RowKey::Event(key.to_owned()));
        }
        JobId::parse(pk.strip_prefix(keys::JOB)?).map(RowKey::Job)
    }

    /// The partition key.
    pub fn pk(&self) -> String {
        match self {
            RowKey::Event(key) => keys::event(key),
            RowKey::Job(id) => keys::job(id.as_str()),
        }
    }
}

/// A row that wants to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Since when, by its `sweep_at`.
    pub since: Timestamp,
    /// Which one.
    pub row: RowKey,
}

impl Store {
    /// One page of a shard's rows that want to be looked at by `until`, the longest waiting first. The index
    /// follows the table by a moment: read the row before acting on it.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn sweep(
        &self,
        shard: u8,
        until: Timestamp,
        page: Option<Page>,
    ) -> Result<(Vec<Waiting>, Option<Page>), StoreError> {
        let condition = "#due_shard = :shard AND #sweep_at <= :until";
        let answer = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(INDEX)
            .key_condition_expression(condition)
            .set_expression_attribute_names(Some(aliases(&[condition])))
            .set_expression_attribute_values(Some(Item::from([
                (":shard".to_owned(), text(shard.to_string())),
                (":until".to_owned(), time(until)),
            ])))
            .set_exclusive_start_key(page.map(|page| page.0))
            .limit(SWEEP_PAGE_ROWS)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        let waiting = |item: &Item| {
            let row = RowKey::parse(item.get(KEY)?.as_s().ok()?)?;
            let since = sweep_at(item)?;
            Some(Waiting { since, row })
        };
        let rows = answer
            .items
            .unwrap_or_default()
            .iter()
            .filter_map(waiting)
            .collect();
        Ok((rows, answer.last_evaluated_key.map(Page)))
    }

    /// Every job that waits for its time, however far: found by the index, read strongly. A job that workers
    /// move meanwhile may be missing.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one cannot be read; what DynamoDB reports.
    pub async fn waiting_jobs(&self) -> Result<Vec<JobRow>, StoreError> {
        let mut jobs = BTreeMap::new();
        for shard in 0..SHARDS {
            let mut page = None;
            loop {
                let (rows, next) = self.sweep(shard, Timestamp::MAX, page).await?;
                let pks = rows.into_iter().filter_map(|waiting| match waiting.row {
                    RowKey::Job(id) => Some(keys::job(id.as_str())),
                    RowKey::Event(_) => None,
                });
                let pks: BTreeSet<String> = pks.collect();
                if !pks.is_empty() {
                    for item in self.get_many(&pks).await?.values() {
                        let job = job::decode(item)?;
                        jobs.insert(job.key.clone(), job);
                    }
                }
                page = next;
                if page.is_none() {
                    break;
                }
            }
        }
        jobs.retain(|_, job| job.status == Status::Due);
        Ok(jobs.into_values().collect())
    }

    /// The earliest time after `after` at which some row wants to be looked at, for a server that moves its
    /// clock; `None`: nothing is left to do.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn next_sweep(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let condition = "#due_shard = :shard AND #sweep_at > :after";
        let mut earliest: Option<Timestamp> = None;
        for shard in 0..SHARDS {
            let answer = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(INDEX)
                .key_condition_expression(condition)
                .set_expression_attribute_names(Some(aliases(&[condition])))
                .set_expression_attribute_values(Some(Item::from([
                    (":shard".to_owned(), text(shard.to_string())),
                    (":after".to_owned(), time(after)),
                ])))
                .limit(1)
                .send()
                .await
                .map_err(|error| failed(&error))?;
            let items = answer.items.unwrap_or_default();
            let at = items.first().and_then(sweep_at);
            earliest = earliest.into_iter().chain(at).min();
        }
        Ok(earliest)
    }
}

fn sweep_at(item: &Item) -> Option<Timestamp> {
    let millis = item.get(INDEX_RANGE)?.as_n().ok()?.parse().ok()?;
    Timestamp::from_millisecond(millis).ok()
}
