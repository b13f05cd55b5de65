//! How far Callbell's log of deliveries was read: what it could not deliver is read from there.

use jiff::Timestamp;

use super::request::Update;
use super::rows::{Reader, SCHEMA_VERSION, number, text, time};
use super::{Store, StoreError, keys};

/// How far the log was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissedRow {
    /// Since when the webhook is ours: what was tried before is somebody else's.
    pub connected_at: Timestamp,
    /// What was tried before is read.
    pub read_until: Timestamp,
    /// When the log was last asked for, with success.
    pub read_at: Timestamp,
    /// What is wrong with the webhook, as the log shows it, and since when.
    pub failing: Option<(Timestamp, String)>,
}

impl Store {
    /// How far Callbell's log was read, strongly. `None`: never.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn missed(&self) -> Result<Option<MissedRow>, StoreError> {
        let Some(item) = self.get(&keys::missed()).await? else {
            return Ok(None);
        };
        let reader = Reader::new(&item, "missed")?;
        let failing = match reader.time_opt("failing_since")? {
            Some(since) => Some((since, reader.text_opt("failing")?.unwrap_or_default())),
            None => None,
        };
        Ok(Some(MissedRow {
            connected_at: reader.time("connected_at")?,
            read_until: reader.time("read_until")?,
            read_at: reader.time("read_at")?,
            failing,
        }))
    }

    /// The webhook is ours from now on, and what was tried before is not.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn begin_missed(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set("connected_at", time(now))
            .set("read_until", time(now))
            .set("read_at", time(now))
            .remove("failing")
            .remove("failing_since");
        self.update(&keys::missed(), update).await.map(|_| ())
    }

    /// Remembers how far the log was read now, and what is wrong with the webhook, where it is ours.
    ///
    /// # Errors
    /// What DynamoDB reports; then the same is read again.
    pub async fn put_missed(
        &self,
        read_until: Timestamp,
        failing: Option<(Timestamp, &str)>,
    ) -> Result<(), StoreError> {
        let update = Update::new()
            .set("v", number(SCHEMA_VERSION))
            .set("read_until", time(read_until))
            .set("read_at", time(self.clock.now()));
        let update = match failing {
            Some((since, why)) => update
                .set("failing", text(why))
                .set("failing_since", time(since)),
            None => update.remove("failing").remove("failing_since"),
        };
        let update = update.when("attribute_exists(#connected_at)");
        self.update(&keys::missed(), update).await.map(|_| ())
    }
}
