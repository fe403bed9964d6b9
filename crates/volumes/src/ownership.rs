//! fsGroup: the group of a pod owns its volumes and may read and write them.

use crate::VolumeError;
use rustix::fs::{AtFlags, Gid};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What the group may do with files, and further with directories.
const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const EXECUTE: u32 = 0o110;
const SET_GID: u32 = 0o2000;

/// Gives everything below `root` to the group. With `only_on_mismatch` a root that is right already
/// ends it.
///
/// # Errors
/// The first file that cannot be changed.
pub fn give_to_group(root: &Path, group: u32, read_only: bool, only_on_mismatch: bool) -> Result<(), VolumeError> {
    if only_on_mismatch && is_right(root, group, read_only) {
        return Ok(());
    }
    walk(root, group, read_only)
}

/// Children first, the root last: it is right only when everything below is.
fn walk(path: &Path, group: u32, read_only: bool) -> Result<(), VolumeError> {
    let read = |error| VolumeError::io("read", path, error);
    let meta = std::fs::symlink_metadata(path).map_err(read)?;
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).map_err(read)? {
            walk(&entry.map_err(read)?.path(), group, read_only)?;
        }
    }
    rustix::fs::chownat(rustix::fs::CWD, path, None, Some(Gid::from_raw(group)), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| VolumeError::io("change the group of", path, error))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.mode() | mask(meta.is_dir(), read_only);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o7777))
        .map_err(|error| VolumeError::io("change the mode of", path, error))
}

fn mask(directory: bool, read_only: bool) -> u32 {
    let bits = if read_only { READ_ONLY } else { READ_WRITE };
    if directory { bits | EXECUTE | SET_GID } else { bits }
}

fn is_right(root: &Path, group: u32, read_only: bool) -> bool {
    let wanted = mask(true, read_only);
    std::fs::symlink_metadata(root).is_ok_and(|meta| meta.gid() == group && meta.mode() & wanted == wanted)
}
