//! The one question to Lambda: how many functions the account may run at once.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html>

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::signed::Question;
use super::{Service, Session, cloudformation, refused};
use crate::error::CliError;

/// Longest wait for the answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 20;
const PATH: &str = "/2016-08-19/account-settings/";

/// How many functions may run at once in this account and region.
///
/// # Errors
/// Lambda refuses, or does not answer.
pub async fn concurrency(session: &Session) -> Result<u64, CliError> {
    let region = &session.region;
    let base = session
        .endpoint(Service::Lambda)
        .unwrap_or_else(|| format!("https://lambda.{region}.{}", cloudformation::suffix(region)));
    let url = format!("{}{PATH}", base.trim_end_matches('/'));
    let question = Question {
        service: "lambda",
        method: "GET",
        url: &url,
        form: None,
        target: None,
    };
    let signed = question
        .sign(session.credentials(), region, SystemTime::now())
        .ok_or_else(|| CliError::new("the question to Lambda cannot be signed"))?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
        .build()?;
    let mut request = http.get(&url);
    for (name, value) in signed.headers() {
        request = request.header(name, value);
    }
    let unanswered = |_| CliError::new(format!("Lambda does not answer at {base}"));
    let answer = request.send().await.map_err(unanswered)?;
    let status = answer.status().as_u16();
    let kind = answer.headers().get("x-amzn-errortype");
    let code = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default().to_owned();
    let json: Value = answer.json().await.map_err(unanswered)?;
    let limit = json.pointer("/AccountLimit/ConcurrentExecutions");
    if let Some(limit) = limit.and_then(Value::as_u64) {
        return Ok(limit);
    }
    let about_who = refused(session, &code, "", "lambda:GetAccountSettings");
    Err(about_who.unwrap_or_else(|| CliError::new(format!("Lambda: {status} {code}"))))
}
