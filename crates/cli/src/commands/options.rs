//! `kubectl options`: the flags that every command takes.

use crate::command::{Command, Done, GLOBAL, option_help};
use crate::flags::Args;
use crate::output::out;
use crate::session::Session;

pub static COMMAND: Command = Command {
    name: "options",
    usage: "options [flags] [options]",
    short: "Print the list of flags inherited by all commands",
    run: Some(run),
    ..Command::EMPTY
};

fn run(_session: &Session, _args: Args) -> Done<'_> {
    Box::pin(async move {
        out("The following options can be passed to any command:\n\n");
        GLOBAL.iter().for_each(|flag| out(&option_help(flag)));
        Ok(())
    })
}
