//! The workers of callbell-serverless: the automations language, planning, delivery, the Callbell
//! client. No door depends on this crate.

pub mod actions;
pub mod automations;
pub mod callbell;
pub mod delivery;
pub mod phone;
pub mod plan;
