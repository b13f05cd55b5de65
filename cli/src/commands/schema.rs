//! `callbell schema`.

use std::path::Path;

use super::Outcome;
use crate::args::SchemaArgs;
use crate::error::CliError;
use crate::output::say;

/// Writes the schema; the first line of automations.toml names it for editors.
///
/// # Errors
/// The file cannot be written.
pub fn run(args: &SchemaArgs) -> Outcome {
    let text = engine::automations::schema_text();
    if args.file == Path::new("-") {
        anstream::print!("{text}");
        return Ok(0);
    }
    std::fs::write(&args.file, text).map_err(|error| {
        CliError::new(format!(
            "{} cannot be written: {error}",
            args.file.display()
        ))
    })?;
    say(format!(
        "{} written; automations.toml names it in its first line: #:schema ./{}",
        args.file.display(),
        args.file.file_name().unwrap_or_default().to_string_lossy()
    ));
    Ok(0)
}
