//! A kind whose rules are a few flags and functions: most kinds are.
//!
//! Built in a `const`, one call per thing that differs from the usual:
//! `Declared::new("batch", "CronJob").defaults(defaults).validates(validate)`.

use crate::rules::{
    Context, Fields, Strategy, complete, drop_status, keep_all_but_status, keep_all_but_status_and_metadata,
    keep_status,
};
use meta::field::ErrorList;
use serde_json::Value;

pub struct Declared {
    group: &'static str,
    kind: &'static str,
    has_generation: bool,
    creates_on_update: bool,
    updates_unconditionally: bool,
    keeps_status: bool,
    status_is_alone: bool,
    name: fn(&str, bool) -> Vec<String>,
    defaults: fn(&mut Value),
    create: fn(&mut Value, &Context<'_>),
    update: fn(&mut Value, &Value, &Context<'_>),
    validate: fn(&Value, Option<&Value>, &mut ErrorList),
    warn: fn(&Value, Option<&Value>, &mut Vec<String>),
    fields: fn(&Value) -> Fields,
}

impl Declared {
    pub const fn new(group: &'static str, kind: &'static str) -> Self {
        Declared {
            group,
            kind,
            has_generation: false,
            creates_on_update: false,
            updates_unconditionally: true,
            keeps_status: false,
            status_is_alone: false,
            name: |name, prefix| meta::validation::dns1123_subdomain(&complete(name, prefix)),
            defaults: |_| {},
            create: |_, _| {},
            update: |_, _, _| {},
            validate: |_, _, _| {},
            warn: |_, _, _| {},
            fields: |_| Vec::new(),
        }
    }

    pub const fn with_generation(mut self) -> Self {
        self.has_generation = true;
        self
    }

    /// PUT makes a missing object.
    pub const fn created_by_update(mut self) -> Self {
        self.creates_on_update = true;
        self
    }

    /// An update must say which revision it is about.
    pub const fn updated_with_revision(mut self) -> Self {
        self.updates_unconditionally = false;
        self
    }

    /// What a client creates it with stays (nodes register with their status).
    pub const fn created_with_status(mut self) -> Self {
        self.keeps_status = true;
        self
    }

    /// An update of its status changes no labels or annotations either.
    pub const fn with_status_alone(mut self) -> Self {
        self.status_is_alone = true;
        self
    }

    pub const fn named(mut self, check: fn(&str, bool) -> Vec<String>) -> Self {
        self.name = check;
        self
    }

    pub const fn defaults(mut self, defaults: fn(&mut Value)) -> Self {
        self.defaults = defaults;
        self
    }

    /// What the server adds to a new object.
    pub const fn creates(mut self, create: fn(&mut Value, &Context<'_>)) -> Self {
        self.create = create;
        self
    }

    /// What the server adds to a changed object; the second is what it was before.
    pub const fn updates(mut self, update: fn(&mut Value, &Value, &Context<'_>)) -> Self {
        self.update = update;
        self
    }

    pub const fn validates(mut self, validate: fn(&Value, Option<&Value>, &mut ErrorList)) -> Self {
        self.validate = validate;
        self
    }

    pub const fn warns(mut self, warn: fn(&Value, Option<&Value>, &mut Vec<String>)) -> Self {
        self.warn = warn;
        self
    }

    pub const fn selected_by(mut self, fields: fn(&Value) -> Fields) -> Self {
        self.fields = fields;
        self
    }
}

impl Strategy for Declared {
    fn group_kind(&self) -> (&'static str, &'static str) {
        (self.group, self.kind)
    }

    fn default(&self, object: &mut Value) {
        (self.defaults)(object);
    }

    fn prepare_create(&self, object: &mut Value, context: &Context<'_>) {
        if !self.keeps_status {
            drop_status(object);
        }
        (self.create)(object, context);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, context: &Context<'_>) {
        keep_status(new, old);
        (self.update)(new, old, context);
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _context: &Context<'_>) {
        match self.status_is_alone {
            true => keep_all_but_status(new, old),
            false => keep_all_but_status_and_metadata(new, old),
        }
    }

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        (self.validate)(new, old, errors);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        (self.warn)(new, old, &mut warnings);
        warnings
    }

    fn has_generation(&self) -> bool {
        self.has_generation
    }

    fn allow_create_on_update(&self) -> bool {
        self.creates_on_update
    }

    fn allow_unconditional_update(&self) -> bool {
        self.updates_unconditionally
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        (self.fields)(object)
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        (self.name)(name, prefix)
    }
}

/// For kinds whose names are path segments and nothing more.
pub fn path_segment(name: &str, _prefix: bool) -> Vec<String> {
    meta::validation::path_segment_name(name)
}
