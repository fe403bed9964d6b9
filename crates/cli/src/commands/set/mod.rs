//! `kubectl set`: single changes to pod templates.

mod image;

use crate::command::Command;

pub static COMMAND: Command = Command {
    name: "set",
    usage: "set SUBCOMMAND [options]",
    short: "Configure application resources",
    long: "These commands help you make changes to existing application resources.",
    children: &[&image::COMMAND],
    ..Command::EMPTY
};
