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
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use minijinja::machinery::ast::{BinOpKind, CallArg, CallType, Expr as Node, Stmt, UnaryOpKind};
use minijinja::machinery::{CodeGenerator, Instruction, Instructions};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, machinery};

use super::context::{Moment, Root, SCOPE, Scope};
use super::filters::{self, Kind};
use super::model::{Expr, Text};

/// Steps of the engine that one expression or text may take.
pub const FUEL: u64 = 10_000;

/// Longest text that one operation may make, in bytes. WhatsApp takes 4,096 characters; without a bound
/// forty lines that double a text would fill the memory.
pub(super) const TEXT_BYTES_MAX: usize = 65_536;
/// Longest output of the values of one text, in bytes.
const OUTPUT_BYTES_MAX: usize = 262_144;
/// Longest list that `+` makes and filters take.
pub(super) const LIST_MAX: usize = 1_000;

/// Longest text that an explanation quotes, in characters.
const QUOTED_CHARS_MAX: usize = 40;

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
            notes_in(&expr.0, scope, failed).join("; "),
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
            notes_in(&expr.0, scope, failed).join("; "),
        )),
        None => Ok(value),
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

/// What went wrong with comparisons while `text` was rendered: `comparison with an absent value:
/// order.attributes.x`. Empty where all went well.
pub fn text_notes(text: &Text, scope: &Scope) -> Vec<String> {
    let Ok((_, failures)) = run_text(&text.0, scope) else {
        return Vec::new();
    };
    if failures.is_empty() {
        return Vec::new();
    }
    let Ok(stmt) = machinery::parse(&text.0, "text", SyntaxConfig::default()) else {
        return failures;
    };
    let mut notes = Vec::new();
    visit_stmt(&stmt, &mut |node| {
        comparison_note(node, &text.0, scope, &mut notes);
    });
    if notes.is_empty() { failures } else { notes }
}

/// The same for an expression, also where its result does not hang on it.
pub fn expr_notes(expr: &Expr, scope: &Scope) -> Vec<String> {
    match evaluate(&expr.0, scope) {
        Ok((_, failures)) if !failures.is_empty() => notes_in(&expr.0, scope, failures),
        _ => Vec::new(),
    }
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

/// The fields on which a condition came out false, with their values: `order.payment_status is
/// "paid", order.payment_method is absent`. Values of personal fields are not shown. Empty where the
/// condition names no field.
pub fn explain_false(expr: &Expr, scope: &Scope) -> String {
    let Ok((node, _)) = compile_expr(&expr.0) else {
        return String::new();
    };
    let mut paths = Vec::new();
    for part in guilty(&node, &expr.0, scope) {
        visit_expr(part, &mut |node| {
            if let Some(path) = path(node)
                && super::context::ROOTS
                    .iter()
                    .any(|root| path.split(['.', '[']).next() == Some(root))
                && !paths
                    .iter()
                    .any(|(known, _): &(String, Value)| known.starts_with(&path))
            {
                let value = value_of(node, &expr.0, scope);
                paths.push((path, value));
            }
        });
    }
    let parts = paths
        .iter()
        .map(|(path, value)| format!("{path} is {}", shown(path, value)));
    parts.collect::<Vec<_>>().join(", ")
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
                let text = printed(value);
                if let Some(root) = root(state) {
                    root.failures.count(text.len())?;
                }
                out.write_str(&text).map_err(Error::from)
            },
        );
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
        filters::install(&mut env);
        env
    })
}

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

