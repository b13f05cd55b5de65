//! What a job does: one file an action. Adding one is its file, a variant of
//! [`Action`], and its lines here.
//!
//! An action only says what has to be sent; sending it, and everything around it (tokens, claims,
//! outcomes), is the business of `delivery`.

pub mod contact;
mod crm;
pub mod deed;
pub mod hubspot;
pub mod message;
pub mod sheet;
pub mod slack;
pub mod tokens;
pub mod webhook;

use jiff::SignedDuration;

use crate::automations::model::{Action, ActionKind};

/// Lateness of messages unless the file says otherwise.
const MESSAGE_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Lateness of a chatbot's answer: later it answers nobody.
const REPLY_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Lateness of everything that no person waits for.
const OTHER_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(72);

/// Finds the action that a job's row names: `message.order-confirmed`. `None`: made by another version
/// of this program.
pub fn parse(key: &str) -> Option<Action> {
    let (kind, name) = key.split_once('.')?;
    let kind = ActionKind::parse(kind)?;
    (!name.is_empty()).then(|| Action {
        kind,
        name: name.to_owned(),
    })
}

/// The latest start after a job's own time, where neither the automation nor the defaults name one.
pub fn give_up_after(action: &Action) -> SignedDuration {
    match action.kind {
        ActionKind::Message => MESSAGE_GIVE_UP_AFTER,
        ActionKind::Reply => REPLY_GIVE_UP_AFTER,
        _ => OTHER_GIVE_UP_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        for kind in ActionKind::ALL {
            let name = "cart-1".to_owned();
            let action = Action { kind, name };
            assert_eq!(parse(&action.key()), Some(action));
        }
        assert_eq!(parse("slack."), None);
        assert_eq!(parse("fax.x"), None);
        assert_eq!(parse("message"), None);
    }
}
