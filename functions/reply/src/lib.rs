//! The chatbot: woken by the table's stream (rows on the lane `chat`), it waits until a burst of messages is
//! over and answers it. The worker is that of `deliver`, in a function of its own so that a backend that
//! thinks for a quarter of a minute holds up no order; all rows of a batch are worked on at once.
//!
//! The stream is a nudge here too: what is not finished `deliver` finds in its minute.

use deliver::{Settings, StartError};
use engine::delivery::Report;
use jiff::Timestamp;
use serde_json::Value;
use shared::secrets::SecretsProvider;
use shared::store::Store;
use shared::telemetry::Found;

/// The function's handler.
pub struct App(deliver::App);

impl App {
    /// A handler over a table, its API secrets, and Callbell or a stand-in for it, warmed.
    ///
    /// # Errors
    /// [`StartError`] where an address is neither https nor loopback.
    pub async fn start(
        store: Store,
        secrets: SecretsProvider,
        settings: Settings,
    ) -> Result<App, StartError> {
        let settings = Settings {
            is_chat: true,
            ..settings
        };
        deliver::App::start(store, secrets, settings).await.map(App)
    }

    /// What was there at the start, for its line.
    pub fn found(&self) -> &Found {
        self.0.found()
    }

    /// A batch of the stream. `deadline` is when Lambda ends it.
    pub async fn handle(&self, event: &Value, deadline: Timestamp) -> Report {
        let records = event.get("Records").and_then(Value::as_array);
        self.on_stream(records.map_or(&[], Vec::as_slice), deadline)
            .await
    }

    /// Its records.
    pub async fn on_stream(&self, records: &[Value], deadline: Timestamp) -> Report {
        self.0.on_stream(records, deadline).await
    }
}
