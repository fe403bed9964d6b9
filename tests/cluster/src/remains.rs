//! What an instance has in the kernel, seen from outside: nothing, once `kutter down` is through.

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Processes of an instance: those in its cgroups and those that name its data dir. By process id
/// and start time, so that a reused id is not taken for the same process.
pub fn processes(id: &str, data_dir: &Path) -> BTreeMap<(i32, String), String> {
    let group = format!("/kutter-{id}");
    let data_dir = data_dir.to_string_lossy();
    let ids =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut found = BTreeMap::new();
    for pid in ids {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = read("cmdline").replace('\0', " ");
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let is_zombie = fields.first() == Some(&"Z");
        let ours = line.contains(&*data_dir) && !line.starts_with("timeout ");
        if !is_zombie && fields.len() > 19 && (ours || groups(pid).contains(&group)) {
            found.insert((pid, fields[19].to_owned()), line);
        }
    }
    found
}

/// What runs in an instance's containers; not their pod inits.
pub fn workloads(id: &str, data_dir: &Path) -> BTreeMap<(i32, String), String> {
    let mut all = processes(id, data_dir);
    all.retain(|(pid, _), line| groups(*pid).contains("/pod") && !line.contains("kutter-supervisor"));
    all
}

/// Kills a process; one that has ended meanwhile is as good.
pub fn kill(pid: i32) {
    let killed = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    assert!(matches!(killed, Ok(()) | Err(rustix::io::Errno::SRCH)), "process {pid}: {killed:?}");
}

/// The cgroups of a process, one in each line.
pub fn groups(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// Mounts below the data dir, in this mount namespace.
pub fn mounts(data_dir: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = format!(" {}/", data_dir.display());
    table.lines().filter(|line| line.contains(&below)).map(str::to_owned).collect()
}

/// By force, for tests that fail.
pub fn unmount(data_dir: &Path) {
    for line in mounts(data_dir).iter().rev() {
        if let Some(point) = line.split(' ').nth(4) {
            // One above it may have taken it along.
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH);
        }
    }
}

pub fn cgroups(id: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    let name = format!("kutter-{id}");
    hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(&name)).filter(|path| path.exists()).collect()
}

/// Addresses, links, routes, rules and tables of the calling thread's network namespace.
pub fn network() -> String {
    let ask = |program: &str, words: &str| {
        let output = Command::new(program).args(words.split(' ')).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see TEST_PACKAGES in the Makefile"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let links: Vec<String> =
        ask("ip", "-o link").lines().filter_map(|line| Some(line.split(": ").nth(1)?.to_owned())).collect();
    format!(
        "{}\n{}{}{}{}",
        links.join(" "),
        ask("ip", "-4 -o addr"),
        ask("ip", "-4 route show table all"),
        ask("ip", "-4 rule"),
        ask("nft", "list tables")
    )
}
