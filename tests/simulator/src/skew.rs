//! A clock that is set, as a rule sees it that looks at every write: by how much, when last, and the
//! latest time that it has shown. Called by the scenarios whose rules are about times.

use base::{Clock, Timestamp};
use jiff::SignedDuration;
use tokio::time::Instant;

/// Times are cut to milliseconds; less is no jump.
const ROUNDING: SignedDuration = SignedDuration::from_millis(1);

pub struct Skew {
    clock: Clock,
    started: (Instant, Timestamp),
    /// How far the clock is from where it would be had nobody set it.
    off: SignedDuration,
    set: Option<Instant>,
    latest: Timestamp,
}

impl Skew {
    pub fn new(clock: Clock) -> Self {
        let started = (clock.instant(), clock.now());
        Skew { clock, started, off: SignedDuration::ZERO, set: None, latest: started.1 }
    }

    /// By how much the clock was set since the last look.
    pub fn look(&mut self, now: Instant) -> SignedDuration {
        let passed = SignedDuration::try_from(now - self.started.0).unwrap_or_default();
        let (meant, shown) = (self.started.1.saturating_add(passed + self.off), self.clock.now());
        let meant = meant.unwrap_or(shown);
        // It may have been set back just now, and have gone on until then.
        self.latest = self.latest.max(meant).max(shown);
        let set = shown.duration_since(meant);
        if set.abs() <= ROUNDING {
            return SignedDuration::ZERO;
        }
        self.off += set;
        self.set = Some(now);
        set
    }

    /// The latest time that it has shown.
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When it was set last.
    pub fn set(&self) -> Option<Instant> {
        self.set
    }

    pub fn started(&self) -> Instant {
        self.started.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Env;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_was_later_before() {
        let clock = Env::simulated(1, Timestamp::UNIX_EPOCH).clock;
        let mut skew = Skew::new(clock.clone());
        let later = async |seconds| {
            clock.sleep(Duration::from_secs(seconds)).await;
            clock.instant()
        };
        assert!(skew.look(later(10).await).is_zero() && skew.set().is_none());
        let now = later(10).await;
        clock.jump(SignedDuration::from_secs(-30));
        assert_eq!(skew.look(now).as_secs(), -30);
        assert_eq!((skew.latest().as_second(), skew.now().as_second(), skew.set()), (20, -10, Some(now)));
        assert!(skew.look(later(5).await).is_zero(), "once is enough");
        clock.jump(SignedDuration::from_secs(100));
        assert_eq!((skew.look(later(1).await).as_secs(), skew.latest().as_second()), (100, 96));
    }
}
