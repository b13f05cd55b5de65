//! What goes wrong, in one line, and what to do about it.

use std::fmt;

use shared::store::StoreError;

/// An error for the person at the terminal.
#[derive(Debug)]
pub struct CliError {
    what: String,
    todo: Option<String>,
}

impl CliError {
    /// What went wrong.
    pub fn new(what: impl Into<String>) -> CliError {
        CliError {
            what: what.into(),
            todo: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, todo: impl Into<String>) -> CliError {
        self.todo = Some(todo.into());
        self
    }

    /// What to do about it, where that is known.
    pub fn todo(&self) -> Option<&str> {
        self.todo.as_deref()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for CliError {}

macro_rules! from {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> CliError {
                CliError::new(error.to_string())
            }
        })+
    };
}

from!(
    crate::dev::DevError,
    crate::dev::secrets::SecretsError,
    engine::callbell::CallError,
    std::io::Error,
    serde_json::Error,
    reqwest::Error,
);

impl From<StoreError> for CliError {
    /// On AWS the table is reached under the user's own role, which may lack what a role of the functions has.
    fn from(error: StoreError) -> CliError {
        let hint = match &error {
            StoreError::Refused(code) if code == "AccessDeniedException" => {
                "your AWS role needs dynamodb:GetItem, PutItem, UpdateItem, DeleteItem, Query and Scan on the table"
            }
            StoreError::Refused(code) if code == "ResourceNotFoundException" => {
                "the table is not there: was it deleted, or restored under another name?"
            }
            StoreError::Unavailable(_) => "is there a network? Trying again does no harm",
            _ => return CliError::new(error.to_string()),
        };
        CliError::new(error.to_string()).hint(hint)
    }
}
