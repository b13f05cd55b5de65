//! What Callbell could not deliver to us, from its own log of deliveries, and whether its webhook still works.
//! <https://docs.callbell.eu/api/reference/webhooks_api/events>
//!
//! The log is newest first and has no ids. Each delivery is read as the door would have read it, as of the
//! time when it was first tried, so that what the door has after all makes the same key and is stored once.
//!
//! There is no way to ask whether the webhook is enabled, or where it goes: the log has to show it. A webhook
//! fails where the newest deliveries all failed, several within an hour or one six hours ago, after which
//! Callbell disables it. It goes somewhere else where what the log calls delivered never came to us.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::connections::Connection;
use shared::event::{Event, Name};
use shared::sources::{Reading, callbell};

use crate::callbell::{CallError, Callbell, Delivery};

/// Most pages of failed deliveries of one run.
pub const PAGES_MAX: u32 = 10;
/// How much is read again: a delivery is in the log as failed only once its last attempt is over.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(7);
/// How long several deliveries may fail.
const FAILING_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// How many are several.
const SEVERAL: usize = 3;
/// After how long without a 200 Callbell disables a webhook.
const DISABLED_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// How long a delivery may be on its way into our table.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_mins(10);
/// How old a delivery is that we may have forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// How many of the newest deliveries are looked for.
const LOOKED_FOR_MAX: usize = 5;
/// Hex digits of the digest that names a delivery that cannot be read, as the door's has.
const DIGEST_DIGITS: usize = 32;

/// A page of what was not delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Missed {
    /// What the door would have stored.
    pub events: Vec<Event>,
    /// Deliveries that cannot be read: a digest, and what is wrong.
    pub unreadable: Vec<(String, String)>,
    /// There is another page, with something that was tried after `since`.
    pub more: bool,
}

/// One page of what was tried since `since` and not delivered; the first is 1.
///
/// # Errors
/// Callbell does not say.
pub async fn missed(
    callbell: &Callbell,
    page: u32,
    since: Timestamp,
    now: Timestamp,
) -> Result<Missed, CallError> {
    let Some(page) = callbell.deliveries(true, page).await? else {
        return Ok(Missed::default());
    };
    let mut missed = Missed::default();
    let mut reached = page.items.is_empty();
    for delivery in &page.items {
        let at = delivery.created_at.unwrap_or(now);
        if at < since {
            reached = true;
        } else if !delivery.success {
            match read(delivery, at) {
                Ok(events) => missed.events.extend(events),
                Err(problem) => missed.unreadable.push(problem),
            }
        }
    }
    missed.more = page.more && !reached;
    Ok(missed)
}

/// What the door would have made of it.
fn read(delivery: &Delivery, at: Timestamp) -> Result<Vec<Event>, (String, String)> {
    let payload = &delivery.payload;
    let whole = payload.get("event").is_some_and(Value::is_string);
    let body = if whole && payload.get("payload").is_some() {
        payload.clone()
    } else {
        json!({ "event": delivery.event, "payload": payload })
    };
    match callbell::read(&body, &Connection::plain(callbell::KIND), at) {
        Ok(Reading::Events(events)) => Ok(events),
        Ok(Reading::Nothing(_)) => Ok(Vec::new()),
        Err(unreadable) => {
            let digest = hex::encode(Sha256::digest(body.to_string().as_bytes()));
            let digest = digest.chars().take(DIGEST_DIGITS).collect();
            Err((digest, unreadable.to_string()))
        }
    }
}

/// What the newest deliveries of the log say of the webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when nothing was delivered, and what that means.
    pub failing: Option<(Timestamp, &'static str)>,
    /// Keys of events that the log calls delivered: where none of them is stored, the webhook goes somewhere
    /// else.
    pub delivered: Vec<String>,
    /// When the newest delivery was tried.
    pub newest: Option<Timestamp>,
}

/// Looks at the newest deliveries. Those from before `since` are somebody else's.
///
/// # Errors
/// Callbell does not say.
pub async fn health(
    callbell: &Callbell,
    since: Timestamp,
    now: Timestamp,
) -> Result<Health, CallError> {
    Ok(match callbell.deliveries(false, 1).await? {
        Some(page) => judge(&page.items, since, now),
        None => Health {
            failing: Some((now, "the account has no webhook")),
            ..Health::default()
        },
    })
}

