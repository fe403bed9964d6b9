//! Which of a schedule's times is due now, how many were missed, and when the next one is.

use super::CronJob;
use base::Timestamp;
use cron::Schedule;
use jiff::SignedDuration;
use jiff::tz::TimeZone;
use meta::time;
use std::time::Duration;

/// Missed times above which somebody should know.
const MANY: i64 = 100;
/// A little later than the time itself, so as not to be early.
const LATE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missed {
    None,
    Few,
    Many,
}

/// A schedule in its zone.
pub(super) struct Timetable {
    pub schedule: Schedule,
    pub zone: TimeZone,
}

/// A time that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub at: Timestamp,
    /// So many times were missed that something is wrong.
    pub too_many: bool,
}

struct Recent {
    /// From when on times count.
    earliest: Timestamp,
    latest: Option<Timestamp>,
    missed: Missed,
}

impl Timetable {
    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, &self.zone)
    }

    /// The latest time that has come and was not served.
    pub fn due(&self, cron_job: &CronJob, now: Timestamp) -> Option<Due> {
        let recent = self.recent(cron_job, now, true);
        recent.latest.map(|at| Due { at, too_many: recent.missed == Missed::Many })
    }

    /// How long until the next time.
    pub fn wait(&self, cron_job: &CronJob, now: Timestamp) -> Option<Duration> {
        let recent = self.recent(cron_job, now, false);
        let from = match (recent.latest, recent.missed) {
            (Some(latest), _) => latest,
            (None, Missed::None) => recent.earliest,
            (None, _) => now,
        };
        let next = self.next(from)?;
        Some(Duration::try_from(next.duration_since(now)).unwrap_or_default() + LATE)
    }

    /// The number of missed times is reckoned from the distance of the first two, as going through all
    /// of them could take for ever.
    fn recent(&self, cron_job: &CronJob, now: Timestamp, within_deadline: bool) -> Recent {
        let read = |text: Option<&str>| text.and_then(|text| time::parse(text).ok());
        let last = read(cron_job.status["lastScheduleTime"].as_str());
        let created = read(cron_job.metadata.creation_timestamp.as_deref());
        let mut earliest = last.or(created).unwrap_or(now);
        if let Some(deadline) = cron_job.spec.starting_deadline_seconds.filter(|_| within_deadline) {
            let horizon = now.checked_sub(SignedDuration::from_secs(deadline)).unwrap_or(Timestamp::MIN);
            earliest = earliest.max(horizon);
        }
        let none = Recent { earliest, latest: None, missed: Missed::None };
        let Some(first) = self.next(earliest).filter(|first| *first <= now) else { return none };
        let Some(second) = self.next(first).filter(|second| *second <= now) else {
            return Recent { latest: Some(first), ..none };
        };
        let distance = second.duration_since(first).as_secs().max(1);
        let count = now.duration_since(first).as_secs() / distance + 1;
        let ahead = SignedDuration::from_secs((count - 2) * distance);
        let mut latest = None;
        let mut at = first.checked_add(ahead).ok().and_then(|from| self.next(from));
        while let Some(time) = at.filter(|time| *time <= now) {
            latest = Some(time);
            at = self.next(time);
        }
        let missed = if count > MANY { Missed::Many } else { Missed::Few };
        Recent { latest, missed, ..none }
    }
}
