//! What an authorizer answers; several authorizers as one.

use crate::names;
use meta::Attributes;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    Allow {
        reason: Arc<str>,
    },
    /// No authorizer after this one is asked.
    Deny {
        reason: Arc<str>,
    },
    /// The next authorizer decides; nobody's opinion is a refusal.
    NoOpinion {
        reason: Arc<str>,
    },
}

pub trait Authorizer: Send + Sync {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision;
}

impl Decision {
    pub fn allow(reason: impl Into<Arc<str>>) -> Self {
        Decision::Allow { reason: reason.into() }
    }

    pub fn no_opinion(reason: impl Into<Arc<str>>) -> Self {
        Decision::NoOpinion { reason: reason.into() }
    }

    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allow { .. })
    }

    pub fn reason(&self) -> &str {
        match self {
            Decision::Allow { reason } | Decision::Deny { reason } | Decision::NoOpinion { reason } => reason,
        }
    }
}

/// Asks one authorizer after the other until one decides. `system:masters` needs none.
#[derive(Clone)]
pub struct Union(Vec<Arc<dyn Authorizer>>);

impl Union {
    pub fn new(authorizers: Vec<Arc<dyn Authorizer>>) -> Self {
        Union(authorizers)
    }
}

impl Authorizer for Union {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.in_group(names::MASTERS) {
            return Decision::allow("");
        }
        let mut reasons: Vec<Arc<str>> = Vec::new();
        for authorizer in &self.0 {
            match authorizer.authorize(attributes) {
                Decision::NoOpinion { reason } if reason.is_empty() => {}
                Decision::NoOpinion { reason } => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::no_opinion(reasons.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::User;

    #[test]
    fn masters_need_no_authorizer_and_others_are_refused_by_silence() {
        let union = Union::new(vec![]);
        let (root, jane) = (User::new("root", &[names::MASTERS]), User::new("jane", &[]));
        assert!(union.authorize(&Attributes::resource(&root, "delete", "", "nodes")).is_allowed());
        assert_eq!(union.authorize(&Attributes::path(&jane, "get", "/")), Decision::no_opinion(""));
    }
}
