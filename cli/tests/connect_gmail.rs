//! `callbell connect gmail`: a topic, the steps at Google, a watch, and what `callbell doctor` says of it.
//! Everything listens on the loopback interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod aws;
mod support;

use aws::{Cloud, Ran, run_with};
use cli::dev::Dev;
use jiff::Timestamp;
use shared::secrets::Secret;
use shared::sources::gmail;
use support::start_empty;

const TOPIC: &str = "projects/minha-loja/topics/gmail";
const KEY: &str =
    r#"{"client_id": "a", "client_secret": "hush-client", "refresh_token": "hush-refresh"}"#;
const AUTOMATIONS: &str = r#"
[defaults]
country  = "BR"
locale   = "pt-BR"
timezone = "America/Sao_Paulo"

[channel.shop]
uuid = "35f6f8ccb5504278a2ea099f3a4e0730"

[message.hello]
text = "Olá"

[automation.thanks]
on      = "email.received"
message = "hello"
"#;

/// A stack, and the command in a folder.
struct World {
    dev: Dev,
    cloud: Cloud,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> World {
        let dev = start_empty().await;
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("automations.toml", AUTOMATIONS);
        write("secrets.toml", "");
        write(
            "samconfig.toml",
            "[default.global.parameters]\nstack_name = \"shop\"\n",
        );
        World {
            cloud: Cloud::start(&dev).await,
            dev,
            folder,
        }
    }

    /// Runs the command; no credential may show.
    async fn callbell(&self, args: &[&str], input: &str) -> Ran {
        let environment = self.cloud.environment(self.folder.path());
        let ran = run_with(self.folder.path(), args, &environment, input).await;
        let shown = format!("{}{}", ran.out, ran.err);
        assert!(!shown.contains("hush"), "{shown}");
        ran
    }

    async fn connect(&self, more: &[&str], input: &str) -> Ran {
        let args = [&["connect", "gmail", "--no-wait"][..], more].concat();
        self.callbell(&args, input).await
    }

    /// The newest webhook secret of the connection: who pushes, and the audience.
    fn expected(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.folder.path().join("secrets.toml")).unwrap();
        let secrets: toml::Table = text.parse().unwrap();
        let kept = secrets.get("webhooks").unwrap().get("gmail").unwrap();
        let newest = kept.as_str().or_else(|| kept.get(0)?.as_str()).unwrap();
        gmail::expected(&Secret::new(newest)).unwrap()
    }

    fn now(&self) -> Timestamp {
        self.dev.clock().now()
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
async fn a_mailbox_is_watched_and_left() {
    let world = World::start().await;
    let stand_in = world.dev.connectable().gmail.clone();
    let ran = world.connect(&["--topic", TOPIC], "nonsense").await;
    says(&ran, 1, &["neither a refresh token", "docs/gmail.md"]);
    let ran = world.connect(&["--topic", "gmail"], KEY).await;
    says(
        &ran,
        1,
        &["--topic projects/PROJECT/topics/NAME is missing"],
    );
    let ran = world.connect(&[], KEY).await;
    says(&ran, 1, &["which topic?"]);

    // The steps come first: without them Google refuses the watch.
    let ran = world.connect(&["--topic", TOPIC], "").await;
    let (email, audience) = world.expected();
    assert_eq!(email, "callbell-push@minha-loja.iam.gserviceaccount.com");
    assert!(audience.len() >= 32, "at least 128 random bits");
    says(
        &ran,
        0,
        &[
            "email.received: thanks (automations.toml:",
            "gcloud pubsub topics create gmail --project=minha-loja",
            "--member=serviceAccount:gmail-api-push@system.gserviceaccount.com",
            "--push-endpoint=https://a1.execute-api.sa-east-1.amazonaws.com/emails/gmail",
            &format!("--push-auth-service-account={email} --push-auth-token-audience={audience}"),
            "registered: changes",
            "mailbox: vendas@minhaloja.com.br",
            "watched until ",
        ],
    );
    assert_eq!(stand_in.watched(world.now()).unwrap().0, TOPIC);
    let store = world.dev.store();
    assert!(store.public_keys().await.unwrap().is_some());
    let row = store.mailbox("gmail").await.unwrap().unwrap();
    assert_eq!(
        (row.topic.as_str(), row.address.as_str()),
        (TOPIC, "vendas@minhaloja.com.br")
    );

    // From now on the topic is known, and there is nothing to do.
    let ran = world.connect(&[], "").await;
    says(&ran, 0, &["nothing to do"]);
    assert!(!ran.out.contains("gcloud"), "{}", ran.out);
    assert_eq!(world.expected().1, audience);
    let ran = world.callbell(&["doctor"], "").await;
    says(
        &ran,
        1,
        &[
            "webhooks are active: changes",
            "mailbox: vendas@minhaloja.com.br",
        ],
    );

    // Another audience is another subscription's business: the steps say how.
    let ran = world.connect(&["--rotate", "--yes"], "").await;
    says(
        &ran,
        0,
        &[
            "gcloud pubsub subscriptions modify-push-config callbell-gmail",
            "replaced",
        ],
    );
    assert_ne!(world.expected().1, audience);

    let ran = world.connect(&["--remove-all", "--yes"], "").await;
    says(&ran, 0, &["removed 1 webhook"]);
    assert_eq!(stand_in.watched(world.now()), None);
    assert_eq!(world.dev.store().mailbox("gmail").await.unwrap(), None);
}

#[tokio::test]
async fn what_google_refuses_says_what_is_missing() {
    let world = World::start().await;
    let stand_in = world.dev.connectable().gmail.clone();
    stand_in.refuse_next(&[(403, "accessNotConfigured")]);
    let ran = world.connect(&["--topic", TOPIC], KEY).await;
    says(
        &ran,
        1,
        &[
            "Google refuses",
            "accessNotConfigured",
            "is the Gmail API enabled",
        ],
    );
    let revoked = KEY.replace("hush-refresh", "revoked");
    let ran = world.connect(&["--topic", TOPIC], &revoked).await;
    says(&ran, 1, &["invalid_grant", "another credential"]);
}
