//! Times as the API writes them: RFC 3339 in UTC, in whole seconds or with six fraction digits, and
//! Go's duration text.
//!
//! Reads whatever Go's `time.Parse` reads and fails in its words. Never asks what time it is.

use jiff::Timestamp;
use std::borrow::Cow;
use std::fmt::Write as _;

const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
/// 0000-01-01T00:00:00Z, in seconds since 1970.
const YEAR_ZERO: i64 = -62_167_219_200;
const LAYOUT_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {part:?}")]
    Part { text: String, layout: &'static str, rest: String, part: &'static str },
    #[error("parsing time {text:?}: {what} out of range")]
    Range { text: String, what: &'static str },
    #[error("parsing time {text:?}: extra text: {rest:?}")]
    Extra { text: String, rest: String },
    #[error("time: invalid duration {0:?}")]
    Duration(String),
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit { unit: String, text: String },
}

/// The form in which a `Time` is stored: UTC, whole seconds. Borrowed where it is that already.
pub fn canonical(text: &str) -> Result<Cow<'_, str>, TimeError> {
    if is_canonical(text.as_bytes()) {
        return Ok(Cow::Borrowed(text));
    }
    parse(text).map(|time| Cow::Owned(format(time)))
}

/// The form in which a `MicroTime` is stored. It must be given with six fraction digits.
pub fn canonical_micro(text: &str) -> Result<Cow<'_, str>, TimeError> {
    let time = Reader::read(text, LAYOUT_MICRO)?;
    let canonical = format_micro(time);
    Ok(if canonical == text { Cow::Borrowed(text) } else { Cow::Owned(canonical) })
}

pub fn parse(text: &str) -> Result<Timestamp, TimeError> {
    Reader::read(text, LAYOUT)
}

pub fn parse_micro(text: &str) -> Result<Timestamp, TimeError> {
    Reader::read(text, LAYOUT_MICRO)
}

/// `2006-01-02T15:04:05Z`.
pub fn format(time: Timestamp) -> String {
    from_seconds(time.as_nanosecond().div_euclid(1_000_000_000))
}

/// `2006-01-02T15:04:05.000000Z`.
pub fn format_micro(time: Timestamp) -> String {
    let nanos = time.as_nanosecond();
    let mut text = from_seconds(nanos.div_euclid(1_000_000_000));
    text.pop();
    let _ = write!(text, ".{:06}Z", nanos.rem_euclid(1_000_000_000) / 1000);
    text
}

fn from_seconds(seconds: i128) -> String {
    let days = i64::try_from(seconds.div_euclid(86_400)).unwrap_or_default();
    let second = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Days since 1970-01-01 to a date of the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Recognises the usual form without building anything.
fn is_canonical(text: &[u8]) -> bool {
    let form = b"0000-00-00T00:00:00Z";
    let fits = text.len() == form.len()
        && text.iter().zip(form).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form });
    let two = |at: usize| i64::from(text[at] - b'0') * 10 + i64::from(text[at + 1] - b'0');
    fits && (1..=12).contains(&two(5))
        && (1..=days_in(two(0) * 100 + two(2), two(5))).contains(&two(8))
        && two(11) < 24
        && two(14) < 60
        && two(17) < 60
        && &text[..4] != b"0000"
}

/// Walks a text along the layout, part by part, as Go does.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl<'a> Reader<'a> {
    fn read(text: &'a str, layout: &'static str) -> Result<Timestamp, TimeError> {
        let mut reader = Reader { text, rest: text, layout };
        let year = reader.number(4, "2006")?;
        reader.literal("-")?;
        let month = reader.number(2, "01")?;
        reader.check((1..=12).contains(&month), "month")?;
        reader.literal("-")?;
        let day = reader.number(2, "02")?;
        reader.literal("T")?;
        let hour = reader.number(2, "15")?;
        reader.check(hour < 24, "hour")?;
        reader.literal(":")?;
        let minute = reader.number(2, "04")?;
        reader.check(minute < 60, "minute")?;
        reader.literal(":")?;
        let second = reader.number(2, "05")?;
        reader.check(second < 60, "second")?;
        let nanos = reader.fraction()?;
        let offset = reader.offset()?;
        if !reader.rest.is_empty() {
            return Err(TimeError::Extra { text: text.to_owned(), rest: reader.rest.to_owned() });
        }
        reader.check((1..=days_in(year, month)).contains(&day), "day")?;
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        // In UTC it may lie before the first year that can be written.
        reader.check(seconds >= YEAR_ZERO, "year")?;
        Timestamp::new(seconds, nanos).map_err(|_| TimeError::Range { text: text.to_owned(), what: "year" })
    }

    fn check(&self, fits: bool, what: &'static str) -> Result<(), TimeError> {
        if fits { Ok(()) } else { Err(TimeError::Range { text: self.text.to_owned(), what }) }
    }

    fn fail(&self, part: &'static str) -> TimeError {
        TimeError::Part { text: self.text.to_owned(), layout: self.layout, rest: self.rest.to_owned(), part }
    }

    fn number(&mut self, width: usize, part: &'static str) -> Result<i64, TimeError> {
        let digits = self.rest.get(..width).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|text| text.parse().ok()).ok_or_else(|| self.fail(part))?;
        self.rest = &self.rest[width..];
        Ok(number)
    }

    fn literal(&mut self, part: &'static str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(part).ok_or_else(|| self.fail(part))?;
        Ok(())
    }

    fn fraction(&mut self) -> Result<i32, TimeError> {
        let digits = self.rest.strip_prefix(['.', ',']).unwrap_or_default();
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if self.layout == LAYOUT_MICRO && (count < 6 || !self.rest.starts_with('.')) {
            return Err(self.fail(".000000"));
        }
        if count == 0 {
            return Ok(0);
        }
        let used = if self.layout == LAYOUT_MICRO { 6 } else { count };
        let mut nanos = 0;
        for at in 0..9 {
            let digit = digits.as_bytes().get(at).filter(|_| at < used).map_or(0, |byte| i32::from(byte - b'0'));
            nanos = nanos * 10 + digit;
        }
        self.rest = &digits[used..];
        Ok(nanos)
    }

    fn offset(&mut self) -> Result<i64, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let sign = match bytes.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.fail("Z07:00")),
        };
        let digit = |at: usize| bytes.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'));
        let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
        let (Some(hours), Some(b':'), Some(minutes)) = (two(1), bytes.get(3), two(4)) else {
            return Err(self.fail("Z07:00"));
        };
        self.check(hours <= 24, "time zone offset hour")?;
        self.check(minutes <= 60, "time zone offset minute")?;
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3600 + minutes * 60))
    }
}

