//! The workers of callbell-serverless: the automations language, planning, delivery, the Callbell
//! client. No door depends on this crate.

pub mod actions;
pub mod apis;
pub mod automations;
pub mod callbell;
pub mod chat;
pub mod delivery;
pub mod fetch;
pub mod http;
pub mod phone;
pub mod plan;
