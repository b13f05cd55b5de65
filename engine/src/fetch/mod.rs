//! One file a provider whose webhooks do not say all: what is asked there, and how. Nothing here stores
//! anything or decides when; `delivery/fetching.rs` does.

pub mod calendly;
pub mod callbell;
pub mod gmail;
pub mod google_auth;
pub mod google_calendar;
pub mod hubspot;
pub mod pipedrive;
pub mod zendesk;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use shared::clock::Clock;
use shared::connections::Connection;
use shared::event::{Changed, Event};
use shared::secrets::{Secret, Secrets, SecretsProvider};

use crate::actions::deed::{ActError, Desk};
use crate::actions::tokens::Tokens;
use crate::apis::{Apis, Reply, Unanswered};

/// The secrets are read again at most so often.
const REREAD_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A `source.changed` event and what it takes to ask the system what changed.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The APIs and their secrets.
    pub fetching: &'a Fetching,
    /// The connection that it came through.
    pub connection: &'a Connection,
    /// The event.
    pub event: &'a Event,
    /// What it says.
    pub changed: &'a Changed,
    /// Now.
    pub now: Timestamp,
}

impl<'a> Asking<'a> {
    /// What a question is asked with, where a system is asked by the file that writes to it.
    fn desk(&self, secrets: &'a [Secret]) -> Desk<'a> {
        Desk {
            apis: self.fetching.apis(),
            secrets,
            tokens: self.fetching.tokens(),
            job: "",
            now: self.now,
        }
    }
}

/// Why a system did not say what it was asked, by what to do next. Holds nothing of what was asked or
/// answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It does not answer, is out of order, or wants to be asked less often: later.
    #[error("{why}")]
    Unavailable {
        /// What happened.
        why: String,
        /// When it wants to be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// It refuses the token, or there is none: somebody has to mend something first.
    #[error("{0}")]
    Refused(String),
    /// The sync token is too old: everything has to be read.
    #[error("the sync token is no longer valid")]
    TokenGone,
    /// What was asked for is not there.
    #[error("{0} is not there")]
    Missing(&'static str),
    /// The answer is not what it has to be.
    #[error("{0}")]
    Unreadable(String),
}

impl From<Unanswered> for FetchError {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::Malformed | Unanswered::TooLarge | Unanswered::NotPublic => {
                FetchError::Unreadable(error.to_string())
            }
            Unanswered::NotConnected | Unanswered::NoAnswer => FetchError::Unavailable {
                why: error.to_string(),
                retry_after: None,
            },
        }
    }
}

impl From<ActError> for FetchError {
    /// Where a system is asked by the file that writes to it.
    fn from(error: ActError) -> Self {
        match error {
            ActError::Unavailable(why) => FetchError::Unavailable {
                why,
                retry_after: None,
            },
            ActError::Limited { why, retry_after } => FetchError::Unavailable { why, retry_after },
            ActError::Refused(why) => FetchError::Refused(why),
            ActError::Rejected(why) => FetchError::Unreadable(why),
        }
    }
}

/// What a status that is no success means with most providers.
fn refusal(provider: &str, reply: &Reply) -> FetchError {
    let why = format!("{provider} answered {}", reply.status);
    match reply.status {
        401 | 403 => FetchError::Refused(why),
        408 | 425 | 429 | 500.. => FetchError::Unavailable {
            why,
            retry_after: reply.retry_after,
        },
        _ => FetchError::Unreadable(why),
    }
}

/// What it takes to ask other systems, and to write to them: their addresses and the API secrets. Clones share all of it.
#[derive(Clone)]
pub struct Fetching {
    apis: Apis,
    google: Arc<google_auth::Tokens>,
    tokens: Arc<Tokens>,
    secrets: Arc<ApiSecrets>,
}

impl Fetching {
    /// Over these APIs and secrets. Nothing is read or asked before it is needed.
    pub fn new(apis: Apis, provider: SecretsProvider, clock: Clock) -> Fetching {
        Fetching {
            apis,
            google: Arc::default(),
            tokens: Arc::default(),
            secrets: Arc::new(ApiSecrets {
                provider,
                clock,
                copy: Mutex::default(),
            }),
        }
    }

    /// The APIs.
    pub fn apis(&self) -> &Apis {
        &self.apis
    }

    /// Google's access tokens.
    pub fn google(&self) -> &google_auth::Tokens {
        &self.google
    }

    /// What this process remembers of the systems that actions write to.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Goes on with secrets that were read elsewhere.
    pub fn use_secrets(&self, secrets: &Secrets) {
        self.secrets.put(secrets);
    }

    /// The values of a connection's secret.
    ///
    /// # Errors
    /// [`FetchError::Refused`] where it has none, [`FetchError::Unavailable`] where nobody could be asked.
    pub async fn secrets(&self, connection: &str) -> Result<Vec<Secret>, FetchError> {
        self.secrets.get(connection).await
    }

    /// Has the secrets read again before they are used next: one was refused.
    pub fn forget_secrets(&self) {
        self.secrets.forget();
    }
}

impl fmt::Debug for Fetching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetching")
            .field("apis", &self.apis)
            .finish_non_exhaustive()
    }
}

/// The workers' secrets, read when one is needed and again when one is absent or was refused.
struct ApiSecrets {
    provider: SecretsProvider,
    clock: Clock,
    copy: Mutex<Copy>,
}

#[derive(Default)]
struct Copy {
    secrets: Option<Secrets>,
    read_at: Option<Timestamp>,
    refused: bool,
}

impl ApiSecrets {
    fn put(&self, secrets: &Secrets) {
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        *copy = Copy {
            secrets: Some(secrets.clone()),
            read_at: Some(self.clock.now()),
            refused: false,
        };
    }

    fn forget(&self) {
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        copy.refused = true;
    }

    async fn get(&self, name: &str) -> Result<Vec<Secret>, FetchError> {
        if self.wants_reading(name) {
            match self.provider.load().await {
                Ok(secrets) => self.put(&secrets),
                Err(error) => {
                    tracing::warn!(outcome = "secrets not read", reason = %error);
                }
            }
        }
        let copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(secrets) = &copy.secrets else {
            return Err(FetchError::Unavailable {
                why: "the secrets cannot be read".to_owned(),
                retry_after: None,
            });
        };
        match secrets.get(name) {
            [] => Err(FetchError::Refused(
                "there is no API secret of this name".to_owned(),
            )),
            values => Ok(values.to_vec()),
        }
    }

    fn wants_reading(&self, name: &str) -> bool {
        let now = self.clock.now();
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(secrets) = &copy.secrets else {
            return true;
        };
        let old = copy
            .read_at
            .is_none_or(|at| now.duration_since(at).abs() >= REREAD_EVERY);
        let wants = old && (copy.refused || secrets.get(name).is_empty());
        if wants {
            copy.read_at = Some(now);
        }
        wants
    }
}
