//! The log file: one line per event, rotated by size, old files removed by age and number.

use crate::batch::{Backend, Batching, Mode};
use crate::event::{Event, Format};
use crate::metrics::Counters;
use crate::{OpenError, Sink, batch, line};
use base::{Clock, Env, Timestamp};
use bytes::Bytes;
use client::api::BoxFuture;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

const MEGABYTE: u64 = 1 << 20;
/// Where no size is given.
const DEFAULT_SIZE: u64 = 100;
const STAMP: &str = "%Y-%m-%dT%H-%M-%S.%3f";

#[derive(Debug, Clone)]
pub struct LogOptions {
    /// `-`: standard output.
    pub path: String,
    pub format: Format,
    /// In days; 0: for ever.
    pub max_age: u32,
    /// How many old files stay; 0: all.
    pub max_backups: u32,
    /// In megabytes.
    pub max_size: u32,
    pub batching: Batching,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            path: String::new(),
            format: Format::Json,
            max_age: 0,
            max_backups: 0,
            max_size: 0,
            batching: Batching {
                mode: Mode::Blocking,
                buffer: 10_000,
                max_size: 1,
                max_wait: Duration::ZERO,
                throttle: None,
            },
        }
    }
}

pub fn open(env: &Env, options: &LogOptions, counters: &Counters) -> Result<Box<dyn Sink>, OpenError> {
    let output =
        Output::open(options, &env.clock).map_err(|error| OpenError::Log { path: options.path.clone(), error })?;
    let log = Log { output: Mutex::new(output), format: options.format, counters: counters.clone() };
    Ok(match options.batching.mode {
        Mode::Blocking => Box::new(log),
        Mode::Batch => batch::start(env, Arc::new(log), &options.batching, options.format, counters),
    })
}

struct Log {
    output: Mutex<Output>,
    format: Format,
    counters: Counters,
}

impl Log {
    fn write(&self, line: &[u8]) -> io::Result<()> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }
}

impl Sink for Log {
    fn take(&self, event: &Event<'_>) {
        let Some(line) = line(event, self.format) else { return };
        if let Err(error) = self.write(&line) {
            self.counters.failed("log", 1);
            warn!(%error, "cannot write the audit log");
        }
    }
}

impl Backend for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn send(&self, events: Vec<Bytes>) -> BoxFuture<'_, Result<(), String>> {
        let outcome = self.write(&events.concat()).map_err(|error| error.to_string());
        Box::pin(async move { outcome })
    }
}

enum Output {
    Standard,
    File(Rotated),
}

struct Rotated {
    path: PathBuf,
    file: File,
    size: u64,
    most: u64,
    max_age: u32,
    max_backups: u32,
    clock: Clock,
}

impl Output {
    fn open(options: &LogOptions, clock: &Clock) -> io::Result<Self> {
        if options.path == "-" {
            return Ok(Output::Standard);
        }
        let path = PathBuf::from(&options.path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let file = append(&path)?;
        let most = match u64::from(options.max_size) {
            0 => DEFAULT_SIZE,
            given => given,
        };
        Ok(Output::File(Rotated {
            size: file.metadata()?.len(),
            path,
            file,
            most: most * MEGABYTE,
            max_age: options.max_age,
            max_backups: options.max_backups,
            clock: clock.clone(),
        }))
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Output::Standard => io::stdout().lock().write_all(line),
            Output::File(file) => file.write(line),
        }
    }
}

/// Nobody but its owner may read it: it tells who did what, and with what.
fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

impl Rotated {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.size > 0 && self.size + length > self.most {
            self.rotate()?;
        }
        // One call for the line: a crash leaves no half of it behind another.
        self.file.write_all(line)?;
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        std::fs::rename(&self.path, self.backup(now))?;
        self.file = append(&self.path)?;
        self.size = 0;
        if let Err(error) = self.clean(now) {
            warn!(%error, "cannot remove old audit logs");
        }
        Ok(())
    }

    /// `audit-2026-11-21T05-00-00.000.log`
    fn backup(&self, now: Timestamp) -> PathBuf {
        let (stem, ending) = self.names();
        self.path.with_file_name(format!("{stem}-{}{ending}", now.strftime(STAMP)))
    }

    fn names(&self) -> (String, String) {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let ending = self.path.extension().map(|ending| format!(".{}", ending.to_string_lossy())).unwrap_or_default();
        (stem, ending)
    }

    fn clean(&self, now: Timestamp) -> io::Result<()> {
        let (stem, ending) = self.names();
        let (start, folder) = (format!("{stem}-"), self.path.parent().filter(|folder| !folder.as_os_str().is_empty()));
        let mut old: Vec<(String, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let stamp = name.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&ending));
            // Only what this made: another file beside it is nobody's to remove.
            if let Some(stamp) = stamp.filter(|stamp| stamp.len() == "2026-11-21T05-00-00.000".len()) {
                old.push((stamp.to_owned(), entry.path()));
            }
        }
        old.sort_by(|one, other| other.0.cmp(&one.0));
        let days = i64::from(self.max_age) * 24 * 3600;
        let oldest = Timestamp::from_second(now.as_second() - days).unwrap_or(now).strftime(STAMP).to_string();
        for (at, (stamp, path)) in old.iter().enumerate() {
            let is_many = self.max_backups > 0 && at >= self.max_backups as usize;
            if is_many || (self.max_age > 0 && *stamp < oldest) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn files_rotate_by_size_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let path = folder.path().join("audit.log");
        let options = LogOptions {
            path: path.display().to_string(),
            max_size: 1,
            max_backups: 2,
            max_age: 1,
            ..LogOptions::default()
        };
        let mut output = Output::open(&options, &clock).unwrap();
        let big = vec![b'x'; 700 << 10];
        let names = || {
            let mut names: Vec<String> = std::fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        std::fs::write(folder.path().join("audit-mine.log"), "kept").unwrap();
        for _ in 0..5 {
            clock.sleep(Duration::from_secs(10)).await;
            output.write(&big).unwrap();
        }
        let stamped = |time: &str| format!("audit-1970-01-01T{time}.000.log");
        assert_eq!(
            names(),
            [stamped("00-00-40"), stamped("00-00-50"), "audit-mine.log".to_owned(), "audit.log".to_owned()]
        );
        clock.sleep(Duration::from_secs(3 * 24 * 3600)).await;
        output.write(&big).unwrap();
        assert_eq!(names().len(), 3, "{:?}", names());
    }
}
