//! The action `message`: one request to Callbell's `POST /messages/send`.

use std::collections::BTreeMap;
use std::fmt;

use shared::store::PersonId;

use crate::automations::model::{Bot, Channel, MediaKind};
use crate::callbell::{Content, SendMessage};
use crate::phone::Phone;

/// Who gets a message.
#[derive(Clone, PartialEq, Eq)]
pub enum Recipient {
    /// A phone number.
    Phone(Phone),
    /// A person at WhatsApp who hides the number, by the bsuid.
    Bsuid(String),
}

impl Recipient {
    /// Whose row says whether they may be written to.
    pub fn person(&self) -> PersonId {
        match self {
            Recipient::Phone(phone) => PersonId::phone(&phone.identity),
            Recipient::Bsuid(id) => PersonId::bsuid(id),
        }
    }

    /// E.164, where there is a number.
    pub fn e164(&self) -> Option<&str> {
        match self {
            Recipient::Phone(phone) => Some(&phone.e164),
            Recipient::Bsuid(_) => None,
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Recipient::Phone(_) => "Phone([REDACTED])",
            Recipient::Bsuid(_) => "Bsuid([REDACTED])",
        })
    }
}

/// What one person gets, in the words and language chosen for them.
#[derive(Clone, Default, PartialEq)]
pub struct Letter {
    /// The approved template; `None`: free text.
    pub template: Option<String>,
    /// Its values, one a placeholder, none of them blank.
    pub values: Vec<String>,
    /// Free text, or the caption of media without a template.
    pub text: Option<String>,
    /// Picture, document, sound or film, and its https address.
    pub media: Option<(MediaKind, String)>,
    /// The sentence as the person reads it, where it is known: free text, or a template whose text is
    /// in templates.json. Callbell's history shows it, so a lost answer can be found there.
    pub sentence: Option<String>,
}

impl fmt::Debug for Letter {
    /// The template alone: the rest is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter")
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

/// The envelope: everything around the letter.
pub struct Envelope<'a> {
    /// Who gets it.
    pub to: &'a Recipient,
    /// Who sends.
    pub channel: &'a Channel,
    /// E-mail address of the assigned user.
    pub assign: Option<&'a str>,
    /// Callbell's number of the team.
    pub team_uuid: Option<&'a str>,
    /// Callbell's own bot.
    pub bot: Option<Bot>,
    /// The job's number: comes back in every webhook about this message.
    pub job: &'a str,
}

/// The request's body. Callbell's documentation has three shapes of a template's values: none, one as
/// `content.text`, several as `template_values` (then `content.text` is ignored, but is there).
pub fn request(letter: Letter, envelope: &Envelope<'_>) -> SendMessage {
    let is_template = letter.template.is_some();
    let kind = match letter.media {
        None => "text",
        Some((MediaKind::Image, _)) => "image",
        Some((MediaKind::Video, _)) if is_template => "video",
        // Callbell's documented examples send sound and film as documents.
        Some((MediaKind::Document | MediaKind::Audio | MediaKind::Video, _)) => "document",
    };
    let text = if is_template {
        template_text(&letter)
    } else {
        letter.text.clone()
    };
    let template_values = if is_template && letter.values.len() > 1 {
        letter.values
    } else {
        Vec::new()
    };
    SendMessage {
        to: envelope.to.e164().map(str::to_owned),
        bsuid: match envelope.to {
            Recipient::Bsuid(id) => Some(id.clone()),
            Recipient::Phone(_) => None,
        },
        from: envelope.channel.kind.as_str(),
        kind,
        content: Content {
            text,
            url: letter.media.map(|(_, url)| url),
        },
        channel_uuid: envelope.channel.uuid.clone(),
        optin_contact: is_template,
        template_uuid: letter.template,
        template_values,
        assigned_user: envelope.assign.map(str::to_owned),
        team_uuid: envelope.team_uuid.map(str::to_owned),
        bot_status: envelope.bot.map(|bot| match bot {
            Bot::Start => "bot_start",
            Bot::End => "bot_end",
        }),
        metadata: BTreeMap::from([("job".to_owned(), envelope.job.to_owned())]),
    }
}

