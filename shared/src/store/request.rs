//! One read and one conditional write, with every attribute's name aliased.
//!
//! Expressions are written with `#attribute` for names and `:value` for values; the aliases are found in
//! the text, so that no reserved word (`status`, `owner`, `at`, `used`, …) can slip through.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{
    AttributeValue, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure,
};

use super::table::KEY;
use super::{Store, StoreError, failed};

/// Requests for one batch of rows: DynamoDB may leave some of them for the next.
const BATCHES_MAX: u32 = 3;

/// A row as DynamoDB writes it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// What became of a conditional write.
pub(super) enum Written {
    /// It took place; the row after it (of a put: before it, empty where there was none).
    Done(Item),
    /// The condition did not hold; the row as it is, where there is one.
    Refused(Option<Item>),
}

/// An update under construction.
#[derive(Default)]
pub(super) struct Update {
    set: Vec<String>,
    remove: Vec<String>,
    add: Vec<String>,
    condition: Vec<String>,
    values: HashMap<String, AttributeValue>,
    /// Attributes whose names do not fit into an expression, by their alias.
    names: HashMap<String, String>,
}

impl Update {
    pub(super) fn new() -> Update {
        Update::default()
    }

    /// `SET #attribute = value`.
    pub(super) fn set(mut self, attribute: &str, value: AttributeValue) -> Update {
        self.set.push(format!("#{attribute} = :{attribute}"));
        self.values.insert(format!(":{attribute}"), value);
        self
    }

    /// Sets the attribute, or removes it where there is no value.
    pub(super) fn set_or_remove(self, attribute: &str, value: Option<AttributeValue>) -> Update {
        match value {
            Some(value) => self.set(attribute, value),
            None => self.remove(attribute),
        }
    }

    /// Sets the attribute unless it has a value.
    pub(super) fn set_once(mut self, attribute: &str, value: AttributeValue) -> Update {
        self.set.push(format!(
            "#{attribute} = if_not_exists(#{attribute}, :{attribute})"
        ));
        self.values.insert(format!(":{attribute}"), value);
        self
    }

    /// [`Update::set_once`] of an attribute whose name may hold any character. `alias`: letters, digits
    /// and `_`, and the name of no attribute.
    pub(super) fn set_once_as(
        mut self,
        alias: &str,
        attribute: String,
        value: AttributeValue,
    ) -> Update {
        self.names.insert(format!("#{alias}"), attribute);
        self.set_once(alias, value)
    }

    /// The attribute that `#alias` stands for in a condition, whose name may hold any character.
    pub(super) fn alias(mut self, alias: &str, attribute: String) -> Update {
        self.names.insert(format!("#{alias}"), attribute);
        self
    }

    /// `REMOVE #attribute`.
    pub(super) fn remove(mut self, attribute: &str) -> Update {
        self.remove.push(format!("#{attribute}"));
        self
    }

    /// `ADD #attribute value`: a number grows, a set is united.
    pub(super) fn add(mut self, attribute: &str, value: AttributeValue) -> Update {
        self.add.push(format!("#{attribute} :{attribute}"));
        self.values.insert(format!(":{attribute}"), value);
        self
    }

    /// Another condition, all of which must hold. Its values are named by [`Update::value`].
    pub(super) fn when(mut self, condition: impl Into<String>) -> Update {
        self.condition.push(format!("({})", condition.into()));
        self
    }

    /// A value that a condition names; `name` without its colon, and none of the attributes set.
    pub(super) fn value(mut self, name: &str, value: AttributeValue) -> Update {
        self.values.insert(format!(":{name}"), value);
        self
    }

    fn expression(&self) -> String {
        let clause = |word: &str, parts: &[String]| {
            if parts.is_empty() {
                String::new()
            } else {
                format!("{word} {} ", parts.join(", "))
            }
        };
        let mut text = clause("SET", &self.set);
        text.push_str(&clause("REMOVE", &self.remove));
        text.push_str(&clause("ADD", &self.add));
        text
    }
}

/// Every `#name` of the expressions, with the attribute that it stands for.
pub(super) fn aliases(expressions: &[&str]) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for expression in expressions {
        for part in expression.split('#').skip(1) {
            let end = part
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(part.len());
            let (name, _) = part.split_at(end);
            names.insert(format!("#{name}"), name.to_owned());
        }
    }
    names
}

impl Store {
    /// The row, read strongly.
    pub(super) async fn get(&self, pk: &str) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(pk.to_owned()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(answer.item)
    }

    /// Those of these rows that are there, by their keys, read strongly in one request.
    pub(super) async fn get_many(
        &self,
        pks: &BTreeSet<String>,
    ) -> Result<HashMap<String, Item>, StoreError> {
        let key = |pk: &String| Item::from([(KEY.to_owned(), AttributeValue::S(pk.clone()))]);
        let mut wanted = pks.iter().map(key).collect::<Vec<_>>();
        let mut rows = HashMap::new();
        for _ in 0..BATCHES_MAX {
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(wanted))
                .consistent_read(true)
                .build()
                .map_err(|_| StoreError::Refused("a read without keys".to_owned()))?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, keys)
                .send()
                .await
                .map_err(|error| failed(&error))?;
            let found = answer.responses.unwrap_or_default().into_values().flatten();
            rows.extend(found.filter_map(|item| {
                let pk = item.get(KEY)?.as_s().ok()?.clone();
                Some((pk, item))
            }));
            let left = answer.unprocessed_keys.unwrap_or_default().into_values();
            wanted = left.flat_map(|left| left.keys).collect();
            if wanted.is_empty() {
                return Ok(rows);
            }
        }
        Err(StoreError::Unavailable(
            "some rows were not read".to_owned(),
        ))
    }

    /// One conditional update.
    pub(super) async fn update(&self, pk: &str, update: Update) -> Result<Written, StoreError> {
        let expression = update.expression();
        let condition = update.condition.join(" AND ");
        let mut names = aliases(&[&expression, &condition]);
        names.extend(update.names);
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(pk.to_owned()))
            .update_expression(&expression)
            .set_condition_expression((!condition.is_empty()).then(|| condition.clone()))
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values((!update.values.is_empty()).then_some(update.values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Written::Done(answer.attributes.unwrap_or_default())),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(Written::Refused(match error.into_err() {
                    aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(
                        exception,
                    ) => exception.item,
                    _ => None,
                }))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// One conditional put. `condition` empty: unconditional.
    pub(super) async fn put(
        &self,
        item: Item,
        condition: &str,
        values: Item,
    ) -> Result<Written, StoreError> {
        let names = aliases(&[condition]);
        let answer = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .set_condition_expression((!condition.is_empty()).then(|| condition.to_owned()))
            .set_expression_attribute_names((!names.is_empty()).then_some(names))
            .set_expression_attribute_values((!values.is_empty()).then_some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(Written::Done(Item::new())),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(Written::Refused(match error.into_err() {
                    aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(
                        exception,
                    ) => exception.item,
                    _ => None,
                }))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Deletes the row, whether it is there or not.
    pub(super) async fn delete_pk(&self, pk: &str) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(pk.to_owned()))
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_gets_its_alias() {
        let names = aliases(&[
            "attribute_not_exists(#pk) OR #expires_at <= :now",
            "SET #a=:a, #seen_paid = :b",
        ]);
        let mut keys: Vec<_> = names.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["#a", "#expires_at", "#pk", "#seen_paid"]);
    }
}
