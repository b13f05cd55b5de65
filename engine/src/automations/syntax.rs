//! What an expression or text names: fields, filters, tests, functions, each with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, CallType, CompareOpKind, Expr, Stmt};
use minijinja::machinery::{Span, Token, parse, parse_expr, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::{fields, model};

/// A field that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldUse {
    /// `order.items[].title`; an index is `[]`.
    pub(crate) path: String,
    /// Bytes of the string.
    pub(crate) span: Range<usize>,
    /// Goes into the text itself, with no `default` behind it and no `if` about it around it.
    pub(crate) printed: bool,
    /// An `if` around it asks about it, or about its first part.
    pub(crate) guarded: bool,
    /// Goes into the text itself, and these filters stand between, first one first. `None`: it is
    /// only asked or reckoned with.
    pub(crate) filters: Option<Vec<String>>,
}

/// A field and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathUse {
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
}

/// A field compared with a word in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordUse {
    pub(crate) path: String,
    pub(crate) word: String,
    pub(crate) span: Range<usize>,
}

/// A filter, test, function or method that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameUse {
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    /// The first argument, where it is a string in quotes.
    pub(crate) argument: Option<String>,
}

/// All that a string names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) fields: Vec<FieldUse>,
    pub(crate) words: Vec<WordUse>,
    /// Bare fields in `<`, `<=`, `>`, `>=`, and whether something before asks about them.
    pub(crate) orderings: Vec<(PathUse, bool)>,
    /// Fields that a `<` or its like sees through `| number`.
    pub(crate) numbers: BTreeSet<String>,
    /// Bare fields that a condition comes out as.
    pub(crate) results: Vec<PathUse>,
    pub(crate) filters: Vec<NameUse>,
    pub(crate) tests: Vec<NameUse>,
    pub(crate) functions: Vec<NameUse>,
    pub(crate) methods: Vec<NameUse>,
}

/// Why a string could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxProblem {
    /// In words.
    pub(crate) message: String,
    /// Line within the string, from 1.
    pub(crate) line: usize,
}

impl From<minijinja::Error> for SyntaxProblem {
    fn from(error: minijinja::Error) -> Self {
        let message = error
            .detail()
            .map_or_else(|| error.to_string(), str::to_owned);
        SyntaxProblem {
            message,
            line: error.line().unwrap_or(1),
        }
    }
}

/// Most words and signs of one expression, or of one pair of braces. The engine walks chains like
/// `a.b.c` by recursion, so that an endless one would end the process.
const TOKENS_MAX: usize = 400;

/// Most `{% %}` of one text: every `elif` is a level of the engine's recursion as well.
const STATEMENTS_MAX: usize = 200;

pub(super) fn short_enough(text: &str, in_expr: bool) -> Result<(), SyntaxProblem> {
    let (mut count, mut statements) = (0, 0);
    for token in tokenize(text, in_expr, SyntaxConfig::default()) {
        let (token, span) = token?;
        match token {
            Token::VariableStart => count = 0,
            Token::BlockStart => (count, statements) = (0, statements + 1),
            _ => count += 1,
        }
        let message = if count > TOKENS_MAX {
            format!("more than {TOKENS_MAX} words and signs: write it shorter, or as several")
        } else if statements > STATEMENTS_MAX {
            format!("more than {STATEMENTS_MAX} times {{% %}}: write it shorter, or as several")
        } else {
            continue;
        };
        return Err(SyntaxProblem {
            message,
            line: usize::from(span.start_line),
        });
    }
    Ok(())
}

/// Reads an expression without braces.
pub(crate) fn expression(text: &str) -> Result<Found, SyntaxProblem> {
    short_enough(text, true)?;
    let expr = parse_expr(text)?;
    let mut walk = Walk::default();
    walk.expr(&expr, &Place::Result);
    Ok(walk.found)
}

