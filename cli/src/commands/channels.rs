//! `callbell channels`.

use serde_json::json;

use super::Outcome;
use crate::args::AccountArgs;
use crate::installation::local;
use crate::output::{self, Cell, say, table};

/// Lists the account's channels, each with the line to paste.
///
/// # Errors
/// The account cannot be asked.
pub async fn run(args: &AccountArgs) -> Outcome {
    let channels = local::account(args).await?.channels().await?;
    if args.json {
        let list: Vec<_> = channels
            .iter()
            .map(|channel| {
                json!({
                    "uuid": channel.uuid, "title": channel.title, "type": channel.kind,
                    "main": channel.main, "connected": channel.discarded_at.is_none(),
                })
            })
            .collect();
        output::json(&list)?;
        return Ok(0);
    }
    if channels.is_empty() {
        say("the account has no channel: connect one in Callbell's dashboard, Settings, Channels");
        return Ok(0);
    }
    let rows: Vec<Vec<Cell>> = channels
        .iter()
        .map(|channel| {
            let state = match (&channel.discarded_at, channel.main) {
                (Some(_), _) => "disconnected",
                (None, true) => "main",
                (None, false) => "",
            };
            vec![
                channel.uuid.clone().into(),
                channel.kind.clone().unwrap_or_default().into(),
                channel.title.clone().unwrap_or_default().into(),
                state.into(),
            ]
        })
        .collect();
    say(table(&["uuid", "kind", "title", ""], &rows).trim_end());
    if let Some(first) = channels
        .iter()
        .find(|channel| channel.discarded_at.is_none())
    {
        say(format!(
            "\nfor automations.toml:\n\n[channel.main]\nuuid = \"{}\"",
            first.uuid
        ));
    }
    Ok(0)
}
