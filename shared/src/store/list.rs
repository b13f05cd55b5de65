//! Lists for the command line: scans, a page at a time. Workers never scan.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::digests::DIGESTS;
use super::request::{Item, aliases};
use super::rows::{text, time};
use super::table::KEY;
use super::{
    Digests, EventRow, EventStatus, HoldRow, JobRow, RowKey, Status, Store, StoreError, event,
    failed, hold, job, keys,
};

/// Rows that one page of a scan reads, matching or not.
const SCAN_PAGE_ROWS: i32 = 500;

/// Whether any of these times is not before `:since`.
fn any_since(attributes: &[&str]) -> String {
    let each = attributes.iter();
    let each: Vec<String> = each.map(|name| format!("#{name} >= :since")).collect();
    each.join(" OR ")
}

/// Where the next page begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Page(pub(super) Item);

impl Page {
    /// As a text, for a row or a command line.
    pub fn to_text(&self) -> String {
        let plain: BTreeMap<&str, (char, &str)> = self
            .0
            .iter()
            .filter_map(|(name, value)| match value {
                AttributeValue::S(value) => Some((name.as_str(), ('s', value.as_str()))),
                AttributeValue::N(value) => Some((name.as_str(), ('n', value.as_str()))),
                _ => None,
            })
            .collect();
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&plain).unwrap_or_default())
    }

    /// Reads what [`Page::to_text`] wrote.
    pub fn parse(text: &str) -> Option<Page> {
        let json = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain: BTreeMap<String, (char, String)> = serde_json::from_slice(&json).ok()?;
        let value = |(kind, value)| match kind {
            's' => Some(AttributeValue::S(value)),
            'n' => Some(AttributeValue::N(value)),
            _ => None,
        };
        let item: Option<Item> = plain
            .into_iter()
            .map(|(name, plain)| value(plain).map(|value| (name, value)))
            .collect();
        item.map(Page)
    }
}

/// Which jobs to list; absent: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// In this state.
    pub status: Option<Status>,
    /// Of this automation.
    pub automation: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// Stored since then.
    pub since: Option<Timestamp>,
    /// Of any of these persons or accounts.
    pub digests: Digests,
}

/// Which events to list; absent: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// In this state.
    pub status: Option<EventStatus>,
    /// Of this connection.
    pub source: Option<String>,
    /// Stored since then.
    pub since: Option<Timestamp>,
    /// Of any of these persons or accounts.
    pub digests: Digests,
}

/// A scan's filter under construction.
pub(super) struct Filter {
    parts: Vec<String>,
    values: Item,
}

impl Filter {
    pub(super) fn all() -> Filter {
        Filter {
            parts: Vec::new(),
            values: Item::new(),
        }
    }

    pub(super) fn prefix(prefix: &str) -> Filter {
        Filter::all().and("begins_with(#pk, :prefix)", "prefix", Some(text(prefix)))
    }

    /// Adds a condition over one value, where there is one.
    fn and(mut self, part: &str, name: &str, value: Option<AttributeValue>) -> Filter {
        if let Some(value) = value {
            self.parts.push(part.to_owned());
            self.values.insert(format!(":{name}"), value);
        }
        self
    }

    /// Any of these digests; where there are none, this is no condition.
    pub(super) fn any_of(mut self, digests: &Digests) -> Filter {
        let mut any = Vec::new();
        for (n, digest) in digests.0.iter().enumerate() {
            any.push(format!("contains(#{DIGESTS}, :digest_{n})"));
            self.values.insert(format!(":digest_{n}"), text(digest));
        }
        if !any.is_empty() {
            self.parts.push(format!("({})", any.join(" OR ")));
        }
        self
    }
}

/// The rows that can be read. One that cannot must not hide the others; it is logged.
fn readable<T>(items: &[Item], decode: fn(&Item) -> Result<T, StoreError>) -> Vec<T> {
    let row = |item| {
        decode(item)
            .inspect_err(|error| tracing::warn!(%error, "a row is left out of the list"))
            .ok()
    };
    items.iter().filter_map(row).collect()
}

