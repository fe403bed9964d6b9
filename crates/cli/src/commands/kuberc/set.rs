//! `kubectl kuberc set`: one entry of the preferences, made or replaced.

use super::place;
use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, repeat, text};
use crate::output::line;
use crate::preferences::{Alias, Allowed, Defaults, Preferences, Preset, write};
use crate::session::Session;
use crate::shared_flags::KUBERC;

const FLAGS: &[Flag] = &[
    KUBERC,
    repeat("allowlist-entry", "Allowlist entry in the form field=value (can be specified multiple times)"),
    repeat("appendarg", "Argument to append to the command (can be specified multiple times, for aliases only)"),
    text("command", "", "Command to configure (e.g., 'get', 'create', 'set env')"),
    text("name", "", "Alias name (required for --section=aliases)"),
    repeat("option", "Flag option in the form flag=value (can be specified multiple times)"),
    boolean("overwrite", "Allow overwriting existing entries"),
    text("policy", "", "Plugin policy to use for exec credential plugins"),
    repeat("prependarg", "Argument to prepend to the command (can be specified multiple times, for aliases only)"),
    text("section", "", "Section to modify: 'defaults', 'aliases', or 'credentialplugin'"),
];

pub static COMMAND: Command = Command {
    name: "set",
    usage: "kuberc set --section (defaults|aliases|credentialplugin) --command COMMAND [options]",
    short: "Set values in the kuberc configuration",
    long: "Defaults name a command only, aliases may put words before and after those of the command line.",
    examples: "# Set default output format for 'get' command\nkubectl kuberc set --section defaults --command get --option output=wide\n\n# Create an alias 'getn' for 'get' command with prepended 'nodes' resource\nkubectl kuberc set --section aliases --name getn --command get --prependarg nodes --option output=wide",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(_session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if !args.has("section") {
            return Err(Failure::message("required flag(s) \"section\" not set"));
        }
        let place = place(&args)?;
        check(&args)?;
        let failed = |why: String| Failure::message(format!("error parsing kuberc file: {why}"));
        let mut preferences = place.read().map_err(failed)?.unwrap_or_default();
        match args.text("section") {
            "defaults" => set_defaults(&mut preferences, &args)?,
            "aliases" => set_alias(&mut preferences, &args)?,
            _ => set_plugins(&mut preferences, &args)?,
        }
        write(&preferences, &place.path)?;
        line(&format!("Updated {}", place.path.display()));
        Ok(())
    })
}

fn check(args: &Args) -> Outcome {
    let refused = |why: &str| Err(Failure::message(why));
    let (section, policy) = (args.text("section"), args.text("policy"));
    let (is_named, has_command) = (!args.text("name").is_empty(), !args.text("command").is_empty());
    let is_listed = args.has("allowlist-entry");
    match section {
        "aliases" if !is_named => refused("--name is required when --section=aliases"),
        "defaults" if is_named => refused("--name should not be specified when --section=defaults"),
        "defaults" if args.has("prependarg") || args.has("appendarg") => {
            refused("--prependarg and --appendarg are only valid for --section=aliases")
        }
        "aliases" | "defaults" if !has_command => {
            refused("--command is required when --section=aliases or --section=defaults")
        }
        "aliases" | "defaults" => Ok(()),
        "credentialplugin" => match policy {
            "" => refused("--policy is required when --section=credentialplugin"),
            "AllowAll" | "DenyAll" if is_listed => {
                refused("--allowlist-entry may only be used when --section=credentialplugin and --policy=Allowlist")
            }
            "Allowlist" if !is_listed => {
                refused("--allowlist-entry is required when --section=credentialplugin and --policy=Allowlist")
            }
            "AllowAll" | "DenyAll" | "Allowlist" => Ok(()),
            other => refused(&format!("invalid value for --policy: {other:?}")),
        },
        other => {
            refused(&format!("--section must be \"defaults\", \"aliases\", or \"credentialplugin\", got: {other}"))
        }
    }
}

fn options(args: &Args) -> Outcome<Vec<Preset>> {
    let option = |given: String| match given.split_once('=') {
        Some((name, value)) => Ok(Preset { name: name.trim_start_matches('-').to_owned(), default: value.to_owned() }),
        None => Err(Failure::message(format!("invalid option format {given:?}, expected flag=value"))),
    };
    args.list("option").into_iter().map(option).collect()
}

/// Lists that are not given stay as they are.
fn replace<T>(list: &mut Vec<T>, given: Vec<T>) {
    if !given.is_empty() {
        *list = given;
    }
}

fn set_defaults(preferences: &mut Preferences, args: &Args) -> Outcome {
    let (command, options) = (args.text("command").to_owned(), options(args)?);
    match preferences.defaults.iter_mut().find(|entry| entry.command == command) {
        Some(_) if !args.bool("overwrite") => {
            let why = format!("defaults for command {command:?} already exist, use --overwrite to replace");
            return Err(Failure::message(why));
        }
        Some(entry) => replace(&mut entry.options, options),
        None => preferences.defaults.push(Defaults { command, options }),
    }
    Ok(())
}

fn set_alias(preferences: &mut Preferences, args: &Args) -> Outcome {
    let (name, command, options) = (args.text("name").to_owned(), args.text("command").to_owned(), options(args)?);
    let (prepend_args, append_args) = (args.list("prependarg"), args.list("appendarg"));
    match preferences.aliases.iter_mut().find(|alias| alias.name == name) {
        Some(_) if !args.bool("overwrite") => {
            return Err(Failure::message(format!("alias {name:?} already exists, use --overwrite to replace")));
        }
        Some(alias) => {
            alias.command = command;
            replace(&mut alias.options, options);
            replace(&mut alias.prepend_args, prepend_args);
            replace(&mut alias.append_args, append_args);
        }
        None => preferences.aliases.push(Alias { name, command, prepend_args, append_args, options }),
    }
    Ok(())
}

fn set_plugins(preferences: &mut Preferences, args: &Args) -> Outcome {
    let entry = |field: &str| match field.split_once('=') {
        None => Err(format!("improperly formatted allowlist entry: {field:?}")),
        Some(("name", _)) => Err("allowlist entry field \"name\" is deprecated, use \"command\" instead".to_owned()),
        Some(("command", value)) if value.trim().is_empty() => {
            Err("empty value in allowlist entry for field \"command\"".to_owned())
        }
        Some(("command", value)) => Ok(Allowed { command: value.to_owned() }),
        Some((other, _)) => Err(format!("unrecognized allowlist entry field: {other:?}")),
    };
    let given = args.list("allowlist-entry");
    let read: Vec<_> = given.iter().flat_map(|entries| entries.split(',')).map(entry).collect();
    let wrong: Vec<&str> = read.iter().filter_map(|entry| entry.as_ref().err()).map(String::as_str).collect();
    if !wrong.is_empty() {
        return Err(Failure::message(wrong.join("\n")));
    }
    replace(&mut preferences.credential_plugin_allowlist, read.into_iter().flatten().collect());
    args.text("policy").clone_into(&mut preferences.credential_plugin_policy);
    Ok(())
}
