//! The Callbell account: the token, and what the automations name of it.

use engine::automations::{Severity, check_account};
use engine::callbell::{CallError, Callbell};

use super::{Finding, Patient};
use crate::commands::check;
use crate::connect::keys::Table;
use crate::dev::secrets::CALLBELL;
use crate::output::count;

/// Most mistakes of the automations that get a line; `callbell check` shows them all.
const MISTAKES_MAX: usize = 3;

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let set = "callbell secrets set callbell --api; the token stands in Callbell's dashboard, Settings, API";
    if patient.keys.get(Table::Apis, CALLBELL).is_empty() {
        return vec![Finding::bad("token", "there is no Callbell token here").todo(set)];
    }
    let callbell = match patient.on.callbell(patient.secrets).await {
        Ok(callbell) => callbell,
        Err(error) => return vec![Finding::failed("token", &error)],
    };
    match callbell.me().await {
        Ok(_) => {}
        Err(error @ CallError::Held(_)) => {
            return vec![Finding::bad("token", format!("Callbell refuses it: {error}")).todo(set)];
        }
        Err(error) => return vec![Finding::look("token", error.to_string()).todo("later again")],
    }
    let mut findings = vec![Finding::good("token", "Callbell knows it")];
    findings.extend(named(patient, &callbell).await);
    findings
}

/// Channels, templates and teams that the automations name, held against what the account has.
async fn named(patient: &Patient<'_>, callbell: &Callbell) -> Vec<Finding> {
    let account = match check::ask(callbell).await {
        Ok(account) => account,
        Err(error) => return vec![Finding::look("account", error.to_string())],
    };
    let report = check_account(&patient.read.text, &account, patient.on.now());
    let errors = report.diagnostics.iter();
    let errors = errors.filter(|one| one.severity == Severity::Error);
    let mut findings: Vec<Finding> = errors
        .take(MISTAKES_MAX)
        .map(|one| {
            let place = format!("{}:{}", patient.read.name, one.line);
            Finding::bad("account", format!("{place}: {}", one.message)).todo("callbell check")
        })
        .collect();
    if findings.is_empty() {
        let what = format!(
            "has the {} and templates that {} names",
            count(patient.read.automations.channels.len(), "channel"),
            patient.read.name
        );
        findings.push(Finding::good("account", what));
    }
    let warnings = report.warnings();
    if warnings > 0 {
        let what = count(warnings, "warning");
        findings.push(Finding::look("account", what).todo("callbell check"));
    }
    findings
}
