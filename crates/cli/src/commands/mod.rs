//! The commands, one a file. A new one is a file here and a line in [`ALL`].

mod api_resources;
mod api_versions;
mod apply;
mod auth;
mod autoscale;
mod certificate;
mod cluster_info;
mod completion;
mod config;
mod cordon;
mod cp;
mod create;
mod debug;
mod delete;
mod describe;
mod diff;
mod drain;
mod edit;
mod events;
mod exec;
mod explain;
mod expose;
mod get;
mod kuberc;
mod kustomize;
mod label;
mod logs;
mod options;
mod patch;
pub mod plugin;
mod port_forward;
mod proxy;
mod replace;
mod rollout;
mod run;
mod scale;
mod set;
mod taint;
mod top;
mod version;
mod wait;

pub use rollout::replica_sets as rollout_revisions;

use crate::command::Command;

pub const KUBERC: &str = kuberc::COMMAND.name;
pub const CLIENT_VERSION: &str = version::VERSION.2;

/// Every command, as `kubectl help` lists them.
pub static ALL: &[&Command] = &[
    &label::ANNOTATE,
    &api_resources::COMMAND,
    &api_versions::COMMAND,
    &apply::COMMAND,
    &exec::ATTACH,
    &auth::COMMAND,
    &autoscale::COMMAND,
    &certificate::COMMAND,
    &cluster_info::COMMAND,
    &completion::COMMAND,
    &completion::WORDS,
    &config::COMMAND,
    &cordon::CORDON,
    &cp::COMMAND,
    &create::COMMAND,
    &debug::COMMAND,
    &delete::COMMAND,
    &describe::COMMAND,
    &diff::COMMAND,
    &drain::COMMAND,
    &edit::COMMAND,
    &events::COMMAND,
    &exec::EXEC,
    &explain::COMMAND,
    &expose::COMMAND,
    &get::COMMAND,
    &kuberc::COMMAND,
    &kustomize::COMMAND,
    &label::LABEL,
    &logs::COMMAND,
    &options::COMMAND,
    &patch::COMMAND,
    &plugin::COMMAND,
    &port_forward::COMMAND,
    &proxy::COMMAND,
    &replace::COMMAND,
    &rollout::COMMAND,
    &run::COMMAND,
    &scale::COMMAND,
    &set::COMMAND,
    &taint::COMMAND,
    &top::COMMAND,
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
