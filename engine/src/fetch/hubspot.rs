//! HubSpot: the contacts that its webhooks name.
//! <https://developers.hubspot.com/docs/api-reference/crm-contacts-v3/guide>
//!
//! The secret is that of `[hubspot.x]`; scope `crm.objects.contacts.read`, and `crm.objects.owners.read` for the
//! names of owners. A webhook of an app that several accounts installed may name contacts of any of them: each of
//! the connection's secrets is asked which account it is of, once.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::event::Event;
use shared::secrets::Secret;
use shared::sources::hubspot::{self, Told};

use super::{Asking, FetchError};
use crate::actions::deed::ActError;
use crate::actions::hubspot::{Batch, Reader};
use crate::actions::tokens::Token;

/// Contacts of one question, the most that HubSpot takes.
const BATCH_MAX: usize = 100;
/// Most owners that are asked for because of one webhook.
const OWNERS_MAX: usize = 10;
/// For how long contacts that HubSpot keeps back for now are waited for, before the others go on without them.
const PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// For how long a process remembers which account a secret is of.
const PORTAL_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Why contacts are not read.
const NO_SECRET: &str = "no API secret is of the account of these contacts";

/// The events of what changed there.
///
/// # Errors
/// [`FetchError`]: the contacts cannot be asked for, or no secret is of an account that they are of.
pub async fn events(asking: Asking<'_>) -> Result<Vec<Event>, FetchError> {
    let mut of_portals: BTreeMap<Option<String>, Vec<Told>> = BTreeMap::new();
    for told in hubspot::told(asking.changed) {
        let of_portal = of_portals.entry(told.portal.clone()).or_default();
        of_portal.push(told);
    }
    if of_portals.is_empty() {
        return Ok(Vec::new());
    }
    let secrets = asking.fetching.secrets(&asking.connection.name).await?;
    // A request that names no account at all leaves nothing to choose by.
    if let (1, Some(told)) = (of_portals.len(), of_portals.get(&None)) {
        return of_portal(asking, &secrets, told).await;
    }
    // Ids are an account's own: asked for with another account's secret they may be somebody else.
    let (mut known, refused) = portals(asking, &secrets).await?;
    if known.is_empty() {
        let named: Vec<&Option<String>> = of_portals.keys().collect();
        match (named.as_slice(), secrets.as_slice(), refused) {
            // One secret that may not ask whose it is: its answer about the contacts says whether it is good.
            ([Some(portal)], [_], _) => {
                known.insert(portal.clone(), secrets.clone());
            }
            (_, _, Some(error)) => return Err(error.into()),
            _ => {}
        }
    }
    let mut events = Vec::new();
    let mut was_read = false;
    for (portal, told) in &of_portals {
        match portal.as_ref().and_then(|portal| known.get(portal)) {
            Some(secrets) => {
                was_read = true;
                events.extend(of_portal(asking, secrets, told).await?);
            }
            None => tracing::warn!(
                outcome = "contacts not read",
                source.name = asking.connection.name,
                reason = NO_SECRET,
            ),
        }
    }
    match was_read {
        true => Ok(events),
        // Said with the question, for as long as somebody may still mend it.
        false => Err(FetchError::Refused(NO_SECRET.to_owned())),
    }
}

/// The secrets of each account, in their order.
type Portals = BTreeMap<String, Vec<Secret>>;

