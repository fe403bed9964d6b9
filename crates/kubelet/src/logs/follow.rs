//! Reading a log for a user: from where they asked, as long as they asked, across rotations.

use super::LogOptions;
use super::line;
use base::Env;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);
const BLOCK: usize = 64 << 10;
/// A single line is cut here when reading backwards would need more.
const LONGEST_LINE: usize = 1 << 20;

/// Tells whether more can come.
pub(crate) trait Source: Send + Sync {
    fn is_running(&self) -> bool;
}

pub(crate) struct Reader<S> {
    env: Env,
    path: PathBuf,
    options: LogOptions,
    source: S,
    file: Option<File>,
    /// Read but not yet a whole line.
    rest: BytesMut,
    sent: u64,
    /// The last line was partial, so the next one goes on in it.
    within_line: bool,
    done: bool,
}

impl<S: Source> Reader<S> {
    /// # Errors
    /// The log cannot be opened.
    pub fn open(env: &Env, path: PathBuf, options: LogOptions, source: S) -> std::io::Result<Self> {
        let mut file = File::open(&path)?;
        if let Some(lines) = options.tail_lines {
            let start = start_of_tail(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Reader {
            env: env.clone(),
            path,
            options,
            source,
            file: Some(file),
            rest: BytesMut::new(),
            sent: 0,
            within_line: false,
            done: false,
        })
    }

    /// The next piece; None at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        while !self.done {
            // Asked before reading: what was written until then is read for certain.
            let running = self.source.is_running();
            let piece = self.read_block();
            if !piece.is_empty() {
                return Some(piece);
            }
            if self.read_more() {
                continue;
            }
            if self.reopen() {
                continue;
            }
            if !self.options.follow || !running {
                self.done = true;
                break;
            }
            self.env.clock.sleep(LOOK).await;
        }
        None
    }

    /// Formats the whole lines that are there.
    fn read_block(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let raw = self.rest.split_to(end + 1);
            self.take(&raw, &mut out);
            if self.done || out.len() >= BLOCK {
                break;
            }
        }
        out.freeze()
    }

    fn take(&mut self, raw: &[u8], out: &mut BytesMut) {
        let Some(line) = line::parse(raw) else { return };
        let other = self.options.stream.is_some_and(|wanted| wanted.as_bytes() != line.stream);
        let early = self.options.since.is_some_and(|since| line.timestamp().is_some_and(|time| time < since));
        if other || early {
            return;
        }
        let from = out.len();
        if self.options.timestamps && !self.within_line {
            out.extend_from_slice(line.time);
            out.extend_from_slice(b" ");
        }
        out.extend_from_slice(line.text);
        if !line.partial {
            out.extend_from_slice(b"\n");
        }
        self.within_line = line.partial;
        let size = u64::try_from(out.len() - from).unwrap_or(u64::MAX);
        match self.options.limit_bytes {
            Some(limit) if self.sent + size >= limit => {
                let keep = usize::try_from(limit - self.sent).unwrap_or(usize::MAX);
                out.truncate(from + keep);
                self.done = true;
            }
            _ => self.sent += size,
        }
    }

    fn read_more(&mut self) -> bool {
        let Some(file) = &mut self.file else { return false };
        let mut block = vec![0; BLOCK];
        match file.read(&mut block) {
            Ok(count) if count > 0 => {
                self.rest.extend_from_slice(&block[..count]);
                true
            }
            _ => false,
        }
    }

    /// After a rotation the log goes on in a new file.
    fn reopen(&mut self) -> bool {
        if !self.options.follow {
            return false;
        }
        let same = |own: &File, other: &File| match (own.metadata(), other.metadata()) {
            (Ok(own), Ok(other)) => own.ino() == other.ino() && own.dev() == other.dev(),
            _ => false,
        };
        let Ok(fresh) = File::open(&self.path) else { return false };
        if self.file.as_ref().is_some_and(|own| same(own, &fresh)) {
            return false;
        }
        self.file = Some(fresh);
        true
    }
}

/// Where the last `lines` lines begin.
fn start_of_tail(file: &mut File, lines: u64) -> std::io::Result<u64> {
    let size = file.metadata()?.len();
    if lines == 0 {
        return Ok(size);
    }
    let mut end = size;
    let mut found = 0;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let length = usize::try_from(end).unwrap_or(BLOCK).min(BLOCK);
        end -= u64::try_from(length).unwrap_or(0);
        file.seek(SeekFrom::Start(end))?;
        file.read_exact(&mut block[..length])?;
        for index in (0..length).rev() {
            let at = end + u64::try_from(index).unwrap_or(0);
            // The last line's own end does not count, nor does one after a partial line.
            if block[index] == b'\n' && at + 1 < size && is_full_before(file, at)? {
                found += 1;
                if found == lines {
                    return Ok(at + 1);
                }
            }
        }
    }
    Ok(0)
}

/// Whether the line that ends at `end` is a full one.
fn is_full_before(file: &mut File, end: u64) -> std::io::Result<bool> {
    let reach = u64::try_from(LONGEST_LINE).unwrap_or(u64::MAX);
    let mut window = 256;
    loop {
        let start = end.saturating_sub(window);
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        let begin = bytes.iter().rposition(|byte| *byte == b'\n').map(|index| index + 1);
        if let Some(begin) = begin.or((start == 0).then_some(0)) {
            bytes.push(b'\n');
            return Ok(line::parse(&bytes[begin..]).is_none_or(|line| !line.partial));
        }
        if window >= reach {
            return Ok(true);
        }
        window *= 8;
    }
}
