//! How the scheduler is set up: profiles of plugins with their arguments, extenders, and the few
//! numbers of upstream's KubeSchedulerConfiguration. [`file`] reads that file.

mod file;
mod resolve;
#[cfg(test)]
mod tests;

pub use file::{ConfigError, parse};

use crate::framework::Rule;
use crate::plugins;
use crate::pod::NodeTerm;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    pub profiles: Vec<Profile>,
    pub extenders: Vec<Extender>,
    /// 0: by the number of nodes.
    pub percentage_of_nodes_to_score: i64,
    pub first_backoff: Duration,
    pub max_backoff: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            profiles: vec![Profile::standard("default-scheduler")],
            extenders: Vec::new(),
            percentage_of_nodes_to_score: 0,
            first_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
        }
    }
}

/// Pods name a profile as their scheduler.
#[derive(Debug, Clone)]
pub struct Profile {
    pub name: String,
    /// Places in [`plugins::ALL`], in the order they filter.
    pub filters: Vec<usize>,
    /// The same with weights, for scoring.
    pub scores: Vec<(usize, i64)>,
    pub preempts: bool,
    pub gates: bool,
    pub percentage_of_nodes_to_score: Option<i64>,
    pub args: Args,
}

impl Profile {
    /// Upstream's default plugins under a name.
    pub fn standard(name: &str) -> Self {
        let judges = |place: &usize| !matches!(plugins::ALL[*place].rule, Rule::Elsewhere);
        let places = || (0..plugins::ALL.len()).filter(judges);
        let weighted = |place: usize| (place, plugins::ALL[place].weight);
        Profile {
            name: name.to_owned(),
            filters: places().collect(),
            scores: places().map(weighted).filter(|(_, weight)| *weight > 0).collect(),
            preempts: true,
            gates: true,
            percentage_of_nodes_to_score: None,
            args: Args::default(),
        }
    }
}

/// The arguments of a profile's plugins.
#[derive(Debug, Clone, Default)]
pub struct Args {
    pub added_affinity: AddedAffinity,
    pub fit: FitArgs,
    /// Resources that should be filled evenly, with weights.
    pub balanced: BalancedResources,
    pub spread: DefaultSpread,
    pub affinity: AffinityArgs,
    pub binding: BindingArgs,
    pub preemption: PreemptionArgs,
}

#[derive(Debug, Clone, Default)]
pub struct AddedAffinity {
    pub required: Option<Vec<NodeTerm>>,
    pub preferred: Vec<(i32, NodeTerm)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Debug, Clone)]
pub struct FitArgs {
    pub strategy: Strategy,
    pub resources: Vec<(String, i64)>,
    /// Scores (0 to 100) at utilizations in percent, ascending.
    pub shape: Vec<(i64, i64)>,
    pub ignored: BTreeSet<String>,
    pub ignored_groups: BTreeSet<String>,
}

fn cpu_and_memory() -> Vec<(String, i64)> {
    vec![("cpu".to_owned(), 1), ("memory".to_owned(), 1)]
}

impl Default for FitArgs {
    fn default() -> Self {
        FitArgs {
            strategy: Strategy::LeastAllocated,
            resources: cpu_and_memory(),
            shape: Vec::new(),
            ignored: BTreeSet::new(),
            ignored_groups: BTreeSet::new(),
        }
    }
}

impl FitArgs {
    /// Whether an extended resource is left to an extender.
    pub fn ignores(&self, resource: &str) -> bool {
        let group = resource.split_once('/').map_or("", |(group, _)| group);
        self.ignored.contains(resource) || self.ignored_groups.contains(group)
    }
}

#[derive(Debug, Clone)]
pub struct BalancedResources(pub Vec<(String, i64)>);

impl Default for BalancedResources {
    fn default() -> Self {
        BalancedResources(cpu_and_memory())
    }
}

impl std::ops::Deref for BalancedResources {
    type Target = [(String, i64)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Constraints of pods that have none of their own.
#[derive(Debug, Clone, Default)]
pub enum DefaultSpread {
    /// Upstream's, over hosts and zones.
    #[default]
    System,
    List(Vec<DefaultConstraint>),
}

#[derive(Debug, Clone)]
pub struct DefaultConstraint {
    pub max_skew: i64,
    pub topology_key: String,
    pub is_hard: bool,
}

#[derive(Debug, Clone)]
pub struct AffinityArgs {
    /// What the required affinity of a placed pod weighs in scores.
    pub hard_weight: i64,
    pub ignores_preferred_of_existing: bool,
}

impl Default for AffinityArgs {
    fn default() -> Self {
        AffinityArgs { hard_weight: 1, ignores_preferred_of_existing: false }
    }
}

#[derive(Debug, Clone)]
pub struct BindingArgs {
    pub timeout: Duration,
}

impl Default for BindingArgs {
    fn default() -> Self {
        BindingArgs { timeout: Duration::from_secs(600) }
    }
}

#[derive(Debug, Clone)]
pub struct PreemptionArgs {
    pub percentage: usize,
    pub absolute: usize,
}

impl Default for PreemptionArgs {
    fn default() -> Self {
        PreemptionArgs { percentage: 10, absolute: 100 }
    }
}

/// A program that has a say over HTTP.
#[derive(Debug, Clone)]
pub struct Extender {
    pub url: String,
    pub filter: String,
    pub prioritize: String,
    pub preempt: String,
    pub bind: String,
    pub weight: i64,
    pub timeout: Duration,
    pub nodes_are_cached: bool,
    pub is_ignorable: bool,
    /// Resources it cares for; empty: all pods are its business.
    pub resources: BTreeSet<String>,
    pub tls: Tls,
}

/// How an extender is trusted, and this scheduler by it. PEM.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    pub insecure: bool,
    pub server_name: Option<String>,
    pub ca: Option<Vec<u8>>,
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
}
