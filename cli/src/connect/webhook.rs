//! A system of the user's own: nothing is registered anywhere. What it has to send is printed, as a line for a
//! terminal in which everything is filled in; of a secret that was there already, which may be the system's own,
//! the fingerprint alone.

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
/// Digits of base64 that stand together: three bytes.
const BASE64_DIGITS: usize = 4;

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
        let holds = if by_hand.is_new {
            ""
        } else {
            ", with the secret in the variable SECRET"
        };
        steps.push(format!(
            "try it in a terminal{holds}:\n     {}",
            line(&auth, by_hand, &body)
        ));
        steps.push(format!(
            "what became of it: callbell events --all{flag}. Zapier, Make, n8n, Nuvemshop step by step: docs/custom.md"
        ));
        steps
    }
}

/// How it has to prove itself: with a secret that was made just now, or with the fingerprint of an older one.
fn proof(auth: &Auth, by_hand: &ByHand<'_>) -> String {
    let ByHand {
        name, secret, flag, ..
    } = by_hand;
    let print = format!("the secret whose fingerprint is {}", secret.fingerprint());
    let another = "--rotate makes another one and shows it";
    match auth {
        Auth::StandardWebhooks if by_hand.is_new => format!(
            "have it sign by Standard Webhooks with the secret {}",
            for_libraries(secret)
        ),
        Auth::StandardWebhooks => {
            let form = match secret.expose().starts_with(KEY_PREFIX) {
                true => String::new(),
                false => format!(", which libraries take as {KEY_PREFIX} and its base64"),
            };
            format!("have it sign by Standard Webhooks with {print}{form}; {another}")
        }
        Auth::Bearer => {
            let value = match by_hand.is_new {
                true => format!("Bearer {}", secret.expose()),
                false => format!("Bearer, a blank and {print}; {another}"),
            };
            format!("have it send the header Authorization with the value: {value}")
        }
        Auth::Basic => {
            let credentials = webhook::credentials(name, secret);
            let (user, password) = credentials.expose().split_once(':').unwrap_or_default();
            let send = format!("have it send, by basic auth, the user {user} and");
            match by_hand.is_new {
                true => format!("{send} the password {password}"),
                false => format!("{send} as password {print}; {another}"),
            }
        }
        Auth::Hmac(of) => {
            let secret = match by_hand.is_new {
                true => format!("the secret {}", secret.expose()),
                false => print,
            };
            let push = match flag.contains("--local") {
                true => String::new(),
                false => format!(", then callbell secrets push{flag}"),
            };
            format!(
                "have it sign with {secret}, into the header {}; where it has a secret of its own: callbell secrets set {name}{push}",
                of.header
            )
        }
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

/// The bytes of a key that has the form of Standard Webhooks.
fn key(text: &str) -> Option<Vec<u8>> {
    let base64 = text.strip_prefix(KEY_PREFIX)?;
    STANDARD_NO_PAD.decode(base64.trim_end_matches('=')).ok()
}

/// The key of Standard Webhooks, as an option of `openssl dgst -mac HMAC`.
fn key_option(by_hand: &ByHand<'_>) -> String {
    let text = by_hand.secret.expose();
    let key = key(text);
    if by_hand.is_new {
        let bytes = key.unwrap_or_else(|| text.as_bytes().to_vec());
        return format!("hexkey:{}", hex::encode(bytes));
    }
    if key.is_none() {
        return "key:\"$SECRET\"".to_owned();
    }
    // What openssl does not read without its padding.
    let digits = text.len().saturating_sub(KEY_PREFIX.len());
    let padding = "=".repeat(
        digits
            .next_multiple_of(BASE64_DIGITS)
            .saturating_sub(digits),
    );
    format!(
        "hexkey:$(printf %s \"${{SECRET#{KEY_PREFIX}}}{padding}\" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \\n')"
    )
}

/// A line for a terminal that posts this body. An older secret is not in it: the shell has it as a variable.
fn line(auth: &Auth, by_hand: &ByHand<'_>, body: &str) -> String {
    let post = format!(
        "curl -X POST {} -H 'content-type: application/json'",
        quoted(by_hand.url)
    );
    let body = quoted(body);
    let secret = if by_hand.is_new {
        quoted(by_hand.secret.expose())
    } else {
        "\"$SECRET\"".to_owned()
    };
    match auth {
        Auth::Bearer => format!("{post} -H 'Authorization: Bearer '{secret} -d {body}"),
        Auth::Basic => {
            let whole = by_hand.secret.expose().contains(':');
            let user = if whole {
                String::new()
            } else {
                quoted(&format!("{}:", by_hand.name))
            };
            format!("{post} -u {user}{secret} -d {body}")
        }
        Auth::Hmac(of) => {
            let header = format!("{}: {}", of.header, of.prefix);
            format!(
                "body={body}; sign=$(printf %s \"$body\" | {}); {post} -H {}\"$sign\" -d \"$body\"",
                digest(of, &secret),
                quoted(&header)
            )
        }
        Auth::StandardWebhooks => {
            let key = key_option(by_hand);
            let sign = format!(
                "printf %s \"$id.$time.$body\" | openssl dgst -sha256 -mac HMAC -macopt {key} -binary | openssl base64 -A"
            );
            format!(
                "body={body}; time=$(date +%s); id=msg_$time; sign=$({sign}); {post} -H \"webhook-id: $id\" -H \"webhook-timestamp: $time\" -H \"webhook-signature: v1,$sign\" -d \"$body\""
            )
        }
    }
}

/// What makes an HMAC of standard input, with a secret as the shell takes it.
fn digest(of: &HmacOf, secret: &str) -> String {
    let hash = match of.hash {
        Hash::Sha1 => "sha1",
        Hash::Sha256 => "sha256",
        Hash::Sha512 => "sha512",
    };
    let made = format!("openssl dgst -{hash} -hmac {secret}");
    match of.encoding {
        Encoding::Hex => format!("{made} -r | cut -d' ' -f1"),
        Encoding::Base64 => format!("{made} -binary | openssl base64 -A"),
    }
}

/// A text as a shell takes it word by word.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
