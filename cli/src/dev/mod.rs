//! The development server: the routes of template.yaml, the functions' own code, an embedded table with
//! its stream, the minute's schedule and a stand-in for Callbell, in one process on the loopback
//! interface.

mod endpoints;
pub mod envelope;
mod functions;
pub mod life;
mod mailbox;
mod push;
pub mod routes;
pub mod secrets;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use shared::sources::{by_kind, callbell, demo};
use shared::store::client::{self, ClientSettings};
use shared::store::{Store, StoreError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use self::functions::Functions;
use self::routes::Route;
use self::secrets::Files;
use self::table::Engine;
use crate::net::{Cut, Loopback};
use crate::project;
use crate::standin::apis::{self, Apis, Connectable, Told};
use crate::standin::{AccountData, StandIn, webhooks};

/// The port where nothing else is asked for.
pub const PORT: u16 = 8787;
/// Below which path the stand-in Callbell answers.
pub const CALLBELL_PATH: &str = "/_callbell/v1";
/// Below which path the stand-ins for all other APIs answer, as `/{host}/…`.
pub const APIS_PATH: &str = "/_apis";

/// How to start.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// 0 takes a free one.
    pub port: u16,
    /// The folder that keeps the table, what the stand-in accepted, and the clock; none: nothing is kept.
    pub data: Option<PathBuf>,
    /// The automations file; none: nothing is pushed.
    pub automations: Option<PathBuf>,
    /// `secrets.toml`; none: demo values.
    pub secrets: Option<PathBuf>,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The port is taken, most likely by another `callbell dev`.
    #[error("port {0} cannot be used ({1}): another callbell dev? --port takes another one")]
    Port(u16, io::Error),
    /// The data folder cannot be used.
    #[error("{0} cannot be used: {1}")]
    Data(String, io::Error),
    /// The table does not start.
    #[error(transparent)]
    Engine(#[from] table::EngineError),
    /// The secrets file is wrong.
    #[error(transparent)]
    Secrets(#[from] secrets::SecretsError),
    /// The table cannot be made or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of the server cannot be set up.
    #[error("{0}")]
    Setup(String),
    /// The template has no usable routes.
    #[error(transparent)]
    Template(#[from] routes::TemplateError),
    /// A route leads to a function that is not hosted here.
    #[error("template.yaml routes to functions/{0}, which callbell dev does not host")]
    Unhosted(String),
}

/// Says something to the person at the terminal.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// The running server. Dropping it stops everything.
pub struct Dev {
    world: Arc<World>,
    stop: Option<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the parts of the server share.
struct World {
    port: u16,
    settings: Settings,
    notice: Notice,
    clock: Clock,
    offset: Mutex<SignedDuration>,
    secrets: RwLock<Files>,
    stand_in: StandIn,
    connectable: Connectable,
    told: Told,
    apis: Apis,
    routes: Vec<Route>,
    functions: RwLock<Arc<Functions>>,
    engine: Engine,
    store: Store,
    /// How often the stream was read to its end and everything in it dealt with.
    rounds: watch::Sender<u64>,
    /// Batches of the chatbot that are being worked on.
    chats: watch::Sender<u32>,
    /// One sweep at a time.
    sweeping: tokio::sync::Mutex<()>,
    /// The hour that `renew` was last woken for.
    renewed_hour: AtomicI64,
    /// One clock move at a time.
    moving: tokio::sync::Mutex<()>,
    stopping: watch::Sender<bool>,
}

impl Dev {
    /// Starts everything and returns once requests are answered and the automations are pushed.
    ///
    /// # Errors
    /// See [`DevError`].
    pub async fn start(settings: &Settings, notice: Notice) -> Result<Dev, DevError> {
        let secrets = match &settings.secrets {
            Some(path) => Files::read(path)?,
            None => Files::demo(),
        };
        let port_error = |error| DevError::Port(settings.port, error);
        let listener = Loopback::bind(settings.port).await.map_err(port_error)?;
        let port = listener.port().map_err(port_error)?;
        // Everything that is started, on the heap: it is large.
        let world = Box::pin(World::new(settings, secrets, port, notice)).await?;
        let world = Arc::new(world);
        world.subscribe();
        world.reload().await;
        let pushed = match &settings.automations {
            Some(path) => project::Files::read(path).ok(),
            None => None,
        };
        if let Some(files) = &pushed {
            world.push(files).await;
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let app = endpoints::router(&world).into_make_service_with_connect_info::<Cut>();
        let mut tasks = vec![
            tokio::spawn(async move {
                tokio::select! {
                    _ = async { axum::serve(listener, app).await } => {}
                    _ = stopped => {}
                }
            }),
            tokio::spawn(life::stream(world.clone())),
            tokio::spawn(life::minutes(world.clone())),
            tokio::spawn(life::webhooks(world.clone())),
        ];
        if let Some(path) = &settings.automations {
            tasks.push(tokio::spawn(push::watch(
                world.clone(),
                path.clone(),
                pushed,
            )));
        }
        if let Some(path) = &settings.secrets {
            tasks.push(tokio::spawn(push::watch_secrets(
                world.clone(),
                path.clone(),
            )));
        }
        Ok(Dev {
            world,
            stop: Some(stop),
            tasks,
        })
    }

    /// `http://127.0.0.1:8787`.
    pub fn url(&self) -> String {
        self.world.url()
    }

    /// The paths that webhooks are posted to.
    pub fn routes(&self) -> impl Iterator<Item = &str> {
        self.world.routes.iter().map(|route| route.path.as_str())
    }

    /// Names and values of the demo secrets, which are public; nothing where the user has their own.
    pub fn demo_secrets(&self) -> Vec<(String, String)> {
        if self.world.settings.secrets.is_some() {
            return Vec::new();
        }
        let files = self.world.secrets();
        let one = |secrets: &shared::secrets::Secrets, name: &str| -> Vec<(String, String)> {
            let values = secrets.get(name).iter();
            values
                .map(|value| (name.to_owned(), value.expose().to_owned()))
                .collect()
        };
        // A private key is nothing to show.
        let is_short = |name: &&str| by_kind(name).is_none_or(|source| !source.wants_keys());
        let webhooks = files.webhooks.names().filter(is_short);
        webhooks
            .flat_map(|name| one(&files.webhooks, name))
            .chain(one(&files.apis, secrets::CALLBELL))
            .collect()
    }

    /// Where the table listens: another process may use it as its DynamoDB.
    pub fn dynamodb(&self) -> &str {
        self.world.engine.endpoint()
    }

    /// The stand-in Callbell.
    pub fn stand_in(&self) -> &StandIn {
        &self.world.stand_in
    }

    /// The stand-ins of systems that webhooks are registered at.
    pub fn connectable(&self) -> &Connectable {
        &self.world.connectable
    }

    /// The stand-ins of what tells a team.
    pub fn told(&self) -> &Told {
        &self.world.told
    }

    /// The clock that everything reads.
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }

    /// The table.
    pub fn store(&self) -> &Store {
        &self.world.store
    }

    /// Moves the clock, following what comes due on the way.
    ///
    /// # Errors
    /// What the store reports; the clock has moved all the same.
    pub async fn advance(&self, by: SignedDuration) -> Result<(), StoreError> {
        self.world.advance(by).await
    }

    /// Puts the clock to an instant, back as well, and lets nothing happen on the way.
    pub fn set_clock(&self, at: Timestamp) {
        self.world.shift(at.duration_since(self.world.clock.now()));
    }

    /// Waits until nothing is due any more; `false` where that took too long.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn idle(&self, limit: Duration) -> Result<bool, StoreError> {
        self.world.idle(limit).await
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.world.stopping.send(true);
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl World {
    async fn new(
        settings: &Settings,
        secrets: Files,
        port: u16,
        notice: Notice,
    ) -> Result<World, DevError> {
        if let Some(folder) = &settings.data {
            let failed = |error| DevError::Data(folder.display().to_string(), error);
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = |name: &str| settings.data.as_ref().map(|folder| folder.join(name));
        let clock = Clock::shifted();
        let offset = file("clock")
            .as_deref()
            .map(read_offset)
            .unwrap_or_default();
        clock.advance(offset);
        let journal = file("callbell.jsonl");
        let stand_in = StandIn::new(clock.clone(), engine::phone::identity, journal.as_deref())
            .map_err(|error| DevError::Data("callbell.jsonl".to_owned(), error))?;
        let tokens = secrets.apis.get(secrets::CALLBELL);
        stand_in.set_account(AccountData {
            tokens: tokens
                .iter()
                .map(|token| token.expose().to_owned())
                .collect(),
            ..AccountData::default()
        });
        let engine = Engine::start(file("table.sqlite").as_deref())?;
        let store = store(engine.endpoint(), clock.clone())?;
        let base = format!("http://127.0.0.1:{port}{CALLBELL_PATH}");
        store.create_table().await?;
        if settings.secrets.is_none() {
            // Before the doors start, which read them: the samples are signed with the demo's key.
            store.keep_public_keys(&demo::public_keys()).await?;
        }
        let providers = format!("http://127.0.0.1:{port}{APIS_PATH}");
        let functions = Functions::start(&store, &secrets, &base, &providers).await?;
        let routes = routes::read(routes::TEMPLATE)?;
        if let Some(route) = routes
            .iter()
            .find(|route| !functions.hosts(&route.function))
        {
            return Err(DevError::Unhosted(route.function.clone()));
        }
        let connectable = Connectable::default();
        let told = Told::default();
        Ok(World {
            port,
            settings: settings.clone(),
            notice,
            clock,
            offset: Mutex::new(offset),
            secrets: RwLock::new(secrets),
            // A shop is at any address, so those come last.
            apis: Apis::new(
                [
                    apis::books(),
                    apis::backends(),
                    told.all(),
                    connectable.all(),
                ]
                .concat(),
                stand_in.clone(),
            ),
            connectable,
            told,
            stand_in,
            routes,
            functions: RwLock::new(Arc::new(functions)),
            engine,
            store,
            rounds: watch::Sender::new(0),
            chats: watch::Sender::new(0),
            sweeping: tokio::sync::Mutex::default(),
            renewed_hour: AtomicI64::new(0),
            moving: tokio::sync::Mutex::default(),
            stopping: watch::Sender::new(false),
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Gives the stand-in Callbell a webhook to this server, where there is a secret for its path.
    fn subscribe(&self) {
        let secrets = self.secrets();
        let values = secrets.webhooks.get(callbell::KIND);
        let (signing, path) = webhooks::signing_and_path(values);
        if let Some(path) = path {
            let url = format!("{}/callbell/{path}", self.url());
            let events = &callbell::SUBSCRIPTIONS;
            self.stand_in.subscribe(&url, events, signing);
        }
    }

    fn secrets(&self) -> Files {
        self.secrets
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Functions as a new start would make them: nothing that they remember is older than now.
    async fn renew_functions(&self) {
        let base = format!("{}{CALLBELL_PATH}", self.url());
        let providers = format!("{}{APIS_PATH}", self.url());
        match Functions::start(&self.store, &self.secrets(), &base, &providers).await {
            Ok(functions) => {
                let mut held = self
                    .functions
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *held = Arc::new(functions);
            }
            Err(error) => (self.notice)(&error.to_string()),
        }
    }

    fn functions(&self) -> Arc<Functions> {
        self.functions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Moves the clock and remembers by how much.
    fn shift(&self, by: SignedDuration) {
        self.clock.advance(by);
        let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        *offset = offset.saturating_add(by);
        self.keep("clock", &offset.as_millis().to_string());
    }

    /// Writes a small file of the data folder beside and renames it, so that a killed server leaves a
    /// whole one. What cannot be kept is found out again after a restart.
    fn keep(&self, name: &str, text: &str) {
        if let Some(folder) = &self.settings.data {
            let path = folder.join(name);
            let beside = path.with_extension("new");
            let written = std::fs::write(&beside, text);
            let _ = written.and_then(|()| std::fs::rename(&beside, path));
        }
    }

    /// Where the stream was read to before a restart.
    fn stream_position(&self) -> Option<String> {
        let path = self.settings.data.as_ref()?.join("stream");
        std::fs::read_to_string(path)
            .ok()
            .filter(|text| !text.is_empty())
    }
}

/// By how much the clock of this folder is ahead; nothing where it was never moved.
fn read_offset(path: &Path) -> SignedDuration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    SignedDuration::from_millis(text.trim().parse().unwrap_or(0))
}

/// The store over the table of a development server.
///
/// # Errors
/// The HTTP client cannot be made.
pub fn store(endpoint: &str, clock: Clock) -> Result<Store, DevError> {
    let http = client::http_client().map_err(|error| DevError::Setup(error.to_string()))?;
    let client = client::dynamodb(&ClientSettings::local(endpoint), http);
    Ok(Store::new(client, table::TABLE, clock))
}
