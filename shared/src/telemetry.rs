//! Log lines: JSON on standard output, one a line, each readable alone. Field names have dots and their
//! unit (`job.lateness_ms`); what happened is in `outcome`.

use tracing::Level;
use tracing_subscriber::fmt;

use crate::env::Environment;

/// Sets the process's subscriber. A second call does nothing.
pub fn start() {
    let lines = fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_max_level(Level::INFO)
        .with_writer(std::io::stdout)
        .finish();
    // A development server that hosts several functions sets it once for all of them.
    let _ = tracing::subscriber::set_global_default(lines);
}

/// The line at a function's start: what it is connected to.
pub fn started(function: &str, environment: &Environment) {
    let endpoint = environment.dynamodb_endpoint.as_deref().unwrap_or("AWS");
    tracing::info!(
        outcome = "started",
        function.name = function,
        function.version = env!("CARGO_PKG_VERSION"),
        table.name = environment.table,
        table.region = environment.region,
        table.endpoint = endpoint,
        secrets.webhooks = ?environment.webhook_secrets,
        secrets.apis = ?environment.api_secrets
    );
}
