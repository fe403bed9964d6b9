//! When a pod has to go, by the devices it uses and the taints that they have. Looks, decides
//! nothing else.

use super::views::{ClaimView, Given, NO_EXECUTE, POOL, RuleView, SliceView, pool};
use crate::resource_claim::names_of;
use crate::views::{Taint, Toleration};
use base::Timestamp;
use client::{Cache, Item};
use jiff::SignedDuration;
use meta::{ObjectMeta, time};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

pub type Rules = [Arc<Item<RuleView>>];

/// When pods go, and the rules (name by uid) that had a part in it.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub at: Timestamp,
    pub rules: BTreeMap<String, String>,
}

pub struct World {
    pub claims: Arc<Cache<ClaimView>>,
    pub slices: Arc<Cache<SliceView>>,
    pub rules: Arc<Cache<RuleView>>,
}

impl World {
    /// The rules that end what is under way.
    pub fn evicting(&self) -> Vec<Arc<Item<RuleView>>> {
        let mut rules = self.rules.list();
        rules.retain(|rule| rule.view.taint.effect == NO_EXECUTE);
        rules
    }

    /// The slices that say what a pool is now: older generations do not count.
    fn current(&self, driver: &str, name: &str) -> Vec<Arc<Item<SliceView>>> {
        let mut slices = self.slices.by_index(POOL, pool(driver, name).as_str());
        let newest = slices.iter().map(|slice| slice.view.generation).max();
        slices.retain(|slice| Some(slice.view.generation) == newest);
        slices
    }

    /// None: nothing ends the pod. Only claims that are kept for it count.
    pub fn end_of(&self, pod: &Value, meta: &ObjectMeta, rules: &Rules, now: Timestamp) -> Option<End> {
        let claims = names_of(pod).filter_map(|name| self.claims.get(&meta.namespace, name));
        let claims = claims.filter(|claim| claim.view.consumers.iter().any(|one| one.uid == meta.uid));
        let ends = claims.flat_map(|claim| {
            let devices = claim.view.devices.iter();
            devices.filter_map(|given| self.end_of_device(given, rules, now)).collect::<Vec<_>>()
        });
        ends.reduce(sooner)
    }

    fn end_of_device(&self, given: &Given, rules: &Rules, now: Timestamp) -> Option<End> {
        let end = |taint: &Taint, rule: Option<&ObjectMeta>| {
            let at = endured_until(taint, &given.tolerations, now)?;
            Some(End { at, rules: rule.map(|rule| (rule.uid.clone(), rule.name.clone())).into_iter().collect() })
        };
        let about = rules.iter().filter(|rule| rule.view.is_about(&given.driver, &given.pool, &given.device));
        let by_rules = about.filter_map(|rule| end(&rule.view.taint, Some(&rule.meta)));
        let slices = self.current(&given.driver, &given.pool);
        let devices = slices.iter().flat_map(|slice| &slice.view.devices).filter(|one| one.name == given.device);
        let by_driver = devices.take(1).flat_map(|device| &device.taints).filter_map(|taint| end(taint, None));
        by_rules.chain(by_driver).reduce(sooner)
    }

    /// How many devices the rule is about: published ones, and ones that claims have.
    pub fn count_devices(&self, rule: &RuleView) -> (usize, usize) {
        let slices = self.slices.list();
        let mut newest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for slice in &slices {
            let place = (slice.view.driver.as_str(), slice.view.pool.as_str());
            let known = newest.entry(place).or_insert(slice.view.generation);
            *known = slice.view.generation.max(*known);
        }
        let is_current = |slice: &&Arc<Item<SliceView>>| {
            newest.get(&(slice.view.driver.as_str(), slice.view.pool.as_str())) == Some(&slice.view.generation)
        };
        let published = slices.iter().filter(is_current).map(|slice| {
            let SliceView { driver, pool, devices, .. } = &slice.view;
            devices.iter().filter(|device| rule.is_about(driver, pool, &device.name)).count()
        });
        let is_about = |given: &&Given| rule.is_about(&given.driver, &given.pool, &given.device);
        let allocated = self.claims.list();
        let allocated = allocated.iter().map(|claim| claim.view.devices.iter().filter(is_about).count());
        (published.sum(), allocated.sum())
    }
}

fn sooner(one: End, other: End) -> End {
    let mut rules = one.rules;
    rules.extend(other.rules);
    End { at: one.at.min(other.at), rules }
}

/// None: for ever. Not tolerated at all is until the taint came.
pub fn endured_until(taint: &Taint, tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    let since = taint.time_added.as_deref().and_then(|text| time::parse(text).ok()).unwrap_or(now);
    let mut shortest: Option<i64> = None;
    for toleration in tolerations.iter().filter(|toleration| toleration.tolerates(taint)) {
        let seconds = toleration.toleration_seconds?.max(0);
        shortest = Some(shortest.map_or(seconds, |known| known.min(seconds)));
    }
    Some(since.saturating_add(SignedDuration::from_secs(shortest.unwrap_or(0))).unwrap_or(now))
}
