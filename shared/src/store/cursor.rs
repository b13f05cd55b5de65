//! Cursor rows: how far a calendar has been read, and which channel pushes its changes.
//!
//! One sync at a time a calendar: whoever reads it holds a lease, longer than a function may run, and what
//! it saves names the owner. A sync token is saved after what it stands behind was stored, so a crash at any
//! point repeats work and loses none.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::list::{Filter, Page};
use super::request::{Item, Update, Written};
use super::rows::{Reader, SCHEMA_VERSION, later, number, row, text, time};
use super::{EntityRow, LEASE_MS, Owner, Store, StoreError, entity, keys};
use crate::event::{SubjectKind, entity_key};

/// Rows of one batch that DynamoDB reads.
const BATCH_ROWS: usize = 100;

/// A channel through which a calendar's changes are pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Our own id of it.
    pub id: String,
    /// Google's id of what it watches; without it the channel cannot be stopped.
    pub resource: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// How far a calendar has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// The connection.
    pub connection: String,
    /// The calendar's id.
    pub calendar: String,
    /// Where its changes are pushed to.
    pub door: String,
    /// When it was connected: what is in it from before is no news.
    pub connected_at: Timestamp,
    /// Its IANA zone, once it was read.
    pub zone: Option<String>,
    /// Behind what was read last; `None`: everything has to be read.
    pub token: Option<String>,
    /// When the last finished sync began: what was pushed before is in it.
    pub synced_from: Option<Timestamp>,
    /// Until when instances of series are known.
    pub horizon: Option<Timestamp>,
    /// After everything was read anew: where the search for what vanished meanwhile goes on.
    pub search: Option<String>,
    /// The channel.
    pub channel: Option<Channel>,
    /// The one before it, while both live.
    pub old_channel: Option<Channel>,
    /// Since when it cannot be read or watched, and why.
    pub failing: Option<(Timestamp, String)>,
}

/// What a sync came to, to be saved by its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The new sync token; `None`: everything has to be read.
    pub token: Option<String>,
    /// When the sync began.
    pub from: Timestamp,
    /// The calendar's zone.
    pub zone: Option<String>,
    /// Where the search for what vanished goes on.
    pub search: Option<String>,
    /// Until when instances of series are known.
    pub horizon: Option<Timestamp>,
}

impl Store {
    /// Connects a calendar, or another one under the same name, which begins anew. `true`: it does.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where somebody else changed the row; what DynamoDB reports.
    pub async fn connect_calendar(
        &self,
        connection: &str,
        calendar: &str,
        door: &str,
    ) -> Result<bool, StoreError> {
        let pk = keys::cursor(connection);
        let known = Update::new()
            .set("door", text(door))
            .when("attribute_exists(#pk) AND #calendar = :calendar")
            .value("calendar", text(calendar));
        if let Written::Done(_) = self.update(&pk, known).await? {
            return Ok(false);
        }
        let mut item = row(&pk);
        item.insert("calendar".to_owned(), text(calendar));
        item.insert("door".to_owned(), text(door));
        item.insert("connected_at".to_owned(), time(self.clock.now()));
        self.put(item, "", Item::new()).await?;
        Ok(true)
    }

