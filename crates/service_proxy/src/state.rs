//! What stands in the kernel, and the smallest change from there to a new plan.

use crate::affinity::Allowed;
use crate::layout::{self, Common, HAIRPIN};
use crate::plan::{Backend, Front, Fronts};
use client::Key as ObjectKey;
use std::collections::{BTreeMap, BTreeSet};
use sys::net::Ipv4Net;
use sys::net::nftables::{Batch, Element, Key, Table};

/// All services' fronts as they stand (or will, once the batch made from them is committed).
#[derive(Default)]
pub(crate) struct State {
    services: BTreeMap<ObjectKey, Fronts>,
    owners: BTreeMap<Front, ObjectKey>,
    /// The services that have affinity: few, and often asked for.
    affine: BTreeSet<ObjectKey>,
    /// Services that wanted a front which another one has.
    losers: BTreeSet<ObjectKey>,
    chains: BTreeMap<Common, usize>,
    hairpins: BTreeMap<Key, usize>,
    /// The hairpin entries in the kernel. One outlives its endpoint: a packet that was led there is
    /// still to be masqueraded, and if it were not, its connection would hang. Otherwise it does nothing.
    hairpins_standing: BTreeSet<Key>,
}

/// Changes being gathered: deletions come before additions, over all services.
#[derive(Default)]
pub(crate) struct Edit {
    deletions: BTreeMap<&'static str, Vec<Element>>,
    additions: BTreeMap<&'static str, Vec<Element>>,
    chains: BTreeSet<Common>,
    hairpins: Vec<Element>,
    /// Fronts whose endpoints changed, with what they have now.
    pub changed: BTreeMap<Front, Option<Backend>>,
}

impl State {
    pub fn fronts(&self, service: &ObjectKey) -> Option<&Fronts> {
        self.services.get(service)
    }

    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Services that may now get a front they did not get before.
    pub fn take_losers(&mut self) -> BTreeSet<ObjectKey> {
        std::mem::take(&mut self.losers)
    }

    /// Gives a service these fronts in place of the ones it has, except those that belong to
    /// another service. Returns the ones it did not get.
    pub fn set(&mut self, service: &ObjectKey, mut fronts: Fronts, edit: &mut Edit) -> Vec<Front> {
        let taken = |front: &Front| self.owners.get(front).is_some_and(|owner| owner != service);
        let lost: Vec<Front> = fronts.keys().filter(|front| taken(front)).copied().collect();
        for front in &lost {
            fronts.remove(front);
        }
        if !lost.is_empty() {
            self.losers.insert(service.clone());
        }
        let before = self.services.remove(service).unwrap_or_default();
        for (front, old) in &before {
            if !fronts.contains_key(front) {
                self.owners.remove(front);
                self.change(front, Some(old), None, edit);
            }
        }
        for (front, new) in &fronts {
            let old = before.get(front);
            if old != Some(new) {
                self.owners.insert(*front, service.clone());
                self.change(front, old, Some(new), edit);
            }
        }
        let affine = |backend: &Backend| matches!(backend, Backend::Endpoints { affinity: Some(_), .. });
        if fronts.values().any(affine) {
            self.affine.insert(service.clone());
        } else {
            self.affine.remove(service);
        }
        if !fronts.is_empty() {
            self.services.insert(service.clone(), fronts);
        }
        lost
    }

    fn change(&mut self, front: &Front, old: Option<&Backend>, new: Option<&Backend>, edit: &mut Edit) {
        let elements =
            |backend: Option<&Backend>| backend.map(|backend| layout::elements(front, backend)).unwrap_or_default();
        let index = |of: Vec<(&'static str, Element)>| -> BTreeMap<(&'static str, Key), Element> {
            of.into_iter().map(|(map, element)| ((map, element.key), element)).collect()
        };
        let (before, after) = (index(elements(old)), index(elements(new)));
        for (place, element) in &before {
            if after.get(place) != Some(element) {
                edit.deletions.entry(place.0).or_default().push(element.clone());
            }
        }
        for (place, element) in after {
            if before.get(&place) != Some(&element) {
                edit.additions.entry(place.0).or_default().push(element);
            }
        }
        self.count(front, old, false, edit);
        self.count(front, new, true, edit);
        edit.changed.insert(*front, new.cloned());
    }

