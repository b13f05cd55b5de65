//! One function's binary as a process of its own, started as Lambda starts it: told by its environment, asked
//! through the runtime API.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::SignedDuration;

use crate::error::BenchError;
use crate::runtime_api::{Invocation, RuntimeApi};

/// A binary and its environment.
#[derive(Clone, Debug)]
pub struct Program {
    /// `orders`, `bare-put`.
    pub name: String,
    /// `target/lambda/orders/bootstrap`.
    pub binary: PathBuf,
    /// What template.yaml sets, and what points to loopback.
    pub environment: Vec<(String, String)>,
    /// `Timeout` of template.yaml.
    pub limit: SignedDuration,
}

/// A running function. It ends when it is dropped.
pub struct Process {
    child: Child,
    api: RuntimeApi,
    limit: SignedDuration,
    output: Option<Output>,
    /// From before the process exists to its first question for an event.
    pub start: Duration,
}

/// What a process prints, and the thread that reads it.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Program {
    /// The binary of a function, as cargo-lambda leaves it.
    ///
    /// # Errors
    /// [`BenchError::NoBinary`].
    pub fn new(lambda: &Path, name: &str, limit_s: i64) -> Result<Program, BenchError> {
        let binary = lambda.join(name).join("bootstrap");
        if !binary.is_file() {
            return Err(BenchError::NoBinary(binary.display().to_string()));
        }
        Ok(Program {
            name: name.to_owned(),
            binary,
            environment: Vec::new(),
            limit: SignedDuration::from_secs(limit_s),
        })
    }

    /// With one variable more.
    pub fn with(mut self, name: &str, value: &str) -> Program {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and waits until it asks for an event. What it prints is thrown away.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&self) -> Result<Process, BenchError> {
        self.spawn(Stdio::null())
    }

    /// Starts it and keeps what it prints.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_listening(&self) -> Result<Process, BenchError> {
        self.spawn(Stdio::piped())
    }

    fn spawn(&self, output: Stdio) -> Result<Process, BenchError> {
        let api = RuntimeApi::start()?;
        let mut command = Command::new(&self.binary);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api.authority())
            .env("AWS_LAMBDA_FUNCTION_NAME", format!("bench-{}", self.name))
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_SESSION_TOKEN", "local")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output);
        let spawned = Instant::now();
        let mut process = Process {
            child: command.spawn()?,
            api,
            limit: self.limit,
            output: None,
            start: Duration::ZERO,
        };
        process.output = process.child.stdout.take().map(Output::of);
        process.start = process.api.ready()?.duration_since(spawned);
        Ok(process)
    }
}

impl Output {
    fn of(mut stdout: ChildStdout) -> Output {
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let into = Arc::clone(&kept);
        let reader = thread::spawn(move || {
            let mut chunk = vec![0; 16 * 1024];
            while let Ok(length @ 1..) = stdout.read(&mut chunk) {
                let read = chunk.get(..length).unwrap_or_default();
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(read);
            }
        });
        Output { kept, reader }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Process {
    /// Hands it one event.
    ///
    /// # Errors
    /// It fails.
    pub fn invoke(&mut self, event: String) -> Result<Invocation, BenchError> {
        self.api.invoke(event, self.limit)
    }

    /// Processor time that its threads used until now, in nanoseconds.
    ///
    /// # Errors
    /// It has ended, or the system keeps no such account.
    pub fn cpu_ns(&self) -> Result<u64, BenchError> {
        let mut sum: u64 = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let account = fs::read_to_string(task?.path().join("schedstat"))?;
            let spent = account.split(' ').next().and_then(|ns| ns.parse().ok());
            let missing = || BenchError::Unexpected("/proc has no schedstat".to_owned());
            sum = sum.saturating_add(spent.ok_or_else(missing)?);
        }
        Ok(sum)
    }

    /// The most memory that it ever held, in KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_kib(&self) -> Result<u64, BenchError> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.ok_or_else(|| BenchError::Unexpected("/proc has no VmHWM".to_owned()))
    }

    /// What it printed since this was called last.
    pub fn take_output(&self) -> Vec<u8> {
        self.output.as_ref().map(Output::take).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(output) = self.output.take() {
            let _ = output.reader.join();
        }
    }
}
