//! `callbell demo`, as it is printed where there is no terminal.

use std::path::{Path, PathBuf};

use cli::commands::demo::{Scene, plain};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[tokio::test]
async fn everybody_reads_what_the_snapshot_says() {
    let (text, as_expected) = plain(&Scene::all(&root())).await.unwrap();
    assert!(as_expected, "{text}");
    let root = root().display().to_string() + "/";
    let text = text.replace(&root, "");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/demo.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let snapshot = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, snapshot,
        "run with UPDATE=1 where the change is meant"
    );
}

#[tokio::test]
async fn a_sample_that_is_not_signed_is_unexpected() {
    let folder = tempfile::tempdir().unwrap();
    let sample = root().join("events/orders/02-shopify-orders-paid.json");
    let sample = std::fs::read_to_string(sample).unwrap();
    let tampered = sample.replacen("Camiseta", "Camisola", 1);
    assert_ne!(sample, tampered);
    std::fs::write(folder.path().join("01-tampered.json"), tampered).unwrap();
    let scene = Scene {
        events: folder.path().to_owned(),
        automations: root().join("examples/shop.toml"),
    };
    let (text, as_expected) = plain(&[scene]).await.unwrap();
    assert!(!as_expected);
    assert!(
        text.contains("unexpected: 01-tampered: answered 401"),
        "{text}"
    );
    assert!(
        text.trim_end()
            .ends_with("0 events, 0 jobs: none. 1 unexpected"),
        "{text}"
    );
}
