//! The commands, one a file. A new one is a file here and a line in [`ALL`].

mod api_resources;
mod api_versions;
mod apply;
mod auth;
mod cluster_info;
mod config;
mod cordon;
mod create;
mod delete;
mod describe;
mod drain;
mod edit;
mod exec;
mod explain;
mod expose;
mod get;
mod label;
mod logs;
mod options;
mod patch;
mod port_forward;
mod replace;
mod rollout;
mod run;
mod scale;
mod set;
mod version;
mod wait;

pub use rollout::replica_sets as rollout_revisions;

use crate::command::Command;

/// Every command, as `kubectl help` lists them.
pub static ALL: &[&Command] = &[
    &label::ANNOTATE,
    &api_resources::COMMAND,
    &api_versions::COMMAND,
    &apply::COMMAND,
    &exec::ATTACH,
    &auth::COMMAND,
    &cluster_info::COMMAND,
    &config::COMMAND,
    &cordon::CORDON,
    &create::COMMAND,
    &delete::COMMAND,
    &describe::COMMAND,
    &drain::COMMAND,
    &edit::COMMAND,
    &exec::EXEC,
    &explain::COMMAND,
    &expose::COMMAND,
    &get::COMMAND,
    &label::LABEL,
    &logs::COMMAND,
    &options::COMMAND,
    &patch::COMMAND,
    &port_forward::COMMAND,
    &replace::COMMAND,
    &rollout::COMMAND,
    &run::COMMAND,
    &scale::COMMAND,
    &set::COMMAND,
    &cordon::UNCORDON,
    &version::COMMAND,
    &wait::COMMAND,
];

pub static ROOT: Command = Command {
    name: "kubectl",
    usage: "[flags] [options]",
    short: "kubectl controls the Kubernetes cluster manager",
    long: "Find more information at: https://kubernetes.io/docs/reference/kubectl/",
    children: ALL,
    ..Command::EMPTY
};
