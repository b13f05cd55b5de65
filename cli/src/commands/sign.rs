//! `callbell sign`: a sample event from a raw body, or an older one signed again, its times moved along.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use shared::clock::Clock;
use shared::connections::Connection;
use shared::secrets::Secret;
use shared::sources::{self, Source, Unsigned, callbell, demo};

use super::Outcome;
use crate::args::SignArgs;
use crate::dev::envelope::{self, Parts, Sample};
use crate::dev::routes;
use crate::dev::secrets;
use crate::error::CliError;
use crate::output::say;
use crate::project::{self, Files};

/// Prints the event, or writes it to a file.
///
/// # Errors
/// The file cannot be read, or what it comes from is not known.
pub fn run(args: &SignArgs) -> Outcome {
    let bytes = std::fs::read(&args.file).map_err(|error| {
        CliError::new(format!("{} cannot be read: {error}", args.file.display()))
    })?;
    let older: Option<Sample> = serde_json::from_slice::<Value>(&bytes)
        .ok()
        .and_then(|event| envelope::read(&event).ok());
    let connection = connection(args, older.as_ref())?;
    let table = table(args, &connection)?;
    let source = source(args, &table)?;
    let secret = secret(args.secrets.as_deref(), source, &connection)?;
    let now = Clock::system().now();
    let at = match (&args.at, args.now, &older) {
        (Some(at), _, _) => *at,
        (None, false, Some(older)) => older.at,
        (None, _, _) => now,
    };
    let body = match &older {
        Some(older) => moved(&older.body, at.duration_since(older.at)),
        None => bytes,
    };
    let last = last_part(args.secrets.as_deref(), source, &connection)?;
    let to = To {
        host: args.host.as_deref().unwrap_or(HOST),
        path: format!("/{}/{last}", source.function()),
        query: sources::query(source, &secret),
    };
    let unsigned = Unsigned {
        connection: &Connection {
            kind: source.kind().to_owned(),
            ..table
        },
        secret: &secret,
        url: &to.url(),
        body: &body,
        now: at,
    };
    let headers = headers(args, older.as_ref(), source, &unsigned)?;
    let event = event(&to, &headers, &body, at)?;
    let text = serde_json::to_string_pretty(&event)? + "\n";
    match &args.out {
        Some(path) => {
            std::fs::write(path, text).map_err(|error| {
                CliError::new(format!("{} cannot be written: {error}", path.display()))
            })?;
            say(format!(
                "{} signed with secret {}",
                path.display(),
                secret.fingerprint()
            ));
        }
        None => anstream::print!("{text}"),
    }
    Ok(0)
}

/// The body with every time in it moved: an old order that comes now would be too late for every message.
/// What is no JSON stays as it is.
pub fn moved(body: &[u8], by: SignedDuration) -> Vec<u8> {
    let by = SignedDuration::from_secs(by.as_secs());
    match serde_json::from_slice::<Value>(body) {
        Ok(mut value) if !by.is_zero() => {
            move_times(&mut value, by);
            value.to_string().into_bytes()
        }
        Ok(_) => body.to_vec(),
        Err(_) if by.is_zero() => body.to_vec(),
        Err(_) => moved_text(body, by),
    }
}

