//! A machine of its own: Debian's cloud kernel in an emulator, booted into files of the test's
//! choosing. It has what the build machine may lack, first of all a pure cgroup v2.
//!
//! It has no network but its loopback and keeps nothing: its disk is its memory. Tests of kernel
//! features that a host may not have call this; everything else runs on the host, far faster.

#![allow(clippy::disallowed_methods, reason = "it waits for a real machine")]

mod kernel;

use crate::images::debian;
use crate::images::files::Files;
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Memory in mebibytes: the files are there twice while it starts.
const MEMORY: &str = "3072";

/// A program that serves as shell and as every small command.
const BUSYBOX: &str = "/bin/busybox";

/// What a machine starts with.
pub struct Machine {
    files: Files,
}

impl Machine {
    /// With a kernel, its modules and busybox. Downloads the kernel's package, and never installs it.
    pub fn new() -> Result<Self> {
        let mut files = Files::base();
        for folder in ["proc", "sys", "dev", "new"] {
            files.folder(folder, 0o755);
        }
        debian::program(&mut files, "bin/busybox", Path::new(BUSYBOX)).context("is busybox-static installed?")?;
        for (path, applet) in [("bin/sh", "busybox"), ("sbin/modprobe", "../bin/busybox")] {
            files.link(path, applet);
        }
        files.script("init", FIRST);
        files.script("sbin/init", SECOND);
        kernel::add_modules(&mut files)?;
        Ok(Machine { files })
    }

    /// Puts the host's `program` with its libraries at `path` (no leading slash).
    pub fn program(&mut self, path: &str, program: &Path) -> Result<&mut Self> {
        debian::program(&mut self.files, path, program)?;
        Ok(self)
    }

    /// Puts the host's `file` at `path` (no leading slash).
    pub fn file(&mut self, path: &str, file: &Path) -> Result<&mut Self> {
        self.files.copy(path, file)?;
        Ok(self)
    }

    /// Boots, runs the shell script `work` as root, and gives what was printed on the console.
    ///
    /// # Errors
    /// When it does not power itself off within `patience`: with what it printed until then.
    pub fn run(mut self, work: &str, patience: Duration) -> Result<String> {
        self.files.script("work", work);
        let folder = tempfile::Builder::new().prefix("kt-machine-").tempdir()?;
        let disk = folder.path().join("files.cpio");
        std::fs::write(&disk, self.files.cpio()).context("write the machine's files")?;
        let mut command = Command::new(format!("qemu-system-{}", std::env::consts::ARCH));
        command.args(["-M", "q35", "-cpu", "max", "-accel", "tcg", "-smp", "2", "-m", MEMORY]);
        command.args(["-display", "none", "-nic", "none", "-no-reboot", "-serial", "stdio", "-kernel"]);
        command.arg(kernel::image()?).arg("-initrd").arg(&disk);
        command.args(["-append", "console=ttyS0 quiet panic=-1 systemd.unified_cgroup_hierarchy=1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let emulator = Emulator(command.spawn().context("is qemu-system-x86 installed?")?);
        emulator.console(patience)
    }
}

/// Ends with its handle.
struct Emulator(Child);

impl Emulator {
    fn console(mut self, patience: Duration) -> Result<String> {
        let mut output = self.0.stdout.take().context("no console")?;
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // What was read before an error is worth more than the error.
            let _ = output.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let deadline = std::time::Instant::now() + patience;
        let in_time = loop {
            if self.0.try_wait()?.is_some() {
                break true;
            }
            if std::time::Instant::now() > deadline {
                break false;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        drop(self);
        let console = reader.join().unwrap_or_default();
        if !in_time {
            bail!("the machine was still running after {} s:\n{console}", patience.as_secs());
        }
        Ok(console)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A kernel's first root cannot be left by pivot_root, which containers need: go on from another.
const FIRST: &str = "#!/bin/busybox sh
/bin/busybox mount -t tmpfs -o size=90% root /new
/bin/busybox cp -a /bin /etc /lib /lib64 /opt /root /run /sbin /tmp /usr /var /work /new/ 2>/dev/null
/bin/busybox mkdir /new/proc /new/sys /new/dev
exec /bin/busybox switch_root /new /sbin/init
";

/// Sets up what an operating system gives, then runs the test's work and ends.
const SECOND: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/local/bin:/usr/bin:/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs run /run
hostname machine
ip link set lo up
echo '== work begins'
/work
echo \"== work ended with $?\"
poweroff -f
";
