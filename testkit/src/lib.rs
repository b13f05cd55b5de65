//! For tests alone: the real store over an embedded DynamoDB-compatible engine, with a clock that stands
//! still. There is no second store: tests speak HTTP to the engine as functions speak to DynamoDB.
#![expect(
    clippy::expect_used,
    reason = "a test whose table cannot start has failed"
)]

pub mod events;
mod lambda;
mod proxy;
pub mod samples;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use aws_sdk_dynamodb::types::AttributeValue;
use dynoxide::Database;
use jiff::Timestamp;
use shared::clock::Clock;
use shared::store::client::{ClientSettings, dynamodb, http_client};
use shared::store::{INDEX, INDEX_RANGE, KEY, LANE, LANE_SEND, RowKey, Store, Waiting};
use tokio::sync::oneshot;

pub use lambda::Lambda;
pub use proxy::Proxy;

/// When every test begins: 2026-03-09 12:00 UTC, a Monday.
pub const START: &str = "2026-03-09T12:00:00Z";

/// An embedded engine on a port of this machine, on a runtime and threads of its own: the engine runs
/// SQLite on its runtime's threads, and a test's single-threaded one must not wait for it.
pub struct Engine {
    endpoint: String,
    database: Database,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// An engine that keeps nothing.
    pub fn memory() -> Engine {
        Engine::start(Database::memory().expect("SQLite in memory"))
    }

    /// An engine over a file, which another one can open after this one is dropped.
    pub fn file(path: &Path) -> Engine {
        Engine::start(Database::new(&path.to_string_lossy()).expect("a file that SQLite can open"))
    }

    /// One engine for all tests of a process; each gets a table of its own.
    pub fn shared() -> &'static Engine {
        static ENGINE: OnceLock<Engine> = OnceLock::new();
        ENGINE.get_or_init(Engine::memory)
    }

    fn start(database: Database) -> Engine {
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        let endpoint = format!(
            "http://{}",
            listener.local_addr().expect("the listener's address")
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let served = database.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the listener");
                let serving = dynoxide::server::serve_on(listener, served);
                // Connections that clients keep open would hold up a graceful end.
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        });
        Engine {
            endpoint,
            database,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `http://127.0.0.1:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A client with connections of its own. Not to be shared between runtimes.
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        client_at(self.endpoint())
    }

    /// Deletes what has expired by the machine's clock, as DynamoDB does within days.
    pub fn delete_expired(&self) {
        self.database.sweep_ttl().expect("a sweep");
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

fn client_at(endpoint: &str) -> aws_sdk_dynamodb::Client {
    dynamodb(
        &ClientSettings::local(endpoint),
        http_client().expect("the root certificates"),
    )
}

/// [`START`] as an instant.
pub fn start() -> Timestamp {
    START.parse().expect("an instant")
}

/// A store over a new table of the process's engine, and the clock that it reads, at [`START`].
pub async fn store() -> (Store, Clock) {
    let clock = Clock::manual(start());
    (store_with(Engine::shared(), clock.clone()).await, clock)
}

/// A store over a new table of an engine.
pub async fn store_with(engine: &Engine, clock: Clock) -> Store {
    store_at(engine.endpoint(), clock).await
}

/// A store over a new table behind an endpoint: an engine's, or that of a [`Proxy`].
pub async fn store_at(endpoint: &str, clock: Clock) -> Store {
    static TABLES: AtomicU64 = AtomicU64::new(0);
    let table = format!("test-{}", TABLES.fetch_add(1, Ordering::SeqCst));
    let store = Store::new(client_at(endpoint), table, clock);
    store.create_table().await.expect("a table");
    store
}

/// What the stream would hand to `deliver`: the rows on the lane, in no order. [`store`] is over
/// [`Engine::shared`].
pub async fn lane(engine: &Engine, store: &Store) -> Vec<RowKey> {
    lane_of(engine, store, LANE_SEND).await
}

/// The rows that this lane of the stream would hand over.
pub async fn lane_of(engine: &Engine, store: &Store, lane: &str) -> Vec<RowKey> {
    let answer = engine
        .client()
        .scan()
        .table_name(store.table())
        .filter_expression("#lane = :lane")
        .expression_attribute_names("#lane", LANE)
        .expression_attribute_values(":lane", AttributeValue::S(lane.to_owned()))
        .send()
        .await
        .expect("a scan");
    let pk = |item: &std::collections::HashMap<String, AttributeValue>| {
        item.get(KEY)
            .and_then(|pk| pk.as_s().ok())
            .and_then(|pk| RowKey::parse(pk))
    };
    answer.items().iter().filter_map(pk).collect()
}

/// What the sweep will find, now or later, in one request: the rows of its index, the longest waiting first.
/// [`store`] is over [`Engine::shared`].
pub async fn waiting(engine: &Engine, store: &Store) -> Vec<Waiting> {
    let scan = engine.client().scan().table_name(store.table());
    let answer = scan.index_name(INDEX).send().await.expect("a scan");
    let waiting = |item: &std::collections::HashMap<String, AttributeValue>| {
        let since = item.get(INDEX_RANGE)?.as_n().ok()?.parse().ok()?;
        let row = RowKey::parse(item.get(KEY)?.as_s().ok()?)?;
        let since = Timestamp::from_millisecond(since).ok()?;
        Some(Waiting { since, row })
    };
    let mut rows: Vec<Waiting> = answer.items().iter().filter_map(waiting).collect();
    rows.sort_by_key(|waiting| waiting.since);
    rows
}
