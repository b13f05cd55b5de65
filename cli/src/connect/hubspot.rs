//! HubSpot: the webhooks of a private app are set up on its own pages; its API manages those of public apps
//! alone. <https://developers.hubspot.com/docs/apps/legacy-apps/private-apps/create-and-edit-webhook-subscriptions-in-private-apps>

use shared::event::Name;

use super::{ByHand, SecretOf, Topic};

const TITLE: &str = "HubSpot";
/// Whose changes are told: HubSpot tells of each property by itself.
const PROPERTIES: &str = "phone, mobilephone, hs_whatsapp_phone_number, and any other whose changes your automations read";
const CHANGED: &str = "contact.propertyChange";

const TOPICS: &[Topic] = &[
    Topic {
        name: "contact.creation",
        events: &[Name::LeadCreated],
        always: true,
    },
    Topic {
        name: CHANGED,
        events: &[Name::LeadUpdated],
        always: false,
    },
    // Whoever is erased there is erased here.
    Topic {
        name: "contact.privacyDeletion",
        events: &[],
        always: true,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "hubspot"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "HubSpot: the app's client secret: Settings, Integrations, Private Apps, your app, its tab Auth."
    }

    fn provoke(&self) -> &'static str {
        "make a new contact there"
    }

    /// The workers read the contacts that a webhook names.
    fn questions(&self) -> &'static [&'static str] {
        &["access token of the private app (HubSpot: the app's tab Auth)"]
    }

    fn is_by_hand(&self) -> bool {
        true
    }

    fn secret_by_hand(&self) -> SecretOf {
        SecretOf::Known("client secret of the private app (HubSpot: the app's tab Auth)")
    }

    fn steps(&self, by_hand: &ByHand<'_>) -> Vec<String> {
        let mut steps = vec![
            "HubSpot: Settings, Integrations, Private Apps (Legacy Apps in newer accounts), your app; \
             scopes crm.objects.contacts.read, and crm.objects.owners.read for the names of owners"
                .to_owned(),
            format!("its tab Webhooks, Target URL: {}", by_hand.url),
            format!(
                "Create subscription, object Contact: {}",
                by_hand.topics.join(", ")
            ),
        ];
        if by_hand.topics.contains(&CHANGED) {
            steps.push(format!("of {CHANGED}, the properties {PROPERTIES}"));
        }
        steps.push("Activate the subscriptions and commit the changes of the app".to_owned());
        steps
    }
}
