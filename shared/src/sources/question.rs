//! What a webhook that does not say everything leaves for the worker: the question what changed.

use jiff::Timestamp;

use crate::event::{Body, Changed, Customer, Event, FreeMap, Head, Name, Subject, SubjectKind};

/// The `source.changed` event `{connection}/source/{what}`, about no account and nobody. Only the source's own
/// files read `about`.
pub(super) fn question(
    connection: &str,
    kind: &str,
    what: &str,
    at: Timestamp,
    about: FreeMap,
) -> Event {
    Event {
        event: Head {
            name: Name::SourceChanged,
            source: connection.to_owned(),
            kind: kind.to_owned(),
            account: None,
            id: format!("{connection}/source/{what}"),
            at,
            test: false,
            depth: 0,
            notes: Vec::new(),
        },
        customer: Customer::default(),
        subject: Subject::new(SubjectKind::Source, what, at),
        body: Body::Changed {
            changed: Changed { about },
        },
    }
}
