//! Log lines: JSON on standard output, one a line, each readable alone. Field names have dots and their
//! unit (`job.lateness_ms`); what happened is in `outcome`.

use std::time::Duration;

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

/// What a function had read when it was ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// [`crate::secrets::Secrets::listed`]; `None`: they could not be read.
    pub secrets: Option<String>,
    /// The version of the automations; `None`: none was pushed, it could not be read, or nobody asked.
    pub config_version: Option<u64>,
    /// Callbell's host and what it answered.
    pub callbell: Option<(String, String)>,
}

/// The line at a function's start: what it is connected to, what it found there, and how long that took.
pub fn started(function: &str, environment: &Environment, found: &Found, took: Duration) {
    let endpoint = environment.dynamodb_endpoint.as_deref().unwrap_or("AWS");
    let (host, answer) = found
        .callbell
        .as_ref()
        .map_or((None, None), |(host, answer)| {
            (Some(host.as_str()), Some(answer.as_str()))
        });
    tracing::info!(
        outcome = "started",
        function.name = function,
        function.version = env!("CARGO_PKG_VERSION"),
        table.name = environment.table,
        table.region = environment.region,
        table.endpoint = endpoint,
        secrets.webhooks = ?environment.webhook_secrets,
        secrets.apis = ?environment.api_secrets,
        secrets.found = found.secrets.as_deref().unwrap_or("not read"),
        config.version = found.config_version,
        callbell.host = host,
        callbell.answer = answer,
        sending.nothing_before = environment.send_nothing_before.map(tracing::field::display),
        start.ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    );
}
