//! Jobs of which nobody knows whether their message exists: Callbell's own history is asked.
//!
//! A message of ours is one of the person's messages with status `sent`, made from five seconds before
//! the claim, with the same text, whose uuid no other job has. One such message settles the job as sent.
//! None, in a history that was read back past the claim, means that the request never arrived: due
//! again, once. Anything else is not knowledge, and the user's `if_unknown` decides.

use std::iter;

use jiff::{SignedDuration, Timestamp};
use shared::store::{JobRow, Settle, Status, StoreError};

use super::attempt::text_digest;
use super::backoff::after_limit;
use super::config::Configured;
use super::decide::{PAUSED_RECHECK, RECHECK, forgotten};
use super::rate::Taken;
use super::route::{Found, Route};
use super::{Run, Worker};
use crate::actions::message::Recipient;
use crate::automations::model::IfUnknown;
use crate::callbell::{CallError, HistoryMessage};
use crate::phone;

/// Clocks differ: a message may seem that much older than its claim.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(5);
/// Pages of a person's history that are read at most.
const PAGES_MAX: u32 = 10;
/// How long Callbell may leave the question unanswered before a person has to look.
const ASK_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Most uncertain ends of one job that `resend` answers with another send: each may be one more copy.
const RESENDS_MAX: u32 = 2;

/// What the history says.
enum Verdict {
    /// Exactly this message.
    Sent(String),
    /// Surely nothing.
    NotThere,
    /// It cannot be told.
    Unclear(&'static str),
    /// Callbell did not answer now.
    Later(String),
    /// The red button is pressed.
    Paused,
    /// No token: the time is up.
    NotNow,
}

/// A person whose history is asked for.
enum Whom {
    /// By Callbell's number of them.
    Contact(String),
    /// By the phone, on this channel.
    Phone {
        e164: String,
        channel: Option<String>,
    },
}

impl Worker {
    /// Settles an uncertain job.
    pub(super) async fn reconcile(&self, job: &JobRow, run: &Run) -> Result<(), StoreError> {
        let Some(configured) = self.configuration.get(&self.store).await? else {
            return Ok(());
        };
        let now = self.store.clock().now();
        let verdict = if job.uncertainties > 1 {
            Verdict::Unclear("the answer was lost a second time")
        } else {
            self.ask(job, &configured, run).await?
        };
        let unknown = |why: &str| {
            let reason = format!(
                "{}; {why}",
                job.reason.as_deref().unwrap_or("the answer was lost")
            );
            match Found::of(job, &configured)
                .map_or(IfUnknown::Hold, |found| found.if_unknown(&configured))
            {
                IfUnknown::Resend if job.uncertainties <= RESENDS_MAX => {
                    Settle::Due { at: now, reason }
                }
                IfUnknown::Resend | IfUnknown::Hold => Settle::Held(reason),
            }
        };
        let settle = match verdict {
            Verdict::Sent(uuid) => Settle::Sent { uuid: Some(uuid) },
            Verdict::NotThere => Settle::Due {
                at: now,
                reason: "Callbell's history does not have it".to_owned(),
            },
            Verdict::Unclear(why) => unknown(why),
            Verdict::Later(_)
                if job
                    .claimed_at
                    .is_none_or(|at| now.duration_since(at) > ASK_FOR) =>
            {
                unknown("Callbell could not say")
            }
            Verdict::Later(reason) => Settle::Wait {
                at: now + RECHECK,
                reason,
            },
            Verdict::Paused => Settle::Wait {
                at: now + PAUSED_RECHECK,
                reason: job.reason.clone().unwrap_or_else(|| "paused".to_owned()),
            },
            Verdict::NotNow => return Ok(()),
        };
        // What Callbell's history shows is true after a restore too; what it leaves open is not repeated.
        let changed = match (&settle, forgotten(job, self.nothing_before)) {
            (Settle::Due { .. } | Settle::Held(_), Some(ended)) => {
                let from = &[Status::Uncertain];
                self.store.end(&job.id, job.version, from, &ended).await?
            }
            _ => self.store.settle(&job.id, job.version, &settle).await?,
        };
        self.note(&changed, run);
        Ok(())
    }

    async fn ask(
        &self,
        job: &JobRow,
        configured: &Configured,
        run: &Run,
    ) -> Result<Verdict, StoreError> {
        let (Some(digest), Some(claimed_at)) = (&job.request.text_digest, job.claimed_at) else {
            return Ok(Verdict::Unclear("its text is not known"));
        };
        let Some(whom) = self.recipient(job, configured).await? else {
            return Ok(Verdict::Unclear("whom it went to cannot be told any more"));
        };
        let since = claimed_at - CLOCK_SKEW;
        let contacts = match self.contacts(&whom, configured, run).await? {
            Ok(contacts) => contacts,
            Err(verdict) => return Ok(verdict),
        };
        let mut matches = Vec::new();
        for contact in contacts {
            match self.history(&contact, since, configured, run).await? {
                Ok(messages) => matches.extend(messages),
                Err(verdict) => return Ok(verdict),
            }
        }
        let mut ours = Vec::new();
        for message in matches
            .iter()
            .filter(|message| is_ours(message, since, digest))
        {
            let owner = self.store.message_job(&message.uuid).await?;
            if owner.is_none_or(|other| other == job.id) {
                ours.push(message.uuid.clone());
            }
        }
        Ok(verdict(ours))
    }

