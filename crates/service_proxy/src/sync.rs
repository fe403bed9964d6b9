//! The loop: which services changed, their new plans, one batch, and again.

use crate::layout::HAIRPIN;
use crate::objects::{self, Service, Slice};
use crate::plan::{Backend, Front, Fronts, plan};
use crate::state::{Edit, State};
use crate::{ProxyOptions, affinity, flows, interim_table, table};
use base::metrics::Histogram;
use base::{Backoff, Env};
use client::{Cache, Change, Key};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sys::net::Error;
use sys::net::nftables::{Batch, Element, Nftables, Table};
use tokio::sync::{Notify, watch};
use tracing::{debug, info, warn};

/// How often the table is looked at without a change in the API: other programs flush tables.
const LOOK: Duration = Duration::from_secs(10);

/// Which services have to be planned again, and which slices each has.
#[derive(Default)]
struct Ledger {
    dirty: Mutex<Dirty>,
    woken: Notify,
}

#[derive(Default)]
struct Dirty {
    services: BTreeSet<Key>,
    slices: BTreeMap<Key, BTreeSet<Key>>,
}

impl Ledger {
    fn with<T>(&self, work: impl FnOnce(&mut Dirty) -> T) -> T {
        work(&mut self.dirty.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn service_changed(&self, change: &Change<()>) {
        if let Some(item) = change.latest() {
            self.with(|dirty| _ = dirty.services.insert(item.key.clone()));
            self.woken.notify_one();
        }
    }

    fn slice_changed(&self, change: &Change<()>) {
        self.with(|dirty| {
            let service = |item: &Option<Arc<client::Item<()>>>| {
                item.as_ref().and_then(|item| Some((objects::service_of(&item.meta)?, item.key.clone())))
            };
            if let Some((service, slice)) = service(&change.old) {
                if let Some(slices) = dirty.slices.get_mut(&service) {
                    slices.remove(&slice);
                    if slices.is_empty() {
                        dirty.slices.remove(&service);
                    }
                }
                dirty.services.insert(service);
            }
            if let Some((service, slice)) = service(&change.new) {
                dirty.slices.entry(service.clone()).or_default().insert(slice);
                dirty.services.insert(service);
            }
        });
        self.woken.notify_one();
    }
}

pub(crate) struct Proxy {
    options: Arc<ProxyOptions>,
    services: Arc<Cache<()>>,
    slices: Arc<Cache<()>>,
    ledger: Arc<Ledger>,
    state: State,
    /// The table's handle; None: it has to be built.
    standing: Option<u64>,
    durations: Histogram,
}

pub(crate) async fn run(
    env: Env,
    options: Arc<ProxyOptions>,
    services: Arc<Cache<()>>,
    slices: Arc<Cache<()>>,
    synced: watch::Sender<bool>,
) {
    let ledger = Arc::new(Ledger::default());
    let (on_service, on_slice) = (ledger.clone(), ledger.clone());
    services.subscribe(move |change| on_service.service_changed(change));
    slices.subscribe(move |change| on_slice.slice_changed(change));
    services.synced().await;
    slices.synced().await;
    let buckets = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0];
    let durations = env.metrics.register(
        "kubeproxy_sync_proxy_rules_duration_seconds",
        "SyncProxyRules latency in seconds",
        Histogram::new(buckets),
    );
    let state = State::default();
    let mut proxy = Proxy { options, services, slices, ledger: ledger.clone(), state, standing: None, durations };
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    let mut quiet = false;
    loop {
        let started = env.clock.instant();
        // The kernel may make us wait for its own clean-up.
        let work = env.tasks.spawn_blocking(move || {
            let outcome = proxy.sync(quiet);
            (proxy, outcome)
        });
        let Ok((back, outcome)) = work.await else { return };
        proxy = back;
        match outcome {
            Ok(changed) => {
                backoff.reset();
                if changed {
                    proxy.durations.observe(started.elapsed().as_secs_f64());
                }
                synced.send_replace(true);
                quiet = env.clock.timeout(LOOK, ledger.woken.notified()).await.is_err();
            }
            Err(error) => {
                warn!(%error, "cannot change the service rules; building them again");
                proxy.standing = None;
                quiet = false;
                env.clock.sleep(backoff.next(&env.rng)).await;
            }
        }
    }
}

impl Proxy {
    /// Brings the kernel up to date; true if anything had to be changed. `quiet`: nothing has been
    /// for a while.
    fn sync(&mut self, quiet: bool) -> Result<bool, Error> {
        let table = table(&self.options.instance);
        let mut nft = Nftables::open()?;
        if self.standing.is_some() && nft.table(&table)? != self.standing {
            warn!(table = table.name, "the table of services was gone or changed; building it again");
            self.standing = None;
        }
        if quiet
            && self.standing.is_some()
            && let Some(stale) = self.state.forget_hairpins(&table)
        {
            nft.commit(stale)?;
        }
        let (before, mut edit) = (self.state.chains(), Edit::default());
        self.plan_dirty(&mut edit);
        let cluster = self.options.cluster_cidr;
        let changed = if self.standing.is_none() {
            let memories = affinity::keep(&mut nft, &table, &self.state.allowed());
            // No table, or one of another layout: there is nothing to keep.
            self.state.inherit_hairpins(nft.members(&table, HAIRPIN).unwrap_or_default());
            self.build(&mut nft, &table, memories)?;
            self.standing = nft.table(&table)?;
            info!(services = self.state.len(), "service rules stand");
            self.state.all()
        } else {
            let changed = std::mem::take(&mut edit.changed);
            if let Some(ahead) = self.state.ahead(&edit, &before, &table, cluster) {
                nft.commit(ahead)?;
            }
            nft.commit(self.state.batch(edit, &before, &table))?;
            changed
        };
        self.forget_former(&mut nft, &table, &changed);
        Ok(!changed.is_empty())
    }

