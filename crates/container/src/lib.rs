//! Sandbox and container life on one node: the supervisor, the pod inits and the launcher.
//!
//! [`Runtime`](runtime::Runtime) is the CRI model as a trait: the kubelet drives Kutter's own
//! runtime ([`Supervisor`]) or, behind the same trait, containerd. Knows no API objects.
//!
//! Four parts, each in a process of its own kind:
//! * [`client`], in kutter: the trait, the table of what runs, all streams. Truth is on disk and in
//!   the pod inits, so it can be killed and started again at any time.
//! * [`supervisor`], one small process per node: forks pod inits, makes cgroups. Keeps nothing in
//!   memory that matters, so it, too, can be killed at any time.
//! * [`pod_init`], one tiny process per pod: parent of the pod's containers, holder of its
//!   namespaces and log pipes, writer of exit codes.
//! * [`launcher`], what a pod init's forked child does until it becomes the container's program.

#![allow(unsafe_code)]

mod client;
mod launcher;
mod pod_init;
mod protocol;
pub mod runtime;
mod state;
mod supervisor;

pub use client::in_use::{Holder, image_holders};
pub use client::shutdown::shutdown_all;
pub use client::stats::disk_usage;
pub use client::{Supervisor, SupervisorOptions};
pub use supervisor::{SUPERVISOR_ARGUMENT, dispatch, join_mounts};
