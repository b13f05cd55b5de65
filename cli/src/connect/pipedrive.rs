//! Pipedrive.

use super::{ByHand, Topic};

const TOPICS: &[Topic] = &[];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "pipedrive"
    }

    fn title(&self) -> &'static str {
        "Pipedrive"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn provoke(&self) -> &'static str {
        "make a new contact there"
    }

    fn is_by_hand(&self) -> bool {
        true
    }

    fn steps(&self, by_hand: &ByHand<'_>) -> Vec<String> {
        vec![format!("have it post to {}", by_hand.url)]
    }
}
