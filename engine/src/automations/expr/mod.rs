//! Expressions and texts: minijinja with exactly the names of the language, and its own comparisons.
//!
//! The engine sorts an absent value below every number and a text above every number, so that
//! `order.total < 100` would hold without a total and `form.answers.idade > 18` for the text `"7"`.
//! A message to the wrong person is worse than none, so the comparisons are our own. The instructions
//! that the engine compiles for them are replaced by calls, through its `unstable_machinery`: that is
//! why the workspace pins its exact version.
//!
//! - `<`, `<=`, `>`, `>=` between two numbers, two texts or two instants compare. Anything else has
//!   *failed*: a third truth value that counts as false, that `not` does not turn into true, and that
//!   `and` and `or` pass on as in three-valued logic.
//! - What is absent equals nothing, itself included, and is `in` nothing.
//! - Chains (`1 < x < 3`), methods (`x.upper()`) and the literal `none` are refused.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::machinery::Instructions;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, machinery};

use super::context::{Root, Scope};
use super::filters;
use super::model::{Expr, Text};
use crate::actions::slack;
use compile::{compile_expr, compile_single, compile_text, loses_failures};
use operators::Failed;

mod compile;
mod explain;
mod operators;
#[cfg(test)]
mod tests;

pub use explain::{explain_false, expr_notes, text_notes};
pub(super) use operators::{
    Failures, LIST_MAX, TEXT_BYTES_MAX, bounded, is_absent, kind, printed, root, too_long,
};
#[cfg(test)]
pub(super) use tests::names;

/// Steps of the engine that one expression or text may take.
pub const FUEL: u64 = 10_000;

/// What a condition came out as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Yes.
    True,
    /// No.
    False,
    /// The value asked for is not there; counts as no.
    Absent,
}

/// Why an expression or text has no result. A condition that fails counts as false. Holds names of
/// fields and kinds of values, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// It cannot be read at all; the line is within the string, from 1.
    #[error("{message}")]
    Syntax {
        /// In words.
        message: String,
        /// Line within the string.
        line: usize,
    },
    /// Absent or mixed values met in `<`, `<=`, `>`, `>=`, and the result hangs on it.
    #[error("{0}")]
    Comparison(String),
    /// A condition that is neither true, false nor absent.
    #[error("gives {0}, not true or false")]
    NotBool(&'static str),
    /// Anything else at run time.
    #[error("{0}")]
    Failed(String),
}

/// Evaluates a condition.
///
/// # Errors
///
/// [`EvalError`]; the caller takes it for false and writes it into the event's record.
pub fn eval_bool(expr: &Expr, scope: &Scope) -> Result<Truth, EvalError> {
    let (value, failed) = evaluate(&expr.0, scope)?;
    if value.downcast_object_ref::<Failed>().is_some() {
        return Err(EvalError::Comparison(
            explain::notes_in(&expr.0, scope, failed).join("; "),
        ));
    }
    match value.kind() {
        ValueKind::Bool if value.is_true() => Ok(Truth::True),
        ValueKind::Bool => Ok(Truth::False),
        ValueKind::Undefined | ValueKind::None => Ok(Truth::Absent),
        _ => Err(EvalError::NotBool(kind(&value))),
    }
}

/// Evaluates an expression to its value; absent is [`Value::UNDEFINED`].
///
/// # Errors
///
/// [`EvalError`], [`EvalError::Comparison`] where a failed comparison is the value.
pub fn eval_value(expr: &Expr, scope: &Scope) -> Result<Value, EvalError> {
    let (value, failed) = evaluate(&expr.0, scope)?;
    match value.downcast_object_ref::<Failed>() {
        Some(_) => Err(EvalError::Comparison(
            explain::notes_in(&expr.0, scope, failed).join("; "),
        )),
        None => Ok(value),
    }
}

/// How values are written into a text, so that none of them acts where the text goes. What stands in the file
/// stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As they are.
    None,
    /// For Slack's markup: see [`slack::escape`].
    Slack,
}

/// [`Escape::Slack`] to the engine.
const SLACK: &str = "slack";

/// [`render`], with the values escaped.
///
/// # Errors
///
/// [`EvalError`].
pub fn render_escaped(text: &Text, scope: &Scope, escape: Escape) -> Result<String, EvalError> {
    let instructions = compile_text(&text.0)?;
    let mut out = String::new();
    run(&instructions, scope, &mut out, escape)?;
    Ok(out)
}

/// A text that is exactly one `{{ … }}` keeps the type of its value: a list stays a list, a number a number.
/// Any other becomes a text. What is absent is null, an instant its ISO 8601.
///
/// # Errors
///
/// [`EvalError`].
pub fn render_typed(text: &Text, scope: &Scope) -> Result<serde_json::Value, EvalError> {
    match compile_single(text.0.trim())? {
        Some(instructions) => {
            let (value, _) = run(&instructions, scope, &mut String::new(), Escape::None)?;
            Ok(typed(&value))
        }
        None => render(text, scope).map(serde_json::Value::String),
    }
}

