//! The rules, one file each, under upstream's names and in upstream's order.

mod default_binder;
mod default_preemption;
pub mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_declared_features;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod priority_sort;
mod scheduling_gates;
mod taint_toleration;
#[cfg(test)]
mod tests;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use crate::framework::Plugin;

pub use dynamic_resources::Reservation;
pub use volume_binding::{Decision, SELECTED_NODE, decide};

/// Every plugin, in the order filters run. A plugin's place is its bit in masks.
pub const ALL: &[Plugin] = &[
    scheduling_gates::PLUGIN,
    priority_sort::PLUGIN,
    node_unschedulable::PLUGIN,
    node_name::PLUGIN,
    taint_toleration::PLUGIN,
    node_affinity::PLUGIN,
    node_ports::PLUGIN,
    node_resources_fit::PLUGIN,
    volume_restrictions::PLUGIN,
    node_volume_limits::PLUGIN,
    volume_binding::PLUGIN,
    volume_zone::PLUGIN,
    pod_topology_spread::PLUGIN,
    inter_pod_affinity::PLUGIN,
    dynamic_resources::PLUGIN,
    default_preemption::PLUGIN,
    node_resources_balanced_allocation::PLUGIN,
    image_locality::PLUGIN,
    default_binder::PLUGIN,
    node_declared_features::PLUGIN,
];

/// The bit that stands for the plugin at this place of [`ALL`].
pub const fn bit(place: usize) -> u32 {
    1 << place
}

/// The plugins of a mask, by name.
pub fn names(mask: u32) -> impl Iterator<Item = &'static str> {
    ALL.iter().enumerate().filter(move |(place, _)| mask & bit(*place) != 0).map(|(_, plugin)| plugin.name)
}
