//! The user's files: `automations.toml`, and beside it `templates.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine::automations::account::Account;
use engine::automations::model::{Automations, ReplyTable, RuleDeed};
use engine::automations::templates::Templates;
use engine::automations::{Report, check, check_account};
use jiff::Timestamp;
use shared::connections::{Connection, Connections};

use crate::error::CliError;
use crate::standin::rules::{Channel, Template};

/// The user's automations where no file is named.
pub const AUTOMATIONS: &str = "automations.toml";
/// What `callbell templates pull` writes, beside the automations.
pub const TEMPLATES: &str = "templates.json";
/// Where webhook secrets and tokens stand, beside the automations.
pub const SECRETS: &str = "secrets.toml";

/// Both files as they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Where the automations stand.
    pub path: PathBuf,
    /// The automations.
    pub text: String,
    /// The templates; `None` where there is no file, so that placeholders are not counted.
    pub templates: Option<String>,
}

impl Files {
    /// Reads them. A missing `templates.json` is an empty one.
    ///
    /// # Errors
    /// The automations cannot be read, or the templates are there and cannot.
    pub fn read(path: &Path) -> Result<Files, CliError> {
        let failed = |path: &Path, error: std::io::Error| {
            CliError::new(format!("{} cannot be read: {error}", path.display()))
        };
        let text = std::fs::read_to_string(path).map_err(|error| {
            failed(path, error).hint("callbell init writes a first one; another file goes behind the command's name or --automations")
        })?;
        let beside = path.with_file_name(TEMPLATES);
        let templates = match std::fs::read_to_string(&beside) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&beside, error)),
        };
        Ok(Files {
            path: path.to_owned(),
            text,
            templates,
        })
    }

    /// Checks them, with samples made for `now`.
    pub fn check(&self, now: Timestamp) -> Report {
        let templates = self.templates.as_deref().map(templates);
        check(&self.text, templates.as_ref(), now)
    }

    /// Checks them against an account, whose templates are newer than the file's.
    pub fn check_account(&self, account: &Account, now: Timestamp) -> Report {
        check_account(&self.text, account, now)
    }

    /// The templates; none where there is no file.
    pub fn templates(&self) -> Templates {
        templates(self.templates_json())
    }

    /// The templates' text as it is pushed.
    pub fn templates_json(&self) -> &str {
        self.templates.as_deref().unwrap_or("[]")
    }
}

/// Reads `templates.json`; what cannot be read is none.
pub fn templates(json: &str) -> Templates {
    Templates::from_json(json).unwrap_or_default()
}

/// The `[source.x]` tables as doors read them.
pub fn connections(automations: &Automations) -> Connections {
    let connection = |(name, table): (&String, &engine::automations::model::SourceTable)| {
        let connection = Connection {
            name: name.clone(),
            kind: table.kind.clone(),
            country: table.place.country.clone(),
            phone_from: table.phone_from.clone(),
            phone_question: table.phone_question.clone(),
            auth: table.auth.clone(),
        };
        (name.clone(), connection)
    };
    Connections(
        automations
            .sources
            .iter()
            .map(connection)
            .collect::<BTreeMap<_, _>>(),
    )
}

/// What the stand-in's account has, so that the file's own channels, teams and templates are known to it.
pub fn account(
    automations: &Automations,
    templates: &Templates,
) -> (Vec<Channel>, Vec<Template>, Vec<String>) {
    let channels = automations.channels.iter().map(|(name, channel)| Channel {
        uuid: channel.uuid.clone(),
        title: name.clone(),
        kind: channel.kind.as_str().to_owned(),
    });
    let templates = templates.iter().map(|template| Template {
        uuid: template.uuid.clone(),
        title: template.title.clone(),
        text: template.text.clone(),
        kind: template.template_type.clone(),
        category: template.category.clone(),
        status: match template.status.as_str() {
            "" => "approved".to_owned(),
            status => status.to_owned(),
        },
    });
    let messages = automations.messages.values();
    let contacts = automations.contacts.values();
    let replies = automations.replies.values();
    let teams: BTreeSet<String> = messages
        .filter_map(|message| message.team.clone())
        .chain(contacts.filter_map(|contact| contact.team.clone()))
        .chain(replies.flat_map(handovers))
        .collect();
    (
        channels.collect(),
        templates.collect(),
        teams.into_iter().collect(),
    )
}

/// The connection that a webhook's path names: its last part, or the one connection of a function whose paths
/// end in a secret.
pub fn connection_of(path: &str) -> Option<String> {
    let mut parts = path.rsplit('/');
    let last = parts.next()?;
    let source = parts.next().and_then(shared::sources::behind_secret);
    Some(source.map_or(last, |source| source.kind()).to_owned())
}

/// The teams that a chatbot hands over to.
fn handovers(reply: &ReplyTable) -> impl Iterator<Item = String> {
    let own = reply.handover.iter();
    let rules = reply.rules.iter().filter_map(|rule| match &rule.deed {
        RuleDeed::Handover { team, .. } => team.as_ref(),
        RuleDeed::Say(_) | RuleDeed::Ignore => None,
    });
    own.chain(rules).cloned()
}

/// The funnels that the stand-in's account has: those of the file.
pub fn funnels(automations: &Automations) -> Vec<String> {
    let contacts = automations.contacts.values();
    let funnels: BTreeSet<String> = contacts
        .filter_map(|contact| contact.funnel.clone())
        .collect();
    funnels.into_iter().collect()
}
