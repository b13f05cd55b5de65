//! A webhook's body, in either version.

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::connections::Connection;
use crate::event::{FreeMap, Head, ITEMS_MAX, Name};
use crate::sources::{Unreadable, read};

/// What a company's own host ends with.
const DOMAIN: &str = ".pipedrive.com";
/// Fields that change with others or by themselves, of which nobody wants to hear. Version 1 has most of
/// them: <https://pipedrive.readme.io/docs/webhooks-v2-migration-guide>
const BESIDE: [&str; 13] = [
    "update_time",
    "stage_change_time",
    "stage_order_nr",
    "rotten_time",
    "last_incoming_mail_time",
    "last_outgoing_mail_time",
    "formatted_value",
    "weighted_value",
    "formatted_weighted_value",
    "weighted_value_currency",
    "cc_email",
    "first_char",
    "edit_name",
];
/// Hex digits of the digest of what changed.
const DIGEST_DIGITS: usize = 8;
/// Where custom fields are, in version 2.
pub(super) const CUSTOM_FIELDS: &str = "custom_fields";

/// What a webhook is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entity {
    Person,
    Deal,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Created,
    Changed,
    Deleted,
    /// Another was merged into it, or it into another.
    Merged,
}

/// One webhook.
pub(super) struct Webhook {
    pub(super) entity: Entity,
    pub(super) action: Action,
    /// The person's or the deal's id.
    pub(super) id: String,
    /// When it happened.
    pub(super) at: Timestamp,
    /// `minha-empresa.pipedrive.com`.
    pub(super) host: Option<String>,
    /// What it is now.
    pub(super) data: FreeMap,
    /// What was there before: in version 1 all of it, in version 2 what changed.
    pub(super) previous: FreeMap,
}

impl Webhook {
    /// `None`: about something else than persons and deals.
    pub(super) fn read(value: &Value) -> Result<Option<Webhook>, Unreadable> {
        let Some(meta) = value.get("meta").and_then(Value::as_object) else {
            return Ok(None);
        };
        let is_v2 = meta.contains_key("entity");
        let (kind, now) = match is_v2 {
            true => ("entity", "data"),
            false => ("object", "current"),
        };
        let word = |name: &str| meta.get(name).and_then(Value::as_str);
        let entity = match word(kind) {
            Some("person") => Entity::Person,
            Some("deal") => Entity::Deal,
            _ => return Ok(None),
        };
        let is_merged = |name: &str| meta.get(name).is_some_and(|id| !id.is_null());
        let action = match word("action") {
            Some("create" | "added") => Action::Created,
            Some("change" | "updated") if is_merged("merged_from_id") => Action::Merged,
            Some("change" | "updated") => Action::Changed,
            Some("delete" | "deleted") => Action::Deleted,
            Some("merged") => Action::Merged,
            _ => return Ok(None),
        };
        let object = |name: &str| value.get(name).and_then(Value::as_object).cloned();
        let data = object(now);
        let data = match action {
            Action::Created | Action::Changed => read::required(data, now, "an object")?,
            Action::Deleted | Action::Merged => data.unwrap_or_default(),
        };
        let previous = object("previous").unwrap_or_default();
        let of_meta = meta.get(if is_v2 { "entity_id" } else { "id" });
        let ids = [data.get("id"), of_meta, previous.get("id")];
        let id = ids.into_iter().flatten().find_map(read::as_id);
        let at = meta.get("timestamp").and_then(read::moment);
        let at = at.or_else(|| moment_at(&data, "update_time"));
        Ok(Some(Webhook {
            entity,
            action,
            id: read::required(id, "meta.entity_id", "an id")?,
            at: read::required(at, "meta.timestamp", "a time")?,
            host: word("host").and_then(host),
            data,
            previous,
        }))
    }

    /// The version: when it was last changed.
    pub(super) fn as_of(&self) -> Timestamp {
        moment_at(&self.data, "update_time").unwrap_or(self.at)
    }

    /// When it came into being.
    pub(super) fn created_at(&self) -> Option<Timestamp> {
        moment_at(&self.data, "add_time")
    }

    /// Shows it: `https://minha-empresa.pipedrive.com/person/7`.
    pub(super) fn url(&self, what: &str) -> Option<String> {
        let host = self.host.as_deref()?;
        Some(format!("https://{host}/{what}/{}", self.id))
    }

    /// The head of an event with this key behind the connection's name.
    pub(super) fn head(
        &self,
        connection: &Connection,
        name: Name,
        key: &str,
        at: Timestamp,
    ) -> Head {
        Head {
            name,
            source: connection.name.clone(),
            kind: connection.kind.clone(),
            account: self.host.clone(),
            id: format!("{}/{key}", connection.name),
            at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        }
    }

    /// Whether it says that it is not there any more, though it calls that a change.
    pub(super) fn is_gone(&self) -> bool {
        self.data.get("is_deleted") == Some(&Value::Bool(true))
            || self.data.get("active_flag") == Some(&Value::Bool(false))
            || self.data.get("status").and_then(Value::as_str) == Some("deleted")
    }

