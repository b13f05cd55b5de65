//! Salesforce, whose API makes neither flows nor Outbound Messages without its Metadata API: by hand.
//! <https://help.salesforce.com/s/articleView?id=platform.workflow_managing_outbound_messages.htm>

use shared::event::Name;

use super::{ByHand, Topic};

/// What the flows that send the messages start at.
const TOPICS: &[Topic] = &[
    Topic {
        name: "a record is created",
        events: &[Name::LeadCreated],
        always: true,
    },
    Topic {
        name: "a record is created or updated",
        events: &[Name::LeadUpdated],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "salesforce"
    }

    fn title(&self) -> &'static str {
        "Salesforce"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Salesforce: the key at the end of the address, ?key=…: callbell connect salesforce makes it. A value org:00D… lets\n\
             # that organisation alone in."
    }

    fn provoke(&self) -> &'static str {
        "make a new contact or lead there"
    }

    fn is_by_hand(&self) -> bool {
        true
    }

    fn steps(&self, by_hand: &ByHand<'_>) -> Vec<String> {
        let ByHand {
            name, url, flag, ..
        } = by_hand;
        let push = if flag.contains("--local") {
            String::new()
        } else {
            format!("; then callbell secrets push{flag}")
        };
        // A flow on created or updated does for both.
        let start = by_hand.topics.last().copied().unwrap_or_default();
        vec![
            format!(
                "Setup, Outbound Messages, New Outbound Message, object Contact (and another for Lead). Endpoint URL, a secret: {url}"
            ),
            "Its fields: FirstName, LastName, Email, MobilePhone, Phone, CreatedDate, LastModifiedDate; for contacts HomePhone, OtherPhone, MailingCountryCode or MailingCountry; for leads Company, Status, CountryCode or Country; and any of your own. Without CreatedDate and LastModifiedDate every record is new, once. \"Include Session ID\" stays unticked".to_owned(),
            format!(
                "Setup, Flows, New Flow, Record-Triggered Flow, object Contact (and another for Lead): it starts when {start}; optimize for Actions and Related Records; add the action Outbound Message and choose the one of the first step; Save, Activate"
            ),
            "So that what this program writes into Salesforce does not come back: Setup, Users, Profiles, the profile of the user whom the secret of [salesforce.x] acts for, Edit, Administrative Permissions, untick \"Send Outbound Messages\"".to_owned(),
            format!(
                "So that no other organisation may post, though it knew the address: Setup, Company Information, Salesforce.com Organization ID; then callbell secrets set {name} --add, and type org: and that ID{push}"
            ),
            "Instead of an Outbound Message, a flow's HTTP Callout or Apex may POST JSON to the same address, which nobody repeats: {\"object\": \"Contact\", \"id\": \"003…\", \"organizationId\": \"00D…\", \"fields\": {\"FirstName\": …, \"MobilePhone\": …, \"CreatedDate\": …, \"LastModifiedDate\": …}}, or a list of these".to_owned(),
            "Setup, Outbound Messages, View Message Delivery Status shows what was not delivered: it is sent again for 24 hours".to_owned(),
        ]
    }
}
