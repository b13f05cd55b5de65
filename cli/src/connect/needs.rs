//! What the automations need of a provider.

use engine::automations::model::{Automation, Automations};
use shared::event::Name;

use super::{Kind, Topic};

/// An event that an automation waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which.
    pub event: Name,
    /// The automation's name.
    pub automation: String,
    /// The line of its table.
    pub line: usize,
}

/// What the automations of a file wait for from one connection, in the file's order.
pub fn needs(automations: &Automations, text: &str, name: &str, kind: Kind) -> Vec<Need> {
    let mut found = Vec::new();
    for (automation, table) in &automations.automations {
        if !is_meant(table, name, kind) {
            continue;
        }
        for event in table.on.iter().chain(&table.stop_on) {
            let need = Need {
                event: *event,
                automation: automation.clone(),
                line: line_of(text, automation),
            };
            let mut topics = kind.topics().iter();
            // What no topic brings is another source's; the checker refuses it where this one is named.
            let comes = topics.any(|topic| topic.events.contains(event));
            if comes && !found.contains(&need) {
                found.push(need);
            }
        }
    }
    found.sort_by(|a, b| (a.line, a.event.as_str()).cmp(&(b.line, b.event.as_str())));
    found
}

fn is_meant(table: &Automation, name: &str, kind: Kind) -> bool {
    table.source.is_empty()
        || table
            .source
            .iter()
            .any(|source| source == name || source == kind.as_str())
}

/// The line of `[automation.x]`, from 1.
fn line_of(text: &str, automation: &str) -> usize {
    let heads = [
        format!("[automation.{automation}]"),
        format!("[automation.\"{automation}\"]"),
    ];
    text.lines()
        .position(|line| heads.iter().any(|head| line.trim_start().starts_with(head)))
        .map_or(0, |index| index + 1)
}

/// The topics to register: those that are always needed, and those that bring what is waited for.
pub fn wanted(kind: Kind, needs: &[Need]) -> Vec<&'static str> {
    let is_wanted = |topic: &&Topic| {
        topic.always || needs.iter().any(|need| topic.events.contains(&need.event))
    };
    kind.topics()
        .iter()
        .filter(is_wanted)
        .map(|topic| topic.name)
        .collect()
}

/// What is waited for and does not come: no topic that brings it is registered.
pub fn unmet<'a>(kind: Kind, needs: &'a [Need], registered: &[String]) -> Vec<&'a Need> {
    let comes = |need: &Need| {
        let mut topics = kind.topics().iter();
        topics.any(|topic| {
            topic.events.contains(&need.event) && registered.iter().any(|name| name == topic.name)
        })
    };
    needs.iter().filter(|need| !comes(need)).collect()
}
