//! A system of the user's own: nothing is registered anywhere. What it has to send is printed, as a line for a
//! terminal in which everything is filled in.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use engine::automations::posts;
use serde_json::json;
use shared::connections::{Auth, Encoding, Hash, HmacOf};
use shared::event::Name;
use shared::secrets::Secret;
use shared::sources::webhook;

use super::{ByHand, Topic};

/// It posts what it likes.
const TOPICS: &[Topic] = &[Topic {
    name: "posts",
    events: &[Name::CustomReceived],
    always: true,
}];
/// What stands before the base64 of a key of Standard Webhooks.
const KEY_PREFIX: &str = "whsec_";

/// The system.
pub(super) struct System;

impl super::System for System {
    fn kind(&self) -> &'static str {
        webhook::KIND
    }

    fn title(&self) -> &'static str {
        "A system of your own"
    }

    fn topics(&self) -> &'static [Topic] {
        TOPICS
    }

    fn whereabouts(&self) -> &'static str {
        "A system of your own: called as its [source.x]; callbell connect webhook --name x makes it and says how to send it."
    }

    fn provoke(&self) -> &'static str {
        "have it post something"
    }

    fn is_by_hand(&self) -> bool {
        true
    }

    fn steps(&self, by_hand: &ByHand<'_>) -> Vec<String> {
        let ByHand {
            name, url, flag, ..
        } = by_hand;
        let auth = webhook::auth(by_hand.connection);
        let body = match by_hand.table.and_then(|table| table.posts.as_ref()) {
            Some(posts) => posts::example(posts),
            None => json!({"id": "1"}),
        }
        .to_string();
        let mut steps = Vec::new();
        if by_hand.table.is_none() {
            steps.push(format!(
                "say in automations.toml what its posts mean, then callbell push{flag}:\n     [source.{name}]\n     key   = \"data.id\"\n     phone = \"data.phone\""
            ));
        }
        steps.push(format!("have it post JSON, or a form, to {url}"));
        steps.push(proof(&auth, by_hand));
        steps.push(format!(
            "try it in a terminal:\n     {}",
            line(&auth, by_hand, &body)
        ));
        steps.push(format!(
            "what became of it: callbell events --all{flag}. Zapier, Make, n8n, Nuvemshop step by step: docs/custom.md"
        ));
        steps
    }
}

/// How it has to prove itself, with the secret.
fn proof(auth: &Auth, by_hand: &ByHand<'_>) -> String {
    let (secret, name) = (by_hand.secret.expose(), by_hand.name);
    match auth {
        Auth::StandardWebhooks => format!(
            "have it sign by Standard Webhooks with the secret {}",
            for_libraries(by_hand.secret)
        ),
        Auth::Bearer => {
            format!("have it send the header Authorization with the value: Bearer {secret}")
        }
        Auth::Basic => {
            let credentials = webhook::credentials(name, by_hand.secret);
            let (user, password) = credentials.expose().split_once(':').unwrap_or_default();
            format!("have it send the user {user} and the password {password} (basic auth)")
        }
        Auth::Hmac(of) => format!(
            "have it sign with the secret {secret}, into the header {}; where it has a secret of its own: callbell secrets set {name}{}",
            of.header, by_hand.flag
        ),
    }
}

/// A secret as the libraries of Standard Webhooks take it. What has not their form is a text to us, whose bytes
/// are the key.
fn for_libraries(secret: &Secret) -> String {
    let text = secret.expose();
    if text.starts_with(KEY_PREFIX) {
        return text.to_owned();
    }
    format!("{KEY_PREFIX}{}", STANDARD.encode(text))
}

/// The key of Standard Webhooks, as a shell needs it.
fn hex_key(secret: &Secret) -> String {
    let whole = for_libraries(secret);
    let base64 = whole.strip_prefix(KEY_PREFIX).unwrap_or_default();
    let bytes = STANDARD_NO_PAD.decode(base64.trim_end_matches('='));
    let bytes = bytes.unwrap_or_else(|_| whole.clone().into_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line for a terminal that posts this body.
fn line(auth: &Auth, by_hand: &ByHand<'_>, body: &str) -> String {
    let secret = by_hand.secret.expose();
    let post = format!(
        "curl -X POST {} -H 'content-type: application/json'",
        quoted(by_hand.url)
    );
    let body = quoted(body);
    match auth {
        Auth::Bearer => {
            let header = quoted(&format!("Authorization: Bearer {secret}"));
            format!("{post} -H {header} -d {body}")
        }
        Auth::Basic => {
            let credentials = webhook::credentials(by_hand.name, by_hand.secret);
            format!("{post} -u {} -d {body}", quoted(credentials.expose()))
        }
        Auth::Hmac(of) => {
            let header = format!("{}: {}", of.header, of.prefix);
            format!(
                "body={body}; sign=$(printf %s \"$body\" | {}); {post} -H {}\"$sign\" -d \"$body\"",
                digest(of, secret),
                quoted(&header)
            )
        }
        Auth::StandardWebhooks => {
            let key = hex_key(by_hand.secret);
            let sign = format!(
                "printf %s \"$id.$time.$body\" | openssl dgst -sha256 -mac HMAC -macopt hexkey:{key} -binary | openssl base64 -A"
            );
            format!(
                "body={body}; time=$(date +%s); id=msg_$time; sign=$({sign}); {post} -H \"webhook-id: $id\" -H \"webhook-timestamp: $time\" -H \"webhook-signature: v1,$sign\" -d \"$body\""
            )
        }
    }
}

/// What makes an HMAC of standard input.
fn digest(of: &HmacOf, secret: &str) -> String {
    let hash = match of.hash {
        Hash::Sha1 => "sha1",
        Hash::Sha256 => "sha256",
        Hash::Sha512 => "sha512",
    };
    let made = format!("openssl dgst -{hash} -hmac {}", quoted(secret));
    match of.encoding {
        Encoding::Hex => format!("{made} -r | cut -d' ' -f1"),
        Encoding::Base64 => format!("{made} -binary | openssl base64 -A"),
    }
}

/// A text as a shell takes it word by word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
