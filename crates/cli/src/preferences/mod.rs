//! kuberc: what a user wants of kubectl itself, whatever the cluster: aliases, other defaults of flags,
//! and which programs may fetch credentials. [`crate::command::run`] asks it before it looks at a command
//! line; `kubectl kuberc` shows and changes it. Knows nothing of clusters and users: these are the
//! kubeconfig's.

mod file;

pub use file::{Place, write};

use crate::command::{Command, Found, find, next_word};
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::output::{error_line, warning};
use client::kubeconfig::PluginPolicy;
use serde::{Deserialize, Serialize};

/// The versions that are read; they differ in names of fields only.
const VERSIONS: [&str; 3] =
    ["kubectl.config.k8s.io/v1alpha1", "kubectl.config.k8s.io/v1beta1", "kubectl.config.k8s.io/v1"];
/// The one that new files are written in.
const WRITTEN: &str = VERSIONS[1];
const KIND: &str = "Preference";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preferences {
    pub api_version: String,
    pub kind: String,
    pub aliases: Vec<Alias>,
    #[serde(alias = "overrides")]
    pub defaults: Vec<Defaults>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credential_plugin_policy: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credential_plugin_allowlist: Vec<Allowed>,
}

/// Another name for a command, with words and flags that come of themselves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Alias {
    pub name: String,
    pub command: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prepend_args: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append_args: Vec<String>,
    #[serde(alias = "flags", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Preset>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    pub command: String,
    #[serde(alias = "flags")]
    pub options: Vec<Preset>,
}

/// The value of a flag that the command line does not name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preset {
    pub name: String,
    pub default: String,
}

/// A program that may fetch credentials.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Allowed {
    #[serde(alias = "name")]
    pub command: String,
}

impl Default for Preferences {
    fn default() -> Self {
        Preferences {
            api_version: WRITTEN.to_owned(),
            kind: KIND.to_owned(),
            aliases: Vec::new(),
            defaults: Vec::new(),
            credential_plugin_policy: String::new(),
            credential_plugin_allowlist: Vec::new(),
        }
    }
}

impl Preferences {
    /// Those that a command line is to be read with; without a file there are none. A file that nobody
    /// named is passed over with a word about it where it cannot be read. The command that looks after
    /// the file is read without it: it has to run where the file is missing or wrong.
    pub fn of(root: &'static Command, line: &[String]) -> Outcome<Self> {
        let is_about_it = next_word(root, line).is_some_and(|at| line[at] == crate::commands::KUBERC);
        let place = if is_about_it { None } else { Place::of(asked(line)?)? };
        let Some(place) = place else { return Ok(Preferences::default()) };
        let found = match place.read() {
            Ok(None) if place.is_named => Err(format!("open {}: no such file or directory", place.path.display())),
            found => found,
        };
        let found = match found {
            Ok(found) => found.unwrap_or_default(),
            Err(why) if place.is_named => return Err(Failure::message(format!("kuberc error kuberc: {why}"))),
            Err(why) => {
                error_line(&format!("kuberc: no preferences loaded from {}: {why}", place.path.display()));
                Preferences::default()
            }
        };
        found.check()?;
        Ok(found)
    }

