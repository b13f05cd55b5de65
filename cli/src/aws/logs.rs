//! The one question to CloudWatch Logs: what a door refused lately. It stores nothing of what it does not believe,
//! so its log alone knows.
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::signed::{Question, TARGET};
use super::{Service, Session, cloudformation, refused};
use crate::error::CliError;

/// Longest wait for one answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 20;
/// Answers that are read, each of up to a megabyte of log.
const PAGES_MAX: usize = 10;
const ACTION: &str = "Logs_20140328.FilterLogEvents";
const JSON: &str = "application/x-amz-json-1.1";
/// The words that the lines of refusals have.
const PATTERN: &str = "\"refused\"";

/// A webhook that a door did not believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// The connection, as the address named it.
    pub source: String,
    /// `matches none of 1 secret`.
    pub reason: String,
    /// Of the secrets that it was held against.
    pub fingerprints: String,
}

/// What the door of a function refused since then, oldest first.
///
/// # Errors
/// CloudWatch Logs refuses, or does not answer.
pub async fn refusals(
    session: &Session,
    group: &str,
    since: Timestamp,
) -> Result<Vec<Refusal>, CliError> {
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let mut body = json!({
            "logGroupName": group, "startTime": since.as_millisecond(), "filterPattern": PATTERN,
        });
        if let (Some(next), Some(fields)) = (next.take(), body.as_object_mut()) {
            fields.insert("nextToken".to_owned(), next.into());
        }
        let Some(answer) = ask(session, &body.to_string()).await? else {
            // A door that nobody called yet has no log.
            return Ok(found);
        };
        let events = answer.get("events").and_then(Value::as_array);
        found.extend(events.into_iter().flatten().filter_map(read));
        next = answer
            .get("nextToken")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    found.sort_by_key(|refusal: &Refusal| refusal.at);
    Ok(found)
}

/// One answer; `None`: there is no such log.
async fn ask(session: &Session, body: &str) -> Result<Option<Value>, CliError> {
    let region = &session.region;
    let base = session
        .endpoint(Service::Logs)
        .unwrap_or_else(|| format!("https://logs.{region}.{}", cloudformation::suffix(region)));
    let url = format!("{}/", base.trim_end_matches('/'));
    let question = Question {
        service: "logs",
        method: "POST",
        url: &url,
        form: Some((JSON, body)),
        target: Some(ACTION),
    };
    let signed = question
        .sign(session.credentials(), region, SystemTime::now())
        .ok_or_else(|| CliError::new("the question to CloudWatch Logs cannot be signed"))?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
        .build()?;
    let mut request = http
        .post(&url)
        .header("content-type", JSON)
        .header(TARGET, ACTION);
    for (name, value) in signed.headers() {
        request = request.header(name, value);
    }
    let unanswered = |_| CliError::new(format!("CloudWatch Logs does not answer at {base}"));
    let answer = request.body(body.to_owned()).send().await;
    let answer = answer.map_err(unanswered)?;
    let status = answer.status();
    let json: Value = answer.json().await.map_err(unanswered)?;
    if status.is_success() {
        return Ok(Some(json));
    }
    let code = json.get("__type").and_then(Value::as_str);
    let code = code.unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    if code == "ResourceNotFoundException" {
        return Ok(None);
    }
    let about_who = refused(session, code, "", "logs:FilterLogEvents");
    let status = status.as_u16();
    Err(about_who.unwrap_or_else(|| CliError::new(format!("CloudWatch Logs: {status} {code}"))))
}

/// A line of the log, as the doors write them; `None`: it is another one.
fn read(event: &Value) -> Option<Refusal> {
    let millis = event.get("timestamp")?.as_i64()?;
    let line: Value = serde_json::from_str(event.get("message")?.as_str()?.trim()).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    (text("outcome")? == "refused").then_some(())?;
    Some(Refusal {
        at: Timestamp::from_millisecond(millis).ok()?,
        source: text("source.name")?,
        reason: text("reason").unwrap_or_default(),
        fingerprints: text("secret.fingerprints").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_refusals_are_read_and_no_others() {
        let event =
            |message: &str| json!({ "timestamp": 1_773_662_400_000_i64, "message": message });
        let line = r#"{"level":"WARN","outcome":"refused","http.status":401,"source.name":"shopify","reason":"matches none of 1 secret","secret.fingerprints":"3f9a"}"#;
        let refusal = read(&event(&format!("{line}\n"))).unwrap();
        assert_eq!(refusal.source, "shopify");
        assert_eq!(refusal.reason, "matches none of 1 secret");
        assert_eq!(refusal.fingerprints, "3f9a");
        for other in [
            "START RequestId: 1 refused",
            r#"{"outcome":"accepted","source.name":"shopify","event.key":"refused"}"#,
            "{}",
        ] {
            assert_eq!(read(&event(other)), None, "{other}");
        }
    }
}
