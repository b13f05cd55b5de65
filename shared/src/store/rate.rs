//! Rate rows: how many of a second's sends are taken. Concurrent invocations share nothing else.

use super::request::{Update, Written};
use super::rows::{Reader, SCHEMA_VERSION, expiry, later, number};
use super::table::TTL;
use super::{Store, StoreError, keys};

/// Most tokens of one lease: what a worker sends within a second.
pub const RATE_LEASE_MAX: u32 = 5;
/// How long a second's row stays, in milliseconds.
const RATE_KEEP_MS: i64 = 60 * 60 * 1000;
/// Requests of one lease: everybody else who takes tokens of the same second can refuse us once.
const LEASE_REQUESTS_MAX: u32 = 4;

/// Tokens of one second; each is one request to Callbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLease {
    /// So many, perhaps none, good in their second alone: check it right before the request.
    Tokens {
        /// Seconds since 1970.
        second: i64,
        /// How many.
        tokens: u32,
    },
    /// The red button is pressed.
    Paused,
}

impl Store {
    /// Leases tokens of the current second: what is wanted, at most [`RATE_LEASE_MAX`], at most what is left
    /// of `rate`. Reads the red button too, strongly.
    ///
    /// # Errors
    /// What DynamoDB reports; then nothing may be sent.
    pub async fn lease_rate(&self, want: u32, rate: u32) -> Result<RateLease, StoreError> {
        // At once: tokens that are leased while the button is pressed are lost, and nothing else.
        let (paused, lease) = futures_util::join!(self.paused(), self.lease(want, rate));
        if paused?.is_some() {
            return Ok(RateLease::Paused);
        }
        lease
    }

    async fn lease(&self, want: u32, rate: u32) -> Result<RateLease, StoreError> {
        let now = self.clock.now();
        let second = now.as_millisecond().div_euclid(1000);
        let mut tokens = want.min(RATE_LEASE_MAX).min(rate);
        for _ in 0..LEASE_REQUESTS_MAX {
            if tokens == 0 {
                break;
            }
            let update = Update::new()
                .set("v", number(SCHEMA_VERSION))
                .set(TTL, expiry(later(now, RATE_KEEP_MS)))
                .add("used", number(tokens))
                .when("attribute_not_exists(#used) OR #used <= :left_for_us")
                .value("left_for_us", number(rate.saturating_sub(tokens)));
            match self.update(&keys::rate(second), update).await? {
                Written::Done(_) => return Ok(RateLease::Tokens { second, tokens }),
                Written::Refused(None) => {}
                Written::Refused(Some(old)) => {
                    let used: u32 = Reader::new(&old, "rate")?.number("used")?;
                    tokens = tokens.min(rate.saturating_sub(used));
                }
            }
        }
        Ok(RateLease::Tokens { second, tokens: 0 })
    }
}
