//! Since when a job misses something, kept in its reason.

use std::fmt;

use jiff::Timestamp;

/// `there is no automation x; waits since 2026-11-22T12:00:00Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) what: String,
    pub(super) since: Timestamp,
}

const SINCE: &str = "; waits since ";

impl Waits {
    pub(super) fn since(since: Timestamp, what: &str) -> Waits {
        Waits {
            what: what.to_owned(),
            since,
        }
    }

    /// Reads a reason back; `None` where it is about something else.
    pub(super) fn read(reason: Option<&str>, what: &str) -> Option<Waits> {
        let since = reason?
            .strip_prefix(what)?
            .strip_prefix(SINCE)?
            .parse()
            .ok()?;
        Some(Waits {
            what: what.to_owned(),
            since,
        })
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SINCE}{}", self.what, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_back() {
        let since: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let waits = Waits::since(since, "there is no automation x");
        let reason = waits.to_string();
        assert_eq!(
            Waits::read(Some(&reason), "there is no automation x"),
            Some(waits)
        );
        assert_eq!(Waits::read(Some(&reason), "there is no automation y"), None);
        assert_eq!(
            Waits::read(Some("not yet"), "there is no automation x"),
            None
        );
        assert_eq!(Waits::read(None, "x"), None);
    }
}
