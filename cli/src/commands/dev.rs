//! `callbell dev`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Outcome;
use crate::args::DevArgs;
use crate::dev::{Dev, Settings};

/// The automations where none are named and none of the user's own are there.
const EXAMPLE: &str = "examples/shop.toml";
/// The user's own.
const AUTOMATIONS: &str = "automations.toml";

/// Serves until it is interrupted.
///
/// # Errors
/// The server cannot start.
pub async fn run(args: DevArgs) -> Outcome {
    let settings = Settings {
        port: args.port,
        data: args.data,
        automations: args.automations.or_else(found),
        secrets: args.secrets,
    };
    let notice = Arc::new(|line: &str| anstream::println!("{line}"));
    let _dev = Dev::start(&settings, notice).await?;
    // Where the signal cannot be listened for, the system's own way of ending a process is left.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    Ok(0)
}

fn found() -> Option<PathBuf> {
    [AUTOMATIONS, EXAMPLE]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
        .map(Path::to_owned)
}
