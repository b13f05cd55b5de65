//! Log lines: JSON on standard output, one a line, each readable alone. Field names have dots and their
//! unit (`job.lateness_ms`); what happened is in `outcome`.
//!
//! And figures, for alarms and curves: lines among the others that CloudWatch turns into metrics by itself.
//! A metric costs $0.30 a month whatever it counts, so there are those that an alarm goes by, and
//! `JobsSent`: since when nothing went out is the first question at night, and the curve outlives the log.
//! Ends that are nobody's concern (skipped, cancelled) are counted from the log where somebody asks.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::clock::Clock;
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
    /// How webhooks prove themselves, where that depends on the secrets: [`crate::sources::Source::proof`].
    pub proof: Option<&'static str>,
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
        webhooks.proof = found.proof,
        config.version = found.config_version,
        callbell.host = host,
        callbell.answer = answer,
        sending.nothing_before = environment.send_nothing_before.map(tracing::field::display),
        start.ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    );
}

/// Where CloudWatch keeps the figures.
pub const NAMESPACE: &str = "callbell-serverless";
/// What they are told apart by: the stack's name, and nothing else, as every combination is a metric.
pub const DIMENSION: &str = "Stack";

/// Every metric there is. The alarms of template.yaml name them.
pub const METRICS: [&str; 6] = [
    "JobsSent",
    "JobsDead",
    "JobsHeld",
    "ChannelHeld",
    "SourcesFailing",
    "OldestDueAge",
];

/// What one invocation came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Jobs that were done: their message was taken by Callbell, or what they write stands in the other system.
    pub jobs_sent: u64,
    /// Jobs that were given up after an attempt.
    pub jobs_dead: u64,
    /// Jobs of which nobody knows whether they were sent, and which a person has to decide.
    pub jobs_held: u64,
    /// Callbell takes no messages of a channel: `true`; takes them again: `false`. `None`: nothing new.
    pub channel_held: Option<bool>,
    /// Connected systems that could not be asked, or watched, for a day.
    pub sources_failing: u64,
    /// How long the longest waiting work has been due, in milliseconds, 0 where none is. `None`: not asked.
    pub oldest_due_age_ms: Option<u64>,
}

impl Figures {
    /// Name, unit and value of each figure that says something. Counts are left out at 0: their alarms take
    /// silence for none. The age is there at 0 too, because its absence is an alarm.
    fn values(&self) -> Vec<(&'static str, &'static str, u64)> {
        let [sent, dead, held, channel, failing, age] = METRICS;
        let count = |name, count: u64| (count > 0).then_some((name, "Count", count));
        [
            count(sent, self.jobs_sent),
            count(dead, self.jobs_dead),
            count(held, self.jobs_held),
            self.channel_held
                .map(|is_held| (channel, "Count", u64::from(is_held))),
            count(failing, self.sources_failing),
            self.oldest_due_age_ms
                .map(|millis| (age, "Seconds", millis / 1000)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The line that CloudWatch reads them from; `None` where there is nothing to say.
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
    pub fn line(&self, stack: &str, at: Timestamp) -> Option<String> {
        let values = self.values();
        if values.is_empty() {
            return None;
        }
        let metrics: Vec<Value> = values
            .iter()
            .map(|(name, unit, _)| json!({"Name": name, "Unit": unit}))
            .collect();
        let mut line = json!({
            "_aws": {
                "Timestamp": at.as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": NAMESPACE,
                    "Dimensions": [[DIMENSION]],
                    "Metrics": metrics,
                }],
            },
        });
        if let Some(root) = line.as_object_mut() {
            root.insert(DIMENSION.to_owned(), stack.into());
            root.extend(
                values
                    .into_iter()
                    .map(|(name, _, value)| (name.to_owned(), value.into())),
            );
        }
        Some(line.to_string())
    }
}

/// Where figures are printed.
pub struct Metrics {
    /// Without it nothing is printed: a development server, a test.
    stack: Option<String>,
    clock: Clock,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Metrics {
    /// To standard output, under the name of the function's stack.
    pub fn of(environment: &Environment) -> Metrics {
        Metrics::into(
            environment.stack.as_deref(),
            Clock::system(),
            std::io::stdout(),
        )
    }

    /// To another place than standard output: a test's memory.
    pub fn into(stack: Option<&str>, clock: Clock, out: impl Write + Send + 'static) -> Metrics {
        Metrics {
            stack: stack.map(str::to_owned),
            clock,
            out: Mutex::new(Box::new(out)),
        }
    }

    /// Prints one line, or none where there is nothing to say. A line that cannot be written is let go: the
    /// absence of figures is an alarm of its own.
    pub fn print(&self, figures: &Figures) {
        let stack = self.stack.as_deref();
        let Some(mut line) = stack.and_then(|stack| figures.line(stack, self.clock.now())) else {
            return;
        };
        // In one piece: CloudWatch takes a line for an event.
        line.push('\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metrics({:?})", self.stack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(figures: Figures) -> Option<Value> {
        let at = "2026-11-22T10:00:00.250Z".parse().unwrap();
        let line = figures.line("loja", at)?;
        assert!(!line.contains('\n'));
        Some(serde_json::from_str(&line).unwrap())
    }

    #[test]
    fn all_figures_are_one_line() {
        let all = Figures {
            jobs_sent: 12,
            jobs_dead: 1,
            jobs_held: 2,
            channel_held: Some(true),
            sources_failing: 3,
            oldest_due_age_ms: Some(61_999),
        };
        let expected = json!({
            "_aws": {
                "Timestamp": 1_795_341_600_250_i64,
                "CloudWatchMetrics": [{
                    "Namespace": "callbell-serverless",
                    "Dimensions": [["Stack"]],
                    "Metrics": [
                        {"Name": "JobsSent", "Unit": "Count"},
                        {"Name": "JobsDead", "Unit": "Count"},
                        {"Name": "JobsHeld", "Unit": "Count"},
                        {"Name": "ChannelHeld", "Unit": "Count"},
                        {"Name": "SourcesFailing", "Unit": "Count"},
                        {"Name": "OldestDueAge", "Unit": "Seconds"},
                    ],
                }],
            },
            "Stack": "loja",
            "JobsSent": 12,
            "JobsDead": 1,
            "JobsHeld": 2,
            "ChannelHeld": 1,
            "SourcesFailing": 3,
            "OldestDueAge": 61,
        });
        assert_eq!(line(all), Some(expected));
    }

    #[test]
    fn only_what_says_something_is_printed() {
        let names = |figures: Figures| -> Vec<String> {
            let line = line(figures).unwrap_or_default();
            let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array();
            metrics
                .into_iter()
                .flatten()
                .map(|metric| metric["Name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(line(Figures::default()), None);
        let idle_minute = Figures {
            oldest_due_age_ms: Some(0),
            ..Figures::default()
        };
        assert_eq!(names(idle_minute), ["OldestDueAge"]);
        let released = Figures {
            jobs_sent: 1,
            channel_held: Some(false),
            ..Figures::default()
        };
        assert_eq!(names(released), ["JobsSent", "ChannelHeld"]);
    }
}
