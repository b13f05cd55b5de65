//! `callbell send`: one message, to see it on a phone.

use std::time::{Duration, Instant};

use engine::actions::message::{Envelope, Recipient, request};
use engine::automations::context::Scope;
use engine::automations::locale::{Home, default_channel};
use engine::automations::model::{Automations, ChannelKind, Message};
use engine::automations::render::{self, Occasion, Rendered};
use engine::automations::samples;
use engine::automations::templates::Templates;
use engine::callbell::{Callbell, Outcome as Sent};
use engine::phone::{self, Phone};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde_json::json;
use shared::clock::Clock;
use shared::event::Name;

use super::Outcome;
use crate::args::SendArgs;
use crate::error::CliError;
use crate::installation::local;
use crate::output::{self, say};
use crate::project::Files;

/// How long the message is followed, in seconds.
const FOLLOW_SECONDS: u64 = 20;
/// How often Callbell is asked what became of it, in milliseconds.
const ASK_EVERY_MS: u64 = 1_000;

/// Sends, and follows the message until it is delivered.
///
/// # Errors
/// The message cannot be made, or Callbell does not take it.
pub async fn run(args: &SendArgs) -> Outcome {
    let files = Files::read(&args.automations)?;
    let now = Clock::system().now();
    let report = files.check(now);
    let Some(automations) = report.automations else {
        super::check::print(&args.automations.display().to_string(), &report);
        return Err(CliError::new("nothing can be sent before that is mended"));
    };
    let message = automations.messages.get(&args.message).ok_or_else(|| {
        let names: Vec<&str> = automations.messages.keys().map(String::as_str).collect();
        CliError::new(format!(
            "there is no [message.{}]; there are: {}",
            args.message,
            names.join(", ")
        ))
    })?;
    let to = recipient(&automations, &args.to)?;
    let channel_name = default_channel(&automations).ok_or_else(|| {
        CliError::new("there is no [channel.x] to send from").hint("callbell channels")
    })?;
    let channel = automations
        .channels
        .get(channel_name)
        .ok_or_else(|| CliError::new(format!("there is no [channel.{channel_name}]")))?;
    let rendered = render(args, &automations, message, &files.templates(), &to, now)?;
    let text = rendered.letter.sentence.clone();
    let callbell = local::account(&args.account).await?;
    let team_uuid = team(&callbell, message).await?;
    let envelope = Envelope {
        to: &Recipient::Phone(to.clone()),
        channel,
        assign: message.assign.as_deref(),
        team_uuid: team_uuid.as_deref(),
        bot: message.bot,
        job: "callbell-send",
    };
    let uuid = accepted(callbell.send(&request(rendered.letter, &envelope)).await)?;
    let (status, seconds) = follow(&callbell, &uuid, args.account.json).await?;
    if args.account.json {
        output::json(
            &json!({ "uuid": uuid, "status": status, "text": text, "locale": rendered.locale }),
        )?;
        return Ok(u8::from(status == "failed"));
    }
    say(format!(
        "to {}, {}: {}",
        phone::mask(&to.e164),
        rendered.locale,
        text.unwrap_or_default()
    ));
    say(match status.as_str() {
        "enqueued" => format!("enqueued … nothing more after {seconds} s ({uuid})"),
        status => format!("enqueued … {status} after {seconds} s ({uuid})"),
    });
    Ok(u8::from(status == "failed"))
}

/// Callbell's number of the message's team.
async fn team(callbell: &Callbell, message: &Message) -> Result<Option<String>, CliError> {
    let Some(name) = &message.team else {
        return Ok(None);
    };
    let teams = callbell.teams().await?;
    let found = teams.into_iter().find(|team| team.name == *name);
    let missing = || CliError::new(format!("Callbell has no team \"{name}\""));
    Ok(Some(found.ok_or_else(missing)?.uuid))
}

/// The message's number, or what became of the request instead.
fn accepted(outcome: Sent) -> Result<String, CliError> {
    Err(match outcome {
        Sent::Sent { uuid } => return Ok(uuid),
        Sent::NotSent { reason } => CliError::new(format!("not sent: {reason}")),
        Sent::Refused { status, reason } => CliError::new(format!("Callbell {status}: {reason}")),
        Sent::Unknown { reason } => CliError::new(format!("perhaps sent: {reason}"))
            .hint("look at the phone before sending again"),
        Sent::Held(hold) => CliError::new(hold.to_string()),
        Sent::Limited { .. } => CliError::new("Callbell takes no more requests at the moment"),
    })
}

/// The number, which `only_to` has to allow.
fn recipient(automations: &Automations, text: &str) -> Result<Phone, CliError> {
    let to = phone::read(text, automations.defaults.country.as_deref()).map_err(|refusal| {
        CliError::new(format!("--to {refusal}"))
            .hint("write it with its country code: +5511987654321")
    })?;
    let allowed = automations.defaults.only_to.as_ref().is_none_or(|list| {
        list.iter()
            .any(|number| phone::identity(number) == to.identity)
    });
    if allowed {
        return Ok(to);
    }
    Err(CliError::new("that number is not in only_to").hint(
        "[defaults] only_to lists the only numbers that get messages: add it, or delete the line",
    ))
}

/// The message for a full sample of the event that it is used on.
fn render(
    args: &SendArgs,
    automations: &Automations,
    message: &Message,
    templates: &Templates,
    to: &Phone,
    now: Timestamp,
) -> Result<Rendered, CliError> {
    let key = format!("message.{}", args.message);
    let used = automations
        .automations
        .values()
        .find(|automation| automation.steps.iter().any(|step| step.action.key() == key));
    let name = used
        .and_then(|automation| automation.on.first())
        .copied()
        .unwrap_or(Name::OrderPaid);
    let mut event = samples::sample(name, samples::Kind::Full, now, []);
    event.customer.phone = Some(to.e164.clone());
    event.customer.country = Some(to.country.clone());
    event.customer.locale = args.locale.clone();
    let home = Home::of(automations, &event, None);
    let scope = Scope::new(automations, &home, &event).at(now);
    let kind = default_channel(automations).and_then(|name| automations.channels.get(name));
    let occasion = Occasion {
        automations,
        automation: used.filter(|_| args.locale.is_none()),
        home: &home,
        event: &event,
        scope: &scope,
        // Whether the 24 hours are open is not known here: on WhatsApp the template is the safe form.
        window_open: message.template.is_none()
            || kind.is_some_and(|channel| channel.kind != ChannelKind::Whatsapp),
    };
    let fill = |uuid: &str, values: &[String]| {
        let template = templates
            .get(uuid)
            .filter(|template| !template.text.is_empty());
        template.map(|template| template.fill(values))
    };
    render::message(message, &occasion, &fill).map_err(|unfit| CliError::new(unfit.to_string()))
}

/// Asks what became of the message until it is delivered, or failed, or the patience ends.
async fn follow(callbell: &Callbell, uuid: &str, quiet: bool) -> Result<(String, u64), CliError> {
    let started = Instant::now();
    let bar = if quiet {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner()
    };
    bar.set_message("enqueued …");
    let mut status = "enqueued".to_owned();
    while started.elapsed() < Duration::from_secs(FOLLOW_SECONDS) {
        bar.tick();
        if let Ok(Some(message)) = callbell.message_status(uuid).await {
            status = message.status;
        }
        bar.set_message(format!("{status} …"));
        if matches!(
            status.as_str(),
            "delivered" | "read" | "failed" | "mismatch" | "deleted"
        ) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(ASK_EVERY_MS)).await;
    }
    bar.finish_and_clear();
    Ok((status, started.elapsed().as_secs()))
}
