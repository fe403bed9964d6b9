//! Clusters: certificates, bootstrap objects, joining, kubeconfig files.
