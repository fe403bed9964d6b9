//! `kubectl kuberc`: looking at and changing the user's preferences.

mod set;
mod view;

use crate::command::Command;
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::preferences::Place;

pub static COMMAND: Command = Command {
    name: "kuberc",
    usage: "kuberc SUBCOMMAND [options]",
    short: "Manage kuberc configuration files",
    long: "The file is the one of --kuberc, that of the KUBERC environment variable, or ${HOME}/.kube/kuberc.",
    examples: "# View the current kuberc configuration\nkubectl kuberc view\n\n# Set a default value for a command flag\nkubectl kuberc set --section defaults --command get --option output=wide",
    children: &[&set::COMMAND, &view::COMMAND],
    ..Command::EMPTY
};

fn place(args: &Args) -> Outcome<Place> {
    let given = Some(args.text("kuberc")).filter(|path| !path.is_empty());
    let off = || Failure::message("KUBERC is disabled via KUBERC=off environment variable");
    Place::of(given)?.ok_or_else(off)
}
