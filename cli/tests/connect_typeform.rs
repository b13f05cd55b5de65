//! `callbell connect` of forms: Typeform by its API, Google Forms by hand. Against the stand-ins, on a stack and
//! on a development server. Everything listens on the loopback interface.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![recursion_limit = "256"]

mod aws;
mod support;

use std::path::Path;
use std::sync::Arc;

use aws::{Cloud, Ran, run_with};
use cli::dev::{Dev, Settings};
use serde_json::{Value, json};
use support::start_empty;

const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"

[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.hello]
text = "Olá"

[automation.lead]
on      = "form.submitted"
message = "hello"
"#;
const DOOR: &str = "https://a1.execute-api.sa-east-1.amazonaws.com/forms/";

/// A stack, and the command in a folder.
struct World {
    dev: Dev,
    cloud: Cloud,
    folder: tempfile::TempDir,
}

/// A folder with automations and secrets, for the stack `shop`.
fn project(secrets: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("automations.toml", AUTOMATIONS);
    write("secrets.toml", secrets);
    write(
        "samconfig.toml",
        "[default.global.parameters]\nstack_name = \"shop\"\n",
    );
    folder
}

/// The newest webhook secret of a connection.
fn secret(folder: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(folder.join("secrets.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let value = &table["webhooks"][name];
    let newest = value.as_array().map_or(value, |list| &list[0]);
    newest.as_str().unwrap().to_owned()
}

impl World {
    async fn of(token: &str) -> World {
        let dev = start_empty().await;
        World {
            cloud: Cloud::start(&dev).await,
            dev,
            folder: project(&format!("[apis]\ntypeform = \"{token}\"\n")),
        }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let environment = self.cloud.environment(self.folder.path());
        run_with(self.folder.path(), args, &environment, "").await
    }

    /// Connects; the token does not show.
    async fn connect(&self, more: &[&str]) -> Ran {
        let args = [&["connect", "typeform", "--no-wait"][..], more].concat();
        let ran = self.run(&args).await;
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains("hush"), "{shown}");
        ran
    }

    fn webhooks(&self) -> Vec<Value> {
        self.dev.connectable().typeform.webhooks()
    }
}

/// Every part stands in what was printed.
fn says(ran: &Ran, code: i32, parts: &[&str]) {
    let shown = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.code, code, "{shown}");
    for part in parts {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[tokio::test]
async fn the_only_form_is_connected_mended_and_left() {
    let world = World::of("hush-token").await;
    let ran = world.connect(&[]).await;
    let parts = [
        &format!("{DOOR}typeform"),
        "form.submitted: lead (automations.toml:12)",
        "secrets.toml and shop/webhooks",
        "registered: form_response",
    ];
    says(&ran, 0, &parts);
    let kept = secret(world.folder.path(), "typeform");
    assert!(!ran.out.contains(&kept));
    let [webhook] = world.webhooks().try_into().unwrap();
    assert_eq!(webhook["form_id"], "u6nXL7");
    assert_eq!(webhook["url"], format!("{DOOR}typeform"));
    assert_eq!(webhook["secret"], kept);
    assert_eq!(webhook["enabled"], true);
    assert_eq!(
        webhook["event_types"],
        json!({ "form_response": true, "form_response_partial": false })
    );
    let tag = webhook["tag"].as_str().unwrap().to_owned();

    says(&world.connect(&[]).await, 0, &["nothing to do"]);
    world.dev.connectable().typeform.disable_all();
    let ran = world.connect(&[]).await;
    says(&ran, 1, &["to be replaced", "(disabled)", "--yes"]);
    let ran = world.connect(&["--yes"]).await;
    says(&ran, 0, &["replaced: form_response"]);
    let ran = world.connect(&["--rotate", "--yes"]).await;
    says(&ran, 0, &["signed with another secret"]);
    let [webhook] = world.webhooks().try_into().unwrap();
    assert_eq!(
        (webhook["tag"].as_str(), webhook["enabled"].as_bool()),
        (Some(tag.as_str()), Some(true))
    );
    assert_ne!(webhook["secret"], kept);
    assert_eq!(webhook["secret"], secret(world.folder.path(), "typeform"));

    let ran = world.connect(&["--list", "--json"]).await;
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(listed[0]["id"], format!("u6nXL7/{tag}"));
    assert_eq!(listed[0]["topics"], json!(["form_response"]));
    let ran = world.connect(&["--remove-all", "--yes"]).await;
    says(&ran, 0, &["removed 1 webhook"]);
    assert!(world.webhooks().is_empty());
}

#[tokio::test]
async fn each_of_several_forms_is_connected_by_itself() {
    let world = World::of("hush-many").await;
    let ran = world.connect(&[]).await;
    let parts = [
        "which form? There are u6nXL7 (Quero saber mais), k3PqR9 (Pesquisa), zz0001",
        "--form u6nXL7",
    ];
    says(&ran, 1, &parts);
    let address = "https://minha.typeform.com/to/k3PqR9";
    for form in [address, "u6nXL7"] {
        let ran = world.connect(&["--form", form]).await;
        says(&ran, 0, &["registered: form_response"]);
        let ran = world.connect(&["--form", form]).await;
        says(&ran, 0, &["nothing to do"]);
    }
    // Both stay, and a new secret is told to both.
    says(&world.connect(&[]).await, 0, &["nothing to do"]);
    says(
        &world.connect(&["--rotate", "--yes"]).await,
        0,
        &["replaced"],
    );
    let newest = secret(world.folder.path(), "typeform");
    let forms = world.webhooks();
    assert_eq!(forms.len(), 2);
    assert!(forms.iter().all(|one| one["secret"] == newest));

    let ran = world.connect(&["--form", "nothing"]).await;
    says(&ran, 1, &["no form \"nothing\"", "k3PqR9 (Pesquisa)"]);
    let id = format!("k3PqR9/{}", forms[0]["tag"].as_str().unwrap());
    let ran = world.connect(&["--remove", &id, "--yes"]).await;
    says(&ran, 0, &["removed 1 webhook"]);
    let left = world.webhooks();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["form_id"], "u6nXL7");
}

#[tokio::test]
async fn doctor_takes_each_form_s_webhook_for_what_it_is() {
    let world = World::of("hush-many").await;
    for form in ["u6nXL7", "k3PqR9"] {
        let ran = world.connect(&["--form", form]).await;
        says(&ran, 0, &["registered"]);
    }
    let ran = world.run(&["doctor"]).await;
    let shown = format!("{}{}", ran.out, ran.err);
    assert!(
        shown.contains("typeform     webhooks are active: form_response"),
        "{shown}"
    );
    assert!(!shown.contains("double"), "{shown}");
}

#[tokio::test]
async fn what_typeform_refuses_is_said_in_words() {
    let cases: [(&str, i32, &[&str]); 4] = [
        (
            "hush-revoked",
            1,
            &["refuses the credential (401)", "secrets set typeform --api"],
        ),
        (
            "hush-reader",
            1,
            &["does not allow this token", "webhooks:write"],
        ),
        ("hush-empty", 1, &["no form", "publish it"]),
        // An account that keeps its answers in Europe.
        ("hush-eu", 0, &["registered: form_response"]),
    ];
    for (token, code, parts) in cases {
        let world = World::of(token).await;
        says(&world.connect(&[]).await, code, parts);
        assert_eq!(world.webhooks().len(), usize::from(code == 0), "{token}");
    }
}

#[tokio::test]
async fn a_first_answer_is_seen_on_a_development_server() {
    let folder = project("[apis]\ncallbell = \"hush-callbell\"\ntypeform = \"hush-token\"\n");
    let settings = Settings {
        automations: Some(folder.path().join("automations.toml")),
        secrets: Some(folder.path().join("secrets.toml")),
        ..Settings::default()
    };
    let dev = Dev::start(&settings, Arc::new(|_: &str| ())).await.unwrap();
    let local = format!("--local={}", dev.url().rsplit(':').next().unwrap());
    let environment = Cloud::start(&dev).await.environment(folder.path());
    let args = ["connect", "typeform", "--wait", "20", &local];
    let ran = run_with(folder.path(), &args, &environment, "").await;
    says(&ran, 0, &["seen after", "form.submitted"]);
}

#[tokio::test]
async fn google_forms_are_connected_by_hand_with_everything_filled_in() {
    let world = World::of("hush-token").await;
    let args = ["connect", "google-forms", "--no-wait"];
    let ran = world.run(&args).await;
    let kept = secret(world.folder.path(), "google-forms");
    let parts = [
        "form.submitted: lead (automations.toml:12)",
        "docs/google-forms/callbell.gs",
        &format!("var CALLBELL_URL = '{DOOR}google-forms';"),
        &format!("var CALLBELL_SECRET = '{kept}';"),
        "install",
    ];
    says(&ran, 0, &parts);
    assert_eq!(
        world.cloud.secret("shop/webhooks").unwrap(),
        json!({ "google-forms": [kept] })
    );
    // Again the same, and after a rotation another one; the old one is accepted as well.
    says(&world.run(&args).await, 0, &[&kept]);
    let ran = world.run(&[&args[..], &["--rotate"]].concat()).await;
    let newer = secret(world.folder.path(), "google-forms");
    says(&ran, 0, &[&newer]);
    assert!(!ran.out.contains(&kept));
    let both = world.cloud.secret("shop/webhooks").unwrap();
    assert_eq!(both, json!({ "google-forms": [newer, kept] }));
}
