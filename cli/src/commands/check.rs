//! `callbell check`.

use engine::automations::{Report, Severity, listing};
use owo_colors::OwoColorize as _;
use serde_json::json;
use shared::clock::Clock;

use super::Outcome;
use crate::args::CheckArgs;
use crate::output::{self, say};
use crate::project::Files;

/// Prints every mistake; exits 1 where one is an error.
///
/// # Errors
/// The file cannot be read.
pub fn run(args: &CheckArgs) -> Outcome {
    let files = Files::read(&args.file)?;
    let report = files.check(Clock::system().now());
    let failed = u8::from(report.errors() > 0);
    if args.json {
        output::json(&json!({
            "errors": report.errors(), "counts": report.counts, "diagnostics": report.diagnostics,
        }))?;
        return Ok(failed);
    }
    print(&args.file.display().to_string(), &report);
    Ok(failed)
}

/// The listing, errors in red, and the summary.
pub fn print(file: &str, report: &Report) {
    let lines = listing(file, &report.diagnostics);
    for (line, one) in lines.lines().zip(&report.diagnostics) {
        match one.severity {
            Severity::Error => say(line.red().to_string()),
            Severity::Warning => say(line.yellow().to_string()),
        }
    }
    say(report.summary());
}
