//! Sandbox and container life on one node: the supervisor, the pod inits and the launcher.
//!
//! [`Runtime`] is the CRI model as a trait: the kubelet drives Kutter's own runtime
//! ([`Supervisor`], to come) or, behind the same trait, containerd. Knows no API objects.

pub mod runtime;
