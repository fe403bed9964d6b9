//! From what a profile says to what it comes to: which plugins run where, with which weights, in
//! which order, and with which arguments.

use super::file::{ConfigError, PluginName, PluginSet, ProfileFile, percentage};
use super::{AddedAffinity, Args, BalancedResources, DefaultConstraint, DefaultSpread, Profile, Strategy};
use crate::framework::Rule;
use crate::plugins::ALL;
use crate::pod::NodeTerm;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Plugins of upstream that this scheduler does not have; a profile may turn them off.
const ABSENT: &[&str] = &["GangScheduling"];

fn place(name: &str) -> Option<usize> {
    ALL.iter().position(|plugin| plugin.name == name)
}

pub(super) fn profile(name: &str, at: usize, file: ProfileFile) -> Result<Profile, ConfigError> {
    let field = format!("profiles[{at}].percentageOfNodesToScore");
    let plugins = &file.plugins;
    let missing = |plugin: &str| ConfigError::NoSuchPlugin { profile: name.to_owned(), plugin: plugin.to_owned() };
    let sets = [
        &plugins.multi_point,
        &plugins.pre_enqueue,
        &plugins.queue_sort,
        &plugins.pre_filter,
        &plugins.filter,
        &plugins.post_filter,
        &plugins.pre_score,
        &plugins.score,
        &plugins.reserve,
        &plugins.permit,
        &plugins.pre_bind,
        &plugins.bind,
        &plugins.post_bind,
    ];
    for one in sets.into_iter().flat_map(|set| &set.enabled) {
        place(&one.name).ok_or_else(|| missing(&one.name))?;
    }
    for one in sets.into_iter().flat_map(|set| &set.disabled) {
        let known = one.name == "*" || place(&one.name).is_some() || ABSENT.contains(&one.name.as_str());
        known.then_some(()).ok_or_else(|| missing(&one.name))?;
    }
    let defaults = (0..ALL.len()).map(|place| (place, ALL[place].weight)).collect();
    let everywhere = changed(defaults, &plugins.multi_point);
    let at_point = |set: &PluginSet| changed(everywhere.clone(), set);
    let has = |set: &PluginSet, wanted: &str| at_point(set).iter().any(|(place, _)| ALL[*place].name == wanted);
    if !has(&plugins.bind, "DefaultBinder") {
        return Err(ConfigError::NoBinder { profile: name.to_owned() });
    }
    let judges = |place: usize| !matches!(ALL[place].rule, Rule::Elsewhere);
    let filters = at_point(&plugins.filter).into_iter().map(|(place, _)| place).filter(|place| judges(*place));
    let scores = at_point(&plugins.score).into_iter().filter(|(place, _)| ALL[*place].weight > 0);
    let mut args = Args::default();
    for one in &file.plugin_config {
        place(&one.name).ok_or_else(|| missing(&one.name))?;
        set_args(&mut args, &one.name, &one.args, &format!("profiles[{at}].pluginConfig"))?;
    }
    Ok(Profile {
        name: name.to_owned(),
        filters: filters.collect(),
        scores: scores.map(|(place, weight)| (place, if weight > 0 { weight } else { 1 })).collect(),
        preempts: has(&plugins.post_filter, "DefaultPreemption"),
        gates: has(&plugins.pre_enqueue, "SchedulingGates"),
        percentage_of_nodes_to_score: percentage(&field, file.percentage_of_nodes_to_score)?,
        args,
    })
}

/// Takes away what is disabled (`*`: all), adds what is enabled, or changes its weight in place.
fn changed(mut plugins: Vec<(usize, i64)>, set: &PluginSet) -> Vec<(usize, i64)> {
    let named = |list: &[PluginName], place: usize| list.iter().any(|one| one.name == ALL[place].name);
    let all = set.disabled.iter().any(|one| one.name == "*");
    plugins.retain(|(place, _)| !(all || named(&set.disabled, *place)));
    for one in &set.enabled {
        let Some(place) = place(&one.name) else { continue };
        let weight = if one.weight > 0 { one.weight } else { ALL[place].weight };
        match plugins.iter_mut().find(|(standing, _)| *standing == place) {
            Some(standing) => standing.1 = weight,
            None => plugins.push((place, weight)),
        }
    }
    plugins
}

#[derive(Deserialize)]
struct Weighted {
    name: String,
    #[serde(default)]
    weight: i64,
}