/// The call that stands in for one of the engine's own comparisons.
fn replacement(instruction: &Instruction<'_>) -> Option<Instruction<'static>> {
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
struct Failed;

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
pub(super) struct Failures(Mutex<Vec<String>>, std::sync::atomic::AtomicUsize);

impl Failures {
    fn add(&self, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    fn count(&self, bytes: usize) -> Result<(), Error> {
        let before = self
            .1
            .fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        if before.saturating_add(bytes) > OUTPUT_BYTES_MAX {
            return Err(too_long());
        }
        Ok(())
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `None` where the two can be put in order.
fn mismatch(a: &Value, b: &Value) -> Option<String> {
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

pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the text becomes too long")
}

/// Refuses a text beyond [`TEXT_BYTES_MAX`].
pub(super) fn bounded(text: String) -> Result<String, Error> {
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
pub(super) fn root(state: &State<'_, '_>) -> Option<Arc<Root>> {
    state.lookup(SCOPE)?.downcast_object::<Root>()
}

pub(super) fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// `a text`, `a number`: for messages.
pub(super) fn kind(value: &Value) -> &'static str {
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
pub(super) fn printed(value: &Value) -> String {
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

/// Before the parser, whose trees of endless chains are too deep for the stack.
fn short_enough(source: &str, in_expr: bool) -> Result<(), EvalError> {
    super::syntax::short_enough(source, in_expr).map_err(|problem| EvalError::Syntax {
        message: problem.message,
        line: problem.line,
    })
}

fn compile_expr(source: &str) -> Result<(Node<'_>, Instructions<'_>), EvalError> {
    short_enough(source, true)?;
    let node = machinery::parse_expr(source).map_err(|error| syntax(&error))?;
    let mut refused = None;
    visit_expr(&node, &mut |node| refuse(node, &mut refused));
    if let Some(error) = refused {
        return Err(error);
    }
    let mut generator = CodeGenerator::new("expression", source);
    generator.compile_expr(&node);
    Ok((node, with_own_comparisons(generator.finish().0)))
}

fn compile_text(source: &str) -> Result<Instructions<'_>, EvalError> {
    short_enough(source, false)?;
    let stmt = machinery::parse(source, "text", SyntaxConfig::default())
        .map_err(|error| syntax(&error))?;
    let mut refused = None;
    refuse_stmt(&stmt, &mut refused);
    visit_stmt(&stmt, &mut |node| refuse(node, &mut refused));
    if let Some(error) = refused {
        return Err(error);
    }
    let mut generator = CodeGenerator::new("text", source);
    generator.compile_stmt(&stmt);
    Ok(with_own_comparisons(generator.finish().0))
}

fn with_own_comparisons(mut instructions: Instructions<'_>) -> Instructions<'_> {
    let mut index = 0;
    while let Some(instruction) = instructions.get_mut(index) {
        if let Some(own) = replacement(instruction) {
            *instruction = own;
        }
        index += 1;
    }
    instructions
}

fn evaluate(source: &str, scope: &Scope) -> Result<(Value, Vec<String>), EvalError> {
    let (node, instructions) = compile_expr(source)?;
    let (value, failures) = run(&instructions, scope, &mut String::new())?;
    if !failures.is_empty() && loses_failures(&node, true) {
        return Ok((Value::from_object(Failed), failures));
    }
    Ok((value, failures))
}

/// Whether a comparison stands where its failure would be taken for plain false: in the condition of
/// `x if c else y`, in a list, behind a filter or test. `carried` says that all around it carry it on.
fn loses_failures(node: &Node<'_>, carried: bool) -> bool {
    match node {
        Node::BinOp(op) => {
            let orders = is_ordering(op.op);
            let carries = orders
                || matches!(
                    op.op,
                    BinOpKind::ScAnd | BinOpKind::ScOr | BinOpKind::Eq | BinOpKind::Ne
                );
            (orders && !carried)
                || [&op.left, &op.right]
                    .into_iter()
                    .any(|side| loses_failures(side, carried && carries))
        }
        Node::UnaryOp(op) => loses_failures(&op.expr, carried && matches!(op.op, UnaryOpKind::Not)),
        other => {
            let mut ordering = false;
            visit_expr(other, &mut |node| {
                ordering |= matches!(node, Node::BinOp(op) if is_ordering(op.op));
            });
            ordering
        }
    }
}

fn is_ordering(op: BinOpKind) -> bool {
    matches!(
        op,
        BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte
    )
}

fn run_text(source: &str, scope: &Scope) -> Result<(String, Vec<String>), EvalError> {
    let instructions = compile_text(source)?;
    let mut out = String::new();
    let (_, failures) = run(&instructions, scope, &mut out)?;
    Ok((out, failures))
}

fn run(
    instructions: &Instructions<'_>,
    scope: &Scope,
    out: &mut String,
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
        AutoEscape::None,
    );
    let value = result
        .map(|(value, _)| value)
        .map_err(|error| failure(&error))?;
    Ok((value.unwrap_or_default(), root.failures.take()))
}

fn syntax(error: &Error) -> EvalError {
    let message = error.detail().unwrap_or("cannot be read").to_owned();
    EvalError::Syntax {
        message,
        line: error.line().unwrap_or(1),
    }
}

/// The engine's message, without the values that it may quote.
fn failure(error: &Error) -> EvalError {
    EvalError::Failed(match error.kind() {
        ErrorKind::OutOfFuel => format!("takes more than {FUEL} steps"),
        _ => error
            .detail()
            .map_or_else(|| error.kind().to_string(), str::to_owned),
    })
}

fn refuse(node: &Node<'_>, refused: &mut Option<EvalError>) {
    let message = match node {
        Node::Compare(_) => "one comparison at a time: write a < b and b < c".to_owned(),
        Node::Const(one) if one.value.is_none() => {
            "there is no none here: what is absent is asked for with is present, is blank"
                .to_owned()
        }
        // What is constant the engine works out while it compiles, by its own rules.
        Node::BinOp(op)
            if matches!(op.op, BinOpKind::Mul) && (is_text(&op.left) || is_text(&op.right)) =>
        {
            "* multiplies two numbers".to_owned()
        }
        Node::Call(call) => match call.identify_call() {
            CallType::Method(_, name) => format!("there are no methods: write | {name}"),
            CallType::Object(_) => "only functions can be called".to_owned(),
            CallType::Function(name) if !is_function(name) || name.starts_with('%') => {
                format!("there is no function {name}")
            }
            CallType::Function(_) => return,
        },
        Node::Filter(filter) if !environment_has(Kind::Filter, filter.name) => {
            format!("there is no filter {}", filter.name)
        }
        Node::Test(test) if !environment_has(Kind::Test, test.name) => {
            format!("there is no test {}", test.name)
        }
        _ => return,
    };
    let line = usize::from(node.span().start_line);
    refused.get_or_insert(EvalError::Syntax { message, line });
}

/// Statements of the engine that the language leaves out.
fn refuse_stmt(stmt: &Stmt<'_>, refused: &mut Option<EvalError>) {
    let mut all = |bodies: &[&[Stmt<'_>]]| {
        for stmt in bodies.iter().copied().flatten() {
            refuse_stmt(stmt, refused);
        }
    };
    let span = match stmt {
        Stmt::Template(one) => return all(&[&one.children]),
        Stmt::ForLoop(one) => return all(&[&one.body, &one.else_body]),
        Stmt::IfCond(one) => return all(&[&one.true_body, &one.false_body]),
        Stmt::SetBlock(one) => return all(&[&one.body]),
        Stmt::EmitExpr(_) | Stmt::EmitRaw(_) | Stmt::Set(_) => return,
        Stmt::WithBlock(one) => one.span(),
        Stmt::AutoEscape(one) => one.span(),
        Stmt::FilterBlock(one) => one.span(),
        Stmt::Do(one) => one.span(),
    };
    let message = "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}".to_owned();
    refused.get_or_insert(EvalError::Syntax {
        message,
        line: usize::from(span.start_line),
    });
}

/// A text or list that is written out.
fn is_text(node: &Node<'_>) -> bool {
    match node {
        Node::Const(one) => one.value.as_str().is_some(),
        Node::List(_) | Node::Tuple(_) | Node::Map(_) => true,
        Node::BinOp(op) => is_text(&op.left) || is_text(&op.right),
        _ => false,
    }
}

fn environment_has(kind: Kind, name: &str) -> bool {
    filters::TABLE
        .iter()
        .any(|entry| entry.kind == kind && entry.name == name)
}

// ---- Notes and explanations: the same expression, part by part.

/// The failed comparisons of an expression, with the fields that they name; where none of them can be
/// named, what the engine saw.
fn notes_in(source: &str, scope: &Scope, failures: Vec<String>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Ok(node) = machinery::parse_expr(source) {
        visit_expr(&node, &mut |node| {
            comparison_note(node, source, scope, &mut notes);
        });
    }
    if notes.is_empty() { failures } else { notes }
}

fn comparison_note(node: &Node<'_>, source: &str, scope: &Scope, notes: &mut Vec<String>) {
    let Node::BinOp(op) = node else { return };
    if !is_ordering(op.op) {
        return;
    }
    let (left, right) = (
        value_of(&op.left, source, scope),
        value_of(&op.right, source, scope),
    );
    let Some(note) = mismatch(&left, &right) else {
        return;
    };
    let sides = [(&op.left, &left), (&op.right, &right)];
    let absent = is_absent(&left) || is_absent(&right);
    let named = sides
        .into_iter()
        .filter(|(_, value)| !absent || is_absent(value));
    let names: Vec<String> = named.filter_map(|(side, _)| first_path(side)).collect();
    let note = if names.is_empty() {
        note
    } else {
        format!("{note}: {}", names.join(", "))
    };
    if !notes.contains(&note) {
        notes.push(note);
    }
}

fn value_of(node: &Node<'_>, source: &str, scope: &Scope) -> Value {
    let mut generator = CodeGenerator::new("expression", source);
    generator.compile_expr(node);
    let instructions = with_own_comparisons(generator.finish().0);
    run(&instructions, scope, &mut String::new())
        .map(|(value, _)| value)
        .unwrap_or_default()
}

/// The parts of a condition that make it false: of `a and b` the ones that are.
fn guilty<'n, 's>(node: &'n Node<'s>, source: &'s str, scope: &Scope) -> Vec<&'n Node<'s>> {
    match node {
        Node::BinOp(op) if matches!(op.op, BinOpKind::ScAnd) => [&op.left, &op.right]
            .into_iter()
            .filter(|side| !value_of(side, source, scope).is_true())
            .flat_map(|side| guilty(side, source, scope))
            .collect(),
        _ => vec![node],
    }
}

/// `order.attributes.cpf` of a chain of names.
fn path(node: &Node<'_>) -> Option<String> {
    match node {
        Node::Var(var) => Some(var.id.to_owned()),
        Node::GetAttr(attr) => Some(format!("{}.{}", path(&attr.expr)?, attr.name)),
        Node::GetItem(item) => match &item.subscript_expr {
            Node::Const(key) => match key.value.as_str() {
                Some(key) => Some(format!("{}['{key}']", path(&item.expr)?)),
                None => Some(format!("{}[{}]", path(&item.expr)?, key.value)),
            },
            _ => None,
        },
        _ => None,
    }
}

fn first_path(node: &Node<'_>) -> Option<String> {
    let mut found = None;
    visit_expr(node, &mut |node| {
        if found.is_none() {
            found = path(node);
        }
    });
    found
}

/// Paths whose values may stand in records and on screens: nothing about a person, no address that
/// opens an order, nothing that a customer typed.
fn is_public(path: &str) -> bool {
    const PRIVATE: [&str; 12] = [
        "order.note",
        "order.attributes",
        "order.shipping_address",
        "order.billing_address",
        "order.status_url",
        "order.payment_url",
        "checkout.attributes",
        "checkout.url",
        "shipment.tracking_url",
        "shipment.tracking_number",
        "event.id",
        "event.account",
    ];
    const OF_CUSTOMER: [&str; 6] = [
        "customer.country",
        "customer.locale",
        "customer.timezone",
        "customer.tags",
        "customer.accepts_marketing",
        "customer.accepts_email",
    ];
    if path == "customer" || path.starts_with("customer.") {
        return OF_CUSTOMER.contains(&path);
    }
    !PRIVATE.iter().any(|private| path.starts_with(private))
}

fn shown(path: &str, value: &Value) -> String {
    if is_absent(value) {
        return "absent".to_owned();
    }
    if !is_public(path) {
        return if filters::is_blank(value) {
            "blank".to_owned()
        } else {
            "set".to_owned()
        };
    }
    match value.as_str() {
        Some(text) => {
            let cut: String = text.chars().take(QUOTED_CHARS_MAX).collect();
            let more = if cut.len() < text.len() { "…" } else { "" };
            format!("\"{cut}{more}\"")
        }
        None if value.kind() == ValueKind::Map => "a table".to_owned(),
        None => {
            let text = printed(value);
            let long = text.chars().count() > QUOTED_CHARS_MAX;
            let entries = value.len().filter(|_| long || text.contains('{'));
            entries.map_or(text, |entries| format!("a list of {entries}"))
        }
    }
}

fn visit_expr<'n, 's>(node: &'n Node<'s>, see: &mut dyn FnMut(&'n Node<'s>)) {
    see(node);
    match node {
        Node::Var(_) | Node::Const(_) => {}
        Node::Slice(one) => {
            visit_expr(&one.expr, see);
            for part in [&one.start, &one.stop, &one.step].into_iter().flatten() {
                visit_expr(part, see);
            }
        }
        Node::UnaryOp(one) => {
            // -1 and the like; `not` too.
            debug_assert!(matches!(one.op, UnaryOpKind::Not | UnaryOpKind::Neg));
            visit_expr(&one.expr, see);
        }
        Node::BinOp(one) => {
            visit_expr(&one.left, see);
            visit_expr(&one.right, see);
        }
        Node::Compare(one) => {
            visit_expr(&one.expr, see);
            for op in &one.ops {
                visit_expr(&op.expr, see);
            }
        }
        Node::IfExpr(one) => {
            visit_expr(&one.test_expr, see);
            visit_expr(&one.true_expr, see);
            if let Some(other) = &one.false_expr {
                visit_expr(other, see);
            }
        }
        Node::Filter(one) => {
            if let Some(inner) = &one.expr {
                visit_expr(inner, see);
            }
            visit_args(&one.args, see);
        }
        Node::Test(one) => {
            visit_expr(&one.expr, see);
            visit_args(&one.args, see);
        }
        Node::GetAttr(one) => visit_expr(&one.expr, see),
        Node::GetItem(one) => {
            visit_expr(&one.expr, see);
            visit_expr(&one.subscript_expr, see);
        }
        Node::Call(one) => {
            // The name of a function is no field.
            if let CallType::Method(object, _) | CallType::Object(object) = one.identify_call() {
                visit_expr(object, see);
            }
            visit_args(&one.args, see);
        }
        Node::List(one) => one.items.iter().for_each(|item| visit_expr(item, see)),
        Node::Tuple(one) => one.items.iter().for_each(|item| visit_expr(item, see)),
        Node::Map(one) => one
            .keys
            .iter()
            .chain(&one.values)
            .for_each(|item| visit_expr(item, see)),
    }
}

fn visit_args<'n, 's>(args: &'n [CallArg<'s>], see: &mut dyn FnMut(&'n Node<'s>)) {
    for arg in args {
        match arg {
            CallArg::Pos(one)
            | CallArg::Kwarg(_, one)
            | CallArg::PosSplat(one)
            | CallArg::KwargSplat(one) => {
                visit_expr(one, see);
            }
        }
    }
}

fn visit_stmt<'n, 's>(stmt: &'n Stmt<'s>, see: &mut dyn FnMut(&'n Node<'s>)) {
    let block = |body: &'n [Stmt<'s>], see: &mut dyn FnMut(&'n Node<'s>)| {
        for stmt in body {
            visit_stmt(stmt, see);
        }
    };
    match stmt {
        Stmt::Template(one) => block(&one.children, see),
        Stmt::EmitExpr(one) => visit_expr(&one.expr, see),
        Stmt::ForLoop(one) => {
            visit_expr(&one.iter, see);
            if let Some(filter) = &one.filter_expr {
                visit_expr(filter, see);
            }
            block(&one.body, see);
            block(&one.else_body, see);
        }
        Stmt::IfCond(one) => {
            visit_expr(&one.expr, see);
            block(&one.true_body, see);
            block(&one.false_body, see);
        }
        Stmt::Set(one) => visit_expr(&one.expr, see),
        Stmt::SetBlock(one) => {
            if let Some(filter) = &one.filter {
                visit_expr(filter, see);
            }
            block(&one.body, see);
        }
        // The others are refused before anything is asked about them.
        _ => {}
    }
}

/// The names of all filters, tests and functions that the engine would find.
#[cfg(test)]
pub(super) fn names() -> (
    std::collections::BTreeSet<String>,
    std::collections::BTreeSet<String>,
    std::collections::BTreeSet<String>,
) {
    let env = environment();
    let functions = env
        .globals()
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with('%'));
    // The engine lists its filters and tests nowhere but in its debug output.
    let debug = format!("{env:?}");
    let section = |name: &str| {
        let start = debug.find(&format!("{name}: ")).unwrap() + name.len() + 2;
        let end = debug[start..].find(['}', ']']).unwrap() + start;
        let quoted = debug[start..end].split('"').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    };
    (section("filters"), section("tests"), functions.collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{checkout, full_order, order, scope};
    use super::*;

    fn ask(source: &str) -> String {
        match eval_bool(&Expr(source.to_owned()), &scope(&order())) {
            Ok(truth) => format!("{truth:?}"),
            Err(error) => error.to_string(),
        }
    }

    fn write(source: &str) -> String {
        render(&Text(source.to_owned()), &scope(&order()))
            .unwrap_or_else(|error| format!("error: {error}"))
    }

    #[test]
    fn conditions() {
        let rows = [
            ("order.total > 100", "True"),
            ("order.total >= 129.9 and order.total <= 129.9", "True"),
            ("order.payment_status == 'pending'", "False"),
            ("order.payment_method in ['pix', 'boleto']", "False"),
            ("order.payment_status in ['paid']", "True"),
            ("'vip' in customer.tags", "True"),
            ("'x' not in customer.tags", "True"),
            ("'x' not in customer.nothing", "True"),
            ("'x' not in order.tags", "True"),
            ("order.note", "Absent"),
            ("not order.note", "True"),
            ("order.test", "False"),
            ("order.attributes.a.b.c is present", "False"),
            ("order.attributes.nested.b == 'x'", "True"),
            ("order.attributes['idade'] == '7'", "True"),
            ("order.created_at < now", "True"),
            ("order.created_at == order.created_at", "True"),
            ("order.items | length == 5", "True"),
            ("order.items[0].quantity == 2", "True"),
            ("order.items[9].quantity == 2", "False"),
            ("checkout.total == 1", "False"),
            ("is_open('loja')", "False"),
            ("hours_between(order.created_at, now) > 24", "True"),
            ("customer.name", "gives a text, not true or false"),
            ("order.attributes.n", "gives a number, not true or false"),
            ("order.total and 'x'", "gives a text, not true or false"),
            ("ordr.total > 1", "unknown name ordr"),
            (
                "order.total + order.note > 1",
                "+ adds two numbers, texts or lists, not a number and nothing",
            ),
        ];
        for (source, expected) in rows {
            assert_eq!(ask(source), expected, "{source}");
        }
    }

    #[test]
    fn nothing_equals_what_is_absent() {
        let rows = [
            ("order.note == order.cancel_reason", "False"),
            ("order.note != order.cancel_reason", "True"),
            ("order.note == ''", "False"),
            ("order.note in 'any text'", "False"),
            ("order.note not in ['a']", "True"),
            ("order.attributes.gone is defined", "False"),
            ("order.attributes.nested.a is present", "False"),
        ];
        for (source, expected) in rows {
            assert_eq!(ask(source), expected, "{source}");
        }
    }

    /// `-` stands for an absent field, the rest for texts and numbers.
    #[test]
    fn a_comparison_that_cannot_be_made_is_false_and_says_so() {
        let rows = [
            (
                "order.attributes.x < 100",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "order.attributes.x > 100",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "100 > order.attributes.x",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "order.attributes.idade > 18",
                "comparison of a text with a number: order.attributes.idade",
            ),
            (
                "order.attributes.idade < 18",
                "comparison of a text with a number: order.attributes.idade",
            ),
            (
                "order.attributes.idade <= 18",
                "comparison of a text with a number: order.attributes.idade",
            ),
            (
                "order.attributes.idade >= 18",
                "comparison of a text with a number: order.attributes.idade",
            ),
            (
                "order.test < 1",
                "comparison of true or false with a number: order.test",
            ),
            (
                "order.created_at > '2026'",
                "comparison of a time with a text: order.created_at",
            ),
            (
                "order.tags > 1",
                "comparison of a list with a number: order.tags",
            ),
            // `not` makes no truth of it, nor does a comparison with it.
            (
                "not (order.attributes.x < 18)",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "not not (order.attributes.x < 18)",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "(order.attributes.x < 18) == false",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "(order.attributes.x < 18) != true",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "order.total > 1 and order.attributes.x < 1",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "order.total < 1 or not (order.attributes.x < 1)",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "false if order.attributes.x < 1 else true",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "(order.attributes.x < 1) not in [true]",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "(order.attributes.x < 1) is defined",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "((order.attributes.x < 1) | default(true)) and true",
                "comparison with an absent value: order.attributes.x",
            ),
            // What does not hang on it is not held up by it.
            ("order.attributes.x < 1 or order.channel == 'web'", "True"),
            ("order.channel == 'web' or order.attributes.x < 1", "True"),
            (
                "order.attributes.x < 1 and order.channel == 'pos'",
                "comparison with an absent value: order.attributes.x",
            ),
            (
                "order.attributes.x is present and order.attributes.x < 1",
                "False",
            ),
            // And this mends it.
            ("order.attributes.x | default(0) < 18", "True"),
            ("order.attributes.idade | number < 18", "True"),
            ("order.attributes.idade > '18'", "True"),
        ];
        for (source, expected) in rows {
            assert_eq!(ask(source), expected, "{source}");
        }
        let noted = expr_notes(
            &Expr("order.attributes.x < 1 or order.channel == 'web'".into()),
            &scope(&order()),
        );
        assert_eq!(
            noted,
            ["comparison with an absent value: order.attributes.x"]
        );
    }

    #[test]
    fn a_failed_comparison_in_a_text_takes_the_other_branch() {
        let text = "{% if order.attributes.x > 1 %}a{% else %}b{% endif %}{% if not (order.attributes.x > 1) %}c{% else %}d{% endif %}";
        assert_eq!(write(text), "bd");
        let notes = text_notes(&Text(text.into()), &scope(&order()));
        assert_eq!(
            notes,
            ["comparison with an absent value: order.attributes.x"]
        );
        let looped =
            "{% for item in order.items %}{% if item.nothing > 1 %}a{% endif %}{% endfor %}";
        assert_eq!(text_notes(&Text(looped.into()), &scope(&order())).len(), 1);
        assert_eq!(
            text_notes(&Text("{{ order.total > 1 }}".into()), &scope(&order())),
            [""; 0]
        );
    }

    #[test]
    fn texts() {
        let rows = [
            ("Olá {{ customer.first_name }}!", "Olá Maria!"),
            ("[{{ order.note }}]", "[]"),
            ("[{{ order.attributes.gone }}]", "[]"),
            ("[{{ order.attributes.a.b.c }}]", "[]"),
            ("{{ order.total }}", "129.9"),
            ("{{ order.shipping }}", "10"),
            ("{{ order.shipping * 1.5 }}", "15"),
            (
                "{{ 0.1 + 0.2 }} {{ -0.0 }} {{ 100.0 }} {{ 1e15 }} {{ 0.5 }}",
                "0.3 0 100 1000000000000000 0.5",
            ),
            (
                "{{ order.shipping ~ '/' ~ order.note ~ '/' ~ order.number }}",
                "10//#1001",
            ),
            ("{{ order.created_at }}", "2026-11-21T14:30:00Z"),
            (
                "{{ order.created_at | in_zone('America/Sao_Paulo') }}",
                "2026-11-21T11:30:00-03:00",
            ),
            ("{{ customer.tags | first }}{# no #}", "vip"),
            (
                "{% for item in order.items %}{{ item.title }}{% if not loop.last %}, {% endif %}{% endfor %}",
                "Camiseta, Boné, Meia, Cinto, Lenço",
            ),
            (
                "{% for item in checkout.items %}x{% else %}none{% endfor %}",
                "none",
            ),
            ("{% set n = order.number %}{{ n }}", "#1001"),
            ("<b>{{ '<i>' }}</b>", "<b><i></b>"),
            ("{{ 1 if order.test }}", ""),
            ("a\nb\n", "a\nb"),
            ("{{ order.test }}", "false"),
            ("{{ nobody }}", "error: unknown name nobody"),
        ];
        for (source, expected) in rows {
            assert_eq!(write(source), expected, "{source}");
        }
    }

    #[test]
    fn what_the_language_leaves_out_is_refused_before_it_runs() {
        let rows = [
            (
                "{% if false %}{{ 1 | nothing }}{% endif %}",
                "there is no filter nothing",
            ),
            ("{{ 1 is odd }}", "there is no test odd"),
            ("{{ range(3) }}", "there is no function range"),
            (
                "{{ customer.name.upper() }}",
                "there are no methods: write | upper",
            ),
            (
                "{{ 1 < order.total < 3 }}",
                "one comparison at a time: write a < b and b < c",
            ),
            (
                "{{ order.note == none }}",
                "there is no none here: what is absent is asked for with is present, is blank",
            ),
            ("{{ 'x' * 3 }}", "* multiplies two numbers"),
            ("{{ 3 * ('x' ~ 'y') }}", "* multiplies two numbers"),
            ("{{ [1] * 3 }}", "* multiplies two numbers"),
            ("{% include 'x' %}", "unknown statement include"),
            ("{% extends 'x' %}", "unknown statement extends"),
            ("{% import 'x' as y %}", "unknown statement import"),
            (
                "{% if true %}{% with a = 1 %}{% endwith %}{% endif %}",
                "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}",
            ),
            (
                "{% filter upper %}a{% endfilter %}",
                "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}",
            ),
            (
                "{% autoescape true %}a{% endautoescape %}",
                "texts know {% if %}, {% for %} and {% set %}, nothing else in {% %}",
            ),
            (
                "{% for a in order.items recursive %}{{ loop(order.items) }}{% endfor %}",
                "there is no function loop",
            ),
            ("{% macro a() %}{% endmacro %}", "unknown statement macro"),
            (
                "{{ order.total",
                "unexpected end of input, expected end of variable block",
            ),
        ];
        for (source, expected) in rows {
            let error = check_text(source).unwrap_err().to_string();
            assert_eq!(error, expected, "{source}");
            assert!(
                render(&Text(source.into()), &scope(&order())).is_err(),
                "{source}"
            );
        }
        assert!(check_expr("{{ order.total }} > 1").is_err());
        for (chain, expected) in [
            (
                "a".to_owned() + &".a".repeat(100_000),
                "more than 400 words and signs",
            ),
            (
                "1".to_owned() + &"+1".repeat(100_000),
                "more than 400 words and signs",
            ),
            (
                "not ".repeat(100_000) + "1",
                "more than 400 words and signs",
            ),
            (
                "1 if a else ".repeat(100_000) + "1",
                "more than 400 words and signs",
            ),
            ("(".repeat(300), "template exceeds maximum recursion limits"),
        ] {
            let error = check_text(&format!("{{{{ {chain} }}}}"))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(eval_bool(&Expr(chain.clone()), &scope(&order())).is_err());
            assert_eq!(explain_false(&Expr(chain), &scope(&order())), "");
        }
        for text in [
            "{% if a %}".to_owned() + &"{% elif a %}".repeat(100_000) + "{% endif %}",
            "{% if a %}".repeat(100_000),
        ] {
            let error = check_text(&text).unwrap_err().to_string();
            assert!(error.starts_with("more than 200 times {% %}"), "{error}");
        }
        let line = check_text("a\nb {{ 1 | nothing }}").unwrap_err();
        assert!(
            matches!(line, EvalError::Syntax { line: 2, .. }),
            "{line:?}"
        );
    }

    #[test]
    fn fuel_ends() {
        let text = "{% for a in order.items %}{% for b in order.items %}{% for c in order.items %}{% for d in order.items %}\
                    {% for e in order.items %}{{ a.title }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}";
        assert_eq!(write(text), "error: takes more than 10000 steps");
    }

    #[test]
    fn texts_cannot_grow_without_bound() {
        let doubled = "{% set s = 'xxxxxxxx' %}".to_owned() + &"{% set s = s ~ s %}".repeat(40);
        let added = doubled.replace('~', "+");
        let replaced = doubled.replace("s ~ s", "s | replace('x', 'xx')");
        for text in [doubled, added, replaced] {
            assert_eq!(write(&text), "error: the text becomes too long");
        }
        let long =
            "{% set long = 'xxxx' %}".to_owned() + &"{% set long = long ~ long %}".repeat(14);
        let printed = long.clone()
            + "{% for a in order.items %}{% for b in order.items %}{{ long }}{% endfor %}{% endfor %}";
        assert_eq!(write(&printed), "error: the text becomes too long");
        let list = "{% set l = [1, 2] %}".to_owned() + &"{% set l = l + l %}".repeat(20);
        assert_eq!(write(&list), "error: the list becomes too long");
        let nested = long + "{{ long | replace('x', long) }}";
        assert_eq!(write(&nested), "error: the text becomes too long");
        assert_eq!(
            write("{{ order.number * 5000 }}"),
            "error: * multiplies two numbers, not a text and a number"
        );
        assert_eq!(
            write("{{ 1 + 2 }} {{ 1.5 + 2 }} {{ 'a' + 'b' }} {{ ([1] + [2]) | join('/') }}"),
            "3 3.5 ab 1/2"
        );
        assert_eq!(write("{{ 9223372036854775807 + 1 > 1 }}"), "true");
        assert_eq!(
            write(
                "{{ order.item_count * 2 }} {{ order.total * order.item_count }} {{ 9223372036854775807 * 2 > 1 }}"
            ),
            "12 779.4 true"
        );
    }

    #[test]
    fn now_is_known_at_sending_time_only() {
        use super::super::locale::Home;
        let automations = super::super::testing::automations();
        let event = order();
        let early = Scope::new(&automations, &Home::of(&automations, &event, None), &event);
        let error = eval_bool(&Expr("order.created_at < now".into()), &early).unwrap_err();
        assert_eq!(
            error.to_string(),
            "now is not known yet when the event arrives: move it to the step's when"
        );
    }

    #[test]
    fn explanations_show_what_is_public() {
        let explain = |source: &str| explain_false(&Expr(source.into()), &scope(&order()));
        let rows = [
            (
                "order.payment_status == 'pending'",
                "order.payment_status is \"paid\"",
            ),
            (
                "order.payment_status == 'pending' and order.payment_method in ['pix', 'boleto']",
                "order.payment_status is \"paid\", order.payment_method is absent",
            ),
            (
                "order.total > 1 and order.item_count > 100",
                "order.item_count is 6",
            ),
            ("order.total == 0", "order.total is 129.9"),
            ("customer.name == 'Ana'", "customer.name is set"),
            (
                "order.attributes.idade == '8'",
                "order.attributes.idade is set",
            ),
            ("'x' in customer.tags", "customer.tags is ['vip', 'b2b']"),
            ("order.test", "order.test is false"),
            ("order.items | length > 9", "order.items is a list of 5"),
            ("is_open('loja')", ""),
        ];
        for (source, expected) in rows {
            assert_eq!(explain(source), expected, "{source}");
        }
    }

    /// The context is written by hand, so that it is held against what `serde` writes.
    #[test]
    fn every_field_of_an_event_can_be_named() {
        fn compare(path: &str, json: &serde_json::Value, scope: &Scope, missing: &mut Vec<String>) {
            const HIDDEN: [&str; 5] = [
                "subject",
                "customer.phones",
                "event.test",
                "event.depth",
                "event.notes",
            ];
            if HIDDEN.contains(&path) {
                return;
            }
            match json {
                serde_json::Value::Object(map) => {
                    for (key, value) in map {
                        let path = if path.is_empty() {
                            key.clone()
                        } else {
                            format!("{path}.{key}")
                        };
                        compare(&path, value, scope, missing);
                    }
                }
                serde_json::Value::Null => {}
                _ if is_absent(&scope.field(path)) => missing.push(path.to_owned()),
                _ => {}
            }
        }
        let mut missing = Vec::new();
        for event in [full_order(), checkout()] {
            let scope = scope(&event);
            compare(
                "",
                &serde_json::to_value(&event).unwrap(),
                &scope,
                &mut missing,
            );
            for (index, root) in ["order", "checkout"].into_iter().enumerate() {
                let items = serde_json::to_value(&event).unwrap()[root]["items"].clone();
                let Some(first) = items.get(0).cloned() else {
                    continue;
                };
                let seen = scope
                    .field(&format!("{root}.items"))
                    .get_item_by_index(index)
                    .unwrap();
                for key in first.as_object().unwrap().keys() {
                    if is_absent(&seen.get_attr(key).unwrap_or_default()) {
                        missing.push(format!("{root}.items[].{key}"));
                    }
                }
            }
        }
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// Claims of the language's page about plain minijinja, which our own comparisons answer: should one
    /// of them stop being true, that part can go.
    #[test]
    fn what_the_engine_does_by_itself() {
        let mut env = Environment::new();
        env.add_filter("default", minijinja::filters::default);
        let eval = |source: &str| env.compile_expression(source).unwrap().eval(()).unwrap();
        assert!(eval("none < 18").is_true());
        assert!(eval("nothing < 18").is_true());
        assert!(eval("'abc' > 50").is_true());
        assert!(eval("nothing == nothing").is_true());
        assert!(eval("nothing in 'text'").is_true());
        let render = |source: &str| env.render_str(source, ()).unwrap();
        assert_eq!(render("{{ none }}"), "None");
        assert_eq!(render("{{ none | default('x') }}"), "None");
        assert_eq!(render("{{ '' | default('x') }}"), "");
        assert_eq!(render("{% if false %}{{ 1 | unheard_of }}{% endif %}"), "");
        assert_eq!(render("{{ 100.0 }}"), "100.0");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_panic(source in "\\PC{0,60}", jinja in "[a-z0-9 {}%|.'()<>=\\[\\],+*-]{0,40}") {
            let scope = scope(&order());
            for source in [&source, &jinja, &format!("{{{{ {jinja} }}}}"), &format!("{{% if {jinja} %}}x{{% endif %}}")] {
                let _ = render(&Text(source.clone()), &scope);
                let _ = text_notes(&Text(source.clone()), &scope);
                let expr = Expr(source.clone());
                let _ = (eval_bool(&expr, &scope), eval_value(&expr, &scope), explain_false(&expr, &scope));
            }
        }
    }
}
