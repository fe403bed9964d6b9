//! The admission chain: one plugin a file, run in the order of [`ALL`], which is upstream's.
//!
//! A plugin may change an object before it is validated ([`Plugin::admit`]) or refuse it
//! afterwards ([`Plugin::validate`]). Plugins are pure: what they need to know of other objects they
//! ask of a [`Lookup`], which the API server answers from memory; they never call out and never
//! wait. The API server is the only caller, once per write.

mod attributes;
mod chain;
mod lookup;

pub use attributes::{Attributes, Notes, Operation};
pub use chain::{Chain, Plugin};
pub use lookup::{AccessCheck, Lookup};

/// What plugins are built with.
#[derive(Clone)]
pub struct Setup {
    pub clock: base::Clock,
    pub rng: base::Rng,
    /// Upstream's feature gates that are on.
    pub gates: base::collections::HashSet<String>,
}

/// A plugin's row in [`ALL`].
pub struct Def {
    pub name: &'static str,
    /// Without `--enable-admission-plugins`.
    pub on_by_default: bool,
    pub build: fn(&Setup) -> Box<dyn Plugin>,
}

/// Every plugin, in execution order.
pub const ALL: &[Def] = &[];
