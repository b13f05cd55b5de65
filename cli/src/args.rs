//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Callbell, connected with the rest of the business.
#[derive(Debug, Parser)]
#[command(name = "callbell", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole installation on this machine, with a stand-in for Callbell
    Dev(DevArgs),
}

/// `callbell dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Where to listen, on 127.0.0.1
    #[arg(long, default_value_t = crate::dev::PORT)]
    pub port: u16,
    /// Folder that keeps table, messages and clock across restarts; without it nothing is kept
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The automations, pushed at start and whenever they change [default: automations.toml, else examples/shop.toml]
    #[arg(long, value_name = "FILE")]
    pub automations: Option<PathBuf>,
    /// Secrets of your own, instead of the demo values
    #[arg(long, value_name = "FILE")]
    pub secrets: Option<PathBuf>,
}
