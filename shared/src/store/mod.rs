//! The table: the only place that speaks DynamoDB.
