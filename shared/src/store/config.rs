//! Config rows: the pushed automations file with its templates, every version of the last fifty, and for
//! the doors the `[source.x]` tables alone.

use std::fmt;

use jiff::Timestamp;

use super::request::{Item, Written};
use super::rows::{Reader, bytes, number, pack, row, text, time};
use super::{Store, StoreError, keys};
use crate::connections::Connections;

/// Largest automations file with templates, compressed, in bytes.
pub const CONFIG_BYTES_MAX: usize = 300 * 1024;
/// How many versions are kept to roll back to.
pub const CONFIG_VERSIONS_KEPT: u64 = 50;
/// How many numbers a push tries where an interrupted one left its row behind.
const NUMBERS_TRIED_MAX: u64 = 5;

/// A pushed configuration.
#[derive(Clone, PartialEq)]
pub struct ConfigRow {
    /// Its number.
    pub version: u64,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// automations.toml, as it was written.
    pub file: String,
    /// templates.json, as it was pulled.
    pub templates: String,
    /// The `[source.x]` tables.
    pub connections: Connections,
    /// The highest number that was ever given.
    last: u64,
}

impl fmt::Debug for ConfigRow {
    /// The number alone: `only_to` holds phone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigRow")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Stores a checked configuration as the newest version and makes it the current one; returns its number.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]; [`StoreError::Conflict`] where somebody pushes at the same time; what
    /// DynamoDB reports. Interrupted between its writes, pushing again mends it.
    pub async fn push_config(
        &self,
        file: &str,
        templates: &str,
        connections: &Connections,
    ) -> Result<u64, StoreError> {
        let current = self.config().await?;
        let mut next = ConfigRow {
            version: 0,
            pushed_at: self.clock.now(),
            file: file.to_owned(),
            templates: templates.to_owned(),
            connections: connections.clone(),
            last: current.as_ref().map_or(0, |current| current.last),
        };
        for _ in 0..NUMBERS_TRIED_MAX {
            next.last = next.last.saturating_add(1);
            next.version = next.last;
            let item = encode(&keys::config_version(next.version), &next)?;
            if self
                .put_or_ours(item, "attribute_not_exists(#pk)", Item::new(), &next)
                .await?
            {
                self.make_current(&next, current.as_ref()).await?;
                self.drop_version(next.version).await?;
                return Ok(next.version);
            }
        }
        Err(StoreError::Conflict("the configuration"))
    }

    /// Makes an earlier version current again; `None`: the one before the current one. Returns its number.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it is no longer kept; as [`Store::push_config`].
    pub async fn rollback_config(&self, to: Option<u64>) -> Result<u64, StoreError> {
        let missing = |what: String| StoreError::Missing(what);
        let current = self
            .config()
            .await?
            .ok_or_else(|| missing("configuration".to_owned()))?;
        let to = to.unwrap_or_else(|| current.version.saturating_sub(1));
        let version = self.config_version(to).await?;
        let mut version =
            version.ok_or_else(|| missing(format!("version {to} of the configuration")))?;
        version.last = current.last;
        self.make_current(&version, Some(&current)).await?;
        Ok(version.version)
    }

    /// The current configuration, read strongly; `None`: nothing was pushed yet.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it cannot be read; what DynamoDB reports.
    pub async fn config(&self) -> Result<Option<ConfigRow>, StoreError> {
        self.get(keys::CONFIG)
            .await?
            .as_ref()
            .map(decode)
            .transpose()
    }

    /// One version.
    ///
    /// # Errors
    /// As [`Store::config`].
    pub async fn config_version(&self, version: u64) -> Result<Option<ConfigRow>, StoreError> {
        self.get(&keys::config_version(version))
            .await?
            .as_ref()
            .map(decode)
            .transpose()
    }

    /// The connected systems, as doors read them; `None`: nothing was pushed yet.
    ///
    /// # Errors
    /// As [`Store::config`].
    pub async fn connections(&self) -> Result<Option<Connections>, StoreError> {
        self.get(keys::CONNECTIONS)
            .await?
            .as_ref()
            .map(decode_connections)
            .transpose()
    }

