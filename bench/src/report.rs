//! What is printed: one table of figures, each with its target and whether it is reached, and what a webhook
//! costs in requests.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::backlog::{Backlog, PEAK_KIB_MAX};
use crate::counts::Counted;
use crate::error::BenchError;
use crate::figures::ratio;
use crate::single::{Measured, TWO};

/// Most of a function's start that is its own, in starts of the handler that does nothing.
const START_RATIO_MAX: f64 = 2.0;
/// Most of a warm webhook, in webhooks of the handler with one PutItem.
const WARM_RATIO_MAX: f64 = 1.3;
/// Most memory, in that of the handler with one PutItem.
const PEAK_RATIO_MAX: f64 = 1.5;
/// Largest zip of a door, in bytes.
const ZIP_BYTES_MAX: u64 = 3_500_000;

/// One line of the table.
struct Line {
    figure: String,
    value: String,
    target: String,
    reached: Option<bool>,
}

/// The table, line by line.
#[derive(Default)]
pub struct Report(Vec<Line>);

impl Report {
    /// A figure without a target.
    fn tell(&mut self, figure: impl Into<String>, value: impl Into<String>) {
        self.0.push(Line {
            figure: figure.into(),
            value: value.into(),
            target: String::new(),
            reached: None,
        });
    }

    /// A figure that has to be reached.
    fn hold(&mut self, figure: impl Into<String>, value: String, target: String, reached: bool) {
        self.0.push(Line {
            figure: figure.into(),
            value,
            target,
            reached: Some(reached),
        });
    }

    /// What was measured of single processes. The first two are those that the others are held against.
    pub fn single(&mut self, all: &[Measured]) {
        let [hello, put, functions @ ..] = all else {
            return;
        };
        for measured in all {
            self.times(measured);
        }
        for function in functions {
            self.ratios(hello, put, function);
        }
    }

    fn times(&mut self, measured: &Measured) {
        let name = measured.subject.name;
        let Measured {
            start_us,
            start_apart_us,
            start_cpu_us,
            ..
        } = *measured;
        if start_us > 0.0 && name != TWO {
            let parts = [start_us, start_apart_us, start_cpu_us].map(ms).join("; ");
            self.tell(
                format!("{name}: start; without connections and reads; processor"),
                parts,
            );
            self.tell(format!("{name}: first event"), ms(measured.first_us));
        }
        if measured.warm_us > 0.0 {
            let parts = [measured.warm_us, measured.warm_p99_us, measured.warm_cpu_us];
            self.tell(
                format!("{name}: warm event; p99; processor"),
                parts.map(ms).join("; "),
            );
            let parts = [measured.own_us, measured.own_cpu_us].map(ms).join("; ");
            let event = if name == "deliver" {
                "idle minute"
            } else {
                "warm event"
            };
            self.tell(
                format!("{name}: {event}, table answers at once; processor"),
                parts,
            );
            self.tell(format!("{name}: peak memory"), kib(measured.peak_kib));
        }
    }

    fn ratios(&mut self, hello: &Measured, put: &Measured, function: &Measured) {
        let name = function.subject.name;
        if name != TWO {
            let start = ratio(function.start_apart_us, hello.start_apart_us);
            self.at_most(
                format!("{name}: start without connections and reads, in bare-hello's"),
                start,
                START_RATIO_MAX,
            );
            let cpu = ratio(function.start_cpu_us, hello.start_cpu_us);
            self.share(
                format!("{name}: processor time of the start, in bare-hello's"),
                cpu,
            );
        }
        let peak = ratio(as_f64(function.peak_kib), as_f64(put.peak_kib));
        if name == "deliver" {
            self.share(format!("{name}: peak memory, in bare-put's"), peak);
            self.tell(format!("{name}: zip"), megabytes(function.zip_bytes));
            return;
        }
        let warm = ratio(function.warm_us, put.warm_us);
        let figure = format!("{name}: warm event, in bare-put's");
        if name == TWO {
            self.share(figure, warm);
        } else {
            self.at_most(figure, warm, WARM_RATIO_MAX);
        }
        for (what, a, b) in [
            ("p99", function.warm_p99_us, put.warm_p99_us),
            ("processor", function.warm_cpu_us, put.warm_cpu_us),
            ("table answers at once", function.own_us, put.own_us),
            ("the same, processor", function.own_cpu_us, put.own_cpu_us),
        ] {
            self.share(
                format!("{name}: warm event, {what}, in bare-put's"),
                ratio(a, b),
            );
        }
        if name != TWO {
            self.at_most(
                format!("{name}: peak memory, in bare-put's"),
                peak,
                PEAK_RATIO_MAX,
            );
            self.hold(
                format!("{name}: zip"),
                megabytes(function.zip_bytes),
                format!("under {}", megabytes(ZIP_BYTES_MAX)),
                function.zip_bytes < ZIP_BYTES_MAX,
            );
        }
    }

