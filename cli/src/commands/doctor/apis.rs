//! The API secrets that the automations' tables name: whether they are here, and on AWS.

use std::collections::BTreeMap;

use engine::automations::secrets::api_secrets;

use super::{Finding, Patient};
use crate::connect::keys::Table;

pub(super) async fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let mut needed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in api_secrets(&patient.read.automations) {
        needed.entry(one.name).or_default().push(one.table);
    }
    let mut findings = Vec::with_capacity(needed.len());
    for (name, tables) in needed {
        findings.push(secret(patient, &name, &tables).await);
    }
    findings
}

async fn secret(patient: &Patient<'_>, name: &str, tables: &[String]) -> Finding {
    let here = patient.keys.get(Table::Apis, name);
    let set = format!("callbell secrets set {name} --api");
    let idle = tables.join(", ");
    let Some(stack) = patient.on.stack() else {
        // Demo values are made for whatever the file names.
        return match here.is_empty() && !patient.keys.is_demo() {
            true => Finding::bad(name, format!("no API secret: {idle} cannot act")).todo(set),
            false => Finding::good(name, format!("API secret of {idle}")),
        };
    };
    let push = format!("callbell secrets push{}", stack.flag());
    match patient.keys.on_aws(Table::Apis, name).await {
        Err(error) => Finding::failed(name, &error),
        Ok(there) if there.is_empty() && here.is_empty() => {
            Finding::bad(name, format!("no API secret: {idle} cannot act")).todo(set)
        }
        Ok(there) if there.is_empty() => Finding::bad(
            name,
            format!("API secret here, none on AWS: {idle} cannot act"),
        )
        .todo(push),
        Ok(there) if !here.is_empty() && here != there => Finding::look(
            name,
            format!("API secret of {idle}: another one here than on AWS"),
        )
        .todo(push),
        Ok(_) => Finding::good(name, format!("API secret of {idle} is on AWS")),
    }
}
