//! The shop: sample orders, each with a number of its own, signed as of now and posted to the API.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cli::dev::envelope::{self, Sample};
use serde_json::Value;

use crate::failure::{During as _, Outcome, ensure};
use crate::world::World;

/// A paid order of Maria's.
const SAMPLE: &str = "events/orders/02-shopify-orders-paid.json";
/// The number of the sample's order, and its id.
const NUMBER: &str = "1001";
const ID: &str = "6171000000101";
/// What nobody but its customer, Callbell and the table may read of the sample.
pub(crate) const PRIVATE: &[&str] = &[
    "Maria",
    "da Silva",
    "example.com.br",
    "98765",
    "Rua das Flores",
    "Camiseta",
];
/// How long an answer of the API may take, in seconds. The functions' own limit is ten.
const ANSWER_S: u64 = 20;

/// One webhook, signed.
#[derive(Clone)]
pub(crate) struct Webhook(Sample);

/// An order's answer: status and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Webhook {
    /// The order with this number of four digits, paid just now, signed with the first value that
    /// `secrets` has for the shop, by `callbell sign`.
    pub(crate) async fn sign(world: &World, number: u32, secrets: &Path) -> Outcome<Webhook> {
        let sample = world.tools.root.join(SAMPLE);
        let text = std::fs::read_to_string(&sample).during(sample.display())?;
        let mut event: Value = serde_json::from_str(&text).during(SAMPLE)?;
        let body = event["body"].as_str().unwrap_or_default();
        ensure(body.contains(ID) && body.contains(NUMBER), || {
            format!("{SAMPLE} is another order than expected")
        })?;
        let number = number.to_string();
        let body = body.replace(ID, &format!("617100000{number}"));
        event["body"] = body.replace(NUMBER, &number).into();
        let (from, to) = (
            file(world, "sample", &number),
            file(world, "signed", &number),
        );
        std::fs::write(&from, event.to_string()).during(from.display())?;
        let arguments: Vec<&Path> = vec![
            Path::new("sign"),
            &from,
            Path::new("--now"),
            Path::new("--secrets"),
            secrets,
            Path::new("--out"),
            &to,
        ];
        world.callbell(&arguments).await?;
        Webhook::read(&to)
    }

    /// A body of `source`, signed with the first value that `secrets` has for it, by `callbell sign`.
    pub(crate) async fn of_body(world: &World, source: &str, body: &Value) -> Outcome<Webhook> {
        let (from, to) = (file(world, "body", source), file(world, "signed", source));
        std::fs::write(&from, body.to_string()).during(from.display())?;
        let arguments: Vec<&Path> = vec![
            Path::new("sign"),
            &from,
            Path::new("--source"),
            Path::new(source),
            Path::new("--secrets"),
            &world.secrets,
            Path::new("--out"),
            &to,
        ];
        world.callbell(&arguments).await?;
        Webhook::read(&to)
    }

    /// One that needs no signing.
    pub(crate) fn plain(sample: Sample) -> Webhook {
        Webhook(sample)
    }

    /// What `callbell sign` wrote.
    pub(crate) fn read(signed: &Path) -> Outcome<Webhook> {
        let bytes = std::fs::read(signed).during(signed.display())?;
        let event: Value = serde_json::from_slice(&bytes).during(signed.display())?;
        Ok(Webhook(envelope::read(&event).during(signed.display())?))
    }

    /// The same with another body under the same signature.
    pub(crate) fn tampered(mut self) -> Webhook {
        self.0.body.push(b' ');
        self
    }

    /// The same without this header.
    pub(crate) fn without(mut self, header: &str) -> Webhook {
        let is_it = |name: &str| name.eq_ignore_ascii_case(header);
        self.0.headers.retain(|(name, _)| !is_it(name));
        self
    }

    /// The same to another path.
    pub(crate) fn to(mut self, path: &str) -> Webhook {
        path.clone_into(&mut self.0.path);
        self
    }

    /// Posts it to the stack's API.
    pub(crate) async fn post(&self, world: &World) -> Outcome<Answer> {
        let Sample {
            path,
            headers,
            body,
            ..
        } = &self.0;
        let mut request = world
            .http
            .post(format!("{}{path}", world.cloud.endpoint))
            .header("host", &world.stack.api_host)
            .timeout(Duration::from_secs(ANSWER_S))
            .body(body.clone());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.during("the API")?;
        let content_type = answer.headers().get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: answer.status().as_u16(),
            content_type: content_type.unwrap_or_default().to_owned(),
            body: answer.text().await.during("the API")?,
        })
    }

    /// Posts it, which has to end with this status and, in the body, this word.
    pub(crate) async fn expect(&self, world: &World, status: u16, word: &str) -> Outcome {
        let answer = self.post(world).await?;
        ensure(
            answer.status == status && answer.body.contains(word),
            || {
                let Answer {
                    status: was, body, ..
                } = &answer;
                format!("the webhook got {was} {body}, not {status} with \"{word}\"")
            },
        )
    }
}

fn file(world: &World, kind: &str, number: &str) -> PathBuf {
    world.tools.scratch.join(format!("{kind}-{number}.json"))
}