    /// A ratio without a target, where it was measured.
    fn share(&mut self, figure: String, value: f64) {
        if value > 0.0 {
            self.tell(figure, times(value));
        }
    }

    fn at_most(&mut self, figure: String, value: f64, most: f64) {
        if value > 0.0 {
            self.hold(
                figure,
                times(value),
                format!("at most {most:.1}×"),
                value <= most,
            );
        }
    }

    /// What became of the backlog.
    pub fn backlog(&mut self, backlog: &Backlog) {
        let jobs = backlog.jobs;
        self.tell(
            format!("backlog of {jobs} jobs, two workers: filling the table"),
            format!("{:.0} s", backlog.loading.as_secs_f64()),
        );
        let seconds = backlog.sending.as_secs_f64();
        self.tell(
            format!("backlog at {} sends a second", backlog.rate),
            format!(
                "{seconds:.0} s, {:.1} a second",
                ratio(
                    as_f64(u64::try_from(backlog.messages).unwrap_or_default()),
                    seconds
                )
            ),
        );
        self.hold(
            "backlog: jobs with exactly one message",
            format!("{} of {} messages", backlog.jobs_with_one, backlog.messages),
            format!("all {jobs}"),
            backlog.is_complete(),
        );
        self.hold(
            "backlog: messages in the fullest second",
            backlog.fullest_second.to_string(),
            format!("at most {} and one lease", backlog.rate),
            backlog.is_within_rate(),
        );
        self.tell(
            "backlog: messages in the fullest 1,000 ms, wherever they begin",
            backlog.fullest_span.to_string(),
        );
        self.hold(
            "backlog: peak memory of the larger worker",
            kib(backlog.peak_kib),
            format!("under {}", kib(PEAK_KIB_MAX)),
            backlog.peak_kib < PEAK_KIB_MAX,
        );
    }

    /// Prints as a table of Markdown.
    pub fn text(&self) -> String {
        let mut text = "| figure | measured | target | |\n| --- | --- | --- | --- |\n".to_owned();
        for line in &self.0 {
            let reached = match line.reached {
                None => "",
                Some(true) => "reached",
                Some(false) => "**not reached**",
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {reached} |",
                line.figure, line.value, line.target
            );
        }
        text
    }
}

/// What each case costs at the table, as a table of Markdown.
pub fn counted(counted: &Counted) -> String {
    let mut text = "| what | function | calls | write units | of the index | read units | log |\n\
        | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for case in &counted.cases {
        for part in &case.parts {
            let sum = |of: fn(&crate::counts::Requests) -> f64| -> f64 {
                part.requests
                    .iter()
                    .map(of)
                    .fold(0.0, |sum, units| sum + units)
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} B in {} |",
                case.what,
                part.function,
                part.requests.iter().map(|kind| kind.times).sum::<u32>(),
                sum(|kind| kind.write_units),
                sum(|kind| kind.index_units),
                sum(|kind| kind.read_units),
                part.log_bytes,
                part.log_lines,
            );
        }
    }
    text
}

/// The size of the zip that SAM makes of a binary: Python's own, with deflate.
///
/// # Errors
/// There is no Python.
pub fn zip_bytes(binary: &Path) -> Result<u64, BenchError> {
    let script = "import io, sys, zipfile\n\
        b = io.BytesIO()\n\
        with zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED) as z: z.write(sys.argv[1], 'bootstrap')\n\
        print(len(b.getvalue()))";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(binary)
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let bytes = printed.trim().parse();
    bytes.map_err(|_| BenchError::Unexpected("python3 made no zip".to_owned()))
}

fn ms(us: f64) -> String {
    format!("{:.2} ms", us / 1e3)
}

fn times(ratio: f64) -> String {
    format!("{ratio:.2}×")
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", as_f64(bytes) / 1e6)
}

fn kib(kib: u64) -> String {
    format!("{:.1} MiB", as_f64(kib) / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "sizes of files and processes")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
