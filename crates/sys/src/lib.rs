//! The only door to the kernel: mounts, cgroups, namespaces, netlink, nftables.
//!
//! Knows no Kubernetes objects. Rooms above say what they want in plain terms; here stand the
//! system calls, each `unsafe` block with its reason.

#![allow(unsafe_code)]

pub mod cgroup;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod pod_network;
pub mod process;
pub mod pty;
pub mod socket;
pub mod tree;
