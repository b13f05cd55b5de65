//! The command `callbell`: develop, check, try, deploy and operate an installation of
//! callbell-serverless.

pub mod args;
pub mod commands;
pub mod dev;
pub mod error;
pub mod net;
pub mod project;
pub mod span;
pub mod standin;
