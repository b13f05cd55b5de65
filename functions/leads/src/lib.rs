//! Webhooks of CRMs, lists and help desks: `ANY /leads/{source}`.

use lambda_http::{Body, Request, Response};
use shared::door::Door;
use shared::secrets::SecretsProvider;
use shared::sources::Source;
use shared::sources::hubspot::HubSpot;
use shared::sources::intercom::Intercom;
use shared::sources::mailchimp::Mailchimp;
use shared::sources::pipedrive::Pipedrive;
use shared::sources::salesforce::Salesforce;
use shared::sources::zendesk::Zendesk;
use shared::store::Store;
use shared::telemetry::Found;

/// The systems that this function takes webhooks of.
pub const SOURCES: &[&dyn Source] = &[
    &HubSpot,
    &Pipedrive,
    &Salesforce,
    &Mailchimp,
    &Zendesk,
    &Intercom,
];

/// The function's handler.
pub struct App {
    door: Door,
}

impl App {
    /// A handler over a table and its webhook secrets, warmed: what it needs of AWS is read and its
    /// connections are open.
    pub async fn start(store: Store, secrets: SecretsProvider) -> App {
        let door = Door::new(SOURCES, store, secrets);
        door.warm().await;
        App { door }
    }

    /// What was there at the start, for its line.
    pub fn found(&self) -> Found {
        self.door.found()
    }

    /// Answers one webhook.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        self.door.handle(request).await
    }
}
