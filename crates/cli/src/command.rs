//! A command: its names, flags, help and what it does; finding the one a line means, and its help.

use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, Kind, boolean};
use crate::output::{error_line, out};
use crate::preferences::Preferences;
use crate::session::Session;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;

pub type Done<'a> = Pin<Box<dyn Future<Output = Outcome> + 'a>>;

pub struct Command {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// What stands after `kubectl` in the usage line.
    pub usage: &'static str,
    /// One sentence without a full stop.
    pub short: &'static str,
    /// More about it, where one sentence is not enough.
    pub long: &'static str,
    pub examples: &'static str,
    pub flags: &'static [&'static [Flag]],
    /// None: it only has subcommands.
    pub run: Option<for<'a> fn(&'a Session, Args) -> Done<'a>>,
    pub children: &'static [&'static Command],
}

impl Command {
    pub const EMPTY: Command = Command {
        name: "",
        aliases: &[],
        usage: "",
        short: "",
        long: "",
        examples: "",
        flags: &[],
        run: None,
        children: &[],
    };

    /// The subcommand of a name.
    pub fn child(&self, name: &str) -> Option<&'static Command> {
        self.children.iter().copied().find(|child| child.name == name || child.aliases.contains(&name))
    }
}

pub use crate::shared_flags::{DRY_RUN, FILES, GLOBAL, PRINT, SELECTOR, VALIDATE};

/// Runs the command that `line` (without the program's name) means, below `root`.
pub async fn run(root: &'static Command, line: &[String]) -> Outcome {
    let preferences = Preferences::of(root, line)?;
    let (alias, line) =
        preferences.expand(root, line)?.map_or((None, line.to_vec()), |(alias, line)| (Some(alias), line));
    if next_word(root, &line) == Some(0) && root.child(&line[0]).is_none() {
        crate::commands::plugin::run(&line)?;
    }
    let Found { command, path, rest } = find(root, &line)?;
    let own: Vec<Flag> = command.flags.iter().flat_map(|group| group.iter()).copied().collect();
    let mut specs = vec![boolean("help", "").short('h')];
    specs.extend(own.iter().copied());
    // A command's own flag hides a global one of the same name or letter.
    specs.extend(GLOBAL.iter().filter(|flag| own.iter().all(|mine| mine.name != flag.name)).map(|flag| {
        let taken = own.iter().any(|mine| mine.short.is_some() && mine.short == flag.short);
        if taken { Flag { short: None, ..*flag } } else { *flag }
    }));
    let mut args = Args::parse(&path, specs, &rest)?;
    preferences.fill(alias, root, &path, &mut args)?;
    if args.bool("help") || rest.first().is_some_and(|word| word == "help") && std::ptr::eq(command, root) {
        out(&help(command, &path));
        return Ok(());
    }
    if args.has("record") {
        error_line("Flag --record has been deprecated, --record will be removed in the future");
    }
    let Some(run) = command.run else {
        out(&help(command, &path));
        return if std::ptr::eq(command, root) { Ok(()) } else { Err(Failure::Code(1)) };
    };
    // A flag that a command has of its own says nothing about the connection.
    let globals = args.only(|name| own.iter().all(|flag| flag.name != name));
    let session = Session::new(globals, path, preferences.plugins()?);
    run(&session, args).await?;
    session.check_warnings()
}

/// The command that a line means.
pub struct Found {
    pub command: &'static Command,
    /// As messages name it: `kubectl create deployment`.
    pub path: String,
    /// What is left of the line.
    pub rest: Vec<String>,
}

pub fn find(root: &'static Command, line: &[String]) -> Outcome<Found> {
    let (mut command, mut path, mut rest) = (root, root.name.to_owned(), line.to_vec());
    while let Some(at) = next_word(command, &rest) {
        let Some(child) = command.child(&rest[at]) else {
            if command.run.is_some() && !std::ptr::eq(command, root) {
                break;
            }
            return Err(unknown(root, command, &path, &rest[at]));
        };
        rest.remove(at);
        command = child;
        path = format!("{path} {}", child.name);
    }
    Ok(Found { command, path, rest })
}

