//! `make bench`: the functions' release binaries, driven through the Lambda runtime API on this machine and
//! measured beside two handlers with nothing of ours in them. See docs/bench.md.
#![expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]

use std::path::{Path, PathBuf};

use bench::error::BenchError;
use bench::report::Report;
use bench::single::{Measured, Rounds, SUBJECTS};
use bench::world::World;
use bench::{backlog, counts, report, single};
use clap::{Parser, ValueEnum};

/// The rate of everything but the backlog: above what one worker sends, below what Callbell takes.
const OPEN_RATE: u32 = 250;

/// Measures the functions' release binaries on this machine. Exits with an error only where nothing could be
/// measured; a figure that is not reached is in the table.
#[derive(Debug, Parser)]
struct Args {
    /// A few rounds and a hundred jobs: whether it all works, not how fast.
    #[arg(long)]
    quick: bool,
    /// One part alone.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Where cargo-lambda left the binaries.
    #[arg(long, default_value = "target/lambda")]
    lambda: PathBuf,
    /// Jobs of the backlog.
    #[arg(long)]
    jobs: Option<usize>,
    /// Sends a second of the backlog.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Writes what was counted, for scripts/cost.py.
    #[arg(long)]
    counted: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Starts and first events.
    Start,
    /// Warm events.
    Warm,
    /// Requests to the table.
    Counts,
    /// Two workers and many due jobs.
    Backlog,
}

impl Args {
    fn has(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn rounds(&self) -> Rounds {
        if self.quick {
            return Rounds {
                starts: 3,
                blocks: 2,
            };
        }
        Rounds {
            starts: 41,
            blocks: 30,
        }
    }

    fn jobs(&self) -> usize {
        self.jobs.unwrap_or(if self.quick { 100 } else { 10_000 })
    }
}

fn main() -> Result<(), BenchError> {
    let args = Args::parse();
    let root = Path::new(".");
    let mut report = Report::default();
    if args.has(Part::Start) || args.has(Part::Warm) {
        report.single(&single(&args, root)?);
    }
    if args.has(Part::Counts) {
        let counted = counts::count(&World::start(root, &args.lambda, OPEN_RATE)?)?;
        if let Some(path) = &args.counted {
            std::fs::write(path, serde_json::to_string_pretty(&counted)? + "\n")?;
        }
        println!("{}", report::counted(&counted));
    }
    if args.has(Part::Backlog) {
        let world = World::start(root, &args.lambda, args.rate)?;
        report.backlog(&backlog::work_off(&world, args.jobs(), args.rate)?);
    }
    println!("{}", report.text());
    Ok(())
}

fn single(args: &Args, root: &Path) -> Result<Vec<Measured>, BenchError> {
    let world = World::start(root, &args.lambda, OPEN_RATE)?;
    let mut all = Vec::new();
    for subject in SUBJECTS {
        let binary = args.lambda.join(subject.binary).join("bootstrap");
        all.push(Measured::new(subject, report::zip_bytes(&binary)?));
    }
    if args.has(Part::Start) {
        single::starts(&world, args.rounds(), &mut all)?;
    }
    if args.has(Part::Warm) {
        single::warm(&world, args.rounds(), &mut all)?;
    }
    Ok(all)
}
