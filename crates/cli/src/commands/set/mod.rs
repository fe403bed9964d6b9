//! `kubectl set`: single changes to pod templates, selectors and bindings.

mod change;
mod env;
mod image;
mod resources;
mod selector;
mod service_account;
mod subject;

use crate::command::Command;

pub static COMMAND: Command = Command {
    name: "set",
    usage: "set SUBCOMMAND [options]",
    short: "Set specific features on objects",
    long: "Configure application resources.\n\nThese commands help you make changes to existing application resources.",
    children: &[
        &env::COMMAND,
        &image::COMMAND,
        &resources::COMMAND,
        &selector::COMMAND,
        &service_account::COMMAND,
        &subject::COMMAND,
    ],
    ..Command::EMPTY
};
