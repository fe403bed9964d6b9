//! Start-up failures in words that say what to do.

use std::io::ErrorKind;
use std::net::SocketAddr;

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

/// A node needs root; a control plane alone does not.
pub fn need_root() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    anyhow::bail!("a node needs root to run containers: run with sudo, or with --no-node for the control plane alone")
}