/// Reads a text with braces.
pub(crate) fn text(text: &str) -> Result<Found, SyntaxProblem> {
    short_enough(text, false)?;
    let stmt = parse(text, "<text>", SyntaxConfig::default())?;
    let mut walk = Walk::default();
    walk.stmt(&stmt);
    Ok(walk.found)
}

/// A string of the file, of either kind.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// Without braces.
    Expr(&'a model::Expr),
    /// With braces.
    Text(&'a model::Text),
}

impl<'a> From<&'a model::Expr> for Said<'a> {
    fn from(expr: &'a model::Expr) -> Self {
        Said::Expr(expr)
    }
}

impl<'a> From<&'a model::Text> for Said<'a> {
    fn from(text: &'a model::Text) -> Self {
        Said::Text(text)
    }
}

/// Whether something of `contact.*` or `conversation.*` is named: what events of other systems do not
/// bring, and Callbell has to be asked for.
pub fn names_contact<'a>(said: impl Into<Said<'a>>) -> bool {
    let found = match said.into() {
        Said::Expr(expr) => expression(&expr.0),
        Said::Text(text) => self::text(&text.0),
    };
    // A string that cannot be read names nothing.
    found.is_ok_and(|found| {
        let mut roots = found.fields.iter().map(|field| fields::root(&field.path));
        roots.any(fields::is_asked_for)
    })
}

/// Whether a text is plain: nothing in it is evaluated.
pub(crate) fn is_literal(text: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|brace| text.contains(brace))
}

/// Where an expression's value goes.
#[derive(Clone)]
enum Place {
    /// Into the text, through these filters, innermost last.
    Printed(Vec<String>),
    /// It is what the whole condition comes out as.
    Result,
    /// Anywhere else.
    Asked,
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Names that the text itself makes; a path where one is just another name for a field.
    scopes: Vec<BTreeMap<String, Option<String>>>,
    /// Paths that an enclosing `if`, or the left side of an `and`, asks about.
    guards: Vec<BTreeSet<String>>,
    /// Only the paths are wanted: guards within guards would double the work at each level.
    only_paths: bool,
}

/// What a chain of names leads to.
enum Chain {
    Field(String),
    Local,
    Other,
}

fn bytes(span: Span) -> Range<usize> {
    usize::try_from(span.start_offset).unwrap_or(0)..usize::try_from(span.end_offset).unwrap_or(0)
}

