//! The development server: the routes of template.yaml, the functions' own code, an embedded table with
//! its stream, the minute's schedule and a stand-in for Callbell, in one process on the loopback
//! interface.

mod endpoints;
pub mod envelope;
mod functions;
pub mod routes;
pub mod secrets;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jiff::SignedDuration;
use shared::clock::Clock;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use self::functions::Functions;
use self::routes::Route;
use self::secrets::Files;
use self::table::Engine;
use crate::net::{Cut, Loopback};
use crate::standin::{AccountData, StandIn};

/// The port where nothing else is asked for.
pub const PORT: u16 = 8787;
/// Below which path the stand-in Callbell answers.
pub const CALLBELL_PATH: &str = "/_callbell/v1";

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
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What the parts of the server share.
struct World {
    clock: Clock,
    /// Where the clock's offset is kept.
    clock_file: Option<PathBuf>,
    offset: Mutex<SignedDuration>,
    stand_in: StandIn,
    routes: Vec<Route>,
    functions: RwLock<Arc<Functions>>,
    engine: Engine,
    /// One clock move at a time.
    moving: tokio::sync::Mutex<()>,
    stopping: watch::Receiver<bool>,
}

impl Dev {
    /// Starts everything and returns once requests are answered.
    ///
    /// # Errors
    /// See [`DevError`].
    pub async fn start(settings: &Settings, notice: Notice) -> Result<Dev, DevError> {
        let secrets = match &settings.secrets {
            Some(path) => Files::read(path)?,
            None => Files::demo(),
        };
        if let Some(folder) = &settings.data {
            let failed = |error| DevError::Data(folder.display().to_string(), error);
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = |name: &str| settings.data.as_ref().map(|folder| folder.join(name));
        let listener = Loopback::bind(settings.port)
            .await
            .map_err(|error| DevError::Port(settings.port, error))?;
        let port = listener
            .port()
            .map_err(|error| DevError::Port(settings.port, error))?;
        let clock = Clock::shifted();
        let clock_file = file("clock");
        let offset = clock_file.as_deref().map(read_offset).unwrap_or_default();
        clock.advance(offset);
        let journal = file("callbell.jsonl");
        let stand_in = StandIn::new(clock.clone(), identity, journal.as_deref())
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
        let routes = routes::read(routes::TEMPLATE)?;
        let functions = Functions::new();
        if let Some(route) = routes
            .iter()
            .find(|route| !functions.hosts(&route.function))
        {
            return Err(DevError::Unhosted(route.function.clone()));
        }
        let (stop_sender, stopping) = watch::channel(false);
        let world = Arc::new(World {
            clock,
            clock_file,
            offset: Mutex::new(offset),
            stand_in,
            routes,
            functions: RwLock::new(Arc::new(functions)),
            engine,
            moving: tokio::sync::Mutex::default(),
            stopping,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let app = endpoints::router(&world).into_make_service_with_connect_info::<Cut>();
        let serving = tokio::spawn(async move {
            let serving = axum::serve(listener, app);
            tokio::select! {
                _ = async { serving.await } => {}
                _ = stopped => {}
            }
            let _ = stop_sender.send(true);
        });
        notice(&format!("listening on http://127.0.0.1:{port}"));
        Ok(Dev {
            world,
            port,
            stop: Some(stop),
            tasks: vec![serving],
        })
    }

    /// `http://127.0.0.1:8787`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The stand-in Callbell.
    pub fn stand_in(&self) -> &StandIn {
        &self.world.stand_in
    }

    /// The clock that everything reads.
    pub fn clock(&self) -> &Clock {
        &self.world.clock
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl World {
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
        if let Some(path) = &self.clock_file {
            // Written beside and renamed, so that a killed server leaves a whole file.
            let beside = path.with_extension("new");
            let written = std::fs::write(&beside, offset.as_millis().to_string());
            let _ = written.and_then(|()| std::fs::rename(&beside, path));
        }
    }
}

/// By how much the clock of this folder is ahead; nothing where it was never moved.
fn read_offset(path: &Path) -> SignedDuration {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    SignedDuration::from_millis(text.trim().parse().unwrap_or(0))
}

/// What folds the forms of one number into one.
fn identity(phone: &str) -> String {
    engine::phone::identity(phone)
}
