//! A person's record in a CRM: which file makes it, and where our own memory of it is.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::store::{PersonId, RecordKey};

use super::deed::{System, Wanted};
use super::render::as_text;
use crate::automations::model::{Crm, MatchBy};

/// A rendered `[hubspot.x]` … `[intercom.x]`.
#[derive(Clone)]
pub struct Record {
    /// Which system.
    pub crm: Crm,
    /// What finds the record after our own memory of it, in order.
    pub match_by: Vec<MatchBy>,
    /// E.164.
    pub phone: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The whole name.
    pub name: Option<String>,
    /// Their field → value; none of them blank.
    pub fields: BTreeMap<String, Value>,
    /// Added to those there.
    pub tags: Vec<String>,
    /// Makes a record that is not there.
    pub create: bool,
    /// Changes one that is.
    pub update: bool,
    /// Mailchimp: the audience's id.
    pub list: Option<String>,
    /// Mailchimp.
    pub status_if_new: String,
    /// Salesforce: `Contact`, `Lead`.
    pub object: String,
    /// Zendesk.
    pub verified: bool,
    /// The name of the API secret: another account has other records.
    pub account: String,
}

impl Record {
    /// Where our own memory of the person's record is.
    pub fn key(&self, person: &PersonId) -> RecordKey {
        let crm = self.crm.as_str();
        let system = if self.account == crm {
            crm.to_owned()
        } else {
            format!("{crm}@{}", self.account)
        };
        let place = match self.crm {
            Crm::Salesforce => Some(self.object.as_str()),
            Crm::Mailchimp => self.list.as_deref(),
            _ => None,
        };
        RecordKey::new(&system, place, person)
    }

    /// What its file is asked for. `id`: the one that we remember.
    pub fn wanted<'a>(&'a self, id: Option<&'a str>) -> Wanted<'a> {
        Wanted {
            id,
            match_by: &self.match_by,
            phone: self.phone.as_deref(),
            email: self.email.as_deref(),
            name: self.name.as_deref(),
            fields: &self.fields,
            tags: &self.tags,
            create: self.create,
            update: self.update,
            list: self.list.as_deref(),
            status_if_new: &self.status_if_new,
            object: &self.object,
            verified: self.verified,
        }
    }

    pub(super) fn lines(&self) -> Vec<(String, String)> {
        let fields = self.fields.iter();
        let mut lines: Vec<(String, String)> = fields
            .map(|(name, value)| (name.clone(), as_text(value)))
            .collect();
        if !self.tags.is_empty() {
            lines.push(("tags".to_owned(), self.tags.join(", ")));
        }
        lines
    }
}

/// The system, as people call it.
pub fn name(crm: Crm) -> &'static str {
    match crm {
        Crm::Hubspot => "HubSpot",
        Crm::Pipedrive => "Pipedrive",
        Crm::Salesforce => "Salesforce",
        Crm::Mailchimp => "Mailchimp",
        Crm::Zendesk => "Zendesk",
        Crm::Intercom => "Intercom",
    }
}

/// The file of a system.
pub fn system(crm: Crm) -> &'static dyn System {
    match crm {
        Crm::Hubspot => &super::hubspot::Hubspot,
        Crm::Pipedrive => &super::pipedrive::Pipedrive,
        Crm::Salesforce => &super::salesforce::Salesforce,
        Crm::Mailchimp => &super::mailchimp::Mailchimp,
        Crm::Zendesk => &super::zendesk::Zendesk,
        Crm::Intercom => &super::intercom::Intercom,
    }
}
