//! From source to instructions: what the language leaves out is refused here, whether or not a branch
//! would run.

use minijinja::machinery::ast::{BinOpKind, CallArg, CallType, Expr as Node, Stmt, UnaryOpKind};
use minijinja::machinery::{CodeGenerator, Instructions};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, machinery};

use super::super::filters::{self, Kind};
use super::super::syntax;
use super::operators::replacement;
use super::{EvalError, is_function};

/// Before the parser, whose trees of endless chains are too deep for the stack.
fn short_enough(source: &str, in_expr: bool) -> Result<(), EvalError> {
    syntax::short_enough(source, in_expr).map_err(|problem| EvalError::Syntax {
        message: problem.message,
        line: problem.line,
    })
}

pub(super) fn compile_expr(source: &str) -> Result<(Node<'_>, Instructions<'_>), EvalError> {
    short_enough(source, true)?;
    let node = machinery::parse_expr(source).map_err(|error| unreadable(&error))?;
    let mut refused = None;
    visit_expr(&node, &mut |node| refuse(node, &mut refused));
    if let Some(error) = refused {
        return Err(error);
    }
    let mut generator = CodeGenerator::new("expression", source);
    generator.compile_expr(&node);
    Ok((node, with_own_comparisons(generator.finish().0)))
}

pub(super) fn compile_text(source: &str) -> Result<Instructions<'_>, EvalError> {
    short_enough(source, false)?;
    let stmt = machinery::parse(source, "text", SyntaxConfig::default())
        .map_err(|error| unreadable(&error))?;
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

/// The expression of a text that is exactly one `{{ … }}`; `None` for any other.
pub(super) fn compile_single(source: &str) -> Result<Option<Instructions<'_>>, EvalError> {
    // All of a text's own checks first.
    compile_text(source)?;
    let stmt = machinery::parse(source, "text", SyntaxConfig::default())
        .map_err(|error| unreadable(&error))?;
    let Stmt::Template(template) = &stmt else {
        return Ok(None);
    };
    let [Stmt::EmitExpr(only)] = template.children.as_slice() else {
        return Ok(None);
    };
    let mut generator = CodeGenerator::new("text", source);
    generator.compile_expr(&only.expr);
    Ok(Some(with_own_comparisons(generator.finish().0)))
}

pub(super) fn with_own_comparisons(mut instructions: Instructions<'_>) -> Instructions<'_> {
    let mut index = 0;
    while let Some(instruction) = instructions.get_mut(index) {
        if let Some(own) = replacement(instruction) {
            *instruction = own;
        }
        index += 1;
    }
    instructions
}

/// Whether a comparison stands where its failure would be taken for plain false: in the condition of
/// `x if c else y`, in a list, behind a filter or test. `carried` says that all around it carry it on.
pub(super) fn loses_failures(node: &Node<'_>, carried: bool) -> bool {
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

pub(super) fn is_ordering(op: BinOpKind) -> bool {
    matches!(
        op,
        BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte
    )
}

fn unreadable(error: &Error) -> EvalError {
    let message = error.detail().unwrap_or("cannot be read").to_owned();
    EvalError::Syntax {
        message,
        line: error.line().unwrap_or(1),
    }
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

pub(super) fn visit_expr<'n, 's>(node: &'n Node<'s>, see: &mut dyn FnMut(&'n Node<'s>)) {
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

pub(super) fn visit_stmt<'n, 's>(stmt: &'n Stmt<'s>, see: &mut dyn FnMut(&'n Node<'s>)) {
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
