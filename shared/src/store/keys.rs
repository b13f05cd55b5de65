//! Which row is which: the prefixes of the partition key, and the shard of the sweep's index.

use sha2::{Digest, Sha256};

use super::SHARDS;

pub(super) const EVENT: &str = "event#";
pub(super) const JOB: &str = "job#";
pub(super) const HOLD: &str = "hold#callbell#";
pub(super) const PAUSED: &str = "paused";
pub(super) const CURSOR: &str = "cursor#";
pub(super) const CONVERSATION: &str = "conversation#";
pub(super) const CONFIG: &str = "config";
pub(super) const CONNECTIONS: &str = "connections";

pub(super) fn event(key: &str) -> String {
    format!("{EVENT}{key}")
}

pub(super) fn job(id: &str) -> String {
    format!("{JOB}{id}")
}

pub(super) fn entity(key: &str) -> String {
    format!("entity#{key}")
}

pub(super) fn person(digest: &str) -> String {
    format!("person#{digest}")
}

pub(super) fn once(automation: &str, scope: &str, id: &str) -> String {
    format!("once#{automation}#{scope}#{id}")
}

pub(super) fn rate(second: i64) -> String {
    format!("rate#callbell#{second}")
}

pub(super) fn hold(channel: &str) -> String {
    format!("{HOLD}{channel}")
}

pub(super) fn config_version(version: u64) -> String {
    format!("{CONFIG}#{version}")
}

/// The job that a message at Callbell belongs to.
pub(super) fn message(uuid: &str) -> String {
    format!("map#callbell/message/{uuid}")
}

/// A person's record in another system.
pub(super) fn record(system: &str, place: &str, person: &str) -> String {
    format!("map#{system}/{place}/{person}")
}

/// What we last saw of a person in Callbell.
pub(super) fn contact(uuid: &str) -> String {
    format!("map#callbell/contact/{uuid}")
}

/// What we last saw of a person in another system, by the entity's key.
pub(super) fn lead(entity: &str) -> String {
    format!("map#lead/{entity}")
}

/// What we wrote in another system lately. `by`: `record` or `person`.
pub(super) fn wrote(system: &str, by: &str, id: &str) -> String {
    format!("map#wrote/{system}/{by}/{id}")
}

/// The talk with a person in Callbell.
pub(super) fn conversation(contact: &str) -> String {
    format!("{CONVERSATION}{contact}")
}

/// A reply's answer, kept from before it is said.
pub(super) fn answer(job: &str) -> String {
    format!("answer#{job}")
}

/// How far a calendar has been read.
pub(super) fn cursor(connection: &str) -> String {
    format!("{CURSOR}{connection}")
}

/// What every mailbox row begins with. No connection has `/` in its name.
pub(super) const MAILBOX: &str = "cursor#mailbox/";

/// How far a mailbox has been read.
pub(super) fn mailbox(connection: &str) -> String {
    format!("{MAILBOX}{connection}")
}

/// The public keys of whoever signs pushes.
pub(super) fn public_keys(of: &str) -> String {
    format!("keys#{of}")
}

/// How far Callbell's log of deliveries was read.
pub(super) fn missed() -> String {
    "cursor#callbell/missed".to_owned()
}

/// How far an erasure has come.
pub(super) fn erasure(id: &str) -> String {
    format!("cursor#erase/{id}")
}

/// The shard of the sweep's index that a row is in, from its partition key.
pub(super) fn shard(pk: &str) -> String {
    let first = Sha256::digest(pk.as_bytes())
        .first()
        .copied()
        .unwrap_or_default();
    (first % SHARDS).to_string()
}

/// The first 128 bits of a SHA-256, as 32 hex digits.
pub(super) fn hash128(text: &str) -> String {
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    digest.chars().take(32).collect()
}
