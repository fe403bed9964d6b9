//! Roles and bindings: names are path segments, as `system:node` must be one.

use crate::Strategy;

pub struct Rbac(pub &'static str);

impl Strategy for Rbac {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("rbac.authorization.k8s.io", self.0)
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        meta::validation::path_segment_name(name)
    }
}
