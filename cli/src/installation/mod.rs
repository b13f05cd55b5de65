//! The installation that a command works on: the `callbell dev` of this machine, or a stack on AWS. Commands
//! see its table, its clock and nothing that tells the two apart.

pub mod local;
pub mod stack;

use std::path::Path;

use engine::apis::Apis;
use engine::callbell::Callbell;
use engine::delivery::{Random, Worker};
use jiff::Timestamp;
use shared::secrets::Secret;
use shared::store::Store;

use self::local::Local;
use self::stack::Stack;
use crate::args::{AccountArgs, Target};
use crate::aws::samconfig::{self, SamConfig};
use crate::error::CliError;

/// An address under which all providers' APIs are asked instead of their own, as the functions have it.
const PROVIDERS_API_URL: &str = "PROVIDERS_API_URL";

/// An installation.
pub struct Installation {
    /// Its table, on its clock.
    pub store: Store,
    place: Place,
}

enum Place {
    Local(Local),
    Stack(Box<Stack>),
}

impl Installation {
    /// The one that `--local` or `--stack` means; without both the stack of samconfig.toml.
    ///
    /// # Errors
    /// Neither is named, or it does not answer.
    pub async fn of(target: &Target) -> Result<Installation, CliError> {
        if let Some(port) = target.local {
            let local = Local::at(port).await?;
            return Ok(Installation {
                store: local.store()?,
                place: Place::Local(local),
            });
        }
        let stack = Stack::open(target.stack.as_deref()).await?;
        Ok(Installation {
            store: stack.store()?,
            place: Place::Stack(Box::new(stack)),
        })
    }

    /// The present instant over there.
    pub fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// Tells it that something was pushed. Workers on AWS look by themselves.
    ///
    /// # Errors
    /// It does not answer any more.
    pub async fn reload(&self) -> Result<(), CliError> {
        match &self.place {
            Place::Local(local) => local.reload().await,
            Place::Stack(_) => Ok(()),
        }
    }

    /// When what was pushed is in use.
    pub fn live(&self) -> &'static str {
        match self.place {
            Place::Local(_) => "live",
            Place::Stack(_) => "live within a minute",
        }
    }

    /// The stack on AWS; `None`: the `callbell dev` of this machine.
    pub fn stack(&self) -> Option<&Stack> {
        match &self.place {
            Place::Local(_) => None,
            Place::Stack(stack) => Some(stack),
        }
    }

    /// Of a `callbell dev`: its secrets file, `Some(None)` where it was given none.
    pub fn dev_secrets(&self) -> Option<Option<&Path>> {
        match &self.place {
            Place::Local(local) => Some(local.secrets()),
            Place::Stack(_) => None,
        }
    }

    /// Where a connection's webhooks go; `last` is its name, or the secret that the path ends in.
    ///
    /// # Errors
    /// The stack has no such door: it is older.
    pub fn door(&self, function: &str, last: &str) -> Result<String, CliError> {
        match &self.place {
            Place::Local(local) => Ok(local.door(function, last)),
            Place::Stack(stack) => {
                let mut letters = function.chars();
                let first = letters.next().map(|first| first.to_ascii_uppercase());
                let output: String = first.into_iter().chain(letters).collect();
                let url = stack.output(&format!("{output}Url"))?;
                Ok(url.replace("{source}", last).replace("{secret}", last))
            }
        }
    }

    /// The providers' APIs: their own, or the stand-ins of the `callbell dev`.
    ///
    /// # Errors
    /// No client can be made.
    pub fn apis(&self) -> Result<Apis, CliError> {
        let stand_in = match &self.place {
            Place::Local(local) => Some(local.apis()),
            Place::Stack(_) => stand_in()?,
        };
        Apis::new(stand_in.as_deref()).map_err(|error| CliError::new(error.to_string()))
    }

    /// A client of the Callbell account; on a stack with the token of `secrets`.
    ///
    /// # Errors
    /// No token.
    pub async fn callbell(&self, secrets: &Path) -> Result<Callbell, CliError> {
        match &self.place {
            Place::Local(local) => local.callbell(),
            Place::Stack(_) => {
                local::account(&AccountArgs {
                    local: None,
                    secrets: secrets.to_owned(),
                    json: false,
                })
                .await
            }
        }
    }

    /// A worker that looks at jobs as the functions do. It asks nobody outside, so it needs no token.
    ///
    /// # Errors
    /// Its client cannot be made.
    pub fn worker(&self) -> Result<Worker, CliError> {
        let callbell = Callbell::new(engine::callbell::BASE_URL, &Secret::new("none"))
            .map_err(|error| CliError::new(error.to_string()))?;
        Ok(Worker::new(self.store.clone(), callbell, Random::system()))
    }

    /// What to add to a command to mean this installation again: ` --local`, ` --stack shop`.
    pub fn flag(&self) -> String {
        match &self.place {
            Place::Local(local) => local.flag(),
            Place::Stack(stack) => stack.flag(),
        }
    }
}

/// Where the providers' APIs are asked instead of at their own addresses: on this machine alone, because
/// credentials go there.
fn stand_in() -> Result<Option<String>, CliError> {
    match std::env::var(PROVIDERS_API_URL) {
        Ok(url) if url.starts_with("http://127.0.0.1:") => Ok(Some(url)),
        Ok(url) if !url.is_empty() => Err(CliError::new(format!(
            "{PROVIDERS_API_URL} is set to another machine"
        ))
        .hint(format!("unset {PROVIDERS_API_URL}"))),
        _ => Ok(None),
    }
}

/// What samconfig.toml of this folder says.
///
/// # Errors
/// It cannot be read.
pub fn samconfig() -> Result<SamConfig, CliError> {
    SamConfig::read(Path::new(samconfig::FILE))
}
