//! A running `callbell dev`, as the other commands work on it: its table through the same store, and a few
//! questions over HTTP.

use std::path::PathBuf;
use std::time::Duration;

use engine::callbell::Callbell;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Clock;
use shared::secrets::Secret;
use shared::store::Store;

use crate::args::{AccountArgs, Target};
use crate::dev;
use crate::dev::secrets::{CALLBELL, Files};
use crate::error::CliError;

/// Longest wait for an answer of the development server, in seconds.
const ANSWER_SECONDS_MAX: u64 = 10;

/// A running `callbell dev`.
pub struct Local {
    http: reqwest::Client,
    base: String,
    info: Info,
    /// Its table, on its clock.
    pub store: Store,
}

#[derive(Deserialize)]
struct Info {
    now: Timestamp,
    dynamodb: String,
    callbell: String,
    secrets: Option<PathBuf>,
}

impl Local {
    /// The server that `--local` means.
    ///
    /// # Errors
    /// `--local` is missing, or nobody answers.
    pub async fn of(target: &Target) -> Result<Local, CliError> {
        let port = target.local.ok_or_else(|| {
            let stack = target
                .stack
                .as_deref()
                .map(|stack| format!(" ({stack})"))
                .unwrap_or_default();
            CliError::new(format!(
                "this version does not speak to a stack on AWS yet{stack}"
            ))
            .hint("add --local to work on the callbell dev of this machine")
        })?;
        Local::at(port).await
    }

    /// The server on a port.
    ///
    /// # Errors
    /// Nobody answers there, or somebody else.
    pub async fn at(port: u16) -> Result<Local, CliError> {
        let base = format!("http://127.0.0.1:{port}");
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
            .build()?;
        let answer = http
            .get(format!("{base}/_dev/info"))
            .send()
            .await
            .map_err(|_| {
                CliError::new(format!("no callbell dev answers on port {port}"))
                    .hint("start it in another terminal: callbell dev")
            })?;
        let info: Info = answer.json().await.map_err(|_| {
            CliError::new(format!(
                "what answers on port {port} is no callbell dev of this version"
            ))
        })?;
        // Its clock may have been moved: rows are written and read at its time.
        let clock = Clock::shifted();
        clock.advance(info.now.duration_since(clock.now()));
        let store = dev::store(&info.dynamodb, clock)?;
        Ok(Local {
            http,
            base,
            info,
            store,
        })
    }

    /// Tells it that something was pushed.
    ///
    /// # Errors
    /// It does not answer any more.
    pub async fn reload(&self) -> Result<(), CliError> {
        let answer: Value = self
            .http
            .post(format!("{}/_dev/reload", self.base))
            .send()
            .await?
            .json()
            .await?;
        drop(answer);
        Ok(())
    }

    /// The present instant over there.
    pub fn now(&self) -> Timestamp {
        self.store.clock().now()
    }

    /// A client of its stand-in for Callbell.
    ///
    /// # Errors
    /// Its secrets cannot be read.
    pub fn callbell(&self) -> Result<Callbell, CliError> {
        let files = match &self.info.secrets {
            Some(path) => Files::read(path)?,
            None => Files::demo(),
        };
        client(&self.info.callbell, &files)
    }
}

/// The account that a command asks: the stand-in's with `--local`, else the real one.
///
/// # Errors
/// No token, or no server.
pub async fn account(args: &AccountArgs) -> Result<Callbell, CliError> {
    if let Some(port) = args.local {
        return Local::at(port).await?.callbell();
    }
    if !args.secrets.exists() {
        return Err(
            CliError::new(format!("there is no {}", args.secrets.display())).hint(
                "callbell init writes one; or add --local to ask the callbell dev of this machine",
            ),
        );
    }
    client(engine::callbell::BASE_URL, &Files::read(&args.secrets)?)
}

fn client(base: &str, files: &Files) -> Result<Callbell, CliError> {
    let token: &Secret = files.apis.get(CALLBELL).first().ok_or_else(|| {
        CliError::new("there is no Callbell token").hint(
            "callbell secrets set callbell --api; the token stands in Callbell's dashboard, Settings, API",
        )
    })?;
    Callbell::new(base, token).map_err(|error| CliError::new(error.to_string()))
}
