//! Cgroups on the real kernel, with the versions this host has.

use super::*;
use std::process::{Child, Command};

/// A cgroup of the test's own that goes with it.
struct Own<'a>(&'a Cgroups, String);

impl Drop for Own<'_> {
    fn drop(&mut self) {
        let _ = self.0.kill(&self.1);
        for _ in 0..100 {
            if self.0.remove(&self.1).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

fn sleeper(cgroups: &Cgroups, path: &str) -> Child {
    let child = Command::new("sleep").arg("1000").spawn().unwrap();
    for entry in cgroups.entries(path).unwrap() {
        rustix::io::write(&entry, child.id().to_string().as_bytes()).unwrap();
    }
    child
}

fn killed_and_removed(cgroups: &Cgroups, name: &str) {
    let own = Own(cgroups, format!("kt-{name}{}", std::process::id()));
    let inner = format!("{}/pod/one", own.1);
    cgroups.create(&inner).unwrap();
    cgroups.create(&inner).unwrap();
    let mut children = [sleeper(cgroups, &inner), sleeper(cgroups, &inner)];
    let mut numbers: Vec<i32> = children.iter().map(|child| child.id() as i32).collect();
    numbers.sort_unstable();
    assert_eq!(cgroups.processes(&own.1), numbers);
    assert_eq!(cgroups.usage(&inner).unwrap().pids, 2);
    assert!(cgroups.remove(&own.1).is_err(), "removed with processes in it");
    cgroups.kill(&own.1).unwrap();
    for child in &mut children {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    }
    cgroups.remove(&own.1).unwrap();
    assert!(!cgroups.exists(&own.1));
    cgroups.remove(&own.1).unwrap();
}

#[test]
fn a_tree_is_made_killed_and_removed() {
    killed_and_removed(&Cgroups::open().unwrap(), "all");
}

/// As on kernels without cgroup.kill.
#[test]
fn without_the_kernels_kill_processes_are_killed_one_by_one() {
    let mut cgroups = Cgroups::open().unwrap();
    if cgroups.is_unified() {
        return;
    }
    cgroups.v2 = None;
    killed_and_removed(&cgroups, "v1");
}
