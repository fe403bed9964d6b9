//! Waiting times between attempts that fail again and again: restarts and image pulls. Kept by key;
//! doubled from ten seconds to five minutes, forgotten after twice that.

use base::Timestamp;
use std::collections::BTreeMap;

const FIRST: i64 = 10;
const LIMIT: i64 = 300;

#[derive(Debug, Clone, Default)]
pub struct CrashBackoff {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seconds: i64,
    updated: Timestamp,
}

impl CrashBackoff {
    /// When the next attempt may be made after a failure at `failed`; None: now. With the waiting
    /// time in seconds, for messages.
    pub fn wait(&self, key: &str, failed: Timestamp, now: Timestamp) -> Option<(Timestamp, i64)> {
        let entry = self.entries.get(key).filter(|entry| !entry.is_over(failed))?;
        let until = failed.checked_add(jiff::SignedDuration::from_secs(entry.seconds)).ok()?;
        (now < until).then_some((until, entry.seconds))
    }

    /// As [`CrashBackoff::wait`], counted from the last call of [`CrashBackoff::attempt`].
    pub fn wait_since_attempt(&self, key: &str, now: Timestamp) -> Option<(Timestamp, i64)> {
        self.wait(key, self.entries.get(key)?.updated, now)
    }

    /// An attempt is made because of a failure at `failed`; the next one waits longer.
    pub fn attempt(&mut self, key: &str, failed: Timestamp, now: Timestamp) {
        let seconds = match self.entries.get(key).filter(|entry| !entry.is_over(failed)) {
            Some(entry) => (entry.seconds * 2).min(LIMIT),
            None => FIRST,
        };
        self.entries.insert(key.to_owned(), Entry { seconds, updated: now });
    }

    pub fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

impl Entry {
    fn is_over(&self, failed: Timestamp) -> bool {
        failed.as_second() - self.updated.as_second() > 2 * LIMIT
    }
}

/// Seconds as Go prints a duration: `10s`, `1m20s`, `5m0s`.
pub fn go_seconds(seconds: i64) -> String {
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

/// Milliseconds as Go prints a duration: `523ms`, `1.5s`, `1m2.25s`.
pub fn go_millis(millis: u128) -> String {
    if millis < 1000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let fraction = |millis: u128| {
        let text = format!("{}.{:03}", millis / 1000, millis % 1000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{}s", fraction(rest)),
        (0, minutes) => format!("{minutes}m{}s", fraction(rest)),
        (hours, minutes) => format!("{hours}h{minutes}m{}s", fraction(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_first_restart_is_at_once_then_waits_double() {
        let mut backoff = CrashBackoff::default();
        let mut now = 1000;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let failed = at(now);
            let wait = backoff.wait("c", failed, at(now)).map_or(0, |(until, _)| until.as_second() - now);
            waits.push(wait);
            now += wait;
            assert_eq!(backoff.wait("c", failed, at(now)), None);
            backoff.attempt("c", failed, at(now));
            now += 1;
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.wait("c", at(now + 601), at(now + 601)), None, "forgotten after ten good minutes");
    }

    #[test]
    fn durations_read_as_in_go() {
        for (seconds, text) in [(10, "10s"), (80, "1m20s"), (300, "5m0s")] {
            assert_eq!(go_seconds(seconds), text);
        }
        for (millis, text) in [(0, "0s"), (523, "523ms"), (1500, "1.5s"), (2000, "2s"), (62_250, "1m2.25s")] {
            assert_eq!(go_millis(millis), text);
        }
    }
}
