//! `kubectl kustomize`: what a folder's kustomization makes.

use crate::command::{Command, Done};
use crate::failure::Failure;
use crate::flags::{Args, Flag, boolean, text};
use crate::output::out;
use crate::session::Session;
use crate::session::io_text;

const FLAGS: &[Flag] = &[
    boolean("enable-helm", "Enable use of the Helm chart inflator generator. Not supported."),
    text(
        "load-restrictor",
        "LoadRestrictionsRootOnly",
        "Only 'LoadRestrictionsRootOnly' is supported: local kustomizations may load files from within their root only.",
    ),
    text("output", "", "If specified, write output to this path.").short('o'),
];

pub static COMMAND: Command = Command {
    name: "kustomize",
    usage: "kustomize DIR [flags] [options]",
    short: "Build a kustomization target from a directory",
    long: "Build a set of KRM resources using a 'kustomization.yaml' file. DIR is the folder it stands in; without one, the current folder.",
    examples: "# Build the current working directory\nkubectl kustomize\n\n# Build some shared configuration directory\nkubectl kustomize /home/config/production",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(_session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let folder = match args.words.as_slice() {
            [] => ".",
            [folder] => folder.as_str(),
            _ => return Err(Failure::message("specify one path to kustomization.yaml")),
        };
        if args.bool("enable-helm") {
            return Err(Failure::message("--enable-helm is not supported: Helm charts are not inflated"));
        }
        if args.text("load-restrictor") != "LoadRestrictionsRootOnly" {
            return Err(Failure::message("--load-restrictor: only LoadRestrictionsRootOnly is supported"));
        }
        let text = crate::kustomize::text(&crate::kustomize::build(folder)?);
        let path = args.text("output");
        if path.is_empty() {
            out(&text);
            return Ok(());
        }
        std::fs::write(path, text).map_err(|why| Failure::message(format!("open {path}: {}", io_text(&why))))
    })
}
