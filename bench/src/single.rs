//! One process at a time: its start, its first event, what a warm event takes, how much memory it holds.
//!
//! Whatever is compared is measured in turns, one round of each after the other, so that what else the
//! machine does meets all of them alike.

use std::time::Duration;

use serde::Serialize;

use crate::error::BenchError;
use crate::figures::Figures;
use crate::process::{Process, Program};
use crate::world::{Stream, Table, World, batch, minute};

/// The sample that warm events are made of.
const SAMPLE: &str = "02-shopify-orders-paid.json";
/// Events of one function before it is the next one's turn.
const BLOCK: usize = 10;

/// How often what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Starts of each program.
    pub starts: usize,
    /// Blocks of [`BLOCK`] warm events of each program.
    pub blocks: usize,
}

/// What was measured of one program, times in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// `orders`, `bare-put`.
    pub name: String,
    /// Spawn to the first question for an event.
    pub start_us: f64,
    /// The same without the span from its first connection to its last answer.
    pub start_apart_us: f64,
    /// Processor time of the start.
    pub start_cpu_us: f64,
    /// The first event, against a table that answers at once.
    pub first_us: f64,
    /// A warm event, against the embedded table: the median.
    pub warm_us: f64,
    /// The same: of a hundred, one takes longer.
    pub warm_p99_us: f64,
    /// Processor time of a warm event.
    pub warm_cpu_us: f64,
    /// A warm event against a table that answers at once: the median.
    pub own_us: f64,
    /// Processor time of that.
    pub own_cpu_us: f64,
    /// The most memory that the warm process ever held, in KiB.
    pub peak_kib: u64,
    /// The zip that SAM uploads, in bytes.
    pub zip_bytes: u64,
    /// Warm events that the figures are of.
    pub events: usize,
}

/// Starts each program again and again, in turns, and hands it one event each time.
///
/// # Errors
/// One does not start, or fails.
pub fn starts(world: &World, rounds: Rounds, into: &mut [Measured]) -> Result<(), BenchError> {
    let programs: Vec<Program> = into
        .iter()
        .map(|measured| program(world, &measured.name, Table::Ready))
        .collect::<Result<_, _>>()?;
    let mut figures = vec![<[Figures; 4]>::default(); programs.len()];
    let sample = world.sample(SAMPLE)?;
    // The first round is not counted: it reads binaries from the disk, and answers from the real table.
    for round in 0..=rounds.starts {
        for (program, [start, apart, cpu, first]) in programs.iter().zip(&mut figures) {
            world.ready.take_span();
            let mut process = program.start()?;
            let span = world.ready.take_span();
            let outside = span
                .from
                .zip(span.to)
                .map(|(from, to)| to.duration_since(from))
                .unwrap_or_default();
            let cpu_ns = process.cpu_ns()?;
            let event = if program.name == "deliver" {
                minute()
            } else {
                world.new_order(&sample)?.event
            };
            let invocation = process.invoke(event)?;
            if round == 0 {
                continue;
            }
            start.push(process.start);
            apart.push(process.start.saturating_sub(outside));
            cpu.push(Duration::from_nanos(cpu_ns));
            first.push(invocation.took);
        }
    }
    for (measured, [start, apart, cpu, first]) in into.iter_mut().zip(&figures) {
        measured.start_us = start.median();
        measured.start_apart_us = apart.median();
        measured.start_cpu_us = cpu.median();
        measured.first_us = first.median();
    }
    Ok(())
}

/// Hands warm processes blocks of events, in turns, against the embedded table and against the one that
/// answers at once.
///
/// # Errors
/// One fails, or answers something else than it should.
pub fn warm(world: &World, rounds: Rounds, into: &mut [Measured]) -> Result<(), BenchError> {
    let start = |table| {
        into.iter()
            .map(|measured| Warm::start(world, &measured.name, table))
            .collect::<Result<Vec<_>, _>>()
    };
    let mut stored = start(Table::Engine)?;
    let mut own = start(Table::Ready)?;
    let mut stream = world.stream()?;
    for round in 0..=rounds.blocks {
        // The first block warms.
        let counted = round > 0;
        for warm in stored.iter_mut().chain(&mut own) {
            warm.block(world, &mut stream, counted)?;
        }
    }
    for (measured, (stored, own)) in into.iter_mut().zip(stored.iter().zip(&own)) {
        measured.warm_us = stored.took.median();
        measured.warm_p99_us = stored.took.quantile(0.99);
        measured.warm_cpu_us = stored.cpu.median();
        measured.own_us = own.took.median();
        measured.own_cpu_us = own.cpu.median();
        measured.peak_kib = stored.process.peak_kib()?;
        measured.events = stored.took.len();
    }
    Ok(())
}

fn program(world: &World, name: &str, table: Table<'_>) -> Result<Program, BenchError> {
    match name {
        "orders" => world.door(table),
        "deliver" => world.worker(table),
        bare => world.bare(bare, table),
    }
}

/// A process that stays.
struct Warm {
    name: String,
    table: Table<'static>,
    process: Process,
    took: Figures,
    cpu: Figures,
}

impl Warm {
    fn start(world: &World, name: &str, table: Table<'static>) -> Result<Warm, BenchError> {
        Ok(Warm {
            name: name.to_owned(),
            table,
            process: program(world, name, table)?.start()?,
            took: Figures::default(),
            cpu: Figures::default(),
        })
    }

    fn block(
        &mut self,
        world: &World,
        stream: &mut Stream,
        counted: bool,
    ) -> Result<(), BenchError> {
        let events = self.events(world, stream)?;
        if events.is_empty() {
            return Ok(());
        }
        let before = self.process.cpu_ns()?;
        let mut took = Figures::default();
        for event in &events {
            let invocation = self.process.invoke(event.clone())?;
            self.check(&invocation.answer)?;
            took.push(invocation.took);
        }
        let cpu_ns = self.process.cpu_ns()?.saturating_sub(before);
        if counted {
            self.took.extend(&took);
            let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
            self.cpu.push(Duration::from_nanos(cpu_ns) / count);
        }
        Ok(())
    }

    /// Webhooks for doors. For the worker what the doors before it have put on the lane, one record a batch;
    /// with a table that answers at once, idle minutes.
    fn events(&self, world: &World, stream: &mut Stream) -> Result<Vec<String>, BenchError> {
        if self.name == "deliver" {
            return Ok(match self.table {
                Table::Ready => vec![minute(); BLOCK],
                _ => stream
                    .lane()?
                    .iter()
                    .filter(|record| is_of_a_shop(record))
                    .map(|record| batch(std::slice::from_ref(record)))
                    .collect(),
            });
        }
        let sample = world.sample(SAMPLE)?;
        (0..BLOCK)
            .map(|_| Ok(world.new_order(&sample)?.event))
            .collect()
    }

    fn check(&self, answer: &[u8]) -> Result<(), BenchError> {
        let answer = String::from_utf8_lossy(answer);
        if self.name == "deliver" || answer.contains("accepted") {
            return Ok(());
        }
        Err(BenchError::Unexpected(format!(
            "{} answered {answer}",
            self.name
        )))
    }
}

/// Whether a record is a webhook's that the door stored, and not one of the handler that it is compared with.
fn is_of_a_shop(record: &serde_json::Value) -> bool {
    let key = record.pointer("/dynamodb/Keys/pk/S");
    key.and_then(serde_json::Value::as_str)
        .is_some_and(|key| key.starts_with("event#shopify/"))
}