/// `content.text` beside a template: the only value, or what Callbell ignores. A text message without
/// a text may be refused, so a template without values carries its own sentence, or a dash.
fn template_text(letter: &Letter) -> Option<String> {
    match letter.values.first() {
        Some(value) => Some(value.clone()),
        None if letter.media.is_some() => None,
        None => Some(letter.sentence.clone().unwrap_or_else(|| "-".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automations::model::{ChannelKind, Place};
    use serde_json::{Value, json};

    fn channel() -> Channel {
        Channel {
            uuid: "c0".to_owned(),
            kind: ChannelKind::Whatsapp,
            place: Place::default(),
        }
    }

    fn maria() -> Recipient {
        Recipient::Phone(crate::phone::read("+5511987654321", None).unwrap())
    }

    fn body(letter: Letter) -> Value {
        let channel = channel();
        let envelope = Envelope {
            to: &maria(),
            channel: &channel,
            assign: None,
            team_uuid: None,
            bot: None,
            job: "j",
        };
        let mut body = serde_json::to_value(request(letter, &envelope)).unwrap();
        for (key, value) in [
            ("to", json!("+5511987654321")),
            ("from", json!("whatsapp")),
            ("channel_uuid", json!("c0")),
            ("metadata", json!({"job": "j"})),
        ] {
            assert_eq!(
                body.as_object_mut().unwrap().remove(key),
                Some(value),
                "{key}"
            );
        }
        body
    }

    fn template(values: &[&str]) -> Letter {
        Letter {
            template: Some("t0".to_owned()),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            ..Letter::default()
        }
    }

    #[test]
    fn every_shape_of_a_message_is_the_documented_one() {
        let media = |kind, letter: Letter| Letter {
            media: Some((kind, "https://x/y".to_owned())),
            ..letter
        };
        let text = |text: &str| Letter {
            text: Some(text.to_owned()),
            ..Letter::default()
        };
        let rows = [
            (
                text("Olá"),
                json!({"type": "text", "content": {"text": "Olá"}}),
            ),
            (
                template(&["Maria"]),
                json!({"type": "text", "content": {"text": "Maria"}, "template_uuid": "t0", "optin_contact": true}),
            ),
            (
                template(&["Maria", "#1001"]),
                json!({"type": "text", "content": {"text": "Maria"}, "template_uuid": "t0", "optin_contact": true,
                       "template_values": ["Maria", "#1001"]}),
            ),
            (
                template(&[]),
                json!({"type": "text", "content": {"text": "-"}, "template_uuid": "t0", "optin_contact": true}),
            ),
            (
                media(MediaKind::Image, text("legenda")),
                json!({"type": "image", "content": {"text": "legenda", "url": "https://x/y"}}),
            ),
            (
                media(MediaKind::Document, Letter::default()),
                json!({"type": "document", "content": {"url": "https://x/y"}}),
            ),
            (
                media(MediaKind::Audio, Letter::default()),
                json!({"type": "document", "content": {"url": "https://x/y"}}),
            ),
            (
                media(MediaKind::Video, Letter::default()),
                json!({"type": "document", "content": {"url": "https://x/y"}}),
            ),
            (
                media(MediaKind::Video, template(&["a", "b"])),
                json!({"type": "video", "content": {"text": "a", "url": "https://x/y"}, "template_uuid": "t0",
                       "optin_contact": true, "template_values": ["a", "b"]}),
            ),
            (
                media(MediaKind::Document, template(&[])),
                json!({"type": "document", "content": {"url": "https://x/y"}, "template_uuid": "t0",
                       "optin_contact": true}),
            ),
        ];
        for (letter, expected) in rows {
            assert_eq!(body(letter), expected);
        }
    }

    #[test]
    fn assignment_team_bot_and_a_hidden_number_are_passed_on() {
        let channel = channel();
        let envelope = Envelope {
            to: &Recipient::Bsuid("BR.1".to_owned()),
            channel: &channel,
            assign: Some("ana@example.com"),
            team_uuid: Some("team"),
            bot: Some(Bot::End),
            job: "j",
        };
        let body = serde_json::to_value(request(template(&[]), &envelope)).unwrap();
        assert_eq!(body["assigned_user"], "ana@example.com");
        assert_eq!(body["team_uuid"], "team");
        assert_eq!(body["bot_status"], "bot_end");
        assert_eq!(body["bsuid"], "BR.1");
        assert_eq!(body.get("to"), None);
    }
}
