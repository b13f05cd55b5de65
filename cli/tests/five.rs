//! The five complete files of the language's page, as they stand there: each passes `callbell check`, and does
//! with the sample events what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use cli::commands::demo::{Scene, plain};
use cli::project::Files;
use jiff::Timestamp;

/// The channel that the samples of Callbell's webhooks name.
const CHANNEL_OF_SAMPLES: &str = "35f6f8ccb5504278a2ea099f3a4e0730";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(file: &str) -> String {
    let path = root().join("cli/tests/five").join(file);
    fs::read_to_string(path).unwrap()
}

/// Checks the file as it stands, and shows it with the samples of these functions: what the demonstration
/// prints. `changed` is the file as it is shown, `sentences` whether the examples' templates are its own.
async fn play(file: &str, changed: Option<String>, functions: &[&str], sentences: bool) -> String {
    let text = text(file);
    let folder = tempfile::tempdir().unwrap();
    let automations = folder.path().join("automations.toml");
    fs::write(&automations, &text).unwrap();
    if sentences {
        let templates = root().join("examples/templates.json");
        fs::copy(templates, folder.path().join("templates.json")).unwrap();
    }
    let now: Timestamp = "2026-11-24T15:00:00Z".parse().unwrap();
    let report = Files::read(&automations).unwrap().check(now);
    assert!(
        report.diagnostics.is_empty(),
        "{file}: {:?}",
        report.diagnostics
    );
    fs::write(&automations, changed.unwrap_or(text)).unwrap();
    let mut shown = String::new();
    for function in functions {
        let scene = Scene {
            events: samples(function, folder.path()),
            automations: automations.clone(),
        };
        let (printed, expected) = Box::pin(plain(&[scene])).await.unwrap();
        assert!(expected, "{file}: {printed}");
        shown.push_str(&printed);
    }
    shown
}

/// The samples of a function, but for those of a table that none of these files has.
fn samples(function: &str, folder: &Path) -> PathBuf {
    let own = folder.join(function);
    fs::create_dir_all(&own).unwrap();
    for entry in fs::read_dir(root().join("events").join(function)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("-zapier-") {
            fs::copy(&path, own.join(name)).unwrap();
        }
    }
    own
}

/// Every one of these stands in one line of what was printed, in this order of parts.
fn has(shown: &str, lines: &[&[&str]]) {
    for parts in lines {
        let is_it = |line: &&str| {
            let mut rest = *line;
            parts.iter().all(|part| match rest.split_once(part) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
        };
        assert!(
            shown.lines().any(|line| is_it(&line)),
            "{parts:?} in\n{shown}"
        );
    }
}

#[tokio::test]
async fn a_brazilian_shop() {
    let shown = play("a-shop.toml", None, &["orders"], true).await;
    has(
        &shown,
        &[
            &[
                "order.paid",
                "Maria da Silva",
                "Olá Maria! Recebemos o pagamento",
                "sent",
            ],
            &["order.shipped", "Maria da Silva", "saiu com", "sent"],
            // Whoever tries it out reaches nobody else.
            &["order.paid", "João Pereira", "not in only_to", "skipped"],
            &[
                "order.created",
                "Luiza Alves",
                "message.pix-reminder: order.paid",
                "cancelled",
            ],
            &[
                "checkout.abandoned",
                "Carla Lima",
                "the checkout became an order",
                "cancelled",
            ],
            &["checkout.abandoned", "Bruno Dias", "no consent", "skipped"],
        ],
    );
    // The last line of the file's first table deleted: to everybody.
    let live: String = text("a-shop.toml")
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("only_to"))
        .collect();
    let shown = play("a-shop.toml", Some(live), &["orders"], true).await;
    has(
        &shown,
        &[
            &["order.paid", "Emma Clark", "Hi Emma! Your payment", "sent"],
            &[
                "order.created",
                "Caio Melo",
                "ainda espera o pagamento",
                "sent",
            ],
            &["checkout.abandoned", "Ana Souza", "no carrinho", "sent"],
        ],
    );
}

#[tokio::test]
async fn a_dental_clinic() {
    let shown = play("b-clinic.toml", None, &["appointments"], true).await;
    has(
        &shown,
        &[
            &[
                "appointment.booked",
                "Maria Rossi",
                "Gentile Maria Rossi",
                "sent",
            ],
            &[
                "appointment.rescheduled",
                "Maria Rossi",
                "abbiamo spostato",
                "sent",
            ],
            &[
                "appointment.rescheduled",
                "Maria Rossi",
                "message.reminder-day: moved",
                "cancelled",
            ],
            &[
                "appointment.rescheduled",
                "Maria Rossi",
                "le ricordiamo",
                "sent",
            ],
            &["appointment.cancelled", "Luca Verdi", "sent"],
            // The practice asked for another time: no word of a cancellation.
            &[
                "appointment.cancelled",
                "João Pereira",
                "no automation wants it",
            ],
            &[
                "appointment.booked",
                "João Pereira",
                "booking cancelled",
                "cancelled",
            ],
        ],
    );
}

#[tokio::test]
async fn a_typeform_lead() {
    let shown = play("c-lead.toml", None, &["forms"], false).await;
    has(
        &shown,
        &[
            &["form.submitted", "→ contact.lead", "sent"],
            &["form.submitted", "→ slack.lead", "sent"],
            // Who did not agree is known all the same, and gets no message.
            &[
                "form.submitted",
                "message.lead-welcome: no consent",
                "skipped",
            ],
        ],
    );
}

#[tokio::test]
async fn callbell_to_hubspot_and_a_sheet_and_a_chatbot() {
    let own = "35f6f8ccb5504278a2ea099f3a4e0733";
    let here = text("d-crm.toml").replace(own, CHANNEL_OF_SAMPLES);
    let shown = play("d-crm.toml", Some(here), &["callbell"], false).await;
    has(
        &shown,
        &[
            &["contact.created", "Maria Silva", "→ hubspot.person", "sent"],
            &["contact.created", "Maria Silva", "→ sheet.contatos", "sent"],
            &["message.received", "Maria Silva", "You said:", "sent"],
            &["contact.updated", "Maria Silva", "→ hubspot.person", "sent"],
        ],
    );
}

#[tokio::test]
async fn anything_that_can_post() {
    let shown = play("e-anything.toml", None, &["custom"], false).await;
    has(&shown, &[&["custom.received", "sent"]]);
}