    /// How far a calendar has been read, strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn cursor(&self, connection: &str) -> Result<Option<CursorRow>, StoreError> {
        let item = self.get(&keys::cursor(connection)).await?;
        item.as_ref().map(decode).transpose()
    }

    /// Takes the lease of a calendar, and says how far it has been read. `None`: somebody else has it, or
    /// there is no such calendar.
    ///
    /// # Errors
    /// As [`Store::cursor`].
    pub async fn begin_sync(
        &self,
        connection: &str,
        owner: &Owner,
    ) -> Result<Option<CursorRow>, StoreError> {
        let item = self.take_lease(&keys::cursor(connection), owner).await?;
        item.as_ref().map(decode).transpose()
    }

    /// Takes the lease of a row that is there. `None`: somebody else has it, or there is no such row.
    pub(super) async fn take_lease(
        &self,
        pk: &str,
        owner: &Owner,
    ) -> Result<Option<Item>, StoreError> {
        let now = self.clock.now();
        let update = Update::new()
            .set("owner", text(owner.as_str()))
            .set("lease_until", time(later(now, LEASE_MS)))
            .when("attribute_exists(#pk)")
            // My own retry finds its first attempt.
            .when("attribute_not_exists(#lease_until) OR #lease_until <= :now OR #owner = :owner")
            .value("now", time(now));
        Ok(match self.update(pk, update).await? {
            Written::Done(item) => Some(item),
            Written::Refused(_) => None,
        })
    }

    /// Saves what a sync came to and gives its lease back. `false`: the lease was somebody else's by then,
    /// and nothing is saved.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn finish_sync(
        &self,
        connection: &str,
        owner: &Owner,
        synced: &Synced,
    ) -> Result<bool, StoreError> {
        let update = Update::new()
            .set_or_remove("token", synced.token.as_deref().map(text))
            .set_or_remove("search", synced.search.as_deref().map(text))
            .set_or_remove("horizon", synced.horizon.map(time))
            .set_or_remove("zone", synced.zone.as_deref().map(text))
            .set("synced_from", time(synced.from))
            .remove("failing_since")
            .remove("failing");
        self.give_back(&keys::cursor(connection), owner, update)
            .await
    }

    /// Forgets the sync token, which the provider does no longer know, and keeps the lease.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn forget_token(&self, connection: &str, owner: &Owner) -> Result<(), StoreError> {
        let update = Update::new()
            .remove("token")
            .when("#owner = :owner")
            .value("owner", text(owner.as_str()));
        self.update(&keys::cursor(connection), update).await?;
        Ok(())
    }

    /// Gives the lease back without having come to an end.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn release_sync(&self, connection: &str, owner: &Owner) -> Result<(), StoreError> {
        let pk = keys::cursor(connection);
        self.give_back(&pk, owner, Update::new()).await?;
        Ok(())
    }

    /// Changes a row whose lease the owner has, and gives the lease back. `false`: somebody else has it.
    pub(super) async fn give_back(
        &self,
        pk: &str,
        owner: &Owner,
        update: Update,
    ) -> Result<bool, StoreError> {
        let update = update
            .remove("lease_until")
            .remove("owner")
            .when("#owner = :owner")
            .value("owner", text(owner.as_str()));
        let written = self.update(pk, update).await?;
        Ok(matches!(written, Written::Done(_)))
    }

    /// Puts a new channel in the place of the one that was seen, which becomes the old one. `false`:
    /// somebody else did, or the calendar was disconnected: stop the new channel.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn change_channel(
        &self,
        connection: &str,
        seen: Option<&Channel>,
        new: &Channel,
    ) -> Result<bool, StoreError> {
        let mut update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set("channel", text(&new.id))
            .set("channel_resource", text(&new.resource))
            .set("channel_expires", time(new.expires_at))
            .set_or_remove("old", seen.map(|old| text(&old.id)))
            .set_or_remove("old_resource", seen.map(|old| text(&old.resource)))
            .set_or_remove("old_expires", seen.map(|old| time(old.expires_at)))
            .when("attribute_exists(#calendar)");
        update = match seen {
            None => update.when("attribute_not_exists(#channel)"),
            Some(seen) => update
                .when("#channel = :seen")
                .value("seen", text(&seen.id)),
        };
        let written = self.update(&keys::cursor(connection), update).await?;
        Ok(matches!(written, Written::Done(_)))
    }

    /// Forgets the old channel, which was stopped or has expired.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn drop_old_channel(&self, connection: &str, id: &str) -> Result<(), StoreError> {
        let update = Update::new()
            .remove("old")
            .remove("old_resource")
            .remove("old_expires")
            .when("#old = :id")
            .value("id", text(id));
        self.update(&keys::cursor(connection), update).await?;
        Ok(())
    }

    /// Remembers since when and why a calendar cannot be read or watched, or that it can again. Since when
    /// it has been failing.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn note_failing(
        &self,
        connection: &str,
        why: Option<&str>,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.note_failing_row(&keys::cursor(connection), why).await
    }

    /// [`Store::note_failing`] of a row.
    pub(super) async fn note_failing_row(
        &self,
        pk: &str,
        why: Option<&str>,
    ) -> Result<Option<Timestamp>, StoreError> {
        let update = match why {
            Some(why) => Update::new()
                .set("failing", text(why))
                .set_once("failing_since", time(self.clock.now())),
            None => Update::new().remove("failing").remove("failing_since"),
        };
        let update = update.when("attribute_exists(#pk)");
        match self.update(pk, update).await? {
            Written::Done(item) => Reader::new(&item, "cursor")?.time_opt("failing_since"),
            Written::Refused(_) => Ok(None),
        }
    }

    /// What is stored of appointments of a connection, by their ids; those that are not stored are absent.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a row cannot be read; what DynamoDB reports.
    pub async fn appointments(
        &self,
        connection: &str,
        ids: &[&str],
    ) -> Result<BTreeMap<String, EntityRow>, StoreError> {
        let mut found = BTreeMap::new();
        for batch in ids.chunks(BATCH_ROWS) {
            let pk = |id: &&str| (keys::entity(&appointment(connection, id)), (*id).to_owned());
            let ids: BTreeMap<String, String> = batch.iter().map(pk).collect();
            if ids.is_empty() {
                continue;
            }
            let rows = self.get_many(&ids.keys().cloned().collect()).await?;
            for (pk, item) in rows {
                if let Some(id) = ids.get(&pk) {
                    found.insert(id.clone(), entity::decode(&item)?);
                }
            }
        }
        Ok(found)
    }

    /// One page of everything that is stored of a connection's appointments, by their ids, in no order: for
    /// finding those that are no longer there. A page can be empty and not the last.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn list_appointments(
        &self,
        connection: &str,
        page: Option<Page>,
    ) -> Result<(Vec<(String, EntityRow)>, Option<Page>), StoreError> {
        let prefix = keys::entity(&appointment(connection, ""));
        let (items, next) = self.scan(Filter::prefix(&prefix), page).await?;
        let mut rows = Vec::new();
        for item in &items {
            let row = entity::decode(item)?;
            if let Some(id) = row.key.strip_prefix(&appointment(connection, "")) {
                rows.push((id.to_owned(), row));
            }
        }
        Ok((rows, next))
    }

    /// Forgets a calendar. For the command line: its role alone may delete.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn disconnect_calendar(&self, connection: &str) -> Result<(), StoreError> {
        self.delete_pk(&keys::cursor(connection)).await
    }
}

