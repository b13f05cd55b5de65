//! A running `callbell dev`: where its table is, and a few questions over HTTP. Also the Callbell account that a
//! command asks, its stand-in's or the real one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::callbell::Callbell;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Clock;
use shared::secrets::Secret;
use shared::store::Store;

use crate::args::AccountArgs;
use crate::dev;
use crate::dev::secrets::{CALLBELL, Files};
use crate::error::CliError;

/// Longest wait for an answer of the development server, in seconds.
const ANSWER_SECONDS_MAX: u64 = 10;

/// A running `callbell dev`.
pub struct Local {
    http: reqwest::Client,
    base: String,
    port: u16,
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    now: Timestamp,
    dynamodb: String,
    callbell: String,
    secrets: Option<PathBuf>,
}

impl Local {
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
        Ok(Local {
            http,
            base,
            port,
            info,
        })
    }

    /// Its table. Its clock may have been moved: rows are written and read at its time.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn store(&self) -> Result<Store, CliError> {
        let clock = Clock::shifted();
        clock.advance(self.info.now.duration_since(clock.now()));
        Ok(dev::store(&self.info.dynamodb, clock)?)
    }

    /// What to add to a command to mean this server again.
    pub fn flag(&self) -> String {
        match self.port {
            dev::PORT => " --local".to_owned(),
            port => format!(" --local={port}"),
        }
    }

    /// Its secrets file; `None`: it has demo values.
    pub fn secrets(&self) -> Option<&Path> {
        self.info.secrets.as_deref()
    }

    /// Where a connection's webhooks go.
    pub fn door(&self, function: &str, connection: &str) -> String {
        format!("{}/{function}/{connection}", self.base)
    }

    /// Where its stand-ins of the providers' APIs are.
    pub fn apis(&self) -> String {
        format!("{}{}", self.base, dev::APIS_PATH)
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

/// An address that is asked instead of Callbell's own, as the functions have it.
const CALLBELL_API_URL: &str = "CALLBELL_API_URL";

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
    let other = std::env::var(CALLBELL_API_URL).unwrap_or_default();
    let base = match other.as_str() {
        "" => engine::callbell::BASE_URL,
        other => other,
    };
    client(base, &Files::read(&args.secrets)?)
}

fn client(base: &str, files: &Files) -> Result<Callbell, CliError> {
    let token: &Secret = files.apis.get(CALLBELL).first().ok_or_else(|| {
        CliError::new("there is no Callbell token").hint(
            "callbell secrets set callbell --api; the token stands in Callbell's dashboard, Settings, API",
        )
    })?;
    Callbell::new(base, token).map_err(|error| CliError::new(error.to_string()))
}
