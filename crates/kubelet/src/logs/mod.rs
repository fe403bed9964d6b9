//! Container logs on disk: CRI format, written by pod inits, read and rotated here.
//!
//! A line is `<time> <stream> <P|F> <text>`; P says that the line goes on in the next.

mod follow;
mod line;
mod options;
mod rotate;

pub(crate) use follow::{Reader, Source};
pub(crate) use options::LogOptions;
pub(crate) use rotate::start as start_rotation;

use std::path::Path;

/// The end of a log as plain text: at most so many lines and bytes.
pub fn tail(path: &Path, lines: usize, bytes: u64) -> String {
    let Ok(text) = std::fs::read(path) else { return String::new() };
    let mut plain = Vec::new();
    for raw in text.split_inclusive(|byte| *byte == b'\n') {
        if let Some(line) = line::parse(raw) {
            plain.extend_from_slice(line.text);
            if !line.partial {
                plain.push(b'\n');
            }
        }
    }
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut start = plain.len();
    let mut seen = 0;
    for (index, byte) in plain.iter().enumerate().rev() {
        let ends_line = *byte == b'\n' && index + 1 < plain.len();
        seen += usize::from(ends_line);
        if seen >= lines || plain.len() - index > wanted {
            break;
        }
        start = index;
    }
    String::from_utf8_lossy(&plain[start..]).into_owned()
}

/// Removes a log with everything that rotation made of it.
pub fn remove(path: &Path) {
    let Some((parent, name)) = path.parent().zip(path.file_name().and_then(|name| name.to_str())) else { return };
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|own| own == name || own.starts_with(&format!("{name}."))) {
            // What is gone already needs no removal.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
