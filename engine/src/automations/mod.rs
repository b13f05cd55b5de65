//! The language of `automations.toml`: types, checking, expressions, locales, times, planning.

mod diagnostic;
pub mod fields;
pub mod model;
mod parse;
pub mod spec;
mod syntax;

pub use diagnostic::{Diagnostic, Severity, render};
pub use parse::parse;
