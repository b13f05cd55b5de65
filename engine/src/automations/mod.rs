//! The language of `automations.toml`: types, checking, expressions, locales, times, planning.

pub mod context;
pub mod expr;
pub mod filters;
mod format;
pub mod hours;
pub mod locale;
pub mod model;
mod names;
pub mod times;
#[cfg(test)]
mod testing;
