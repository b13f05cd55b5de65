//! One process at a time: its start, its first event, what a warm event takes, how much memory it holds.
//!
//! Whatever is compared is measured in turns, one round of each after the other, so that what else the
//! machine does meets all of them alike.

use std::time::Duration;

use serde_json::Value;

use crate::error::BenchError;
use crate::figures::Figures;
use crate::process::{Process, Program};
use crate::world::{Stream, Table, World, batch, minute};

/// A webhook that is one event, as what it is compared with writes one row.
const ONE_EVENT: &str = "01-shopify-orders-create.json";
/// A webhook that is two events of an order that nobody has heard of: created, and paid.
const TWO_EVENTS: &str = "02-shopify-orders-paid.json";
/// Events of one function before it is the next one's turn.
const BLOCK: usize = 10;
/// The same of idle minutes, which take ten times as long.
const IDLE_BLOCK: usize = 2;

/// How often what is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Starts of each program.
    pub starts: usize,
    /// Blocks of `BLOCK` warm events of each program.
    pub blocks: usize,
}

/// What is measured: a binary and what it is handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What the report calls it.
    pub name: &'static str,
    /// The folder of its binary.
    pub binary: &'static str,
    /// The sample that its webhooks are made of. `None`: what the doors have put on the stream's lane, and
    /// idle minutes.
    sample: Option<&'static str>,
}

/// Everything that is measured. The first two are those that the functions are held against. The worker comes
/// last: it has the work that the doors before it have made.
pub const SUBJECTS: [Subject; 5] = [
    Subject::door("bare-hello", "bare-hello", ONE_EVENT),
    Subject::door("bare-put", "bare-put", ONE_EVENT),
    Subject::door("orders", "orders", ONE_EVENT),
    Subject::door(TWO, "orders", TWO_EVENTS),
    Subject {
        name: "deliver",
        binary: "deliver",
        sample: None,
    },
];

/// The door, once more, with webhooks that are two events.
pub const TWO: &str = "orders, two events";

impl Subject {
    const fn door(name: &'static str, binary: &'static str, sample: &'static str) -> Subject {
        Subject {
            name,
            binary,
            sample: Some(sample),
        }
    }

    fn program(&self, world: &World, table: Table<'_>) -> Result<Program, BenchError> {
        match self.binary {
            "orders" => world.door(table),
            "deliver" => world.worker(table),
            bare => world.bare(bare, table),
        }
    }
}

/// What was measured of one subject, times in microseconds; 0 where it was not measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it is of.
    pub subject: Subject,
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

impl Measured {
    /// Nothing yet but the zip's size.
    pub fn new(subject: Subject, zip_bytes: u64) -> Measured {
        Measured {
            subject,
            start_us: 0.0,
            start_apart_us: 0.0,
            start_cpu_us: 0.0,
            first_us: 0.0,
            warm_us: 0.0,
            warm_p99_us: 0.0,
            warm_cpu_us: 0.0,
            own_us: 0.0,
            own_cpu_us: 0.0,
            peak_kib: 0,
            zip_bytes,
            events: 0,
        }
    }
}

/// Starts each program again and again, in turns, and hands it one event each time.
///
/// # Errors
/// One does not start, or fails.
pub fn starts(world: &World, rounds: Rounds, into: &mut [Measured]) -> Result<(), BenchError> {
    let mut starts: Vec<Starts> = into
        .iter()
        .map(|measured| Starts::of(world, measured.subject))
        .collect::<Result<_, _>>()?;
    // The first round is not counted: it reads binaries from the disk, and answers from the real table.
    for round in 0..=rounds.starts {
        for starts in &mut starts {
            starts.once(world, round > 0)?;
        }
    }
    for (measured, starts) in into.iter_mut().zip(&starts) {
        measured.start_us = starts.whole.median();
        measured.start_apart_us = starts.apart.median();
        measured.start_cpu_us = starts.cpu.median();
        measured.first_us = starts.first.median();
    }
    Ok(())
}

/// The starts of one subject.
struct Starts {
    subject: Subject,
    program: Program,
    whole: Figures,
    apart: Figures,
    cpu: Figures,
    first: Figures,
}

impl Starts {
    fn of(world: &World, subject: Subject) -> Result<Starts, BenchError> {
        Ok(Starts {
            subject,
            program: subject.program(world, Table::Ready)?,
            whole: Figures::default(),
            apart: Figures::default(),
            cpu: Figures::default(),
            first: Figures::default(),
        })
    }

    fn once(&mut self, world: &World, counted: bool) -> Result<(), BenchError> {
        let event = match self.subject.sample {
            Some(sample) => world.new_order(&world.sample(sample)?)?.event,
            None => minute(),
        };
        world.ready.take_span();
        let mut process = self.program.start()?;
        let span = world.ready.take_span();
        let cpu_ns = process.cpu_ns()?;
        let first = process.invoke(event)?;
        if counted {
            let outside = span.from.zip(span.to);
            let outside = outside.map(|(from, to)| to.duration_since(from));
            self.whole.push(process.start);
            self.apart
                .push(process.start.saturating_sub(outside.unwrap_or_default()));
            self.cpu.push(Duration::from_nanos(cpu_ns));
            self.first.push(first.took);
        }
        Ok(())
    }
}

/// Hands warm processes blocks of events, in turns, against the embedded table and against the one that
/// answers at once.
///
/// # Errors
/// One fails, or answers something else than it should.
pub fn warm(world: &World, rounds: Rounds, into: &mut [Measured]) -> Result<(), BenchError> {
    let start = |table| {
        into.iter()
            .map(|measured| Warm::start(world, measured.subject, table))
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

/// A process that stays.
struct Warm {
    subject: Subject,
    table: Table<'static>,
    process: Process,
    took: Figures,
    cpu: Figures,
}

impl Warm {
    fn start(world: &World, subject: Subject, table: Table<'static>) -> Result<Warm, BenchError> {
        Ok(Warm {
            subject,
            table,
            process: subject.program(world, table)?.start()?,
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
        match (self.subject.sample, self.table) {
            (Some(sample), _) => {
                let sample = world.sample(sample)?;
                (0..BLOCK)
                    .map(|_| Ok(world.new_order(&sample)?.event))
                    .collect()
            }
            (None, Table::Ready) => Ok(vec![minute(); IDLE_BLOCK]),
            (None, _) => {
                let lane = stream.lane()?;
                let paid = lane.iter().filter(|record| is_of_a_payment(record));
                Ok(paid
                    .map(|record| batch(std::slice::from_ref(record)))
                    .collect())
            }
        }
    }

    fn check(&self, answer: &[u8]) -> Result<(), BenchError> {
        let answer = String::from_utf8_lossy(answer);
        if self.subject.sample.is_none() || answer.contains("accepted") {
            return Ok(());
        }
        let name = self.subject.name;
        Err(BenchError::Unexpected(format!("{name} answered {answer}")))
    }
}

/// Whether a record is an event that becomes a message.
fn is_of_a_payment(record: &Value) -> bool {
    let key = record
        .pointer("/dynamodb/Keys/pk/S")
        .and_then(Value::as_str);
    key.is_some_and(|key| key.starts_with("event#shopify/") && key.ends_with("/paid"))
}
