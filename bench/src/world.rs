//! Everything around the functions, on this machine: the table, its stream, secrets, a stand-in Callbell,
//! webhooks.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_dynamodb::types::StreamSpecification;
use cli::dev::secrets::DEMO_TOKEN;
use cli::dev::table::{self, TABLE, is_in_lane};
use cli::net::{Cut, Loopback};
use cli::project;
use cli::standin::{AccountData, StandIn};
use jiff::Timestamp;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::store::client::{ClientSettings, dynamodb, http_client};
use shared::store::{LANE_SEND, Store};
use tokio::runtime::Runtime;

use crate::error::BenchError;
use crate::http::Server;
use crate::process::Program;
use crate::webhook::{Signed, Webhook};
use crate::wire::{Meter, Ready};

/// `Timeout` of the doors in template.yaml, in seconds.
const DOOR_LIMIT_S: i64 = 10;
/// `Timeout` of `deliver`, in seconds.
const DELIVER_LIMIT_S: i64 = 60;
/// The first order's number.
const FIRST_ORDER: u64 = 7_000_000_000_000;

/// The surroundings. Everything listens on the loopback interface alone.
pub struct World {
    root: PathBuf,
    lambda: PathBuf,
    engine: table::Engine,
    client: aws_sdk_dynamodb::Client,
    /// What the stand-in and the store run on; functions are processes of their own.
    pub runtime: Runtime,
    /// The table.
    pub store: Store,
    /// Callbell.
    pub stand_in: StandIn,
    callbell_url: String,
    /// The table that answers at once, and Secrets Manager.
    pub ready: Arc<Ready>,
    ready_server: Server,
    orders: Cell<u64>,
}

/// Which table a function is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table<'a> {
    /// The embedded engine.
    Engine,
    /// The one that answers at once.
    Ready,
    /// Another address: a meter's.
    At(&'a str),
}

