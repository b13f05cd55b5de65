//! The language of `automations.toml`: types, checking, expressions, locales, times, planning.

pub mod account;
mod asked;
mod check;
pub mod context;
mod diagnostic;
pub mod expr;
pub mod fields;
pub mod filters;
mod format;
pub mod hours;
pub mod locale;
pub mod model;
pub(crate) mod names;
mod parse;
pub mod posts;
mod reference;
pub mod render;
pub mod samples;
pub mod scaffold;
mod schema;
pub mod secrets;
pub mod spec;
mod syntax;
pub mod templates;
#[cfg(test)]
pub(crate) mod testing;
pub mod times;

pub use asked::step_names_contact;
pub use check::{Counts, Report, check, check_account};
pub use diagnostic::{Diagnostic, Severity, listing};
pub use parse::parse;
pub use reference::reference;
pub use schema::{schema, schema_text};
pub use syntax::{Said, names_contact};

/// Compares a generated text with the committed file, or writes it where `UPDATE` is set.
#[cfg(test)]
fn hold_to_file(path: &str, generated: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        std::fs::write(&path, generated).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not what the code generates: run with UPDATE=1",
        path.display()
    );
}
