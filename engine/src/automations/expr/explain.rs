//! Why a condition came out false, and which comparisons failed: the same expression, part by part.

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr as Node, UnaryOpKind};
use minijinja::machinery::{self, CodeGenerator};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};

use super::super::context::{ROOTS, Scope};
use super::super::filters;
use super::super::model::{Expr, Text};
use super::compile::{compile_expr, is_ordering, visit_expr, visit_stmt, with_own_comparisons};
use super::operators::{is_absent, mismatch, printed};
use super::{Escape, evaluate, run, run_text};

/// Longest text that an explanation quotes, in characters.
const QUOTED_CHARS_MAX: usize = 40;

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
                && ROOTS
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

/// The failed comparisons of an expression, with the fields that they name; where none of them can be
/// named, what the engine saw.
pub(super) fn notes_in(source: &str, scope: &Scope, failures: Vec<String>) -> Vec<String> {
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
    run(&instructions, scope, &mut String::new(), Escape::None)
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

impl Expr {
    /// The first field, or part, that goes into the value and is absent or blank, by its name. A branch that is
    /// not taken does not matter, nor does what a `default` stands in for.
    pub(in crate::automations) fn lacks(&self, scope: &Scope) -> Option<String> {
        let (node, _) = compile_expr(&self.0).ok()?;
        let part = lacking(&node, &self.0, scope)?;
        let name = path(part).or_else(|| first_path(part));
        Some(name.unwrap_or_else(|| "a part of it".to_owned()))
    }
}

/// The first part of a value that is not there. What only asks, a comparison or a test, comes out as an answer
/// whatever is there.
fn lacking<'n, 's>(node: &'n Node<'s>, source: &'s str, scope: &Scope) -> Option<&'n Node<'s>> {
    let within = |node: &'n Node<'s>| lacking(node, source, scope);
    let value = |node: &Node<'s>| value_of(node, source, scope);
    let unless = |is_there: bool| (!is_there).then_some(node);
    match node {
        Node::Const(_) | Node::Test(_) | Node::Compare(_) => None,
        Node::UnaryOp(one) => within(&one.expr).filter(|_| matches!(one.op, UnaryOpKind::Neg)),
        Node::BinOp(one) => match one.op {
            BinOpKind::ScOr if value(&one.left).is_true() => within(&one.left),
            BinOpKind::ScAnd if !value(&one.left).is_true() => within(&one.left),
            BinOpKind::ScOr | BinOpKind::ScAnd => within(&one.right),
            BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In => None,
            op if is_ordering(op) => None,
            _ => within(&one.left).or_else(|| within(&one.right)),
        },
        Node::IfExpr(one) => match (value(&one.test_expr).is_true(), &one.false_expr) {
            (true, _) => within(&one.true_expr),
            (false, Some(other)) => within(other),
            (false, None) => Some(node),
        },
        Node::Filter(one) => {
            let of_args = || arguments(&one.args).find_map(within);
            let inner = one.expr.as_ref();
            if matches!(one.name, "default" | "d") {
                let is_there = inner.is_some_and(|inner| !is_nothing(&value(inner)));
                return if is_there { None } else { of_args() };
            }
            let inner = inner.and_then(within).or_else(of_args);
            inner.or_else(|| unless(!is_absent(&value(node))))
        }
        Node::Slice(one) => within(&one.expr),
        Node::List(one) => one.items.iter().find_map(within),
        Node::Tuple(one) => one.items.iter().find_map(within),
        Node::Map(one) => one.values.iter().find_map(within),
        Node::Var(_) | Node::GetAttr(_) | Node::GetItem(_) | Node::Call(_) => {
            unless(!is_nothing(&value(node)))
        }
    }
}

/// Absent, or nothing but blanks.
fn is_nothing(value: &Value) -> bool {
    is_absent(value) || printed(value).trim().is_empty()
}

fn arguments<'n, 's>(args: &'n [CallArg<'s>]) -> impl Iterator<Item = &'n Node<'s>> {
    args.iter().map(|arg| match arg {
        CallArg::Pos(node)
        | CallArg::Kwarg(_, node)
        | CallArg::PosSplat(node)
        | CallArg::KwargSplat(node) => node,
    })
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
    const PRIVATE: [&str; 22] = [
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
        "appointment.title",
        "appointment.location",
        "appointment.join_url",
        "appointment.host",
        "appointment.cancel_url",
        "appointment.reschedule_url",
        "appointment.answers",
        "appointment.reason",
        "appointment.guests",
        "appointment.utm",
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
    // Of what people and their colleagues write, the few that say nothing of anybody.
    const OF_CALLBELL: [&str; 20] = [
        "contact.channel",
        "contact.channel_kind",
        "contact.tags",
        "contact.changed",
        "contact.added_tags",
        "contact.removed_tags",
        "contact.blocked",
        "contact.opted_out",
        "contact.window_open",
        "conversation.human",
        "conversation.last_sent",
        "conversation.opened_at",
        "conversation.closed_at",
        "message.kind",
        "message.is_first",
        "message.forwarded",
        "message.status",
        "job.automation",
        "job.action",
        "job.status",
    ];
    // Of what forms, CRMs and mailboxes bring, the few that are words of the system itself. Of what a system of
    // the user's own posts nobody knows what it is.
    const OF_SYSTEMS: [&str; 13] = [
        "form.id",
        "lead.kind",
        "lead.stage",
        "lead.changed",
        "lead.list",
        "deal.stage",
        "deal.previous_stage",
        "deal.status",
        "deal.pipeline",
        "deal.value",
        "deal.currency",
        "email.labels",
        "email.has_attachments",
    ];
    match path.split(['.', '[']).next() {
        Some("customer") => return OF_CUSTOMER.contains(&path),
        Some("form" | "lead" | "deal" | "email" | "data") => return OF_SYSTEMS.contains(&path),
        Some("contact" | "conversation" | "message" | "job") => {
            return OF_CALLBELL.contains(&path);
        }
        _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automations::fields::FIELDS;

    /// What a person, or a colleague, wrote is in no reason; only these fields are told.
    #[test]
    fn of_callbell_s_fields_those_that_say_nothing_of_anybody_are_public() {
        let of_callbell = ["contact.", "conversation.", "message.", "job."];
        let public = FIELDS
            .iter()
            .map(|field| field.path)
            .filter(|path| of_callbell.iter().any(|root| path.starts_with(root)))
            .filter(|path| is_public(path))
            .count();
        assert_eq!(public, 20, "each of the list is a field");
        for private in [
            "message",
            "message.text",
            "message.attachments",
            "contact",
            "contact.name",
            "contact.fields.Cidade",
            "contact.note",
            "conversation.url",
            "job.reason",
        ] {
            assert!(!is_public(private), "{private}");
        }
    }

    /// What forms, CRMs, mailboxes and systems of the user's own say of a person is in no reason.
    #[test]
    fn of_systems_fields_those_of_the_system_itself_are_public() {
        let of_systems = ["form.", "lead.", "deal.", "email.", "data."];
        let public = FIELDS
            .iter()
            .map(|field| field.path)
            .filter(|path| of_systems.iter().any(|root| path.starts_with(root)))
            .filter(|path| is_public(path))
            .count();
        assert_eq!(public, 13, "each of the list is a field");
        let text = |path: &str| shown(path, &Value::from("+55 11 98010-0001"));
        for private in [
            "form",
            "form.title",
            "form.answers.telefone",
            "form.answers['Seu telefone']",
            "form.hidden.email",
            "form.response_url",
            "lead",
            "lead.id",
            "lead.company",
            "lead.owner.email",
            "lead.fields['stage']",
            "lead.stage.x",
            "deal.title",
            "deal.owner.name",
            "deal.fields.origem",
            "email.from.address",
            "email.to",
            "email.subject",
            "email.snippet",
            "email.text",
            "email.labels[0]",
            "data",
            "data.id",
            "data.cliente.email",
            "data['lead.stage']",
        ] {
            assert_eq!(text(private), "set", "{private}");
            assert_eq!(shown(private, &Value::from(" ")), "blank", "{private}");
            assert_eq!(shown(private, &Value::UNDEFINED), "absent", "{private}");
        }
        assert_eq!(text("lead.stage"), "\"+55 11 98010-0001\"");
    }
}
