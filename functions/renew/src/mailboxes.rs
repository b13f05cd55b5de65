//! Once an hour, for every mailbox whose changes are pushed: has the worker ask, because pushes get lost, and
//! once a day prolongs its watch, which ends after seven. And keeps the public keys that prove those pushes,
//! so that the door calls nobody.
//! <https://developers.google.com/workspace/gmail/api/guides/push#renew_your_mailbox_watch>

use engine::fetch::gmail::{WatchError, keep_keys, prolong};
use engine::fetch::google_auth::MAILBOX;
use jiff::{SignedDuration, Timestamp};
use shared::sources::gmail::{Ask, KIND};
use shared::store::{MailboxRow, StoreError};

use super::{App, BUDGET, FAILING_AFTER, HOUR_S};

/// A watch with less time than this left is prolonged: one day of the seven that it has.
const PROLONG_BEFORE: SignedDuration = SignedDuration::from_hours(6 * 24);
/// A watch with less time than this left is failing: it was not prolonged for days.
const FAILING_BEFORE: SignedDuration = SignedDuration::from_hours(48);

/// What was done for mailboxes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) mailboxes: u64,
    pub(super) prolonged: u64,
    pub(super) failing: u64,
}

impl App {
    /// Every mailbox that is connected: under a name of the file's, or its kind's.
    pub(super) async fn mailboxes(&self) -> Result<Vec<MailboxRow>, StoreError> {
        let mut mailboxes = Vec::new();
        for name in self.names_of(KIND).await? {
            mailboxes.extend(self.store.mailbox(&name).await?);
        }
        Ok(mailboxes)
    }

    /// One run, after every mailbox was asked about.
    pub(super) async fn keep_mailboxes(
        &self,
        mailboxes: &[MailboxRow],
        deadline: Timestamp,
    ) -> Kept {
        let mut kept = Kept {
            mailboxes: u64::try_from(mailboxes.len()).unwrap_or(u64::MAX),
            ..Kept::default()
        };
        if mailboxes.is_empty() {
            return kept;
        }
        kept.failing = kept
            .failing
            .saturating_add(u64::from(!self.keep_public_keys().await));
        for row in mailboxes {
            let now = self.store.clock().now();
            let watch = if now.saturating_add(BUDGET).is_ok_and(|end| end <= deadline) {
                self.keep_watch(row, now).await
            } else {
                Err("no time was left".to_owned())
            };
            let prolonged = watch == Ok(true);
            let failing = failing(row, prolonged, now);
            kept.prolonged = kept.prolonged.saturating_add(u64::from(prolonged));
            kept.failing = kept.failing.saturating_add(u64::from(failing.is_some()));
            log(row, &watch, failing, now);
        }
        kept
    }

    /// One question an hour, whoever runs how often.
    pub(super) async fn have_mailbox_asked(&self, row: &MailboxRow) {
        let now = self.store.clock().now();
        let hour = now.as_second().div_euclid(HOUR_S);
        let event = Ask::Poll.event(&row.connection, &format!("poll/{hour}"), now);
        if let Err(error) = self.store.put_event(event).await {
            tracing::error!(outcome = "not polled", source.name = row.connection, reason = %error);
        }
    }

    /// Google lists a new key long before it signs with it, so one hour that fails is none that matters.
    /// `false`: a day was lost.
    async fn keep_public_keys(&self) -> bool {
        let Err(error) = keep_keys(self.fetching.apis(), &self.store).await else {
            return true;
        };
        let now = self.store.clock().now();
        let row = self.store.public_keys().await.ok().flatten();
        let good = row.is_some_and(|row| now.duration_since(row.read_at) < FAILING_AFTER);
        let failing = (!good).then_some("its public keys were not read for a day");
        tracing::warn!(outcome = "public keys not kept", source.kind = KIND, source.failing = failing, reason = %error);
        good
    }

    /// Prolongs the watch where a day of it is over. `true`: it was.
    async fn keep_watch(&self, row: &MailboxRow, now: Timestamp) -> Result<bool, String> {
        if left(row, now) >= PROLONG_BEFORE {
            return Ok(false);
        }
        let prolonged: Result<_, WatchError> = async {
            let (apis, name) = (self.fetching.apis(), &row.connection);
            let secrets = self.fetching.secrets(name).await?;
            let google = self.fetching.google();
            let token = google.get(apis, &secrets, MAILBOX, now).await?;
            prolong(apis, &token, &self.store, row).await
        }
        .await;
        prolonged.map(|_| true).map_err(|error| error.to_string())
    }
}

/// For how long the watch lives on.
fn left(row: &MailboxRow, now: Timestamp) -> SignedDuration {
    row.watched_until
        .map_or(SignedDuration::ZERO, |until| until.duration_since(now))
}

/// What has been wrong for a day. A mailbox that was connected today has that day's time.
fn failing(row: &MailboxRow, prolonged: bool, now: Timestamp) -> Option<&'static str> {
    let since = |at: Timestamp| now.duration_since(at);
    if since(row.connected_at) < FAILING_AFTER {
        return None;
    }
    if row
        .synced_from
        .is_none_or(|from| since(from) >= FAILING_AFTER)
    {
        return Some("not read for a day");
    }
    let ends = left(row, now) < FAILING_BEFORE && !prolonged;
    ends.then_some("its watch was not prolonged for days")
}

/// One line a mailbox.
fn log(row: &MailboxRow, watch: &Result<bool, String>, failing: Option<&str>, now: Timestamp) {
    let outcome = match watch {
        Ok(true) => "watch prolonged",
        Ok(false) => "watch kept",
        Err(_) => "watch not prolonged",
    };
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                outcome,
                source.name = row.connection,
                source.failing = failing,
                watch.left_ms = i64::try_from(left(row, now).as_millis()).unwrap_or_default(),
                sync.age_ms = row
                    .synced_from
                    .and_then(|from| i64::try_from(now.duration_since(from).as_millis()).ok()),
                sync.problem = row.failing.as_ref().map(|(_, why)| why.as_str()),
                reason = watch.as_ref().err()
            )
        };
    }
    match (watch, failing) {
        (_, Some(_)) => line!(error),
        (Err(_), None) => line!(warn),
        _ => line!(info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_without_being_read_or_a_watch_that_ends_is_an_alarm() {
        let now = testkit::start();
        let of = |connected: i64, synced: Option<i64>, left: i64, prolonged| {
            let ago = |hours: i64| now - SignedDuration::from_hours(hours);
            let row = MailboxRow {
                connection: KIND.to_owned(),
                address: "a@example.com".to_owned(),
                topic: "projects/p/topics/t".to_owned(),
                door: "https://example.com".to_owned(),
                connected_at: ago(connected),
                history: 1,
                synced_from: synced.map(ago),
                watched_until: Some(ago(-left)),
                failing: None,
            };
            failing(&row, prolonged, now).is_some()
        };
        assert!(!of(23, None, 0, false));
        assert!(of(25, None, 150, false));
        assert!(of(90, Some(24), 150, false));
        assert!(!of(90, Some(1), 49, false));
        assert!(of(90, Some(1), 47, false));
        assert!(!of(90, Some(1), 47, true));
    }
}
