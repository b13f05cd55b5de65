//! The stand-ins on a port, and one attempt after the other.

use std::collections::BTreeMap;

use cli::net::{Cut, Loopback};
use cli::standin::StandIn;
use cli::standin::apis::{self, Apis as Providers};
use cli::standin::faults;
use engine::actions::deed::{ActError, Desk, Done, Wanted};
use engine::actions::tokens::Tokens;
use engine::apis::Apis;
use engine::automations::model::MatchBy;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::secrets::Secret;
use tokio::task::JoinHandle;

use super::systems::Fixture;

pub(crate) const PHONE: &str = "+5511987654321";
pub(crate) const EMAIL: &str = "maria@example.com";

/// A world of its own for each test: the stand-ins on a port, and a clock that stands still.
pub(crate) struct World {
    pub(crate) fixture: &'static Fixture,
    pub(crate) clock: Clock,
    pub(crate) stand_in: StandIn,
    pub(crate) providers: Providers,
    pub(crate) apis: Apis,
    pub(crate) tokens: Tokens,
    pub(crate) server: JoinHandle<()>,
    base: String,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What shall be there, with owned parts.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) id: Option<String>,
    pub(crate) match_by: Vec<MatchBy>,
    pub(crate) phone: Option<&'static str>,
    pub(crate) email: Option<&'static str>,
    pub(crate) name: Option<&'static str>,
    pub(crate) fields: BTreeMap<String, Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) create: bool,
    pub(crate) update: bool,
    pub(crate) object: &'static str,
}

impl World {
    pub(crate) async fn of(fixture: &'static Fixture) -> World {
        let clock = Clock::manual("2026-11-24T15:00:00Z".parse().unwrap());
        let stand_in = StandIn::new(clock.clone(), engine::phone::identity, None).unwrap();
        let providers = Providers::new(apis::books(), stand_in.clone());
        let listener = Loopback::bind(0).await.unwrap();
        let address = format!("http://127.0.0.1:{}/_apis", listener.port().unwrap());
        let app = axum::Router::new().nest("/_apis", providers.router());
        let app = app.into_make_service_with_connect_info::<Cut>();
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        });
        World {
            fixture,
            clock,
            stand_in,
            providers,
            apis: Apis::new(Some(&address)).unwrap(),
            base: address,
            tokens: Tokens::default(),
            server,
        }
    }

    /// A person with everything, and the first name as a field.
    pub(crate) fn wish(&self) -> Wish {
        let first = self.fixture.first.0;
        Wish {
            id: None,
            match_by: vec![MatchBy::Phone, MatchBy::Email],
            phone: Some(PHONE),
            email: Some(EMAIL),
            name: Some("Maria da Silva"),
            fields: BTreeMap::from([(first.to_owned(), json!("Maria"))]),
            tags: Vec::new(),
            create: true,
            update: true,
            object: "Contact",
        }
    }

    pub(crate) async fn with(&self, secrets: &[&str], wish: &Wish) -> Result<Done, ActError> {
        self.at(self.clock.now(), secrets, wish).await
    }

    /// An attempt by a clock of its own.
    pub(crate) async fn at(
        &self,
        now: Timestamp,
        secrets: &[&str],
        wish: &Wish,
    ) -> Result<Done, ActError> {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
        let desk = Desk {
            apis: &self.apis,
            secrets: &secrets,
            tokens: &self.tokens,
            job: "00000000000000000000000000000000",
            now,
        };
        let wanted = Wanted {
            id: wish.id.as_deref(),
            match_by: &wish.match_by,
            phone: wish.phone,
            email: wish.email,
            name: wish.name,
            fields: &wish.fields,
            tags: &wish.tags,
            create: wish.create,
            update: wish.update,
            list: self.fixture.list,
            status_if_new: "transactional",
            object: wish.object,
            verified: true,
        };
        self.fixture.system.upsert(desk, wanted).await
    }

    pub(crate) async fn upsert(&self, wish: &Wish) -> Result<Done, ActError> {
        self.with(&[self.fixture.key], wish).await
    }

    /// The id of what was done, which has to be this.
    pub(crate) async fn done(&self, wish: &Wish, what: &str) -> String {
        match self.upsert(wish).await {
            Ok(Done::Done {
                id: Some(id),
                what: found,
            }) if found == what => id,
            other => panic!("{}: {other:?}, not {what}", self.fixture.name),
        }
    }

    pub(crate) fn records(&self) -> Vec<Value> {
        self.providers.records()[self.fixture.name].clone()
    }

    /// The one record.
    pub(crate) fn record(&self) -> Value {
        let records = self.records();
        assert_eq!(records.len(), 1, "{}: {records:?}", self.fixture.name);
        records[0].clone()
    }

    pub(crate) fn fault(&self, fault: &Value) {
        let fault = faults::read(fault).unwrap();
        self.stand_in.set_faults_of(self.fixture.name, vec![fault]);
    }

    /// Until every search shows everything.
    pub(crate) fn later(&self) {
        self.clock.advance(SignedDuration::from_mins(10));
    }

    pub(crate) fn requests(&self) -> usize {
        self.stand_in.requests().len()
    }

    /// A request of somebody else's, with the same key in `Authorization: Bearer`.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/{path}", self.base);
        let request = client
            .request(method.parse().unwrap(), url)
            .bearer_auth("other");
        let request = request.header("intercom-version", "2.16").json(&body);
        let response = request.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.status()
        );
        response.json().await.unwrap_or_default()
    }
}

pub(crate) fn text<'a>(record: &'a Value, at: &str) -> &'a str {
    record
        .pointer(at)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
