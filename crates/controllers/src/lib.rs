//! The controllers: each a folder that observes through caches, plans purely and leaves the sending
//! to one shared executor.
//!
//! A room is listed in [`ALL`] and nowhere else. It holds a `Def`, an `observe`, a pure `plan` and
//! its tests. Nothing here reads the API but caches and the executor.

mod accounts;
mod action;
mod amount;
mod announce;
mod bootstrap;
mod certificates;
mod cluster_roles;
mod cronjob;
mod daemonset;
mod deployment;
mod device_eviction;
mod disruption;
mod endpoints;
mod endpointslice;
mod executor;
mod garbage;
mod go_text;
mod history;
mod horizontalpodautoscaler;
mod job;
mod kinds;
mod metrics;
mod namespace;
mod node;
mod node_ipam;
mod node_ttl;
mod ownership;
mod podgc;
mod policy_status;
mod replicaset;
mod resource_claim;
mod resource_quota;
mod rig;
mod service_cidrs;
mod services;
mod statefulset;
mod storage;
mod storage_migration;
mod taint_eviction;
mod template;
#[cfg(test)]
mod testing;
mod ttl_after_finished;
mod views;

pub use accounts::TokenIssuer;
pub use certificates::{Asked, Signer};
pub use node_ipam::{Range, RangeError};
pub use rig::Def;

use base::Env;
use client::{Api, Caches};
use executor::Executor;
use rig::Rig;
use std::sync::Arc;

/// Every controller, in upstream's order of starting.
pub const ALL: &[Def] = &[
    accounts::TOKENS,
    endpoints::DEF,
    endpointslice::DEF,
    endpointslice::MIRRORING,
    replicaset::REPLICATION_CONTROLLER,
    podgc::DEF,
    resource_quota::DEF,
    namespace::DEF,
    accounts::DEFAULT_ACCOUNT,
    garbage::DEF,
    daemonset::DEF,
    job::DEF,
    deployment::DEF,
    replicaset::REPLICA_SET,
    horizontalpodautoscaler::DEF,
    disruption::DEF,
    statefulset::DEF,
    cronjob::DEF,
    node_ipam::DEF,
    node::DEF,
    taint_eviction::DEF,
    device_eviction::DEF,
    node_ttl::DEF,
    storage::BINDER,
    storage::EXPANDER,
    storage::CLAIM_PROTECTION,
    storage::VOLUME_PROTECTION,
    storage::ATTRIBUTES_PROTECTION,
    storage::EPHEMERAL,
    resource_claim::DEF,
    certificates::SIGNING,
    certificates::APPROVING,
    certificates::CLEANER,
    certificates::POD_CLEANER,
    cluster_roles::DEF,
    bootstrap::SIGNER,
    bootstrap::CLEANER,
    ttl_after_finished::DEF,
    accounts::ROOT_CA,
    certificates::BUNDLES,
    accounts::TOKEN_CLEANER,
    policy_status::DEF,
    service_cidrs::DEF,
    storage_migration::DEF,
];

/// What the wiring gives all controllers.
#[derive(Clone)]
pub struct Options {
    /// The process's caches; they need to list and watch everything.
    pub caches: Caches,
    /// The certificates by which pods know the API server, in PEM; None: not published.
    pub root_ca: Option<String>,
    /// Fills token Secrets; None: they stay empty.
    pub token_issuer: Option<Arc<dyn TokenIssuer>>,
    /// Signs certificate requests; None: nobody does.
    pub signer: Option<Arc<dyn Signer>>,
    /// The ranges that nodes get theirs from, one per address family; empty: none are given.
    pub node_ranges: Vec<Range>,
    /// `LegacyServiceAccountTokenNoAutoGeneration=false`: a token Secret for every account.
    pub secret_for_each_account: bool,
}

impl Options {
    /// Only what needs nothing but the API.
    pub fn new(caches: Caches) -> Self {
        Options {
            caches,
            root_ca: None,
            token_issuer: None,
            signer: None,
            node_ranges: Vec::new(),
            secret_for_each_account: false,
        }
    }
}

/// Starts every controller of [`ALL`] in a task group of `env`, each under the identity that
/// `api_for` gives for its [`Def::identity`].
pub fn start(env: &Env, api_for: &dyn Fn(&str) -> Arc<dyn Api>, options: Options) {
    let options = Arc::new(options);
    let queues = metrics::AllQueues::register(&env.metrics);
    for def in ALL {
        start_one(env, def, api_for(def.identity), &options, &queues);
    }
}

fn start_one(env: &Env, def: &'static Def, api: Arc<dyn Api>, options: &Arc<Options>, queues: &metrics::AllQueues) {
    let rig = Rig::new(env, options, def);
    let room = (def.build)(&rig);
    let executor = Arc::new(Executor::new(&rig, room, def, api, queues.of(def.name)));
    env.tasks.spawn(def.name, executor.run());
}
