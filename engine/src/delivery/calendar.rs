//! One sync of a calendar: what changed behind its token is listed to the end, compared with what is stored,
//! and stored; then the token is saved. One sync at a time a calendar, so that two workers do not compare
//! with rows that the other is about to write.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::sources::google_calendar::{
    Ask, Found, HORIZON, Look, Stored, arrange, is_over, item_id, read, vanished,
};
use shared::store::{CursorRow, EntityRow, Owner, Page, StoreError, Synced};

use super::Worker;
use super::fetching::{Failed, Fetched, Question, Tally};
use crate::fetch::FetchError;
use crate::fetch::google_auth::{AccessToken, CALENDAR};
use crate::fetch::google_calendar::{self as google, Listing};

/// How long a question waits for its turn in this process. Each holds the place of a send: a Google that
/// does not answer must not hold up messages.
pub(super) const TURN_WAIT: Duration = Duration::from_secs(3);
/// How long a question waits whose calendar or mailbox somebody else is reading.
pub(super) const BUSY: SignedDuration = SignedDuration::from_secs(5);
/// By how much the clocks of a door and a worker may differ.
pub(super) const CLOCK_SKEW: SignedDuration = SignedDuration::from_millis(100);
/// By how much Google's clock and ours may differ.
pub(super) const GOOGLE_SKEW: SignedDuration = SignedDuration::from_mins(1);
/// Most pages of one list.
const PAGES_MAX: usize = 200;
/// Marks the beginning of the search for what vanished.
const SEARCH_BEGINS: &str = "begin";

/// One sync at a time a calendar, in this process: pushes come in bursts, and the second of a burst needs
/// no question of its own when the first has been answered.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    pub(super) fn of(&self, connection: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(connection.to_owned()).or_default().clone()
    }
}

/// A sync under way.
#[derive(Clone, Copy)]
struct Sync<'a> {
    question: Question<'a>,
    cursor: &'a CursorRow,
    token: &'a AccessToken,
    now: Timestamp,
}

/// What a list came to.
struct Listed {
    found: Vec<Found>,
    /// Every id that was on it.
    ids: HashSet<String>,
    token: Option<String>,
    zone: Option<String>,
    /// The old token was too old, or there was none.
    whole: bool,
}

impl Worker {
    /// Answers one question about a calendar.
    pub(super) async fn sync_calendar(&self, question: Question<'_>) -> Result<Fetched, Failed> {
        let name = &question.connection.name;
        let Some(ask) = Ask::of(question.changed) else {
            return Ok(Fetched::Done("no question about a calendar".to_owned()));
        };
        let turn = self.turns.of(name);
        let Ok(_turn) = tokio::time::timeout(TURN_WAIT, turn.lock()).await else {
            let now = self.store.clock().now();
            let at = now.saturating_add(BUSY).unwrap_or(now);
            return Ok(Fetched::Later(at, "the calendar is being read"));
        };
        let Some(cursor) = self.store.cursor(name).await? else {
            return Ok(Fetched::Done("no calendar is connected".to_owned()));
        };
        if let Some(why) = needless(&ask, &cursor, question.row.received_at) {
            return Ok(Fetched::Done(why.to_owned()));
        }
        let now = self.store.clock().now();
        let owner = Owner::new()?;
        let Some(cursor) = self.store.begin_sync(name, &owner).await? else {
            let at = now.saturating_add(BUSY).unwrap_or(now);
            return Ok(Fetched::Later(at, "another worker reads the calendar"));
        };
        let synced = self.sync_as_owner(question, &ask, &cursor, &owner).await;
        match &synced {
            Ok(_) => {}
            Err(failed) => {
                self.store.release_sync(name, &owner).await?;
                if let Failed::Fetch(error) = failed {
                    self.store
                        .note_failing(name, Some(&error.to_string()))
                        .await?;
                }
            }
        }
        synced
    }

    async fn sync_as_owner(
        &self,
        question: Question<'_>,
        ask: &Ask,
        cursor: &CursorRow,
        owner: &Owner,
    ) -> Result<Fetched, Failed> {
        let fetching = question.fetching;
        let now = self.store.clock().now();
        let secrets = fetching.secrets(&cursor.connection).await?;
        let token = fetching
            .google()
            .get(fetching.apis(), &secrets, CALENDAR, now)
            .await?;
        let sync = Sync {
            question,
            cursor,
            token: &token,
            now,
        };
        let done = match ask {
            Ask::Horizon => self.sync_horizon(sync, owner).await,
            Ask::Push { .. } | Ask::Poll => self.sync_changes(sync, owner).await,
        };
        if let Err(Failed::Fetch(FetchError::Refused(_))) = &done {
            fetching.google().forget(&secrets);
        }
        done
    }

