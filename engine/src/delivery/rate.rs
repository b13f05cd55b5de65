//! Places in a second's send rate. Concurrent invocations share nothing but the table, so every request
//! to Callbell, questions too, spends a token that was leased there.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use shared::store::{RATE_LEASE_MAX, RateLease, Store, StoreError};
use tokio::sync::Mutex;

/// The tokens of this worker.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    held: Mutex<Held>,
    waiting: AtomicU32,
    /// Callbell asked for a break until then, in milliseconds since 1970.
    break_until: AtomicI64,
}

#[derive(Debug, Default)]
struct Held {
    second: i64,
    tokens: u32,
}

/// One place in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    second: i64,
}

impl Token {
    /// Good in its second only: asked right before the request.
    pub(super) fn is_good(self, now: Timestamp) -> bool {
        now.as_millisecond().div_euclid(1000) == self.second
    }
}

/// What asking for a token came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Go.
    Token(Token),
    /// The red button is pressed.
    Paused,
    /// The time is up.
    TooLate,
}

impl Tokens {
    /// Gives no token before `until`: Callbell answered 429.
    pub(super) fn take_a_break(&self, until: Timestamp) {
        self.break_until
            .fetch_max(until.as_millisecond(), Ordering::Relaxed);
    }

    /// Waits for a place, at most until `until`. One task at a time asks the table; the others wait
    /// behind it and share what it brings.
    ///
    /// # Errors
    /// What the store reports; then nothing may be sent.
    pub(super) async fn take(
        &self,
        store: &Store,
        rate: u32,
        until: Timestamp,
    ) -> Result<Taken, StoreError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let taken = self.wait(store, rate, until).await;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        taken
    }

    async fn wait(&self, store: &Store, rate: u32, until: Timestamp) -> Result<Taken, StoreError> {
        let mut held = self.held.lock().await;
        loop {
            let now = store.clock().now();
            if now >= until {
                return Ok(Taken::TooLate);
            }
            let rest = self
                .break_until
                .load(Ordering::Relaxed)
                .saturating_sub(now.as_millisecond());
            if rest > 0 {
                if now.as_millisecond().saturating_add(rest) >= until.as_millisecond() {
                    return Ok(Taken::TooLate);
                }
                store
                    .clock()
                    .sleep(Duration::from_millis(rest.unsigned_abs()))
                    .await;
                continue;
            }
            if held.tokens > 0
                && (Token {
                    second: held.second,
                })
                .is_good(now)
            {
                held.tokens -= 1;
                return Ok(Taken::Token(Token {
                    second: held.second,
                }));
            }
            let wanted = self
                .waiting
                .load(Ordering::Relaxed)
                .clamp(1, RATE_LEASE_MAX);
            match store.lease_rate(wanted, rate).await? {
                RateLease::Paused => return Ok(Taken::Paused),
                RateLease::Tokens { second, tokens } => {
                    *held = Held { second, tokens };
                    if tokens == 0 {
                        store
                            .clock()
                            .sleep(until_next_second(store.clock().now()))
                            .await;
                    }
                }
            }
        }
    }
}

fn until_next_second(now: Timestamp) -> Duration {
    let into = now.as_millisecond().rem_euclid(1000);
    Duration::from_millis(u64::try_from(1000 - into).unwrap_or(1000))
}
