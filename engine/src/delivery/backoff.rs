//! When a job tries again, and until when.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Waits before the second attempt, the third, …; the last one repeats.
const BACKOFF: [SignedDuration; 9] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(15),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(3),
    SignedDuration::from_hours(6),
    SignedDuration::from_hours(12),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(24),
];
/// By how much a wait differs from the table, either way.
const SPREAD: f64 = 0.2;
/// Longest wait after a 429.
const LIMITED_WAIT_MAX: SignedDuration = SignedDuration::from_secs(60);
/// Longest wait after another system's 429: some count by the hour.
const LONG_LIMITED_WAIT_MAX: SignedDuration = SignedDuration::from_hours(1);
/// Wait after a 429 that names none.
const LIMITED_WAIT: SignedDuration = SignedDuration::from_secs(1);
/// The last attempt falls on the limit itself, and the sweep that finds it comes up to a minute later.
const LAST_ATTEMPT_GRACE: SignedDuration = SignedDuration::from_mins(3);

/// Numbers from 0 up to 1, injected so that tests know them.
#[derive(Clone)]
pub struct Random(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Random {
    /// From a function.
    pub fn new(next: impl Fn() -> f64 + Send + Sync + 'static) -> Random {
        Random(Arc::new(next))
    }

    /// From the operating system. Without randomness every number is one half: waits lose their spread.
    pub fn system() -> Random {
        Random::new(|| {
            getrandom::u32().map_or(0.5, |number| {
                f64::from(number) / (f64::from(u32::MAX) + 1.0)
            })
        })
    }

    fn next(&self) -> f64 {
        (self.0)().clamp(0.0, 1.0)
    }

    /// Another order of the same items.
    pub(super) fn shuffled<T>(&self, items: impl Iterator<Item = T>) -> Vec<T> {
        let mut drawn: Vec<(f64, T)> = items.map(|item| (self.next(), item)).collect();
        drawn.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        drawn.into_iter().map(|(_, item)| item).collect()
    }

    /// `duration`, up to `share` more or less.
    pub(super) fn spread(&self, duration: SignedDuration, share: f64) -> SignedDuration {
        duration.mul_f64(1.0 + share * (2.0 * self.next() - 1.0))
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

/// Whether a job may still start. `attempts` are those that it had, `next_at` is what it waited for.
pub(super) fn is_late(now: Timestamp, limit: Timestamp, attempts: u32, next_at: Timestamp) -> bool {
    let last_attempt = attempts > 0 && next_at >= limit && now <= limit + LAST_ATTEMPT_GRACE;
    now > limit && !last_attempt
}

/// The next attempt after `attempts` that failed; `None`: that was the last one. Clipped, so that the
/// last attempt falls on the limit.
pub(super) fn next_attempt(
    now: Timestamp,
    attempts: u32,
    limit: Timestamp,
    random: &Random,
) -> Option<Timestamp> {
    if now >= limit {
        return None;
    }
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = BACKOFF
        .get(index)
        .or(BACKOFF.last())
        .copied()
        .unwrap_or(SignedDuration::ZERO);
    Some((now + random.spread(wait, SPREAD)).min(limit))
}

/// The next attempt after a 429: what Callbell asks for plus a little, at most a minute, so that
/// everybody who was refused does not come back at once.
pub(super) fn after_limit(
    now: Timestamp,
    retry_after: Option<Duration>,
    random: &Random,
) -> Timestamp {
    let asked = asked_wait(retry_after);
    let wait = asked.min(LIMITED_WAIT_MAX);
    let jitter = wait.max(LIMITED_WAIT).mul_f64(random.next() / 2.0);
    now + (wait + jitter).min(LIMITED_WAIT_MAX)
}

/// The next attempt after another system's 429: from one second to an hour, as it asks, and a little later,
/// by at most a minute.
pub(super) fn after_long_limit(
    now: Timestamp,
    retry_after: Option<Duration>,
    random: &Random,
) -> Timestamp {
    let wait = asked_wait(retry_after).clamp(LIMITED_WAIT, LONG_LIMITED_WAIT_MAX);
    let jitter = wait.min(LIMITED_WAIT_MAX).mul_f64(random.next() / 2.0);
    now + wait + jitter
}

fn asked_wait(retry_after: Option<Duration>) -> SignedDuration {
    retry_after
        .and_then(|wait| SignedDuration::try_from(wait).ok())
        .unwrap_or(LIMITED_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn waits_grow_and_the_last_attempt_falls_on_the_limit() {
        let random = Random::new(|| 0.5);
        let start = at("2026-11-22T12:00:00Z");
        let limit = start + SignedDuration::from_hours(24);
        let mut now = start;
        let mut minutes = Vec::new();
        for attempts in 1.. {
            match next_attempt(now, attempts, limit, &random) {
                Some(next) => {
                    minutes.push(next.duration_since(now).as_mins());
                    now = next;
                }
                None => break,
            }
        }
        assert_eq!(minutes, [1, 5, 15, 60, 180, 360, 720, 99]);
        assert_eq!(now, limit);
    }

    #[test]
    fn the_spread_is_a_fifth_either_way() {
        let now = at("2026-11-22T12:00:00Z");
        let limit = now + SignedDuration::from_hours(24);
        for (number, seconds) in [(0.0, 48), (0.5, 60), (1.0, 72)] {
            let random = Random::new(move || number);
            let next = next_attempt(now, 1, limit, &random).unwrap();
            assert_eq!(next.duration_since(now).as_secs(), seconds);
        }
    }

    #[test]
    fn the_attempt_on_the_limit_is_not_late() {
        let limit = at("2026-11-22T12:00:00Z");
        let soon = limit + SignedDuration::from_secs(50);
        assert!(!is_late(limit, limit, 0, limit), "the limit itself");
        assert!(is_late(soon, limit, 0, limit), "never attempted");
        assert!(
            !is_late(soon, limit, 3, limit),
            "the last attempt, found by the next sweep"
        );
        assert!(
            is_late(soon, limit, 3, limit - SignedDuration::from_secs(1)),
            "an earlier attempt"
        );
        assert!(is_late(
            limit + SignedDuration::from_mins(4),
            limit,
            3,
            limit
        ));
    }

    #[test]
    fn after_a_429_nobody_waits_longer_than_a_minute() {
        let now = at("2026-11-22T12:00:00Z");
        for (asked, number, millis) in [
            (None, 0.0, 1_000),
            (None, 1.0, 1_500),
            (Some(10), 0.5, 12_500),
            (Some(50), 1.0, 60_000),
            (Some(900), 0.0, 60_000),
        ] {
            let random = Random::new(move || number);
            let next = after_limit(now, asked.map(Duration::from_secs), &random);
            assert_eq!(
                next.duration_since(now).as_millis(),
                millis,
                "{asked:?} {number}"
            );
        }
    }

    #[test]
    fn another_system_is_believed_for_up_to_an_hour() {
        let now = at("2026-11-22T12:00:00Z");
        for (asked, number, seconds) in [
            (None, 0.0, 1),
            (Some(0), 0.0, 1),
            (Some(120), 0.0, 120),
            (Some(120), 1.0, 150),
            (Some(36_000), 1.0, 3_630),
        ] {
            let random = Random::new(move || number);
            let next = after_long_limit(now, asked.map(Duration::from_secs), &random);
            assert_eq!(next.duration_since(now).as_secs(), seconds, "{asked:?}");
        }
    }
}
