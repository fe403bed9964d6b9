//! Semantic versions. Comparison stands with that of quantities, under the same names.

use super::Held;
use crate::cost::Price;
use crate::evaluate::Meter;
use crate::fault::Fault;
use crate::functions::Function;
use crate::value::Value;
use std::cmp::Ordering;

pub const FUNCTIONS: &[Function] = &[
    Function::new("semver", &["(string) semver", "(string, bool) semver"], Price::First(1), semver),
    Function::new("isSemver", &["(string) bool", "(string, bool) bool"], Price::First(1), |_, values| {
        Ok(Value::Bool(read(values)?.is_ok()))
    }),
    Function::new("major", &["semver.() int"], Price::One, |_, values| part(values, 0)),
    Function::new("minor", &["semver.() int"], Price::One, |_, values| part(values, 1)),
    Function::new("patch", &["semver.() int"], Price::One, |_, values| part(values, 2)),
];

type Result<'a> = std::result::Result<Value<'a>, Fault>;

pub struct Version {
    numbers: [u64; 3],
    before: Vec<String>,
}

impl Version {
    /// Strict, or as people write it: a leading v, missing parts, leading zeros.
    pub fn parse(text: &str, normalize: bool) -> std::result::Result<Version, String> {
        let text = if normalize { text.trim().strip_prefix('v').unwrap_or(text.trim()) } else { text };
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
        let parts: Vec<&str> = core.split('.').collect();
        if parts.len() > 3 || (!normalize && parts.len() != 3) {
            return Err("No Major.Minor.Patch elements found".to_owned());
        }
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(parts) {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("Invalid character(s) found in version number {part:?}"));
            }
            if !normalize && part.len() > 1 && part.starts_with('0') {
                return Err(format!("Version number must not contain leading zeroes {part:?}"));
            }
            *number = part.parse().map_err(|_| format!("version number {part:?} is too large"))?;
        }
        let fits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric());
        let lists = [before, build];
        if let Some(wrong) = lists.into_iter().flatten().flat_map(|list| list.split('.')).find(|part| !fits(part)) {
            return Err(format!("Invalid character(s) found in prerelease {wrong:?}"));
        }
        let before: Vec<String> = before.map_or(Vec::new(), |list| list.split('.').map(str::to_owned).collect());
        let is_number =
            |part: &&String| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        match before.iter().find(is_number) {
            Some(part) => Err(format!("Numeric PreRelease version must not contain leading zeroes {part:?}")),
            None => Ok(Version { numbers, before }),
        }
    }

    pub fn cmp(&self, other: &Version) -> Ordering {
        let before = match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let pairs = self.before.iter().zip(&other.before).map(|(a, b)| compare_parts(a, b));
                pairs.fold(Ordering::Equal, Ordering::then).then(self.before.len().cmp(&other.before.len()))
            }
        };
        self.numbers.cmp(&other.numbers).then(before)
    }
}

/// Numbers by amount, and before words.
fn compare_parts(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

fn read(values: &[Value<'_>]) -> std::result::Result<std::result::Result<Version, String>, Fault> {
    match values {
        [Value::String(text)] => Ok(Version::parse(text, false)),
        [Value::String(text), Value::Bool(normalize)] => Ok(Version::parse(text, *normalize)),
        _ => Err(Fault::no_overload()),
    }
}

fn semver<'a>(_: &mut Meter, values: &[Value<'a>]) -> Result<'a> {
    read(values)?.map(|version| Value::held(Held::Semver(version))).map_err(Fault::new)
}

fn part<'a>(values: &[Value<'a>], at: usize) -> Result<'a> {
    let [Value::Opaque(held)] = values else { return Err(Fault::no_overload()) };
    let Held::Semver(version) = &**held else { return Err(Fault::no_overload()) };
    Ok(Value::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX)))
}
