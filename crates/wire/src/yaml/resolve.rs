//! What an unquoted word means: YAML 1.1 as Go's yaml package reads it. The writer asks the same
//! question to know which strings it must quote.

use serde_json::{Number, Value};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    Text,
    Null,
    Bool(bool),
    Number(Number),
    /// A number that JSON has no form for: `.inf`, `.nan`.
    NotFinite,
    /// `2001-01-01`: stays text when read, but is quoted when written.
    Timestamp,
}

pub(super) fn resolve(word: &str) -> Meaning {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Meaning::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Meaning::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Meaning::Bool(false);
        }
        _ => {}
    }
    let infinite = [".inf", ".Inf", ".INF"].contains(&word.trim_start_matches(['+', '-']));
    if infinite || [".nan", ".NaN", ".NAN"].contains(&word) {
        return Meaning::NotFinite;
    }
    if !word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Meaning::Text;
    }
    if is_timestamp(word) {
        return Meaning::Timestamp;
    }
    number(word).map_or(Meaning::Text, Meaning::Number)
}

/// Integers in all of Go's bases (a leading 0 is octal), then decimal floats.
fn number(word: &str) -> Option<Number> {
    let plain = word.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    if let Some(magnitude) = integer(digits) {
        return match (negative, i64::try_from(magnitude)) {
            (false, _) => Some(Number::from(magnitude)),
            (true, Ok(value)) => Some(Number::from(-value)),
            (true, Err(_)) if magnitude == 1 << 63 => Some(Number::from(i64::MIN)),
            (true, Err(_)) => float(&plain),
        };
    }
    is_float_form(digits).then(|| float(&plain))?
}

fn integer(digits: &str) -> Option<u64> {
    let prefixed = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    let (radix, rest) = prefixed
        .iter()
        .find_map(|(prefix, radix)| Some((*radix, digits.strip_prefix(prefix)?)))
        .or_else(|| Some((8, digits.strip_prefix('0').filter(|rest| !rest.is_empty())?)))
        .unwrap_or((10, digits));
    if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(rest, radix).ok()
}

/// `[0-9]+(\.[0-9]*)?` or `\.[0-9]+`, then an exponent.
fn is_float_form(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            all_digits(whole) && all_digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_fits && exponent_fits
}

/// Whole floats become integers, as Go's JSON encoder writes them.
fn float(text: &str) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value: f64 = text.parse().ok()?;
    #[allow(clippy::cast_possible_truncation)]
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// `2006-1-2`, with a time behind a `T`, `t` or blank.
fn is_timestamp(word: &str) -> bool {
    let Some((date, time)) = word.split_at_checked(word.find(['T', 't', ' ']).unwrap_or(word.len())) else {
        return false;
    };
    let short = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let in_range = |text: &str, low: u8, high: u8| {
        short(text) && text.parse::<u8>().is_ok_and(|number| (low..=high).contains(&number))
    };
    if year.len() != 4 || !year.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    if !in_range(month, 1, 12) || !in_range(day, 1, 31) {
        return false;
    }
    let Some(separator) = time.chars().next() else { return true };
    let time = &time[1..];
    // Only the blank-separated form goes without a zone.
    let clock = if separator == ' ' {
        time
    } else if let Some(clock) = time.strip_suffix('Z') {
        clock
    } else {
        let Some((clock, zone)) = time.split_at_checked(time.len().saturating_sub(6)) else { return false };
        let bytes = zone.as_bytes();
        if bytes.len() != 6 || !matches!(bytes[0], b'+' | b'-') || bytes[3] != b':' {
            return false;
        }
        clock
    };
    let mut parts = clock.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    in_range(hour, 0, 23)
        && in_range(minute, 0, 59)
        && in_range(second, 0, 59)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// `1:30`: YAML 1.1 had such numbers. Never read as one, but quoted for those who do.
pub(super) fn is_base_60(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-']).unwrap_or(word);
    let mut parts = word.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !digits(first) {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixtieth = |text: &str| match text.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|part| sixtieth(part)) && sixtieth(last) && digits(fraction)
}

impl Meaning {
    pub fn into_value(self, word: &str) -> Option<Value> {
        match self {
            Meaning::Text | Meaning::Timestamp => Some(Value::String(word.to_owned())),
            Meaning::Null => Some(Value::Null),
            Meaning::Bool(value) => Some(Value::Bool(value)),
            Meaning::Number(number) => Some(Value::Number(number)),
            Meaning::NotFinite => None,
        }
    }
}
