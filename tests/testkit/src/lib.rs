//! What tests share: test images, network namespaces, servers under test.

pub mod images;
pub mod machine;
pub mod net;
