//! What one webhook, one message, one idle minute cost: requests to the table, their units and log lines,
//! counted on the wire. Nothing here depends on how fast the machine is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cli::standin::faults::{Fault, Kind};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::store::{JobFilter, Status};

use crate::error::BenchError;
use crate::http::Server;
use crate::process::Process;
use crate::wire::{Call, Meter};
use crate::world::{Stream, Table, World, batch, minute};

/// How long a line that was printed may take to be read, in milliseconds.
const PIPE_MS: u64 = 100;
/// Longest wait for a job that is due again, in seconds: the first wait of its backoff and a little.
const RETRY_S: u64 = 90;
/// Batches of the stream that one webhook may lead to.
const BATCHES_MAX: usize = 4;

/// Everything that was counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counted {
    /// What was done and what it cost.
    pub cases: Vec<Case>,
    /// The metrics that log lines carry.
    pub metrics: BTreeSet<String>,
}

/// One thing that happens.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// `paid`, `duplicate`.
    pub name: String,
    /// In words.
    pub what: String,
    /// By function.
    pub parts: Vec<Part>,
}

/// What a function did for it.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// `orders`, `deliver`.
    pub function: String,
    /// How often it was invoked.
    pub invocations: u32,
    /// Messages that Callbell took.
    pub messages: usize,
    /// Its requests to the table.
    pub requests: Vec<Requests>,
    /// Lines that it printed.
    pub log_lines: usize,
    /// Their bytes.
    pub log_bytes: usize,
}

/// Requests of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// `PutItem`.
    pub operation: String,
    /// `event`.
    pub row: String,
    /// The condition did not hold.
    pub refused: bool,
    /// How many.
    pub times: u32,
    /// Write units of the table.
    pub write_units: f64,
    /// Write units of the index.
    pub index_units: f64,
    /// Read units of either.
    pub read_units: f64,
}

/// Door and worker in front of a meter.
struct Bench<'w> {
    world: &'w World,
    meter: Arc<Meter>,
    _server: Server,
    door: Process,
    worker: Process,
    stream: Stream,
    counted: Counted,
}

/// Counts all cases.
///
/// # Errors
/// A function fails, or does something else than the case says.
pub fn count(world: &World) -> Result<Counted, BenchError> {
    let mut bench = Bench::start(world)?;
    bench.webhooks()?;
    bench.idle_minute()?;
    bench.retry()?;
    Ok(bench.counted)
}

