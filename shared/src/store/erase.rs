//! Erasure: every row of a customer or an account, a bounded page at a time, so that no invocation has to
//! finish it.
//!
//! One thing stays: that somebody opted out. Of such a person's row the digest of the number and the time of the
//! word are kept and nothing else, or the next order would have us write to whoever asked us not to.

use std::collections::{BTreeMap, BTreeSet};

use super::list::{Filter, Page};
use super::request::{Item, Written};
use super::rows::{DAY_MS, Reader, expiry, later, number, row, text};
use super::table::{KEY, TTL};
use super::{Digests, Store, StoreError, keys, person};

/// How long a finished erasure's count is kept, in milliseconds: for the answer to "when was it done?".
const ERASURE_KEEP_MS: i64 = 30 * DAY_MS;

/// What is to be erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Every row that has one of these.
    pub digests: Digests,
    /// Entities by key: `{connection}/order/{id}`.
    pub entities: Vec<String>,
}

/// How far an erasure has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Rows deleted so far, for the line in the log.
    pub rows: u64,
    /// Nothing is left.
    pub done: bool,
}

impl Store {
    /// One bounded step of an erasure; repeat it until it is done. `id` names the erasure (the event key of
    /// the request): how far it has come is kept under it, so that another invocation goes on where this one
    /// stopped. A step that is repeated deletes nothing twice.
    ///
    /// # Errors
    /// What DynamoDB reports; the step is repeated.
    pub async fn erase_step(&self, id: &str, erasure: &Erasure) -> Result<Erased, StoreError> {
        let pk = keys::erasure(id);
        let (mut rows, page) = match self.get(&pk).await? {
            None => (self.erase_known(erasure).await?, None),
            Some(item) => {
                let progress = decode(&item)?;
                if progress.0.done {
                    return Ok(progress.0);
                }
                (progress.0.rows, progress.1)
            }
        };
        let mut next = None;
        if !erasure.digests.is_empty() {
            let items;
            (items, next) = self
                .scan(Filter::all().any_of(&erasure.digests), page)
                .await?;
            for item in &items {
                rows = rows.saturating_add(self.erase_row(item).await?);
            }
        }
        let erased = Erased {
            rows,
            done: next.is_none(),
        };
        let mut item = row(&pk);
        item.insert("rows".to_owned(), number(rows));
        if let Some(next) = next {
            item.insert("page".to_owned(), text(next.to_text()));
        }
        item.insert(
            TTL.to_owned(),
            expiry(later(self.clock.now(), ERASURE_KEEP_MS)),
        );
        self.put(item, "", Item::new()).await?;
        Ok(erased)
    }

    /// Rows whose keys follow from what is to be erased.
    async fn erase_known(&self, erasure: &Erasure) -> Result<u64, StoreError> {
        let mut rows = 0_u64;
        for pk in erasure.known_keys() {
            if let Some(item) = self.get(&pk).await? {
                rows = rows.saturating_add(self.erase_row(&item).await?);
            }
        }
        Ok(rows)
    }

    /// Erases one row: 1, or 0 where nothing of it was to be erased.
    async fn erase_row(&self, item: &Item) -> Result<u64, StoreError> {
        let Some(pk) = key(item) else {
            return Ok(0);
        };
        match person::opted_out_alone(pk, item) {
            Some(mark) if mark == *item => return Ok(0),
            Some(mark) => {
                let still = "attribute_exists(#opted_out_at)";
                if let Written::Refused(_) = self.put(mark, still, Item::new()).await? {
                    // They opted in meanwhile.
                    self.delete_pk(pk).await?;
                }
            }
            None => self.delete_pk(pk).await?,
        }
        Ok(1)
    }

    /// How many rows of which kind an erasure would find now, by the beginning of their keys: `event`, `job`.
    /// Reads the whole table.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn erasable(&self, erasure: &Erasure) -> Result<BTreeMap<String, u64>, StoreError> {
        let mut found = BTreeSet::new();
        let mut count = |item: &Item| {
            let stays = |pk: &&str| person::opted_out_alone(pk, item).as_ref() == Some(item);
            if let Some(pk) = key(item).filter(|pk| !stays(pk)) {
                found.insert(pk.to_owned());
            }
        };
        for pk in erasure.known_keys() {
            self.get(&pk).await?.iter().for_each(&mut count);
        }
        let mut page = None;
        while !erasure.digests.is_empty() {
            let filter = Filter::all().any_of(&erasure.digests);
            let (items, next) = self.scan(filter, page).await?;
            items.iter().for_each(&mut count);
            page = next;
            if page.is_none() {
                break;
            }
        }
        let mut kinds = BTreeMap::new();
        for pk in found {
            let kind = pk.split('#').next().unwrap_or_default().to_owned();
            let number = kinds.entry(kind).or_insert(0_u64);
            *number = number.saturating_add(1);
        }
        Ok(kinds)
    }

    /// How far an erasure has come; `None`: it has not begun, or was over long ago.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where its row cannot be read; what DynamoDB reports.
    pub async fn erased(&self, id: &str) -> Result<Option<Erased>, StoreError> {
        let item = self.get(&keys::erasure(id)).await?;
        let read = |item: &Item| decode(item).map(|(erased, _)| erased);
        item.as_ref().map(read).transpose()
    }
}

impl Erasure {
    /// Keys of rows that follow from what is to be erased.
    fn known_keys(&self) -> Vec<String> {
        let persons = self.digests.0.iter().map(|digest| keys::person(digest));
        let entities = self.entities.iter().map(|key| keys::entity(key));
        persons.chain(entities).collect()
    }
}

fn key(item: &Item) -> Option<&str> {
    item.get(KEY)?.as_s().ok().map(String::as_str)
}

/// The count, and where the next page begins.
pub(super) fn decode(item: &Item) -> Result<(Erased, Option<Page>), StoreError> {
    let reader = Reader::new(item, "cursor")?;
    let page = match reader.text_opt("page")? {
        Some(page) => {
            Some(Page::parse(&page).ok_or_else(|| reader.corrupt("page cannot be read"))?)
        }
        None => None,
    };
    Ok((
        Erased {
            rows: reader.number("rows")?,
            done: page.is_none(),
        },
        page,
    ))
}