    /// Under which numbers Callbell has a person; or why that cannot be had.
    async fn contacts(
        &self,
        whom: &Whom,
        configured: &Configured,
        run: &Run,
    ) -> Result<Result<Vec<String>, Verdict>, StoreError> {
        let (phone, channel) = match whom {
            Whom::Contact(uuid) => return Ok(Ok(vec![uuid.clone()])),
            Whom::Phone { e164, channel } => (e164, channel.as_deref()),
        };
        let mut contacts = Vec::new();
        // Callbell may know the person by the other form of the number. A message makes its contact, so
        // a person whom it knows by neither got none.
        for number in iter::once(phone.clone()).chain(phone::other_form(phone)) {
            match self.token(configured, run).await? {
                Taken::Token(_) => {}
                Taken::Paused => return Ok(Err(Verdict::Paused)),
                Taken::TooLate => return Ok(Err(Verdict::NotNow)),
            }
            match self.callbell().contact_by_phone(&number, channel).await {
                Ok(contact) => contacts.extend(contact.map(|contact| contact.uuid)),
                Err(error) => return Ok(Err(self.no_answer(&error))),
            }
        }
        Ok(Ok(contacts))
    }

    /// A contact's messages, read back past `since`; or why that cannot be had.
    async fn history(
        &self,
        contact: &str,
        since: Timestamp,
        configured: &Configured,
        run: &Run,
    ) -> Result<Result<Vec<HistoryMessage>, Verdict>, StoreError> {
        let mut messages = Vec::new();
        for number in 1..=PAGES_MAX {
            match self.token(configured, run).await? {
                Taken::Token(_) => {}
                Taken::Paused => return Ok(Err(Verdict::Paused)),
                Taken::TooLate => return Ok(Err(Verdict::NotNow)),
            }
            let page = match self.callbell().messages(contact, number).await {
                Ok(page) => page,
                Err(error) => return Ok(Err(self.no_answer(&error))),
            };
            let past = page.items.iter().any(|message| message.created_at < since);
            messages.extend(page.items);
            if past || !page.more {
                return Ok(Ok(messages));
            }
        }
        Ok(Err(Verdict::Unclear(
            "the history is longer than what is read",
        )))
    }

    /// Whom the lost request went to, where that can still be told: the digest kept at the claim has to
    /// match.
    async fn recipient(
        &self,
        job: &JobRow,
        configured: &Configured,
    ) -> Result<Option<Whom>, StoreError> {
        let Ok(found) = Found::of(job, configured) else {
            return Ok(None);
        };
        let Some((known, _)) = self.known_of(job, configured).await? else {
            return Ok(None);
        };
        let route = Route::of(job, configured, &found, &known, self.store.clock().now());
        let Ok(to) = &route.to else { return Ok(None) };
        if job.request.recipient.as_deref() != Some(to.person().digest()) {
            return Ok(None);
        }
        if let Some(uuid) = route.contact_on(job.request.channel.as_deref()) {
            return Ok(Some(Whom::Contact(uuid)));
        }
        let channel = job.request.channel.as_ref();
        let channel = channel.and_then(|name| configured.automations.channels.get(name));
        Ok(match to {
            Recipient::Phone(phone) => Some(Whom::Phone {
                e164: phone.e164.clone(),
                channel: channel.map(|channel| channel.uuid.clone()),
            }),
            Recipient::Bsuid(_) => None,
        })
    }

    fn no_answer(&self, error: &CallError) -> Verdict {
        if let CallError::Limited { retry_after } = error {
            self.tokens.take_a_break(after_limit(
                self.store.clock().now(),
                *retry_after,
                &self.random,
            ));
        }
        match error {
            CallError::Refused { .. } => Verdict::Unclear("Callbell does not show the history"),
            other => Verdict::Later(format!("it is not known whether it was sent; {other}")),
        }
    }
}

fn is_ours(message: &HistoryMessage, since: Timestamp, digest: &str) -> bool {
    message.status == "sent"
        && message.created_at >= since
        && message
            .text
            .as_deref()
            .is_some_and(|text| text_digest(text) == digest)
}

fn verdict(mut matches: Vec<String>) -> Verdict {
    matches.sort();
    matches.dedup();
    match (matches.pop(), matches.is_empty()) {
        (None, _) => Verdict::NotThere,
        (Some(uuid), true) => Verdict::Sent(uuid),
        (Some(_), false) => Verdict::Unclear("the history has several like it"),
    }
}
