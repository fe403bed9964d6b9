//! Quantities: fixed-point numbers with a suffix, as `500m`, `1536Mi` or `2e3`, in upstream's
//! canonical text form (apimachinery `api/resource`).
//!
//! Held in billionths, as finer parts are rounded up there too. Knows nothing of resource names.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

/// How a quantity was written, which decides how it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `k`, `M`, `G`: powers of 1000.
    #[default]
    DecimalSi,
    /// `Ki`, `Mi`, `Gi`: powers of 1024.
    BinarySi,
    /// `e3`, `e6`.
    DecimalExponent,
}

/// Equal and ordered by amount alone: `1Ki` equals `1024`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("unable to parse numeric part of quantity")]
    Numeric,
}

const UNIT: i128 = 1_000_000_000;

/// Suffix, power of ten; in billionths all exponents are positive.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    pub const fn new(units: i64, format: Format) -> Self {
        Quantity { nanos: units as i128 * UNIT, format }
    }

    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        text.parse()
    }

    pub const fn from_milli(millis: i64, format: Format) -> Self {
        Quantity { nanos: millis as i128 * 1_000_000, format }
    }

    pub const fn milli(millis: i64) -> Self {
        Quantity { nanos: millis as i128 * 1_000_000, format: Format::DecimalSi }
    }

    /// Bytes, printed as `Ki`, `Mi`, ...
    pub const fn bytes(bytes: i64) -> Self {
        Quantity::new(bytes, Format::BinarySi)
    }

    /// Whole units, fractions rounded up, as upstream's `Value()`.
    pub fn value(&self) -> i64 {
        saturate(ceil(self.nanos, UNIT))
    }

    /// Thousandths, finer parts rounded up, as upstream's `MilliValue()`.
    pub fn milli_value(&self) -> i64 {
        saturate(ceil(self.nanos, 1_000_000))
    }

    /// The amount over `divisor`, rounded up; a divisor of zero counts as one.
    pub fn divided_by(&self, divisor: Quantity) -> i64 {
        let by = if divisor.nanos == 0 { UNIT } else { divisor.nanos };
        saturate(ceil(self.nanos, by))
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(&self) -> bool {
        self.nanos % UNIT == 0
    }

    pub fn format(&self) -> Format {
        self.format
    }
}

/// Divides, rounding away from zero.
fn ceil(number: i128, by: i128) -> i128 {
    let whole = number / by;
    if number % by == 0 { whole } else { whole + number.signum() * by.signum() }
}

/// The text that upstream stores for a quantity: canonical, except that it keeps a text which its
/// quick check takes for canonical (`1.234`, `1E3`).
pub fn canonical(text: &str) -> Result<Cow<'_, str>, QuantityError> {
    let quantity: Quantity = text.parse()?;
    Ok(if passes_for_canonical(text) { Cow::Borrowed(text) } else { Cow::Owned(quantity.to_string()) })
}

/// Upstream's check, on a text that is a quantity: few enough digits, no more zeros than needed, a
/// scale that has a suffix.
fn passes_for_canonical(text: &str) -> bool {
    let unsigned = text.trim_start_matches(['-', '+']).trim_start_matches('0');
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = whole.len() + fraction.len();
    match read_suffix(suffix) {
        Ok((_, Scale::Two(power))) => {
            let small = digits + (power as usize * 3 / 10) < 15;
            fraction.is_empty() && small && whole.parse().is_ok_and(|number: u64| !number.is_multiple_of(8))
        }
        Ok((_, Scale::Ten(power))) => {
            let scale = power - i32::try_from(fraction.len()).unwrap_or(i32::MAX);
            let zeros = [whole, fraction].concat().ends_with("000");
            !whole.is_empty() && digits <= 18 && scale >= -9 && scale % 3 == 0 && !zeros
        }
        Err(_) => text == "0",
    }
}

fn saturate(number: i128) -> i64 {
    i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX })
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        // No digits at all pass for zero, as upstream's reader has it.
        let (whole, rest) = split_digits(rest);
        let (fraction, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        let (format, scale) = read_suffix(suffix)?;
        if format == Format::BinarySi && whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Numeric);
        }
        let nanos = scaled(whole, fraction, scale).ok_or(QuantityError::Numeric)?;
        Ok(Quantity { nanos: if negative { -nanos } else { nanos }, format })
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

enum Scale {
    Ten(i32),
    Two(u32),
}

fn read_suffix(suffix: &str) -> Result<(Format, Scale), QuantityError> {
    if let Some((_, power)) = DECIMAL.iter().find(|row| row.0 == suffix) {
        return Ok((Format::DecimalSi, Scale::Ten(*power)));
    }
    if let Some((_, power)) = BINARY.iter().find(|row| row.0 == suffix) {
        return Ok((Format::BinarySi, Scale::Two(*power)));
    }
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(QuantityError::Format);
    }
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError::Suffix)?;
    let power: i32 = digits.parse().map_err(|_| QuantityError::Suffix)?;
    Ok((Format::DecimalExponent, Scale::Ten(power.clamp(-40, 40))))
}

