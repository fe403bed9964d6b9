//! Services as nftables maps: ClusterIP, NodePort, affinity, masquerade.
