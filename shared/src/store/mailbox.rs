//! Cursor rows of mailboxes: how far a mailbox's history has been read, and until when its changes are pushed.
//!
//! As with calendars: one sync at a time, under a lease, and a place is saved after what lies before it was
//! stored.

use jiff::Timestamp;

use super::request::{Item, Update, Written};
use super::rows::{Reader, number, row, text, time};
use super::{Owner, Store, StoreError, keys};

/// How far a mailbox has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxRow {
    /// The connection.
    pub connection: String,
    /// The mailbox's address.
    pub address: String,
    /// What its changes are published to: `projects/p/topics/t`.
    pub topic: String,
    /// Where they are pushed to.
    pub door: String,
    /// When it was connected: what arrived before is no news.
    pub connected_at: Timestamp,
    /// Behind what was read last.
    pub history: u64,
    /// When the last finished sync began.
    pub synced_from: Option<Timestamp>,
    /// When the watch ends by itself.
    pub watched_until: Option<Timestamp>,
    /// Since when it cannot be read, and why.
    pub failing: Option<(Timestamp, String)>,
}

/// A mailbox to be connected.
#[derive(Clone, Copy, Debug)]
pub struct NewMailbox<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The mailbox's address.
    pub address: &'a str,
    /// What its changes are published to.
    pub topic: &'a str,
    /// Where they are pushed to.
    pub door: &'a str,
    /// Where to begin.
    pub history: u64,
    /// What arrived before is no news.
    pub since: Timestamp,
    /// When the watch ends by itself.
    pub watched_until: Timestamp,
}

impl Store {
    /// Connects a mailbox, or another one under the same name, which begins anew. `true`: it does.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn connect_mailbox(&self, new: &NewMailbox<'_>) -> Result<bool, StoreError> {
        let pk = keys::mailbox(new.connection);
        let known = Update::new()
            .set("door", text(new.door))
            .set("topic", text(new.topic))
            .set("watched_until", time(new.watched_until))
            .when("attribute_exists(#pk) AND #address = :address")
            .value("address", text(new.address));
        if let Written::Done(_) = self.update(&pk, known).await? {
            return Ok(false);
        }
        let mut item = row(&pk);
        item.insert("address".to_owned(), text(new.address));
        item.insert("door".to_owned(), text(new.door));
        item.insert("topic".to_owned(), text(new.topic));
        item.insert("history".to_owned(), number(new.history));
        item.insert("connected_at".to_owned(), time(new.since));
        item.insert("watched_until".to_owned(), time(new.watched_until));
        self.put(item, "", Item::new()).await?;
        Ok(true)
    }

    /// How far a mailbox has been read, strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn mailbox(&self, connection: &str) -> Result<Option<MailboxRow>, StoreError> {
        let item = self.get(&keys::mailbox(connection)).await?;
        item.as_ref().map(decode).transpose()
    }

    /// Takes the lease of a mailbox, and says how far it has been read. `None`: somebody else has it, or
    /// there is no such mailbox.
    ///
    /// # Errors
    /// As [`Store::mailbox`].
    pub async fn begin_mailbox(
        &self,
        connection: &str,
        owner: &Owner,
    ) -> Result<Option<MailboxRow>, StoreError> {
        let item = self.take_lease(&keys::mailbox(connection), owner).await?;
        item.as_ref().map(decode).transpose()
    }

    /// Saves a place of the history that everything before is stored of, and keeps the lease. `false`: the
    /// lease was somebody else's by then.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn reach_mailbox(
        &self,
        connection: &str,
        owner: &Owner,
        history: u64,
    ) -> Result<bool, StoreError> {
        let update = Update::new()
            .set("history", number(history))
            .when("#owner = :owner")
            .value("owner", text(owner.as_str()));
        let written = self.update(&keys::mailbox(connection), update).await?;
        Ok(matches!(written, Written::Done(_)))
    }

    /// Saves how far a sync that began at `from` came, and gives its lease back. `false`: the lease was
    /// somebody else's by then, and nothing is saved.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn finish_mailbox(
        &self,
        connection: &str,
        owner: &Owner,
        history: u64,
        from: Timestamp,
    ) -> Result<bool, StoreError> {
        let update = Update::new()
            .set("history", number(history))
            .set("synced_from", time(from))
            .remove("failing")
            .remove("failing_since");
        self.give_back(&keys::mailbox(connection), owner, update)
            .await
    }

    /// Gives the lease back without having come to an end.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn release_mailbox(&self, connection: &str, owner: &Owner) -> Result<(), StoreError> {
        let pk = keys::mailbox(connection);
        self.give_back(&pk, owner, Update::new()).await?;
        Ok(())
    }

    /// Remembers until when a mailbox is watched now.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn watched_mailbox(
        &self,
        connection: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let update = Update::new()
            .set("watched_until", time(until))
            .when("attribute_exists(#pk)");
        self.update(&keys::mailbox(connection), update).await?;
        Ok(())
    }

    /// Remembers since when and why a mailbox cannot be read, or that it can again.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn note_mailbox_failing(
        &self,
        connection: &str,
        why: Option<&str>,
    ) -> Result<(), StoreError> {
        let pk = keys::mailbox(connection);
        self.note_failing_row(&pk, why).await.map(|_| ())
    }

    /// Forgets a mailbox. For the command line: its role alone may delete.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn disconnect_mailbox(&self, connection: &str) -> Result<(), StoreError> {
        self.delete_pk(&keys::mailbox(connection)).await
    }
}

fn decode(item: &Item) -> Result<MailboxRow, StoreError> {
    let reader = Reader::new(item, "mailbox")?;
    let failing = reader.time_opt("failing_since")?;
    Ok(MailboxRow {
        connection: reader.key(keys::MAILBOX)?,
        address: reader.text("address")?,
        topic: reader.text("topic")?,
        door: reader.text("door")?,
        connected_at: reader.time("connected_at")?,
        history: reader.number("history")?,
        synced_from: reader.time_opt("synced_from")?,
        watched_until: reader.time_opt("watched_until")?,
        failing: match failing {
            Some(since) => Some((since, reader.text_opt("failing")?.unwrap_or_default())),
            None => None,
        },
    })
}
