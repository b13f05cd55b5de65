//! `callbell forget`: everything of one person is erased. Shows first how much there is, and asks.
//!
//! Rows are deleted by the worker alone, whose role may: the command stores a request as a shop's system would
//! post it, and waits until it is carried out.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::phone;
use engine::plan::privacy::{self, Forgotten};
use jiff::tz::TimeZone;
use serde_json::json;
use shared::store::{Digests, Erasure, EventStatus};

use super::Outcome;
use crate::args::ForgetArgs;
use crate::ask;
use crate::error::CliError;
use crate::installation::Installation;
use crate::output::{self, count, instant, say};

/// How long the command waits for the worker: an erasure reads the whole table, over several runs where it is
/// large.
const WAIT: Duration = Duration::from_secs(10 * 60);
/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What stays, and where.
const ELSEWHERE: &str = "Callbell keeps its own contact: dash.callbell.eu, Contacts, delete it there. So do the \
                         systems that actions wrote to. Backups of the table go within 7 days.";

/// What rows are called, by the beginning of their keys.
const KINDS: [(&str, &str); 7] = [
    ("event", "event"),
    ("job", "job"),
    ("entity", "state"),
    ("person", "person"),
    ("once", "once mark"),
    ("conversation", "conversation"),
    ("map", "record"),
];

/// Shows what there is, asks, and erases it.
///
/// # Errors
/// No installation, nobody to ask, or a number that is none.
pub async fn run(args: &ForgetArgs) -> Outcome {
    let person = person(args)?;
    let on = Installation::of(&args.target).await?;
    let found = on.store.erasable(&erasure(&person)).await?;
    let whom = whom(&person);
    let total = words(&found);
    if !args.json {
        say(format!("{whom}: {total}"));
    }
    let question = format!("erase everything of {whom} for good?");
    if !args.yes && !ask::confirm(&question)? {
        return Ok(1);
    }
    if on.store.config().await?.is_none() {
        return Err(
            CliError::new("nothing was pushed yet, so no worker is at work")
                .hint("callbell push, then again"),
        );
    }
    let request = privacy::request(&person, on.now());
    let key = request.event.id.clone();
    on.store.put_event(request).await?;
    let rows = wait(&on, &key).await?;
    if args.json {
        output::json(&json!({ "request": key, "found": found, "erased": rows }))?;
        return Ok(0);
    }
    let at = instant(on.now(), &TimeZone::system());
    match rows {
        Some(rows) => say(format!("{at}  {key}: {} erased", count_of(rows, "row"))),
        None => say(format!(
            "{at}  {key}: the worker is still at it; callbell events --all{} shows its end",
            on.flag()
        )),
    }
    say(
        "An opt-out stays, as the digest of the number and nothing else: whoever asked for silence keeps it.",
    );
    say(ELSEWHERE);
    Ok(0)
}

fn person(args: &ForgetArgs) -> Result<Forgotten, CliError> {
    let read = |number: &String| {
        phone::read(number, None).map_err(|refusal| {
            CliError::new(format!("the number {refusal}"))
                .hint("write it with its country code: +5511987654321")
        })
    };
    let phone = args.phone.as_ref().map(read).transpose()?;
    if let Some(address) = &args.email
        && !address.contains('@')
    {
        return Err(CliError::new("--email is no e-mail address"));
    }
    if phone.is_none() && args.email.is_none() {
        return Err(CliError::new("forget whom?")
            .hint("callbell forget +5511987654321, or --email maria@example.com, or both"));
    }
    Ok(Forgotten {
        phone: phone.map(|phone| phone.e164),
        email: args.email.clone(),
    })
}

/// What the worker will erase.
fn erasure(person: &Forgotten) -> Erasure {
    let mut digests = Digests::new();
    if let Some(number) = &person.phone {
        digests = digests.phone(&phone::identity(number));
    }
    if let Some(address) = &person.email {
        digests = digests.email(address);
    }
    Erasure {
        digests,
        entities: Vec::new(),
    }
}

/// The rows that were erased; `None`: it takes longer.
async fn wait(on: &Installation, key: &str) -> Result<Option<u64>, CliError> {
    let until = tokio::time::Instant::now() + WAIT;
    while tokio::time::Instant::now() < until {
        let row = on.store.event(key).await?;
        let planned = row.is_some_and(|row| row.status == EventStatus::Planned);
        if planned {
            let erased = on.store.erased(key).await?;
            return Ok(Some(erased.map_or(0, |erased| erased.rows)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(None)
}

/// `+55•••••••4321 and an e-mail address`: nothing that a screen should not show.
fn whom(person: &Forgotten) -> String {
    let phone = person.phone.as_deref().map(phone::mask);
    let email = person
        .email
        .as_ref()
        .map(|_| "an e-mail address".to_owned());
    let names: Vec<String> = phone.into_iter().chain(email).collect();
    names.join(" and ")
}

/// `3 events, 2 jobs, 1 person`.
fn words(found: &BTreeMap<String, u64>) -> String {
    let known = KINDS.iter().filter_map(|(kind, noun)| {
        let number = found.get(*kind)?;
        Some(count_of(*number, noun))
    });
    let is_named = |kind: &str| KINDS.iter().any(|(other, _)| *other == kind);
    let others = found.iter().filter(|(kind, _)| !is_named(kind));
    let others: u64 = others.map(|(_, number)| *number).sum();
    let others = (others > 0).then(|| count_of(others, "other row"));
    let words: Vec<String> = known.chain(others).collect();
    if words.is_empty() {
        "nothing is known".to_owned()
    } else {
        words.join(", ")
    }
}

fn count_of(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_told_in_words() {
        let found = |pairs: &[(&str, u64)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(kind, number)| ((*kind).to_owned(), *number))
                .collect()
        };
        assert_eq!(words(&found(&[])), "nothing is known");
        assert_eq!(
            words(&found(&[("answer", 2), ("event", 3), ("person", 1)])),
            "3 events, 1 person, 2 other rows"
        );
    }

    #[test]
    fn a_screen_shows_whom_by_parts() {
        let person = Forgotten {
            phone: Some("+5511987654321".to_owned()),
            email: Some("maria@example.com".to_owned()),
        };
        assert_eq!(whom(&person), "+55•••••••4321 and an e-mail address");
    }
}
