//! One file a command.

pub mod dev;

use crate::args::{Cli, Command};
use crate::error::CliError;

/// How a command ended: its exit code, 0 where all is well.
pub type Outcome = Result<u8, CliError>;

/// Runs what was typed.
///
/// # Errors
/// One line and what to do.
pub async fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Dev(args) => dev::run(args).await,
    }
}
