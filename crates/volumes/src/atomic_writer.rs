//! Writes a set of files so that a reader sees the old set or the new one, never a mixture.
//!
//! Files lie in a directory named by time; `..data` points to it and is swapped by rename; what a
//! container sees are links through `..data`. Containers' applications watch for just this layout.

use crate::VolumeError;
use crate::ownership::give_to_group;
use rustix::fs::Uid;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    pub content: Vec<u8>,
    pub mode: u32,
    /// Owner, where it is not root.
    pub user: Option<u32>,
}

/// Files by path relative to the volume.
pub type Payload = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Makes `target` show exactly `payload`. Does nothing where it does already.
///
/// # Errors
/// A path of the payload leaves the volume, or the file system fails.
pub fn write(
    target: &Path,
    payload: &Payload,
    group: Option<u32>,
    now: base::Timestamp,
    unique: u64,
) -> Result<bool, VolumeError> {
    payload.keys().try_for_each(|path| check_path(path))?;
    let old = std::fs::read_link(target.join(DATA)).ok();
    if let Some(old) = &old
        && shows(&target.join(old), payload)
    {
        return Ok(false);
    }
    let stamp = now.strftime("%Y_%m_%d_%H_%M_%S");
    let name = format!("..{stamp}.{unique}");
    let fresh = target.join(&name);
    write_files(&fresh, payload)?;
    if let Some(group) = group {
        give_to_group(&fresh, group, true, false)?;
    }
    let link = target.join(DATA_NEW);
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&name, &link).map_err(|error| VolumeError::io("link", &link, error))?;
    std::fs::rename(&link, target.join(DATA)).map_err(|error| VolumeError::io("rename", &link, error))?;
    show(target, payload)?;
    if let Some(old) = old {
        let old = target.join(old);
        std::fs::remove_dir_all(&old).map_err(|error| VolumeError::io("remove", &old, error))?;
    }
    Ok(true)
}

fn check_path(path: &str) -> Result<(), VolumeError> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if path.is_empty() || !plain || path.starts_with("..") || path.len() > 4096 {
        return Err(VolumeError::Path(path.to_owned()));
    }
    Ok(())
}

fn write_files(directory: &Path, payload: &Payload) -> Result<(), VolumeError> {
    make_directory(directory)?;
    for (path, file) in payload {
        let path = directory.join(path);
        let mut parents: Vec<&Path> = path.ancestors().skip(1).take_while(|parent| *parent != directory).collect();
        parents.reverse();
        parents.into_iter().try_for_each(make_directory)?;
        std::fs::write(&path, &file.content).map_err(|error| VolumeError::io("write", &path, error))?;
        set_mode(&path, file.mode)?;
        if let Some(user) = file.user {
            rustix::fs::chown(&path, Some(Uid::from_raw(user)), None)
                .map_err(|error| VolumeError::io("change the owner of", &path, error))?;
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<(), VolumeError> {
    match std::fs::create_dir(path) {
        Ok(()) => set_mode(path, 0o755),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(VolumeError::io("create", path, error)),
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<(), VolumeError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|error| VolumeError::io("change the mode of", path, error))
}

/// Whether the directory holds exactly these files.
fn shows(directory: &Path, payload: &Payload) -> bool {
    let mut found = BTreeSet::new();
    if list_files(directory, directory, &mut found).is_err() || found.len() != payload.len() {
        return false;
    }
    payload.iter().all(|(path, file)| {
        let full = directory.join(path);
        found.contains(Path::new(path))
            && std::fs::read(&full).is_ok_and(|content| content == file.content)
            // The group's bits may have been added by fsGroup.
            && std::fs::metadata(&full).is_ok_and(|meta| (meta.mode() & 0o777) | 0o440 == file.mode & 0o777 | 0o440)
    })
}

fn list_files(root: &Path, directory: &Path, found: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list_files(root, &path, found)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.insert(relative.to_owned());
        }
    }
    Ok(())
}

/// Links the first part of each path through `..data`, and unlinks what is no longer there.
fn show(target: &Path, payload: &Payload) -> Result<(), VolumeError> {
    let wanted: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    let read = |error| VolumeError::io("read", target, error);
    for entry in std::fs::read_dir(target).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let stale = name.to_str().is_some_and(|name| !name.starts_with("..") && !wanted.contains(name));
        if stale {
            let path = target.join(&name);
            std::fs::remove_file(&path).map_err(|error| VolumeError::io("remove", &path, error))?;
        }
    }
    for name in wanted {
        let path = target.join(name);
        if std::fs::symlink_metadata(&path).is_err() {
            std::os::unix::fs::symlink(Path::new(DATA).join(name), &path)
                .map_err(|error| VolumeError::io("link", &path, error))?;
        }
    }
    Ok(())
}
