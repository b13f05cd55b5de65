//! Intercom's webhooks belong to an app and are set on its page:
//! <https://developers.intercom.com/docs/webhooks/setting-up-webhooks>

use shared::event::Name;

use super::{ByHand, SecretOf, Topic};

/// What Intercom tells of contacts. A lead often comes into being before its phone is known.
const TOPICS: &[Topic] = &[
    Topic {
        name: "contact.user.created",
        events: &[Name::LeadCreated],
        always: true,
    },
    Topic {
        name: "contact.lead.created",
        events: &[Name::LeadCreated],
        always: true,
    },
    Topic {
        name: "contact.user.updated",
        events: &[Name::LeadUpdated],
        always: false,
    },
    Topic {
        name: "contact.lead.updated",
        events: &[Name::LeadUpdated],
        always: false,
    },
    Topic {
        name: "contact.lead.added_email",
        events: &[Name::LeadUpdated],
        always: false,
    },
    Topic {
        name: "contact.lead.signed_up",
        events: &[Name::LeadUpdated],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "intercom"
    }

    fn title(&self) -> &'static str {
        "Intercom"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Intercom: the app's client secret: Developer Hub, your app, Basic Information."
    }

    fn provoke(&self) -> &'static str {
        "make a new contact there"
    }

    fn is_by_hand(&self) -> bool {
        true
    }

    fn secret_by_hand(&self) -> SecretOf {
        SecretOf::Known(
            "client secret of your app (Intercom: Settings, Integrations, Developer Hub, the app, Basic information)",
        )
    }

    fn steps(&self, by_hand: &ByHand<'_>) -> Vec<String> {
        let ByHand { url, topics, .. } = by_hand;
        vec![
            "Intercom: Settings, Integrations, Developer Hub, the app whose client secret you gave, Configure, Webhooks: Edit".to_owned(),
            format!("endpoint URL: {url}"),
            format!("topics: {}", topics.join(", ")),
            "Save: Intercom asks the address at once, and wants 200; then the webhook has to be live (\"Set live\" where it is not)".to_owned(),
            "the app has to be installed in the workspace, and may read users and companies: Authentication, Read one user and one company, Read and list users and companies".to_owned(),
        ]
    }
}
