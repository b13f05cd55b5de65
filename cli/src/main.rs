//! The command `callbell`.

use std::process::ExitCode;

use clap::Parser as _;
use cli::args::Cli;
use owo_colors::OwoColorize as _;

#[tokio::main]
async fn main() -> ExitCode {
    // On the heap: a command holds whatever it asks.
    match Box::pin(cli::commands::run(Cli::parse())).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("{} {error}", "error:".red().bold());
            if let Some(todo) = error.todo() {
                anstream::eprintln!("  {todo}");
            }
            ExitCode::FAILURE
        }
    }
}