fn move_times(value: &mut Value, by: SignedDuration) {
    match value {
        Value::String(text) => {
            if let Some(moved) = moved_time(text, by).or_else(|| moved_digits(text, by)) {
                *text = moved;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| move_times(item, by)),
        Value::Object(map) => {
            for (key, item) in map {
                match item {
                    Value::Number(number) if is_time(key) => {
                        if let Some(moved) = moved_number(number.as_i64(), by) {
                            *item = moved.into();
                        }
                    }
                    _ => move_times(item, by),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a number of this name counts seconds, or parts of one, since 1970: HubSpot, Intercom, Pipedrive.
fn is_time(key: &str) -> bool {
    key.ends_with("_at") || key.ends_with("At") || key.starts_with("timestamp")
}

/// Seconds, milliseconds or microseconds of our time; `None`: some other number.
fn moved_number(number: Option<i64>, by: SignedDuration) -> Option<i64> {
    let years = 1_500_000_000..2_500_000_000_i64;
    let number = number?;
    [1, 1_000, 1_000_000]
        .into_iter()
        .find(|unit| years.contains(&number.div_euclid(*unit)))
        .and_then(|unit| number.checked_add(by.as_secs().checked_mul(unit)?))
}

/// A text of milliseconds, as HubSpot's workflows write dates. No phone number has so many digits and
/// begins like that.
fn moved_digits(text: &str, by: SignedDuration) -> Option<String> {
    let is_number = text.len() == 13 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    moved_number(number, by).map(|moved| moved.to_string())
}

/// What is no JSON: a form, whose values may be times, or XML, which has them between its marks.
fn moved_text(body: &[u8], by: SignedDuration) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(body) else {
        return body.to_vec();
    };
    if text.trim_start().starts_with('<') {
        let pieces = text.split_inclusive(['<', '>']).map(|piece| {
            let inner = piece.trim_end_matches(['<', '>']);
            match moved_time(inner, by) {
                Some(moved) => piece.replacen(inner, &moved, 1),
                None => piece.to_owned(),
            }
        });
        return pieces.collect::<String>().into_bytes();
    }
    let moved = form_urlencoded::parse(body).map(|(name, value)| {
        let value = moved_time(&value, by).unwrap_or_else(|| value.into_owned());
        (name.into_owned(), value)
    });
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(moved);
    form.finish().into_bytes()
}

/// A time as providers write it, with its offset or without one (WooCommerce), with a blank in its middle
/// (Mailchimp, Pipedrive), in the same form.
fn moved_time(text: &str, by: SignedDuration) -> Option<String> {
    match text.as_bytes().get(10) {
        Some(b'T') => {}
        Some(b' ') if text.len() == 19 => {
            let moved = text.parse::<DateTime>().ok()?.checked_add(by).ok()?;
            return Some(moved.strftime("%Y-%m-%d %H:%M:%S").to_string());
        }
        _ => return None,
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        let moved = at.checked_add(by).ok()?;
        return match Pieces::parse(text).ok()?.to_numeric_offset() {
            Some(offset) if !text.ends_with('Z') => {
                let local = moved.to_zoned(TimeZone::fixed(offset));
                Some(local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
            }
            _ => Some(moved.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        };
    }
    let moved = text.parse::<DateTime>().ok()?.checked_add(by).ok()?;
    Some(moved.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

fn connection(args: &SignArgs, older: Option<&Sample>) -> Result<String, CliError> {
    let of_path = |sample: &Sample| {
        let path = sample.path.split('?').next().unwrap_or_default();
        project::connection_of(path)
    };
    args.source
        .clone()
        .or_else(|| older.and_then(of_path))
        .ok_or_else(|| {
            CliError::new("a raw body does not say where it comes from")
                .hint("add --source shopify")
        })
}

/// The connection as the automations have it; without them, as the sample events do.
fn table(args: &SignArgs, name: &str) -> Result<Connection, CliError> {
    let Some(path) = &args.automations else {
        return Ok(demo::connections().get(name));
    };
    let files = Files::read(path)?;
    let report = files.check(Clock::system().now());
    let automations = report.automations.ok_or_else(|| {
        CliError::new(format!("{} cannot be used", path.display()))
            .hint(format!("callbell check {}", path.display()))
    })?;
    Ok(project::connections(&automations).get(name))
}

fn source(args: &SignArgs, connection: &Connection) -> Result<&'static dyn Source, CliError> {
    let kind = args.kind.as_deref().unwrap_or(&connection.kind);
    sources::by_kind(kind).ok_or_else(|| {
        let known: Vec<&str> = sources::ALL.iter().map(|source| source.kind()).collect();
        CliError::new(format!(
            "\"{kind}\" is no provider; there are: {}",
            known.join(", ")
        ))
        .hint("where the connection has a name of its own: --source loja-it --kind shopify")
    })
}

fn secret(file: Option<&Path>, source: &dyn Source, connection: &str) -> Result<Secret, CliError> {
    let Some(file) = file else {
        return Ok(demo::secret(connection));
    };
    let files = secrets::Files::read(file)?;
    let values = files.webhooks.get(connection);
    // Callbell's path has secrets too, which sign nothing.
    let signing = values.iter().find(|value| callbell::signs(value));
    signing
        .filter(|_| connection == callbell::KIND)
        .or_else(|| values.iter().find(|value| source.is_key(value)))
        .cloned()
        .ok_or_else(|| {
            CliError::new(format!(
                "{} has no secret called {connection}",
                file.display()
            ))
            .hint(format!("callbell secrets set {connection}"))
        })
}

/// What the path ends in: the connection's name, or the secret in its place.
fn last_part(
    file: Option<&Path>,
    source: &dyn Source,
    connection: &str,
) -> Result<String, CliError> {
    if !source.is_behind_secret() {
        return Ok(connection.to_owned());
    }
    let Some(file) = file else {
        return Ok(demo::path(source));
    };
    let files = secrets::Files::read(file)?;
    let mut values = files.webhooks.get(connection).iter();
    let path = values.rfind(|value| !callbell::signs(value));
    path.map(|value| value.expose().to_owned()).ok_or_else(|| {
        CliError::new(format!(
            "{} has no secret of the path of {connection}",
            file.display()
        ))
        .hint(format!("callbell connect {connection}"))
    })
}

fn headers(
    args: &SignArgs,
    older: Option<&Sample>,
    source: &dyn Source,
    unsigned: &Unsigned<'_>,
) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    let mut insert = |name: &str, value: &str| -> Result<(), CliError> {
        let wrong = || CliError::new(format!("{name} cannot be a header"));
        let value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
        Ok(())
    };
    insert("content-type", "application/json")?;
    for (name, value) in older.iter().flat_map(|sample| &sample.headers) {
        insert(name, value)?;
    }
    if let Some(topic) = &args.topic {
        insert(topic_header(source.kind()), topic)?;
    }
    for (name, value) in &args.headers {
        insert(name, value)?;
    }
    for (name, value) in source.sign(unsigned) {
        insert(&name, &value)?;
    }
    Ok(headers)
}

/// Where a provider names the topic of a body.
fn topic_header(kind: &str) -> &'static str {
    match kind {
        "shopify" => "x-shopify-topic",
        "woocommerce" => "x-wc-webhook-topic",
        _ => "x-topic",
    }
}

/// Where the samples of `events/` went.
const HOST: &str = "abcdefghij.execute-api.eu-west-1.amazonaws.com";

/// Where a webhook goes.
struct To<'a> {
    host: &'a str,
    path: String,
    query: String,
}

impl To<'_> {
    /// As API Gateway is called: over https.
    fn url(&self) -> String {
        let To { host, path, query } = self;
        let mark = if query.is_empty() { "" } else { "?" };
        format!("https://{host}{path}{mark}{query}")
    }
}

fn event(to: &To<'_>, headers: &HeaderMap, body: &[u8], at: Timestamp) -> Result<Value, CliError> {
    let routes =
        routes::read(routes::TEMPLATE).map_err(|error| CliError::new(error.to_string()))?;
    let path = &to.path;
    let found = routes
        .iter()
        .find_map(|route| Some((route, route.matches("POST", path)?)));
    let (route, parameters) =
        found.ok_or_else(|| CliError::new(format!("template.yaml has no route for {path}")))?;
    let mut event = envelope::write(&Parts {
        method: "POST",
        path,
        query: &to.query,
        headers,
        body,
        route_key: &route.key(),
        parameters,
        now: at,
    });
    // As API Gateway fills them in; of the development server nothing is left.
    if let Some(context) = event.get_mut("requestContext") {
        context["accountId"] = "123456789012".into();
        context["apiId"] = "abcdefghij".into();
        context["domainName"] = to.host.into();
        context["domainPrefix"] = "abcdefghij".into();
        context["requestId"] = format!("sample-{}", at.as_second()).into();
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_in_the_form_that_they_have() {
        let body = br#"{"id":820982911946154508,"a":"2026-03-10T10:02:31-03:00","b":["2026-03-10T13:02:31Z"],
            "c":"2026-03-10T13:02:31","d":"Travessa 2026","e":"2026-03-10","f":"1773147751000","g":"5511980010103"}"#;
        let moved = moved(body, SignedDuration::from_hours(24));
        let expected = serde_json::json!({
            "id": 820_982_911_946_154_508_u64, "a": "2026-03-11T10:02:31-03:00", "b": ["2026-03-11T13:02:31Z"],
            "c": "2026-03-11T13:02:31", "d": "Travessa 2026", "e": "2026-03-10", "f": "1773234151000",
            "g": "5511980010103",
        });
        assert_eq!(serde_json::from_slice::<Value>(&moved).unwrap(), expected);
    }
}
