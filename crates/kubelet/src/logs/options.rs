//! What `kubectl logs` may ask for, read from a query string.

use base::Timestamp;
use jiff::SignedDuration;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    pub tail_lines: Option<u64>,
    pub limit_bytes: Option<u64>,
    /// `stdout` or `stderr`; None: both.
    pub stream: Option<&'static str>,
}

impl LogOptions {
    /// # Errors
    /// A value that cannot be read, in words for the user.
    pub fn parse(query: &[(String, String)], now: Timestamp) -> Result<Self, String> {
        let mut options = LogOptions::default();
        for (name, value) in query {
            let number = || value.parse::<u64>().map_err(|_| format!("invalid value {value:?} for {name}"));
            match name.as_str() {
                "follow" => options.follow = is_true(value),
                "previous" => options.previous = is_true(value),
                "timestamps" => options.timestamps = is_true(value),
                "tailLines" => options.tail_lines = Some(number()?),
                "limitBytes" => options.limit_bytes = Some(number()?.max(1)),
                "sinceSeconds" => {
                    let seconds = i64::try_from(number()?).unwrap_or(i64::MAX / 2);
                    options.since = now.checked_sub(SignedDuration::from_secs(seconds)).ok();
                }
                "sinceTime" => {
                    let time = value.parse().map_err(|_| format!("invalid value {value:?} for {name}"))?;
                    options.since = Some(time);
                }
                "stream" => {
                    options.stream = match value.as_str() {
                        "Stdout" => Some("stdout"),
                        "Stderr" => Some("stderr"),
                        "All" | "" => None,
                        other => return Err(format!("invalid value {other:?} for stream")),
                    }
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True")
}
