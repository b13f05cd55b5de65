//! `callbell doctor`: a line a check, and what to do where something is not as it should be. Nothing is
//! changed; whoever cannot be asked is a line too.

mod account;
mod apis;
mod place;
mod sources;

use owo_colors::OwoColorize as _;
use serde::Serialize;

use super::Outcome;
use super::connect::{Read, automations};
use crate::args::{DoctorArgs, Target};
use crate::connect::keys::Keys;
use crate::error::CliError;
use crate::installation::Installation;
use crate::output::{self, say};
use crate::project::{AUTOMATIONS, SECRETS};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    /// As it should be.
    Good,
    /// Worth a look.
    Look,
    /// Something does not work.
    Bad,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    level: Level,
    /// `token`, a connection's name, …
    about: String,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Finding {
    fn good(about: &str, what: impl Into<String>) -> Finding {
        Finding::new(Level::Good, about, what.into())
    }

    fn look(about: &str, what: impl Into<String>) -> Finding {
        Finding::new(Level::Look, about, what.into())
    }

    fn bad(about: &str, what: impl Into<String>) -> Finding {
        Finding::new(Level::Bad, about, what.into())
    }

    /// What somebody who was asked said instead of an answer.
    fn failed(about: &str, error: &CliError) -> Finding {
        let mut finding = Finding::bad(about, error.to_string());
        finding.todo = error.todo().map(str::to_owned);
        finding
    }

    fn new(level: Level, about: &str, what: String) -> Finding {
        Finding {
            level,
            about: about.to_owned(),
            what,
            todo: None,
        }
    }

    fn todo(mut self, todo: impl Into<String>) -> Finding {
        self.todo = Some(todo.into());
        self
    }
}

/// What the checks look at.
struct Patient<'a> {
    on: &'a Installation,
    read: &'a Read,
    keys: &'a Keys<'a>,
    /// The file where the secrets of a stack stand here.
    secrets: &'a std::path::Path,
}

/// Checks everything; exits 1 where something does not work.
///
/// # Errors
/// There is no installation, or no automations to hold it against.
pub async fn run(args: &DoctorArgs) -> Outcome {
    let findings = look(args).await?;
    let bad = findings.iter().any(|finding| finding.level == Level::Bad);
    if args.json {
        output::json(&findings)?;
    } else {
        print(&findings);
    }
    Ok(u8::from(bad))
}

/// What `make deploy` ends with: the same lines, whatever they say.
///
/// # Errors
/// As [`run`].
pub(super) async fn after_deploy(stack: &str) -> Result<(), CliError> {
    let args = DoctorArgs {
        automations: AUTOMATIONS.into(),
        json: false,
        target: Target {
            local: None,
            stack: Some(stack.to_owned()),
        },
    };
    print(&look(&args).await?);
    Ok(())
}

async fn look(args: &DoctorArgs) -> Result<Vec<Finding>, CliError> {
    let on = Installation::of(&args.target).await?;
    let read = automations(&args.automations, &on).await?;
    let secrets = args.automations.with_file_name(SECRETS);
    let keys = Keys::of(&on, &secrets)?;
    let patient = Patient {
        on: &on,
        read: &read,
        keys: &keys,
        secrets: &secrets,
    };
    let mut findings = place::look(&patient).await;
    findings.extend(account::look(&patient).await);
    findings.extend(apis::look(&patient).await);
    findings.extend(sources::look(&patient).await);
    Ok(findings)
}

fn print(findings: &[Finding]) {
    let widest = findings.iter().map(|one| one.about.chars().count()).max();
    let width = widest.unwrap_or_default();
    for finding in findings {
        let mark = match finding.level {
            Level::Good => "✓".green().to_string(),
            Level::Look => "!".yellow().to_string(),
            Level::Bad => "✗".red().to_string(),
        };
        say(format!("{mark} {:width$}  {}", finding.about, finding.what));
        if let Some(todo) = &finding.todo {
            say(format!("  {:width$}  → {todo}", ""));
        }
    }
    let of = |level| findings.iter().filter(|one| one.level == level).count();
    say(format!(
        "{} ✓, {} !, {} ✗",
        of(Level::Good),
        of(Level::Look),
        of(Level::Bad)
    ));
}
