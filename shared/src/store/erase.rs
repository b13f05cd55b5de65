//! Erasure: every row of a customer or an account, a bounded page at a time, so that no invocation has to
//! finish it.

use super::list::{Filter, Page};
use super::request::Item;
use super::rows::{DAY_MS, Reader, expiry, later, number, row, text};
use super::table::{KEY, TTL};
use super::{Digests, Store, StoreError, keys};

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
            for pk in items
                .iter()
                .filter_map(|item| item.get(KEY))
                .filter_map(|pk| pk.as_s().ok())
            {
                self.delete_pk(pk).await?;
                rows = rows.saturating_add(1);
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
        let persons = erasure.digests.0.iter().map(|digest| keys::person(digest));
        let entities = erasure.entities.iter().map(|key| keys::entity(key));
        let mut rows = 0_u64;
        for pk in persons.chain(entities) {
            if self.get(&pk).await?.is_some() {
                self.delete_pk(&pk).await?;
                rows = rows.saturating_add(1);
            }
        }
        Ok(rows)
    }
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
