//! The scheduler: gives every pod without a node the best node that takes it.
//!
//! [`queue`] says which pod is next, [`snapshot`] what the nodes look like now, [`plugins`] hold
//! the rules under upstream's names, [`judge`] runs a pod through them, [`preemption`] looks for
//! room where there is none, [`cycle`] puts these together and [`binding`] writes what was decided.
//! Talks to the API server through `client` only; wiring and the simulator start it.

mod binding;
mod claims;
mod cluster;
pub mod config;
mod cycle;
mod extender;
mod failure;
#[cfg(test)]
mod fixture;
pub mod framework;
mod judge;
mod metrics;
mod news;
mod node;
mod plugins;
mod pod;
mod preemption;
mod queue;
mod resources;
mod selectors;
mod snapshot;
mod watching;

use base::Env;
use client::cache::Selection;
use client::{Api, Caches, resource_of};
use k8s_openapi::api::core::v1 as core;
use std::sync::Arc;

pub use config::Config;
pub use plugins::ALL;

/// What wiring decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Profiles and more: [`config::parse`] reads upstream's file.
    pub config: Config,
    /// The machine's name, for events.
    pub host: String,
}

/// Starts scheduling; ends with the environment's tasks.
pub fn start(env: &Env, api: Arc<dyn Api>, options: Options) {
    let caches = Caches::new(api.clone(), env);
    let cluster = Arc::new(cluster::Cluster::new(&caches));
    let pods = caches.watch::<pod::PodView>(Selection::all(resource_of::<core::Pod>()));
    let nodes = caches.watch::<node::NodeView>(Selection::all(resource_of::<core::Node>()));
    let scheduler = Arc::new(cycle::Scheduler::new(env, api, options, pods, nodes, cluster));
    scheduler.clone().subscribe();
    env.tasks.spawn("scheduler", cycle::run(scheduler));
}
