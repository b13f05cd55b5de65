//! Lambda's side of the runtime API, for one process: hands out events one at a time and takes their answers.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::error::BenchError;
use crate::http::{Handler, Message, Server};

/// Longest wait for a function, in seconds: longer than template.yaml lets any run.
const PATIENCE_S: u64 = 90;
const PREFIX: &str = "/2018-06-01/runtime";

/// The API that one process is told of. A process that was started anew gets a new one.
pub struct RuntimeApi {
    server: Server,
    events: Sender<(u64, String, Timestamp)>,
    reports: Receiver<Report>,
    invocations: u64,
}

/// What one invocation came to.
pub struct Invocation {
    /// From the event's first byte to the answer's last one.
    pub took: Duration,
    /// What the function answered.
    pub answer: Vec<u8>,
}

enum Report {
    /// The process asked for an event.
    Ready(Instant),
    /// It answered one.
    Answered(Invocation),
    /// It said that it failed.
    Failed(String),
}

struct Api {
    events: Mutex<Receiver<(u64, String, Timestamp)>>,
    reports: Mutex<Sender<Report>>,
    handed_out: Mutex<Option<Instant>>,
}

impl RuntimeApi {
    /// Begins to listen.
    ///
    /// # Errors
    /// No port.
    pub fn start() -> Result<RuntimeApi, BenchError> {
        let (events, to_hand_out) = mpsc::channel();
        let (report, reports) = mpsc::channel();
        let api = Api {
            events: Mutex::new(to_hand_out),
            reports: Mutex::new(report),
            handed_out: Mutex::default(),
        };
        let server = Server::start(Arc::new(api))?;
        Ok(RuntimeApi {
            server,
            events,
            reports,
            invocations: 0,
        })
    }

    /// `AWS_LAMBDA_RUNTIME_API`.
    pub fn authority(&self) -> String {
        self.server.authority()
    }

    /// Waits until the process asks for an event: it has started, or has done with the one before.
    ///
    /// # Errors
    /// It does not ask, or reports that it failed.
    pub fn ready(&self) -> Result<Instant, BenchError> {
        match self.report()? {
            Report::Ready(at) => Ok(at),
            Report::Answered(_) => Err(BenchError::Function("answered twice".to_owned())),
            Report::Failed(why) => Err(BenchError::Function(why)),
        }
    }

    /// Hands an event to a process that is [ready](RuntimeApi::ready) and waits until it is so again.
    ///
    /// # Errors
    /// The function fails, or takes longer than `limit`.
    pub fn invoke(
        &mut self,
        event: String,
        limit: SignedDuration,
    ) -> Result<Invocation, BenchError> {
        self.invocations += 1;
        let deadline = Timestamp::now() + limit;
        let gone = |_| BenchError::Function("its API has ended".to_owned());
        self.events
            .send((self.invocations, event, deadline))
            .map_err(gone)?;
        let invocation = match self.report()? {
            Report::Answered(invocation) => invocation,
            Report::Ready(_) => {
                return Err(BenchError::Function("asked without answering".to_owned()));
            }
            Report::Failed(why) => return Err(BenchError::Function(why)),
        };
        self.ready()?;
        Ok(invocation)
    }

    fn report(&self) -> Result<Report, BenchError> {
        let report = self.reports.recv_timeout(Duration::from_secs(PATIENCE_S));
        report.map_err(|error| match error {
            RecvTimeoutError::Timeout => BenchError::Function(format!("silent for {PATIENCE_S} s")),
            RecvTimeoutError::Disconnected => BenchError::Function("its API has ended".to_owned()),
        })
    }
}

impl Api {
    fn report(&self, report: Report) {
        // Nobody listens any more once the measurement has given up.
        let _ = lock(&self.reports).send(report);
    }

    /// Waits for the next event; none comes any more once the measurement is over.
    fn next(&self, answer: &mut dyn FnMut(Message) -> io::Result<()>) -> io::Result<()> {
        self.report(Report::Ready(Instant::now()));
        let (id, event, deadline) = lock(&self.events)
            .recv()
            .map_err(|_| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        let mut message = Message::json(200, event);
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:bench";
        let headers = [
            ("lambda-runtime-aws-request-id", format!("request-{id}")),
            (
                "lambda-runtime-deadline-ms",
                deadline.as_millisecond().to_string(),
            ),
            ("lambda-runtime-invoked-function-arn", arn.to_owned()),
            (
                "lambda-runtime-trace-id",
                format!("Root=1-65000000-{id:024x};Sampled=0"),
            ),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value));
        message.headers.extend(headers);
        *lock(&self.handed_out) = Some(Instant::now());
        answer(message)
    }
}

impl Handler for Api {
    type Connection = ();

    fn connected(&self) -> io::Result<()> {
        Ok(())
    }

    fn handle(
        &self,
        (): &mut (),
        request: Message,
        answer: &mut dyn FnMut(Message) -> io::Result<()>,
    ) -> io::Result<()> {
        let path = request.second().strip_prefix(PREFIX).unwrap_or_default();
        if path == "/invocation/next" {
            return self.next(answer);
        }
        if path.ends_with("/response") {
            let handed_out = lock(&self.handed_out).take();
            self.report(Report::Answered(Invocation {
                took: handed_out.map(|at| at.elapsed()).unwrap_or_default(),
                answer: request.body,
            }));
        } else {
            let why = String::from_utf8_lossy(&request.body).into_owned();
            self.report(Report::Failed(why));
        }
        answer(Message::json(202, r#"{"status":"OK"}"#))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
