//! What only the account itself tells: its channels and teams. Its templates are checked like those of
//! `templates.json`, in [`super::message`].

use super::super::account::Account;
use super::super::diagnostic::suggestion;
use super::Checker;

impl Checker<'_> {
    /// Compares channels and teams with the account's.
    pub(super) fn account(&mut self, account: &Account) {
        let file = self.file;
        for (name, channel) in &file.channels {
            // A uuid that could not be read has its own report and no place.
            let Some(span) = self.sites.get(&format!("channel.{name}.uuid")).cloned() else {
                continue;
            };
            let uuid = &channel.uuid;
            match account.is_connected(uuid) {
                None => self.error(
                    &span,
                    format!("{name}: Callbell has no channel {uuid}: see callbell channels"),
                ),
                Some(false) => self.error(
                    &span,
                    format!(
                        "{name}: Callbell's channel {uuid} is disconnected: connect it again in \
                         Callbell's dashboard, or use another one of callbell channels"
                    ),
                ),
                Some(true) => {}
            }
        }
        for (name, message) in &file.messages {
            let Some(team) = &message.team else { continue };
            // Capitals count: a worker finds a team by its very name.
            if account.teams().any(|known| known == team) {
                continue;
            }
            let span = self.site(&format!("message.{name}.team"));
            let instead = suggestion(team, account.teams());
            self.error(
                &span,
                format!("{name}: Callbell has no team \"{team}\"{instead}"),
            );
        }
    }
}