    /// What changed since the last time, or everything.
    async fn sync_changes(&self, sync: Sync<'_>, owner: &Owner) -> Result<Fetched, Failed> {
        let cursor = sync.cursor;
        let Some(listed) = self.list_changes(sync, owner).await? else {
            self.store.release_sync(&cursor.connection, owner).await?;
            return Ok(Fetched::Later(sync.now, "the list goes on"));
        };
        let since = cursor.synced_from.unwrap_or(cursor.connected_at);
        let since = since.saturating_sub(GOOGLE_SKEW).unwrap_or(since);
        let mut tally = self
            .store_found(arrange(listed.found, Some(since)), sync.question)
            .await?;
        // Something may have vanished while nobody looked: also before the calendar was connected again.
        let search = listed
            .whole
            .then(|| SEARCH_BEGINS.to_owned())
            .or(cursor.search.clone());
        let zone = listed.zone.clone().or_else(|| cursor.zone.clone());
        let known = listed.whole.then_some(&listed.ids);
        let search = self
            .search_vanished(sync, zone.as_deref(), search, known, &mut tally)
            .await?;
        let goes_on = search.is_some();
        let synced = Synced {
            token: listed.token,
            from: sync.now,
            zone,
            search,
            horizon: if listed.whole {
                horizon(sync.now)
            } else {
                cursor.horizon
            },
        };
        if !self
            .store
            .finish_sync(&cursor.connection, owner, &synced)
            .await?
        {
            return Ok(Fetched::Later(sync.now, "the calendar was taken over"));
        }
        if goes_on {
            return Ok(Fetched::Later(
                sync.now,
                "the search for what vanished goes on",
            ));
        }
        let whole = if listed.whole {
            "everything was read: "
        } else {
            ""
        };
        Ok(Fetched::Done(format!("{whole}{}", tally.words())))
    }

    /// Instances of series that have come within the horizon. They were made long ago: what is told at
    /// once was told then.
    async fn sync_horizon(&self, sync: Sync<'_>, owner: &Owner) -> Result<Fetched, Failed> {
        let cursor = sync.cursor;
        if cursor.token.is_none() {
            // Everything there is would look as if it had just been made.
            self.store.release_sync(&cursor.connection, owner).await?;
            return Ok(Fetched::Done("the calendar was never read".to_owned()));
        }
        let until = horizon(sync.now);
        let from = cursor.horizon.unwrap_or(sync.now).max(sync.now);
        let mut tally = Tally::default();
        if let Some(to) = until.filter(|to| *to > from) {
            let listing = Listing::Between(from, to);
            let look = look(sync, cursor.zone.as_deref(), None);
            let Some(listed) = self.list(sync, listing, look).await? else {
                self.store.release_sync(&cursor.connection, owner).await?;
                return Ok(Fetched::Later(sync.now, "the list goes on"));
            };
            let found = arrange(listed.found, Some(Timestamp::MAX));
            tally = self.store_found(found, sync.question).await?;
        }
        let synced = Synced {
            token: cursor.token.clone(),
            from: cursor.synced_from.unwrap_or(cursor.connected_at),
            zone: cursor.zone.clone(),
            search: cursor.search.clone(),
            horizon: until,
        };
        self.store
            .finish_sync(&cursor.connection, owner, &synced)
            .await?;
        Ok(Fetched::Done(tally.words()))
    }

    /// `None`: there is no time to come to the end.
    async fn list_changes(&self, sync: Sync<'_>, owner: &Owner) -> Result<Option<Listed>, Failed> {
        let cursor = sync.cursor;
        if let Some(token) = &cursor.token {
            let look = look(sync, cursor.zone.as_deref(), None);
            match self.list(sync, Listing::Since(token), look).await {
                Err(Failed::Fetch(FetchError::TokenGone)) => {
                    self.store.forget_token(&cursor.connection, owner).await?;
                }
                listed => return listed,
            }
        }
        // Clocks differ: what was made right before the last sync may not have been in it.
        let since = cursor.synced_from.map_or(cursor.connected_at, |from| {
            from.saturating_sub(GOOGLE_SKEW).unwrap_or(from)
        });
        let look = look(sync, cursor.zone.as_deref(), Some(since));
        let listed = self.list(sync, Listing::Everything(sync.now), look).await?;
        Ok(listed.map(|listed| Listed {
            whole: true,
            ..listed
        }))
    }

