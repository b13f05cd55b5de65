//! What any handler costs that keeps what it was sent: one conditional PutItem with the client that the
//! functions use (same SDK, same six root certificates, same time limits), and nothing else. No signature
//! is checked, no body read, no log line written.
//!
//! So that the table has the same work with both, the row is as large as the one that `orders` writes for
//! the same webhook and is in the same index.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use lambda_http::{Body, Error, Request, RequestExt, Response, run, service_fn};
use shared::env::Environment;
use shared::store::client::{dynamodb, http_client};
use shared::store::{INDEX_HASH, INDEX_RANGE, KEY, LANE, LANE_SEND};

/// How much of the body is kept, in bytes: what an order of Shopify has once it is compressed.
const KEPT_BYTES: usize = 1_100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::read()?;
    let client = dynamodb(&environment.dynamodb(), http_client()?);
    run(service_fn(async |request: Request| {
        put(&client, &environment.table, &request).await
    }))
    .await
}

async fn put(client: &Client, table: &str, request: &Request) -> Result<Response<Body>, Error> {
    let id = request.lambda_context().request_id;
    let kept: Vec<u8> = request.body().iter().take(KEPT_BYTES).copied().collect();
    client
        .put_item()
        .table_name(table)
        .item(KEY, AttributeValue::S(format!("event#bare/order/{id}")))
        .item("body", AttributeValue::B(Blob::new(kept)))
        .item(LANE, AttributeValue::S(LANE_SEND.to_owned()))
        .item(INDEX_HASH, AttributeValue::S("0".to_owned()))
        .item(INDEX_RANGE, AttributeValue::N("1773147752000".to_owned()))
        .condition_expression("attribute_not_exists(#pk)")
        .expression_attribute_names("#pk", KEY)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await?;
    Ok(Response::new(Body::from(r#"{"status":"accepted"}"#)))
}
