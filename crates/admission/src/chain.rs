//! The [`Plugin`] trait and the [`Chain`] that runs plugins in order.

use crate::attributes::{Attributes, Notes, Operation};
use crate::lookup::Lookup;
use crate::{ALL, Setup};
use meta::Status;

/// One admission plugin. Most have only one of the two phases.
pub trait Plugin: Send + Sync {
    fn name(&self) -> &'static str;

    fn handles(&self, operation: Operation) -> bool;

    /// Changes the object, or refuses it early.
    ///
    /// # Errors
    /// The Status the client gets.
    fn admit(&self, _request: &mut Attributes<'_>, _lookup: &dyn Lookup, _notes: &mut Notes) -> Result<(), Status> {
        Ok(())
    }

    /// Judges the object after all changes.
    ///
    /// # Errors
    /// The Status the client gets.
    fn validate(&self, _request: &Attributes<'_>, _lookup: &dyn Lookup, _notes: &mut Notes) -> Result<(), Status> {
        Ok(())
    }
}

/// Holds the place of a plugin whose work has to wait for others; the API server does it at this place
/// in the order, where [`Chain::has`] its name.
pub(crate) struct Elsewhere(pub &'static str);

impl Plugin for Elsewhere {
    fn name(&self) -> &'static str {
        self.0
    }

    fn handles(&self, _: Operation) -> bool {
        false
    }
}

/// The plugins of one API server, in execution order.
pub struct Chain {
    plugins: Vec<Box<dyn Plugin>>,
}

impl Chain {
    /// `plugins` in the order they are to run.
    pub fn new(plugins: Vec<Box<dyn Plugin>>) -> Self {
        Chain { plugins }
    }

    /// The plugins on by default and the `enabled` ones, without the `disabled`, in the order of
    /// [`ALL`].
    ///
    /// # Errors
    /// A name that no plugin has.
    pub fn from_flags(setup: &Setup, enabled: &[&str], disabled: &[&str]) -> Result<Self, UnknownPlugin> {
        for name in enabled.iter().chain(disabled) {
            if !ALL.iter().any(|def| def.name == *name) {
                return Err(UnknownPlugin((*name).to_owned()));
            }
        }
        let wanted = ALL
            .iter()
            .filter(|def| (def.on_by_default || enabled.contains(&def.name)) && !disabled.contains(&def.name));
        Ok(Chain::new(wanted.map(|def| (def.build)(setup)).collect()))
    }

    pub fn has(&self, name: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.name() == name)
    }

    /// Runs the changing phase; the warnings go to the client.
    ///
    /// # Errors
    /// The first refusal.
    pub fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup) -> Result<Vec<String>, Status> {
        let mut notes = Notes::default();
        let outcome = self.of(request.operation).try_for_each(|plugin| plugin.admit(request, lookup, &mut notes));
        request.audit.append(&mut notes.audit);
        outcome.map(|()| notes.warnings)
    }

    /// Runs the judging phase; the warnings go to the client.
    ///
    /// # Errors
    /// The first refusal.
    pub fn validate(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup) -> Result<Vec<String>, Status> {
        let mut notes = Notes::default();
        let outcome = self.of(request.operation).try_for_each(|plugin| plugin.validate(request, lookup, &mut notes));
        request.audit.append(&mut notes.audit);
        outcome.map(|()| notes.warnings)
    }

    fn of(&self, operation: Operation) -> impl Iterator<Item = &Box<dyn Plugin>> {
        self.plugins.iter().filter(move |plugin| plugin.handles(operation))
    }
}

/// A flag named a plugin that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("admission-control plugin \"{0}\" is unknown")]
pub struct UnknownPlugin(pub String);
