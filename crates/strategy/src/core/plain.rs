//! Kinds whose only peculiarity is that they have no generation.

use crate::Strategy;

pub struct Plain(pub &'static str);

impl Strategy for Plain {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", self.0)
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn allow_create_on_update(&self) -> bool {
        matches!(self.0, "Endpoints" | "Event")
    }
}
