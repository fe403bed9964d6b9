//! The node agent: pod workers, probes, status, the kubelet API.
