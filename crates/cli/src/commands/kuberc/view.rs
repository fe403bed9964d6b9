//! `kubectl kuberc view`.

use super::place;
use crate::command::{Command, Done, PRINT};
use crate::failure::Failure;
use crate::flags::Args;
use crate::output::line;
use crate::print::Format;
use crate::session::Session;
use crate::shared_flags::KUBERC;

pub static COMMAND: Command = Command {
    name: "view",
    usage: "kuberc view [options]",
    short: "Display the current kuberc configuration",
    examples: "# View kuberc configuration in YAML format (default)\nkubectl kuberc view\n\n# View kuberc configuration in JSON format\nkubectl kuberc view --output json",
    flags: &[PRINT, &[KUBERC]],
    run: Some(run),
    ..Command::EMPTY
};

fn run(_session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let place = place(&args)?;
        let failed = |why: String| Failure::message(format!("error reading kuberc file: {why}"));
        let Some(preferences) = place.read().map_err(failed)? else {
            let missing = format!("kuberc file not found at {}", place.path.display());
            if place.is_named {
                return Err(Failure::message(missing));
            }
            line(&missing);
            return Ok(());
        };
        let value = serde_json::to_value(&preferences).map_err(|why| failed(why.to_string()))?;
        match Format::of(&args, false)? {
            Format::Default => Format::Yaml.print(&value, ""),
            format => format.print(&value, "preference.kubectl.config.k8s.io"),
        }
    })
}
