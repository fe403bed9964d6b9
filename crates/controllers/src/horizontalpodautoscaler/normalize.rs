//! From the count that metrics ask for to the one that is set: bounds, rates and what was recommended
//! before. Pure but for the history, which it is given.

use super::object::{Policy, Rules, Spec};
use base::Timestamp;
use jiff::SignedDuration;

/// Upstream's `--horizontal-pod-autoscaler-downscale-stabilization`.
const DOWNSCALE_STABILIZATION: i64 = 300;

/// What happened to one autoscaler lately.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub recommendations: Vec<(Timestamp, i32)>,
    pub ups: Vec<(Timestamp, i32)>,
    pub downs: Vec<(Timestamp, i32)>,
}

/// A condition's status (for `ScalingLimited`), reason and message.
pub type Verdict = (bool, &'static str, &'static str);

/// The count to set, and the conditions that go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Normalized {
    pub replicas: i32,
    /// `AbleToScale`.
    pub able: Verdict,
    /// `ScalingLimited`.
    pub limited: Verdict,
}

const READY: Verdict = (true, "ReadyForNewScale", "recommended size matches current size");
const DOWN_HELD: Verdict = (
    true,
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
);
const UP_HELD: Verdict = (
    true,
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
);
type Limit = (&'static str, &'static str);
const WITHIN: Limit = ("DesiredWithinRange", "the desired count is within the acceptable range");
const TOO_MANY: Limit = ("TooManyReplicas", "the desired replica count is more than the maximum replica count");
const TOO_FEW: Limit = ("TooFewReplicas", "the desired replica count is less than the minimum replica count");
const UP_LIMIT: Limit = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate");
const DOWN_LIMIT: Limit =
    ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate");

impl History {
    /// The first look at a scale counts as a recommendation of what is there. What is noted for a time to
    /// come was noted before the clock was set back: it counts as of now, or it would for as long as the
    /// clock was set back hold everything as it is.
    pub fn begin(&mut self, current: i32, now: Timestamp) {
        let noted = [&mut self.recommendations, &mut self.ups, &mut self.downs];
        noted.into_iter().flatten().for_each(|(at, _)| *at = (*at).min(now));
        if self.recommendations.is_empty() {
            self.recommendations.push((now, current));
        }
    }

    /// Notes that the scale was changed; only rates ask for it.
    pub fn scaled(&mut self, spec: &Spec, from: i32, to: i32, now: Timestamp) {
        let Some(behavior) = &spec.behavior else { return };
        let (events, rules) = match to > from {
            true => (&mut self.ups, &behavior.scale_up),
            false => (&mut self.downs, &behavior.scale_down),
        };
        let longest = rules.policies.iter().map(|policy| policy.period_seconds).max().unwrap_or(0);
        let cutoff = before(now, longest);
        events.retain(|(at, _)| *at >= cutoff);
        events.push((now, (to - from).abs()));
    }

    pub fn normalize(&mut self, spec: &Spec, current: i32, wanted: i32, now: Timestamp) -> Normalized {
        let Some(behavior) = &spec.behavior else { return self.by_default(spec, current, wanted, now) };
        let up = behavior.scale_up.stabilization_window_seconds.unwrap_or(0);
        let down = behavior.scale_down.stabilization_window_seconds.unwrap_or(DOWNSCALE_STABILIZATION);
        let stable = self.stabilize((up, down), current, wanted, now);
        let able = match () {
            () if stable == wanted => READY,
            () if wanted >= current => UP_HELD,
            () => DOWN_HELD,
        };
        let (replicas, (reason, message)) = match stable.cmp(&current) {
            std::cmp::Ordering::Greater => {
                let limit = self.limit_up(&behavior.scale_up, current, now).max(current);
                let most = spec.max_replicas.min(limit);
                let why = if spec.max_replicas > limit { UP_LIMIT } else { TOO_MANY };
                if stable > most { (most, why) } else { (stable, WITHIN) }
            }
            std::cmp::Ordering::Less => {
                let limit = self.limit_down(&behavior.scale_down, current, now).min(current);
                let least = spec.min_replicas().max(limit);
                let why = if spec.min_replicas() < limit { DOWN_LIMIT } else { TOO_FEW };
                if stable < least { (least, why) } else { (stable, WITHIN) }
            }
            std::cmp::Ordering::Equal => (stable, WITHIN),
        };
        Normalized { replicas, able, limited: (replicas != stable, reason, message) }
    }

