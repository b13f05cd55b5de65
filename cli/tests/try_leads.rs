//! `callbell try` of leads, deals, forms, e-mails and posts: by the event's name alone, on a sample of it, and of
//! what each system posts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
timezone = "America/Sao_Paulo"

[channel.loja]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"
"#;

/// An event, a text of its fields, and what it says of the sample.
const EVENTS: [(&str, &str, &str); 8] = [
    (
        "lead.created",
        "{{ customer.first_name }} {{ lead.id }}",
        "Maria 512",
    ),
    ("lead.updated", "{{ lead.changed | join('+') }}", "phone"),
    ("deal.updated", "{{ deal.title }}", "Plano anual"),
    ("deal.won", "{{ deal.status }}", "won"),
    ("deal.lost", "{{ deal.status }}", "lost"),
    ("form.submitted", "{{ form.title }}", ""),
    ("email.received", "{{ email.subject }}", "Orçamento"),
    ("custom.received", "{{ customer.first_name }}", "Maria"),
];

#[tokio::test]
async fn each_event_is_tried_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for (event, text, said) in EVENTS {
        let file = format!(
            "{AUTOMATIONS}\n[message.m]\ntext = \"Says {text}.\"\n[automation.a]\non = \"{event}\"\nmessage = \"m\"\n"
        );
        std::fs::write(folder.path().join("automations.toml"), file).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_callbell"))
            .args(["try", event])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{event}: {out}{err}");
        assert!(
            out.contains("Says ") && out.contains(said),
            "{event}: {out}{err}"
        );
    }
}

/// Systems of the user's own, as the samples have them.
const OWN: &str = r#"
[source.erp]
kind  = "webhook"
auth  = "bearer"
key   = "data.numero ~ '/' ~ data.tipo"
phone = "data.cliente.celular"

[source.nuvemshop]
kind = "webhook"
auth = "hmac"
hmac = { header = "x-linkedstore-hmac-sha256", hash = "sha256", encoding = "hex" }
key  = "data.id ~ '/' ~ data.event"
"#;

/// A sample a source, and what it says of it: the event, and where a push says nothing, what to try instead.
const SAMPLES: [(&str, &str, &str); 16] = [
    (
        "leads/01-hubspot-contact-creation.json",
        "source.changed",
        "callbell try lead.created --source hubspot",
    ),
    ("leads/05-hubspot-workflow.json", "lead.", ""),
    ("leads/10-pipedrive-person-created.json", "lead.created", ""),
    (
        "leads/14-pipedrive-deal-changed-moved.json",
        "source.changed",
        "callbell try lead.created --source pipedrive",
    ),
    ("leads/19-pipedrive-deal-deleted.json", "deal.deleted", ""),
    (
        "leads/20-salesforce-contact-created.json",
        "lead.created",
        "",
    ),
    ("leads/30-mailchimp-subscribe.json", "lead.created", ""),
    (
        "leads/40-zendesk-user-created.json",
        "source.changed",
        "callbell try lead.created --source zendesk",
    ),
    (
        "leads/51-intercom-contact-user-created.json",
        "lead.created",
        "",
    ),
    ("forms/02-typeform-form-response.json", "form.submitted", ""),
    ("forms/11-google-forms-submitted.json", "form.submitted", ""),
    (
        "emails/01-gmail-push.json",
        "source.changed",
        "callbell try email.received --source gmail",
    ),
    ("custom/01-erp-nota.json", "custom.received", ""),
    (
        "custom/05-erp-nota-as-a-form-without-phone.json",
        "custom.received",
        "",
    ),
    ("custom/07-nuvemshop-order-paid.json", "custom.received", ""),
    (
        "appointments/10-cal-com-booking-requested.json",
        "appointment.",
        "",
    ),
];

fn sample(name: &str) -> PathBuf {
    let events = Path::new(env!("CARGO_MANIFEST_DIR")).join("../events");
    events.join(name)
}

/// Runs `callbell try` in a folder that has automations; what it says.
async fn tried(folder: &Path, args: &[&str]) -> String {
    let file = format!("{AUTOMATIONS}{OWN}");
    std::fs::write(folder.join("automations.toml"), file).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_callbell"))
        .arg("try")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args:?}: {out}{err}");
    out
}

#[tokio::test]
async fn a_sample_of_each_source_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    for (name, event, hint) in SAMPLES {
        let path = sample(name).display().to_string();
        let out = tried(folder.path(), &[&path]).await;
        assert!(
            out.starts_with(event) && out.contains(hint),
            "{name}: {out}"
        );
        let asks = out.contains("the worker has to ask for the rest");
        assert_eq!(asks, event == "source.changed", "{name}: {out}");
    }
}

/// A body alone may be a form or XML.
#[tokio::test]
async fn a_body_that_is_no_json_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    for (name, source, event) in [
        (
            "leads/20-salesforce-contact-created.json",
            "salesforce",
            "lead.created",
        ),
        (
            "leads/30-mailchimp-subscribe.json",
            "mailchimp",
            "lead.created",
        ),
        (
            "custom/05-erp-nota-as-a-form-without-phone.json",
            "erp",
            "custom.received",
        ),
        (
            "leads/01-hubspot-contact-creation.json",
            "hubspot",
            "source.changed",
        ),
    ] {
        let text = std::fs::read_to_string(sample(name)).unwrap();
        let payload: Value = serde_json::from_str(&text).unwrap();
        let body = payload.get("body").and_then(Value::as_str).unwrap();
        std::fs::write(folder.path().join("body"), body).unwrap();
        let out = tried(folder.path(), &["body", "--source", source]).await;
        assert!(out.starts_with(event), "{name}: {out}");
    }
}