impl<'w> Bench<'w> {
    fn start(world: &'w World) -> Result<Bench<'w>, BenchError> {
        let (meter, server) = world.meter()?;
        let table = server.url();
        let mut counted = Counted::default();
        let door = world.door(Table::At(&table))?.start_listening()?;
        let part = part("orders", 0, 0, &meter, &door, &mut counted.metrics);
        counted.case("start-door", "orders starts", vec![part]);
        let worker = world.worker(Table::At(&table))?.start_listening()?;
        let part = part_of_worker(0, 0, &meter, &worker, &mut counted.metrics);
        counted.case("start-worker", "deliver starts", vec![part]);
        Ok(Bench {
            stream: world.stream()?,
            world,
            meter,
            _server: server,
            door,
            worker,
            counted,
        })
    }

    /// What an order's webhooks cost, in the order in which they come.
    fn webhooks(&mut self) -> Result<(), BenchError> {
        let created = self.world.sample("01-shopify-orders-create.json")?;
        let paid = self.world.sample("02-shopify-orders-paid.json")?;
        let shipped = self
            .world
            .sample("11-shopify-orders-partially-fulfilled-with-tracking.json")?;
        let pix = self.world.sample("04-shopify-orders-create-pix.json")?;
        let order = self.world.new_order(&created)?;
        let number = order.order;
        self.webhook(
            "created",
            "an order that no automation wants",
            &order.event,
            0,
        )?;
        let event = paid.of(number)?.event;
        self.webhook("paid", "it is paid: one message", &event, 1)?;
        self.webhook("duplicate", "the same webhook once more", &event, 0)?;
        let event = paid.with_topic("orders/updated").of(number)?.event;
        self.webhook("updated", "an update without news", &event, 0)?;
        let event = shipped.of(number)?.event;
        self.webhook("shipped", "it is shipped: one message", &event, 1)?;
        let event = self.world.new_order(&pix)?.event;
        self.webhook(
            "reminder",
            "an order whose reminder waits for its time",
            &event,
            0,
        )?;
        let forged = event.replace("x-shopify-hmac-sha256", "x-none");
        self.webhook("forged", "a webhook that nobody signed", &forged, 0)
    }

    fn webhook(
        &mut self,
        name: &str,
        what: &str,
        event: &str,
        messages: usize,
    ) -> Result<(), BenchError> {
        let door = self.hand_in(event)?;
        let worker = self.follow_the_stream()?;
        if worker.messages != messages {
            let problem = format!("{name}: {} messages, not {messages}", worker.messages);
            return Err(BenchError::Unexpected(problem));
        }
        let parts = vec![door, worker];
        self.counted.case(name, what, parts);
        Ok(())
    }

    fn hand_in(&mut self, event: &str) -> Result<Part, BenchError> {
        self.door.invoke(event.to_owned())?;
        let metrics = &mut self.counted.metrics;
        Ok(part("orders", 1, 0, &self.meter, &self.door, metrics))
    }

    /// Hands the worker what the stream has, until it has no more.
    fn follow_the_stream(&mut self) -> Result<Part, BenchError> {
        let before = self.world.stand_in.messages().len();
        let mut invocations = 0;
        for _ in 0..BATCHES_MAX {
            let records = self.stream.lane()?;
            if records.is_empty() {
                break;
            }
            self.worker.invoke(batch(&records))?;
            invocations += 1;
        }
        Ok(self.worked(invocations, before))
    }

    fn minute(&mut self) -> Result<Part, BenchError> {
        let before = self.world.stand_in.messages().len();
        self.worker.invoke(minute())?;
        Ok(self.worked(1, before))
    }

    fn worked(&mut self, invocations: u32, messages_before: usize) -> Part {
        let messages = self.world.stand_in.messages().len() - messages_before;
        let metrics = &mut self.counted.metrics;
        part_of_worker(invocations, messages, &self.meter, &self.worker, metrics)
    }

    fn idle_minute(&mut self) -> Result<(), BenchError> {
        let idle = self.minute()?;
        self.counted
            .case("idle", "a minute without work", vec![idle]);
        Ok(())
    }

    /// Callbell answers 503 once: the job is due again and the minute after its time sends it.
    fn retry(&mut self) -> Result<(), BenchError> {
        self.world.stand_in.set_faults(vec![Fault {
            kind: Kind::Status { status: 503 },
            times: 1,
            every_request: false,
        }]);
        let paid = self.world.sample("02-shopify-orders-paid.json")?;
        let event = self.world.new_order(&paid)?.event;
        self.webhook("refused", "it is paid, and Callbell answers 503", &event, 0)?;
        let due = self.wait_for_due_job()?;
        if !due {
            let problem = "the refused message is not due again".to_owned();
            return Err(BenchError::Unexpected(problem));
        }
        let again = self.minute()?;
        if again.messages != 1 {
            let problem = "the refused message was not sent again".to_owned();
            return Err(BenchError::Unexpected(problem));
        }
        let what = "the minute that finds that message and sends it";
        self.counted.case("again", what, vec![again]);
        Ok(())
    }

    /// Waits until a job is due that was attempted before; `false`: there is none, or it takes too long.
    fn wait_for_due_job(&self) -> Result<bool, BenchError> {
        let filter = JobFilter {
            status: Some(Status::Due),
            ..JobFilter::default()
        };
        let store = &self.world.store;
        let (jobs, _) = self
            .world
            .runtime
            .block_on(store.list_jobs(&filter, None))?;
        let Some(job) = jobs.into_iter().find(|job| job.attempts > 0) else {
            return Ok(false);
        };
        let wait = job.next_at.duration_since(Timestamp::now());
        let wait = Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(PIPE_MS);
        if wait > Duration::from_secs(RETRY_S) {
            return Ok(false);
        }
        thread::sleep(wait);
        Ok(true)
    }
}

impl Counted {
    fn case(&mut self, name: &str, what: &str, parts: Vec<Part>) {
        self.cases.push(Case {
            name: name.to_owned(),
            what: what.to_owned(),
            parts,
        });
    }
}

fn part_of_worker(
    invocations: u32,
    messages: usize,
    meter: &Meter,
    process: &Process,
    metrics: &mut BTreeSet<String>,
) -> Part {
    part("deliver", invocations, messages, meter, process, metrics)
}

/// What passed the meter and was printed since it was asked last.
fn part(
    function: &str,
    invocations: u32,
    messages: usize,
    meter: &Meter,
    process: &Process,
    metrics: &mut BTreeSet<String>,
) -> Part {
    thread::sleep(Duration::from_millis(PIPE_MS));
    let output = process.take_output();
    let lines = output.split_inclusive(|byte| *byte == b'\n');
    let mut log_lines = 0;
    for line in lines {
        log_lines += 1;
        metrics.extend(metrics_of(line));
    }
    Part {
        function: function.to_owned(),
        invocations,
        messages,
        requests: sums(&meter.take()),
        log_lines,
        log_bytes: output.len(),
    }
}

/// The names of the metrics that a log line in CloudWatch's embedded format carries.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
fn metrics_of(line: &[u8]) -> Vec<String> {
    let line: Value = serde_json::from_slice(line).unwrap_or_default();
    let directives = line.pointer("/_aws/CloudWatchMetrics");
    let directives = directives.and_then(Value::as_array).into_iter().flatten();
    let metrics = directives.filter_map(|one| one.get("Metrics")?.as_array());
    let names = metrics
        .flatten()
        .filter_map(|metric| metric.get("Name")?.as_str());
    names.map(str::to_owned).collect()
}

fn sums(calls: &[Call]) -> Vec<Requests> {
    let mut sums: BTreeMap<(bool, &str, &str, bool), Requests> = BTreeMap::new();
    for call in calls {
        let key = (
            call.is_write(),
            call.operation.as_str(),
            call.row.as_str(),
            call.refused,
        );
        let sum = sums.entry(key).or_insert_with(|| Requests {
            operation: call.operation.clone(),
            row: call.row.clone(),
            refused: call.refused,
            times: 0,
            write_units: 0.0,
            index_units: 0.0,
            read_units: 0.0,
        });
        sum.times += 1;
        if call.is_write() {
            sum.write_units += call.table_units;
            sum.index_units += call.index_units;
        } else {
            sum.read_units += call.table_units + call.index_units;
        }
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_kind_are_one_line() {
        let call = |operation: &str, units| Call {
            operation: operation.to_owned(),
            row: "job".to_owned(),
            refused: false,
            table_units: units,
            index_units: 1.0,
        };
        let sums = sums(&[
            call("PutItem", 1.0),
            call("PutItem", 2.0),
            call("GetItem", 1.0),
        ]);
        let lines: Vec<_> = sums
            .iter()
            .map(|sum| {
                (
                    sum.operation.as_str(),
                    sum.times,
                    sum.write_units,
                    sum.index_units,
                    sum.read_units,
                )
            })
            .collect();
        assert_eq!(
            lines,
            [("GetItem", 1, 0.0, 0.0, 2.0), ("PutItem", 2, 3.0, 2.0, 0.0)]
        );
    }

    #[test]
    fn metrics_are_read_from_lines() {
        let line = br#"{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":"n","Dimensions":[["Stack"]],
            "Metrics":[{"Name":"sent","Unit":"Count"}]}]},"Stack":"bench","sent":1}"#;
        assert_eq!(metrics_of(line), ["sent"]);
        assert!(metrics_of(b"{\"outcome\":\"sent\"}").is_empty());
    }
}
