//! `callbell check`.

use std::io::IsTerminal as _;

use engine::automations::account::Account;
use engine::automations::{Report, Severity, listing};
use engine::callbell::{CallError, Callbell};
use owo_colors::OwoColorize as _;
use serde_json::json;
use shared::clock::Clock;

use super::{Outcome, push};
use crate::args::{AccountArgs, CheckArgs, Target};
use crate::dev::secrets::{self, CALLBELL};
use crate::error::CliError;
use crate::installation::{Installation, local};
use crate::output::{self, say};
use crate::project::{Files, SECRETS};

/// Prints every mistake; exits 1 where one is an error. Where a Callbell token is known, Callbell is
/// asked what the account has; without an answer the file is checked as it is without a token.
///
/// # Errors
/// The file cannot be read, or the stack that was named does not answer.
pub async fn run(args: &CheckArgs) -> Outcome {
    let files = Files::read(&args.file)?;
    let asked = Asked {
        local: args.local,
        offline: args.offline,
    };
    let (report, asked) = report(&files, &asked).await;
    let failed = u8::from(report.errors() > 0);
    let pushed = match &args.stack {
        Some(stack) => Some(pushed(&files, stack.as_deref()).await?),
        None => None,
    };
    if args.json {
        output::json(&json!({
            "errors": report.errors(), "counts": report.counts, "diagnostics": report.diagnostics,
            "asked_callbell": asked,
            "pushed": pushed,
        }))?;
        return Ok(failed);
    }
    let lines = args.lines || std::io::stdout().is_terminal();
    list(&args.file.display().to_string(), &report, lines);
    if let Some(pushed) = pushed {
        say(pushed);
    }
    Ok(failed)
}

/// What a push to a stack would change.
async fn pushed(files: &Files, stack: Option<&str>) -> Result<String, CliError> {
    let target = Target {
        local: None,
        stack: stack.map(str::to_owned),
    };
    let on = Installation::of(&target).await?;
    Ok(match on.store.config().await? {
        None => "nothing was pushed yet".to_owned(),
        Some(row) if push::is_same(&row, files) => format!("in use as version {}", row.version),
        Some(row) => {
            let changes = push::changed(&row, &files.text, files.templates_json());
            let waiting = push::waiting(&on.store).await?;
            let what = push::describe(Some(&changes), &waiting);
            format!("version {} is in use; not pushed yet: {what}", row.version)
        }
    })
}

/// Which Callbell is asked what the account has.
pub struct Asked {
    /// The stand-in of the `callbell dev` on this port.
    pub local: Option<u16>,
    /// Nobody.
    pub offline: bool,
}

/// The mistakes of the files, and whether Callbell was asked. Without an answer they are checked as they
/// are without a token, with a warning.
pub async fn report(files: &Files, asked: &Asked) -> (Report, bool) {
    let account = account(files, asked).await.unwrap_or_else(|error| {
        output::warn(
            &format!("checked without asking Callbell: {error}"),
            error.todo(),
        );
        None
    });
    let now = Clock::system().now();
    match &account {
        Some(account) => (files.check_account(account, now), true),
        None => (files.check(now), false),
    }
}

/// What the account has; `None` where nobody is to be asked.
async fn account(files: &Files, asked: &Asked) -> Result<Option<Account>, CliError> {
    let secrets = files.path.with_file_name(SECRETS);
    if asked.offline || (asked.local.is_none() && !has_token(&secrets)?) {
        return Ok(None);
    }
    let callbell = local::account(&AccountArgs {
        local: asked.local,
        secrets,
        json: false,
    })
    .await?;
    Ok(Some(ask(&callbell).await?))
}

/// What the account has. Funnels are asked for by themselves: an account may have none of them to show.
///
/// # Errors
/// Callbell does not answer, or refuses.
pub(super) async fn ask(callbell: &Callbell) -> Result<Account, CallError> {
    let (channels, templates, teams) =
        tokio::try_join!(callbell.channels(), callbell.templates(), callbell.teams())?;
    let account = Account::new(&channels, &templates, &teams);
    Ok(match callbell.funnels().await {
        Ok(funnels) => account.with_funnels(funnels.into_iter().map(|one| one.name)),
        Err(_) => account,
    })
}

/// Whether a secrets file holds a Callbell token.
fn has_token(secrets: &std::path::Path) -> Result<bool, CliError> {
    if !secrets.exists() {
        return Ok(false);
    }
    let files = secrets::Files::read(secrets)?;
    let token = files.apis.get(CALLBELL).first();
    Ok(token.is_some_and(|token| !token.expose().trim().is_empty()))
}

/// The listing as `callbell check` prints it, for commands that need a file without errors.
pub fn print(file: &str, report: &Report) {
    list(file, report, std::io::stdout().is_terminal());
}

/// The listing, errors in red, and the summary; with `lines` each mistake's line and a mark under it.
fn list(file: &str, report: &Report, lines: bool) {
    let listed = listing(file, &report.diagnostics);
    for (line, one) in listed.lines().zip(&report.diagnostics) {
        match one.severity {
            Severity::Error => say(line.red().to_string()),
            Severity::Warning => say(line.yellow().to_string()),
        }
        if lines {
            say(one.excerpt().trim_end_matches('\n'));
        }
    }
    say(report.summary());
}
