//! The expressions of a `[source.x]` of the kind `webhook`, which see the posted body alone.

use shared::event::Name;

use super::super::expr::{self, EvalError};
use super::super::fields;
use super::super::model::Expr;
use super::super::syntax::{self, Found};
use super::Checker;
use super::strings::Subject;

/// The one root that there is before the event is made.
const DATA: &str = "data";

impl Checker<'_> {
    pub(super) fn posts(&mut self) {
        let file = self.file;
        for (name, source) in &file.sources {
            for (key, expr) in source.posts.iter().flat_map(|posts| posts.all()) {
                self.of_body(
                    &format!("source.{name}.{key}"),
                    &format!("{key} of {name}"),
                    expr,
                );
            }
        }
    }

    fn of_body(&mut self, path: &str, label: &str, expr: &Expr) {
        let Ok(found) = syntax::expression(&expr.0) else {
            return;
        };
        let subject = Subject {
            path,
            label,
            events: &[Name::CustomReceived],
            asked_once: true,
            to_customer: false,
        };
        if !self.of_data(&subject, &found) || !self.names(&subject, &found) {
            return;
        }
        self.fails_always(&subject, expr, &found);
    }

    /// Reports whatever is not in the body. `false`: there is something.
    fn of_data(&mut self, subject: &Subject<'_>, found: &Found) -> bool {
        let before = self.diagnostics.len();
        let (path, label) = (subject.path, subject.label);
        for field in &found.fields {
            let root = fields::root(&field.path);
            if root == DATA {
                continue;
            }
            let span = self.inside(path, &field.span);
            // A field of the body without the word before it is the likely mistake.
            let known = fields::has_root(Name::CustomReceived, root);
            let message = match known {
                true => format!(
                    "{label}: {root} is not there before the event is made: it sees data alone, the body as posted"
                ),
                false => format!(
                    "{label}: {} is no field: it sees data alone, the body as posted: data.{}",
                    field.path, field.path
                ),
            };
            self.error(&span, message);
        }
        if found.fields.is_empty() {
            let span = self.site(path);
            self.error(
                &span,
                format!("{label} names no field of data: it would always come out the same"),
            );
        }
        self.diagnostics.len() == before
    }

    /// Nobody knows what a body holds: only what fails whatever it holds is a mistake.
    fn fails_always(&mut self, subject: &Subject<'_>, expr: &Expr, found: &Found) {
        let free = Checker::free_paths(found);
        let mut why = None;
        for (_, kind, sample) in self.samples(subject, &free) {
            let scope = self.scope(&sample, kind, &free, true).over_data();
            match expr::eval_value(expr, &scope) {
                Err(error @ (EvalError::Syntax { .. } | EvalError::Failed(_))) => {
                    why.get_or_insert(error.to_string());
                }
                Ok(_) | Err(_) => return,
            }
        }
        if let Some(why) = why {
            let span = self.site(subject.path);
            self.error(&span, format!("{}: {why}", subject.label));
        }
    }
}
