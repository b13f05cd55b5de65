//! The ways in which the stand-in fails when told to: `POST /_dev/faults`.

use std::collections::VecDeque;

use serde::Deserialize;

/// Longest delay of an answer, in milliseconds.
pub const DELAY_MS_MAX: u64 = 120_000;
/// What faults call Callbell.
pub const CALLBELL: &str = "callbell";

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Nothing is accepted; the answer is this status.
    Status {
        /// 400 to 599.
        status: u16,
    },
    /// As `status`, with a `Retry-After`. For other systems than Callbell.
    Limited {
        /// 400 to 599; 429 where it is not given.
        #[serde(default = "too_many")]
        status: u16,
        /// Seconds.
        retry_after: u64,
    },
    /// Somebody else is first with the very same request: it is carried out twice, and the second answer
    /// is given. For other systems than Callbell.
    Race,
    /// The message is accepted, and the connection closed without an answer.
    DropAfterAccept,
    /// The message is accepted, and the answer is this status.
    AcceptThenStatus {
        /// 400 to 599.
        status: u16,
    },
    /// The answer comes late, in real time.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Template messages on WhatsApp are refused with 402; other messages pass and use up nothing.
    OutOfCredit,
    /// The message is accepted, and WhatsApp does not deliver it: a webhook says so a second later.
    MessageFails {
        /// WhatsApp's reason.
        #[serde(default = "not_on_whatsapp")]
        reason: String,
    },
    /// The message is accepted, and WhatsApp corrects the number, of which a webhook tells.
    Mismatch {
        /// The number that it makes of it.
        phone: String,
    },
    /// A webhook does not reach us, and is not tried again.
    WebhookLost {
        /// Of this event alone: `message_created`.
        #[serde(default)]
        event: Option<String>,
    },
}

impl Kind {
    /// Whether the stand-in of this system can fail so: `callbell`, `hubspot`.
    pub fn is_for(&self, system: &str) -> bool {
        match self {
            Kind::Limited { .. } | Kind::Race => system != CALLBELL,
            Kind::OutOfCredit
            | Kind::MessageFails { .. }
            | Kind::Mismatch { .. }
            | Kind::WebhookLost { .. } => system == CALLBELL,
            _ => true,
        }
    }
}

fn too_many() -> u16 {
    429
}

fn not_on_whatsapp() -> String {
    "number does not exist on WhatsApp".to_owned()
}

/// A fault and how many requests it still meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How.
    pub kind: Kind,
    /// How often.
    pub times: u32,
    /// Whether requests other than sends meet it too.
    pub every_request: bool,
}

/// What is due to go wrong, first come first served.
#[derive(Debug, Default)]
pub struct Faults(VecDeque<Fault>);

impl Faults {
    /// Replaces what was there; an empty list ends all faults.
    pub fn set(&mut self, faults: Vec<Fault>) {
        self.0 = faults.into_iter().filter(|fault| fault.times > 0).collect();
    }

    /// The fault that this request meets, used up by one.
    pub fn take(&mut self, is_send: bool, is_template: bool) -> Option<Kind> {
        let meets = |fault: &Fault| {
            let meets = match fault.kind {
                Kind::OutOfCredit => is_send && is_template,
                Kind::MessageFails { .. } | Kind::Mismatch { .. } => is_send,
                Kind::WebhookLost { .. } => false,
                _ => true,
            };
            meets && (is_send || fault.every_request)
        };
        self.take_first(meets)
    }

    /// Whether this webhook gets lost, used up by one.
    pub fn take_webhook(&mut self, event: &str) -> bool {
        let meets = |fault: &Fault| match &fault.kind {
            Kind::WebhookLost { event: only } => only.as_deref().is_none_or(|only| only == event),
            _ => false,
        };
        self.take_first(meets).is_some()
    }

