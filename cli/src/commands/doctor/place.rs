//! The installation itself: what was pushed, what stops messages, and what the AWS account allows.

use super::{Finding, Patient};
use crate::aws::lambda;
use crate::commands::push;
use crate::error::CliError;
use crate::output::{self, count};

/// Below so many executions at once, webhooks and workers get into each other's way. New AWS accounts have 10.
const CONCURRENCY_MIN: u64 = 100;

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = match pushed(patient).await {
        Ok(finding) => vec![finding],
        Err(error) => vec![Finding::failed("automations", &error)],
    };
    match stops(patient).await {
        Ok(stops) => findings.extend(stops),
        Err(error) => findings.push(Finding::failed("table", &error)),
    }
    findings.extend(going_live(patient));
    if let Some(stack) = patient.on.stack() {
        findings.push(concurrency(lambda::concurrency(&stack.session).await));
    }
    findings
}

async fn pushed(patient: &Patient<'_>) -> Result<Finding, CliError> {
    let about = "automations";
    let name = &patient.read.name;
    let push = format!("callbell push{}", patient.on.flag());
    Ok(match patient.on.store.config().await? {
        None => Finding::bad(about, "nothing was pushed yet: events wait").todo(push),
        Some(row) if row.file == patient.read.text => Finding::good(
            about,
            format!("{name} is in use as version {}", row.version),
        ),
        Some(row) => {
            let changes = push::changed(&row, &patient.read.text, &row.templates);
            let what = push::describe(Some(&changes), &[]);
            let what = format!("version {} is in use; not pushed yet: {what}", row.version);
            Finding::look(about, what).todo(push)
        }
    })
}

/// What keeps messages from going out.
async fn stops(patient: &Patient<'_>) -> Result<Vec<Finding>, CliError> {
    let zone = &patient.read.automations.defaults.timezone.zone;
    let at = |instant| output::instant(instant, zone);
    let flag = patient.on.flag();
    let mut findings = Vec::new();
    if let Some(pause) = patient.on.store.paused().await? {
        findings.push(
            Finding::look(
                "paused",
                format!("since {}: nothing goes out", at(pause.since)),
            )
            .todo(format!("callbell resume{flag}")),
        );
    }
    for hold in patient.on.store.holds().await? {
        let what = format!(
            "{} since {}: its messages wait",
            hold.reason,
            at(hold.since)
        );
        findings.push(
            Finding::bad(&format!("channel {}", hold.channel), what)
                .todo("mend it at Callbell: one message tries again by itself (docs/runbook/channel-held.md)"),
        );
    }
    Ok(findings)
}

/// The safety catches of the file.
fn going_live(patient: &Patient<'_>) -> Option<Finding> {
    let defaults = &patient.read.automations.defaults;
    if defaults.paused {
        return Some(
            Finding::look("paused", "[defaults] paused = true: jobs are made and wait")
                .todo("delete the line and callbell push"),
        );
    }
    let numbers = defaults.only_to.as_ref()?.len();
    let what = match numbers {
        0 => "only_to is empty: nobody gets a message".to_owned(),
        number => format!(
            "only_to is set: {} alone gets messages",
            count(number, "number")
        ),
    };
    Some(Finding::look("only_to", what).todo("going live: delete the line and callbell push"))
}

fn concurrency(asked: Result<u64, CliError>) -> Finding {
    let about = "lambda";
    match asked {
        Ok(most) if most < CONCURRENCY_MIN => Finding::look(
            about,
            format!("this AWS account runs {most} functions at once"),
        )
        .todo("AWS console, Service Quotas, AWS Lambda, Concurrent executions: ask for 1000, which costs nothing"),
        Ok(most) => Finding::good(about, format!("{most} functions at once")),
        Err(error) => {
            let mut finding = Finding::look(about, format!("concurrency not known: {error}"));
            finding.todo = error.todo().map(str::to_owned);
            finding
        }
    }
}
