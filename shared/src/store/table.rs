//! The table itself. `template.yaml` creates it in AWS; here it is made for the development server and for
//! tests, from the same names.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, StreamSpecification, StreamViewType,
    TimeToLiveSpecification,
};

use super::{Store, StoreError, failed};

/// The partition key, text. There is no sort key.
pub const KEY: &str = "pk";
/// When DynamoDB deletes the row, in seconds since 1970. Set only on rows that have ended.
pub const TTL: &str = "expires_at";
/// The index of unfinished rows: keys only, and only rows that have both its attributes are in it.
pub const INDEX: &str = "sweep";
/// The index's partition key, text: one of sixteen shards, `"0"` to `"15"`.
pub const INDEX_HASH: &str = "due_shard";
/// The index's sort key, number: when somebody has to look at the row, in milliseconds since 1970.
pub const INDEX_RANGE: &str = "sweep_at";
/// The attribute that the stream's filter looks at. A text, because a filter cannot compare numbers.
pub const LANE: &str = "lane";
/// The lane of new events and of jobs that are due at once.
pub const LANE_SEND: &str = "send";
/// The lane of replies, due or not: whoever takes them waits for the rest of a burst.
pub const LANE_CHAT: &str = "chat";

impl Store {
    /// Creates the table with index, stream and time to live, for development and tests. A table that
    /// is there already is left alone.
    ///
    /// # Errors
    /// What DynamoDB reports.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        let text = |name: &str| attribute(name, ScalarAttributeType::S);
        let made = self
            .client
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(text(KEY)?)
            .attribute_definitions(text(INDEX_HASH)?)
            .attribute_definitions(attribute(INDEX_RANGE, ScalarAttributeType::N)?)
            .key_schema(key(KEY, KeyType::Hash)?)
            .global_secondary_indexes(index()?)
            .stream_specification(
                StreamSpecification::builder()
                    .stream_enabled(true)
                    .stream_view_type(StreamViewType::NewImage)
                    .build()
                    .map_err(|_| unbuildable())?,
            )
            .send()
            .await;
        if let Err(error) = made {
            if error
                .as_service_error()
                .is_some_and(|service| service.is_resource_in_use_exception())
            {
                return Ok(());
            }
            return Err(failed(&error));
        }
        let ttl = TimeToLiveSpecification::builder()
            .enabled(true)
            .attribute_name(TTL)
            .build();
        self.client
            .update_time_to_live()
            .table_name(&self.table)
            .time_to_live_specification(ttl.map_err(|_| unbuildable())?)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

fn index() -> Result<GlobalSecondaryIndex, StoreError> {
    GlobalSecondaryIndex::builder()
        .index_name(INDEX)
        .key_schema(key(INDEX_HASH, KeyType::Hash)?)
        .key_schema(key(INDEX_RANGE, KeyType::Range)?)
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::KeysOnly)
                .build(),
        )
        .build()
        .map_err(|_| unbuildable())
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition, StoreError> {
    AttributeDefinition::builder()
        .attribute_name(name)
        .attribute_type(kind)
        .build()
        .map_err(|_| unbuildable())
}

fn key(name: &str, kind: KeyType) -> Result<KeySchemaElement, StoreError> {
    KeySchemaElement::builder()
        .attribute_name(name)
        .key_type(kind)
        .build()
        .map_err(|_| unbuildable())
}

fn unbuildable() -> StoreError {
    StoreError::Refused("the table's definition is incomplete".to_owned())
}
