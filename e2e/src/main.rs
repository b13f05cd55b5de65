//! `make e2e`: the real template and the real binaries, deployed by AWS SAM to MiniStack, a stand-in for
//! AWS on this machine. See README.md beside Cargo.toml.

#![expect(
    clippy::indexing_slicing,
    reason = "a field that a JSON value does not have reads as null"
)]

mod aws;
mod clinic;
mod elsewhere;
mod failure;
mod logs;
mod process;
mod scenarios;
mod shop;
mod stack;
mod talk;
mod tools;
mod wait;
mod wire;
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cli::output::say;

use crate::failure::{During as _, Failure, Outcome};
use crate::tools::Tools;
use crate::world::World;

/// How long all of it may take together, in minutes.
const LIMIT_MINUTES: u64 = 15;

#[tokio::main]
async fn main() -> ExitCode {
    let start = Instant::now();
    let outcome = tokio::select! {
        outcome = run() => outcome,
        () = tokio::time::sleep(Duration::from_secs(LIMIT_MINUTES * 60)) => {
            Err(Failure::new(format!("not done within {LIMIT_MINUTES} minutes")))
        }
        () = interrupted() => Err(Failure::new("interrupted")),
    };
    match outcome {
        Ok(()) => {
            say(format!("e2e passed in {} s", start.elapsed().as_secs()));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            say(format!("e2e FAILED: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Somebody wants this to end. What was started ends with the [`World`] that is dropped then.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut end) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = end.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn run() -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.during("the repository")?.to_owned();
    let logs = root.join("target/e2e");
    std::fs::create_dir_all(&logs).during(logs.display())?;
    // Goes last, after every process that writes into it.
    let scratch = tempfile::tempdir().during("a temporary folder")?;
    let tools = Tools {
        root,
        scratch: scratch.path().to_owned(),
        logs,
    };
    let folder = tools.logs.display().to_string();
    let world = step("deploy to MiniStack", World::start(tools)).await?;
    let shown = scenarios(&world).await;
    let kept = logs::keep(&world).await;
    shown.during(format_args!("logs are in {folder}"))?;
    kept
}

async fn scenarios(world: &World) -> Outcome {
    step("callbell secrets push", world.push_secrets(&world.secrets)).await?;
    step("callbell push", world.push(&world.automations)).await?;
    step(
        "a message, from the shop to Callbell",
        scenarios::a_message(world),
    )
    .await?;
    step(
        "Callbell tells that it was delivered",
        scenarios::a_delivery(world),
    )
    .await?;
    step("Callbell answers 503", scenarios::a_retry_waits(world)).await?;
    let reminder = step(
        "an appointment is moved",
        scenarios::a_moved_appointment(world),
    )
    .await?;
    step("a wrong signature", scenarios::a_wrong_signature(world)).await?;
    step(
        "a wrong path, a wrong signature and none, in Callbell's name",
        scenarios::a_forged_webhook(world),
    )
    .await?;
    step(
        "the chatbot answers two messages once",
        scenarios::a_conversation(world),
    )
    .await?;
    step(
        "a new contact, into HubSpot",
        scenarios::a_new_contact(world),
    )
    .await?;
    step(
        "a message that WhatsApp does not deliver, into Slack",
        scenarios::a_failed_message(world),
    )
    .await?;
    step(
        "a form, a CRM's message and one that has to be asked",
        scenarios::leads(world),
    )
    .await?;
    step("an ERP with a token of its own", scenarios::an_erp(world)).await?;
    step(
        "a door killed between store and answer",
        scenarios::a_killed_door(world),
    )
    .await?;
    step("a push without a deploy", scenarios::a_push(world)).await?;
    step("a rotated secret", scenarios::a_rotated_secret(world)).await?;
    step(
        "the minute sends what met 503",
        scenarios::a_retry_goes_out(world),
    )
    .await?;
    step(
        "the minute sends a reminder at its time",
        scenarios::a_reminder_goes_out(world, reminder),
    )
    .await?;
    step(
        "the minute finds what the stream lost",
        scenarios::a_lost_record(world),
    )
    .await?;
    step("metrics", scenarios::metrics(world)).await?;
    step("nothing was sent twice", async {
        scenarios::nothing_twice(world)
    })
    .await?;
    step(
        "every function asked MiniStack and the harness alone",
        async { world.cloud.ensure_loopback(&world.systems) },
    )
    .await?;
    step(
        "quiet logs, without a person or a secret",
        logs::ensure_quiet(world),
    )
    .await
}

/// Runs a step; says its name and how long it took.
async fn step<T>(name: &str, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let start = Instant::now();
    let outcome = work.await;
    let seconds = start.elapsed().as_secs_f32();
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    say(format!("{word:6} {seconds:6.1} s  {name}"));
    outcome.during(name)
}