    /// Counts what fronts share: chains and hairpin entries.
    fn count(&mut self, front: &Front, backend: Option<&Backend>, up: bool, edit: &mut Edit) {
        let Some(backend) = backend else { return };
        for chain in Common::of(front, backend) {
            edit.chains.insert(chain);
            add(&mut self.chains, chain, up);
        }
        if let Backend::Endpoints { endpoints, .. } = backend {
            for endpoint in endpoints.iter().filter(|endpoint| endpoint.local) {
                let hairpin = layout::hairpin(endpoint.address);
                add(&mut self.hairpins, hairpin, up);
                if up && self.hairpins_standing.insert(hairpin) {
                    edit.hairpins.push(Element::member(hairpin));
                }
            }
        }
    }

    /// What must stand before the change itself: a packet on its way sees new entries of maps at once,
    /// but only the chains that there were when it came.
    pub fn ahead(&self, edit: &Edit, before: &BTreeSet<Common>, table: &Table, cluster: Ipv4Net) -> Option<Batch> {
        let new = |chain: &&Common| self.chains.contains_key(chain) && !before.contains(chain);
        let mut chains = edit.chains.iter().filter(new).peekable();
        chains.peek()?;
        let mut batch = Batch::new();
        chains.for_each(|chain| chain.write(&mut batch, table, cluster));
        Some(batch)
    }

    /// The change as a batch. `before` are the chains that stood before the edit began.
    pub fn batch(&self, edit: Edit, before: &BTreeSet<Common>, table: &Table) -> Batch {
        let mut batch = Batch::new();
        for (map, elements) in &edit.deletions {
            batch.delete_elements(table, map, elements);
        }
        for (map, elements) in &edit.additions {
            batch.add_elements(table, map, elements);
        }
        batch.add_elements(table, HAIRPIN, &edit.hairpins);
        let gone = |chain: &&Common| !self.chains.contains_key(chain) && before.contains(chain);
        for chain in edit.chains.iter().filter(gone) {
            batch.delete_chain(table, &chain.chain());
        }
        batch
    }

    /// Removes the hairpin entries of former endpoints, for a time when no packet is on its way to them.
    pub fn forget_hairpins(&mut self, table: &Table) -> Option<Batch> {
        let is_stale = |key: &&Key| !self.hairpins.contains_key(key);
        let stale: Vec<_> = self.hairpins_standing.iter().filter(is_stale).copied().map(Element::member).collect();
        self.hairpins_standing.retain(|key| self.hairpins.contains_key(key));
        let mut batch = Batch::new();
        batch.delete_elements(table, HAIRPIN, &stale);
        (!stale.is_empty()).then_some(batch)
    }

    /// Keeps the hairpin entries of a table that is about to be replaced.
    pub fn inherit_hairpins(&mut self, hairpins: Vec<Key>) {
        self.hairpins_standing.extend(hairpins);
    }

    /// The whole table from nothing, but for the memories of clients with affinity.
    pub fn rebuild(
        &self,
        table: &Table,
        cluster: Ipv4Net,
        services: Ipv4Net,
        memories: Vec<(&'static str, Vec<Element>)>,
    ) -> Batch {
        let mut batch = Batch::new();
        layout::skeleton(&mut batch, table, cluster, services);
        self.chains.keys().for_each(|chain| chain.write(&mut batch, table, cluster));
        let mut maps: BTreeMap<&'static str, Vec<Element>> = memories.into_iter().collect();
        for (front, backend) in self.services.values().flatten() {
            for (map, element) in layout::elements(front, backend) {
                maps.entry(map).or_default().push(element);
            }
        }
        let hairpins = self.hairpins_standing.iter().copied().map(Element::member);
        maps.entry(HAIRPIN).or_default().extend(hairpins);
        for (map, elements) in &maps {
            batch.add_elements(table, map, elements);
        }
        batch
    }

    /// The chains now, to compare with after an edit.
    pub fn chains(&self) -> BTreeSet<Common> {
        self.chains.keys().copied().collect()
    }

    /// Where clients with affinity may be sent.
    pub fn allowed(&self) -> Allowed {
        Allowed::of(self.affine.iter().filter_map(|service| self.services.get(service)))
    }

    /// All fronts, for the first look at old connections.
    pub fn all(&self) -> BTreeMap<Front, Option<Backend>> {
        self.services.values().flatten().map(|(front, backend)| (*front, Some(backend.clone()))).collect()
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K, up: bool) {
    if up {
        *counts.entry(key).or_default() += 1;
        return;
    }
    match counts.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => _ = counts.remove(&key),
    }
}
