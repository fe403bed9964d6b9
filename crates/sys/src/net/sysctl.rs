//! The network's sysctls, of the calling thread's namespace.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[error("cannot set {name} to {value}: {source}")]
pub struct SysctlError {
    name: String,
    value: String,
    source: io::Error,
}

impl SysctlError {
    /// There is no such setting, as for a link that is gone.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

fn path(name: &str) -> PathBuf {
    // Unlike /proc/net, this folder shows the namespace of the thread that opens it.
    PathBuf::from("/proc/sys/net").join(name)
}

/// Sets `net/<name>`, such as `ipv4/ip_forward`, where it has another value.
pub fn set(name: &str, value: &str) -> Result<(), SysctlError> {
    let fail = |source| SysctlError { name: format!("net/{name}"), value: value.to_owned(), source };
    if get(name).map_err(fail)? == value {
        return Ok(());
    }
    std::fs::write(path(name), value).map_err(fail)
}

pub fn get(name: &str) -> io::Result<String> {
    std::fs::read_to_string(path(name)).map(|text| text.trim().to_owned())
}
