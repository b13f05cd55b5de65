//! `callbell secrets push`, and what `callbell secrets list --stack` shows of AWS.

use std::collections::BTreeSet;
use std::path::Path;

use shared::secrets::{Secret, Secrets};

use crate::ask;
use crate::aws::secrets::Vault;
use crate::commands::Outcome;
use crate::dev::secrets::Files;
use crate::error::CliError;
use crate::installation::stack::Stack;
use crate::output::{count, say};

/// The two tables of secrets.toml, and the last part of the names of the stack's two secrets.
const TABLES: [&str; 2] = ["webhooks", "apis"];

/// One table here and on AWS.
pub struct Pair {
    /// `webhooks` or `apis`.
    pub table: &'static str,
    /// The secret's name: `shop/webhooks`.
    pub name: String,
    /// What secrets.toml says.
    pub here: Secrets,
    /// What AWS has; `None`: there is no such secret yet.
    pub there: Option<Secrets>,
}

/// Both tables, read at both places.
///
/// # Errors
/// Secrets Manager refuses or does not answer.
pub async fn pairs(files: Files, stack: &Stack) -> Result<Vec<Pair>, CliError> {
    let vault = Vault::new(&stack.session);
    let mut pairs = Vec::new();
    for (table, here) in TABLES.into_iter().zip([files.webhooks, files.apis]) {
        let name = stack.secret(table);
        let there = vault.get(&name).await?;
        pairs.push(Pair {
            table,
            name,
            here,
            there,
        });
    }
    Ok(pairs)
}

/// Puts secrets.toml into the stack's secrets; asks before a value that is in use would go.
///
/// # Errors
/// The file cannot be read, there is no such stack, or Secrets Manager refuses.
pub async fn push(file: &Path, stack: Option<&str>, yes: bool) -> Outcome {
    let files = read(file)?;
    let stack = Stack::open(stack).await?;
    put(files, &stack, yes).await
}

/// [`push`] for a stack that is known already.
///
/// # Errors
/// As [`push`].
pub async fn put(files: Files, stack: &Stack, yes: bool) -> Outcome {
    let pairs = pairs(files, stack).await?;
    let gone: Vec<String> = pairs.iter().flat_map(removed).collect();
    if !gone.is_empty() {
        say("in use on AWS and no longer in the file:");
        for line in &gone {
            say(format!("  {line}"));
        }
        say(
            "what is signed with a removed value is refused; callbell secrets set NAME --add keeps the old value beside the new one",
        );
        if !yes && !ask::confirm("remove them?")? {
            say("nothing was pushed");
            return Ok(1);
        }
    }
    let vault = Vault::new(&stack.session);
    for pair in &pairs {
        let what = match &pair.there {
            Some(there) if same(there, &pair.here) => "unchanged",
            // Made even where it is empty: the functions cannot tell a secret that is not there from one
            // that they may not read.
            there => {
                vault.put(&pair.name, &pair.here, there.is_some()).await?;
                if there.is_some() { "changed" } else { "made" }
            }
        };
        say(format!("{}: {what}", pair.name));
        for name in pair.here.names() {
            let values = pair.here.get(name);
            say(format!(
                "  {name}: {} (fingerprint {})",
                count(values.len(), "value"),
                fingerprints(values).join(", ")
            ));
        }
    }
    Ok(0)
}

/// The file's secrets.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn read(file: &Path) -> Result<Files, CliError> {
    if !file.exists() {
        return Err(CliError::new(format!("there is no {}", file.display()))
            .hint("callbell init writes one, callbell secrets set NAME fills it"));
    }
    Ok(Files::read(file)?)
}

/// The first digits of each value's hash.
pub fn fingerprints(values: &[Secret]) -> Vec<String> {
    values.iter().map(Secret::fingerprint).collect()
}

/// Both have the same names with the same values, in the same order: the first API token is the one in use.
pub fn same(one: &Secrets, other: &Secrets) -> bool {
    let names = |secrets: &Secrets| -> Vec<String> { secrets.names().map(str::to_owned).collect() };
    names(one) == names(other) && one.names().all(|name| one.get(name) == other.get(name))
}

/// A line for each value that AWS has and the file has not.
fn removed(pair: &Pair) -> Vec<String> {
    let Some(there) = &pair.there else {
        return Vec::new();
    };
    let lost = |name: &str| -> Vec<String> {
        let kept: BTreeSet<&str> = pair.here.get(name).iter().map(Secret::expose).collect();
        let gone = there.get(name).iter();
        gone.filter(|value| !kept.contains(value.expose()))
            .map(|value| format!("{} {name}, fingerprint {}", pair.name, value.fingerprint()))
            .collect()
    };
    there.names().flat_map(lost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(json: &str) -> Secrets {
        Secrets::from_json(json).unwrap()
    }

    #[test]
    fn what_would_be_removed_is_named_by_its_fingerprint() {
        let pair = |here: &str, there: Option<&str>| Pair {
            table: "webhooks",
            name: "shop/webhooks".to_owned(),
            here: secrets(here),
            there: there.map(secrets),
        };
        let cases = [
            (r#"{"a": "1"}"#, None, 0),
            (r#"{"a": ["2", "1"], "b": "3"}"#, Some(r#"{"a": "1"}"#), 0),
            (r#"{"a": "2"}"#, Some(r#"{"a": "1"}"#), 1),
            (r#"{}"#, Some(r#"{"a": ["1", "2"], "b": "3"}"#), 3),
        ];
        for (here, there, wanted) in cases {
            let lines = removed(&pair(here, there));
            assert_eq!(lines.len(), wanted, "{here} {there:?}");
        }
        let print = Secret::new("old value").fingerprint();
        assert_eq!(
            removed(&pair("{}", Some(r#"{"a": "old value"}"#))),
            [format!("shop/webhooks a, fingerprint {print}")]
        );
        assert!(same(
            &secrets(r#"{"a": ["1"]}"#),
            &secrets(r#"{"a": "1", "b": ""}"#)
        ));
        assert!(!same(
            &secrets(r#"{"a": ["1", "2"]}"#),
            &secrets(r#"{"a": ["2", "1"]}"#)
        ));
    }
}
