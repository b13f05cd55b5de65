//! Log lines: JSON on standard output, one a line, each readable alone. Field names have dots and their
//! unit (`job.lateness_ms`); what happened is in `outcome`.

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::env::Environment;

/// Sets the process's subscriber. A second call does nothing.
pub fn start() {
    start_into(std::io::stdout, &[]);
}

/// The same, into another place than standard output: a test's memory. `quiet` names targets of which only
/// errors are logged: the development server's table warns of every conditional write that is refused.
pub fn start_into<W>(writer: W, quiet: &[&str])
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let errors_alone = quiet.iter().map(|target| (*target, LevelFilter::ERROR));
    let levels = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_targets(errors_alone);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .with_filter(levels);
    // A development server that hosts several functions sets it once for all of them.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines));
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
