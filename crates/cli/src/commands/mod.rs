//! The commands, one a file. A new one is a file here and a line in [`ALL`].

mod api_resources;
mod api_versions;
mod apply;
mod create;
mod delete;
mod get;
mod version;

use crate::command::Command;

/// Every command, as `kubectl help` lists them.
pub static ALL: &[&Command] = &[
    &api_resources::COMMAND,
    &api_versions::COMMAND,
    &apply::COMMAND,
    &create::COMMAND,
    &delete::COMMAND,
    &get::COMMAND,
    &version::COMMAND,
];

pub static ROOT: Command = Command {
    name: "kubectl",
    usage: "[flags] [options]",
    short: "kubectl controls the Kubernetes cluster manager",
    long: "Find more information at: https://kubernetes.io/docs/reference/kubectl/",
    children: ALL,
    ..Command::EMPTY
};
