//! The container's root file system: an overlay of the image's layers, the kernel's file systems,
//! devices, volumes, what is hidden and what is read-only.

use super::{LaunchError, devices, step};
use crate::runtime::{Mount, Propagation};
use crate::state::{self, ContainerRecord};
use rustix::fs::CWD;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use sys::mount::{self, Attributes, Peering};
use sys::tree;

/// Kernel file systems programs have no business running code from.
const KERNEL: Attributes = Attributes { read_only: false, nosuid: true, nodev: true, noexec: true };

struct Volume<'a> {
    mount: OwnedFd,
    directory: bool,
    to: &'a Path,
}

/// Mounts everything and makes it this process's root. Needs a mount namespace of its own that
/// still shows the host's mounts.
pub fn build(record: &ContainerRecord, shared_memory: &OwnedFd) -> Result<(), LaunchError> {
    let volumes = volumes(record)?;
    mount::make_all_slave().map_err(step("leaving the host's mount peers"))?;
    let root = overlay(record)?;
    // Nodes and directories get the modes asked for.
    rustix::process::umask(rustix::fs::Mode::empty());
    let put = |kind: &str, at: &str, options: &[(&str, Option<&str>)], attributes: Attributes| {
        let made = mount::new_file_system(kind, kind, options, attributes).and_then(|made| {
            let target = tree::make_directory(root.as_fd(), Path::new(at), 0o755)?;
            mount::attach(made.as_fd(), target.as_fd())
        });
        made.map_err(step(format!("error mounting {kind:?} to rootfs at {at:?}")))
    };
    let read_only_sys = Attributes { read_only: !record.config.privileged, ..KERNEL };
    put("proc", "/proc", &[], KERNEL)?;
    let device_options = [("mode", Some("755")), ("size", Some("65536k"))];
    put("tmpfs", "/dev", &device_options, Attributes { nosuid: true, ..Attributes::NONE })?;
    devices::make(root.as_fd(), &record.config)?;
    let terminal_options =
        [("newinstance", None), ("ptmxmode", Some("0666")), ("mode", Some("0620")), ("gid", Some("5"))];
    put("devpts", "/dev/pts", &terminal_options, Attributes { nodev: false, ..KERNEL })?;
    put("mqueue", "/dev/mqueue", &[], KERNEL)?;
    put("sysfs", "/sys", &[], read_only_sys)?;
    // Without it programs only miss a view of their own limits.
    let _ = cgroups(&root, read_only_sys);
    let shm = tree::make_directory(root.as_fd(), Path::new("/dev/shm"), 0o1777);
    shm.and_then(|target| mount::attach(shared_memory.as_fd(), target.as_fd())).map_err(step("mounting /dev/shm"))?;
    for volume in &volumes {
        let target = if volume.directory {
            tree::make_directory(root.as_fd(), volume.to, 0o755)
        } else {
            tree::make_file(root.as_fd(), volume.to)
        };
        let attached = target.and_then(|target| mount::attach(volume.mount.as_fd(), target.as_fd()));
        attached.map_err(step(format!("error mounting to rootfs at {:?}", volume.to)))?;
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    mount::change_root(root.as_fd()).map_err(step("pivot_root"))
}

/// The last touches, from inside: the working directory, what is hidden, what is read-only.
pub fn close(record: &ContainerRecord) -> Result<(), LaunchError> {
    let config = &record.config;
    if !config.working_dir.is_empty() {
        let root = mount::open_path(Path::new("/")).map_err(step("opening the root"))?;
        tree::make_directory(root.as_fd(), Path::new(&config.working_dir), 0o755)
            .map_err(step(format!("mkdir {}", config.working_dir)))?;
    }
    for path in &config.readonly_paths {
        tolerate_missing(read_only(Path::new(path))).map_err(step(format!("readonly path {path}")))?;
    }
    for path in &config.masked_paths {
        tolerate_missing(mask(Path::new(path))).map_err(step(format!("masked path {path}")))?;
    }
    if config.read_only_rootfs {
        let root = mount::open_path(Path::new("/")).map_err(step("opening the root"))?;
        mount::set_read_only(root.as_fd(), false).map_err(step("making the root read-only"))?;
    }
    Ok(())
}

/// Detached copies of all volumes, taken while the host's mounts still are in their peer groups,
/// shallow targets first.
fn volumes(record: &ContainerRecord) -> Result<Vec<Volume<'_>>, LaunchError> {
    let mut volumes = Vec::new();
    let asked = &record.config.mounts;
    // <state>/sandboxes/<id>/containers/<id>
    let sandbox = record.directory.parent().and_then(Path::parent).unwrap_or(&record.directory);
    for (file, to) in [(state::RESOLV_CONF, "/etc/resolv.conf"), (state::HOSTNAME, "/etc/hostname")] {
        if asked.iter().all(|mount| mount.container_path != Path::new(to)) {
            let from = sandbox.join(file);
            let mount = mount::copy(CWD, &from, false).map_err(step(format!("mounting {}", from.display())))?;
            volumes.push(Volume { mount, directory: false, to: Path::new(to) });
        }
    }
    for mount in asked {
        volumes.push(volume(mount)?);
    }
    volumes.sort_by_key(|volume| volume.to.components().count());
    Ok(volumes)
}