    /// Makes the table, in place of one that stands.
    ///
    /// The kernel shows a new connection to the chains of both tables, the new one's first. One that comes
    /// to the new one before they change places, and to the old one after it, is translated by neither, and
    /// that for good. So a third table with the same rules stands beside them meanwhile.
    fn build(
        &self,
        nft: &mut Nftables,
        table: &Table,
        memories: Vec<(&'static str, Vec<Element>)>,
    ) -> Result<(), Error> {
        let interim = interim_table(&self.options.instance);
        let rules =
            |table, memories| self.state.rebuild(table, self.options.cluster_cidr, self.options.service_cidr, memories);
        if nft.table(table)?.is_some() {
            nft.commit(rules(&interim, memories.clone()))?;
        }
        nft.commit(rules(table, memories))?;
        if nft.table(&interim)?.is_some() {
            let mut last = Batch::new();
            last.remove_table(&interim);
            nft.commit(last)?;
        }
        Ok(())
    }

    /// What leads to endpoints that are gone: UDP flows, and memories of clients with affinity. The
    /// latter are looked at now and then, too: one could have been noted while it was forgotten.
    fn forget_former(&self, nft: &mut Nftables, table: &Table, changed: &BTreeMap<Front, Option<Backend>>) {
        match flows::forget(changed) {
            Ok(0) => {}
            Ok(forgotten) => debug!(forgotten, "UDP flows to former endpoints"),
            Err(error) => warn!(%error, "cannot forget UDP flows; they end by their own time limit"),
        }
        let allowed = self.state.allowed();
        if changed.is_empty() || affinity::concerns(changed, &allowed) {
            match affinity::sweep(nft, table, &allowed) {
                Ok(0) => {}
                Ok(forgotten) => debug!(forgotten, "clients of former endpoints"),
                Err(error) => warn!(%error, "cannot forget clients of former endpoints; will try again"),
            }
        }
    }

    fn plan_dirty(&mut self, edit: &mut Edit) {
        let mut todo = self.ledger.with(|dirty| std::mem::take(&mut dirty.services));
        while let Some(key) = todo.pop_first() {
            let fronts = self.plan(&key);
            let shrinks =
                self.state.fronts(&key).is_some_and(|old| old.keys().any(|front| !fronts.contains_key(front)));
            for front in self.state.set(&key, fronts, edit) {
                warn!(service = %key, ?front, "another service has this address and port");
            }
            if shrinks {
                // What it gave up may be what another one waits for.
                todo.extend(self.state.take_losers().into_iter().filter(|loser| *loser != key));
            }
        }
    }

    fn plan(&self, key: &Key) -> Fronts {
        let Some(item) = self.services.get_key(key) else { return Fronts::new() };
        let service: Service = match item.decode() {
            Ok(service) => service,
            Err(error) => {
                warn!(service = %key, %error, "cannot read the service; it is not served");
                return Fronts::new();
            }
        };
        let keys = self.ledger.with(|dirty| dirty.slices.get(key).cloned().unwrap_or_default());
        let items = keys.iter().filter_map(|slice| self.slices.get_key(slice));
        let slices: Vec<Slice> = items
            .filter_map(|item| {
                item.decode().inspect_err(|error| warn!(slice = %item.key, %error, "cannot read the slice")).ok()
            })
            .collect();
        plan(&service, &slices, &self.options.node_name, &self.options.answered_here, self.state.fronts(key))
    }
}