    /// One list to its end, against what is stored.
    async fn list(
        &self,
        sync: Sync<'_>,
        listing: Listing<'_>,
        look: Look<'_>,
    ) -> Result<Option<Listed>, Failed> {
        let apis = sync.question.fetching.apis();
        let calendar = &sync.cursor.calendar;
        let mut listed = Listed {
            found: Vec::new(),
            ids: HashSet::new(),
            token: None,
            zone: None,
            whole: false,
        };
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            if self.is_over(sync.question.run) {
                return Ok(None);
            }
            let page = google::list(apis, sync.token, calendar, listing, next.as_deref()).await?;
            listed.zone = page.zone.clone().or(listed.zone);
            let zone = listed.zone.clone();
            let look = Look {
                zone: zone.as_deref().or(look.zone),
                ..look
            };
            self.compare(&page.items, look, &mut listed).await?;
            next = page.next;
            if next.is_none() {
                listed.token = page.token;
                return match (listing, &listed.token) {
                    (Listing::Between(..), _) | (_, Some(_)) => Ok(Some(listed)),
                    _ => Err(FetchError::Unreadable(
                        "Google's list ends without a token".to_owned(),
                    )
                    .into()),
                };
            }
        }
        Err(FetchError::Unreadable("Google's list has no end".to_owned()).into())
    }

    async fn compare(
        &self,
        items: &[Value],
        look: Look<'_>,
        listed: &mut Listed,
    ) -> Result<(), Failed> {
        let ids: BTreeSet<&str> = items.iter().filter_map(item_id).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let rows = self.store.appointments(&look.connection.name, &ids).await?;
        for item in items {
            let Some(id) = item_id(item) else { continue };
            listed.ids.insert(id.to_owned());
            let stored = rows.get(id).map(stored);
            listed.found.extend(read(item, stored.as_ref(), &look));
        }
        Ok(())
    }

    /// After everything was read: appointments that are stored, to come, and not on the list are asked for
    /// one by one. Where to go on, when the time is over.
    async fn search_vanished(
        &self,
        sync: Sync<'_>,
        zone: Option<&str>,
        search: Option<String>,
        known: Option<&HashSet<String>>,
        tally: &mut Tally,
    ) -> Result<Option<String>, Failed> {
        let Some(mut position) = search else {
            return Ok(None);
        };
        let look = look(sync, zone, None);
        let connection = &sync.cursor.connection;
        loop {
            if self.is_over(sync.question.run) {
                return Ok(Some(position));
            }
            let page = Page::parse(&position);
            let (rows, next) = self.store.list_appointments(connection, page).await?;
            let mut found = Vec::new();
            for (id, row) in &rows {
                let stored = stored(row);
                let open = stored.state != shared::event::State::Cancelled;
                let listed = known.is_some_and(|ids| ids.contains(id));
                if !open || listed || is_over(&stored, sync.now) {
                    continue;
                }
                if self.is_over(sync.question.run) {
                    // The page is read again: what was found of it is stored by then.
                    tally.add(
                        self.store_found(arrange(found, None), sync.question)
                            .await?,
                    );
                    return Ok(Some(position));
                }
                if !self.is_of_calendar(row, &sync.cursor.calendar).await? {
                    continue;
                }
                let apis = sync.question.fetching.apis();
                let item = google::event(apis, sync.token, &sync.cursor.calendar, id).await?;
                found.extend(match item {
                    Some(item) => read(&item, Some(&stored), &look),
                    None => vanished(id, &stored, &look),
                });
            }
            tally.add(
                self.store_found(arrange(found, None), sync.question)
                    .await?,
            );
            match next {
                Some(next) => position = next.to_text(),
                None => return Ok(None),
            }
        }
    }
}

impl Worker {
    /// Whether an appointment came from this calendar: a connection may have been made to another one
    /// before, which knows nothing of this one's.
    async fn is_of_calendar(&self, row: &EntityRow, calendar: &str) -> Result<bool, StoreError> {
        let Some(key) = &row.event else {
            return Ok(false);
        };
        let event = self.store.event(key).await?.and_then(|row| row.event);
        Ok(event.is_some_and(|event| event.event.account.as_deref() == Some(calendar)))
    }
}

/// Why there is nothing to ask.
fn needless(ask: &Ask, cursor: &CursorRow, received_at: Timestamp) -> Option<&'static str> {
    if let Ask::Push { channel, resource } = ask {
        let ours = cursor.channel.iter().chain(&cursor.old_channel);
        let mut ours = ours.filter(|ours| ours.id == *channel && ours.resource == *resource);
        // A push may come before the row knows the channel: then the calendar was never read.
        if ours.next().is_none() && cursor.synced_from.is_some() {
            return Some("the channel is not ours any more");
        }
    }
    let covered = cursor.synced_from.is_some_and(|from| {
        let from = from.saturating_sub(CLOCK_SKEW).unwrap_or(from);
        received_at < from
    });
    let whole = cursor.token.is_some() && cursor.search.is_none();
    (*ask != Ask::Horizon && covered && whole).then_some("a sync that began later has it")
}

fn look<'a>(sync: Sync<'a>, zone: Option<&'a str>, known_before: Option<Timestamp>) -> Look<'a> {
    Look {
        connection: sync.question.connection,
        calendar: &sync.cursor.calendar,
        zone,
        now: sync.now,
        known_before,
    }
}

fn horizon(now: Timestamp) -> Option<Timestamp> {
    now.saturating_add(HORIZON).ok()
}

fn stored(row: &EntityRow) -> Stored {
    Stored {
        state: row.state,
        as_of: row.as_of,
        start: row.start,
        end: row.end,
    }
}
