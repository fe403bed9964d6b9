//! `kubectl api-versions`: the group/versions served, sorted.

use crate::command::{Command, Done};
use crate::flags::Args;
use crate::output::line;
use crate::session::Session;

pub static COMMAND: Command = Command {
    name: "api-versions",
    usage: "api-versions [options]",
    short: "Print the supported API versions on the server, in the form of \"group/version\"",
    examples: "# Print the supported API versions\nkubectl api-versions",
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, _args: Args) -> Done<'_> {
    Box::pin(async move {
        let versions = session.discovery().await?.versions();
        let join = |(group, version): &(String, String)| match group.as_str() {
            "" => version.clone(),
            group => format!("{group}/{version}"),
        };
        let mut names: Vec<String> = versions.iter().map(join).collect();
        names.sort();
        line(&names.join("\n"));
        Ok(())
    })
}
