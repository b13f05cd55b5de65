//! `callbell secrets`: the user's `secrets.toml`, and what of it is on AWS.

pub mod cloud;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use serde_json::json;
use shared::secrets::Secret;
use shared::sources::callbell::{KIND, signs};

use super::Outcome;
use crate::args::{SecretsAction, SecretsArgs};
use crate::dev::secrets::Files;
use crate::edit;
use crate::error::CliError;
use crate::installation::stack::Stack;
use crate::output::{self, Cell, count, say};

/// Largest secret that is taken, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Sets one, lists names and fingerprints, or pushes the file to AWS.
///
/// # Errors
/// The file cannot be read or written, no value was given, or AWS refuses.
pub async fn run(args: &SecretsArgs) -> Outcome {
    match &args.action {
        SecretsAction::List {
            stack: Some(stack),
            file,
            json,
        } => beside(file, stack.as_deref(), *json).await,
        SecretsAction::List { file, json, .. } => list(file, *json),
        SecretsAction::Push { file, yes, stack } => cloud::push(file, stack.as_deref(), *yes).await,
        SecretsAction::Set {
            name,
            add,
            api,
            file,
        } => set_value(name, *add, *api, file),
    }
}

/// Asks for a value and writes it into the file.
fn set_value(name: &str, add: bool, api: bool, file: &Path) -> Outcome {
    let table = if api { "apis" } else { "webhooks" };
    let known = if file.exists() {
        Files::read(file)?
    } else {
        Files::default()
    };
    let of = |files: &Files| {
        let secrets = if api { &files.apis } else { &files.webhooks };
        secrets.get(name).to_vec()
    };
    let mut values: Vec<String> = vec![ask(&format!("value of {name}"))?];
    // Callbell's path and its signature have one name: one of them does not take the other away.
    let other_sort = |value: &Secret| {
        let new = values.first().is_some_and(|new| signs(&Secret::new(new)));
        !api && name == KIND && signs(value) != new
    };
    let kept: Vec<String> = of(&known)
        .iter()
        .filter(|value| !add && other_sort(value))
        .map(|value| value.expose().to_owned())
        .collect();
    values.extend(kept);
    if add {
        values.extend(of(&known).iter().map(|value| value.expose().to_owned()));
    }
    values.dedup();
    put(file, table, name, &values)?;
    let values = of(&Files::read(file)?);
    say(format!(
        "[{table}] {name}: {} (fingerprint {}) in {}",
        count(values.len(), "value"),
        cloud::fingerprints(&values).join(", "),
        file.display()
    ));
    Ok(0)
}

/// Gives a name of the file's table these values; everything else in it stays.
///
/// # Errors
/// The file cannot be read or written.
pub fn put(file: &Path, table: &str, name: &str, values: &[String]) -> Result<(), CliError> {
    let text = if file.exists() {
        std::fs::read_to_string(file)?
    } else {
        String::new()
    };
    write(file, &set(&text, table, name, values))
}

/// What the file has beside what the stack has.
async fn beside(file: &Path, stack: Option<&str>, json: bool) -> Outcome {
    let files = if file.exists() {
        Files::read(file)?
    } else {
        Files::default()
    };
    let stack = Stack::open(stack).await?;
    let mut rows = Vec::new();
    for pair in cloud::pairs(files, &stack).await? {
        let there = pair.there.unwrap_or_default();
        let names: BTreeSet<&str> = pair.here.names().chain(there.names()).collect();
        for name in names {
            let here = cloud::fingerprints(pair.here.get(name));
            let there = cloud::fingerprints(there.get(name));
            rows.push((pair.table, name.to_owned(), here, there));
        }
    }
    if json {
        let list: Vec<_> = rows
            .iter()
            .map(|(table, name, here, there)| {
                json!({ "table": table, "name": name, "fingerprints": here, "on_aws": there })
            })
            .collect();
        output::json(&list)?;
        return Ok(0);
    }
    let differs = rows.iter().any(|(_, _, here, there)| here != there);
    let cells: Vec<Vec<Cell>> = rows
        .into_iter()
        .map(|(table, name, here, there)| {
            let same = if here == there { "" } else { "differs" };
            vec![
                table.into(),
                name.into(),
                here.join(", ").into(),
                there.join(", ").into(),
                same.into(),
            ]
        })
        .collect();
    let head = ["table", "name", "here", &stack.described.name, ""];
    say(output::table(&head, &cells).trim_end());
    if differs {
        say(format!(
            "callbell secrets push{} brings AWS up to date",
            stack.flag()
        ));
    }
    Ok(0)
}

