//! Processes that the harness starts, in groups of their own, and ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt as _;

use crate::failure::{During as _, Outcome};

/// How long a group may take to end by itself, in milliseconds.
const END_MS: u64 = 5_000;
/// Where functions look for Callbell, and for all other systems.
const SYSTEMS: [&str; 2] = ["CALLBELL_API_URL", "PROVIDERS_API_URL"];

/// A process and everything that it starts: one process group, which ends when this is dropped.
pub(crate) struct Group(Child);

impl Group {
    /// Starts `command` with its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Outcome<Group> {
        let file = File::create(log).during(log.display())?;
        let errors = file.try_clone().during(log.display())?;
        let name = command.get_program().to_owned();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .during(name.display())?;
        Ok(Group(child))
    }

    /// The process's id, which is its group's as well.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

/// Every Lambda function that runs in a process group.
pub(crate) fn functions_of(group: u32) -> Vec<Function> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| group_of(*id) == Some(group))
        .filter_map(Function::read)
        .collect()
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.id());
        let signal = |name: &str| {
            let _ = Command::new("kill").args([name, "--", &group]).status();
        };
        signal("-TERM");
        let start = Instant::now();
        while self.is_running() && start.elapsed() < Duration::from_millis(END_MS) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Also where the process itself ended in time: what it started may not have.
        signal("-KILL");
        let _ = self.0.wait();
    }
}

/// A Lambda function's process.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its id.
    pub(crate) id: u32,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub(crate) name: String,
    /// `AWS_ENDPOINT_URL`: where it looks for AWS.
    pub(crate) endpoint: Option<String>,
    /// [`SYSTEMS`] that it was told, in this order.
    pub(crate) systems: Vec<String>,
}

impl Function {
    fn read(id: u32) -> Option<Function> {
        let text = fs::read(format!("/proc/{id}/environ")).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut variables: BTreeMap<&str, &str> = text
            .split('\0')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        Some(Function {
            id,
            name: variables.remove("AWS_LAMBDA_FUNCTION_NAME")?.to_owned(),
            endpoint: variables.remove("AWS_ENDPOINT_URL").map(str::to_owned),
            systems: SYSTEMS
                .iter()
                .filter_map(|name| variables.remove(name))
                .filter(|address| !address.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&self) {
        let _ = Command::new("kill")
            .args(["-KILL", &self.id.to_string()])
            .status();
    }
}

/// The process group of a process: the third field behind its name, which may hold anything.
fn group_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(2)?.parse().ok()
}
