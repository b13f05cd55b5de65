//! Why nothing could be measured. A figure that is not reached is no error.

use std::io;

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The machine refused: a port, a process, a file.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A binary is not there.
    #[error("{0} is missing: cargo lambda build --release makes it")]
    NoBinary(String),
    /// A function did not do what it was asked.
    #[error("the function {0}")]
    Function(String),
    /// The table did not.
    #[error("the table: {0}")]
    Store(#[from] shared::store::StoreError),
    /// Something that was to be counted is not there.
    #[error("{0}")]
    Unexpected(String),
}

impl From<serde_json::Error> for BenchError {
    fn from(error: serde_json::Error) -> BenchError {
        BenchError::Unexpected(error.to_string())
    }
}
