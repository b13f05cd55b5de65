//! The one place that reads the time. Everything else gets `now` as an argument or a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// It runs from now on.
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Since it was started.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Where `now` comes from.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    /// System time plus an offset in milliseconds: `POST /_dev/clock`.
    Shifted(Arc<AtomicI64>),
    /// Stands still, in milliseconds since 1970, until it is moved; sleeping moves it at once.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Kind::System)
    }

    /// The machine's clock, which [`Clock::advance`] moves.
    pub fn shifted() -> Clock {
        Clock(Kind::Shifted(Arc::new(AtomicI64::new(0))))
    }

    /// A clock that stands still until it is moved. Clones share it.
    pub fn manual(start: Timestamp) -> Clock {
        Clock(Kind::Manual(Arc::new(AtomicI64::new(
            start.as_millisecond(),
        ))))
    }

    /// The present instant, in whole milliseconds.
    pub fn now(&self) -> Timestamp {
        let millis = match &self.0 {
            Kind::System => Timestamp::now().as_millisecond(),
            Kind::Shifted(offset) => Timestamp::now()
                .as_millisecond()
                .saturating_add(offset.load(Ordering::SeqCst)),
            Kind::Manual(millis) => millis.load(Ordering::SeqCst),
        };
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// Moves a shifted or manual clock; the machine's clock stays as it is.
    pub fn advance(&self, by: SignedDuration) {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        if let Kind::Shifted(cell) | Kind::Manual(cell) = &self.0 {
            cell.fetch_add(millis, Ordering::SeqCst);
        }
    }

    /// Waits. A manual clock moves instead, so that no test sleeps.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::System | Kind::Shifted(_) => tokio::time::sleep(duration).await,
            Kind::Manual(_) => {
                self.advance(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX));
                tokio::task::yield_now().await;
            }
        }
    }
}
