//! The installation that a command works on: the `callbell dev` of this machine, or a stack on AWS. Commands
//! see its table, its clock and nothing that tells the two apart.

pub mod local;
pub mod stack;

use std::path::Path;

use engine::callbell::Callbell;
use engine::delivery::{Random, Worker};
use jiff::Timestamp;
use shared::secrets::Secret;
use shared::store::Store;

use self::local::Local;
use self::stack::Stack;
use crate::args::Target;
use crate::aws::samconfig::{self, SamConfig};
use crate::error::CliError;

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

/// What samconfig.toml of this folder says.
///
/// # Errors
/// It cannot be read.
pub fn samconfig() -> Result<SamConfig, CliError> {
    SamConfig::read(Path::new(samconfig::FILE))
}