impl Weighted {
    fn pair(self) -> (String, i64) {
        (self.name, if self.weight > 0 { self.weight } else { 1 })
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FitFile {
    ignored_resources: Vec<String>,
    ignored_resource_groups: Vec<String>,
    scoring_strategy: Option<StrategyFile>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StrategyFile {
    #[serde(rename = "type")]
    kind: String,
    resources: Vec<Weighted>,
    requested_to_capacity_ratio: Option<Ratio>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ratio {
    shape: Vec<Point>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Point {
    utilization: i64,
    score: i64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct BalancedFile {
    resources: Vec<Weighted>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct AffinityFile {
    added_affinity: Option<AddedFile>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AddedFile {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<Terms>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: Vec<Preferred>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    node_selector_terms: Vec<NodeTerm>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Preferred {
    weight: i32,
    preference: NodeTerm,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SpreadFile {
    default_constraints: Vec<ConstraintFile>,
    defaulting_type: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConstraintFile {
    max_skew: i64,
    topology_key: String,
    when_unsatisfiable: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct InterPodFile {
    hard_pod_affinity_weight: Option<i64>,
    ignore_preferred_terms_of_existing_pods: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct BindingFile {
    bind_timeout_seconds: Option<i64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PreemptionFile {
    min_candidate_nodes_percentage: Option<i64>,
    min_candidate_nodes_absolute: Option<i64>,
}

fn read<T: DeserializeOwned + Default>(value: &Value) -> Result<T, ConfigError> {
    if value.is_null() { Ok(T::default()) } else { Ok(serde_json::from_value(value.clone())?) }
}

fn set_args(args: &mut Args, plugin: &str, value: &Value, field: &str) -> Result<(), ConfigError> {
    let within = |name: &str, given: Option<i64>, least: i64, most: i64| match given {
        Some(number) if !(least..=most).contains(&number) => {
            let why = format!("not in valid range [{least}-{most}]");
            Err(ConfigError::invalid(format!("{field}.{name}"), number, &why))
        }
        given => Ok(given),
    };
    match plugin {
        "NodeResourcesFit" => set_fit(args, read(value)?, field)?,
        "NodeResourcesBalancedAllocation" => {
            let file: BalancedFile = read(value)?;
            if !file.resources.is_empty() {
                args.balanced = BalancedResources(file.resources.into_iter().map(Weighted::pair).collect());
            }
        }
        "NodeAffinity" => {
            let added = read::<AffinityFile>(value)?.added_affinity.unwrap_or_default();
            args.added_affinity = AddedAffinity {
                required: added.required.map(|terms| terms.node_selector_terms),
                preferred: added.preferred.into_iter().map(|one| (one.weight, one.preference)).collect(),
            };
        }
        "PodTopologySpread" => set_spread(args, read(value)?, field)?,
        "InterPodAffinity" => {
            let file: InterPodFile = read(value)?;
            let weight = within("hardPodAffinityWeight", file.hard_pod_affinity_weight, 0, 100)?;
            args.affinity.hard_weight = weight.unwrap_or(1);
            args.affinity.ignores_preferred_of_existing = file.ignore_preferred_terms_of_existing_pods;
        }
        "VolumeBinding" => {
            let seconds = read::<BindingFile>(value)?.bind_timeout_seconds;
            let seconds = within("bindTimeoutSeconds", seconds, 0, i64::MAX)?.unwrap_or(600);
            args.binding.timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(600));
        }
        "DefaultPreemption" => {
            let file: PreemptionFile = read(value)?;
            let percentage =
                within("minCandidateNodesPercentage", file.min_candidate_nodes_percentage, 0, 100)?.unwrap_or(10);
            let absolute =
                within("minCandidateNodesAbsolute", file.min_candidate_nodes_absolute, 0, i64::MAX)?.unwrap_or(100);
            args.preemption.percentage = usize::try_from(percentage).unwrap_or(10);
            args.preemption.absolute = usize::try_from(absolute).unwrap_or(100);
        }
        _ => {}
    }
    Ok(())
}

fn set_fit(args: &mut Args, file: FitFile, field: &str) -> Result<(), ConfigError> {
    args.fit.ignored.extend(file.ignored_resources);
    args.fit.ignored_groups.extend(file.ignored_resource_groups);
    let Some(strategy) = file.scoring_strategy else { return Ok(()) };
    args.fit.strategy = match strategy.kind.as_str() {
        "" | "LeastAllocated" => Strategy::LeastAllocated,
        "MostAllocated" => Strategy::MostAllocated,
        "RequestedToCapacityRatio" => Strategy::RequestedToCapacityRatio,
        other => {
            let why = "supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\"";
            return Err(ConfigError::invalid(format!("{field}.scoringStrategy.type"), other, why));
        }
    };
    if !strategy.resources.is_empty() {
        args.fit.resources = strategy.resources.into_iter().map(Weighted::pair).collect();
    }
    let shape = strategy.requested_to_capacity_ratio.unwrap_or_default().shape;
    let ascends = shape.windows(2).all(|pair| pair[0].utilization < pair[1].utilization);
    let in_range = |point: &Point| (0..=100).contains(&point.utilization) && (0..=10).contains(&point.score);
    let is_used = args.fit.strategy == Strategy::RequestedToCapacityRatio;
    if is_used && (shape.is_empty() || !ascends || !shape.iter().all(in_range)) {
        let why = "at least one point must be specified, with ascending utilization (0-100) and score (0-10)";
        return Err(ConfigError::invalid(format!("{field}.scoringStrategy.requestedToCapacityRatio.shape"), "", why));
    }
    args.fit.shape = shape.into_iter().map(|point| (point.utilization, point.score * 10)).collect();
    Ok(())
}

fn set_spread(args: &mut Args, file: SpreadFile, field: &str) -> Result<(), ConfigError> {
    let is_list = match file.defaulting_type.as_deref() {
        None | Some("") => !file.default_constraints.is_empty(),
        Some("List") => true,
        Some("System") if file.default_constraints.is_empty() => false,
        Some("System") => {
            let why = "when .defaultingType is System";
            return Err(ConfigError::invalid(format!("{field}.defaultConstraints"), "", why));
        }
        Some(other) => {
            let why = "supported values: \"System\", \"List\"";
            return Err(ConfigError::invalid(format!("{field}.defaultingType"), other, why));
        }
    };
    let read = |one: ConstraintFile| DefaultConstraint {
        max_skew: one.max_skew,
        topology_key: one.topology_key,
        is_hard: one.when_unsatisfiable == "DoNotSchedule",
    };
    args.spread = match is_list {
        true => DefaultSpread::List(file.default_constraints.into_iter().map(read).collect()),
        false => DefaultSpread::System,
    };
    Ok(())
}
