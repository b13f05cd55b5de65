//! The table itself, and what DynamoDB deletes from it.

use aws_sdk_dynamodb::types::{KeySchemaElement, ProjectionType, StreamViewType, TimeToLiveStatus};
use shared::clock::Clock;
use shared::store::{INDEX, INDEX_HASH, INDEX_RANGE, KEY, Put, Status, TTL};
use testkit::Engine;

use super::{days, due_job, job_in, new_job};

fn names(schema: &[KeySchemaElement]) -> Vec<&str> {
    schema
        .iter()
        .map(KeySchemaElement::attribute_name)
        .collect()
}

#[tokio::test]
async fn the_table_is_what_its_names_say() {
    let (store, _) = testkit::store().await;
    store.create_table().await.unwrap();
    let client = Engine::shared().client();
    let table = client
        .describe_table()
        .table_name(store.table())
        .send()
        .await
        .unwrap()
        .table
        .unwrap();
    assert_eq!(names(table.key_schema()), [KEY]);
    let [index] = table.global_secondary_indexes() else {
        panic!("one index")
    };
    assert_eq!(index.index_name(), Some(INDEX));
    assert_eq!(names(index.key_schema()), [INDEX_HASH, INDEX_RANGE]);
    assert_eq!(
        index.projection().unwrap().projection_type(),
        Some(&ProjectionType::KeysOnly)
    );
    assert_eq!(
        table.stream_specification().unwrap().stream_view_type(),
        Some(&StreamViewType::NewImage)
    );
    let ttl = client
        .describe_time_to_live()
        .table_name(store.table())
        .send()
        .await
        .unwrap();
    let ttl = ttl.time_to_live_description.unwrap();
    assert_eq!(
        (ttl.attribute_name(), ttl.time_to_live_status()),
        (Some(TTL), Some(&TimeToLiveStatus::Enabled))
    );
}

#[tokio::test]
async fn what_dynamodb_deletes_is_what_has_ended() {
    // Far enough back that everything with a time to live is past it by the machine's clock.
    let engine = Engine::memory();
    let store = testkit::store_with(&engine, Clock::manual(testkit::start() - days(1_000))).await;
    let mut rows = Vec::new();
    for status in Status::ALL {
        rows.push(job_in(&store, status.as_str(), status).await.0);
    }
    store
        .push_config("file", "{}", &shared::connections::Connections::default())
        .await
        .unwrap();
    store.pause().await.unwrap();
    engine.delete_expired();
    for row in rows {
        assert_eq!(
            store.job(&row.id).await.unwrap().is_some(),
            !row.status.has_ended(),
            "{row:?}"
        );
    }
    assert!(store.config().await.unwrap().is_some());
    assert!(store.paused().await.unwrap().is_some());
}

#[tokio::test]
async fn a_table_in_a_file_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.sqlite");
    let clock = Clock::manual(testkit::start());
    let engine = Engine::file(&path);
    let store = testkit::store_with(&engine, clock.clone()).await;
    let row = due_job(&store, "1").await;
    drop(engine);
    let engine = Engine::file(&path);
    let store = shared::store::Store::new(engine.client(), store.table(), clock.clone());
    store.create_table().await.unwrap();
    assert_eq!(store.job(&row.id).await.unwrap(), Some(row));
    assert_eq!(
        store.put_job(&new_job("1", clock.now())).await.unwrap(),
        Put::Duplicate
    );
}