    fn check(&self) -> Outcome {
        let options = self.aliases.iter().flat_map(|alias| &alias.options);
        let mut options = options.chain(self.defaults.iter().flat_map(|defaults| &defaults.options));
        if let Some(option) = options.find(|option| option.name.starts_with('-')) {
            return Err(Failure::message(format!("flag name {} should be in long form without dashes", option.name)));
        }
        for (at, Alias { name, .. }) in self.aliases.iter().enumerate() {
            if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphabetic()) {
                return Err(Failure::message("invalid alias name, can only include alphabetical characters"));
            }
            if self.aliases[..at].iter().any(|other| other.name == *name) {
                return Err(Failure::message(format!("duplicate alias name {name}")));
            }
        }
        Ok(())
    }

    /// The alias that a command line begins with, and the line that it stands for. Built-in commands
    /// go before aliases.
    pub fn expand(&self, root: &'static Command, line: &[String]) -> Outcome<Option<(&Alias, Vec<String>)>> {
        let Some(at) = next_word(root, line) else { return Ok(None) };
        let Some(alias) = self.aliases.iter().find(|alias| alias.name == line[at]) else { return Ok(None) };
        if root.child(&alias.name).is_some() {
            return Ok(None);
        }
        let command: Vec<String> = alias.command.split_whitespace().map(str::to_owned).collect();
        if named(root, &command).is_none() {
            let Alias { name, command, .. } = alias;
            return Err(Failure::message(format!("command {command:?} not found to set alias {name:?}")));
        }
        let (before, after) = (&line[..at], &line[at + 1..]);
        Ok(Some((alias, [before, &command, &alias.prepend_args, after, &alias.append_args].concat())))
    }

    /// Gives flags that the command line does not name the values that the user wants: those of the
    /// alias, or else the defaults of the command.
    pub fn fill(&self, alias: Option<&Alias>, root: &'static Command, path: &str, args: &mut Args) -> Outcome {
        if let Some(alias) = alias {
            return fill(&alias.options, args, |flag, value, why| match why {
                None => format!("invalid alias flag {flag} in alias {}", alias.name),
                Some(why) => format!("could not apply value {value} to flag {flag} in alias {} err: {why}", alias.name),
            });
        }
        for Defaults { command, options } in &self.defaults {
            let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
            let Some(named) = named(root, &words) else {
                warning(&format!("command {command:?} not found to set kuberc override"));
                continue;
            };
            if named == path {
                fill(options, args, |flag, value, why| match why {
                    None => format!("invalid flag {flag} for command {command}"),
                    Some(why) => {
                        format!("could not apply override value {value} to flag {flag} in command {command} err: {why}")
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Which programs of a kubeconfig may fetch credentials.
    pub fn plugins(&self) -> Outcome<PluginPolicy> {
        let listed = self.credential_plugin_allowlist.iter().map(|entry| entry.command.clone());
        match self.credential_plugin_policy.as_str() {
            "" | "AllowAll" => Ok(PluginPolicy::AllowAll),
            "DenyAll" => Ok(PluginPolicy::DenyAll),
            "Allowlist" => Ok(PluginPolicy::Allowlist(listed.collect())),
            other => Err(Failure::message(format!("invalid plugin policy: {other:?}"))),
        }
    }
}

/// The full name of a command, given by its words and nothing else.
fn named(root: &'static Command, words: &[String]) -> Option<String> {
    let Found { command, path, rest } = find(root, words).ok()?;
    (rest.is_empty() && !std::ptr::eq(command, root)).then_some(path)
}

fn fill(options: &[Preset], args: &mut Args, told: impl Fn(&str, &str, Option<&str>) -> String) -> Outcome {
    for Preset { name, default } in options {
        let filled = args.fill(name, default).map_err(|why| told(name, default, why.as_deref()));
        filled.map_err(Failure::message)?;
    }
    Ok(())
}

/// The file that `--kuberc` names. It has to be known before flags can be read.
fn asked(line: &[String]) -> Outcome<Option<&str>> {
    let mut words = line.iter().map(String::as_str).take_while(|word| *word != "--");
    let given = loop {
        match words.next().map(|word| word.strip_prefix("--kuberc")) {
            None => return Ok(None),
            Some(None) => {}
            Some(Some("")) => break words.next().unwrap_or_default(),
            Some(Some(rest)) => {
                if let Some(path) = rest.strip_prefix('=') {
                    break path;
                }
            }
        }
    };
    if given.is_empty() { Err(Failure::message("kuberc file is not found")) } else { Ok(Some(given)) }
}

#[cfg(test)]
mod tests;
