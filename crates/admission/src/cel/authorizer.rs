//! The variable `authorizer`: the real authorizers, asked for the request's user or a service account.

use crate::Lookup;
use expressions::{Authorizer, Check, Decision};
use meta::User;

pub(super) struct Asker<'r> {
    pub user: &'r User,
    pub lookup: &'r dyn Lookup,
}

impl Authorizer for Asker<'_> {
    fn check(&self, check: &Check) -> Decision {
        let Some(name) = &check.user else { return self.lookup.decide(self.user, check) };
        let namespace = name.split(':').nth(2).unwrap_or_default();
        let own = format!("system:serviceaccounts:{namespace}");
        let user = User::new(name.as_str(), &["system:serviceaccounts", &own, "system:authenticated"]);
        self.lookup.decide(&user, check)
    }
}
