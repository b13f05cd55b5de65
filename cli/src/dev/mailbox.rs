//! The mailbox of the samples (`events/emails`): connected by itself in a server with demo values, where automations
//! listen to mails. What `callbell connect gmail` does for a real one.

use engine::automations::model::Automations;
use jiff::{SignedDuration, Timestamp};
use shared::event::SubjectKind;
use shared::sources::{demo, gmail};
use shared::store::NewMailbox;

use super::World;
use crate::standin::apis::gmail::{MAILBOX, SAMPLES_FROM, TOPIC};

/// How long the watch of a mailbox lives at Google.
const WATCH_LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

impl World {
    /// Connects it, unless it is.
    pub(super) async fn connect_mailbox(&self, automations: &Automations) {
        let mut names = automations.automations.values().flat_map(|one| &one.on);
        let listens = names.any(|name| name.subject() == SubjectKind::Email);
        if self.settings.secrets.is_some() || !listens {
            return;
        }
        let door = format!("{}/emails/{}", self.url(), gmail::KIND);
        let now = self.clock.now();
        let until = now.saturating_add(WATCH_LIFE).unwrap_or(now);
        let stand_in = &self.connectable.gmail;
        stand_in.subscribe(&door, &demo::secret(gmail::KIND));
        stand_in.watch(TOPIC, until);
        let new = NewMailbox {
            connection: gmail::KIND,
            address: MAILBOX,
            topic: TOPIC,
            door: &door,
            history: SAMPLES_FROM,
            // The samples' mails are of the day to which a demonstration puts the clock back.
            since: Timestamp::UNIX_EPOCH,
            watched_until: until,
        };
        if let Err(error) = self.store.connect_mailbox(&new).await {
            (self.notice)(&format!(
                "the mailbox of the samples is not connected: {error}"
            ));
        }
    }
}
