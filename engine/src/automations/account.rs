//! What a Callbell account has, as far as a file names it: plain data, so that checking stays a pure
//! function. Whoever holds a token asks [`crate::callbell::Callbell`] for the lists.

use std::collections::BTreeMap;

use super::templates::{Template, Templates, plain};
use crate::callbell::{ChannelInfo, Team, TemplateInfo};

/// Channels, templates, teams and funnels of an account, each list whole: what is not in it does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Whether a channel is connected, by its uuid: 32 hex digits in small letters.
    channels: BTreeMap<String, bool>,
    /// The templates.
    templates: Templates,
    /// The teams' names.
    teams: Vec<String>,
    /// The funnels' names; `None`: nobody asked.
    funnels: Option<Vec<String>>,
}

impl Account {
    /// The account of which Callbell answered these lists.
    pub fn new(channels: &[ChannelInfo], templates: &[TemplateInfo], teams: &[Team]) -> Account {
        let connected = |one: &ChannelInfo| (plain(&one.uuid), one.discarded_at.is_none());
        Account {
            channels: channels.iter().map(connected).collect(),
            templates: templates.iter().map(Template::from).collect(),
            teams: teams.iter().map(|team| team.name.clone()).collect(),
            funnels: None,
        }
    }

    /// With the names of all its funnels.
    #[must_use]
    pub fn with_funnels(mut self, names: impl IntoIterator<Item = String>) -> Account {
        self.funnels = Some(names.into_iter().collect());
        self
    }

    /// Whether a channel is connected, by its 32 hex digits in small letters; `None`: there is no
    /// such channel.
    pub fn is_connected(&self, channel: &str) -> Option<bool> {
        self.channels.get(channel).copied()
    }

    /// Its templates.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The names of its teams.
    pub fn teams(&self) -> impl Iterator<Item = &str> {
        self.teams.iter().map(String::as_str)
    }

    /// The names of its funnels, where they are known.
    pub fn funnels(&self) -> Option<&[String]> {
        self.funnels.as_deref()
    }
}

impl From<&TemplateInfo> for Template {
    fn from(info: &TemplateInfo) -> Template {
        Template {
            uuid: info.uuid.clone(),
            title: info.title.clone(),
            text: info.text.clone(),
            category: info.category.clone().unwrap_or_default(),
            status: info.status.clone().unwrap_or_default(),
            template_type: info.template_type.clone().unwrap_or_default(),
        }
    }
}
