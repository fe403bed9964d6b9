//! `kubectl rollout history`.

use super::revisions;
use crate::command::{Command, Done, FILES, PRINT, SELECTOR};
use crate::describe::pod_template;
use crate::failure::Failure;
use crate::flags::{Args, int};
use crate::output::{line, out};
use crate::print::Format;
use crate::print::tabs::align;
use crate::session::Session;
use crate::targets::{fetched, targets};

pub static COMMAND: Command = Command {
    name: "history",
    usage: "rollout history (TYPE NAME | TYPE/NAME) [flags] [options]",
    short: "View rollout history",
    examples: "# View the rollout history of a deployment\nkubectl rollout history deployment/abc\n\n# View the details of daemonset revision 3\nkubectl rollout history daemonset/abc --revision=3",
    flags: &[
        PRINT,
        FILES,
        &[SELECTOR, int("revision", "0", "See the details, including podTemplate of the revision specified")],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let format = Format::of(&args, false)?;
        let wanted = args.int("revision");
        if wanted < 0 {
            return Err(Failure::message("revision must be a positive integer: "));
        }
        for (target, object) in fetched(session, &args, targets(session, &args, &args.words).await?).await? {
            let all = revisions::of(session, &target, &object).await?;
            let found = all.iter().find(|revision| revision.number == wanted);
            if wanted > 0 && found.is_none() {
                return Err(Failure::message("unable to find the specified revision"));
            }
            if format != Format::Default {
                let shown = found.or(all.last()).map_or(&object, |revision| &revision.object);
                format.print(shown, &target.resource.shown())?;
                continue;
            }
            match found {
                Some(revision) => {
                    line(&format!("{} with revision #{wanted}", target.shown()));
                    out(&pod_template(&revision.explained()));
                    line("");
                }
                None => {
                    line(&format!("{} ", target.shown()));
                    let rows: String = all.iter().map(|one| format!("{}\t{}\n", one.number, one.cause)).collect();
                    line(&align(&format!("REVISION\tCHANGE-CAUSE\n{rows}"), 0, 2));
                }
            }
        }
        Ok(())
    })
}
