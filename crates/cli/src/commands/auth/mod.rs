//! `kubectl auth`: who one is, and what one may do.

mod can_i;
mod reconcile;
mod whoami;

use crate::command::Command;

pub static COMMAND: Command = Command {
    name: "auth",
    usage: "auth [flags] [options]",
    short: "Inspect authorization",
    children: &[&can_i::COMMAND, &reconcile::COMMAND, &whoami::COMMAND],
    ..Command::EMPTY
};

/// What may be asked of resources, as upstream knows it: it warns of all else.
pub const VERBS: [&str; 15] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "impersonate",
    "*",
    "approve",
    "sign",
    "escalate",
];
