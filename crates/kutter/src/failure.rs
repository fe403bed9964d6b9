//! Start-up failures in words that say what to do.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

/// Why the API server cannot listen.
pub fn listen(address: SocketAddr, error: &std::io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is in use by another program: end that, or choose another address with --listen")
        }
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!(
                "not allowed to listen on {address}: run as root, or choose a port above 1023 with --listen"
            )
        }
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{address} is no address of this machine: choose another one with --listen")
        }
        _ => anyhow::anyhow!("cannot listen on {address}: {error}"),
    }
}

/// What a node needs of whoever starts it, and a control plane alone does not: root, and a file system
/// that containers can leave for their own.
pub fn need_node() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!(
            "a node needs root to run containers: run with sudo, or with --no-node for the control plane alone"
        )
    }
    // The kernel lets nobody swap a root that is a folder of another mount, as in a chroot.
    if !sys::mount::is_mount(Path::new("/")).unwrap_or(true) {
        anyhow::bail!(
            "containers cannot be started in a chroot whose root is no mount point: mount it onto itself before (mount \
             --bind DIR DIR), or run with --no-node for the control plane alone"
        )
    }
    Ok(())
}
