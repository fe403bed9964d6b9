//! `kubectl config`: looking at and changing kubeconfig files.

mod edit;
mod entries;
mod file;
mod properties;
mod view;

use crate::command::Command;

pub static COMMAND: Command = Command {
    name: "config",
    usage: "config SUBCOMMAND [options]",
    short: "Modify kubeconfig files",
    long: "The file is the one of --kubeconfig, those of the KUBECONFIG environment variable, or ${HOME}/.kube/config.",
    children: &[
        &view::CURRENT_CONTEXT,
        &edit::DELETE_CLUSTER,
        &edit::DELETE_CONTEXT,
        &edit::DELETE_USER,
        &view::GET_CLUSTERS,
        &view::GET_CONTEXTS,
        &view::GET_USERS,
        &edit::RENAME_CONTEXT,
        &properties::SET,
        &entries::SET_CLUSTER,
        &entries::SET_CONTEXT,
        &entries::SET_CREDENTIALS,
        &properties::UNSET,
        &edit::USE_CONTEXT,
        &view::VIEW,
    ],
    ..Command::EMPTY
};
