//! Numbers of many rounds, and what is made of them.

use std::time::Duration;

/// Microseconds of many rounds.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// One more.
    pub fn push(&mut self, took: Duration) {
        self.0.push(took.as_secs_f64() * 1e6);
    }

    /// One more, in microseconds.
    pub fn push_us(&mut self, us: f64) {
        self.0.push(us);
    }

    /// All of another's.
    pub fn extend(&mut self, other: &Figures) {
        self.0.extend(&other.0);
    }

    /// The one in the middle, in microseconds; 0 where there is none.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The one that so large a share of all is not above, in microseconds; 0 where there is none.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position in a list of some thousands"
    )]
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1) as f64;
        let position = (last * share.clamp(0.0, 1.0)).round() as usize;
        sorted.get(position).copied().unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// `a` in parts of `b`; 0 where there is no `b`.
pub fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_members() {
        let mut figures = Figures::default();
        assert_eq!(figures.median(), 0.0);
        for us in [5.0, 1.0, 9.0, 3.0, 7.0] {
            figures.push_us(us);
        }
        assert_eq!(
            [0.0, 0.5, 0.99].map(|share| figures.quantile(share)),
            [1.0, 5.0, 9.0]
        );
    }
}