fn volume(asked: &Mount) -> Result<Volume<'_>, LaunchError> {
    let from = &asked.host_path;
    let explain = || step(format!("failed to mount {:?} to rootfs at {:?}", from, asked.container_path));
    if !from.exists() {
        std::fs::create_dir_all(from).map_err(explain())?;
    }
    check_origin(asked)?;
    let mount = mount::copy(CWD, from, true).map_err(explain())?;
    let peering = match asked.propagation {
        Propagation::Private => Some(Peering::Private),
        Propagation::HostToContainer => Some(Peering::Slave),
        Propagation::Bidirectional => None,
    };
    if let Some(peering) = peering {
        mount::set_peering(mount.as_fd(), peering).map_err(explain())?;
    }
    if asked.read_only {
        mount::set_read_only(mount.as_fd(), asked.recursive_read_only).map_err(explain())?;
    }
    let kind = rustix::fs::fstat(&mount).map_err(io::Error::from).map_err(explain())?;
    let directory = rustix::fs::FileType::from_raw_mode(kind.st_mode) == rustix::fs::FileType::Directory;
    Ok(Volume { mount, directory, to: &asked.container_path })
}

/// Mounts can only travel where the host shares them.
fn check_origin(asked: &Mount) -> Result<(), LaunchError> {
    if asked.propagation == Propagation::Private {
        return Ok(());
    }
    let (point, shared, slave) = mount::origin(&asked.host_path).map_err(step("reading mountinfo"))?;
    let (from, point) = (asked.host_path.display(), point.display());
    match asked.propagation {
        Propagation::Bidirectional if !shared => {
            Err(LaunchError::Refused(format!("path {from:?} is mounted on {point:?} but it is not a shared mount")))
        }
        Propagation::HostToContainer if !shared && !slave => Err(LaunchError::Refused(format!(
            "path {from:?} is mounted on {point:?} but it is not a shared or slave mount"
        ))),
        _ => Ok(()),
    }
}

fn overlay(record: &ContainerRecord) -> Result<OwnedFd, LaunchError> {
    let open = |path: &Path| mount::open_path(path).map_err(step(format!("opening {}", path.display())));
    let layers: Result<Vec<OwnedFd>, LaunchError> = record.config.rootfs_layers.iter().map(|path| open(path)).collect();
    let upper = open(&record.directory.join("fs/upper"))?;
    let work = open(&record.directory.join("fs/work"))?;
    let target = record.directory.join("root");
    mount::overlay(&target, &layers?, upper.as_fd(), work.as_fd(), true).map_err(step("mounting the image"))?;
    open(&target)
}

/// The container's own cgroups, seen as roots (the cgroup namespace is new).
fn cgroups(root: &OwnedFd, attributes: Attributes) -> io::Result<()> {
    let mine = std::fs::read_to_string("/proc/self/cgroup")?;
    let lines: Vec<&str> = mine.lines().filter_map(|line| line.split(':').nth(1)).collect();
    let base = Path::new("/sys/fs/cgroup");
    let target = tree::open(root.as_fd(), base, rustix::fs::OFlags::PATH)?;
    if lines.iter().all(|controllers| controllers.is_empty()) {
        let unified = mount::new_file_system("cgroup2", "cgroup", &[], attributes)?;
        return mount::attach(unified.as_fd(), target.as_fd());
    }
    let holder = mount::new_file_system(
        "tmpfs",
        "cgroup",
        &[("mode", Some("755"))],
        Attributes { read_only: false, ..attributes },
    )?;
    mount::attach(holder.as_fd(), target.as_fd())?;
    for controllers in lines.iter().filter(|controllers| !controllers.is_empty()) {
        let (options, name): (Vec<(&str, Option<&str>)>, &str) = match controllers.strip_prefix("name=") {
            Some(name) => (vec![("none", None), ("name", Some(name))], name),
            None => (controllers.split(',').map(|name| (name, None)).collect(), *controllers),
        };
        let hierarchy = mount::new_file_system("cgroup", "cgroup", &options, attributes)?;
        let place = tree::make_directory(root.as_fd(), &base.join(name), 0o755)?;
        mount::attach(hierarchy.as_fd(), place.as_fd())?;
    }
    if attributes.read_only { mount::set_read_only(holder.as_fd(), false) } else { Ok(()) }
}

fn tolerate_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        done => done,
    }
}

/// Mounts a path over itself, read-only.
fn read_only(path: &Path) -> io::Result<()> {
    let target = mount::open_path(path)?;
    let copy = mount::copy(CWD, path, true)?;
    mount::set_read_only(copy.as_fd(), true)?;
    mount::attach(copy.as_fd(), target.as_fd())
}

/// Hides a directory below an empty one, a file below /dev/null.
fn mask(path: &Path) -> io::Result<()> {
    let target = mount::open_path(path)?;
    let kind = rustix::fs::fstat(&target)?;
    let cover = if rustix::fs::FileType::from_raw_mode(kind.st_mode) == rustix::fs::FileType::Directory {
        let attributes = Attributes { read_only: true, ..KERNEL };
        mount::new_file_system("tmpfs", "tmpfs", &[("size", Some("0"))], attributes)?
    } else {
        mount::copy(CWD, Path::new("/dev/null"), false)?
    };
    mount::attach(cover.as_fd(), target.as_fd())
}
