//! The rows around a job, read in one request: a send would otherwise spend half of its time and half of
//! its processor on asking for them one by one.

use std::collections::BTreeSet;

use super::{
    EntityRow, HoldRow, Pause, PersonId, PersonRow, Store, StoreError, entity, hold, keys, person,
};

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct AroundKeys {
    /// `{connection}/{subject}/{id}` of the subject.
    pub entity: String,
    /// The same of its other names.
    pub aliases: Vec<String>,
    /// Everybody who is concerned.
    pub persons: Vec<PersonId>,
    /// The channel's name.
    pub channel: Option<String>,
}

/// What is there of them.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// The subject's own row.
    pub entity: Option<EntityRow>,
    /// The rows of its other names.
    pub aliases: Vec<EntityRow>,
    /// The persons' rows.
    pub persons: Vec<PersonRow>,
    /// The channel's hold.
    pub hold: Option<HoldRow>,
    /// The red button.
    pub paused: Option<Pause>,
}

impl Store {
    /// Reads them, each strongly.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where one cannot be read; what DynamoDB reports.
    pub async fn around(&self, wanted: &AroundKeys) -> Result<Around, StoreError> {
        let entity = keys::entity(&wanted.entity);
        let aliases: BTreeSet<String> =
            wanted.aliases.iter().map(|key| keys::entity(key)).collect();
        let persons: BTreeSet<String> = wanted.persons.iter().map(PersonId::pk).collect();
        let hold = wanted.channel.as_deref().map(keys::hold);
        let mut all: BTreeSet<String> = aliases.union(&persons).cloned().collect();
        all.extend([entity.clone(), keys::PAUSED.to_owned()]);
        all.extend(hold.clone());
        let rows = self.get_many(&all).await?;
        let some =
            |pks: &BTreeSet<String>| pks.iter().filter_map(|pk| rows.get(pk)).collect::<Vec<_>>();
        Ok(Around {
            entity: rows.get(&entity).map(entity::decode).transpose()?,
            aliases: some(&aliases)
                .into_iter()
                .map(entity::decode)
                .collect::<Result<_, _>>()?,
            persons: some(&persons)
                .into_iter()
                .map(person::decode)
                .collect::<Result<_, _>>()?,
            hold: hold
                .and_then(|pk| rows.get(&pk))
                .map(hold::decode)
                .transpose()?,
            paused: rows.get(keys::PAUSED).map(hold::decode_pause).transpose()?,
        })
    }
}
