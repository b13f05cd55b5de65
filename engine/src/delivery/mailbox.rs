//! One sync of a mailbox: what was added behind the place that was reached last is listed page by page, each
//! mail fetched and stored, and only then the place moved on. One sync at a time a mailbox.
//!
//! The place in a push is never begun at: what changed lies before it.
//! <https://developers.google.com/workspace/gmail/api/guides/push#receive-notifications>

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::event::Event;
use shared::sources::gmail::{Ask, Look, labels, mail, mailbox};
use shared::store::{MailboxRow, Owner};

use super::Worker;
use super::calendar::{BUSY, CLOCK_SKEW, GOOGLE_SKEW, TURN_WAIT};
use super::fetching::{Failed, Fetched, Question, Tally};
use crate::fetch::FetchError;
use crate::fetch::gmail as google;
use crate::fetch::google_auth::{AccessToken, MAILBOX};

/// Mails that are fetched at once: one costs 5 of the 250 units that a mailbox has a second.
/// <https://developers.google.com/workspace/gmail/api/reference/quota>
const MAILS_AT_ONCE: usize = 5;
/// Mails that are held in memory, each of 8 MB at most.
const MAILS_HELD: usize = 10;
/// Most pages of one run; the next run goes on.
const PAGES_MAX: usize = 20;
/// Most mails that are looked for where the history is gone: more than these are no news any more.
const RECOVERED_MAX: usize = 200;
/// So long after a push Gmail's history may not show yet what it says.
const BEHIND_FOR: SignedDuration = SignedDuration::from_secs(30);
/// What the ids of the user's own labels begin with.
const OWN_LABEL: &str = "Label_";

/// A sync under way.
#[derive(Clone, Copy)]
struct Sync<'a> {
    question: Question<'a>,
    row: &'a MailboxRow,
    token: &'a AccessToken,
    now: Timestamp,
    /// What arrived before is no news.
    since: Timestamp,
}

/// How far a run came.
struct Listed {
    tally: Tally,
    /// Everything before it is stored.
    reached: u64,
    /// There is more.
    goes_on: bool,
    /// The history was gone.
    recovered: bool,
}

impl Worker {
    /// Answers one question about a mailbox.
    pub(super) async fn sync_mailbox(&self, question: Question<'_>) -> Result<Fetched, Failed> {
        let name = &question.connection.name;
        let Some(ask) = Ask::of(question.changed) else {
            return Ok(Fetched::Done("no question about a mailbox".to_owned()));
        };
        let turn = self.turns.of(name);
        let Ok(_turn) = tokio::time::timeout(TURN_WAIT, turn.lock()).await else {
            return Ok(Fetched::Later(self.soon(), "the mailbox is being read"));
        };
        let Some(row) = self.store.mailbox(name).await? else {
            return Ok(Fetched::Done("no mailbox is connected".to_owned()));
        };
        if let Some(why) = needless(&ask, &row, question.row.received_at) {
            return Ok(Fetched::Done(why.to_owned()));
        }
        let owner = Owner::new()?;
        let Some(row) = self.store.begin_mailbox(name, &owner).await? else {
            let why = "another worker reads the mailbox";
            return Ok(Fetched::Later(self.soon(), why));
        };
        let synced = self.sync_as_reader(question, &ask, &row, &owner).await;
        if let Err(failed) = &synced {
            self.store.release_mailbox(name, &owner).await?;
            if let Failed::Fetch(error) = failed {
                let why = error.to_string();
                self.store.note_mailbox_failing(name, Some(&why)).await?;
            }
        }
        synced
    }

    /// When a question is asked again that somebody else may be answering.
    fn soon(&self) -> Timestamp {
        let now = self.store.clock().now();
        now.saturating_add(BUSY).unwrap_or(now)
    }