fn list(file: &Path, json: bool) -> Outcome {
    let files = Files::read(file)?;
    let mut rows = Vec::new();
    for (table, secrets) in [("webhooks", &files.webhooks), ("apis", &files.apis)] {
        for name in secrets.names() {
            rows.push((table, name, cloud::fingerprints(secrets.get(name))));
        }
    }
    if json {
        let list: Vec<_> = rows
            .iter()
            .map(|(table, name, prints)| json!({ "table": table, "name": name, "fingerprints": prints }))
            .collect();
        output::json(&list)?;
        return Ok(0);
    }
    let cells: Vec<Vec<Cell>> = rows
        .into_iter()
        .map(|(table, name, prints)| vec![table.into(), name.into(), prints.join(", ").into()])
        .collect();
    say(output::table(&["table", "name", "fingerprints"], &cells).trim_end());
    if cells.is_empty() {
        say("no secret is set: callbell secrets set shopify");
    }
    Ok(0)
}

/// A value: typed without being shown, or read from standard input.
///
/// # Errors
/// Nothing was given.
pub fn ask(question: &str) -> Result<String, CliError> {
    let value = if std::io::stdin().is_terminal() {
        let asked = dialoguer::Password::new().with_prompt(question).interact();
        asked.map_err(|error| CliError::new(error.to_string()))?
    } else {
        let mut text = String::new();
        std::io::stdin()
            .take(SECRET_BYTES_MAX)
            .read_to_string(&mut text)?;
        text
    };
    let value = value.trim();
    if value.is_empty() {
        return Err(CliError::new("no value was given")
            .hint("type it, or: callbell secrets set NAME < file"));
    }
    Ok(value.to_owned())
}

/// Written beside and renamed, readable by its owner alone.
fn write(file: &Path, text: &str) -> Result<(), CliError> {
    let beside = file.with_extension("toml.new");
    std::fs::write(&beside, text)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    }
    std::fs::rename(&beside, file)?;
    Ok(())
}

/// The file's text with one name changed.
fn set(text: &str, table: &str, name: &str, values: &[String]) -> String {
    let quoted: Vec<toml::Value> = values.iter().cloned().map(toml::Value::String).collect();
    let value = match quoted.as_slice() {
        [one] => one.clone(),
        _ => toml::Value::Array(quoted),
    };
    edit::set(text, table, name, &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(list: &[&str]) -> Vec<String> {
        list.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn a_value_takes_the_place_of_its_line_and_comments_stay() {
        let text = "# mine\n[webhooks]\n# from Settings\n# shopify = \"\"\nwoo = [\n  \"a\",\n  \"b\",\n]\n\n[apis]\ncallbell = \"t\"\n";
        let text = set(text, "webhooks", "shopify", &values(&["s\"1"]));
        let text = set(&text, "webhooks", "woo", &values(&["new", "a"]));
        let text = set(&text, "webhooks", "loja-it", &values(&["x"]));
        let text = set(&text, "apis", "callbell", &values(&["u"]));
        assert!(text.starts_with("# mine\n[webhooks]\n"), "{text}");
        assert!(text.contains("# from Settings\nshopify = "), "{text}");
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["webhooks"]["shopify"].as_str(), Some("s\"1"));
        assert_eq!(table["webhooks"]["woo"].as_array().unwrap().len(), 2);
        assert_eq!(table["webhooks"]["loja-it"].as_str(), Some("x"));
        assert_eq!(table["apis"]["callbell"].as_str(), Some("u"));
    }

    #[test]
    fn an_empty_file_gets_its_table() {
        assert_eq!(
            set("", "apis", "callbell", &values(&["t"])),
            "[apis]\ncallbell = \"t\"\n"
        );
    }
}