/// Where the next word stands that may name a subcommand: behind global flags and their values.
pub fn next_word(command: &Command, rest: &[String]) -> Option<usize> {
    if command.children.is_empty() {
        return None;
    }
    let mut at = 0;
    while let Some(word) = rest.get(at) {
        if word == "--" {
            return None;
        }
        if !word.starts_with('-') {
            return Some(at);
        }
        let name = word.trim_start_matches('-');
        let takes_value = GLOBAL.iter().any(|flag| {
            flag.kind != Kind::Bool && (flag.name == name || name.len() == 1 && flag.short == name.chars().next())
        });
        at += if takes_value { 2 } else { 1 };
    }
    None
}

fn unknown(root: &Command, command: &Command, path: &str, word: &str) -> Failure {
    if !std::ptr::eq(root, command) {
        return Failure::usage(path, format!("unknown command {word:?}"));
    }
    let mut near: Vec<(usize, &str)> = command
        .children
        .iter()
        .map(|child| (distance(word, child.name), child.name))
        .filter(|(distance, name)| *distance <= 2 || name.starts_with(word))
        .collect();
    near.sort_unstable();
    let mut text = format!("error: unknown command {word:?} for {path:?}");
    if !near.is_empty() {
        text.push_str("\n\nDid you mean this?");
        near.iter().for_each(|(_, name)| text.push_str(&format!("\n\t{name}")));
    }
    Failure::plain(text)
}

/// How many letters must be added, dropped or changed between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = change.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn help(command: &Command, path: &str) -> String {
    let mut text = String::new();
    let mut say = |part: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = text.write_fmt(part);
    };
    say(format_args!("{}.\n", command.short.trim_end_matches('.')));
    if !command.long.is_empty() {
        say(format_args!("\n {}\n", command.long.replace('\n', "\n ")));
    }
    if !command.aliases.is_empty() {
        say(format_args!("\nAliases:\n{}, {}\n", command.name, command.aliases.join(", ")));
    }
    if !command.examples.is_empty() {
        say(format_args!("\nExamples:\n  {}\n", command.examples.trim().replace('\n', "\n  ")));
    }
    if !command.children.is_empty() {
        say(format_args!("\nAvailable Commands:\n"));
        let mut children: Vec<_> = command.children.iter().filter(|child| !child.name.starts_with("__")).collect();
        children.sort_by_key(|child| child.name);
        let width = children.iter().map(|child| child.name.len()).max().unwrap_or_default() + 3;
        for child in children {
            say(format_args!("  {:width$}{}\n", child.name, child.short));
        }
    }
    let flags: Vec<&Flag> = command.flags.iter().flat_map(|group| group.iter()).collect();
    if !flags.is_empty() {
        say(format_args!("\nOptions:\n"));
        let mut flags = flags;
        flags.sort_by_key(|flag| flag.name);
        flags.iter().for_each(|flag| say(format_args!("{}", option_help(flag))));
    }
    if command.usage.is_empty() {
        say(format_args!("\nUsage:\n  {path} [flags] [options]\n"));
    } else {
        say(format_args!("\nUsage:\n  kubectl {}\n", command.usage));
    }
    if !command.children.is_empty() {
        say(format_args!("\nUse \"{path} <command> --help\" for more information about a given command.\n"));
    }
    say(format_args!("Use \"kubectl options\" for a list of global command-line options (applies to all commands).\n"));
    text
}

pub fn option_help(flag: &Flag) -> String {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    let default = match flag.kind {
        Kind::Text => format!("'{}'", flag.default),
        Kind::List | Kind::Repeat => "[]".to_owned(),
        _ => flag.default.to_owned(),
    };
    format!("    {short}--{}={default}:\n\t{}\n\n", flag.name, flag.help)
}

/// Tells a failure and gives the exit code.
pub fn tell(failure: &Failure) -> u8 {
    let text = failure.to_string();
    if !text.is_empty() {
        error_line(&text);
    }
    failure.code()
}
