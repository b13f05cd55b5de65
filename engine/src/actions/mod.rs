//! What a job does: one file an action. Adding one is its file, a variant of
//! [`Action`], and its lines here.
//!
//! An action only says what has to be sent; sending it, and everything around it (tokens, claims,
//! outcomes), is the business of `delivery`.

pub mod message;

use jiff::SignedDuration;

use crate::automations::model::Action;

/// Lateness of messages unless the file says otherwise.
const MESSAGE_GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Finds the action that a job's row names: `message.order-confirmed`. `None`: made by another version
/// of this program.
pub fn parse(key: &str) -> Option<Action> {
    match key.split_once('.')? {
        ("message", name) if !name.is_empty() => Some(Action::Message(name.to_owned())),
        _ => None,
    }
}

/// The latest start after a job's own time, where neither the automation nor the defaults name one.
pub fn give_up_after(action: &Action) -> SignedDuration {
    match action {
        Action::Message(_) => MESSAGE_GIVE_UP_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        let action = Action::Message("cart-1".to_owned());
        assert_eq!(parse(&action.key()), Some(action));
        assert_eq!(parse("slack.ops"), None);
        assert_eq!(parse("message"), None);
    }
}
