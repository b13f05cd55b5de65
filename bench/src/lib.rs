//! The functions' release binaries, driven through the Lambda runtime API on this machine and measured beside
//! two handlers with nothing of ours in them. See docs/bench.md.

pub mod backlog;
pub mod counts;
pub mod error;
pub mod figures;
pub mod http;
pub mod process;
pub mod report;
pub mod runtime_api;
pub mod single;
pub mod webhook;
pub mod wire;
pub mod world;
