//! What only the account itself tells: its channels, teams and funnels. Its templates are checked like those of
//! `templates.json`, in [`super::message`].

use super::super::account::Account;
use super::super::diagnostic::suggestion;
use super::super::model::RuleDeed;
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
            self.team(
                account,
                &format!("message.{name}.team"),
                name,
                message.team.as_ref(),
            );
        }
        for (name, one) in &file.contacts {
            let path = format!("contact.{name}");
            self.team(account, &format!("{path}.team"), name, one.team.as_ref());
            self.funnel(
                account,
                &format!("{path}.funnel"),
                name,
                one.funnel.as_ref(),
            );
        }
        for (name, one) in &file.replies {
            let path = format!("reply.{name}");
            self.team(
                account,
                &format!("{path}.handover"),
                name,
                one.handover.as_ref(),
            );
            for (index, rule) in one.rules.iter().enumerate() {
                if let RuleDeed::Handover { team, .. } = &rule.deed {
                    let path = format!("{path}.rules[{index}].handover");
                    self.team(account, &path, name, team.as_ref());
                }
            }
        }
    }

    /// Capitals count: a worker finds a team by its very name.
    fn team(&mut self, account: &Account, path: &str, name: &str, team: Option<&String>) {
        let Some(team) = team else { return };
        if account.teams().any(|known| known == team) {
            return;
        }
        let span = self.site(path);
        let instead = suggestion(team, account.teams());
        self.error(
            &span,
            format!("{name}: Callbell has no team \"{team}\"{instead}"),
        );
    }

    /// As with teams.
    fn funnel(&mut self, account: &Account, path: &str, name: &str, funnel: Option<&String>) {
        let (Some(funnel), Some(known)) = (funnel, account.funnels()) else {
            return;
        };
        if known.contains(funnel) {
            return;
        }
        let span = self.site(path);
        let instead = suggestion(funnel, known.iter().map(String::as_str));
        self.error(
            &span,
            format!("{name}: Callbell has no funnel \"{funnel}\"{instead}"),
        );
    }
}
