//! What is kept of claims, slices and rules: who has which device, and which taints end that.

use crate::views::{Taint, Toleration};
use client::{Item, Key, Projection};
use serde::Deserialize;

/// The objects about a pool, by [`pool`].
pub const POOL: &str = "pool";

pub const NO_EXECUTE: &str = "NoExecute";

/// The name of a driver's pool in the index.
pub fn pool(driver: &str, pool: &str) -> Key {
    Key::new(driver, pool)
}

/// Of a ResourceClaim: the devices it was given and the pods that may use them.
#[derive(Debug, Default, PartialEq)]
pub struct ClaimView {
    pub devices: Vec<Given>,
    pub consumers: Vec<Consumer>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Given {
    pub driver: String,
    pub pool: String,
    pub device: String,
    pub tolerations: Vec<Toleration>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Consumer {
    api_group: String,
    resource: String,
    pub name: String,
    pub uid: String,
}

impl Projection for ClaimView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Claim {
            #[serde(default)]
            status: Status,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Status {
            allocation: Option<Allocation>,
            reserved_for: Vec<Consumer>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Allocation {
            devices: Devices,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Devices {
            results: Vec<Given>,
        }
        let Claim { status } = serde_json::from_slice(object)?;
        let is_pod = |one: &Consumer| one.api_group.is_empty() && one.resource == "pods";
        Ok(ClaimView {
            devices: status.allocation.unwrap_or_default().devices.results,
            consumers: status.reserved_for.into_iter().filter(is_pod).collect(),
        })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        item.view.devices.iter().for_each(|given| add(POOL, pool(&given.driver, &given.pool).as_str()));
    }
}

/// Of a ResourceSlice.
#[derive(Debug, PartialEq)]
pub struct SliceView {
    pub driver: String,
    pub pool: String,
    pub generation: i64,
    pub devices: Vec<Device>,
}

#[derive(Debug, PartialEq)]
pub struct Device {
    pub name: String,
    /// Those that end what is under way.
    pub taints: Vec<Taint>,
}

impl Projection for SliceView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Slice {
            spec: Spec,
        }
        #[derive(Deserialize)]
        struct Spec {
            driver: String,
            pool: Pool,
            #[serde(default)]
            devices: Vec<Listed>,
        }
        #[derive(Deserialize)]
        struct Pool {
            name: String,
            #[serde(default)]
            generation: i64,
        }
        #[derive(Deserialize)]
        struct Listed {
            name: String,
            #[serde(default)]
            taints: Vec<Taint>,
        }
        let Slice { spec } = serde_json::from_slice(object)?;
        let device = |Listed { name, mut taints }: Listed| {
            taints.retain(|taint| taint.effect == NO_EXECUTE);
            Device { name, taints }
        };
        Ok(SliceView {
            driver: spec.driver,
            pool: spec.pool.name,
            generation: spec.pool.generation,
            devices: spec.devices.into_iter().map(device).collect(),
        })
    }

    fn index(item: &Item<Self>, add: &mut dyn FnMut(&'static str, &str)) {
        add(POOL, pool(&item.view.driver, &item.view.pool).as_str());
    }
}

/// Of a DeviceTaintRule: a taint for the devices it selects.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuleView {
    device_selector: Option<Selector>,
    pub taint: Taint,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Selector {
    driver: Option<String>,
    pool: Option<String>,
    device: Option<String>,
}

impl Projection for RuleView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Rule {
            #[serde(default)]
            spec: RuleView,
        }
        serde_json::from_slice(object).map(|Rule { spec }| spec)
    }
}

impl RuleView {
    /// A rule without a selector is about no device, one with an empty selector about all.
    pub fn is_about(&self, driver: &str, pool: &str, device: &str) -> bool {
        let Some(selector) = &self.device_selector else { return false };
        let fits = |wanted: &Option<String>, own: &str| wanted.as_deref().is_none_or(|wanted| wanted == own);
        fits(&selector.driver, driver) && fits(&selector.pool, pool) && fits(&selector.device, device)
    }

    pub fn with_effect(&self, effect: &str) -> Self {
        let taint = Taint { effect: effect.to_owned(), ..self.taint.clone() };
        RuleView { device_selector: self.device_selector.clone(), taint }
    }
}
