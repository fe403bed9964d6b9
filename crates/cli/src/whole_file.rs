//! Replacing a file of the user's as a whole, so that no reader ever sees half of it. Called for
//! kubeconfigs and preferences.

use std::io::Write as _;
use std::path::Path;

/// The folder is made where there is none; only the user may read the file.
pub fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut fresh = tempfile::Builder::new().prefix(".kubectl-").tempfile_in(folder)?;
    fresh.write_all(text.as_bytes())?;
    fresh.as_file().sync_all()?;
    fresh.persist(path)?;
    Ok(())
}