    async fn sync_as_reader(
        &self,
        question: Question<'_>,
        ask: &Ask,
        row: &MailboxRow,
        owner: &Owner,
    ) -> Result<Fetched, Failed> {
        let fetching = question.fetching;
        let now = self.store.clock().now();
        let secrets = fetching.secrets(&row.connection).await?;
        let token = fetching
            .google()
            .get(fetching.apis(), &secrets, MAILBOX, now)
            .await?;
        // What the history has is new, whatever Google's clock says.
        let since = row.connected_at;
        let since = since.saturating_sub(GOOGLE_SKEW).unwrap_or(since);
        let sync = Sync {
            question,
            row,
            token: &token,
            now,
            since,
        };
        let listed = match self.list_added(sync, owner).await {
            Err(Failed::Fetch(FetchError::TokenGone)) => self.recover(sync).await,
            listed => listed,
        };
        if let Err(Failed::Fetch(FetchError::Refused(_))) = &listed {
            fetching.google().forget(&secrets);
        }
        self.keep_reached(sync, ask, listed?, owner).await
    }

    async fn keep_reached(
        &self,
        sync: Sync<'_>,
        ask: &Ask,
        listed: Listed,
        owner: &Owner,
    ) -> Result<Fetched, Failed> {
        let name = &sync.row.connection;
        if listed.goes_on {
            self.store.release_mailbox(name, owner).await?;
            return Ok(Fetched::Later(sync.now, "the history goes on"));
        }
        let (reached, from) = (listed.reached, sync.now);
        if !self
            .store
            .finish_mailbox(name, owner, reached, from)
            .await?
        {
            return Ok(Fetched::Later(sync.now, "the mailbox was taken over"));
        }
        let age = sync.now.duration_since(sync.question.row.received_at);
        match ask {
            Ask::Push { history, .. } if *history > reached && age < BEHIND_FOR => Ok(
                Fetched::Later(self.soon(), "the history is behind what was pushed"),
            ),
            _ if listed.recovered => Ok(Fetched::Done(format!(
                "the history was too old, so what arrived since was looked for: {}",
                listed.tally.words()
            ))),
            _ => Ok(Fetched::Done(listed.tally.words())),
        }
    }