    async fn make_current(
        &self,
        next: &ConfigRow,
        seen: Option<&ConfigRow>,
    ) -> Result<(), StoreError> {
        let item = encode(keys::CONFIG, next)?;
        let written = match seen {
            None => {
                self.put_or_ours(item, "attribute_not_exists(#pk)", Item::new(), next)
                    .await?
            }
            Some(seen) => {
                let values = Item::from([
                    (":seen".to_owned(), number(seen.version)),
                    (":last".to_owned(), number(seen.last)),
                ]);
                self.put_or_ours(item, "#version = :seen AND #last = :last", values, next)
                    .await?
            }
        };
        if !written {
            return Err(StoreError::Conflict("the configuration"));
        }
        let mut item = row(keys::CONNECTIONS);
        item.insert(
            "json".to_owned(),
            text(connections_json(&next.connections)?),
        );
        self.put(item, "", Item::new()).await.map(|_| ())
    }

    /// Puts a row under a condition; also `true` where the row that stands there is the one to be put: the
    /// SDK repeats a request whose answer was lost.
    async fn put_or_ours(
        &self,
        item: Item,
        condition: &str,
        values: Item,
        config: &ConfigRow,
    ) -> Result<bool, StoreError> {
        match self.put(item, condition, values).await? {
            Written::Done(_) => Ok(true),
            Written::Refused(old) => {
                Ok(old.as_ref().map(decode).transpose()?.as_ref() == Some(config))
            }
        }
    }

    async fn drop_version(&self, newest: u64) -> Result<(), StoreError> {
        match newest.checked_sub(CONFIG_VERSIONS_KEPT) {
            None | Some(0) => Ok(()),
            Some(oldest) => self.delete_pk(&keys::config_version(oldest)).await,
        }
    }
}

fn connections_json(connections: &Connections) -> Result<String, StoreError> {
    serde_json::to_string(connections).map_err(|_| StoreError::Corrupt {
        kind: "config",
        problem: "connections are no JSON".to_owned(),
    })
}

fn encode(pk: &str, config: &ConfigRow) -> Result<Item, StoreError> {
    let (file, templates) = (
        pack(config.file.as_bytes()),
        pack(config.templates.as_bytes()),
    );
    let size = file.len() + templates.len();
    if size > CONFIG_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "the configuration",
            bytes: size,
            bytes_max: CONFIG_BYTES_MAX,
        });
    }
    let mut item = row(pk);
    item.insert("version".to_owned(), number(config.version));
    item.insert("last".to_owned(), number(config.last));
    item.insert("pushed_at".to_owned(), time(config.pushed_at));
    item.insert("file".to_owned(), bytes(file));
    item.insert("templates".to_owned(), bytes(templates));
    item.insert(
        "connections".to_owned(),
        text(connections_json(&config.connections)?),
    );
    Ok(item)
}

pub(super) fn decode(item: &Item) -> Result<ConfigRow, StoreError> {
    let reader = Reader::new(item, "config")?;
    let unpacked = |name: &str| -> Result<String, StoreError> {
        let plain = reader
            .packed_opt(name)?
            .ok_or_else(|| reader.corrupt(format!("{name} is absent")))?;
        String::from_utf8(plain).map_err(|_| reader.corrupt(format!("{name} is no text")))
    };
    Ok(ConfigRow {
        version: reader.number("version")?,
        last: reader.number("last")?,
        pushed_at: reader.time("pushed_at")?,
        file: unpacked("file")?,
        templates: unpacked("templates")?,
        connections: serde_json::from_str(&reader.text("connections")?)
            .map_err(|_| reader.corrupt("connections cannot be read"))?,
    })
}

pub(super) fn decode_connections(item: &Item) -> Result<Connections, StoreError> {
    let reader = Reader::new(item, "connections")?;
    serde_json::from_str(&reader.text("json")?).map_err(|_| reader.corrupt("json cannot be read"))
}
