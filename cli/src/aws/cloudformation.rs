//! The one question to CloudFormation: a stack's state and outputs. Its SDK client is not worth the
//! compiling for that: a hundred operations take longer than all other AWS clients of the command line
//! together. <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html>

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::signed::Question;
use super::{Service, Session};
use crate::error::CliError;

/// Longest wait for the answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 20;
/// Most characters of a stack's name.
const NAME_CHARS_MAX: usize = 128;
/// CloudFormation's API version, which has been the same since 2010.
const API_VERSION: &str = "2010-05-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// AWS refuses what was signed this long ago or earlier, in seconds.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>
const SKEW_SECONDS_MAX: i64 = 300;

/// A stack that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its name.
    pub name: String,
    /// `CREATE_COMPLETE`, `UPDATE_IN_PROGRESS`, …
    pub status: String,
    /// `TableName`, `OrdersUrl`, …
    pub outputs: BTreeMap<String, String>,
    /// How far AWS's clock is ahead of this machine's, in seconds.
    pub ahead_seconds: i64,
}

/// What CloudFormation answered.
struct Answer {
    status: u16,
    ahead_seconds: i64,
    body: String,
}

/// Whether a stack could have this name: letters, digits and hyphens, a letter first.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The stack called `name`.
///
/// # Errors
/// There is none in this region and account, CloudFormation refuses or does not answer; each with what to
/// do about it.
pub async fn describe(session: &Session, name: &str) -> Result<Stack, CliError> {
    find(session, name).await?.ok_or_else(|| {
        CliError::new(format!(
            "there is no stack {name} in {} in this AWS account",
            session.region
        ))
        .hint("make deploy makes it; elsewhere: --stack NAME, AWS_REGION=…, AWS_PROFILE=…")
    })
}

/// The stack called `name`; `None`: there is none in this region and account.
///
/// # Errors
/// CloudFormation refuses or does not answer.
pub async fn find(session: &Session, name: &str) -> Result<Option<Stack>, CliError> {
    if !is_name(name) {
        return Err(CliError::new(format!("\"{name}\" is no name of a stack"))
            .hint("letters, digits and hyphens, a letter first"));
    }
    let answer = ask(session, name).await?;
    if answer.status != 200 {
        return refusal(session, &answer).map_or(Ok(None), Err);
    }
    read(name, &answer).map(Some).ok_or_else(|| {
        CliError::new("CloudFormation's answer cannot be read")
            .hint("is AWS_ENDPOINT_URL set to something else?")
    })
}

async fn ask(session: &Session, name: &str) -> Result<Answer, CliError> {
    let region = &session.region;
    let address = session
        .endpoint(Service::CloudFormation)
        .unwrap_or_else(|| format!("https://cloudformation.{region}.{}", suffix(region)));
    let unreachable = |why: &str| {
        CliError::new(format!(
            "CloudFormation does not answer at {address}: {why}"
        ))
        .hint(format!(
            "is {region} a region of AWS, and is there a network?"
        ))
    };
    let url = reqwest::Url::parse(&address).map_err(|_| unreachable("this is no address"))?;
    let body = format!("Action=DescribeStacks&Version={API_VERSION}&StackName={name}");
    let question = Question {
        service: "cloudformation",
        method: "POST",
        url: url.as_str(),
        form: Some((FORM, &body)),
        target: None,
    };
    let signed = question
        .sign(session.credentials(), region, SystemTime::now())
        .ok_or_else(|| CliError::new("the question to CloudFormation cannot be signed"))?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
        .build()?;
    let mut request = http.post(url).header("content-type", FORM);
    for (name, value) in signed.headers() {
        request = request.header(name, value);
    }
    let failed = |error: reqwest::Error| {
        unreachable(if error.is_timeout() {
            "no answer in time"
        } else {
            "no connection"
        })
    };
    let asked_at = Timestamp::now();
    let answer = request.body(body).send().await.map_err(failed)?;
    let date = answer.headers().get("date");
    let date = date.and_then(|date| date.to_str().ok()).and_then(instant);
    Ok(Answer {
        status: answer.status().as_u16(),
        ahead_seconds: date.map_or(0, |date| date.as_second() - asked_at.as_second()),
        body: answer.text().await.map_err(failed)?,
    })
}

