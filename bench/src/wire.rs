//! What stands between a function and its table: a meter that counts what passes, and a table that answers at
//! once.
//!
//! Signatures are not checked on this machine, so the meter may ask for more than the function did:
//! `ReturnConsumedCapacity`, with which every answer says what it cost.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

use crate::http::{Connection, Handler, Message};

/// One request to the table and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `PutItem`, `Query`.
    pub operation: String,
    /// Which kind of row: what its key begins with (`event`, `job`); of a query, the index.
    pub row: String,
    /// The condition did not hold.
    pub refused: bool,
    /// Units of the table.
    pub table_units: f64,
    /// Units of the index.
    pub index_units: f64,
}

impl Call {
    /// Whether its units are those of writing.
    pub fn is_write(&self) -> bool {
        let reads = ["GetItem", "BatchGetItem", "Query", "Scan"];
        !reads.contains(&self.operation.as_str())
    }
}

/// A proxy in front of the table that writes down every request.
pub struct Meter {
    table: String,
    calls: Mutex<Vec<Call>>,
}

impl Meter {
    /// In front of `127.0.0.1:PORT`.
    pub fn new(table: &str) -> Arc<Meter> {
        Arc::new(Meter {
            table: table.trim_start_matches("http://").to_owned(),
            calls: Mutex::default(),
        })
    }

    /// The requests since this was asked last.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.calls))
    }
}

impl Handler for Meter {
    type Connection = Connection;

    fn connected(&self) -> io::Result<Connection> {
        Connection::open(&self.table)
    }

    fn handle(
        &self,
        table: &mut Connection,
        mut request: Message,
        answer: &mut dyn FnMut(Message) -> io::Result<()>,
    ) -> io::Result<()> {
        let operation = operation(&request);
        let mut asked: Value = serde_json::from_slice(&request.body)?;
        if let Some(fields) = asked.as_object_mut() {
            fields.insert("ReturnConsumedCapacity".to_owned(), "INDEXES".into());
        }
        request.body = serde_json::to_vec(&asked)?;
        let answered = table.exchange(&request)?;
        let result: Value = serde_json::from_slice(&answered.body)?;
        lock(&self.calls).push(call(operation, &asked, &result));
        answer(answered)
    }
}

fn operation(request: &Message) -> String {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default().to_owned()
}

fn call(operation: String, asked: &Value, result: &Value) -> Call {
    let key = ["/Item/pk/S", "/Key/pk/S"]
        .iter()
        .find_map(|path| asked.pointer(path).and_then(Value::as_str));
    let index = asked.get("IndexName").and_then(Value::as_str);
    let several = asked.get("RequestItems").map(|_| "several");
    let row = key
        .and_then(|key| key.split('#').next())
        .or(index)
        .or(several)
        .unwrap_or("-")
        .to_owned();
    let kind = result.get("__type").and_then(Value::as_str);
    let refused = kind.is_some_and(|kind| kind.ends_with("ConditionalCheckFailedException"));
    let units = |path: &str| {
        let consumed = result.get("ConsumedCapacity");
        // A batch's answer has a list, of one table.
        let consumed = consumed.and_then(|one| {
            if one.is_array() {
                one.get(0)
            } else {
                Some(one)
            }
        });
        let units = consumed.and_then(|one| one.pointer(path)?.as_f64());
        units.unwrap_or_default()
    };
    let table_units = if refused {
        // The answer does not say: by the documentation, the size of the row that is there, one unit at least.
        write_units(result.get("Item").map(row_bytes).unwrap_or_default())
    } else {
        units("/Table/CapacityUnits")
    };
    Call {
        operation,
        row,
        refused,
        table_units,
        index_units: units("/GlobalSecondaryIndexes/sweep/CapacityUnits"),
    }
}

/// Write units of a row: one a started KiB.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>
#[expect(clippy::cast_precision_loss, reason = "a row has at most 400 KiB")]
fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// How large a row is: names and values.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
fn row_bytes(row: &Value) -> usize {
    let fields = row.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| name.len().saturating_add(value_bytes(value)))
        .sum()
}

fn value_bytes(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else {
        return 0;
    };
    match (kind.as_str(), value) {
        ("B", Value::String(base64)) => base64.trim_end_matches('=').len() * 3 / 4,
        ("N", Value::String(digits)) => digits.len().div_ceil(2) + 1,
        (_, Value::String(text)) => text.len(),
        ("L", Value::Array(list)) => list.iter().map(|one| value_bytes(one) + 1).sum::<usize>() + 3,
        (_, Value::Array(set)) => set.iter().filter_map(Value::as_str).map(str::len).sum(),
        ("M", map) => {
            row_bytes(map)
                + map
                    .as_object()
                    .map(serde_json::Map::len)
                    .unwrap_or_default()
                + 3
        }
        _ => 1,
    }
}

