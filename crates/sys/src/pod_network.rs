//! The seam between the kubelet and whatever gives pods their addresses: Kutter's own network or
//! CNI plugins. The binary wires one in.

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A pod as the network sees it.
#[derive(Debug, Clone)]
pub struct PodIdentity {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The sandbox's id, unique on the node; names links and CNI containers.
    pub sandbox: String,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum PodNetworkError {
    #[error("no pod address is free in {0}")]
    AddressesExhausted(String),
    #[error("the node has no pod CIDR yet")]
    NotReady,
    #[error("cannot set up the pod's network: {0}")]
    Setup(String),
    #[error("cannot tear down the pod's network: {0}")]
    Teardown(String),
}

pub trait PodNetwork: Send + Sync {
    /// Gives the network namespace at `netns` (a bind-mounted file or /proc/PID/ns/net) its links
    /// and routes; the first address is the pod's IP. Doing it again for the same sandbox gives
    /// the same addresses.
    fn setup<'a>(
        &'a self,
        pod: &'a PodIdentity,
        netns: &'a Path,
    ) -> BoxFuture<'a, Result<Vec<IpAddr>, PodNetworkError>>;

    /// Frees what `setup` took. Succeeds where nothing is left.
    fn teardown<'a>(&'a self, pod: &'a PodIdentity) -> BoxFuture<'a, Result<(), PodNetworkError>>;

    /// What the addresses of these sandboxes were before a restart of kutter, so that they are
    /// not given away again.
    fn restore<'a>(&'a self, pods: &'a [(PodIdentity, Vec<IpAddr>)]) -> BoxFuture<'a, Result<(), PodNetworkError>>;

    /// Ok once pods can be set up; the error's text goes into the node's Ready condition.
    fn ready(&self) -> Result<(), PodNetworkError>;
}
