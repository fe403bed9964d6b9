//! Timestamps and durations.

use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

const PARTS: &[&str] = &["timestamp.() int", "timestamp.(string) int"];
/// Parts that durations have as well, as totals.
const CLOCK: &[&str] = &["timestamp.() int", "timestamp.(string) int", "duration.() int"];

pub const FUNCTIONS: &[Function] = &[
    Function::new(
        "timestamp",
        &["(timestamp) timestamp", "(string) timestamp", "(int) timestamp"],
        Price::One,
        timestamp,
    ),
    Function::new("duration", &["(duration) duration", "(string) duration", "(int) duration"], Price::One, duration),
    Function::new("getFullYear", PARTS, Price::One, |_, values| part(values, |time| i64::from(time.year()))),
    Function::new("getMonth", PARTS, Price::One, |_, values| part(values, |time| i64::from(time.month()) - 1)),
    Function::new("getDayOfYear", PARTS, Price::One, |_, values| {
        part(values, |time| i64::from(time.day_of_year()) - 1)
    }),
    Function::new("getDayOfMonth", PARTS, Price::One, |_, values| part(values, |time| i64::from(time.day()) - 1)),
    Function::new("getDate", PARTS, Price::One, |_, values| part(values, |time| i64::from(time.day()))),
    Function::new("getDayOfWeek", PARTS, Price::One, |_, values| {
        part(values, |time| i64::from(time.weekday().to_sunday_zero_offset()))
    }),
    Function::new("getHours", CLOCK, Price::One, |_, values| {
        clock(values, 3_600_000_000_000, |time| i64::from(time.hour()))
    }),
    Function::new("getMinutes", CLOCK, Price::One, |_, values| {
        clock(values, 60_000_000_000, |time| i64::from(time.minute()))
    }),
    Function::new("getSeconds", CLOCK, Price::One, |_, values| {
        clock(values, 1_000_000_000, |time| i64::from(time.second()))
    }),
    Function::new("getMilliseconds", CLOCK, Price::One, |_, values| match values {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / 1_000_000 % 1000)),
        _ => part(values, |time| i64::from(time.millisecond())),
    }),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

/// Years 1 to 9999.
const FIRST: i128 = -62_135_596_800 * 1_000_000_000;
const LAST: i128 = 253_402_300_800 * 1_000_000_000 - 1;

/// RFC 3339, or a date alone, as JSON has them.
pub fn instant(text: &str) -> Option<Timestamp> {
    if text.len() == 10 {
        return format!("{text}T00:00:00Z").parse().ok();
    }
    let has_offset = text.ends_with(['Z', 'z']) || text.get(text.len().checked_sub(6)?..)?.starts_with(['+', '-']);
    let shaped = has_offset && text.as_bytes().get(10).is_some_and(|byte| b"Tt".contains(byte));
    shaped.then(|| text.parse().ok()).flatten().filter(|moment: &Timestamp| in_range(moment.as_nanosecond()))
}

fn in_range(nanos: i128) -> bool {
    (FIRST..=LAST).contains(&nanos)
}

/// As `string()` shows a duration: seconds with what fraction they have.
pub fn seconds(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let amount = nanos.unsigned_abs();
    let (whole, fraction) = (amount / 1_000_000_000, amount % 1_000_000_000);
    match fraction {
        0 => format!("{sign}{whole}s"),
        _ => format!("{sign}{whole}.{}s", format!("{fraction:09}").trim_end_matches('0')),
    }
}

pub fn shift<'a>(moment: Timestamp, nanos: i128) -> Result<'a> {
    let moved = moment.as_nanosecond() + nanos;
    let moved = in_range(moved).then(|| Timestamp::from_nanosecond(moved).ok()).flatten();
    moved.map(Value::Timestamp).ok_or_else(|| Fault::new("timestamp overflow"))
}

fn timestamp<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Timestamp(moment)] => Ok(Value::Timestamp(*moment)),
        [Value::String(text)] => {
            let moment = if text.len() == 10 { None } else { instant(text) };
            let wrong =
                || Fault::new(format!("parsing time {:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse", &**text));
            moment.map(Value::Timestamp).ok_or_else(wrong)
        }
        [Value::Int(seconds)] => shift(Timestamp::UNIX_EPOCH, i128::from(*seconds) * 1_000_000_000),
        _ => Err(Fault::no_overload()),
    }
}

fn duration<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    match values {
        [Value::Duration(nanos)] | [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
        [Value::String(text)] => {
            let parsed = meta::time::parse_duration(text);
            parsed.map(Value::Duration).map_err(|error| Fault::new(error.to_string()))
        }
        _ => Err(Fault::no_overload()),
    }
}

fn part<'a>(values: &[Value<'a>], of: fn(&jiff::Zoned) -> i64) -> Result<'a> {
    let (moment, zone) = match values {
        [Value::Timestamp(moment)] => (moment, TimeZone::UTC),
        [Value::Timestamp(moment), Value::String(name)] => (moment, zone(name)?),
        _ => return Err(Fault::no_overload()),
    };
    Ok(Value::Int(of(&moment.to_zoned(zone))))
}

fn clock<'a>(values: &[Value<'a>], unit: i64, of: fn(&jiff::Zoned) -> i64) -> Result<'a> {
    match values {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => part(values, of),
    }
}

/// A zone's name, or an offset as `+02:00`.
fn zone(name: &str) -> std::result::Result<TimeZone, Fault> {
    let unknown = || Fault::new(format!("unknown time zone {name}"));
    if let Some((hours, minutes)) = name.split_once(':') {
        let negative = hours.starts_with('-');
        let hours: i32 = hours.trim_start_matches(['+', '-']).parse().map_err(|_| unknown())?;
        let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
        let seconds =
            hours.checked_mul(3600).and_then(|s| s.checked_add(minutes.checked_mul(60)?)).ok_or_else(unknown)?;
        let offset = Offset::from_seconds(if negative { -seconds } else { seconds }).map_err(|_| unknown())?;
        return Ok(TimeZone::fixed(offset));
    }
    match name {
        "UTC" | "" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|_| unknown()),
    }
}