/// Which account each secret is of, and why one could not be asked: it is none then.
async fn portals(
    asking: Asking<'_>,
    secrets: &[Secret],
) -> Result<(Portals, Option<ActError>), FetchError> {
    let mut known = Portals::new();
    let mut refused = None;
    for secret in secrets {
        match portal_of(asking, secret).await {
            Ok(Some(portal)) => known.entry(portal).or_default().push(secret.clone()),
            Ok(None) => {}
            Err(error @ (ActError::Refused(_) | ActError::Rejected(_))) => refused = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((known, refused))
}

/// The account that a secret is of, asked for once a process.
async fn portal_of(asking: Asking<'_>, secret: &Secret) -> Result<Option<String>, ActError> {
    let tokens = asking.fetching.tokens();
    let digest = hex::encode(Sha256::digest(secret.expose().as_bytes()));
    let key = format!("HubSpot account/{digest}");
    if let Some(known) = tokens.get(&key, asking.now) {
        return Ok(Some(known.value.expose().to_owned()));
    }
    let mut reader = Reader::of(asking.desk(std::slice::from_ref(secret)));
    let portal = reader.portal().await?;
    if let Some(portal) = &portal {
        let kept = asking.now.saturating_add(PORTAL_KEPT);
        let token = Token {
            value: Secret::new(portal),
            until: kept.unwrap_or(asking.now),
            host: None,
        };
        tokens.put(&key, token);
    }
    Ok(portal)
}

async fn of_portal(
    asking: Asking<'_>,
    secrets: &[Secret],
    told: &[Told],
) -> Result<Vec<Event>, FetchError> {
    let mut reader = Reader::of(asking.desk(secrets));
    let mut owners = Owners::default();
    let mut events = Vec::new();
    for told in told.chunks(BATCH_MAX) {
        let batch = read(&mut reader, asking, told).await?;
        let age = asking.now.duration_since(asking.event.event.at);
        if batch.held_back && age < PATIENCE {
            return Err(FetchError::Unavailable {
                why: "HubSpot keeps some contacts back".to_owned(),
                retry_after: None,
            });
        }
        for (told, contact) in matched(told, &batch.contacts) {
            let owner = match hubspot::owner_id(contact) {
                Some(id) => owners.get(&mut reader, id).await,
                None => None,
            };
            match hubspot::events(told, contact, owner.as_ref(), asking.connection) {
                Ok(found) => events.extend(found),
                // One contact does not keep the others.
                Err(error) => tracing::warn!(
                    outcome = "contact not read",
                    source.name = asking.connection.name,
                    reason = %error,
                ),
            }
        }
    }
    Ok(events)
}

/// Asks for contacts with all properties that events hold; where HubSpot knows one of them not, with those
/// that every account has.
async fn read(
    reader: &mut Reader<'_>,
    asking: Asking<'_>,
    told: &[Told],
) -> Result<Batch, FetchError> {
    let mut ids: Vec<&str> = told.iter().map(|one| one.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let properties = hubspot::properties(told, asking.connection);
    match reader.contacts(&ids, &properties).await {
        Err(ActError::Rejected(_)) => {
            let core: Vec<String> = hubspot::CORE
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            Ok(reader.contacts(&ids, &core).await?)
        }
        other => Ok(other?),
    }
}

/// Which contact was meant by what was told. What is not there has none.
fn matched<'a>(told: &'a [Told], contacts: &'a [Value]) -> Vec<(&'a Told, &'a Value)> {
    let mut pairs = Vec::new();
    let mut without = Vec::new();
    for one in told {
        let answers = |contact: &&Value| hubspot::answers_to(contact, &one.id);
        match contacts.iter().find(answers) {
            Some(contact) => pairs.push((one, contact)),
            None => without.push(one),
        }
    }
    let is_left = |contact: &&Value| {
        let mut told = told.iter();
        !told.any(|one| hubspot::answers_to(contact, &one.id))
    };
    let left: Vec<&Value> = contacts.iter().filter(is_left).collect();
    // A merged contact that does not say what it took in, where there is no doubt.
    if let ([told], [contact]) = (without.as_slice(), left.as_slice()) {
        pairs.push((told, contact));
    }
    pairs
}

/// Owners, each asked for once. Without them an event has the owner's id alone.
#[derive(Default)]
struct Owners {
    known: BTreeMap<String, Option<Value>>,
    /// The secret may not read owners, or HubSpot does not answer: nobody is asked for any more.
    failed: bool,
}

impl Owners {
    async fn get(&mut self, reader: &mut Reader<'_>, id: String) -> Option<Value> {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        if self.failed || self.known.len() >= OWNERS_MAX {
            return None;
        }
        match reader.owner(&id).await {
            Ok(owner) => {
                self.known.insert(id, owner.clone());
                owner
            }
            Err(_) => {
                self.failed = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contacts_are_matched_by_id_and_by_what_they_took_in() {
        let told = |id: &str| Told {
            id: id.to_owned(),
            ..Told::default()
        };
        let contact = |id: &str, merged: &str| json!({"id": id, "properties": {"hs_merged_object_ids": merged}});
        let pairs = |told: &[Told], contacts: &[Value]| -> Vec<String> {
            let pairs = matched(told, contacts);
            let words = |(told, contact): &(&Told, &Value)| {
                format!("{} {}", told.id, contact["id"].as_str().unwrap())
            };
            pairs.iter().map(words).collect()
        };
        let (one, two, three) = (told("1"), told("2"), told("3"));
        let all = [one, two, three];
        assert_eq!(
            pairs(&all, &[contact("3", ""), contact("1", "2;9")]),
            ["1 1", "2 1", "3 3"]
        );
        assert_eq!(
            pairs(
                &all,
                &[contact("1", ""), contact("7", ""), contact("3", "")]
            ),
            ["1 1", "3 3", "2 7"]
        );
        assert_eq!(pairs(&all, &[contact("7", ""), contact("8", "")]), [""; 0]);
        assert_eq!(pairs(&all[..1], &[]), [""; 0]);
    }
}