/// Reads Go's duration text into nanoseconds: `1h15m30.5s`, `-1.5h`, `300ms`, `0`.
pub fn parse_duration(text: &str) -> Result<i64, TimeError> {
    let invalid = || TimeError::Duration(text.to_owned());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_len);
        let fraction_text = after.strip_prefix('.').unwrap_or_default();
        let fraction_len = fraction_text.bytes().take_while(u8::is_ascii_digit).count();
        if whole_len + fraction_len == 0 {
            return Err(invalid());
        }
        let after = if after.starts_with('.') { &fraction_text[fraction_len..] } else { after };
        let unit_len = after.bytes().take_while(|byte| *byte != b'.' && !byte.is_ascii_digit()).count();
        let (unit, next) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(TimeError::MissingUnit(text.to_owned()));
        }
        let scale =
            unit_nanos(unit).ok_or_else(|| TimeError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() })?;
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut part = scale;
        total = whole.checked_mul(scale).and_then(|n| n.checked_add(total)).ok_or_else(invalid)?;
        for digit in fraction_text[..fraction_len].bytes() {
            part /= 10;
            total += i128::from(digit - b'0') * part;
        }
        rest = next;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Prints nanoseconds as Go does: `1h15m30.5s`, `1.5ms`, `0s`.
pub fn format_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".to_owned();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let amount = nanos.unsigned_abs();
    let small = [(1_000, 1, "ns"), (1_000_000, 1_000, "µs"), (1_000_000_000, 1_000_000, "ms")];
    if let Some((_, unit, name)) = small.iter().find(|(limit, _, _)| amount < *limit) {
        return format!("{sign}{}{name}", decimal(amount, *unit));
    }
    let minutes = amount / 60_000_000_000;
    let seconds = decimal(amount % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(amount: u64, unit: u64) -> String {
    let (whole, fraction) = (amount / unit, amount % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{fraction:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_utc_in_whole_seconds() {
        for (text, canonical_text) in [
            ("2008-01-01T01:01:01Z", "2008-01-01T01:01:01Z"),
            ("2024-02-29T23:59:59+02:00", "2024-02-29T21:59:59Z"),
            ("2024-01-01T00:00:00.999999999-00:30", "2024-01-01T00:30:00Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(canonical_text));
        }
        assert_eq!(canonical_micro("2024-01-01T01:00:00.123456+01:00").as_deref(), Ok("2024-01-01T00:00:00.123456Z"));
    }

    #[test]
    fn bad_times_fail_in_upstreams_words() {
        for (text, message) in [
            ("abc", r#"parsing time "abc" as "2006-01-02T15:04:05Z07:00": cannot parse "abc" as "2006""#),
            ("", r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            ("2024-01-01", r#"parsing time "2024-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
            ("2023-02-30T00:00:00Z", r#"parsing time "2023-02-30T00:00:00Z": day out of range"#),
            ("2023-13-01T00:00:00Z", r#"parsing time "2023-13-01T00:00:00Z": month out of range"#),
            ("2023-01-01T00:00:00Zx", r#"parsing time "2023-01-01T00:00:00Zx": extra text: "x""#),
            ("0000-01-01T01:04:05+01:30", r#"parsing time "0000-01-01T01:04:05+01:30": year out of range"#),
        ] {
            assert_eq!(canonical(text).unwrap_err().to_string(), message);
        }
        assert!(canonical_micro("2024-01-01T00:00:00Z").is_err());
    }

    #[test]
    fn durations_print_and_read_as_in_go() {
        for (text, canonical) in [
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("0", "0s"),
            ("-300ms", "-300ms"),
            ("1500us", "1.5ms"),
            ("1h0.5s", "1h0m0.5s"),
        ] {
            assert_eq!(parse_duration(text).map(format_duration).as_deref(), Ok(canonical));
        }
        for (text, message) in [
            ("5", r#"time: missing unit in duration "5""#),
            ("5x", r#"time: unknown unit "x" in duration "5x""#),
            ("", r#"time: invalid duration """#),
            ("s", r#"time: invalid duration "s""#),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), message);
        }
    }
}
