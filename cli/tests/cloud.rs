//! Commands on a stack: CloudFormation and Secrets Manager answered by a small server of the tests,
//! DynamoDB by the embedded engine. Everything listens on the loopback interface.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![recursion_limit = "256"]

mod aws;
mod support;

use std::path::Path;

use aws::{Cloud, run};
use serde_json::{Value, json};
use support::{Http, PHONE, example, noon, order, start};

/// A folder with the example's automations and two secrets.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "automations.toml",
        &std::fs::read_to_string(example()).unwrap(),
    );
    write(
        "templates.json",
        &std::fs::read_to_string(example().with_file_name("templates.json")).unwrap(),
    );
    write(
        "samconfig.toml",
        "[default.global.parameters]\nstack_name = \"shop\"\n",
    );
    write(
        "secrets.toml",
        "[webhooks]\nshopify = \"hush-shop-1\"\n[apis]\ncrm = \"hush-crm\"\n",
    );
    folder
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("automations.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn a_changed_word_is_pushed_without_a_deploy_and_rolled_back() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let cloud = Cloud::start(&dev).await;
    let folder = project();
    let http = Http::of(&dev);
    let mut pending = order(4001, noon());
    pending["financial_status"] = json!("pending");
    http.shopify("orders/create", &pending).await;
    http.idle().await;
    let ran = cloud.callbell(folder.path(), &["push"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert_eq!(ran.out, "version 1 (was 1): nothing changed\n");
    edit(
        folder.path(),
        "default('cliente') }}\", \"{{ order.number }}\", \"{{ order.payment_url",
        "default('você') }}\", \"{{ order.number }}\", \"{{ order.payment_url",
    );
    let ran = cloud.callbell(folder.path(), &["check", "--stack"]).await;
    assert!(
        ran.out.ends_with("version 1 is in use; not pushed yet: message.pix-reminder changed; 1 waiting job uses it\n"),
        "{}{}",
        ran.out,
        ran.err
    );
    // The stack may also be named, and the file as well.
    let ran = cloud
        .callbell(
            folder.path(),
            &["push", "automations.toml", "--stack", "shop"],
        )
        .await;
    assert_eq!(
        ran.out,
        "version 2 (was 1): message.pix-reminder changed; 1 waiting job uses it; live within a minute\n",
        "{}",
        ran.err
    );
    let ran = cloud
        .callbell(folder.path(), &["check", "--stack", "shop", "--json"])
        .await;
    let checked: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(checked["pushed"], "in use as version 2", "{}", ran.err);
    let ran = cloud.callbell(folder.path(), &["push", "--rollback"]).await;
    assert!(
        ran.out
            .starts_with("version 1 (was 2): message.pix-reminder changed"),
        "{}{}",
        ran.out,
        ran.err
    );
    let config = dev.store().config().await.unwrap().unwrap();
    assert!(!config.file.contains("você"));
}

#[tokio::test]
async fn jobs_and_events_are_listed_and_replayed_on_a_stack() {
    let dev = start(None).await;
    dev.set_clock(noon());
    let cloud = Cloud::start(&dev).await;
    let http = Http::of(&dev);
    let folder = project();
    let callbell = async |args: &[&str]| cloud.callbell(folder.path(), args).await;
    let mut body = order(2001, noon());
    body["customer"]["phone"] = Value::Null;
    body["shipping_address"]["phone"] = json!("ring twice");
    http.shopify("orders/paid", &body).await;
    http.idle().await;
    let ran = callbell(&["jobs", "--status", "skipped", "--since", "1h", "--json"]).await;
    let jobs: Value = serde_json::from_str(&ran.out).unwrap();
    let id = jobs[0]["id"].as_str().unwrap();
    let key = jobs[0]["key"].as_str().unwrap();
    for name in [id, &id[..8], key] {
        let ran = callbell(&["jobs", "show", name]).await;
        assert!(ran.out.contains(key), "{name}: {}{}", ran.out, ran.err);
    }
    let ran = callbell(&["replay", "--automation", "order-confirmed"]).await;
    assert!(
        ran.out.contains("would send 0 (1 no usable phone)"),
        "{}{}",
        ran.out,
        ran.err
    );
    let ran = callbell(&["replay", id, "--to", PHONE, "--yes"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    http.idle().await;
    let messages = http.list("/_dev/messages").await;
    assert_eq!(messages[0]["body"]["to"], PHONE);
    let ran = callbell(&["events", "--all"]).await;
    // Two of the order, and what Callbell tells: a person, our message, that it was sent.
    assert!(ran.out.contains("5 events"), "{}{}", ran.out, ran.err);
    assert_eq!(callbell(&["pause"]).await.code, 0);
    assert!(dev.store().paused().await.unwrap().is_some());
    let ran = callbell(&["resume"]).await;
    assert!(ran.out.starts_with("resumed"), "{}{}", ran.out, ran.err);
}

#[tokio::test]
async fn secrets_reach_aws_and_no_screen() {
    let dev = start(None).await;
    let cloud = Cloud::start(&dev).await;
    let folder = project();
    let callbell = async |args: &[&str]| {
        let ran = cloud.callbell(folder.path(), args).await;
        assert!(
            !format!("{}{}", ran.out, ran.err).contains("hush"),
            "{}{}",
            ran.out,
            ran.err
        );
        ran
    };
    let write = |text: &str| std::fs::write(folder.path().join("secrets.toml"), text).unwrap();
    let webhooks = || cloud.secret("shop/webhooks").unwrap();
    let written = || {
        let actions = cloud.actions();
        actions
            .iter()
            .filter(|action| action.contains("Secret") && !action.starts_with("Get"))
            .count()
    };

    let ran = callbell(&["secrets", "push"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("shop/webhooks: made\n  shopify: 1 val"),
        "{}",
        ran.out
    );
    assert_eq!(webhooks(), json!({ "shopify": ["hush-shop-1"] }));
    assert_eq!(
        cloud.secret("shop/apis").unwrap(),
        json!({ "crm": ["hush-crm"] })
    );
    assert_eq!(written(), 2);
    let ran = callbell(&["secrets", "push"]).await;
    assert!(ran.out.contains("shop/webhooks: unchanged"), "{}", ran.out);
    assert_eq!(written(), 0);

    // Rotation keeps both; what is dropped is asked about.
    write("[webhooks]\nshopify = [\"hush-shop-2\", \"hush-shop-1\"]\n[apis]\ncrm = \"hush-crm\"\n");
    let ran = callbell(&["secrets", "list", "--stack"]).await;
    assert!(
        ran.out.contains("differs") && ran.out.contains("callbell secrets push"),
        "{}{}",
        ran.out,
        ran.err
    );
    let ran = callbell(&["secrets", "push"]).await;
    assert!(
        ran.out.contains("shop/webhooks: changed") && ran.out.contains("shop/apis: unchanged"),
        "{}{}",
        ran.out,
        ran.err
    );
    write("[webhooks]\nshopify = \"hush-shop-2\"\n[apis]\n");
    let ran = callbell(&["secrets", "push"]).await;
    assert_eq!(ran.code, 1, "nobody is here to say yes");
    assert!(
        ran.out.contains("shop/webhooks shopify, fingerprint") && ran.err.contains("--yes"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(
        webhooks(),
        json!({ "shopify": ["hush-shop-2", "hush-shop-1"] })
    );
    assert_eq!(callbell(&["secrets", "push", "--yes"]).await.code, 0);
    assert_eq!(webhooks(), json!({ "shopify": ["hush-shop-2"] }));
    assert_eq!(cloud.secret("shop/apis").unwrap(), json!({}));
    let ran = callbell(&["secrets", "list", "--stack", "shop", "--json"]).await;
    let listed: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(listed[0]["fingerprints"], listed[0]["on_aws"]);

    cloud.break_secrets(
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/x is not authorized to perform: secretsmanager:GetSecretValue on resource: y",
    );
    let ran = callbell(&["secrets", "push"]).await;
    assert!(
        ran.err
            .contains("does not allow you secretsmanager:GetSecretValue"),
        "{}",
        ran.err
    );
    cloud.break_secrets(
        "InvalidRequestException",
        "You can't perform this operation on the secret because it was marked for deletion.",
    );
    let ran = callbell(&["secrets", "push"]).await;
    assert!(
        ran.err.contains("restore-secret --secret-id shop/webhooks"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn what_keeps_a_command_from_a_stack_is_said_in_a_line() {
    let dev = start(None).await;
    let folder = project();
    let denied = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: cloudformation:DescribeStacks on resource: y";
    let skewed = "Signature expired: 20261122T100000Z is now earlier than";
    let cases: [(u16, &str, &str, &[&str]); 7] = [
        (
            400,
            "ValidationError",
            "Stack with id shop does not exist",
            &["no stack shop in sa-east-1", "make deploy"],
        ),
        (
            403,
            "AccessDenied",
            denied,
            &["does not allow you cloudformation:DescribeStacks"],
        ),
        (
            403,
            "ExpiredToken",
            "The security token included in the request is expired",
            &["expired", "aws sso login"],
        ),
        (
            403,
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
            &["does not know these credentials"],
        ),
        (
            403,
            "SignatureDoesNotMatch",
            skewed,
            &["secret key is wrong"],
        ),
        (
            403,
            "OptInRequired",
            "",
            &["has not enabled the region sa-east-1"],
        ),
        (
            503,
            "ServiceUnavailable",
            "later",
            &["CloudFormation: 503 ServiceUnavailable"],
        ),
    ];
    for (status, code, message, wanted) in cases {
        let cloud = Cloud::start(&dev).await;
        cloud.refuse(status, code, message);
        let ran = cloud.callbell(folder.path(), &["jobs"]).await;
        assert_eq!(ran.code, 1);
        for part in wanted {
            assert!(ran.err.contains(part), "{code}: {}", ran.err);
        }
        assert!(
            ran.err.lines().count() <= 2 && !ran.err.contains("arn:"),
            "{}",
            ran.err
        );
    }
    let cloud = Cloud::start(&dev).await;
    dev.set_clock(noon());
    cloud.refuse(403, "SignatureDoesNotMatch", skewed);
    let ran = cloud.callbell(folder.path(), &["jobs"]).await;
    assert!(
        ran.err.contains("clock is") && ran.err.contains("minutes off"),
        "{}",
        ran.err
    );

    let cloud = Cloud::start(&dev).await;
    cloud.set_status("ROLLBACK_COMPLETE");
    let ran = cloud.callbell(folder.path(), &["pause"]).await;
    assert!(ran.err.contains("first deploy failed"), "{}", ran.err);
    let ran = cloud
        .callbell(folder.path(), &["jobs", "--stack", "nope"])
        .await;
    assert!(ran.err.contains("no stack nope"), "{}", ran.err);
    let ran = cloud
        .callbell(folder.path(), &["jobs", "--stack", "a b"])
        .await;
    assert!(ran.err.contains("no name of a stack"), "{}", ran.err);
}

#[tokio::test]
async fn credentials_and_region_come_from_the_user_s_machine() {
    let dev = start(None).await;
    let cloud = Cloud::start(&dev).await;
    let folder = project();
    let home = tempfile::tempdir().unwrap();
    let config = |name: &str, text: &str| {
        std::fs::create_dir_all(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws").join(name), text).unwrap();
    };
    let without = |names: &[&str]| -> Vec<(&'static str, String)> {
        let all = cloud.environment(home.path()).into_iter();
        all.filter(|(name, _)| !names.contains(name)).collect()
    };
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let ran = run(folder.path(), &["jobs"], &without(&keys)).await;
    assert!(
        ran.err.contains("no AWS credentials are set up"),
        "{}",
        ran.err
    );
    let ran = run(folder.path(), &["jobs"], &without(&["AWS_REGION"])).await;
    assert!(ran.err.contains("no AWS region"), "{}", ran.err);

    // A profile of the machine, named by samconfig.toml.
    let sam = "[default.global.parameters]\nstack_name = \"shop\"\nprofile = \"work\"\n";
    std::fs::write(folder.path().join("samconfig.toml"), sam).unwrap();
    let all = [&keys[..], &["AWS_REGION"]].concat();
    let ran = run(folder.path(), &["jobs"], &without(&all)).await;
    assert!(
        ran.err.contains("profile work") || ran.err.contains("region"),
        "{}",
        ran.err
    );
    config("config", "[profile work]\nregion = sa-east-1\n");
    config(
        "credentials",
        "[work]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = none\n",
    );
    let ran = run(folder.path(), &["jobs"], &without(&all)).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "no jobs\n"),
        "{}",
        ran.err
    );

    // A single sign-on that has run out.
    config("credentials", "");
    config(
        "config",
        "[profile work]\nregion = sa-east-1\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n\
         [sso-session s]\nsso_region = sa-east-1\nsso_start_url = https://example.awsapps.com/start\n",
    );
    let ran = run(folder.path(), &["jobs"], &without(&all)).await;
    assert!(
        ran.err.contains("aws sso login --profile work"),
        "{}",
        ran.err
    );
}

/// A folder to deploy from, with a SAM that only writes down what it was asked.
fn deployable(sam_exit: u8) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = project();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("template.yaml", "");
    std::fs::create_dir_all(folder.path().join(".venv/bin")).unwrap();
    let script = format!("#!/bin/sh\necho \"$@\" >> sam.log\nexit {sam_exit}\n");
    write(".venv/bin/sam", &script);
    let sam = folder.path().join(".venv/bin/sam");
    std::fs::set_permissions(sam, std::fs::Permissions::from_mode(0o755)).unwrap();
    // What this machine can compile for without another target.
    let own = if std::env::consts::ARCH == "aarch64" {
        "arm64"
    } else {
        "x86_64"
    };
    let text = format!(
        "[default.global.parameters]\nstack_name = \"shop\"\nregion = \"sa-east-1\"\n\
         parameter_overrides = 'Architecture={own} AlarmEmail=\"\"'\n"
    );
    write("samconfig.toml", &text);
    folder
}

#[tokio::test]
async fn a_deploy_builds_deploys_pushes_and_says_what_comes_next() {
    let dev = start(None).await;
    let cloud = Cloud::start(&dev).await;
    let folder = deployable(0);
    edit(
        folder.path(),
        "[defaults]",
        "[defaults]\nonly_to = [\"+5511987654321\"]",
    );
    for _ in 0..2 {
        let ran = cloud.callbell(folder.path(), &["deploy"]).await;
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        let url = "https://a1.execute-api.sa-east-1.amazonaws.com/orders/shopify";
        assert!(ran.out.contains(url), "{}", ran.out);
        assert!(ran.out.contains("only_to"), "{}", ran.out);
        assert!(ran.err.contains("alarms reach nobody"), "{}", ran.err);
        assert!(!ran.out.contains("hush"), "{}", ran.out);
    }
    let log = std::fs::read_to_string(folder.path().join("sam.log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(
        lines[0].starts_with("build --parameter-overrides Architecture="),
        "{log}"
    );
    // An explicit environment goes before samconfig.toml.
    assert!(
        lines[1].starts_with("deploy --stack-name shop --region sa-east-1"),
        "{log}"
    );
    assert!(
        lines[1].contains("AlarmEmail=\"\"") && lines[1].contains("--no-fail-on-empty-changeset"),
        "{log}"
    );
    assert!(cloud.secret("shop/webhooks").is_some());
    // The project's secrets have no token.
    let ran = cloud.callbell(folder.path(), &["deploy"]).await;
    assert!(ran.err.contains("no Callbell token"), "{}", ran.err);
    let config = dev.store().config().await.unwrap().unwrap();
    assert!(config.file.contains("only_to"));
}

#[tokio::test]
async fn a_deploy_stops_in_a_line_before_it_builds() {
    let dev = start(None).await;
    let cloud = Cloud::start(&dev).await;
    let deploy = async |folder: &Path| cloud.callbell(folder, &["deploy"]).await;
    let missing = |name: &'static str| {
        let folder = deployable(0);
        std::fs::remove_file(folder.path().join(name)).unwrap();
        folder
    };
    let broken = deployable(0);
    edit(broken.path(), "order.number", "order.numbr");
    let elsewhere = deployable(0);
    let sam = elsewhere.path().join("samconfig.toml");
    let text = std::fs::read_to_string(&sam).unwrap();
    std::fs::write(&sam, text.replace("sa-east-1", "us-east-1")).unwrap();
    let other = deployable(0);
    let sam = std::fs::read_to_string(other.path().join("samconfig.toml")).unwrap();
    let sam = sam.replace("arm64", "riscv").replace("x86_64", "riscv");
    std::fs::write(other.path().join("samconfig.toml"), sam).unwrap();
    let cases = [
        (missing("automations.toml"), "callbell init"),
        (missing("secrets.toml"), "callbell init"),
        (
            missing("template.yaml"),
            "in the folder of callbell-serverless",
        ),
        (
            missing("samconfig.toml"),
            "no stack_name, and nobody is here to ask",
        ),
        (broken, "nothing was deployed"),
        (other, "write arm64 or x86_64"),
        (elsewhere, "which region? samconfig.toml says us-east-1"),
    ];
    for (folder, wanted) in cases {
        let ran = deploy(folder.path()).await;
        assert_eq!(ran.code, 1, "{wanted}");
        assert!(ran.err.contains(wanted), "{wanted}: {}", ran.err);
        assert!(!folder.path().join("sam.log").exists(), "{wanted}");
    }
    // SAM fails: nothing is pushed.
    let folder = deployable(1);
    let ran = deploy(folder.path()).await;
    assert!(ran.err.contains("sam build did not work"), "{}", ran.err);
    assert!(cloud.secret("shop/webhooks").is_none());
    // A stack whose first deploy failed.
    cloud.set_status("ROLLBACK_COMPLETE");
    let ran = deploy(deployable(0).path()).await;
    assert!(
        ran.err.contains("delete-stack --stack-name shop"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn customers_get_nothing_from_a_first_deploy_that_nobody_confirmed() {
    let dev = support::start_empty().await;
    let cloud = Cloud::start(&dev).await;
    let folder = deployable(0);
    let ran = cloud.callbell(folder.path(), &["deploy"]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("no only_to") && ran.err.contains("--yes"),
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(dev.store().config().await.unwrap(), None);
    let ran = cloud.callbell(folder.path(), &["deploy", "--yes"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.out
            .contains("version 1: the first; live within a minute"),
        "{}",
        ran.out
    );
}
