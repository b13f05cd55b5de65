//! The command `callbell`: develop, check, try, deploy and operate an installation of
//! callbell-serverless.

pub mod args;
pub mod ask;
pub mod aws;
pub mod commands;
pub mod connect;
pub mod dev;
pub mod edit;
pub mod error;
pub mod installation;
pub mod lists;
pub mod net;
pub mod output;
pub mod project;
pub mod span;
pub mod standin;
