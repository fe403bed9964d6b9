//! A running process, told from a later one with the same id by when it started.

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// In clock ticks after the machine's boot.
    started: u64,
}

impl Process {
    pub fn this() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// None where no process has this id.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Process { pid, started: start_time(pid)? })
    }

    pub fn is_running(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Does nothing where it has ended.
    ///
    /// # Errors
    /// The kernel refuses, as for somebody else's process.
    pub fn signal(self, signal: Signal) -> rustix::io::Result<()> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(|_| self.is_running()) else {
            return Ok(());
        };
        match rustix::process::kill_process(pid, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => other,
        }
    }
}

/// proc(5), `stat`: the name in parentheses may hold anything; start time is the 20th field after
/// it, the state the first. A zombie has ended.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    (state != "Z").then(|| fields.nth(18)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_process_with_the_same_id_is_another() {
        let this = Process::this().unwrap();
        assert!(this.is_running());
        assert!(!Process { started: this.started + 1, ..this }.is_running());
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let sleeping = Process::of(child.id()).unwrap();
        assert!(sleeping.is_running());
        sleeping.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!sleeping.is_running());
    }
}