/// `whole.fraction` times the scale in billionths, away from zero where it does not come out even.
/// Upstream bounds binary ones; of the others those above 10^29 are None.
fn scaled(whole: &str, fraction: &str, scale: Scale) -> Option<i128> {
    let fraction = fraction.trim_end_matches('0');
    let digits = fold(whole).and_then(|n| fraction.bytes().try_fold(n, push));
    let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let (power, factor) = match &scale {
        Scale::Ten(power) => (9 + *power - places, 1),
        Scale::Two(power) => (9 - places, 1i128 << *power),
    };
    let limit = matches!(scale, Scale::Two(_)).then_some(i128::from(i64::MAX) * UNIT);
    let Some(number) = digits.and_then(|n| n.checked_mul(factor)) else { return limit };
    let ten = 10i128.checked_pow(power.unsigned_abs());
    let nanos = match ten {
        _ if number == 0 => Some(0),
        Some(ten) if power < 0 => Some(ceil(number, ten)),
        Some(ten) => number.checked_mul(ten),
        None if power < 0 => Some(1),
        None => None,
    };
    nanos.map(|nanos| limit.map_or(nanos, |limit| nanos.min(limit))).or(limit)
}

fn fold(digits: &str) -> Option<i128> {
    digits.bytes().try_fold(0, push)
}

fn push(number: i128, digit: u8) -> Option<i128> {
    number.checked_mul(10)?.checked_add(i128::from(digit - b'0'))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.format {
            Format::BinarySi if self.nanos.abs() >= 1024 * UNIT && self.is_whole() => {
                let mut number = self.nanos.abs() / UNIT;
                let mut suffix = "";
                for (name, _) in BINARY {
                    if number % 1024 != 0 {
                        break;
                    }
                    number /= 1024;
                    suffix = name;
                }
                let sign = if self.nanos < 0 { "-" } else { "" };
                write!(f, "{sign}{number}{suffix}")
            }
            format => {
                let mut number = self.nanos;
                let mut index = 0;
                while number != 0 && number % 1000 == 0 && index + 1 < DECIMAL.len() {
                    number /= 1000;
                    index += 1;
                }
                let (suffix, power) = DECIMAL[index];
                match format {
                    _ if number == 0 => f.write_str("0"),
                    Format::DecimalExponent if power != 0 => write!(f, "{number}e{power}"),
                    _ => write!(f, "{number}{suffix}"),
                }
            }
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The sum is written as the first was, unless that was zero.
impl Add for Quantity {
    type Output = Quantity;

    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Quantity { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Quantity { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_canonical_form() {
        for (text, canonical) in [
            ("0", "0"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("0.5", "500m"),
            ("1024Ki", "1Mi"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000", "1k"),
            ("1000k", "1M"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("1000e3", "1e6"),
            ("5E", "5E"),
            ("-5m", "-5m"),
            ("+3", "3"),
            ("1.25", "1250m"),
            ("100n", "100n"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.1n", "1n"),
            ("1023Ki", "1023Ki"),
            ("1.0001Ki", "1024102400u"),
            (".", "0"),
            ("m", "0"),
        ] {
            assert_eq!(text.parse::<Quantity>().map(|q| q.to_string()).as_deref(), Ok(canonical), "{text}");
        }
    }

    #[test]
    fn keeps_what_passes_for_canonical() {
        for (text, stored) in [
            ("0", "0"),
            ("1.234", "1.234"),
            ("1.500", "1.500"),
            ("0.500", "500m"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("1E3", "1E3"),
            ("1024Mi", "1Gi"),
            ("1025Mi", "1025Mi"),
            ("1.5Gi", "1536Mi"),
            ("128974848", "128974848"),
            ("1000", "1k"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(stored));
        }
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in ["", "1.2.3", "1x", "1mm", "abc", "1 ", "--1", "1ee3", "1e", "K"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn values_round_up() {
        let quantity: Quantity = "1500m".parse().unwrap();
        assert_eq!((quantity.value(), quantity.milli_value()), (2, 1500));
        assert_eq!("1Gi".parse::<Quantity>().unwrap().divided_by("1Mi".parse().unwrap()), 1024);
        assert_eq!("9999999999999999999Ei".parse::<Quantity>().unwrap().value(), i64::MAX);
        assert_eq!("9999999999999999999999999E".parse::<Quantity>(), Err(QuantityError::Numeric));
        assert_eq!("99999999999E".parse::<Quantity>().unwrap().value(), i64::MAX);
        assert_eq!("-1500m".parse::<Quantity>().unwrap().value(), -2);
        let parse = |text: &str| text.parse::<Quantity>().unwrap();
        assert!(parse("1Ki") == parse("1024") && parse("1") < parse("1001m"));
    }
}
