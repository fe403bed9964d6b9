//! Clients with affinity whose endpoint is gone: the kernel would send them there until their time
//! is over.

use crate::layout::{self, MEMORIES};
use crate::plan::{Backend, Front, Fronts};
use std::collections::{BTreeMap, BTreeSet};
use sys::net::Error;
use sys::net::nftables::{Batch, Element, Key, Nftables, Table, Value};

/// Where the clients of each front with affinity may be sent.
pub(crate) struct Allowed(BTreeMap<Key, BTreeSet<Key>>);

impl Allowed {
    pub fn of<'a>(services: impl Iterator<Item = &'a Fronts>) -> Self {
        let mut allowed: BTreeMap<Key, BTreeSet<Key>> = BTreeMap::new();
        for (front, backend) in services.flatten() {
            if let Backend::Endpoints { affinity: Some(_), endpoints, .. } = backend {
                allowed.entry(layout::key(front)).or_default().extend(endpoints.iter().map(layout::target));
            }
        }
        Allowed(allowed)
    }

    fn allows(&self, element: &Element) -> bool {
        let Value::Key(target) = &element.value else { return false };
        // The client's address comes before the front's key.
        self.0.get(&element.key.rest()).is_some_and(|targets| targets.contains(target))
    }
}

/// Whether a change of these fronts may leave memories behind.
pub(crate) fn concerns(changed: &BTreeMap<Front, Option<Backend>>, services: &Allowed) -> bool {
    changed.iter().any(|(front, backend)| {
        let has = matches!(backend, Some(Backend::Endpoints { affinity: Some(_), .. }));
        has || backend.is_none() || services.0.contains_key(&layout::key(front))
    })
}

/// Forgets the memories that lead to endpoints that are gone.
pub(crate) fn sweep(nft: &mut Nftables, table: &Table, allowed: &Allowed) -> Result<usize, Error> {
    let mut forgotten = 0;
    for map in MEMORIES {
        for element in nft.map_elements(table, map)?.iter().filter(|element| !allowed.allows(element)) {
            // One by one: a memory that ends by itself meanwhile would fail the others.
            let mut batch = Batch::new();
            batch.delete_elements(table, map, std::slice::from_ref(element));
            match nft.commit(batch) {
                Err(error) if !error.is_absent() => return Err(error),
                _ => forgotten += 1,
            }
        }
    }
    Ok(forgotten)
}

/// The memories that are still good, to be put into a table that replaces this one.
pub(crate) fn keep(nft: &mut Nftables, table: &Table, allowed: &Allowed) -> Vec<(&'static str, Vec<Element>)> {
    let kept = MEMORIES.iter().map(|map| {
        // No table, or one of another layout: there is nothing to keep.
        let mut elements = nft.map_elements(table, map).unwrap_or_default();
        elements.retain(|element| allowed.allows(element) && element.timeout.is_some_and(|left| !left.is_zero()));
        (*map, elements)
    });
    kept.collect()
}
