//! Cal.com's webhooks of a user, with an API key. <https://cal.com/docs/api-reference/v2/webhooks/create-a-webhook>

use engine::apis::{Apis, Auth, Body, Call, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use shared::event::Name;
use shared::secrets::Secret;

use super::{
    Answering, Asked, Failure, Hook, New, Options, PAGES_MAX, Provider, Topic, ask, settled,
    unexpected,
};
use crate::error::CliError;

const HOST: &str = "api.cal.com";
const TITLE: &str = "Cal.com";
/// Webhooks a page, the most that Cal.com gives.
const PAGE: usize = 250;

/// What Cal.com tells of bookings.
const TOPICS: &[Topic] = &[
    Topic {
        name: "BOOKING_CREATED",
        events: &[Name::AppointmentBooked],
        always: true,
    },
    Topic {
        name: "BOOKING_RESCHEDULED",
        events: &[Name::AppointmentRescheduled],
        always: true,
    },
    Topic {
        name: "BOOKING_CANCELLED",
        events: &[Name::AppointmentCancelled],
        always: true,
    },
    // The end of a request, which waiting messages have to hear of.
    Topic {
        name: "BOOKING_REJECTED",
        events: &[],
        always: true,
    },
    Topic {
        name: "BOOKING_REQUESTED",
        events: &[Name::AppointmentRequested],
        always: true,
    },
    // Of a paid booking, the one that says that it stands.
    Topic {
        name: "BOOKING_PAID",
        events: &[],
        always: true,
    },
    Topic {
        name: "BOOKING_NO_SHOW_UPDATED",
        events: &[Name::AppointmentNoShow],
        always: false,
    },
];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "cal-com"
    }

    fn title(&self) -> &'static str {
        TITLE
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Cal.com: Settings, Developer, Webhooks, the field Secret of the webhook. Without one nothing is believed."
    }

    fn provoke(&self) -> &'static str {
        "book an appointment"
    }

    fn questions(&self) -> &'static [&'static str] {
        &["API key (Cal.com: Settings, Developer, API keys)"]
    }

    fn open(
        &self,
        asked: Asked<'_>,
        credential: &Secret,
        _options: &Options,
    ) -> Result<Box<dyn Provider>, CliError> {
        Ok(Box::new(CalCom::new(asked.apis, credential)))
    }
}

/// The API of one account.
struct CalCom {
    apis: Apis,
    key: Secret,
}

impl CalCom {
    fn new(apis: &Apis, key: &Secret) -> CalCom {
        CalCom {
            apis: apis.clone(),
            key: key.clone(),
        }
    }

    async fn call(
        &self,
        method: Method,
        id: Option<&str>,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Reply, Failure> {
        let path: Vec<&str> = ["v2", "webhooks"].into_iter().chain(id).collect();
        let call = Call {
            method,
            host: HOST,
            path: &path,
            query,
            auth: Auth::Bearer(self.key.expose()),
            body: body.map_or(Body::None, Body::Json),
        };
        settled(TITLE, ask(TITLE, &self.apis, &call).await?)
    }

    fn refused(reply: &Reply) -> Failure {
        if reply.status == 403 {
            return Failure::other(
                "Cal.com does not allow this key to do that (403)",
                "make a key under Settings, Developer, API keys, as the person whose bookings are told of",
            );
        }
        unexpected(TITLE, reply)
    }

    fn good(reply: &Reply) -> Result<(), Failure> {
        if reply.is_success() {
            Ok(())
        } else {
            Err(CalCom::refused(reply))
        }
    }
}

/// A webhook to be. A template of somebody's own would be a body that nobody reads: it is taken out.
fn body(new: &New<'_>) -> Value {
    json!({
        "subscriberUrl": new.url, "triggers": new.topics, "active": true,
        "secret": new.secret.expose(), "payloadTemplate": "",
    })
}

impl Provider for CalCom {
    fn hooks(&self) -> Answering<'_, Vec<Hook>> {
        Box::pin(async move {
            let mut hooks = Vec::new();
            for page in 0..PAGES_MAX {
                let query = [
                    ("take", PAGE.to_string()),
                    ("skip", (page * PAGE).to_string()),
                ];
                let reply = self.call(Method::GET, None, &query, None).await?;
                CalCom::good(&reply)?;
                let json = reply.json();
                let list = json.get("data").and_then(Value::as_array);
                let list = list.ok_or_else(|| unexpected(TITLE, &reply))?;
                hooks.extend(list.iter().filter_map(hook));
                if list.len() < PAGE {
                    break;
                }
            }
            Ok(hooks)
        })
    }

    fn register<'a>(&'a self, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let reply = self.call(Method::POST, None, &[], Some(&body(new))).await?;
            CalCom::good(&reply)
        })
    }

    fn replace<'a>(&'a self, id: &'a str, new: &'a New<'a>) -> Answering<'a, ()> {
        Box::pin(async move {
            let body = body(new);
            let reply = self.call(Method::PATCH, Some(id), &[], Some(&body)).await?;
            CalCom::good(&reply)
        })
    }

    fn remove<'a>(&'a self, id: &'a str) -> Answering<'a, ()> {
        Box::pin(async move {
            let reply = self.call(Method::DELETE, Some(id), &[], None).await?;
            match reply.status {
                404 => Ok(()),
                _ => CalCom::good(&reply),
            }
        })
    }
}

fn hook(json: &Value) -> Option<Hook> {
    let id = match json.get("id")? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let template = json.get("payloadTemplate").and_then(Value::as_str);
    let unsigned = json.get("secret").is_some_and(Value::is_null);
    let off = if json.get("active").and_then(Value::as_bool) == Some(false) {
        Some("switched off")
    } else if template.is_some_and(|text| !text.is_empty()) {
        Some("with a payload template of its own")
    } else {
        unsigned.then_some("without a secret")
    };
    Some(Hook {
        id,
        url: json.get("subscriberUrl")?.as_str()?.to_owned(),
        topics: super::texts(json.get("triggers")),
        off: off.map(str::to_owned),
        scope: None,
        failing: None,
    })
}
