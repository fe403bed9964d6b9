//! The scheduler: gives every pod without a node the best node that takes it.
//!
//! [`queue`] says which pod is next, [`snapshot`] what the nodes look like now, [`plugins`] hold
//! the rules under upstream's names, and [`cycle`] runs one pod through them. Talks to the API
//! server through `client` only; wiring and the simulator start it.

mod cycle;
mod failure;
pub mod framework;
mod node;
mod plugins;
mod pod;
mod queue;
mod resources;
mod snapshot;

use base::Env;
use client::cache::Selection;
use client::{Api, Caches, resource_of};
use k8s_openapi::api::core::v1 as core;
use std::sync::Arc;

pub use plugins::ALL;

/// What wiring decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pods that name another scheduler are left alone.
    pub name: String,
}

impl Default for Options {
    fn default() -> Self {
        Options { name: "default-scheduler".to_owned() }
    }
}

/// Starts scheduling; ends with the environment's tasks.
pub fn start(env: &Env, api: Arc<dyn Api>, options: Options) {
    let caches = Caches::new(api.clone(), env);
    let pods = caches.watch::<pod::PodView>(Selection::all(resource_of::<core::Pod>()));
    let nodes = caches.watch::<node::NodeView>(Selection::all(resource_of::<core::Node>()));
    let scheduler = Arc::new(cycle::Scheduler::new(env, api, options, pods, nodes));
    scheduler.clone().subscribe();
    env.tasks.spawn("scheduler", cycle::run(scheduler));
}
