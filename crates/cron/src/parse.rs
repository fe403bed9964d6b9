//! Schedules from text, with the error texts of upstream's library.

use crate::{Fields, Schedule};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("empty spec string")]
    Empty,
    #[error("expected exactly 5 fields, found {}: [{}]", .0.len(), .0.join(" "))]
    Count(Vec<String>),
    #[error("unrecognized descriptor: {0}")]
    Word(String),
    #[error("failed to parse duration {text}: {why}")]
    Duration { text: String, why: String },
    #[error("failed to parse int from {0}: strconv.Atoi: parsing \"{0}\": invalid syntax")]
    Number(String),
    #[error("negative number ({number}) not allowed: {text}")]
    Negative { number: i64, text: String },
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    #[error("too many slashes: {0}")]
    Slashes(String),
    #[error("beginning of range ({first}) below minimum ({low}): {text}")]
    Low { first: u32, low: u32, text: String },
    #[error("end of range ({last}) above maximum ({high}): {text}")]
    High { last: u32, high: u32, text: String },
    #[error("beginning of range ({first}) beyond end of range ({last}): {text}")]
    Backwards { first: u32, last: u32, text: String },
    #[error("step of range should be a positive number: {0}")]
    Step(String),
}

/// The values a field may have, and words for them.
struct Bounds {
    low: u32,
    high: u32,
    words: &'static [(&'static str, u32)],
}

const MINUTE: Bounds = Bounds { low: 0, high: 59, words: &[] };
const HOUR: Bounds = Bounds { low: 0, high: 23, words: &[] };
const DAY: Bounds = Bounds { low: 1, high: 31, words: &[] };
const MONTH: Bounds = Bounds {
    low: 1,
    high: 12,
    words: &[
        ("jan", 1),
        ("feb", 2),
        ("mar", 3),
        ("apr", 4),
        ("may", 5),
        ("jun", 6),
        ("jul", 7),
        ("aug", 8),
        ("sep", 9),
        ("oct", 10),
        ("nov", 11),
        ("dec", 12),
    ],
};
const WEEKDAY: Bounds = Bounds {
    low: 0,
    high: 6,
    words: &[("sun", 0), ("mon", 1), ("tue", 2), ("wed", 3), ("thu", 4), ("fri", 5), ("sat", 6)],
};

/// Words for whole schedules.
const WORDS: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

pub(crate) fn schedule(text: &str) -> Result<Schedule, ScheduleError> {
    if text.is_empty() {
        return Err(ScheduleError::Empty);
    }
    if text.starts_with('@') {
        return word(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        return Err(ScheduleError::Count(fields.iter().map(|field| (*field).to_owned()).collect()));
    };
    let ((minute, _), (hour, _), (day, any_day)) = (field(minute, &MINUTE)?, field(hour, &HOUR)?, field(day, &DAY)?);
    let ((month, _), (weekday, any_weekday)) = (field(month, &MONTH)?, field(weekday, &WEEKDAY)?);
    Ok(Schedule::Fields(Fields { minute, hour, day, month, weekday, any_day, any_weekday }))
}

fn word(text: &str) -> Result<Schedule, ScheduleError> {
    if let Some((_, fields)) = WORDS.iter().find(|(word, _)| *word == text) {
        return schedule(fields);
    }
    let Some(duration) = text.strip_prefix("@every ") else { return Err(ScheduleError::Word(text.to_owned())) };
    let nanos = meta::time::parse_duration(duration)
        .map_err(|error| ScheduleError::Duration { text: text.to_owned(), why: error.to_string() })?;
    Ok(Schedule::Every((nanos / 1_000_000_000).max(1)))
}

/// The bits of a field, and whether it says every value.
fn field(text: &str, bounds: &Bounds) -> Result<(u64, bool), ScheduleError> {
    let (mut bits, mut any) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (more, all) = range(part, bounds)?;
        bits |= more;
        any |= all;
    }
    Ok((bits, any))
}

/// `a`, `a-b`, `a-b/n`, `*`, `*/n`; `a/n` goes to the end.
fn range(text: &str, bounds: &Bounds) -> Result<(u64, bool), ScheduleError> {
    let parts: Vec<&str> = text.split('/').collect();
    let ends: Vec<&str> = parts[0].split('-').collect();
    let mut any = false;
    let (first, mut last) = match ends.as_slice() {
        ["*" | "?", ..] => {
            any = true;
            (bounds.low, bounds.high)
        }
        [only] => (value(only, bounds)?, value(only, bounds)?),
        [first, last] => (value(first, bounds)?, value(last, bounds)?),
        _ => return Err(ScheduleError::Hyphens(text.to_owned())),
    };
    let step = match parts.as_slice() {
        [_] => 1,
        [_, step] => {
            let step = number(step)?;
            if ends.len() == 1 {
                last = bounds.high;
            }
            if step > 1 {
                any = false;
            }
            step
        }
        _ => return Err(ScheduleError::Slashes(text.to_owned())),
    };
    let text = text.to_owned();
    if first < bounds.low {
        return Err(ScheduleError::Low { first, low: bounds.low, text });
    }
    if last > bounds.high {
        return Err(ScheduleError::High { last, high: bounds.high, text });
    }
    if first > last {
        return Err(ScheduleError::Backwards { first, last, text });
    }
    if step == 0 {
        return Err(ScheduleError::Step(text));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok(((first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value), any))
}

fn value(text: &str, bounds: &Bounds) -> Result<u32, ScheduleError> {
    let lower = text.to_lowercase();
    match bounds.words.iter().find(|(word, _)| *word == lower) {
        Some((_, value)) => Ok(*value),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, ScheduleError> {
    let number: i64 = text.parse().map_err(|_| ScheduleError::Number(text.to_owned()))?;
    if number < 0 {
        return Err(ScheduleError::Negative { number, text: text.to_owned() });
    }
    u32::try_from(number).map_err(|_| ScheduleError::Number(text.to_owned()))
}
