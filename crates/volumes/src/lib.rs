//! Volumes of a pod: one type a file, prepared and torn down by the kubelet.
