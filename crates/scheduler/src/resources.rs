//! Amounts of resources, as the scheduler adds and compares them.

use meta::Quantity;
use std::collections::BTreeMap;

/// What a container without requests counts as when nodes are scored (upstream's numbers).
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

/// Quantities by resource name, as the API writes them.
pub type Quantities = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended and huge-page resources.
    pub scalar: BTreeMap<String, i64>,
}

impl Resources {
    pub fn of(quantities: &Quantities) -> Self {
        let mut resources = Resources::default();
        for (name, text) in quantities {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                _ => {
                    resources.scalar.insert(name.clone(), quantity.value());
                }
            }
        }
        resources
    }

    pub fn add(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_add);
    }

    pub fn subtract(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_sub);
        self.scalar.retain(|_, amount| *amount != 0);
    }

    /// The larger of each.
    pub fn raise(&mut self, other: &Resources) {
        self.combine(other, i64::max);
    }

    /// Takes over whatever `other` names.
    pub fn replace(&mut self, other: &Resources) {
        let take = |own: i64, new: i64| if new > 0 { new } else { own };
        self.combine(other, take);
    }

    /// The amount of a resource by its name.
    pub fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            _ => self.scalar.get(name).copied().unwrap_or(0),
        }
    }

    fn combine(&mut self, other: &Resources, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.scalar {
            let own = self.scalar.entry(name.clone()).or_insert(0);
            *own = with(*own, *amount);
        }
    }

    /// For scoring: pods that ask for nothing still use something.
    pub fn or_default(mut self) -> Self {
        if self.milli_cpu == 0 {
            self.milli_cpu = DEFAULT_MILLI_CPU;
        }
        if self.memory == 0 {
            self.memory = DEFAULT_MEMORY;
        }
        self
    }
}
