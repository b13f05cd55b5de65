//! Keys rows: the public keys of whoever signs pushes with a private one. `renew` keeps them, so that a door
//! calls nobody; a key that is no longer listed stays for a day, for pushes that are under way.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::request::Item;
use super::rows::{DAY_MS, Reader, later, row, text, time};
use super::{Store, StoreError, keys};
use crate::keys::{PublicKeys, RsaKey};

/// Whose keys they are.
const GOOGLE: &str = "google";

/// The keys that are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysRow {
    /// All of them.
    pub keys: PublicKeys,
    /// When they were last asked for, with success.
    pub read_at: Timestamp,
}

/// A key as the row holds it.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    key: RsaKey,
    /// When it was last listed, in milliseconds.
    seen_at: i64,
}

impl Store {
    /// Google's public keys, strongly. `None`: nobody kept any yet.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where they cannot be read; what DynamoDB reports.
    pub async fn public_keys(&self) -> Result<Option<KeysRow>, StoreError> {
        let Some((kept, read_at)) = self.kept_keys().await? else {
            return Ok(None);
        };
        let keys = kept.into_iter().map(|(kid, kept)| (kid, kept.key));
        Ok(Some(KeysRow {
            keys: PublicKeys(keys.collect()),
            read_at,
        }))
    }

    /// Keeps the keys that Google lists now, beside those that it listed within the last day. Two that do it
    /// at once write the same.
    ///
    /// # Errors
    /// As [`Store::public_keys`].
    pub async fn keep_public_keys(&self, listed: &PublicKeys) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut kept = match self.kept_keys().await {
            Ok(kept) => kept.map(|(kept, _)| kept).unwrap_or_default(),
            // What nobody can read helps nobody.
            Err(StoreError::Corrupt { .. }) => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let day_ago = later(now, DAY_MS.saturating_neg()).as_millisecond();
        kept.retain(|_, kept| kept.seen_at > day_ago);
        for (kid, key) in &listed.0 {
            let key = key.clone();
            let seen_at = now.as_millisecond();
            kept.insert(kid.clone(), Kept { key, seen_at });
        }
        let json = serde_json::to_string(&kept)
            .map_err(|_| StoreError::Refused("keys that are no JSON".to_owned()))?;
        let mut item = row(&keys::public_keys(GOOGLE));
        item.insert("keys".to_owned(), text(json));
        item.insert("read_at".to_owned(), time(now));
        self.put(item, "", Item::new()).await?;
        Ok(())
    }

    async fn kept_keys(&self) -> Result<Option<(BTreeMap<String, Kept>, Timestamp)>, StoreError> {
        let Some(item) = self.get(&keys::public_keys(GOOGLE)).await? else {
            return Ok(None);
        };
        let reader = Reader::new(&item, "keys")?;
        let kept = serde_json::from_str(&reader.text("keys")?)
            .map_err(|_| reader.corrupt("keys is no list of keys"))?;
        Ok(Some((kept, reader.time("read_at")?)))
    }
}
