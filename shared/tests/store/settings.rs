//! Config rows.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use shared::connections::{Connection, Connections};
use shared::store::{CONFIG_BYTES_MAX, CONFIG_VERSIONS_KEPT, StoreError};
use testkit::Engine;

static NONE: Connections = Connections(BTreeMap::new());

fn connections(name: &str) -> Connections {
    Connections([(name.to_owned(), Connection::plain(name))].into())
}

#[tokio::test]
async fn before_the_first_push_there_is_nothing() {
    let (store, _) = testkit::store().await;
    assert_eq!(store.config().await.unwrap(), None);
    assert_eq!(store.connections().await.unwrap(), None);
    assert!(matches!(
        store.rollback_config(None).await,
        Err(StoreError::Missing(_))
    ));
}

#[tokio::test]
async fn a_push_is_current_and_can_be_rolled_back() {
    let (store, clock) = testkit::store().await;
    assert_eq!(
        store
            .push_config("file 1", "{}", &connections("loja-br"))
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .push_config("file 2 ✓", "[]", &connections("loja-it"))
            .await
            .unwrap(),
        2
    );
    let config = store.config().await.unwrap().unwrap();
    assert_eq!(
        (
            config.version,
            config.file.as_str(),
            config.templates.as_str()
        ),
        (2, "file 2 ✓", "[]")
    );
    assert_eq!(config.pushed_at, clock.now());
    assert_eq!(
        store.connections().await.unwrap(),
        Some(connections("loja-it"))
    );

    assert_eq!(store.rollback_config(None).await.unwrap(), 1);
    let config = store.config().await.unwrap().unwrap();
    assert_eq!((config.version, config.file.as_str()), (1, "file 1"));
    assert_eq!(
        store.connections().await.unwrap(),
        Some(connections("loja-br"))
    );
    // A number is never given twice.
    assert_eq!(
        store
            .push_config("file 3", "{}", &connections("loja-br"))
            .await
            .unwrap(),
        3
    );
    assert_eq!(
        store.config_version(2).await.unwrap().unwrap().file,
        "file 2 ✓"
    );
    assert_eq!(store.rollback_config(Some(2)).await.unwrap(), 2);
    assert!(matches!(
        store.rollback_config(Some(9)).await,
        Err(StoreError::Missing(_))
    ));
    assert!(!format!("{:?}", store.config().await.unwrap()).contains("file"));
}

#[tokio::test]
async fn the_last_fifty_versions_are_kept() {
    let (store, _) = testkit::store().await;
    let push = || store.push_config("file", "{}", &NONE);
    assert_eq!((push().await.unwrap(), push().await.unwrap()), (1, 2));
    // As if 48 others had been pushed since.
    Engine::shared()
        .client()
        .update_item()
        .table_name(store.table())
        .key("pk", AttributeValue::S("config".to_owned()))
        .update_expression("SET #last = :last")
        .expression_attribute_names("#last", "last")
        .expression_attribute_values(":last", AttributeValue::N(CONFIG_VERSIONS_KEPT.to_string()))
        .send()
        .await
        .unwrap();
    assert_eq!(push().await.unwrap(), CONFIG_VERSIONS_KEPT + 1);
    for (version, kept) in [(1, false), (2, true), (CONFIG_VERSIONS_KEPT + 1, true)] {
        assert_eq!(
            store.config_version(version).await.unwrap().is_some(),
            kept,
            "version {version}"
        );
    }
}

#[tokio::test]
async fn two_pushes_at_the_same_time_get_two_numbers_and_one_may_have_to_repeat() {
    let (store, _) = testkit::store().await;
    let tasks: Vec<_> = (0..4)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                store
                    .push_config(&format!("file {n}"), "{}", &Connections::default())
                    .await
            })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(number) => numbers.push(number),
            Err(error) => assert_eq!(error, StoreError::Conflict("the configuration")),
        }
    }
    let pushed = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), pushed);
    assert!(pushed >= 1);
    let current = store.config().await.unwrap().unwrap();
    assert_eq!(numbers.last(), Some(&current.version));
    // The rows of those that lost do not stand in the way.
    store
        .push_config("file", "{}", &Connections::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_configuration_that_is_too_large_is_refused() {
    let (store, _) = testkit::store().await;
    let mut state = 1_u64;
    let mut noise = String::new();
    while noise.len() < CONFIG_BYTES_MAX * 3 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        noise.push_str(&format!("{state:016x}"));
    }
    let error = store
        .push_config(&noise, "{}", &Connections::default())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::TooLarge {
                bytes_max: CONFIG_BYTES_MAX,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(store.config().await.unwrap(), None);
}
