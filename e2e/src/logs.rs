//! What the functions logged, as CloudWatch Logs has it.

use serde_json::{Value, json};

use crate::failure::{During as _, Outcome, ensure};
use crate::stack::STACK;
use crate::world::{SECRETS, World};
use crate::{clinic, elsewhere, shop, talk};

/// The functions, by the end of their log group's name.
pub(crate) const FUNCTIONS: &[&str] = &[
    "orders",
    "appointments",
    "leads",
    "forms",
    "custom",
    "callbell",
    "deliver",
    "reply",
];
/// Outcomes of warnings and errors that the scenarios provoke, by function.
const PROVOKED: &[(&str, &str)] = &[
    ("orders", "refused"),
    ("callbell", "refused"),
    ("custom", "refused"),
];
/// What is in a line that is not the function's own (Lambda's START, END, REPORT are none of them) when it
/// ended before its time.
const BROKEN: &[&str] = &["panicked", "Runtime exited", "Task timed out", "Error:"];

/// Every line of a function, in order.
pub(crate) async fn lines(world: &World, function: &str) -> Outcome<Vec<String>> {
    let group = format!("/aws/lambda/{STACK}-{function}");
    let mut lines = Vec::new();
    let mut question = json!({ "logGroupName": group });
    loop {
        let page = world.cloud.aws.ask("logs", "filter_log_events", question);
        let mut page = page.await?;
        let events = page["events"].take();
        for event in events.as_array().into_iter().flatten() {
            let text = event["message"].as_str().unwrap_or_default();
            lines.extend(text.lines().map(str::to_owned));
        }
        match page["nextToken"].take() {
            Value::String(token) => {
                question = json!({ "logGroupName": group, "nextToken": token });
            }
            _ => return Ok(lines),
        }
    }
}

/// The lines that are JSON with this `outcome`.
pub(crate) fn with_outcome(lines: &[String], outcome: &str) -> Vec<Value> {
    let parsed = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok());
    parsed
        .filter(|line: &Value| line["outcome"] == outcome)
        .collect()
}

/// No function complained of what was not provoked, and none told of a person, a body or a secret.
pub(crate) async fn ensure_quiet(world: &World) -> Outcome {
    for function in FUNCTIONS {
        let lines = lines(world, function).await?;
        ensure(!lines.is_empty(), || format!("{function} logged nothing"))?;
        for line in &lines {
            let private = shop::PRIVATE
                .iter()
                .chain(clinic::PRIVATE)
                .chain(talk::PRIVATE)
                .chain(elsewhere::PRIVATE)
                .chain(SECRETS)
                .find(|word| line.contains(**word));
            ensure(private.is_none(), || {
                format!("{function} logged \"{}\": {line}", private.unwrap_or(&""))
            })?;
            let Ok(parsed) = serde_json::from_str::<Value>(line) else {
                let broken = BROKEN.iter().find(|word| line.contains(**word));
                ensure(broken.is_none(), || format!("{function} broke: {line}"))?;
                continue;
            };
            let outcome = parsed["outcome"].as_str().unwrap_or_default();
            let is_provoked = PROVOKED.contains(&(*function, outcome));
            let complains = parsed["level"] == "WARN" || parsed["level"] == "ERROR";
            ensure(is_provoked || !complains, || {
                format!("{function} complained: {line}")
            })?;
        }
    }
    Ok(())
}

/// Keeps all lines in files, for the reader of a failure.
pub(crate) async fn keep(world: &World) -> Outcome {
    for function in FUNCTIONS {
        let path = world.tools.logs.join(format!("{function}.log"));
        let lines = lines(world, function).await?;
        std::fs::write(&path, lines.join("\n") + "\n").during(path.display())?;
    }
    Ok(())
}
