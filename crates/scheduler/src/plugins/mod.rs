//! The rules, one file each, under upstream's names and in upstream's order.

mod image_locality;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources;
mod node_unschedulable;
mod taint_toleration;
#[cfg(test)]
mod tests;

use crate::framework::Plugin;

/// Every plugin, in the order filters run.
pub const ALL: &[Plugin] = &[
    node_unschedulable::PLUGIN,
    node_name::PLUGIN,
    taint_toleration::PLUGIN,
    node_affinity::PLUGIN,
    node_ports::PLUGIN,
    node_resources::FIT,
    node_resources::BALANCED,
    image_locality::PLUGIN,
];
