//! Why a scenario failed, in words for the reader of the terminal.

use std::fmt;

/// What a scenario, or a step before the first one, ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// What was expected and what was there instead.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with these words.
    pub(crate) fn new(words: impl Into<String>) -> Failure {
        Failure(words.into())
    }
}

/// Ends a scenario where something is not so.
pub(crate) fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if is_so {
        return Ok(());
    }
    Err(Failure(otherwise()))
}

/// Says what was being done when something went wrong.
pub(crate) trait During<T> {
    /// `doing` stands before the error's own words.
    fn during(self, doing: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> During<T> for Result<T, E> {
    fn during(self, doing: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{doing}: {error}")))
    }
}

impl<T> During<T> for Option<T> {
    fn during(self, doing: impl fmt::Display) -> Outcome<T> {
        self.ok_or_else(|| Failure(doing.to_string()))
    }
}
