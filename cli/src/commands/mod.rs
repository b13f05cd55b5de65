//! One file a command.

pub mod channels;
pub mod check;
pub mod connect;
pub mod demo;
pub mod deploy;
pub mod dev;
pub mod doctor;
pub mod events;
pub mod forget;
pub mod init;
pub mod jobs;
pub mod pause;
pub mod push;
pub mod replay;
pub mod schema;
pub mod secrets;
pub mod send;
pub mod sign;
pub mod tail;
pub mod templates;
pub mod try_event;

use crate::args::{Cli, Command};
use crate::error::CliError;

/// How a command ended: its exit code, 0 where all is well.
pub type Outcome = Result<u8, CliError>;

/// Runs what was typed.
///
/// # Errors
/// One line and what to do.
pub async fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Dev(args) => dev::run(args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Init(args) => init::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Check(args) => check::run(&args).await,
        Command::Channels(args) => channels::run(&args).await,
        Command::Templates(args) => templates::run(&args).await,
        Command::Push(args) => push::run(&args).await,
        Command::Deploy(args) => deploy::run(&args).await,
        Command::Secrets(args) => secrets::run(&args).await,
        Command::Connect(args) => connect::run(&args).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Jobs(args) => jobs::run(&args).await,
        Command::Events(args) => events::run(&args).await,
        Command::Tail(args) => tail::run(&args).await,
        Command::Forget(args) => forget::run(&args).await,
        Command::Pause(target) => pause::pause(&target).await,
        Command::Resume(target) => pause::resume(&target).await,
        Command::Sign(args) => sign::run(&args),
        Command::Try(args) => try_event::run(&args),
        Command::Send(args) => send::run(&args).await,
        Command::Replay(args) => replay::run(&args).await,
    }
}