    /// The names of what changed, by Pipedrive's own words, custom fields by their keys; `None`: it does
    /// not say.
    pub(super) fn changed(&self) -> Option<Vec<&str>> {
        if self.previous.is_empty() {
            return None;
        }
        let mut names = Vec::new();
        for (name, before) in &self.previous {
            let now = self.data.get(name);
            if name == CUSTOM_FIELDS {
                let before = before.as_object().into_iter().flatten();
                let now = |key: &str| now.and_then(|now| now.get(key));
                let custom = before.filter(|(key, before)| !is_same(before, now(key)));
                names.extend(custom.map(|(key, _)| key.as_str()));
            } else if !is_beside(name) && !is_same(before, now) {
                names.push(name.as_str());
            }
        }
        names.sort_unstable();
        names.truncate(ITEMS_MAX);
        Some(names)
    }

    /// The version as a part of a key. Times have a resolution of one second, in which two changes may
    /// happen: what changed tells them apart. Neither differs from one attempt or webhook to the next.
    pub(super) fn version(&self, changed: &[&str]) -> String {
        let digest = hex::encode(Sha256::digest(changed.join(",").as_bytes()));
        let digest: String = digest.chars().take(DIGEST_DIGITS).collect();
        format!("{}/{digest}", self.as_of().as_second())
    }

    /// Everything but what `own` names, by Pipedrive's own words, custom fields by their keys.
    pub(super) fn fields(&self, own: &[&str]) -> FreeMap {
        fields(&self.data, own)
    }
}

fn is_beside(name: &str) -> bool {
    BESIDE.contains(&name) || name.ends_with("_count") || name.contains("activity")
}

/// Whether two values are one: what is blank, null and not there are the same, and so is a list of phones
/// that version 1 shows with one blank entry.
fn is_same(before: &Value, now: Option<&Value>) -> bool {
    let entry = |entry: &Entry| Value::from(format!("{} {}", entry.is_primary, entry.value));
    let shown = |value: &Value| match entries(value) {
        Some(entries) if entries.is_empty() => Value::Null,
        Some(entries) => entries.iter().map(entry).collect(),
        None => read::free(value.clone()).unwrap_or_default(),
    };
    shown(before) == now.map(shown).unwrap_or_default()
}

/// One phone or address of a list.
pub(super) struct Entry {
    pub(super) value: String,
    /// Free text: `mobile`, `work`, in the language of whoever made it.
    pub(super) label: Option<String>,
    pub(super) is_primary: bool,
}

/// The phones or addresses of a list, the primary one first, without blank ones; `None`: it is no such list.
pub(super) fn entries(value: &Value) -> Option<Vec<Entry>> {
    let list = value.as_array()?;
    if !list.iter().all(|entry| entry.get("value").is_some()) {
        return None;
    }
    let entry = |entry: &Value| {
        Some(Entry {
            value: read::as_text(entry.get("value")?)?,
            label: entry.get("label").and_then(read::as_text),
            is_primary: entry.get("primary") == Some(&Value::Bool(true)),
        })
    };
    let mut found: Vec<Entry> = list.iter().filter_map(entry).take(ITEMS_MAX).collect();
    found.sort_by_key(|entry| !entry.is_primary);
    Some(found)
}

pub(super) fn fields(data: &FreeMap, own: &[&str]) -> FreeMap {
    let mut fields = FreeMap::new();
    for (name, value) in data {
        if name == CUSTOM_FIELDS {
            for (key, value) in value.as_object().into_iter().flatten() {
                read::put(&mut fields, key, custom(value));
            }
        } else if !own.contains(&name.as_str()) {
            read::put(&mut fields, name, value.clone());
        }
    }
    fields
}

/// A custom field's value, which may stand in an object with its type beside it.
pub(super) fn custom(value: &Value) -> Value {
    let Some(object) = value.as_object() else {
        return value.clone();
    };
    if let Some(Value::Array(values)) = object.get("values") {
        return values.iter().map(custom).collect();
    }
    let inner = object.get("value").or_else(|| object.get("id"));
    inner.unwrap_or(value).clone()
}

pub(super) fn moment_at(data: &FreeMap, name: &str) -> Option<Timestamp> {
    data.get(name).and_then(read::moment)
}

pub(super) fn text_at(data: &FreeMap, name: &str) -> Option<String> {
    data.get(name).and_then(read::as_text)
}

/// An id that another thing is named by; version 1 may show the thing itself, with its id as `value`.
pub(super) fn id_at(data: &FreeMap, name: &str) -> Option<String> {
    let id = data.get(name)?;
    read::as_id(id.get("value").or_else(|| id.get("id")).unwrap_or(id))
}

/// A company's own host, in lower case.
fn host(text: &str) -> Option<String> {
    let host = text.trim().to_ascii_lowercase();
    let company = host.strip_suffix(DOMAIN)?;
    (!company.is_empty() && !company.starts_with('.') && read::is_host(&host)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_a_company_s_own() {
        assert_eq!(
            host(" Minha-Empresa.pipedrive.com"),
            Some("minha-empresa.pipedrive.com".to_owned())
        );
        for text in [
            "",
            "pipedrive.com",
            ".pipedrive.com",
            "evil.example",
            "evil.example/.pipedrive.com",
            "a.pipedrive.com.evil.example",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }
}
