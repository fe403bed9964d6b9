//! Exponential back-off with jitter and a ceiling.

use crate::Rng;
use std::time::Duration;

/// Delays that double from `first` up to `limit`; `jitter` (0.0 to 1.0) is the part added at
/// random on top.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    jitter: f64,
    failures: u32,
}

impl Backoff {
    pub const fn new(first: Duration, limit: Duration) -> Self {
        Backoff { first, limit, jitter: 0.0, failures: 0 }
    }

    pub const fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// How long to wait after one more failure.
    pub fn next(&mut self, rng: &Rng) -> Duration {
        let delay = self.first.saturating_mul(2u32.saturating_pow(self.failures)).min(self.limit);
        self.failures = self.failures.saturating_add(1);
        if self.jitter > 0.0 { delay.mul_f64(1.0 + self.jitter * rng.f64()) } else { delay }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_and_starts_over() {
        let rng = Rng::seeded(0);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(35));
        let delays: Vec<_> = (0..4).map(|_| backoff.next(&rng).as_millis()).collect();
        assert_eq!(delays, [10, 20, 35, 35]);
        backoff.reset();
        assert_eq!(backoff.next(&rng).as_millis(), 10);
    }
}
