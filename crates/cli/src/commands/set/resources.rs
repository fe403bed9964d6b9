//! `kubectl set resources`.

use super::change::{FLAGS, change, containers, extend, require_spec};
use crate::command::{Command, Done, FILES, PRINT};
use crate::commands::create::amounts;
use crate::failure::Failure;
use crate::flags::{Args, text};
use crate::session::Session;

pub static COMMAND: Command = Command {
    name: "resources",
    usage: "set resources (-f FILENAME | TYPE NAME)  ([--limits=LIMITS & --requests=REQUESTS] [options]",
    short: "Update resource requests/limits on objects with pod templates",
    examples: "# Set a deployments nginx container cpu limits to \"200m\" and memory to \"512Mi\"\nkubectl set resources deployment nginx -c=nginx --limits=cpu=200m,memory=512Mi",
    flags: &[
        PRINT,
        FILES,
        FLAGS,
        &[
            text("containers", "*", "The names of containers in the selected pod templates to change, all containers are selected by default - may use wildcards.").short('c'),
            text("limits", "", "The resource requirement requests for this container."),
            text("requests", "", "The resource requirement requests for this container."),
        ],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if args.text("limits").is_empty() && args.text("requests").is_empty() {
            return Err(Failure::message(
                "you must specify an update to requests or limits (in the form of --requests/--limits)",
            ));
        }
        let (limits, requests) = (amounts(args.text("limits"))?, amounts(args.text("requests"))?);
        change(session, &args, &args.words, "resource requirements updated", &|object| {
            let spec = require_spec(object)?;
            let chosen = containers(spec, args.text("containers"));
            if chosen.is_empty() {
                return Err(Failure::message(format!("unable to find container named {}", args.text("containers"))));
            }
            for container in chosen {
                for (field, wanted) in [("limits", &limits), ("requests", &requests)] {
                    if let Some(wanted) = wanted.as_object() {
                        extend(&mut container["resources"][field], wanted.clone());
                    }
                }
            }
            Ok(())
        })
        .await
    })
}
