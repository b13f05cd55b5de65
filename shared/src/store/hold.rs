//! What stops a channel or everything: a hold (out of credit, token refused), which one job probes, and the
//! red button.

use jiff::Timestamp;

use super::request::{Item, Update, Written};
use super::rows::{Reader, SCHEMA_VERSION, later, number, row, text, time};
use super::{Store, StoreError, keys};

/// A channel's hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldRow {
    /// The channel's name.
    pub channel: String,
    /// `out of credit`, `token refused`.
    pub reason: String,
    /// Since when its jobs wait.
    pub since: Timestamp,
    /// When one of them may try.
    pub probe_at: Timestamp,
}

/// The red button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it was pressed.
    pub since: Timestamp,
}

impl Store {
    /// Holds a channel, or moves the probe of one that is held. `true`: it was not held before; raise the
    /// alarm.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn hold(
        &self,
        channel: &str,
        reason: &str,
        probe_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let fresh = |update: Update| {
            update
                .set("v", number(SCHEMA_VERSION))
                .set("reason", text(reason))
                .set("probe_at", time(probe_at))
        };
        let first = fresh(Update::new())
            .set("since", time(now))
            .when("attribute_not_exists(#since)");
        let pk = keys::hold(channel);
        if let Written::Done(_) = self.update(&pk, first).await? {
            return Ok(true);
        }
        self.update(&pk, fresh(Update::new()).set_once("since", time(now)))
            .await?;
        Ok(false)
    }

    /// The channel's hold, read strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn held(&self, channel: &str) -> Result<Option<HoldRow>, StoreError> {
        self.get(&keys::hold(channel))
            .await?
            .as_ref()
            .map(decode)
            .transpose()
    }

    /// Lets one of the channel's jobs through: `true` for whoever asks first after the probe's time, which
    /// moves on by `every_ms`.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn try_probe(&self, channel: &str, every_ms: i64) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let update = Update::new()
            .set("probe_at", time(later(now, every_ms)))
            .when("attribute_exists(#since) AND #probe_at <= :now")
            .value("now", time(now));
        Ok(matches!(
            self.update(&keys::hold(channel), update).await?,
            Written::Done(_)
        ))
    }

    /// Ends a channel's hold: its probe went through.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn release(&self, channel: &str) -> Result<(), StoreError> {
        self.delete_pk(&keys::hold(channel)).await
    }

    /// Presses the red button: nothing goes out, everywhere, from the next lease on.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn pause(&self) -> Result<(), StoreError> {
        let mut item = row(keys::PAUSED);
        item.insert("since".to_owned(), time(self.clock.now()));
        // Pressing it twice leaves the first time.
        self.put(item, "attribute_not_exists(#pk)", Item::new())
            .await
            .map(|_| ())
    }

    /// Releases the red button.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn resume(&self) -> Result<(), StoreError> {
        self.delete_pk(keys::PAUSED).await
    }

    /// Whether the red button is pressed, read strongly.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn paused(&self) -> Result<Option<Pause>, StoreError> {
        self.get(keys::PAUSED)
            .await?
            .as_ref()
            .map(decode_pause)
            .transpose()
    }
}

pub(super) fn decode_pause(item: &Item) -> Result<Pause, StoreError> {
    Ok(Pause {
        since: Reader::new(item, "paused")?.time("since")?,
    })
}

pub(super) fn decode(item: &Item) -> Result<HoldRow, StoreError> {
    let reader = Reader::new(item, "hold")?;
    Ok(HoldRow {
        channel: reader.key(keys::HOLD)?,
        reason: reader.text("reason")?,
        since: reader.time("since")?,
        probe_at: reader.time("probe_at")?,
    })
}
