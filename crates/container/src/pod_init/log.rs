//! A container's log in the CRI format: `<time> <stream> <P or F> <text>`, one line per line of
//! output, long ones in parts.

use std::os::fd::OwnedFd;
use sys::process;

/// Longest text of one log line.
const MAX_LINE: usize = 16 * 1024;

const STREAMS: [&str; 2] = ["stdout", "stderr"];

pub struct Log {
    file: OwnedFd,
    /// Begun lines of both streams.
    begun: [Vec<u8>; 2],
}

impl Log {
    pub fn new(file: OwnedFd) -> Self {
        Log { file, begun: [Vec::new(), Vec::new()] }
    }

    pub fn reopen(&mut self, file: OwnedFd) {
        self.file = file;
    }

    /// Logs what was read from a stream (0: stdout, 1: stderr).
    pub fn write(&mut self, stream: usize, mut bytes: &[u8]) {
        let prefix = format!("{} {}", timestamp(process::wall_clock()), STREAMS[stream]);
        let mut out = Vec::with_capacity(bytes.len() + 2 * prefix.len() + 8);
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(stream, &prefix, &bytes[..end], &mut out);
            line(&mut out, &prefix, b" F ", &std::mem::take(&mut self.begun[stream]));
            bytes = &bytes[end + 1..];
        }
        self.add(stream, &prefix, bytes, &mut out);
        self.put(&out);
    }

    /// The stream has ended: its last line may have no newline, and readers are to add none.
    pub fn end(&mut self, stream: usize) {
        let rest = std::mem::take(&mut self.begun[stream]);
        if !rest.is_empty() {
            let prefix = format!("{} {}", timestamp(process::wall_clock()), STREAMS[stream]);
            let mut out = Vec::new();
            line(&mut out, &prefix, b" P ", &rest);
            self.put(&out);
        }
    }

    /// Appends to the begun line; what is longer than a line goes out in parts.
    fn add(&mut self, stream: usize, prefix: &str, bytes: &[u8], out: &mut Vec<u8>) {
        let begun = &mut self.begun[stream];
        begun.extend_from_slice(bytes);
        while begun.len() > MAX_LINE {
            line(out, prefix, b" P ", &begun[..MAX_LINE]);
            begun.drain(..MAX_LINE);
        }
    }

    /// A full disk loses lines but never stops the container.
    fn put(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(&self.file, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

fn line(out: &mut Vec<u8>, prefix: &str, tag: &[u8], text: &[u8]) {
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(tag);
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// RFC 3339 in UTC with nine digits of a second.
fn timestamp(nanos: i64) -> String {
    let (seconds, nanos) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

/// The date of a day since 1970-01-01, by counting 400-year cycles from a March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let cycle = days.div_euclid(146_097);
    let day_of_cycle = days.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};
    use std::os::fd::AsFd;

    #[test]
    fn times_are_rfc_3339() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (1_767_225_599_999_999_999, "2025-12-31T23:59:59.999999999Z"),
            (1_767_225_600_000_000_000, "2026-01-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(timestamp(nanos), text);
        }
    }

    /// What comes out for pieces of output, without times.
    fn logged(pieces: &[(usize, &[u8])]) -> Vec<String> {
        let file = rustix::fs::memfd_create("log", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut log = Log::new(file.try_clone().unwrap());
        for (stream, bytes) in pieces {
            log.write(*stream, bytes);
        }
        log.end(0);
        log.end(1);
        let mut file = std::fs::File::from(file.as_fd().try_clone_to_owned().unwrap());
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn lines_are_joined_and_split() {
        assert_eq!(
            logged(&[(0, b"one\ntw"), (1, b"err\n"), (0, b"o\n\nend")]),
            ["stdout F one", "stderr F err", "stdout F two", "stdout F ", "stdout P end"]
        );
        let exact = vec![b'x'; MAX_LINE];
        let mut long = exact.clone();
        long.extend_from_slice(b"yz\n");
        let full = "x".repeat(MAX_LINE);
        assert_eq!(logged(&[(0, &exact), (0, b"\n")]), [format!("stdout F {full}")]);
        assert_eq!(logged(&[(0, &long)]), [format!("stdout P {full}"), "stdout F yz".to_owned()]);
    }
}