impl Walk {
    fn block(&mut self, body: &[Stmt<'_>]) {
        for stmt in body {
            self.stmt(stmt);
        }
    }

    fn scoped(&mut self, names: BTreeMap<String, Option<String>>, body: &[Stmt<'_>]) {
        self.scopes.push(names);
        self.block(body);
        self.scopes.pop();
    }

    fn printed(&mut self, expr: &Expr<'_>) {
        self.expr(expr, &Place::Printed(Vec::new()));
    }

    fn asked(&mut self, expr: &Expr<'_>) {
        self.expr(expr, &Place::Asked);
    }

    fn stmt(&mut self, stmt: &Stmt<'_>) {
        match stmt {
            Stmt::Template(template) => {
                self.scopes.push(BTreeMap::new());
                self.block(&template.children);
                self.scopes.pop();
            }
            Stmt::EmitExpr(emit) => self.printed(&emit.expr),
            Stmt::ForLoop(one) => self.for_loop(one),
            Stmt::IfCond(one) => {
                self.asked(&one.expr);
                self.guarded(&one.expr, |walk| walk.block(&one.true_body));
                self.guarded(&one.expr, |walk| walk.block(&one.false_body));
            }
            Stmt::WithBlock(one) => {
                let mut names = BTreeMap::new();
                for (target, value) in &one.assignments {
                    self.asked(value);
                    let path = self.alias(value);
                    bind(&mut names, target, path);
                }
                self.scoped(names, &one.body);
            }
            Stmt::Set(one) => {
                self.asked(&one.expr);
                let path = self.alias(&one.expr);
                let mut names = BTreeMap::new();
                bind(&mut names, &one.target, path);
                self.declare(names);
            }
            Stmt::SetBlock(one) => {
                if let Some(filter) = &one.filter {
                    self.asked(filter);
                }
                self.scoped(BTreeMap::new(), &one.body);
                let mut names = BTreeMap::new();
                bind(&mut names, &one.target, None);
                self.declare(names);
            }
            Stmt::AutoEscape(one) => self.block(&one.body),
            Stmt::FilterBlock(one) => {
                self.asked(&one.filter);
                self.block(&one.body);
            }
            Stmt::Do(one) => self.call(&one.call, bytes(one.call.span())),
            _ => {}
        }
    }

    fn for_loop(&mut self, one: &ast::ForLoop<'_>) {
        self.asked(&one.iter);
        let element = self.alias(&one.iter).map(|path| format!("{path}[]"));
        let mut names = BTreeMap::from([("loop".to_owned(), None)]);
        bind(&mut names, &one.target, element);
        self.scopes.push(names);
        if let Some(filter) = &one.filter_expr {
            self.asked(filter);
        }
        self.block(&one.body);
        self.scopes.pop();
        self.block(&one.else_body);
    }

    fn declare(&mut self, names: BTreeMap<String, Option<String>>) {
        match self.scopes.last_mut() {
            Some(scope) => scope.extend(names),
            None => self.scopes.push(names),
        }
    }

    /// Walks with the fields of `condition` taken as asked for.
    fn guarded(&mut self, condition: &Expr<'_>, walk: impl FnOnce(&mut Walk)) {
        if self.only_paths {
            return walk(self);
        }
        let mut inner = Walk {
            scopes: self.scopes.clone(),
            only_paths: true,
            ..Walk::default()
        };
        inner.asked(condition);
        self.guards.push(
            inner
                .found
                .fields
                .into_iter()
                .map(|field| field.path)
                .collect(),
        );
        walk(self);
        self.guards.pop();
    }

    /// The path that a name given to `expr` stands for.
    fn alias(&self, expr: &Expr<'_>) -> Option<String> {
        match self.chain(expr) {
            Chain::Field(path) => Some(path),
            Chain::Local | Chain::Other => None,
        }
    }

    fn chain(&self, expr: &Expr<'_>) -> Chain {
        let join = |base: &Expr<'_>, part: String| match self.chain(base) {
            Chain::Field(path) => Chain::Field(path + &part),
            other => other,
        };
        match expr {
            Expr::Var(var) => {
                let local = self.scopes.iter().rev().find_map(|scope| scope.get(var.id));
                match local {
                    Some(Some(path)) => Chain::Field(path.clone()),
                    Some(None) => Chain::Local,
                    None => Chain::Field(var.id.to_owned()),
                }
            }
            Expr::GetAttr(attr) => join(&attr.expr, format!(".{}", attr.name)),
            Expr::GetItem(item) => match &item.subscript_expr {
                Expr::Const(key) => match key.value.as_str() {
                    Some(name) => join(&item.expr, format!(".{name}")),
                    None => join(&item.expr, "[]".to_owned()),
                },
                _ => join(&item.expr, "[]".to_owned()),
            },
            _ => Chain::Other,
        }
    }

    fn field(&mut self, path: String, span: Range<usize>, place: &Place) {
        let filters = match place {
            Place::Printed(filters) => Some(filters.iter().rev().cloned().collect::<Vec<_>>()),
            Place::Result | Place::Asked => None,
        };
        if matches!(place, Place::Result) {
            self.found.results.push(PathUse {
                path: path.clone(),
                span: span.clone(),
            });
        }
        let defaulted = filters
            .iter()
            .flatten()
            .any(|name| name == "default" || name == "d");
        let asked = |name: &str| self.guards.iter().any(|guard| guard.contains(name));
        let printed = filters.is_some() && !defaulted && !asked(&path);
        let guarded = asked(&path) || asked(super::fields::root(&path));
        self.found.fields.push(FieldUse {
            path,
            span,
            printed,
            guarded,
            filters,
        });
    }

    fn expr(&mut self, expr: &Expr<'_>, place: &Place) {
        match self.chain(expr) {
            Chain::Field(path) => {
                self.field(path, bytes(expr.span()), place);
                return self.subscripts(expr);
            }
            Chain::Local => return self.subscripts(expr),
            Chain::Other => {}
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(one) => {
                self.expr(&one.expr, place);
                for part in [&one.start, &one.stop, &one.step].into_iter().flatten() {
                    self.asked(part);
                }
            }
            Expr::UnaryOp(one) => self.asked(&one.expr),
            Expr::BinOp(one) => self.binary(one, place),
            Expr::Compare(one) => self.compare(one),
            Expr::IfExpr(one) => {
                self.asked(&one.test_expr);
                self.guarded(&one.test_expr, |walk| {
                    walk.expr(&one.true_expr, place);
                    if let Some(other) = &one.false_expr {
                        walk.expr(other, place);
                    }
                });
            }
            Expr::Filter(one) => self.filter(one, bytes(expr.span()), place),
            Expr::Test(one) => {
                let argument = first_text(&one.args);
                self.found.tests.push(NameUse {
                    name: one.name.to_owned(),
                    span: bytes(expr.span()),
                    argument,
                });
                self.asked(&one.expr);
                self.arguments(&one.args);
            }
            Expr::GetAttr(one) => self.asked(&one.expr),
            Expr::GetItem(one) => {
                self.asked(&one.expr);
                self.asked(&one.subscript_expr);
            }
            Expr::Call(one) => self.call(one, bytes(one.span())),
            Expr::List(one) => self.all(&one.items),
            Expr::Tuple(one) => self.all(&one.items),
            Expr::Map(one) => {
                self.all(&one.keys);
                self.all(&one.values);
            }
        }
    }

    fn filter(&mut self, one: &ast::Filter<'_>, span: Range<usize>, place: &Place) {
        self.found.filters.push(NameUse {
            name: one.name.to_owned(),
            span,
            argument: first_text(&one.args),
        });
        self.arguments(&one.args);
        let Some(inner) = &one.expr else { return };
        let place = match place {
            Place::Printed(outer) => {
                let mut filters = outer.clone();
                filters.push(one.name.to_owned());
                Place::Printed(filters)
            }
            Place::Result if one.name == "default" => Place::Result,
            Place::Result | Place::Asked => Place::Asked,
        };
        self.expr(inner, &place);
    }

    fn all(&mut self, items: &[Expr<'_>]) {
        for item in items {
            self.asked(item);
        }
    }

    /// Indexes that are expressions themselves.
    fn subscripts(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::GetAttr(one) => self.subscripts(&one.expr),
            Expr::GetItem(one) => {
                self.subscripts(&one.expr);
                self.asked(&one.subscript_expr);
            }
            _ => {}
        }
    }

    fn binary(&mut self, one: &ast::BinOp<'_>, place: &Place) {
        match one.op {
            BinOpKind::ScAnd => {
                self.asked(&one.left);
                self.guarded(&one.left, |walk| walk.expr(&one.right, place));
            }
            BinOpKind::ScOr => {
                // `a or 'b'` is a default of its own.
                let is_text = matches!(place, Place::Printed(_));
                match is_text {
                    true => self.guarded(&one.left, |walk| walk.expr(&one.left, place)),
                    false => self.expr(&one.left, place),
                }
                self.guarded(&one.left, |walk| walk.expr(&one.right, place));
            }
            BinOpKind::Concat if matches!(place, Place::Printed(_)) => {
                self.expr(&one.left, place);
                self.expr(&one.right, place);
            }
            _ => {
                if matches!(one.op, BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In) {
                    self.words(&one.left, &one.right);
                }
                if matches!(
                    one.op,
                    BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte
                ) {
                    self.ordering(&one.left);
                    self.ordering(&one.right);
                }
                self.asked(&one.left);
                self.asked(&one.right);
            }
        }
    }

    /// Notes the field that `| number` stands behind.
    fn number(&mut self, filter: &ast::Filter<'_>) {
        match &filter.expr {
            Some(Expr::Filter(inner)) if filter.name != "number" => self.number(inner),
            Some(inner) if filter.name == "number" => {
                if let Chain::Field(path) = self.chain(inner) {
                    self.found.numbers.insert(path);
                }
            }
            _ => {}
        }
    }

    /// One side of `<` and its like, where it is a bare field.
    fn ordering(&mut self, side: &Expr<'_>) {
        if let Expr::Filter(filter) = side {
            return self.number(filter);
        }
        let Chain::Field(path) = self.chain(side) else {
            return;
        };
        let asked_before = self.guards.iter().any(|guard| guard.contains(&path));
        let span = bytes(side.span());
        let one = PathUse { path, span };
        self.found.orderings.push((one, asked_before));
    }

    fn compare(&mut self, one: &ast::Compare<'_>) {
        let mut left = &one.expr;
        self.asked(left);
        for op in &one.ops {
            if matches!(
                op.op,
                CompareOpKind::Eq | CompareOpKind::Ne | CompareOpKind::In | CompareOpKind::NotIn
            ) {
                self.words(left, &op.expr);
            }
            self.asked(&op.expr);
            left = &op.expr;
        }
    }

    fn words(&mut self, left: &Expr<'_>, right: &Expr<'_>) {
        for (field, other) in [(left, right), (right, left)] {
            let Chain::Field(path) = self.chain(field) else {
                continue;
            };
            let items: &[Expr<'_>] = match other {
                Expr::List(list) => &list.items,
                Expr::Tuple(tuple) => &tuple.items,
                single => std::slice::from_ref(single),
            };
            for item in items {
                if let Expr::Const(constant) = item
                    && let Some(word) = constant.value.as_str()
                {
                    let span = bytes(item.span());
                    self.found.words.push(WordUse {
                        path: path.clone(),
                        word: word.to_owned(),
                        span,
                    });
                }
            }
        }
    }

    fn call(&mut self, one: &ast::Call<'_>, span: Range<usize>) {
        let argument = first_text(&one.args);
        match one.identify_call() {
            CallType::Function(name) => {
                self.found.functions.push(NameUse {
                    name: name.to_owned(),
                    span,
                    argument,
                });
            }
            CallType::Method(object, name) => {
                self.found.methods.push(NameUse {
                    name: name.to_owned(),
                    span,
                    argument,
                });
                self.asked(object);
            }
            CallType::Object(object) => self.asked(object),
        }
        self.arguments(&one.args);
    }

    fn arguments(&mut self, args: &[CallArg<'_>]) {
        for arg in args {
            match arg {
                CallArg::Pos(expr)
                | CallArg::Kwarg(_, expr)
                | CallArg::PosSplat(expr)
                | CallArg::KwargSplat(expr) => {
                    self.asked(expr);
                }
            }
        }
    }
}

fn bind(names: &mut BTreeMap<String, Option<String>>, target: &Expr<'_>, path: Option<String>) {
    match target {
        Expr::Var(var) => {
            names.insert(var.id.to_owned(), path);
        }
        Expr::List(list) => list.items.iter().for_each(|item| bind(names, item, None)),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| bind(names, item, None)),
        _ => {}
    }
}

fn first_text(args: &[CallArg<'_>]) -> Option<String> {
    match args.first() {
        Some(CallArg::Pos(Expr::Const(constant))) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(found: &Found) -> Vec<&str> {
        found
            .fields
            .iter()
            .map(|field| field.path.as_str())
            .collect()
    }

    #[test]
    fn fields_have_their_places() {
        let source = "order.totl > 100 and customer['name'] == 'x'";
        let found = expression(source).expect("an expression");
        let texts: Vec<&str> = found
            .fields
            .iter()
            .map(|field| &source[field.span.clone()])
            .collect();
        assert_eq!(texts, ["order.totl", "customer['name']"]);
        assert_eq!(paths(&found), ["order.totl", "customer.name"]);
        assert_eq!(found.words.len(), 1);
    }

    #[test]
    fn long_chains_take_no_time() {
        for part in [" or x", " and x", " if x else x"] {
            let long = format!("order.test{}", part.repeat(90));
            assert!(expression(&long).is_ok(), "{part}");
            assert!(text(&format!("{{{{ {long} }}}}")).is_ok(), "{part}");
        }
    }

    #[test]
    fn conditions_come_out_as_their_last_parts() {
        let results = |source: &str| {
            let found = expression(source).expect("an expression");
            found
                .results
                .into_iter()
                .map(|one| one.path)
                .collect::<Vec<_>>()
        };
        assert_eq!(results("a.x and b.x"), ["b.x"]);
        assert_eq!(results("a.x or b.x | default(c.x)"), ["a.x", "b.x"]);
        assert_eq!(results("a.x if b.x else c.x"), ["a.x", "c.x"]);
        assert!(
            results("not a.x and b.x == c.x and d.x is present and e.x | length > 1").is_empty()
        );
    }

    #[test]
    fn orderings_know_what_was_asked_before() {
        let orderings = |source: &str| {
            let found = expression(source).expect("an expression");
            found
                .orderings
                .into_iter()
                .map(|(one, asked)| (one.path, asked))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            orderings("a.x > 1 and a.x is present"),
            [("a.x".to_owned(), false)]
        );
        assert_eq!(
            orderings("a.x is present and a.x > 1"),
            [("a.x".to_owned(), true)]
        );
        assert_eq!(
            orderings("a.x is blank or a.x > 1"),
            [("a.x".to_owned(), true)]
        );
        assert!(orderings("a.x | number > 1").is_empty());
    }

    #[test]
    fn endless_chains_are_refused() {
        for part in [".x", " + 1", "|upper", "[0]", " or x", " and x"] {
            let long = format!("order{}", part.repeat(100_000));
            assert!(expression(&long).is_err(), "{part}");
            assert!(text(&format!("{{{{ {long} }}}}")).is_err(), "{part}");
        }
        assert!(expression(&"(".repeat(100_000)).is_err());
        assert!(expression(&"not ".repeat(100_000)).is_err());
        assert!(text(&"{% if order.test %}".repeat(10_000)).is_err());
        assert!(text(&"x {{ order.number }}".repeat(1_000)).is_ok());
    }

    #[test]
    fn loops_and_names_lead_to_their_fields() {
        let found = text(
            "{% set o = order %}{% for item in o.items %}{{ item.title }}{{ loop.index }}{% endfor %}{{ item }}",
        );
        assert_eq!(
            paths(&found.expect("a text")),
            ["order", "order.items", "order.items[].title", "item"]
        );
    }

    #[test]
    fn printed_means_without_default_or_if() {
        let printed = |source: &str| {
            let found = text(source).expect("a text");
            found.fields.iter().any(|field| field.printed)
        };
        assert!(printed("{{ shipment.company }}"));
        assert!(printed("{{ shipment.company | upper }}"));
        assert!(!printed("{{ shipment.company | default('-') | upper }}"));
        assert!(!printed(
            "{% if shipment.company %}{{ shipment.company }}{% endif %}"
        ));
        assert!(!printed(
            "{{ shipment.company if shipment.company else '-' }}"
        ));
        assert!(!printed("{{ shipment.company or '-' }}"));
        assert!(printed("{{ 'a' ~ shipment.company }}"));
    }

    #[test]
    fn filters_functions_and_tests_are_named() {
        let source = "{% if is_open('loja') and x is present %}{{ x | money('BRL') }}{{ x.upper() }}{% endif %}";
        let found = text(source).expect("a text");
        assert_eq!(found.functions[0].argument.as_deref(), Some("loja"));
        assert_eq!(found.tests[0].name, "present");
        assert_eq!(found.filters[0].argument.as_deref(), Some("BRL"));
        assert_eq!(found.methods[0].name, "upper");
    }
}
