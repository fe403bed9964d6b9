//! Key and certificate files: written whole or not at all, private ones for their owner only.

use super::Error;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// A file that only its owner may read.
///
/// # Errors
/// [`Error::WriteFile`].
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), Error> {
    write(path, contents, 0o600, true).map_err(|source| Error::WriteFile { path: path.to_owned(), source })
}

/// As [`write_private`], for what can be made again: not waiting for the disk, so that after a power
/// loss it may be old, empty or missing.
///
/// # Errors
/// [`Error::WriteFile`].
pub fn write_replaceable(path: &Path, contents: &[u8]) -> Result<(), Error> {
    write(path, contents, 0o600, false).map_err(|source| Error::WriteFile { path: path.to_owned(), source })
}

/// A file that everybody may read.
///
/// # Errors
/// [`Error::WriteFile`].
pub fn write_public(path: &Path, contents: &[u8]) -> Result<(), Error> {
    write(path, contents, 0o644, true).map_err(|source| Error::WriteFile { path: path.to_owned(), source })
}

/// The file's text; None where there is no such file.
///
/// # Errors
/// [`Error::ReadFile`].
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::ReadFile { path: path.to_owned(), source }),
    }
}

/// Through a new file beside it, so that a crash leaves the old or the new one and never a half; the
/// mode is set before the contents are there.
fn write(path: &Path, contents: &[u8], mode: u32, durable: bool) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = parent.join(name);
    let outcome = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(contents)?;
        if durable {
            file.sync_all()?;
        }
        fs::rename(&beside, path)?;
        if durable { fs::File::open(parent)?.sync_all() } else { Ok(()) }
    })();
    if outcome.is_err() {
        let _ = fs::remove_file(&beside);
    }
    outcome
}
