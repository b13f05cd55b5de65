//! The language of `automations.toml`: types, checking, expressions, locales, times, planning.

pub mod context;
mod diagnostic;
pub mod expr;
pub mod fields;
pub mod filters;
mod format;
pub mod hours;
pub mod locale;
pub mod model;
mod names;
mod parse;
pub mod render;
pub mod spec;
mod syntax;
#[cfg(test)]
mod testing;
pub mod times;

pub use diagnostic::{Diagnostic, Severity, render};
pub use parse::parse;