    /// What was added behind the place that was reached last. After each page the place moves on.
    async fn list_added(&self, sync: Sync<'_>, owner: &Owner) -> Result<Listed, Failed> {
        let apis = sync.question.fetching.apis();
        let since = sync.row.history;
        let mut listed = Listed {
            tally: Tally::default(),
            reached: since,
            goes_on: false,
            recovered: false,
        };
        let mut names = None;
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            if self.is_over(sync.question.run) {
                break;
            }
            let page = google::history(apis, sync.token, since, next.as_deref()).await?;
            let events = self.read_mails(sync, &page.added, &mut names).await?;
            listed
                .tally
                .add(self.store_found(events, sync.question).await?);
            next = page.next;
            if next.is_none() {
                let newest = page.newest.or(page.reached).unwrap_or(since);
                listed.reached = newest.max(since);
                return Ok(listed);
            }
            if let Some(reached) = page.reached {
                listed.reached = reached.max(listed.reached);
                let name = &sync.row.connection;
                if !self
                    .store
                    .reach_mailbox(name, owner, listed.reached)
                    .await?
                {
                    break;
                }
            }
        }
        listed.goes_on = true;
        Ok(listed)
    }

    /// Where Gmail does not know any more what came behind our place: what arrived since the last sync, as
    /// far as it is in the inbox. What is stored already is not stored again.
    /// <https://developers.google.com/workspace/gmail/api/guides/sync#limitations>
    async fn recover(&self, sync: Sync<'_>) -> Result<Listed, Failed> {
        let apis = sync.question.fetching.apis();
        // First: what arrives while the search goes on lies behind it.
        let profile = google::profile(apis, sync.token).await?;
        let since = sync.row.synced_from.unwrap_or(sync.row.connected_at);
        let since = since.saturating_sub(GOOGLE_SKEW).unwrap_or(since);
        let (mut ids, mut next) = (Vec::new(), None::<String>);
        while ids.len() < RECOVERED_MAX {
            let (page, more) = google::arrived(apis, sync.token, since, next.as_deref()).await?;
            ids.extend(page);
            next = more;
            if next.is_none() {
                break;
            }
        }
        let left_out = next.is_some() || ids.len() > RECOVERED_MAX;
        ids.truncate(RECOVERED_MAX);
        ids.reverse();
        super::log::history_gone(&sync.row.connection, since, ids.len(), left_out);
        // A search finds what was there when the mailbox was connected as well.
        let sync = Sync {
            since: sync.row.connected_at,
            ..sync
        };
        let events = self.read_mails(sync, &ids, &mut None).await?;
        Ok(Listed {
            tally: self.store_found(events, sync.question).await?,
            reached: profile.history,
            goes_on: false,
            recovered: true,
        })
    }

    /// The events of these messages, in their order. Names of labels are asked for once a run, where a mail
    /// has one of the user's own.
    async fn read_mails(
        &self,
        sync: Sync<'_>,
        ids: &[String],
        names: &mut Option<BTreeMap<String, String>>,
    ) -> Result<Vec<Event>, Failed> {
        let mut events = Vec::new();
        // Mails may be large: few of them are held at a time.
        for some in ids.chunks(MAILS_HELD) {
            events.extend(self.read_some(sync, some, names).await?);
        }
        Ok(events)
    }

    async fn read_some(
        &self,
        sync: Sync<'_>,
        ids: &[String],
        names: &mut Option<BTreeMap<String, String>>,
    ) -> Result<Vec<Event>, Failed> {
        let apis = sync.question.fetching.apis();
        let messages: Vec<Option<Value>> = stream::iter(ids.to_vec())
            .map(|id| async move { google::message(apis, sync.token, &id).await })
            .buffered(MAILS_AT_ONCE)
            .try_collect()
            .await?;
        let is_own = |message: &Value| {
            let mut labels = labels(message).into_iter();
            labels.any(|label| label.starts_with(OWN_LABEL))
        };
        if names.is_none() && messages.iter().flatten().any(is_own) {
            *names = Some(google::label_names(apis, sync.token).await?);
        }
        let none = BTreeMap::new();
        let look = Look {
            connection: sync.question.connection,
            address: &sync.row.address,
            labels: names.as_ref().unwrap_or(&none),
            since: sync.since,
        };
        let found = messages.iter().flatten();
        Ok(found.filter_map(|message| mail(message, &look)).collect())
    }
}

/// Why there is nothing to ask.
fn needless(ask: &Ask, row: &MailboxRow, received_at: Timestamp) -> Option<&'static str> {
    match ask {
        Ask::Push { mailbox: of, .. } if *of != mailbox(&row.address) => {
            Some("the push is another mailbox's")
        }
        Ask::Push { history, .. } if *history <= row.history => Some("all of it is known"),
        Ask::Push { .. } => None,
        Ask::Poll => {
            let covered = row.synced_from.is_some_and(|from| {
                let from = from.saturating_sub(CLOCK_SKEW).unwrap_or(from);
                received_at < from
            });
            covered.then_some("a sync that began later has it")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_asked_again() {
        let now = testkit::start();
        let row = MailboxRow {
            connection: "gmail".to_owned(),
            address: "Vendas@example.com".to_owned(),
            topic: "projects/p/topics/t".to_owned(),
            door: "https://example.com/emails/gmail".to_owned(),
            connected_at: now,
            history: 100,
            synced_from: Some(now),
            watched_until: None,
            failing: None,
        };
        let push = |address: &str, history| Ask::Push {
            mailbox: mailbox(address),
            history,
        };
        let second = SignedDuration::from_secs(1);
        for (ask, received_at, needless_is) in [
            (push("vendas@example.com", 101), now - second, false),
            (push("vendas@example.com", 100), now + second, true),
            (push("vendas@example.com", 99), now + second, true),
            (push("other@example.com", 101), now + second, true),
            (Ask::Poll, now + second, false),
            (Ask::Poll, now - second, true),
        ] {
            let why = needless(&ask, &row, received_at);
            assert_eq!(why.is_some(), needless_is, "{ask:?}: {why:?}");
        }
    }
}
