//! The command `callbell`: develop, check, try, deploy and operate an installation of
//! callbell-serverless.

pub mod dev;
pub mod net;
pub mod span;
pub mod standin;
