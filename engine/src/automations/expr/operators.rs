//! The operators of the language, in place of the engine's own.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering as Memory};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::machinery::Instruction;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use super::super::context::{Moment, Root, SCOPE};

/// Longest text that one operation may make, in bytes. WhatsApp takes 4,096 characters; without a bound
/// forty lines that double a text would fill the memory.
pub(in crate::automations) const TEXT_BYTES_MAX: usize = 65_536;
/// Longest output of the values of one text, in bytes.
const OUTPUT_BYTES_MAX: usize = 262_144;
/// Longest list that `+` makes and filters take.
pub(in crate::automations) const LIST_MAX: usize = 1_000;

const EQ: &str = "%eq";
const NE: &str = "%ne";
const NOT: &str = "%not";
const IN: &str = "%in";
const CONCAT: &str = "%concat";
const ADD: &str = "%add";
const MUL: &str = "%mul";

type Ordered = fn(std::cmp::Ordering) -> bool;
const ORDERINGS: &[(&str, Ordered)] = &[
    ("%lt", std::cmp::Ordering::is_lt),
    ("%le", std::cmp::Ordering::is_le),
    ("%gt", std::cmp::Ordering::is_gt),
    ("%ge", std::cmp::Ordering::is_ge),
];

/// Registers the calls that stand in for operators.
pub(super) fn install(env: &mut Environment<'static>) {
    for (name, op) in ORDERINGS {
        let op = *op;
        env.add_function(*name, move |state: &State<'_, '_>, a: Value, b: Value| {
            ordered(state, op, &a, &b)
        });
    }
    env.add_function(EQ, |a: Value, b: Value| equal(&a, &b, true));
    env.add_function(NE, |a: Value, b: Value| equal(&a, &b, false));
    env.add_function(NOT, |a: Value| match a.downcast_object_ref::<Failed>() {
        Some(_) => a,
        None => Value::from(!a.is_true()),
    });
    env.add_function(IN, |item: Value, list: Value| contains(&item, &list));
    env.add_function(CONCAT, |a: Value, b: Value| {
        bounded(printed(&a) + &printed(&b))
    });
    env.add_function(ADD, |a: Value, b: Value| add(&a, &b));
    env.add_function(MUL, |a: Value, b: Value| multiply(&a, &b));
}

