//! A stack on AWS, found by its name.

use jiff::SignedDuration;
use shared::clock::Clock;
use shared::store::{Store, client};

use super::samconfig;
use crate::aws::cloudformation::{self, Stack as Described};
use crate::aws::{Service, Session};
use crate::error::CliError;
use crate::output;

/// From how many seconds on a machine's clock that is off is worth a sentence.
const SKEW_SECONDS_TOLD: i64 = 60;

/// How far the clock of commands stays behind AWS's, in seconds. CloudFormation tells its time in whole
/// seconds; what a command makes due must not lie in the future of the functions, which would leave it to
/// the sweep.
const BEHIND_SECONDS: i64 = 1;

/// A stack and who works on it.
#[derive(Debug)]
pub struct Stack {
    /// Who asks.
    pub session: Session,
    /// What CloudFormation knows of it.
    pub described: Described,
    is_default: bool,
}

impl Stack {
    /// The stack with this name; without one, samconfig.toml's.
    ///
    /// # Errors
    /// No name, no credentials, no such stack, or one that was never finished.
    pub async fn open(name: Option<&str>) -> Result<Stack, CliError> {
        let sam = samconfig()?;
        let name = name.or(sam.stack.as_deref()).ok_or_else(|| {
            CliError::new("on which installation? There is no samconfig.toml that names a stack on AWS")
                .hint("--stack NAME for a stack on AWS (make deploy makes one), --local for the callbell dev of this machine")
        })?;
        let session = Session::open(&sam).await?;
        let described = cloudformation::describe(&session, name).await?;
        refuse_unfinished(&described)?;
        let ahead = described.ahead_seconds;
        if ahead.abs() >= SKEW_SECONDS_TOLD {
            output::warn(
                &format!("this machine's clock is {} seconds off", ahead.abs()),
                Some("AWS's time is used"),
            );
        }
        Ok(Stack {
            is_default: sam.stack.as_deref() == Some(name),
            session,
            described,
        })
    }

    /// An output of the stack.
    ///
    /// # Errors
    /// It has none of this name.
    pub fn output(&self, name: &str) -> Result<&str, CliError> {
        let output = self.described.outputs.get(name);
        output.map(String::as_str).ok_or_else(|| {
            CliError::new(format!(
                "the stack {} has no output {name}: it is not one of callbell-serverless, or of an older version",
                self.described.name
            ))
            .hint("make deploy brings it up to date; another one: --stack NAME")
        })
    }

    /// Its table.
    ///
    /// # Errors
    /// The stack does not name one.
    pub fn store(&self) -> Result<Store, CliError> {
        let table = self.output("TableName")?;
        let settings = self.session.settings(Service::DynamoDb);
        let client = client::dynamodb(&settings, self.session.http());
        let clock = Clock::shifted();
        let behind = self.described.ahead_seconds.saturating_sub(BEHIND_SECONDS);
        clock.advance(SignedDuration::from_secs(behind));
        Ok(Store::new(client, table, clock))
    }

    /// The name of one of its secrets: `shop/webhooks`.
    pub fn secret(&self, table: &str) -> String {
        format!("{}/{table}", self.described.name)
    }

    /// What to add to a command to mean this stack again; nothing where samconfig.toml names it.
    pub fn flag(&self) -> String {
        if self.is_default {
            String::new()
        } else {
            format!(" --stack {}", self.described.name)
        }
    }
}

/// A stack whose first deploy did not come to its end has no table to work on, and cannot be deployed to.
///
/// # Errors
/// It is such a stack; with what to do about it.
pub fn refuse_unfinished(stack: &Described) -> Result<(), CliError> {
    let (name, status) = (&stack.name, stack.status.as_str());
    let what = |what: &str| CliError::new(format!("the stack {name} {what} ({status})"));
    match status {
        "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" | "CREATE_FAILED" => Err(what(
            "was never made: its first deploy failed",
        )
        .hint(format!(
            "why: aws cloudformation describe-stack-events --stack-name {name}; then: aws cloudformation delete-stack --stack-name {name}, and make deploy again"
        ))),
        "REVIEW_IN_PROGRESS" => Err(what("was never made: its first deploy did not begin")
            .hint("make deploy begins it again")),
        "CREATE_IN_PROGRESS" | "ROLLBACK_IN_PROGRESS" => {
            Err(what("is not there yet").hint("wait for its deploy to end"))
        }
        "DELETE_FAILED" => Err(what("could not be deleted").hint(format!(
            "aws cloudformation delete-stack --stack-name {name}, then make deploy makes it again"
        ))),
        _ if status.starts_with("DELETE_") => {
            Err(what("is being deleted").hint("make deploy makes it again"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_stack_is_worked_on() {
        let cases = [
            ("CREATE_COMPLETE", None),
            ("UPDATE_IN_PROGRESS", None),
            ("UPDATE_ROLLBACK_COMPLETE", None),
            ("UPDATE_ROLLBACK_FAILED", None),
            ("ROLLBACK_COMPLETE", Some("never made")),
            ("CREATE_IN_PROGRESS", Some("not there yet")),
            ("REVIEW_IN_PROGRESS", Some("never made")),
            ("DELETE_IN_PROGRESS", Some("being deleted")),
            ("DELETE_FAILED", Some("could not be deleted")),
        ];
        for (status, wanted) in cases {
            let stack = Described {
                name: "shop".to_owned(),
                status: status.to_owned(),
                outputs: std::collections::BTreeMap::new(),
                ahead_seconds: 0,
            };
            let error = refuse_unfinished(&stack)
                .err()
                .map(|error| error.to_string());
            match (wanted, error) {
                (None, None) => {}
                (Some(part), Some(error)) => {
                    assert!(error.contains(part) && error.contains(status), "{error}");
                }
                (wanted, error) => panic!("{status}: {wanted:?}, {error:?}"),
            }
        }
    }
}
