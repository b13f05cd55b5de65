//! The language of `automations.toml`: types, checking, expressions, locales, times, planning.

pub mod model;
