//! The embedded table: a DynamoDB-compatible engine in this process, spoken to over HTTP by the same code
//! that speaks to AWS. Its stream is read in-process, which costs less than a second API client.
//!
//! Nothing in it expires: the engine would compare with the machine's clock, not with the one that
//! `/_dev/clock` moves. Every condition looks at `expires_at` itself, because DynamoDB deletes late too.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;

use dynoxide::Database;
use dynoxide::actions::describe_stream::DescribeStreamRequest;
use dynoxide::actions::get_records::GetRecordsRequest;
use dynoxide::actions::get_shard_iterator::GetShardIteratorRequest;
use dynoxide::actions::list_streams::ListStreamsRequest;
use serde_json::Value;
use tokio::sync::oneshot;

/// The table's name in every development server.
pub const TABLE: &str = "callbell";
/// Threads of the engine's own runtime: its handlers write to disk on them.
const THREADS: usize = 2;
/// Records read from the stream at a time.
const RECORDS_PAGE: usize = 100;

/// The running engine. Dropping it stops the server.
pub struct Engine {
    database: Database,
    endpoint: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file cannot be opened or made.
    #[error("the table's file cannot be opened: {0}")]
    File(String),
    /// No port, no thread.
    #[error("the table's server cannot start: {0}")]
    Server(#[from] io::Error),
    /// The stream cannot be read.
    #[error("the table's stream cannot be read: {0}")]
    Stream(String),
}

impl Engine {
    /// Opens the table's file, or a table in memory, and serves it on a free port of the loopback
    /// interface, on threads of its own.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub fn start(file: Option<&Path>) -> Result<Engine, EngineError> {
        let opened = match file {
            Some(path) => Database::new(&path.to_string_lossy()),
            None => Database::memory(),
        };
        let database = opened.map_err(|error| EngineError::File(error.to_string()))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        let served = database.clone();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()?;
        let thread = thread::Builder::new()
            .name("table".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                        return;
                    };
                    let serving = dynoxide::server::serve_on(listener, served);
                    // Connections kept open by clients must not hold up the end.
                    tokio::select! {
                        () = serving => {}
                        _ = stopped => {}
                    }
                });
                runtime.shutdown_background();
            })?;
        Ok(Engine {
            database,
            endpoint,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A reader of the stream from where an earlier one had come, or from its oldest record on.
    pub fn stream(&self, position: Option<String>) -> Stream {
        Stream {
            database: self.database.clone(),
            position,
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A position in the table's stream.
pub struct Stream {
    database: Database,
    position: Option<String>,
}

impl Stream {
    /// The next records, oldest first, each as a Lambda function gets it. Empty: there are none now.
    ///
    /// # Errors
    /// What the engine reports.
    pub fn read(&mut self) -> Result<Vec<Value>, EngineError> {
        let iterator = match self.position.take() {
            Some(position) => position,
            None => match self.oldest()? {
                Some(position) => position,
                None => return Ok(Vec::new()),
            },
        };
        let request = GetRecordsRequest {
            shard_iterator: iterator.clone(),
            limit: Some(RECORDS_PAGE),
        };
        let page = match self.database.get_records(request) {
            Ok(page) => page,
            // The next reading begins at the oldest record: what was dealt with is recognised.
            Err(error) => {
                return Err(EngineError::Stream(error.to_string()));
            }
        };
        self.position = page.next_shard_iterator.or(Some(iterator));
        let records: Result<Vec<Value>, _> =
            page.records.iter().map(serde_json::to_value).collect();
        records.map_err(|error| EngineError::Stream(error.to_string()))
    }

    /// Where this reader has come.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// `None`: the table has no stream yet.
    fn oldest(&self) -> Result<Option<String>, EngineError> {
        let failed =
            |error: dynoxide::errors::DynoxideError| EngineError::Stream(error.to_string());
        let request = ListStreamsRequest {
            table_name: Some(TABLE.to_owned()),
            ..Default::default()
        };
        let streams = self.database.list_streams(request).map_err(failed)?;
        let Some(arn) = streams
            .streams
            .first()
            .map(|stream| stream.stream_arn.clone())
        else {
            return Ok(None);
        };
        let request = DescribeStreamRequest {
            stream_arn: arn.clone(),
            ..Default::default()
        };
        let described = self.database.describe_stream(request).map_err(failed)?;
        let Some(shard) = described.stream_description.shards.first() else {
            return Ok(None);
        };
        let request = GetShardIteratorRequest {
            stream_arn: arn,
            shard_id: shard.shard_id.clone(),
            shard_iterator_type: "TRIM_HORIZON".to_owned(),
            sequence_number: None,
        };
        let iterator = self.database.get_shard_iterator(request).map_err(failed)?;
        Ok(iterator.shard_iterator)
    }
}

/// Whether the filter of a lane's event source lets a record through: by `lane` in its new image.
pub fn is_in_lane(record: &Value, lane: &str) -> bool {
    record
        .pointer("/dynamodb/NewImage/lane/S")
        .and_then(Value::as_str)
        == Some(lane)
}
