//! `callbell connect callbell`: the account's one webhook, which whoever subscribes last takes over. The secret
//! of the path first, so that nothing is refused; then the subscription; then the secret that signs.

use jiff::Timestamp;
use serde_json::json;
use shared::secrets::Secret;
use shared::sources::callbell::{KIND, SUBSCRIPTIONS};

use super::{Outcome, Work};
use crate::ask;
use crate::connect::callbell::{self as account, Webhook};
use crate::connect::keys::{self, Keys, Table};
use crate::error::CliError;
use crate::output;

impl Work<'_> {
    /// Lists, removes or subscribes.
    pub(super) async fn callbell(
        &mut self,
        keys: &mut Keys<'_>,
        secrets: &std::path::Path,
    ) -> Outcome {
        let callbell = self.on.callbell(secrets).await?;
        let refused = |error: engine::callbell::CallError| {
            CliError::new(error.to_string())
                .hint("is the token good? callbell secrets set callbell --api")
        };
        let looked = account::look(&callbell, &self.on.store, self.on.now()).await;
        let webhook = looked.map_err(|error| CliError::new(error.to_string()))?;
        if self.args.list {
            return self.show(webhook);
        }
        self.say(self.now(webhook));
        if self.args.remove.is_some() || self.args.remove_all {
            let question = "remove the account's webhook, wherever it goes?";
            if !self.args.yes && !ask::confirm(question)? {
                self.say("nothing was removed");
                return Ok(1);
            }
            callbell.unsubscribe().await.map_err(refused)?;
            self.say("removed; the secrets stay where they are");
            if self.args.json {
                output::json(&json!({ "removed": [KIND] }))?;
            }
            return Ok(0);
        }
        let (values, new) = self.path_secret(keys).await?;
        let path = account::path_of(&values).map_or("", Secret::expose);
        self.url = self.on.door(KIND, path)?;
        self.say(format!("{KIND} → {}", account::masked(&self.url)));
        self.tell_needs(&SUBSCRIPTIONS);
        if !self.may_take_over(webhook)? {
            self.say("nothing was changed");
            return Ok(1);
        }
        let started = self.on.now();
        if keys.keep(Table::Webhooks, KIND, &values).await? {
            self.say(format!(
                "secrets kept in {}",
                self.kept_in(keys, Table::Webhooks)
            ));
        }
        callbell
            .subscribe(&self.url, &SUBSCRIPTIONS)
            .await
            .map_err(refused)?;
        // What failed before is another webhook's.
        if !matches!(webhook, Webhook::Here(_)) {
            self.on.store.begin_missed().await?;
        }
        self.say(format!("subscribed: {}", SUBSCRIPTIONS.join(", ")));
        self.tell_signing(&values);
        self.first_event(&values, new, started).await
    }

    /// The values that the door is to accept, and whether the path is a new one. The old ones stay: webhooks
    /// that are on their way, and those that sign.
    async fn path_secret(&self, keys: &Keys<'_>) -> Result<(Vec<Secret>, bool), CliError> {
        let mut values = keys.get(Table::Webhooks, KIND);
        for value in keys.on_aws(Table::Webhooks, KIND).await? {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let new = account::path_of(&values).is_none() || self.args.rotate;
        if new {
            values.insert(0, keys::make()?);
        }
        Ok((values, new))
    }

    /// Whoever had the webhook gets nothing any more: nobody is asked where it is ours already.
    fn may_take_over(&self, webhook: Webhook) -> Result<bool, CliError> {
        if matches!(webhook, Webhook::Here(_)) {
            return Ok(true);
        }
        self.say(
            "Callbell has one webhook an account: whatever it goes to now (a Zap, Make, another program) gets nothing any more",
        );
        Ok(self.args.yes || ask::confirm("take it over?")?)
    }

    /// What Callbell says of the webhook, which is not where it goes.
    fn now(&self, webhook: Webhook) -> String {
        let at = |instant: Timestamp| instant.strftime("%Y-%m-%d %H:%M UTC").to_string();
        match webhook {
            Webhook::Unknown => {
                "the account's webhook: nothing was delivered lately, and Callbell does not say where it goes"
                    .to_owned()
            }
            Webhook::Here(newest) => {
                format!("the account's webhook goes here: the last came at {}", at(newest))
            }
            Webhook::Elsewhere(newest) => format!(
                "the account's webhook goes somewhere else: what was delivered at {} did not come here",
                at(newest)
            ),
            Webhook::Failing(since, why) => {
                format!("the account's webhook fails since {}: {why}", at(since))
            }
        }
    }

    fn show(&self, webhook: Webhook) -> Outcome {
        if self.args.json {
            let state = match webhook {
                Webhook::Unknown => "unknown",
                Webhook::Here(_) => "here",
                Webhook::Elsewhere(_) => "elsewhere",
                Webhook::Failing(..) => "failing",
            };
            output::json(&json!({ "webhook": state }))?;
        }
        self.say(self.now(webhook));
        Ok(0)
    }

    fn tell_signing(&self, values: &[Secret]) {
        if account::is_signed(values) {
            return;
        }
        let push = match self.on.stack() {
            Some(stack) => format!(", then callbell secrets push{}", stack.flag()),
            None => String::new(),
        };
        self.say(format!(
            "its path is the only proof so far. Callbell: Settings, API, Webhooks, \"Generate secret\"; then\n  callbell secrets set {KIND} --add{push}\nand paste what begins with whsec_"
        ));
    }

    async fn first_event(&self, values: &[Secret], new: bool, started: Timestamp) -> Outcome {
        let seen = if self.args.no_wait {
            None
        } else {
            self.wait(started).await?
        };
        if self.args.json {
            output::json(&json!({
                "connection": KIND, "kind": KIND, "url": account::masked(&self.url),
                "secret": account::path_of(values).filter(|_| new).map(Secret::fingerprint),
                "signed": account::is_signed(values), "topics": SUBSCRIPTIONS,
                "first_event_after_s": seen.map(|seen| seen.as_secs()),
            }))?;
        }
        Ok(0)
    }
}
