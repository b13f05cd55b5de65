//! Where secrets of a connection are kept: secrets.toml, and on AWS what of it is there. A connection's own
//! lines alone are changed, so that what somebody else pushed stays.

use std::path::{Path, PathBuf};

use shared::secrets::Secret;
use shared::sources::demo;

use crate::aws::secrets::Vault;
use crate::commands::secrets;
use crate::dev::secrets::Files;
use crate::error::CliError;
use crate::installation::Installation;

/// Length of a webhook secret that is made here, in bytes.
const SECRET_BYTES: usize = 32;

/// One of the two tables of secrets.toml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// What webhooks are signed with.
    Webhooks,
    /// Credentials of the systems that are called.
    Apis,
}

impl Table {
    /// As secrets.toml and the names of the stack's secrets have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Table::Webhooks => "webhooks",
            Table::Apis => "apis",
        }
    }

    fn of(self, files: &Files, name: &str) -> Vec<Secret> {
        let secrets = match self {
            Table::Webhooks => &files.webhooks,
            Table::Apis => &files.apis,
        };
        secrets.get(name).to_vec()
    }
}

/// The secrets of an installation.
pub struct Keys<'a> {
    on: &'a Installation,
    /// `None`: the demo values of a `callbell dev` that was given no file.
    file: Option<PathBuf>,
    files: Files,
}

impl<'a> Keys<'a> {
    /// Reads them. A stack's are those of `file`; a `callbell dev` knows its own file.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn of(on: &'a Installation, file: &Path) -> Result<Keys<'a>, CliError> {
        let file = match on.dev_secrets() {
            None => Some(file.to_owned()),
            Some(path) => path.map(Path::to_owned),
        };
        let files = match &file {
            None => Files::demo(),
            Some(path) if path.exists() => Files::read(path)?,
            Some(_) => Files::default(),
        };
        Ok(Keys { on, file, files })
    }

    /// The file, for sentences.
    pub fn place(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => "the demo values of callbell dev".to_owned(),
        }
    }

    /// Whether they are the demo values of a `callbell dev` that was given no file.
    pub fn is_demo(&self) -> bool {
        self.file.is_none()
    }

    /// Every name that has a value here.
    pub fn names(&self, table: Table) -> Vec<String> {
        let secrets = match table {
            Table::Webhooks => &self.files.webhooks,
            Table::Apis => &self.files.apis,
        };
        secrets.names().map(str::to_owned).collect()
    }

    /// The values of a connection, newest first. A `callbell dev` without a file has one for each `[source.x]`.
    pub fn get(&self, table: Table, name: &str) -> Vec<Secret> {
        let known = table.of(&self.files, name);
        if known.is_empty() && self.is_demo() && table == Table::Webhooks {
            return vec![demo::secret(name)];
        }
        known
    }

    /// The values that the stack has; nothing on a `callbell dev`.
    ///
    /// # Errors
    /// Secrets Manager refuses or does not answer.
    pub async fn on_aws(&self, table: Table, name: &str) -> Result<Vec<Secret>, CliError> {
        let Some(stack) = self.on.stack() else {
            return Ok(Vec::new());
        };
        let vault = Vault::new(&stack.session);
        let there = vault.get(&stack.secret(table.as_str())).await?;
        Ok(there.map_or_else(Vec::new, |there| there.get(name).to_vec()))
    }

    /// Keeps these values of a connection, here and where the functions read them; whether anything changed.
    ///
    /// # Errors
    /// The file cannot be written, AWS refuses, or `callbell dev` has none.
    pub async fn keep(
        &mut self,
        table: Table,
        name: &str,
        values: &[Secret],
    ) -> Result<bool, CliError> {
        let mut changed = false;
        if self.get(table, name) != values {
            let Some(file) = &self.file else {
                if table == Table::Apis {
                    // A stand-in takes what this command was told as well.
                    return Ok(false);
                }
                return Err(CliError::new(format!(
                    "callbell dev knows demo values alone, and none of {name}"
                ))
                .hint("start it with a file of your own: callbell dev --secrets secrets.toml"));
            };
            let plain: Vec<String> = values
                .iter()
                .map(|value| value.expose().to_owned())
                .collect();
            secrets::put(file, table.as_str(), name, &plain)?;
            self.files = Files::read(file)?;
            changed = true;
        }
        match self.on.stack() {
            None => self.on.reload().await?,
            Some(stack) => {
                let vault = Vault::new(&stack.session);
                let secret = stack.secret(table.as_str());
                let there = vault.get(&secret).await?;
                let mut all = there.clone().unwrap_or_default();
                if all.get(name) != values {
                    all.set(name, values.to_vec());
                    vault.put(&secret, &all, there.is_some()).await?;
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

/// A webhook secret of our own: 256 random bits, in letters and digits, which every provider takes.
///
/// # Errors
/// The system has no randomness to give.
pub fn make() -> Result<Secret, CliError> {
    let mut bytes = [0_u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|_| CliError::new("the system gives no random numbers"))?;
    Ok(Secret::new(hex::encode(bytes)))
}