    /// Without a behaviour: the highest of five minutes, at most doubled at once.
    fn by_default(&mut self, spec: &Spec, current: i32, wanted: i32, now: Timestamp) -> Normalized {
        let cutoff = before(now, DOWNSCALE_STABILIZATION);
        self.recommendations.retain(|(at, _)| *at >= cutoff);
        let stable = self.recommendations.iter().map(|(_, replicas)| *replicas).fold(wanted, i32::max);
        self.recommendations.push((now, wanted));
        let able = if stable == wanted { READY } else { DOWN_HELD };
        let limit = current.saturating_mul(2).max(4);
        let (most, why) = if spec.max_replicas > limit { (limit, UP_LIMIT) } else { (spec.max_replicas, TOO_MANY) };
        let (replicas, (reason, message)) = match () {
            () if stable < spec.min_replicas() => (spec.min_replicas(), TOO_FEW),
            () if stable > most => (most, why),
            () => (stable, WITHIN),
        };
        Normalized { replicas, able, limited: (replicas != stable, reason, message) }
    }

    /// Growing, the lowest of the window that holds growth back; shrinking, the highest of the other.
    fn stabilize(&mut self, (up, down): (i64, i64), current: i32, wanted: i32, now: Timestamp) -> i32 {
        let (up_cutoff, down_cutoff) = (before(now, up), before(now, down));
        let (mut lowest, mut highest) = (wanted, wanted);
        for (at, replicas) in &self.recommendations {
            if *at > up_cutoff {
                lowest = lowest.min(*replicas);
            }
            if *at > down_cutoff {
                highest = highest.max(*replicas);
            }
        }
        let oldest = up_cutoff.min(down_cutoff);
        self.recommendations.retain(|(at, _)| *at >= oldest);
        self.recommendations.push((now, wanted));
        // Not `clamp`: the lowest may well be above the highest's window.
        current.max(lowest).min(highest)
    }

    /// How many there were when a policy's period began.
    fn at_start(&self, policy: &Policy, current: i32, now: Timestamp) -> i32 {
        let cutoff = before(now, policy.period_seconds);
        let sum = |events: &[(Timestamp, i32)]| -> i32 {
            events.iter().filter(|(at, _)| *at > cutoff).map(|(_, change)| change).sum()
        };
        current - sum(&self.ups) + sum(&self.downs)
    }

    fn limit_up(&self, rules: &Rules, current: i32, now: Timestamp) -> i32 {
        let proposals = rules.policies.iter().map(|policy| {
            let start = self.at_start(policy, current, now);
            match policy.kind.as_str() {
                "Pods" => start.saturating_add(policy.value),
                // Rounded up, or a small count would never grow.
                _ => (f64::from(start) * (1.0 + f64::from(policy.value) / 100.0)).ceil() as i32,
            }
        });
        match rules.select_policy.as_deref() {
            Some("Disabled") => current,
            Some("Min") => proposals.min().unwrap_or(i32::MAX),
            _ => proposals.max().unwrap_or(i32::MIN),
        }
    }

    fn limit_down(&self, rules: &Rules, current: i32, now: Timestamp) -> i32 {
        let proposals = rules.policies.iter().map(|policy| {
            let start = self.at_start(policy, current, now);
            match policy.kind.as_str() {
                "Pods" => start.saturating_sub(policy.value),
                _ => (f64::from(start) * (1.0 - f64::from(policy.value) / 100.0)) as i32,
            }
        });
        // The least change is the highest count.
        match rules.select_policy.as_deref() {
            Some("Disabled") => current,
            Some("Min") => proposals.max().unwrap_or(i32::MIN),
            _ => proposals.min().unwrap_or(i32::MAX),
        }
    }
}

fn before(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
}