    fn take_first(&mut self, meets: impl Fn(&Fault) -> bool) -> Option<Kind> {
        let index = self.0.iter().position(meets)?;
        let fault = self.0.get_mut(index)?;
        fault.times = fault.times.saturating_sub(1);
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.0.remove(index);
        }
        Some(kind)
    }

    /// How many requests will still fail.
    pub fn left(&self) -> u32 {
        self.0
            .iter()
            .fold(0, |sum, fault| sum.saturating_add(fault.times))
    }
}

/// Reads one fault of the list: `{"kind": …, "times": 3}`; `times` is 1 where it is not given, and
/// `"on": "any"` lets the fault meet requests that are no sends as well (of other systems: that change
/// nothing).
///
/// # Errors
/// What is wrong with it, in words for the answer.
pub fn read(value: &serde_json::Value) -> Result<Fault, String> {
    let mut fields = value.as_object().cloned().ok_or("a fault is an object")?;
    let times = match fields.remove("times") {
        None => 1,
        Some(times) => times
            .as_u64()
            .and_then(|times| u32::try_from(times).ok())
            .ok_or("times is a whole number")?,
    };
    let every_request = match fields.remove("on").as_ref().map(|on| on.as_str()) {
        None | Some(Some("send")) => false,
        Some(Some("any")) => true,
        Some(_) => return Err("on is \"send\" or \"any\"".to_owned()),
    };
    let kind = serde_json::from_value::<Kind>(serde_json::Value::Object(fields))
        .map_err(|error| error.to_string())?;
    match kind {
        Kind::Status { status }
        | Kind::AcceptThenStatus { status }
        | Kind::Limited { status, .. }
            if !(400..600).contains(&status) =>
        {
            Err("status is between 400 and 599".to_owned())
        }
        Kind::Delay { ms } if ms > DELAY_MS_MAX => Err(format!("ms is at most {DELAY_MS_MAX}")),
        kind => Ok(Fault {
            kind,
            times,
            every_request,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn faults_are_used_up_in_order() {
        let mut faults = Faults::default();
        let list = [
            json!({"kind": "status", "status": 503, "times": 2}),
            json!({"kind": "out_of_credit"}),
            json!({"kind": "delay", "ms": 5, "on": "any"}),
        ];
        faults.set(list.iter().map(|fault| read(fault).unwrap()).collect());
        assert_eq!(faults.left(), 4);
        assert_eq!(faults.take(false, false), Some(Kind::Delay { ms: 5 }));
        assert_eq!(faults.take(true, false), Some(Kind::Status { status: 503 }));
        assert_eq!(faults.take(true, false), Some(Kind::Status { status: 503 }));
        assert_eq!(faults.take(true, false), None, "a text needs no credit");
        assert_eq!(faults.take(true, true), Some(Kind::OutOfCredit));
        assert_eq!(faults.take(true, true), None);
    }

    #[test]
    fn a_fault_of_a_webhook_meets_no_request() {
        let mut faults = Faults::default();
        let list = [
            json!({"kind": "webhook_lost", "event": "contact_created"}),
            json!({"kind": "webhook_lost"}),
            json!({"kind": "message_fails"}),
        ];
        faults.set(list.iter().map(|fault| read(fault).unwrap()).collect());
        assert_eq!(faults.take(false, false), None);
        assert!(matches!(
            faults.take(true, false),
            Some(Kind::MessageFails { .. })
        ));
        assert!(faults.take_webhook("message_created"));
        assert!(!faults.take_webhook("message_created"));
        assert!(faults.take_webhook("contact_created"));
        assert_eq!(faults.left(), 0);
    }

    #[test]
    fn an_unknown_fault_is_refused() {
        for fault in [
            json!({"kind": "flood"}),
            json!({"kind": "status"}),
            json!({"kind": "status", "status": 200}),
            json!({"kind": "delay", "ms": 1, "times": -1}),
            json!({"kind": "limited", "status": 200, "retry_after": 1}),
            json!({"kind": "limited"}),
            json!("status"),
        ] {
            assert!(read(&fault).is_err(), "{fault}");
        }
    }
}
