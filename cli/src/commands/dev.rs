//! `callbell dev`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Outcome;
use crate::args::DevArgs;
use crate::dev::{Dev, Settings};
use crate::error::CliError;
use crate::output::say;

/// The automations where none are named and none of the user's own are there.
const EXAMPLE: &str = "examples/shop.toml";
/// The user's own.
const AUTOMATIONS: &str = "automations.toml";

/// Serves until it is interrupted.
///
/// # Errors
/// The server cannot start.
pub async fn run(args: DevArgs) -> Outcome {
    if let Some(file) = args.automations.as_deref().filter(|file| !file.exists()) {
        return Err(CliError::new(format!("there is no {}", file.display()))
            .hint("callbell init writes a first automations.toml"));
    }
    let settings = Settings {
        port: args.port,
        data: args.data,
        automations: args.automations.or_else(found),
        secrets: args.secrets,
    };
    let notice = Arc::new(|line: &str| anstream::println!("{line}"));
    // The functions' own log lines, as CloudWatch would show them.
    shared::telemetry::start_into(std::io::stdout, &["dynoxide"]);
    let dev = Dev::start(&settings, notice).await?;
    welcome(&dev, &settings);
    // Where the signal cannot be listened for, the system's own way of ending a process is left.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    Ok(0)
}

fn welcome(dev: &Dev, settings: &Settings) {
    let url = dev.url();
    for path in dev.routes() {
        say(format!("webhooks   {url}{path}"));
    }
    say(format!(
        "messages   {url}/_dev/messages (jobs, events, requests, records, sheets, receive, clock, window, faults, idle)"
    ));
    say(format!("dynamodb   {}", dev.dynamodb()));
    match &settings.secrets {
        Some(path) => say(format!("secrets    {}", path.display())),
        None => {
            for (name, value) in dev.demo_secrets() {
                say(format!("secret     {name} = {value} (demo)"));
            }
        }
    }
    match &settings.data {
        Some(folder) => say(format!("kept in    {}", folder.display())),
        None => say("nothing is kept: --data DIR keeps it"),
    }
    if settings.automations.is_none() {
        say("no automations.toml: events wait until one is pushed (callbell init)");
    }
}

fn found() -> Option<PathBuf> {
    [AUTOMATIONS, EXAMPLE]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .map(Path::to_owned)
}