/// The call that stands in for one of the engine's own comparisons.
pub(super) fn replacement(instruction: &Instruction<'_>) -> Option<Instruction<'static>> {
    let (name, arguments) = match instruction {
        Instruction::Lt => ("%lt", 2),
        Instruction::Lte => ("%le", 2),
        Instruction::Gt => ("%gt", 2),
        Instruction::Gte => ("%ge", 2),
        Instruction::Eq => (EQ, 2),
        Instruction::Ne => (NE, 2),
        Instruction::In => (IN, 2),
        Instruction::StringConcat => (CONCAT, 2),
        Instruction::Add => (ADD, 2),
        Instruction::Mul => (MUL, 2),
        Instruction::Not => (NOT, 1),
        _ => return None,
    };
    Some(Instruction::CallFunction(name, Some(arguments)))
}

/// A comparison that could not be made. False, and stays false under `not`.
#[derive(Debug)]
pub(super) struct Failed;

impl Object for Failed {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Comparisons that failed in one evaluation, in words, and how much it wrote.
#[derive(Debug, Default)]
pub(in crate::automations) struct Failures(Mutex<Vec<String>>, AtomicUsize);

impl Failures {
    fn add(&self, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    pub(super) fn count(&self, bytes: usize) -> Result<(), Error> {
        let before = self.1.fetch_add(bytes, Memory::Relaxed);
        if before.saturating_add(bytes) > OUTPUT_BYTES_MAX {
            return Err(too_long());
        }
        Ok(())
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `None` where the two can be put in order.
pub(super) fn mismatch(a: &Value, b: &Value) -> Option<String> {
    if is_absent(a) || is_absent(b) {
        return Some("comparison with an absent value".to_owned());
    }
    let both = |test: fn(&Value) -> bool| test(a) && test(b);
    let is_moment = |value: &Value| value.downcast_object_ref::<Moment>().is_some();
    let is_text = |value: &Value| value.as_str().is_some();
    if both(is_finite) || both(is_text) || both(is_moment) {
        return None;
    }
    Some(format!("comparison of {} with {}", kind(a), kind(b)))
}

fn is_finite(value: &Value) -> bool {
    value.is_number() && f64::try_from(value.clone()).is_ok_and(f64::is_finite)
}

fn ordered(state: &State<'_, '_>, op: Ordered, a: &Value, b: &Value) -> Value {
    let failed = || Value::from_object(Failed);
    if [a, b]
        .iter()
        .any(|value| value.downcast_object_ref::<Failed>().is_some())
    {
        return failed();
    }
    match mismatch(a, b) {
        None => Value::from(op(a.cmp(b))),
        Some(note) => {
            if let Some(root) = root(state) {
                root.failures.add(note);
            }
            failed()
        }
    }
}

fn equal(a: &Value, b: &Value, wanted: bool) -> Value {
    for value in [a, b] {
        if value.downcast_object_ref::<Failed>().is_some() {
            return value.clone();
        }
    }
    let same = !is_absent(a) && !is_absent(b) && a == b;
    Value::from(same == wanted)
}

fn contains(item: &Value, list: &Value) -> Result<Value, Error> {
    if is_absent(item) || is_absent(list) {
        return Ok(Value::from(false));
    }
    if let (Some(text), Some(part)) = (list.as_str(), item.as_str()) {
        return Ok(Value::from(text.contains(part)));
    }
    match list.kind() {
        ValueKind::Seq | ValueKind::Iterable => Ok(Value::from(
            list.try_iter()?.any(|one| !is_absent(&one) && one == *item),
        )),
        ValueKind::Map => Ok(Value::from(!is_absent(&list.get_item(item)?))),
        _ => {
            let message = format!("`in` looks for {} in {}", kind(item), kind(list));
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

pub(in crate::automations) fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the text becomes too long")
}

/// Refuses a text beyond [`TEXT_BYTES_MAX`].
pub(in crate::automations) fn bounded(text: String) -> Result<String, Error> {
    if text.len() > TEXT_BYTES_MAX {
        Err(too_long())
    } else {
        Ok(text)
    }
}

/// `+` of numbers, texts and lists. The engine's own has no bound for the latter two.
fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return bounded([a, b].concat()).map(Value::from);
    }
    let wrong = || {
        let message = format!(
            "+ adds two numbers, texts or lists, not {} and {}",
            kind(a),
            kind(b)
        );
        Error::new(ErrorKind::InvalidOperation, message)
    };
    if a.is_number() && b.is_number() {
        if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64())
            && let Some(sum) = a.checked_add(b)
        {
            return Ok(Value::from(sum));
        }
        let number = |value: &Value| f64::try_from(value.clone()).map_err(|_| wrong());
        return Ok(Value::from(number(a)? + number(b)?));
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(a) && is_list(b) {
        let list: Vec<Value> = a
            .try_iter()?
            .chain(b.try_iter()?)
            .take(LIST_MAX + 1)
            .collect();
        if list.len() > LIST_MAX {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "the list becomes too long",
            ));
        }
        return Ok(Value::from(list));
    }
    Err(wrong())
}

/// `*` of numbers. The engine's own repeats texts and lists too, up to a hundred megabytes.
fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (true, true, Some(a), Some(b)) = (a.is_number(), b.is_number(), a.as_i64(), b.as_i64())
        && let Some(product) = a.checked_mul(b)
    {
        return Ok(Value::from(product));
    }
    let number = |value: &Value| {
        value
            .is_number()
            .then(|| f64::try_from(value.clone()).ok())
            .flatten()
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => Ok(Value::from(a * b)),
        _ => {
            let message = format!("* multiplies two numbers, not {} and {}", kind(a), kind(b));
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
    }
}

/// The scope of the evaluation that a filter or function runs in.
pub(in crate::automations) fn root(state: &State<'_, '_>) -> Option<Arc<Root>> {
    state.lookup(SCOPE)?.downcast_object::<Root>()
}

pub(in crate::automations) fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// `a text`, `a number`: for messages.
pub(in crate::automations) fn kind(value: &Value) -> &'static str {
    if value.downcast_object_ref::<Moment>().is_some() {
        return "a time";
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => "nothing",
        ValueKind::Bool => "true or false",
        ValueKind::Number => "a number",
        ValueKind::String => "a text",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a table",
        _ => "something else",
    }
}

/// A value as texts show it: nothing for what is absent, whole numbers without `.0`.
pub(in crate::automations) fn printed(value: &Value) -> String {
    if is_absent(value) {
        return String::new();
    }
    if value.kind() == ValueKind::Bool {
        return value.is_true().to_string();
    }
    if value.is_number() && !value.is_integer() {
        return f64::try_from(value.clone()).map_or_else(|_| value.to_string(), printed_float);
    }
    value.to_string()
}

/// Without the error of binary fractions: 0.1 + 0.2 is 0.3.
fn printed_float(number: f64) -> String {
    let text = format!("{number:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}
