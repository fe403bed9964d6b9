//! The whole of kutter as users meet it: its binary, kubectl, real containers, real networks.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod api_operations;
mod bad_input;
mod crashes;
mod devices;
mod first_day;
mod node_crashes;
mod node_features;
mod own_machine;
mod pods;
mod scaling;
mod services;
mod split;
mod three_nodes;
mod tools;
