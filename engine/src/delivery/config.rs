//! The pushed automations, as this worker has them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::store::{ConfigRow, Store, StoreError};
use tokio::sync::Mutex;

use crate::automations;
use crate::automations::model::Automations;
use crate::automations::templates::Templates;
use crate::plan::opt_out;

/// A copy older than this is read again.
const FRESH_FOR: SignedDuration = SignedDuration::from_mins(1);

/// One version of the automations file, ready to use.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) version: u64,
    pub(super) automations: Automations,
    templates: Templates,
}

impl Configured {
    /// A file that was not pushed, for explaining what it would do.
    pub(super) fn unpushed(automations: Automations, templates: Templates) -> Configured {
        Configured {
            version: 0,
            automations: opt_out::built_in(automations),
            templates,
        }
    }

    /// The sentence of a template, where templates.json has it.
    pub(super) fn fill(&self, uuid: &str, values: &[String]) -> Option<String> {
        let template = self
            .templates
            .get(uuid)
            .filter(|template| !template.text.is_empty());
        template.map(|template| template.fill(values))
    }
}

/// Reads the configuration at start and whenever the copy is a minute old. A version that cannot be read
/// (pushed by a newer command line) is passed over: the last good one stays in force.
#[derive(Debug, Default)]
pub(super) struct Configuration(Mutex<Copy>);

#[derive(Debug, Default)]
struct Copy {
    read_at: Option<Timestamp>,
    good: Option<Arc<Configured>>,
    unreadable: Option<u64>,
}

impl Configuration {
    /// The automations now; `None`: nothing was pushed yet.
    ///
    /// # Errors
    /// What the store reports, where there is no copy to go on with.
    pub(super) async fn get(&self, store: &Store) -> Result<Option<Arc<Configured>>, StoreError> {
        let now = store.clock().now();
        let mut copy = self.0.lock().await;
        let fresh = copy
            .read_at
            .is_some_and(|at| now.duration_since(at).abs() < FRESH_FOR);
        if fresh && copy.good.is_some() {
            return Ok(copy.good.clone());
        }
        match store.config().await {
            Ok(Some(row)) => {
                copy.read_at = Some(now);
                copy.take(&row);
            }
            Ok(None) => copy.good = None,
            Err(error) if copy.good.is_none() => return Err(error),
            Err(error) => {
                tracing::warn!(outcome = "configuration not read", reason = %error);
            }
        }
        Ok(copy.good.clone())
    }

    /// Has the next [`Configuration::get`] read again.
    pub(super) async fn forget(&self) {
        self.0.lock().await.read_at = None;
    }
}

impl Copy {
    fn take(&mut self, row: &ConfigRow) {
        if self
            .good
            .as_ref()
            .is_some_and(|good| good.version == row.version)
            || self.unreadable == Some(row.version)
        {
            return;
        }
        match automations::parse(&row.file) {
            Ok(automations) => {
                self.unreadable = None;
                // Without them messages go out all the same; only their sentences are not known.
                let templates = Templates::from_json(&row.templates).unwrap_or_default();
                let version = row.version;
                self.good = Some(Arc::new(Configured {
                    version,
                    automations: opt_out::built_in(automations),
                    templates,
                }));
            }
            Err(problems) => self.pass_over(row.version, problems.len()),
        }
    }

    fn pass_over(&mut self, version: u64, problems: usize) {
        self.unreadable = Some(version);
        tracing::error!(
            outcome = "configuration unusable",
            config.version = version,
            config.problems = problems
        );
    }
}
