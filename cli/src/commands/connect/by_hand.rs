//! `callbell connect` where a system's API registers no webhooks: the secrets are made and pushed, then what a
//! person has to do on the system's own pages is printed, with everything filled in, and then a first event
//! is waited for.

use serde_json::json;
use shared::secrets::Secret;

use super::{Outcome, Work};
use crate::ask;
use crate::commands::secrets;
use crate::connect::keys::{self, Keys, Table};
use crate::connect::{self, ByHand, SecretOf, needs};
use crate::error::CliError;
use crate::output;

impl Work<'_> {
    pub(super) async fn by_hand(&self, keys: &mut Keys<'_>) -> Outcome {
        let kind = self.args.kind;
        if self.args.list || self.args.remove.is_some() || self.args.remove_all {
            return Err(CliError::new(format!(
                "{}'s API shows no webhooks: they are on its own pages",
                kind.title()
            )));
        }
        let topics = needs::wanted(kind, &self.needs);
        self.say(format!("{} → {}", self.name, self.url));
        self.tell_needs(&topics);
        let (values, is_new) = self.own_secret(keys).await?;
        let secret = kind.given(&values).cloned();
        let secret = secret.unwrap_or_else(|| Secret::new(""));
        let made = keys.keep(Table::Webhooks, self.name, &values).await?;
        if made {
            self.say(format!(
                "secret (fingerprint {}) kept in {}",
                secret.fingerprint(),
                self.kept_in(keys, Table::Webhooks)
            ));
        }
        self.credential_by_hand(keys).await?;
        let address = kind.address(&self.url, &secret);
        let flag = self.on.flag();
        let by_hand = ByHand {
            name: self.name,
            connection: self.connection,
            table: self.table,
            url: &address,
            secret: &secret,
            is_new,
            is_json: self.args.json,
            topics: &topics,
            flag: &flag,
        };
        let steps = kind.steps(&by_hand);
        for (number, step) in steps.iter().enumerate() {
            self.say(format!("{}. {step}", number.saturating_add(1)));
        }
        let started = self.on.now();
        let seen = if self.args.no_wait {
            None
        } else {
            self.wait(started).await?
        };
        if self.args.json {
            output::json(&json!({
                "connection": self.name, "kind": kind.as_str(), "url": self.url, "steps": steps,
                "secret": made.then(|| secret.fingerprint()), "topics": topics,
                "first_event_after_s": seen.map(|seen| seen.as_secs()),
            }))?;
        }
        Ok(0)
    }

    /// The values that the door is to accept, the one to be given away first; and whether that one was made, or
    /// typed, just now.
    async fn own_secret(&self, keys: &Keys<'_>) -> Result<(Vec<Secret>, bool), CliError> {
        let mut values = keys.get(Table::Webhooks, self.name);
        for value in keys.on_aws(Table::Webhooks, self.name).await? {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        if self.args.kind.given(&values).is_some() && !self.args.rotate {
            return Ok((values, false));
        }
        let new = match self.args.kind.secret_by_hand() {
            SecretOf::Ours | SecretOf::Made => {
                let options = self.options().await?;
                self.args.kind.webhook_secret(keys::make()?, &options)?
            }
            SecretOf::Theirs(own) => own,
            SecretOf::Known(question) if ask::is_terminal() => Secret::new(secrets::ask(question)?),
            SecretOf::Known(question) => {
                return Err(
                    CliError::new(format!("there is no secret of {}", self.name))
                        .hint(format!("callbell secrets set {}: {question}", self.name)),
                );
            }
        };
        values.insert(0, new);
        Ok((values, true))
    }

    /// What the workers ask the system with, where they do.
    async fn credential_by_hand(&self, keys: &mut Keys<'_>) -> Result<(), CliError> {
        let kind = self.args.kind;
        if kind.questions().is_empty() {
            return Ok(());
        }
        let mut known = keys.get(Table::Apis, self.name);
        if known.is_empty() {
            known = keys.on_aws(Table::Apis, self.name).await?;
        }
        if known.is_empty() {
            known.push(connect::credential(kind, self.name)?);
        }
        if keys.keep(Table::Apis, self.name, &known).await? {
            self.say(format!(
                "credential kept in {}",
                self.kept_in(keys, Table::Apis)
            ));
        }
        Ok(())
    }
}
