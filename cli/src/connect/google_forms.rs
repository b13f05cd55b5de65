//! Google Forms. Google has no webhooks of forms: a script of ours posts what is answered, and a person puts it
//! where the form is. See `docs/google-forms/README.md`.

use shared::event::Name;

use super::{ByHand, Topic};

/// Where the script is, in this repository.
const SCRIPT: &str = "docs/google-forms/callbell.gs";

const TOPICS: &[Topic] = &[Topic {
    name: "form.submitted",
    events: &[Name::FormSubmitted],
    always: true,
}];

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        "google-forms"
    }

    fn title(&self) -> &'static str {
        "Google Forms"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "Google Forms: what the script of docs/google-forms has as CALLBELL_SECRET: callbell connect google-forms makes\n\
             # it and prints it."
    }

    fn provoke(&self) -> &'static str {
        "fill in the form"
    }

    fn is_by_hand(&self) -> bool {
        true
    }

    fn steps(&self, by_hand: &ByHand<'_>) -> Vec<String> {
        // An old one as well: each form's script needs it pasted. A program that reads the steps pastes nothing.
        let secret = if by_hand.is_json {
            "the secret in secrets.toml"
        } else {
            by_hand.secret.expose()
        };
        vec![
            "open the form as its editor: the three dots at the top right, Apps Script".to_owned(),
            format!(
                "put the whole of {SCRIPT} in place of what is there; beside it, README.md says more"
            ),
            format!(
                "fill in its first two lines and save:\n     var CALLBELL_URL = '{}';\n     var CALLBELL_SECRET = '{secret}';\n   whoever may edit the form can read them; Project Settings, Script Properties has room for the same two names",
                by_hand.url
            ),
            "choose install above the script, Run, and allow what Google asks: this form, outside requests, triggers".to_owned(),
            "its log has to say: callbell: installed".to_owned(),
        ]
    }
}
