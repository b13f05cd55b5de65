//! `callbell try` of leads, deals, forms, e-mails and posts: by the event's name alone, on a sample of it.

use std::process::Stdio;

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