/// A `Date` header: `Sun, 22 Nov 2026 10:00:00 GMT`.
fn instant(date: &str) -> Option<Timestamp> {
    let parsed = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(parsed.timestamp())
}

pub(super) fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    }
}

/// The first text between `<tag>` and `</tag>`, as it stands there. AWS's answers have no attributes on
/// what is looked for here.
fn between<'a>(xml: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{tag}>"))?;
    Some(rest.split_once(&format!("</{tag}>"))?.0)
}

fn text(xml: &str, tag: &str) -> Option<String> {
    let raw = between(xml, tag)?;
    Some(
        raw.replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

fn read(name: &str, answer: &Answer) -> Option<Stack> {
    let list = between(&answer.body, "Outputs").unwrap_or_default();
    let outputs = list
        .split("<member>")
        .filter_map(|member| Some((text(member, "OutputKey")?, text(member, "OutputValue")?)));
    Some(Stack {
        name: name.to_owned(),
        status: text(&answer.body, "StackStatus")?,
        outputs: outputs.collect(),
        ahead_seconds: answer.ahead_seconds,
    })
}

/// What a refusal means; `None`: there is no such stack.
fn refusal(session: &Session, answer: &Answer) -> Option<CliError> {
    let code = text(&answer.body, "Code").unwrap_or_default();
    let message = text(&answer.body, "Message").unwrap_or_default();
    if code == "ValidationError" && message.contains("does not exist") {
        return None;
    }
    let about_time = [
        "SignatureDoesNotMatch",
        "RequestExpired",
        "InvalidSignatureException",
    ];
    if about_time.contains(&code.as_str()) && answer.ahead_seconds.abs() >= SKEW_SECONDS_MAX {
        let minutes = answer.ahead_seconds.abs() / 60;
        return Some(
            CliError::new(format!(
                "this machine's clock is {minutes} minutes off: AWS refuses what it signs"
            ))
            .hint("set the clock: timedatectl set-ntp true, or the system's settings"),
        );
    }
    let about_who = super::refused(session, &code, &message, "cloudformation:DescribeStacks");
    Some(about_who.unwrap_or_else(|| {
        CliError::new(format!(
            "CloudFormation: {} {code}: {message}",
            answer.status
        ))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Answer {
        Answer {
            status: 200,
            ahead_seconds: 0,
            body: body.to_owned(),
        }
    }

    #[test]
    fn outputs_are_read_in_any_order() {
        let body = "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult><Stacks><member>\
             <StackName>shop</StackName><Parameters><member><ParameterKey>A</ParameterKey><ParameterValue>b</ParameterValue></member></Parameters>\
             <StackStatus>UPDATE_COMPLETE</StackStatus><Outputs>\
             <member><Description>d</Description><OutputKey>TableName</OutputKey><OutputValue>shop-Table-1</OutputValue></member>\n\
             <member><OutputValue>https://a/?b=1&amp;c=&lt;x&gt;</OutputValue><OutputKey>OrdersUrl</OutputKey></member></Outputs>\
             </member></Stacks></DescribeStacksResult></DescribeStacksResponse>";
        let stack = read("shop", &answer(body)).unwrap();
        assert_eq!(stack.status, "UPDATE_COMPLETE");
        assert_eq!(stack.outputs["TableName"], "shop-Table-1");
        assert_eq!(stack.outputs["OrdersUrl"], "https://a/?b=1&c=<x>");
        assert_eq!(stack.outputs.len(), 2);
        assert_eq!(read("shop", &answer("<html></html>")), None);
        let bare = "<StackStatus>CREATE_COMPLETE</StackStatus><Outputs/>";
        assert!(read("shop", &answer(bare)).unwrap().outputs.is_empty());
    }

    #[test]
    fn names_and_dates() {
        for (name, fits) in [
            ("callbell", true),
            ("a-1", true),
            ("1a", false),
            ("", false),
            ("a&b", false),
            ("a_b", false),
        ] {
            assert_eq!(is_name(name), fits, "{name}");
        }
        assert_eq!(
            instant("Sun, 22 Nov 2026 10:00:00 GMT"),
            Some("2026-11-22T10:00:00Z".parse().unwrap())
        );
        assert_eq!(suffix("cn-north-1"), "amazonaws.com.cn");
    }
}
