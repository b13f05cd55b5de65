//! What goes wrong, in one line, and what to do about it.

use std::fmt;

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
    shared::store::StoreError,
    engine::callbell::CallError,
    std::io::Error,
    serde_json::Error,
    reqwest::Error,
);