fn appointment(connection: &str, id: &str) -> String {
    entity_key(connection, SubjectKind::Appointment, id)
}

pub(super) fn decode(item: &Item) -> Result<CursorRow, StoreError> {
    let reader = Reader::new(item, "cursor")?;
    let channel = |id: &str, prefix: &str| -> Result<Option<Channel>, StoreError> {
        let Some(id) = reader.text_opt(id)? else {
            return Ok(None);
        };
        Ok(Some(Channel {
            id,
            resource: reader.text(&format!("{prefix}_resource"))?,
            expires_at: reader.time(&format!("{prefix}_expires"))?,
        }))
    };
    let failing = reader.time_opt("failing_since")?;
    Ok(CursorRow {
        connection: reader.key(keys::CURSOR)?,
        calendar: reader.text("calendar")?,
        door: reader.text("door")?,
        connected_at: reader.time("connected_at")?,
        zone: reader.text_opt("zone")?,
        token: reader.text_opt("token")?,
        synced_from: reader.time_opt("synced_from")?,
        horizon: reader.time_opt("horizon")?,
        search: reader.text_opt("search")?,
        channel: channel("channel", "channel")?,
        old_channel: channel("old", "old")?,
        failing: match failing {
            Some(since) => Some((since, reader.text_opt("failing")?.unwrap_or_default())),
            None => None,
        },
    })
}