impl Store {
    /// One page of jobs, in no order. A page can be empty and not the last.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn list_jobs(
        &self,
        filter: &JobFilter,
        page: Option<Page>,
    ) -> Result<(Vec<JobRow>, Option<Page>), StoreError> {
        let scan = Filter::prefix(keys::JOB)
            .and(
                "#status = :status",
                "status",
                filter.status.map(|status| text(status.as_str())),
            )
            .and(
                "#automation = :automation",
                "automation",
                filter.automation.as_deref().map(text),
            )
            .and(
                "#event = :event",
                "event",
                filter.event.as_deref().map(text),
            )
            .and("#created_at >= :since", "since", filter.since.map(time))
            .any_of(&filter.digests);
        let (items, next) = self.scan(scan, page).await?;
        Ok((readable(&items, job::decode), next))
    }

    /// One page of events, in no order. A page can be empty and not the last.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn list_events(
        &self,
        filter: &EventFilter,
        page: Option<Page>,
    ) -> Result<(Vec<EventRow>, Option<Page>), StoreError> {
        let scan = Filter::prefix(keys::EVENT)
            .and(
                "#status = :status",
                "status",
                filter.status.map(|status| text(status.as_str())),
            )
            .and(
                "#source = :source",
                "source",
                filter.source.as_deref().map(text),
            )
            .and("#received_at >= :since", "since", filter.since.map(time))
            .any_of(&filter.digests);
        let (items, next) = self.scan(scan, page).await?;
        Ok((readable(&items, event::decode), next))
    }

    /// One page of what came or changed since then: events that were stored or planned, jobs that were made,
    /// tried, ended or heard of. In no order; a page can be empty and not the last. Who looks again and again
    /// does not need the newest second, so it is read at half the price.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn list_since(
        &self,
        since: Timestamp,
        page: Option<Page>,
    ) -> Result<(Vec<EventRow>, Vec<JobRow>, Option<Page>), StoreError> {
        let expression = format!(
            "(begins_with(#pk, :event) AND ({})) OR (begins_with(#pk, :job) AND ({}))",
            any_since(&["received_at", "planned_at"]),
            any_since(&["created_at", "claimed_at", "ended_at", "delivery_at"]),
        );
        let scan = Filter {
            parts: vec![expression],
            values: Item::from([
                (":event".to_owned(), text(keys::EVENT)),
                (":job".to_owned(), text(keys::JOB)),
                (":since".to_owned(), time(since)),
            ]),
        };
        let (items, next) = self.scan_of(scan, page, false).await?;
        let is_event = |item: &Item| {
            let pk = item.get(KEY).and_then(|pk| pk.as_s().ok());
            pk.is_some_and(|pk| pk.starts_with(keys::EVENT))
        };
        let (events, jobs): (Vec<Item>, Vec<Item>) = items.into_iter().partition(is_event);
        let events = readable(&events, event::decode);
        Ok((events, readable(&jobs, job::decode), next))
    }

    /// Every channel that is held, for the command line; a worker asks for the channels that it knows.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn holds(&self) -> Result<Vec<HoldRow>, StoreError> {
        let (mut rows, mut page) = (Vec::new(), None);
        loop {
            let (items, next) = self.scan(Filter::prefix(keys::HOLD), page).await?;
            for item in &items {
                rows.push(hold::decode(item)?);
            }
            match next {
                Some(next) => page = Some(next),
                None => return Ok(rows),
            }
        }
    }

    /// Deletes an event or a job.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn delete(&self, row: &RowKey) -> Result<(), StoreError> {
        self.delete_pk(&row.pk()).await
    }

    /// One page of a scan, read strongly.
    pub(super) async fn scan(
        &self,
        filter: Filter,
        page: Option<Page>,
    ) -> Result<(Vec<Item>, Option<Page>), StoreError> {
        self.scan_of(filter, page, true).await
    }

    async fn scan_of(
        &self,
        filter: Filter,
        page: Option<Page>,
        strongly: bool,
    ) -> Result<(Vec<Item>, Option<Page>), StoreError> {
        let expression = filter.parts.join(" AND ");
        let answer = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(strongly)
            .filter_expression(&expression)
            .set_expression_attribute_names(Some(aliases(&[&expression])))
            .set_expression_attribute_values(Some(filter.values))
            .set_exclusive_start_key(page.map(|page| page.0))
            .limit(SCAN_PAGE_ROWS)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok((
            answer.items.unwrap_or_default(),
            answer.last_evaluated_key.map(Page),
        ))
    }
}
