//! The command `callbell`: develop, check, try, deploy and operate an installation of
//! callbell-serverless.

pub mod net;
pub mod standin;
