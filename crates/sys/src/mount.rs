//! Mounts by file descriptor: made detached, given their flags, then put in their place, so that
//! nobody ever sees one half made. Needs Linux 5.12 (`mount_setattr`).

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Flags of a mount point; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes {
    pub read_only: bool,
    pub nosuid: bool,
    pub nodev: bool,
    pub noexec: bool,
}

impl Attributes {
    pub const NONE: Attributes = Attributes { read_only: false, nosuid: false, nodev: false, noexec: false };

    fn bits(self) -> MountAttrFlags {
        let mut bits = MountAttrFlags::empty();
        bits.set(MountAttrFlags::MOUNT_ATTR_RDONLY, self.read_only);
        bits.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.nosuid);
        bits.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.nodev);
        bits.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.noexec);
        bits
    }
}

/// How mounts made later travel between a mount and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peering {
    Private,
    Slave,
    Shared,
}

/// The argument of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

fn set_attributes(mount: BorrowedFd<'_>, attributes: &MountAttr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a valid empty string, the structure matches the size given, and both
    // outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a mount read-only, with all mounts below it when `recursive`.
pub fn set_read_only(mount: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    let attributes = MountAttr {
        set: u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits()),
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    set_attributes(mount, &attributes, recursive)
}

/// Sets how a mount and all below it share later mounts with their origin.
pub fn set_peering(mount: BorrowedFd<'_>, peering: Peering) -> io::Result<()> {
    let propagation = match peering {
        Peering::Private => libc::MS_PRIVATE,
        Peering::Slave => libc::MS_SLAVE,
        Peering::Shared => libc::MS_SHARED,
    };
    set_attributes(mount, &MountAttr { set: 0, clear: 0, propagation, user_namespace: 0 }, true)
}

/// A new, detached instance of a file system. Options without a value are flags.
pub fn new_file_system(
    kind: &str,
    source: &str,
    options: &[(&str, Option<&str>)],
    attributes: Attributes,
) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", source)?;
    for (name, value) in options {
        match value {
            Some(value) => rustix::mount::fsconfig_set_string(&context, *name, *value)?,
            None => rustix::mount::fsconfig_set_flag(&context, *name)?,
        }
    }
    rustix::mount::fsconfig_create(&context)?;
    Ok(rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes.bits())?)
}

/// A detached copy of what is mounted at `path`, with the mounts below when `recursive`.
pub fn copy(directory: BorrowedFd<'_>, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if path.as_os_str().is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    Ok(rustix::mount::open_tree(directory, path, flags)?)
}

/// Puts a detached mount over the file or directory `target`.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", target, "", flags)?)
}

/// Mounts an overlay at `target`. Directories are given open, so that their names may hold
/// anything and the whole line stays below the kernel's one page however long they are.
pub fn overlay(
    target: &Path,
    lower: &[OwnedFd],
    upper: BorrowedFd<'_>,
    work: BorrowedFd<'_>,
    volatile: bool,
) -> io::Result<()> {
    let path = |file: BorrowedFd<'_>| format!("/proc/self/fd/{}", file.as_raw_fd());
    let lower: Vec<String> = lower.iter().map(|layer| path(layer.as_fd())).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}{}",
        lower.join(":"),
        path(upper),
        path(work),
        if volatile { ",volatile" } else { "" }
    );
    let options = std::ffi::CString::new(options)?;
    Ok(rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), options.as_c_str())?)
}

/// Takes the whole mount tree of this namespace out of its peer groups: nothing mounted here is
/// seen outside; what is mounted outside still arrives where it was shared.
pub fn make_all_slave() -> io::Result<()> {
    use rustix::mount::MountPropagationFlags as Flags;
    Ok(rustix::mount::mount_change("/", Flags::DOWNSTREAM | Flags::REC)?)
}

/// Makes `root` the root of this mount namespace and lets go of the old one.
pub fn change_root(root: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::fchdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(rustix::process::chdir("/")?)
}

/// Whether something is mounted at a path. A kernel that cannot say so says yes.
pub fn is_mount(path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags};
    let found = rustix::fs::statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::TYPE)?;
    let knows = found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
    Ok(!knows || found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Opens a path without reading it, to be a target, a layer or a starting point.
pub fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// What mountinfo says of the mount that holds `path`: its mount point, and whether it is shared
/// with, or a slave of, other mounts.
pub fn origin(path: &Path) -> io::Result<(std::path::PathBuf, bool, bool)> {
    let path = path.canonicalize()?;
    let table = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut best = (std::path::PathBuf::from("/"), false, false);
    for line in table.lines() {
        let mut fields = line.split(' ');
        let Some(point) = fields.nth(4) else { continue };
        let point = Path::new(point);
        if path.starts_with(point) && point.as_os_str().len() >= best.0.as_os_str().len() {
            let optional: Vec<&str> = fields.skip(1).take_while(|field| *field != "-").collect();
            let has = |tag: &str| optional.iter().any(|field| field.starts_with(tag));
            best = (point.to_owned(), has("shared:"), has("master:"));
        }
    }
    Ok(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_from_folders() {
        for (path, is_one) in [("/proc", true), ("/proc/self", false), ("/sys", true), ("/sys/kernel", false)] {
            assert_eq!(is_mount(Path::new(path)).unwrap(), is_one, "{path}");
        }
        assert!(is_mount(Path::new("/no/such")).is_err());
    }
}
