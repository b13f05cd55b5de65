//! Questions to the person at the terminal.

use std::io::IsTerminal as _;

use crate::error::CliError;

/// Asks `question [y/N]`. Where nobody can answer, the answer is an error that names `--yes`.
///
/// # Errors
/// There is no terminal, or it went away.
pub fn confirm(question: &str) -> Result<bool, CliError> {
    if !is_terminal() {
        return Err(
            CliError::new(format!("{question} Nobody is here to answer")).hint("add --yes"),
        );
    }
    dialoguer::Confirm::new()
        .with_prompt(question)
        .default(false)
        .interact()
        .map_err(|error| CliError::new(error.to_string()))
}

/// Asks for one line; `default` where nothing was typed. `check` says what is wrong with an answer.
///
/// # Errors
/// There is no terminal, or it went away.
pub fn line(
    question: &str,
    default: &str,
    check: fn(&str) -> Result<(), String>,
) -> Result<String, CliError> {
    let input = dialoguer::Input::<String>::new()
        .with_prompt(question)
        .allow_empty(default.is_empty())
        .validate_with(|answer: &String| check(answer));
    let input = if default.is_empty() {
        input
    } else {
        input.default(default.to_owned())
    };
    input
        .interact_text()
        .map_err(|error| CliError::new(error.to_string()))
}

/// Whether somebody is there to answer.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