/// Renders a text. A failed comparison in an `if` takes the other branch; [`text_notes`] tells of it.
///
/// # Errors
///
/// [`EvalError`].
pub fn render(text: &Text, scope: &Scope) -> Result<String, EvalError> {
    run_text(&text.0, scope).map(|(out, _)| out)
}

/// Whether an expression can be read and uses nothing that the language leaves out. Fields are not
/// looked at.
///
/// # Errors
///
/// [`EvalError::Syntax`].
pub fn check_expr(source: &str) -> Result<(), EvalError> {
    compile_expr(source).map(drop)
}

/// Whether a text can be read and uses nothing that the language leaves out.
///
/// # Errors
///
/// [`EvalError::Syntax`].
pub fn check_text(source: &str) -> Result<(), EvalError> {
    compile_text(source).map(drop)
}

/// The functions that expressions may call, and our own operators.
pub(super) fn is_function(name: &str) -> bool {
    environment().globals().any(|(known, _)| known == name)
}

/// Everything that expressions and texts can name, made once.
fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut env = Environment::empty();
        env.set_undefined_behavior(minijinja::UndefinedBehavior::Chainable);
        env.set_fuel(Some(FUEL));
        env.set_formatter(
            |out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value| {
                let mut text = printed(value);
                // What a block of the text itself wrote was escaped then.
                if is_for_slack(state.auto_escape()) && !value.is_safe() {
                    text = slack::escape(&text);
                }
                if let Some(root) = root(state) {
                    root.failures.count(text.len())?;
                }
                out.write_str(&text).map_err(Error::from)
            },
        );
        operators::install(&mut env);
        filters::install(&mut env);
        env
    })
}

fn is_for_slack(mode: &AutoEscape) -> bool {
    matches!(mode, AutoEscape::Custom(name) if name == SLACK)
}

/// A value as JSON. Whole numbers have no point, a failed comparison is null like everything that is absent.
pub(super) fn typed(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    if is_absent(value) || value.downcast_object_ref::<Failed>().is_some() {
        return Json::Null;
    }
    match value.kind() {
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => number(value),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().into_iter().flatten();
            items.take(LIST_MAX).map(|item| typed(&item)).collect()
        }
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            let one = |key: Value| {
                (
                    printed(&key),
                    typed(&value.get_item(&key).unwrap_or_default()),
                )
            };
            Json::Object(keys.take(LIST_MAX).map(one).collect())
        }
        _ => Json::String(printed(value)),
    }
}

fn number(value: &Value) -> serde_json::Value {
    if let Some(whole) = value.as_i64() {
        return whole.into();
    }
    // As it is printed: without the error of binary fractions.
    let printed = printed(value);
    let number = printed.parse::<serde_json::Number>();
    number.map_or(
        serde_json::Value::String(printed),
        serde_json::Value::Number,
    )
}

fn evaluate(source: &str, scope: &Scope) -> Result<(Value, Vec<String>), EvalError> {
    let (node, instructions) = compile_expr(source)?;
    let (value, failures) = run(&instructions, scope, &mut String::new(), Escape::None)?;
    if !failures.is_empty() && loses_failures(&node, true) {
        return Ok((Value::from_object(Failed), failures));
    }
    Ok((value, failures))
}

fn run_text(source: &str, scope: &Scope) -> Result<(String, Vec<String>), EvalError> {
    let instructions = compile_text(source)?;
    let mut out = String::new();
    let (_, failures) = run(&instructions, scope, &mut out, Escape::None)?;
    Ok((out, failures))
}

fn run(
    instructions: &Instructions<'_>,
    scope: &Scope,
    out: &mut String,
    escape: Escape,
) -> Result<(Value, Vec<String>), EvalError> {
    let root = Arc::new(Root {
        scope: scope.clone(),
        failures: Failures::default(),
    });
    let blocks = BTreeMap::new();
    let mut output = machinery::make_string_output(out);
    let context = Value::from_dyn_object(root.clone());
    let result = machinery::eval(
        environment(),
        instructions,
        context,
        &blocks,
        &mut output,
        match escape {
            Escape::None => AutoEscape::None,
            Escape::Slack => AutoEscape::Custom(SLACK.into()),
        },
    );
    let value = result
        .map(|(value, _)| value)
        .map_err(|error| failure(&error))?;
    Ok((value.unwrap_or_default(), root.failures.take()))
}

/// The engine's message, without the values that it may quote.
fn failure(error: &Error) -> EvalError {
    EvalError::Failed(match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        _ => match error.detail() {
            // The one message of the engine that quotes values.
            Some(detail) if detail.starts_with("unable to calculate") => {
                "cannot be calculated: a division by zero, or too large a number".to_owned()
            }
            Some(detail) => detail.to_owned(),
            None => error.kind().to_string(),
        },
    })
}
