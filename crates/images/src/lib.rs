//! OCI and docker images: pull, verify, unpack, keep.
