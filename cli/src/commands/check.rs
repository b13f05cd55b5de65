//! `callbell check`.

use engine::automations::{Diagnostic, Severity, render};
use owo_colors::OwoColorize as _;
use serde_json::json;

use super::Outcome;
use crate::args::CheckArgs;
use crate::output::{self, count, say};
use crate::project::{Checked, Files};

/// Prints every mistake; exits 1 where one is an error.
///
/// # Errors
/// The file cannot be read.
pub fn run(args: &CheckArgs) -> Outcome {
    let files = Files::read(&args.file)?;
    let (diagnostics, checked) = match files.check() {
        Ok(checked) => (checked.warnings.clone(), Some(checked)),
        Err(diagnostics) => (diagnostics, None),
    };
    let errors = diagnostics
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .count();
    if args.json {
        output::json(&json!({ "errors": errors, "diagnostics": diagnostics }))?;
        return Ok(u8::from(errors > 0));
    }
    print(&args.file.display().to_string(), &diagnostics);
    let found = format!(
        "{}, {}",
        count(errors, "error"),
        count(diagnostics.len() - errors, "warning")
    );
    say(match checked.as_ref() {
        Some(checked) => format!("{found}; {}", contents(checked)),
        None => found,
    });
    Ok(u8::from(errors > 0))
}

/// The listing, errors in red.
pub fn print(file: &str, diagnostics: &[Diagnostic]) {
    for (line, one) in render(file, diagnostics).lines().zip(diagnostics) {
        match one.severity {
            Severity::Error => say(line.red().to_string()),
            Severity::Warning => say(line.yellow().to_string()),
        }
    }
}

/// `6 automations, 9 messages, 3 locales`.
pub fn contents(checked: &Checked) -> String {
    let automations = &checked.automations;
    let mut locales = std::collections::BTreeSet::from([automations.defaults.locale.as_str()]);
    for message in automations.messages.values() {
        locales.extend(message.text.iter().flat_map(|text| text.locales()));
        locales.extend(
            message
                .template
                .iter()
                .flat_map(|template| template.locales()),
        );
    }
    format!(
        "{}, {}, {}",
        count(automations.automations.len(), "automation"),
        count(automations.messages.len(), "message"),
        count(locales.len(), "locale")
    )
}