fn judge(deliveries: &[Delivery], since: Timestamp, now: Timestamp) -> Health {
    let of_us = |delivery: &&Delivery| delivery.created_at.is_some_and(|at| at >= since);
    let mut of_us: Vec<&Delivery> = deliveries.iter().filter(of_us).collect();
    of_us.sort_by_key(|delivery| std::cmp::Reverse(delivery.created_at));
    let run: Vec<&&Delivery> = of_us
        .iter()
        .take_while(|delivery| !delivery.success)
        .collect();
    let began = run.last().and_then(|delivery| delivery.created_at);
    let failing = began.and_then(|began| {
        let lasts = now.duration_since(began);
        if lasts >= DISABLED_AFTER {
            Some((began, "nothing was delivered for six hours: disabled"))
        } else if lasts >= FAILING_AFTER && run.len() >= SEVERAL {
            Some((began, "nothing was delivered for an hour"))
        } else {
            None
        }
    });
    let fresh = |delivery: &&&Delivery| {
        delivery.created_at.is_some_and(|at| {
            let age = now.duration_since(at);
            delivery.success && age >= ON_ITS_WAY && age < FORGOTTEN_AFTER
        })
    };
    // What is changed is stored under the time at which it came, which the log does not know.
    let exact = |event: &Event| event.event.name != Name::ContactUpdated;
    let keys = of_us.iter().filter(fresh).filter_map(|delivery| {
        let events = read(delivery, delivery.created_at?).ok()?;
        events.into_iter().find(exact).map(|event| event.event.id)
    });
    Health {
        failing,
        delivered: keys.take(LOOKED_FOR_MAX).collect(),
        newest: of_us.first().and_then(|delivery| delivery.created_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-03-11T18:00:00Z".parse().unwrap()
    }

    fn message(minutes_ago: i64, success: bool) -> Delivery {
        let at = now() - SignedDuration::from_mins(minutes_ago);
        Delivery {
            event: "message_created".to_owned(),
            payload: json!({
                "status": "received", "text": "Oi", "channel": "whatsapp", "createdAt": at,
                "contact": {"uuid": "eb2b914a977e4ab896e7b886698b3eac"},
            }),
            success,
            created_at: Some(at),
        }
    }

    #[test]
    fn what_the_log_says_of_the_webhook() {
        let since = now() - SignedDuration::from_hours(100);
        let of = |deliveries: &[(i64, bool)]| {
            let deliveries: Vec<Delivery> = deliveries
                .iter()
                .map(|(ago, success)| message(*ago, *success))
                .collect();
            judge(&deliveries, since, now())
        };
        let failing = |deliveries: &[(i64, bool)]| {
            let failing = of(deliveries).failing;
            failing.map(|(at, why)| (now().duration_since(at).as_mins(), why))
        };
        assert_eq!(failing(&[]), None);
        assert_eq!(
            failing(&[(1, true), (61, false), (62, false), (63, false)]),
            None
        );
        assert_eq!(
            failing(&[(1, false), (2, false), (59, false), (60, true)]),
            None
        );
        assert_eq!(
            failing(&[(61, false), (62, true)]),
            None,
            "one may be tried again"
        );
        let hour = failing(&[(1, false), (30, false), (61, false), (62, true)]);
        assert_eq!(hour, Some((61, "nothing was delivered for an hour")));
        let disabled = failing(&[(360, false), (361, true)]);
        assert!(disabled.is_some_and(|(ago, why)| ago == 360 && why.ends_with("disabled")));
        // In whatever order they come, and not from before our time.
        assert!(failing(&[(500, true), (361, false), (1, true)]).is_none());
        let old = judge(
            &[message(600, false)],
            now() - SignedDuration::from_hours(1),
            now(),
        );
        assert_eq!(old, Health::default());
        // One is on its way, one long forgotten.
        let looked_for = of(&[(5, true), (11, true), (12, false), (60 * 24, true)]).delivered;
        assert_eq!(looked_for.len(), 1);
    }

    #[test]
    fn a_delivery_is_read_as_the_door_reads_it() {
        let bare = message(5, false);
        let at = bare.created_at.unwrap();
        let whole = Delivery {
            payload: json!({"event": bare.event, "payload": bare.payload}),
            ..bare.clone()
        };
        let (one, other) = (read(&bare, at).unwrap(), read(&whole, at).unwrap());
        assert_eq!(one, other);
        assert_eq!(one.len(), 1);
        let odd = Delivery {
            payload: json!("message_object"),
            ..bare
        };
        assert_eq!(read(&odd, at).unwrap_err().1, "payload: expected an object");
    }
}
