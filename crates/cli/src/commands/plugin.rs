//! `kubectl plugin list`, and running `kubectl-NAME` programs of the PATH as commands.

use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean};
use crate::output::{error_line, line};
use crate::session::Session;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = "kubectl-";

pub static COMMAND: Command = Command {
    name: "plugin",
    usage: "plugin [flags] [options]",
    short: "Provides utilities for interacting with plugins",
    long: "Plugins provide extended functionality that is not part of the major command-line distribution: programs of the PATH whose names begin with \"kubectl-\".",
    children: &[&LIST],
    ..Command::EMPTY
};

static LIST: Command = Command {
    name: "list",
    usage: "plugin list [flags] [options]",
    short: "List all visible plugin executables on a user's PATH",
    flags: &[&[boolean(
        "name-only",
        "If true, display only the binary name of each plugin, rather than its full path",
    )]],
    run: Some(list),
    ..Command::EMPTY
};

fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty()) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn list(_session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let mut found: Vec<PathBuf> = Vec::new();
        for folder in folders() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(why) => {
                    let why = crate::session::io_text(&why);
                    error_line(&format!(
                        "Unable to read directory {:?} from your PATH: open {}: {why}. Skipping...",
                        folder.display().to_string(),
                        folder.display()
                    ));
                    continue;
                }
            };
            let mut here: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            here.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)));
            here.sort();
            found.extend(here);
        }
        if found.is_empty() {
            return Err(Failure::message("unable to find any kubectl plugins in your PATH"));
        }
        line("The following compatible plugins are available:\n");
        let mut complaints = 0;
        let mut seen: Vec<String> = Vec::new();
        for path in &found {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            line(&if args.bool("name-only") { name.clone() } else { path.display().to_string() });
            if !is_executable(path) {
                error_line(&format!(
                    "  - warning: {} identified as a kubectl plugin, but it is not executable",
                    path.display()
                ));
                complaints += 1;
            }
            if seen.contains(&name) {
                error_line(&format!("  - warning: {} is overshadowed by a similarly named plugin", path.display()));
                complaints += 1;
            }
            seen.push(name);
        }
        match complaints {
            0 => Ok(()),
            1 => Err(Failure::message("one plugin warning was found")),
            count => Err(Failure::message(format!("{count} plugin warnings were found"))),
        }
    })
}

/// Runs the plugin that the words of a line name, the longest name first; comes back only where
/// there is none.
pub fn run(line: &[String]) -> Outcome {
    let words: Vec<&String> = line.iter().take_while(|word| !word.starts_with('-')).collect();
    for count in (1..=words.len()).rev() {
        let name: Vec<String> = words[..count].iter().map(|word| word.replace('-', "_")).collect();
        let name = format!("{PREFIX}{}", name.join("-"));
        let Some(path) = folders().into_iter().map(|folder| folder.join(&name)).find(|path| is_executable(path)) else {
            continue;
        };
        // On success this process becomes the plugin.
        let why = std::process::Command::new(&path).args(&line[count..]).exec();
        return Err(Failure::message(format!("cannot run {}: {why}", path.display())));
    }
    Ok(())
}