impl World {
    /// Starts it. `root` is the repository, `lambda` the folder of cargo-lambda's binaries, `rate` the sends
    /// a second that the automations allow.
    ///
    /// # Errors
    /// No port, or a file of the repository is missing.
    pub fn start(root: &Path, lambda: &Path, rate: u32) -> Result<World, BenchError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let other = |error: String| BenchError::Unexpected(error);
        let engine = table::Engine::start(None).map_err(|error| other(error.to_string()))?;
        let client = http_client().map_err(|error| other(error.to_string()))?;
        let settings = ClientSettings::local(engine.endpoint());
        let client = dynamodb(&settings, client);
        let store = Store::new(client.clone(), TABLE, Clock::system());
        let stand_in = StandIn::new(Clock::system(), engine::phone::identity, None)?;
        stand_in.set_account(AccountData {
            tokens: vec![DEMO_TOKEN.to_owned()],
            ..AccountData::default()
        });
        let callbell_url = runtime.block_on(serve(&stand_in))?;
        let secrets = json!({
            "shopify": "demo-shopify-secret",
            "woocommerce": "demo-woocommerce-secret",
            "callbell": DEMO_TOKEN,
        });
        let ready = Ready::new(engine.endpoint(), &secrets.to_string());
        let world = World {
            root: root.to_owned(),
            lambda: lambda.to_owned(),
            ready_server: Server::start(Arc::clone(&ready))?,
            engine,
            client,
            runtime,
            store,
            stand_in,
            callbell_url,
            ready,
            orders: Cell::new(FIRST_ORDER),
        };
        world.runtime.block_on(world.store.create_table())?;
        world.push(rate)?;
        Ok(world)
    }

    /// Pushes the shop of `examples/`, its hours opened: what is measured must not depend on when.
    fn push(&self, rate: u32) -> Result<(), BenchError> {
        let example = std::fs::read_to_string(self.root.join("examples/shop.toml"))?;
        let hours = "send_hours = \"daytime\"";
        if !example.contains(hours) {
            let changed = "examples/shop.toml has no send_hours to open";
            return Err(BenchError::Unexpected(changed.to_owned()));
        }
        let file = example.replace(hours, &format!("rate = {rate}"));
        let templates = std::fs::read_to_string(self.root.join("examples/templates.json"))?;
        let automations = engine::automations::parse(&file)
            .map_err(|_| BenchError::Unexpected("the example cannot be read".to_owned()))?;
        let connections = project::connections(&automations);
        let push = self.store.push_config(&file, &templates, &connections);
        self.runtime.block_on(push)?;
        Ok(())
    }

    /// Ends the table's stream, for what reads none: the engine looks through all of a stream's records at each
    /// write, and tens of thousands of them would be what is measured.
    ///
    /// # Errors
    /// The engine reports something.
    pub fn end_stream(&self) -> Result<(), BenchError> {
        let ended = StreamSpecification::builder().stream_enabled(false).build();
        let ended = ended.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        let request = self
            .client
            .update_table()
            .table_name(TABLE)
            .stream_specification(ended);
        let answer = self.runtime.block_on(request.send());
        answer.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        Ok(())
    }

    /// A meter in front of the engine, and where it listens.
    ///
    /// # Errors
    /// No port.
    pub fn meter(&self) -> Result<(Arc<Meter>, Server), BenchError> {
        let meter = Meter::new(self.engine.endpoint());
        let server = Server::start(Arc::clone(&meter))?;
        Ok((meter, server))
    }

    /// The door, as template.yaml sets it up.
    ///
    /// # Errors
    /// [`BenchError::NoBinary`].
    pub fn door(&self, table: Table<'_>) -> Result<Program, BenchError> {
        let program = Program::new(&self.lambda, "orders", DOOR_LIMIT_S)?;
        let program = self.with_table(program, table);
        Ok(program.with("WEBHOOK_SECRETS", "bench/webhooks"))
    }

    /// The worker, as template.yaml sets it up, with the stand-in for Callbell.
    ///
    /// # Errors
    /// [`BenchError::NoBinary`].
    pub fn worker(&self, table: Table<'_>) -> Result<Program, BenchError> {
        let program = Program::new(&self.lambda, "deliver", DELIVER_LIMIT_S)?;
        let callbell = match table {
            Table::Ready => self.ready_server.url(),
            Table::Engine | Table::At(_) => self.callbell_url.clone(),
        };
        Ok(self
            .with_table(program, table)
            .with("API_SECRETS", "bench/apis")
            .with("CALLBELL_API_URL", &callbell))
    }

    /// One of the two that the functions are measured against.
    ///
    /// # Errors
    /// [`BenchError::NoBinary`].
    pub fn bare(&self, name: &str, table: Table<'_>) -> Result<Program, BenchError> {
        let program = Program::new(&self.lambda, name, DOOR_LIMIT_S)?;
        Ok(self.with_table(program, table))
    }

    fn with_table(&self, program: Program, table: Table<'_>) -> Program {
        let ready = self.ready_server.url();
        let dynamodb = match table {
            Table::Engine => self.engine.endpoint(),
            Table::Ready => ready.as_str(),
            Table::At(url) => url,
        };
        program
            .with("TABLE_NAME", TABLE)
            .with("STACK_NAME", "bench")
            .with("AWS_ENDPOINT_URL", &ready)
            .with("AWS_ENDPOINT_URL_DYNAMODB", dynamodb)
    }

    /// A sample event to make webhooks of.
    ///
    /// # Errors
    /// As [`Webhook::read`].
    pub fn sample(&self, name: &str) -> Result<Webhook, BenchError> {
        Webhook::read(&self.root.join("events/orders").join(name))
    }

    /// A webhook of an order that was not there before.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn new_order(&self, sample: &Webhook) -> Result<Signed, BenchError> {
        self.orders.set(self.orders.get() + 1);
        sample.of(self.orders.get())
    }

    /// The table's stream, from its present end on.
    ///
    /// # Errors
    /// The engine reports something.
    pub fn stream(&self) -> Result<Stream, BenchError> {
        let mut stream = Stream(self.engine.stream(None));
        stream.lane()?;
        Ok(stream)
    }
}

/// A reader of the table's stream.
pub struct Stream(table::Stream);

impl Stream {
    /// What the event source's filter lets through of all that is new, as `deliver` gets it.
    ///
    /// # Errors
    /// The engine reports something.
    pub fn lane(&mut self) -> Result<Vec<Value>, BenchError> {
        let mut lane = Vec::new();
        loop {
            let read = self.0.read();
            let page = read.map_err(|error| BenchError::Unexpected(error.to_string()))?;
            if page.is_empty() {
                return Ok(lane);
            }
            lane.extend(
                page.into_iter()
                    .filter(|record| is_in_lane(record, LANE_SEND)),
            );
        }
    }
}

/// A batch of the stream, as Lambda hands it over.
pub fn batch(records: &[Value]) -> String {
    json!({ "Records": records }).to_string()
}

/// What the schedule of template.yaml sends.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html>
pub fn minute() -> String {
    json!({
        "version": "0", "id": "0", "detail-type": "Scheduled Event", "source": "aws.scheduler",
        "account": "123456789012", "time": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": "eu-west-1", "resources": [], "detail": "{}",
    })
    .to_string()
}

async fn serve(stand_in: &StandIn) -> Result<String, BenchError> {
    let listener = Loopback::bind(0).await?;
    let url = format!("http://127.0.0.1:{}", listener.port()?);
    let app = stand_in
        .router()
        .into_make_service_with_connect_info::<Cut>();
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(url)
}
