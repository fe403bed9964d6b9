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