/// Secrets, and a table that has every answer ready: what a function takes with it is the function's own.
/// Rows are answered as the real table answered them first, queries with nothing, writes with success.
pub struct Ready {
    table: String,
    secrets: String,
    known: Mutex<HashMap<Vec<u8>, Message>>,
    span: Mutex<Span>,
}

/// When a process turned to the outside while it started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    /// When its first connection was taken.
    pub from: Option<Instant>,
    /// When its last answer so far was on its way.
    pub to: Option<Instant>,
}

impl Ready {
    /// In front of the table that it learns the answers from; `secrets` is the text of every secret.
    pub fn new(table: &str, secrets: &str) -> Arc<Ready> {
        Arc::new(Ready {
            table: table.trim_start_matches("http://").to_owned(),
            secrets: serde_json::json!({ "Name": "bench", "SecretString": secrets }).to_string(),
            known: Mutex::default(),
            span: Mutex::default(),
        })
    }

    /// The span since this was asked last.
    pub fn take_span(&self) -> Span {
        std::mem::take(&mut lock(&self.span))
    }

    /// What is answered, and the real table's answer the first time.
    fn answer_to(&self, request: &Message) -> io::Result<Message> {
        match operation(request).as_str() {
            "GetSecretValue" => return Ok(Message::json(200, self.secrets.clone())),
            // What it has ready would have to be work.
            "Query" => {
                return Ok(Message::json(
                    200,
                    r#"{"Items":[],"Count":0,"ScannedCount":0}"#,
                ));
            }
            "GetItem" | "BatchGetItem" => {}
            _ => return Ok(Message::json(200, "{}")),
        }
        if let Some(known) = lock(&self.known).get(&request.body) {
            return Ok(known.clone());
        }
        let answer = Connection::open(&self.table)?.exchange(request)?;
        lock(&self.known).insert(request.body.clone(), answer.clone());
        Ok(answer)
    }
}

impl Handler for Ready {
    type Connection = ();

    fn connected(&self) -> io::Result<()> {
        lock(&self.span).from.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn handle(
        &self,
        (): &mut (),
        request: Message,
        answer: &mut dyn FnMut(Message) -> io::Result<()>,
    ) -> io::Result<()> {
        let message = self.answer_to(&request)?;
        lock(&self.span).to = Some(Instant::now());
        answer(message)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_says_which_row_and_what_it_cost() {
        let asked = json!({"TableName": "t", "Item": {"pk": {"S": "event#shopify/order/1/paid"}}});
        let result = json!({"ConsumedCapacity": {
            "CapacityUnits": 3.0, "Table": {"CapacityUnits": 2.0},
            "GlobalSecondaryIndexes": {"sweep": {"CapacityUnits": 1.0}},
        }});
        let call = call("PutItem".to_owned(), &asked, &result);
        assert_eq!(
            (call.row.as_str(), call.table_units, call.index_units),
            ("event", 2.0, 1.0)
        );
        assert!(call.is_write() && !call.refused);
    }

    #[test]
    fn a_batch_says_what_it_cost_in_a_list() {
        let asked = json!({"RequestItems": {"t": {"Keys": [{"pk": {"S": "paused"}}]}}});
        let result = json!({"ConsumedCapacity": [{"Table": {"CapacityUnits": 7.0}}]});
        let call = call("BatchGetItem".to_owned(), &asked, &result);
        assert!(!call.is_write());
        assert_eq!((call.row.as_str(), call.table_units), ("several", 7.0));
    }

    #[test]
    fn a_refused_write_costs_the_row_that_is_there() {
        let asked = json!({"Key": {"pk": {"S": "job#1"}}});
        let result = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "Item": {"pk": {"S": "job#1"}, "body": {"B": "A".repeat(2_000)}},
        });
        let call = call("UpdateItem".to_owned(), &asked, &result);
        assert!(call.refused);
        assert_eq!(call.table_units, 2.0, "1,500 bytes and a little");
    }

    #[test]
    fn a_row_is_as_large_as_its_names_and_values() {
        let row = json!({"pk": {"S": "ab"}, "n": {"N": "1773147752000"}, "m": {"M": {"x": {"BOOL": true}}}});
        assert_eq!(row_bytes(&row), 2 + 2 + 1 + 8 + 1 + (1 + 1 + 1 + 3));
    }
}
