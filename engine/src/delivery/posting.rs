//! From a post of a system of the user's own to the events that its `[source.x]` says it is: each is stored as
//! one like any other, which the stream brings back; then the post's row says what came of it. A crash in between
//! repeats that: an event that is there already is not stored again.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use shared::event::Event;
use shared::store::{EventRow, JobId, Line, Planned, Put, StoreError};

use super::config::Configured;
use super::{Run, Worker, log};
use crate::plan::custom;

/// Events that are stored at once.
const WRITES_AT_ONCE: usize = 10;
/// Most keys, and most problems, of one post that its record names; the others are counted.
const NAMED_MAX: usize = 10;
/// What stands in the place of an automation's name in the lines of a post.
const READ: &str = "(read)";

/// What became of one event of a post.
enum Stored {
    New,
    Known,
    /// It does not fit into a row, though the post did.
    TooLarge,
}

impl Worker {
    /// Carries out one `custom.posted` event.
    pub(super) async fn read_post(
        &self,
        row: &EventRow,
        posted: &Event,
        configured: &Configured,
        run: &Run,
    ) -> Result<Vec<JobId>, StoreError> {
        let automations = &configured.automations;
        let custom::Read { events, problems } = custom::read(posted, automations);
        // What a person's system posted is theirs, until it goes, also where it made no event.
        let digests = custom::digests(posted, automations);
        let stored: Vec<(Stored, String)> = stream::iter(events)
            .map(|event| self.store_posted(row, event))
            .buffered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        let planned = Planned {
            lines: lines(&stored, &problems),
            digests,
            ..Planned::default()
        };
        self.store.finish_planning(&row.key, &planned).await?;
        log::read(row, &planned, self.store.clock().now());
        run.report(|report| {
            report.events_planned = report.events_planned.saturating_add(1);
        });
        Ok(Vec::new())
    }

    async fn store_posted(
        &self,
        row: &EventRow,
        event: Event,
    ) -> Result<(Stored, String), StoreError> {
        let key = event.event.id.clone();
        let stored = match self.store.put_event(event.clone()).await {
            Ok(Put::New) => Stored::New,
            Ok(Put::Duplicate) => Stored::Known,
            Err(error @ StoreError::TooLarge { .. }) => {
                log::failed_event(&key, &error);
                return Ok((Stored::TooLarge, key));
            }
            Err(error) => return Err(error),
        };
        log::found(row, &event, matches!(stored, Stored::New));
        Ok((stored, key))
    }
}

/// What a post's record says: `1 custom.received: erp/custom/4711/nota_emitida`, and why the rest is none.
fn lines(stored: &[(Stored, String)], problems: &[String]) -> Vec<Line> {
    let line = |matched: bool, why: String| Line {
        automation: READ.to_owned(),
        matched,
        why,
    };
    let of = |wanted: fn(&Stored) -> bool| -> Vec<&str> {
        let all = stored.iter().filter(|(stored, _)| wanted(stored));
        all.map(|(_, key)| key.as_str()).collect()
    };
    let groups = [
        (
            "custom.received",
            true,
            of(|one| matches!(one, Stored::New)),
        ),
        (
            "known already",
            true,
            of(|one| matches!(one, Stored::Known)),
        ),
        (
            "too large to be kept",
            false,
            of(|one| matches!(one, Stored::TooLarge)),
        ),
    ];
    let counted = groups
        .into_iter()
        .filter(|(_, _, keys)| !keys.is_empty())
        .map(|(what, matched, keys)| {
            let why = format!("{} {what}: {}", keys.len(), shortened(&keys, ", "));
            line(matched, why)
        });
    let more = problems.len().saturating_sub(NAMED_MAX);
    let named = problems.iter().take(NAMED_MAX).cloned();
    let rest = (more > 0).then(|| format!("and {more} more"));
    let problems = named.chain(rest).map(|why| line(false, why));
    counted.chain(problems).collect()
}

fn shortened(keys: &[&str], between: &str) -> String {
    let named: Vec<&str> = keys.iter().take(NAMED_MAX).copied().collect();
    let more = keys.len().saturating_sub(NAMED_MAX);
    match more {
        0 => named.join(between),
        _ => format!("{} and {more} more", named.join(between)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(stored: &[(Stored, String)], problems: &[&str]) -> Vec<(bool, String)> {
        let problems: Vec<String> = problems.iter().map(|&one| one.to_owned()).collect();
        let lines = lines(stored, &problems).into_iter();
        lines.map(|line| (line.matched, line.why)).collect()
    }

    #[test]
    fn a_record_names_what_was_made_and_what_was_not() {
        let new = |key: &str| (Stored::New, key.to_owned());
        assert_eq!(
            said(&[new("erp/custom/1")], &[]),
            [(true, "1 custom.received: erp/custom/1".to_owned())]
        );
        let mixed = [
            new("a"),
            (Stored::Known, "b".to_owned()),
            new("c"),
            (Stored::TooLarge, "d".to_owned()),
        ];
        let expected = [
            (true, "2 custom.received: a, c"),
            (true, "1 known already: b"),
            (false, "1 too large to be kept: d"),
            (false, "element 5: key: data.id is absent"),
        ];
        let expected = expected.map(|(matched, why)| (matched, why.to_owned()));
        assert_eq!(
            said(&mixed, &["element 5: key: data.id is absent"]),
            expected
        );
    }

    #[test]
    fn a_record_is_no_longer_than_a_page() {
        let many: Vec<(Stored, String)> = (0..100)
            .map(|index| (Stored::New, index.to_string()))
            .collect();
        let problems = vec!["x"; 30];
        let lines = said(&many, &problems);
        assert_eq!(
            lines[0].1,
            "100 custom.received: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 90 more"
        );
        assert_eq!(lines.len(), 1 + NAMED_MAX + 1);
        assert_eq!(lines[11].1, "and 20 more");
    }
}
