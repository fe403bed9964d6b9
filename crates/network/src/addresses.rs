//! Which pod has which address. Kept in one small file per address, named after it and holding the
//! sandbox's id, so that a restart neither forgets nor has to ask.
//!
//! The first and last address of the node's network are never given away, nor is the second: it is
//! the node's own on this network. Addresses are given in a circle, so one that was released comes
//! last.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use sys::net::Ipv4Net;
use sys::pod_network::PodNetworkError;
use tracing::warn;

#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("cannot make the folder of pod addresses {path}: {source}")]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot read the pod addresses in {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
}

pub(crate) struct Addresses {
    folder: PathBuf,
    network: Option<Ipv4Net>,
    held: BTreeMap<Ipv4Addr, String>,
    by_sandbox: BTreeMap<String, Ipv4Addr>,
    /// Where the search for the next one starts.
    next: u32,
}

impl Addresses {
    pub fn load(folder: PathBuf) -> Result<Self, StateError> {
        std::fs::create_dir_all(&folder).map_err(|source| StateError::Create { path: folder.clone(), source })?;
        let mut this = Addresses { folder, network: None, held: BTreeMap::new(), by_sandbox: BTreeMap::new(), next: 0 };
        let fail = |source| StateError::Read { path: this.folder.clone(), source };
        let mut newest = std::time::SystemTime::UNIX_EPOCH;
        for entry in std::fs::read_dir(&this.folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Some(address) = entry.file_name().to_str().and_then(|name| name.parse::<Ipv4Addr>().ok()) else {
                continue;
            };
            let sandbox = std::fs::read_to_string(entry.path()).map_err(fail)?;
            let written = entry.metadata().and_then(|metadata| metadata.modified()).map_err(fail)?;
            if written >= newest {
                newest = written;
                this.next = address.to_bits().wrapping_add(1);
            }
            this.by_sandbox.insert(sandbox.clone(), address);
            this.held.insert(address, sandbox);
        }
        Ok(this)
    }

    /// Takes the node's network; addresses of another one stay held until they are released.
    pub fn use_network(&mut self, network: Ipv4Net) {
        self.network = Some(network);
    }

    /// The node's own address among its pods.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.network.map(gateway)
    }

    pub fn find(&self, sandbox: &str) -> Option<Ipv4Addr> {
        self.by_sandbox.get(sandbox).copied()
    }

    pub fn holds(&self, address: Ipv4Addr) -> bool {
        self.held.contains_key(&address)
    }

    /// The sandbox's address, a new one if it has none.
    pub fn take(&mut self, sandbox: &str) -> Result<Ipv4Addr, PodNetworkError> {
        if let Some(address) = self.find(sandbox) {
            return Ok(address);
        }
        let network = self.network.ok_or(PodNetworkError::NotReady)?;
        let address = self.free(network).ok_or_else(|| PodNetworkError::AddressesExhausted(network.to_string()))?;
        std::fs::write(self.folder.join(address.to_string()), sandbox)
            .map_err(|error| PodNetworkError::Setup(format!("cannot note the address {address}: {error}")))?;
        self.next = address.to_bits().wrapping_add(1);
        self.hold(address, sandbox);
        Ok(address)
    }

    fn free(&self, network: Ipv4Net) -> Option<Ipv4Addr> {
        let first = network.address().to_bits().checked_add(2)?;
        let last = network.last().to_bits().checked_sub(1)?;
        if first > last {
            return None;
        }
        let start = if (first..=last).contains(&self.next) { self.next } else { first };
        (start..=last).chain(first..start).map(Ipv4Addr::from).find(|address| !self.held.contains_key(address))
    }

    fn hold(&mut self, address: Ipv4Addr, sandbox: &str) {
        self.held.insert(address, sandbox.to_owned());
        self.by_sandbox.insert(sandbox.to_owned(), address);
    }

    pub fn release(&mut self, sandbox: &str) {
        if let Some(address) = self.by_sandbox.remove(sandbox) {
            self.held.remove(&address);
            self.forget(address);
        }
    }

    /// Holds exactly the addresses of these sandboxes.
    pub fn restore(&mut self, living: BTreeMap<Ipv4Addr, String>) {
        let gone: Vec<_> = self.held.keys().filter(|address| !living.contains_key(address)).copied().collect();
        for address in gone {
            self.forget(address);
        }
        for (address, sandbox) in &living {
            if self.held.get(address) != Some(sandbox)
                && let Err(error) = std::fs::write(self.folder.join(address.to_string()), sandbox)
            {
                warn!(%address, %error, "cannot note a pod's address; it is held in memory");
            }
        }
        self.by_sandbox = living.iter().map(|(address, sandbox)| (sandbox.clone(), *address)).collect();
        self.held = living;
    }

    fn forget(&self, address: Ipv4Addr) {
        match std::fs::remove_file(self.folder.join(address.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(%address, %error, "cannot remove the note of a pod's address");
            }
            _ => {}
        }
    }
}

/// The second address of a node's network.
pub(crate) fn gateway(network: Ipv4Net) -> Ipv4Addr {
    network.address().to_bits().saturating_add(1).into()
}
