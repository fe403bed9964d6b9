//! `kubectl taint`: what keeps pods away from nodes.

use crate::changes::{STRATEGIC, Write};
use crate::command::{Command, DRY_RUN, Done, PRINT, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::{Target, fetched, from_words};
use serde_json::{Value, json};
use std::fmt;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    SELECTOR,
    boolean("all", "Select all nodes in the cluster"),
    text("field-manager", "kubectl-taint", "Name of the manager used to track field ownership."),
    boolean(
        "overwrite",
        "If true, allow taints to be overwritten, otherwise reject taint updates that overwrite existing taints.",
    ),
    text("validate", "strict", "Must be one of: strict (or true), warn, ignore (or false).").bare("strict"),
];

pub static COMMAND: Command = Command {
    name: "taint",
    usage: "taint NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N [options]",
    short: "Update the taints on one or more nodes",
    long: "A taint consists of a key, value, and effect. As an argument here, it is expressed as key=value:effect. The effect must be NoSchedule, PreferNoSchedule or NoExecute.",
    examples: "# Update node 'foo' with a taint with key 'dedicated' and value 'special-user' and effect 'NoSchedule'\nkubectl taint nodes foo dedicated=special-user:NoSchedule\n\n# Remove from node 'foo' the taint with key 'dedicated' and effect 'NoSchedule' if one exists\nkubectl taint nodes foo dedicated:NoSchedule-\n\n# Remove from node 'foo' all the taints with key 'dedicated'\nkubectl taint nodes foo dedicated-",
    flags: &[PRINT, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let (words, changes) = split(&args.words)?;
        let changes = Changes::parse(&changes).map_err(|why| Failure::usage(&session.path, why))?;
        // What is only tried is told the same way.
        let mut teller = Teller::of(&args)?;
        teller.dry_run = DryRun::None;
        let write = Write::of(&args, "kubectl-taint")?;
        let chosen = from_words(session, &words, false).await?;
        check(&words, &chosen, &args, &changes)?;
        let mut failures = Vec::new();
        for target in chosen {
            let nodes = match fetched(session, &args, vec![target]).await {
                Ok(nodes) => nodes,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            for (target, node) in nodes {
                if let Err(failure) = taint(session, &args, &changes, (&target, &node), (&teller, &write)).await {
                    failures.push(failure);
                }
            }
        }
        Failure::collect(failures)
    })
}

async fn taint(
    session: &Session,
    args: &Args,
    changes: &Changes,
    (target, node): (&Target, &Value),
    (teller, write): (&Teller, &Write),
) -> Outcome {
    if !args.bool("overwrite") {
        let taken = changes.taken(node);
        if !taken.is_empty() {
            return Err(Failure::message(format!(
                "node {} already has {taken} taint(s) with same effect(s) and --overwrite is false",
                target.name
            )));
        }
    }
    let (taints, told) = changes.apply(node, args.bool("overwrite"))?;
    let mut new = node.clone();
    new["spec"]["taints"] = taints;
    if write.dry_run != DryRun::Client {
        // The list as a whole: a taint that goes would stay in a merged one.
        let patch = json!({"spec": {"taints": new["spec"]["taints"]}});
        new = write.patch(session, target.path(None), STRATEGIC, patch.to_string()).await?;
    }
    teller.tell(&new, &target.resource.shown(), told)
}

/// The words before the first change, and the changes.
fn split(words: &[String]) -> Outcome<(Vec<String>, Vec<String>)> {
    let is_change = |word: &String| word.contains('=') || word.contains(':') || word.ends_with('-');
    let first = words.iter().position(is_change).unwrap_or(words.len());
    let (before, changes) = words.split_at(first);
    if let Some(stray) = changes.iter().find(|word| !is_change(word)) {
        return Err(Failure::message(format!("all resources must be specified before taint changes: {stray}")));
    }
    if before.is_empty() {
        return Err(Failure::message("one or more resources must be specified as <resource> <name>"));
    }
    if changes.is_empty() {
        return Err(Failure::message("at least one taint update is required"));
    }
    Ok((before.to_vec(), changes.to_vec()))
}

fn check(words: &[String], chosen: &[Target], args: &Args, changes: &Changes) -> Outcome {
    let is_node = |target: &Target| target.resource.group.is_empty() && target.resource.name == "nodes";
    if !chosen.iter().all(is_node) {
        let word = words.first().map(String::as_str).unwrap_or_default();
        return Err(Failure::message(format!("invalid resource type {word}, only node types are supported")));
    }
    let both = changes.both();
    if !both.is_empty() {
        let both = both.join(",");
        let why = format!("can not both modify and remove the following taint(s) in the same command: {both}");
        return Err(Failure::message(why));
    }
    let (all, selected) = (args.bool("all"), !args.text("selector").is_empty());
    if all && selected {
        return Err(Failure::message("setting 'all' parameter with a non empty selector is prohibited"));
    }
    if chosen.iter().any(|target| target.name.is_empty()) && !all && !selected {
        return Err(Failure::message("at least one resource name must be specified since 'all' parameter is not set"));
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Taint {
    key: String,
    value: String,
    /// Empty in one that is to go: any.
    effect: String,
}

/// As `key=value:effect`, without what is empty.
impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.value.as_str(), self.effect.as_str()) {
            (_, "") => f.write_str(&self.key),
            ("", effect) => write!(f, "{}:{effect}", self.key),
            (value, effect) => write!(f, "{}={value}:{effect}", self.key),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    add: Vec<Taint>,
    remove: Vec<Taint>,
}

impl Changes {
    fn parse(specs: &[String]) -> Result<Self, String> {
        let mut changes = Changes::default();
        for spec in specs {
            if let Some(spec) = spec.strip_suffix('-') {
                changes.remove.push(parse(spec)?);
                continue;
            }
            let taint = parse(spec)?;
            if taint.effect.is_empty() {
                return Err(format!("invalid taint spec: {spec}"));
            }
            if changes.add.iter().any(|known| same(known, &taint)) {
                let Taint { key, value, effect } = taint;
                let shown = format!("{{{key} {value} {effect} <nil>}}");
                return Err(format!("duplicated taints with the same key and effect: {shown}"));
            }
            changes.add.push(taint);
        }
        Ok(changes)
    }

    /// What is to come and to go at once, as upstream prints it.
    fn both(&self) -> Vec<String> {
        let comes = |gone: &&Taint| {
            self.add.iter().any(|new| new.key == gone.key && (gone.effect.is_empty() || gone.effect == new.effect))
        };
        self.remove.iter().filter(comes).map(|gone| format!("{}={}", gone.key, gone.effect)).collect()
    }

    /// The keys that a node has under the same effects already.
    fn taken(&self, node: &Value) -> String {
        let there = taints(node);
        let keys = self.add.iter().filter(|taint| there.iter().any(|old| same(old, taint)));
        keys.map(|taint| taint.key.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The node's new taints, and what is told of it.
    fn apply(&self, node: &Value, overwrite: bool) -> Outcome<(Value, &'static str)> {
        let old = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        let is = |value: &Value, taint: &Taint| {
            value["key"] == taint.key.as_str() && (taint.effect.is_empty() || value["effect"] == taint.effect.as_str())
        };
        let missing = self.remove.iter().filter(|gone| !old.iter().any(|value| is(value, gone)));
        let missing: Vec<Failure> =
            missing.map(|gone| Failure::message(format!("taint {:?} not found", gone.to_string()))).collect();
        if !missing.is_empty() {
            return Failure::collect(missing).map(|()| (Value::Null, ""));
        }
        let new = self.add.iter().map(|taint| {
            let mut new = json!({"key": taint.key, "effect": taint.effect});
            if !taint.value.is_empty() {
                new["value"] = json!(taint.value);
            }
            new
        });
        let stays = |value: &&Value| !self.remove.iter().chain(&self.add).any(|taint| is(value, taint));
        let taints: Vec<Value> = new.chain(old.iter().filter(stays).cloned()).collect();
        let told = match (self.add.is_empty(), self.remove.is_empty()) {
            _ if overwrite => "modified",
            (false, false) => "modified",
            (false, true) => "tainted",
            _ => "untainted",
        };
        Ok((json!(taints), told))
    }
}

fn taints(node: &Value) -> Vec<Taint> {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let list = node["spec"]["taints"].as_array().into_iter().flatten();
    list.map(|value| Taint { key: text(value, "key"), value: text(value, "value"), effect: text(value, "effect") })
        .collect()
}

fn same(one: &Taint, other: &Taint) -> bool {
    one.key == other.key && one.effect == other.effect
}

fn parse(spec: &str) -> Result<Taint, String> {
    let invalid = || format!("invalid taint spec: {spec}");
    let because = |why: Vec<String>| format!("invalid taint spec: {spec}, {}", why.join("; "));
    let mut parts = spec.split(':');
    let (name, effect) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(invalid());
    }
    let mut taint = Taint { key: name.to_owned(), value: String::new(), effect: String::new() };
    if let Some(effect) = effect {
        if !EFFECTS.contains(&effect) {
            return Err(format!("invalid taint effect: {effect}, unsupported taint effect"));
        }
        effect.clone_into(&mut taint.effect);
        let mut pair = name.split('=');
        taint.key = pair.next().unwrap_or_default().to_owned();
        taint.value = pair.next().unwrap_or_default().to_owned();
        if pair.next().is_some() {
            return Err(invalid());
        }
        let why = meta::validation::label_value(&taint.value);
        if !why.is_empty() {
            return Err(because(why));
        }
    }
    let why = meta::validation::qualified_name(&taint.key);
    if why.is_empty() { Ok(taint) } else { Err(because(why)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(specs: &[&str]) -> Result<Changes, String> {
        Changes::parse(&specs.iter().map(|spec| (*spec).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn specs_are_read_or_refused_in_upstreams_words() {
        for (specs, why) in [
            (&["a=b:X"][..], "invalid taint effect: X, unsupported taint effect"),
            (&["a=b=c:NoSchedule"], "invalid taint spec: a=b=c:NoSchedule"),
            (&["a:b:NoSchedule"], "invalid taint spec: a:b:NoSchedule"),
            (&["a"], "invalid taint spec: a"),
            (
                &["a:NoSchedule", "a=1:NoSchedule"],
                "duplicated taints with the same key and effect: {a 1 NoSchedule <nil>}",
            ),
        ] {
            assert_eq!(changes(specs).unwrap_err(), why, "{specs:?}");
        }
        assert!(changes(&["a=b"]).unwrap_err().starts_with("invalid taint spec: a=b, name part must consist of"));
        assert_eq!(changes(&["a:NoSchedule", "a-"]).unwrap().both(), ["a="]);
    }

    #[test]
    fn taints_come_change_and_go() {
        let node = json!({"spec": {"taints": [{"key": "a", "value": "1", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]}});
        let applied = |specs: &[&str]| {
            let (taints, told) = changes(specs).unwrap().apply(&node, false).unwrap();
            let shown: Vec<String> =
                super::taints(&json!({"spec": {"taints": taints}})).iter().map(ToString::to_string).collect();
            (shown.join(" "), told)
        };
        assert_eq!(applied(&["b=2:NoSchedule"]), ("b=2:NoSchedule a=1:NoSchedule a:NoExecute".to_owned(), "tainted"));
        assert_eq!(applied(&["a=3:NoSchedule"]), ("a=3:NoSchedule a:NoExecute".to_owned(), "tainted"));
        assert_eq!(applied(&["a:NoExecute-"]), ("a=1:NoSchedule".to_owned(), "untainted"));
        assert_eq!(applied(&["a-"]), (String::new(), "untainted"));
        assert_eq!(applied(&["a-", "b:NoExecute"]), ("b:NoExecute".to_owned(), "modified"));
        assert_eq!(changes(&["a:NoSchedule"]).unwrap().taken(&node), "a");
        let Err(Failure::Message(why)) = changes(&["c:NoExecute-"]).unwrap().apply(&node, false) else {
            panic!("no failure")
        };
        assert_eq!(why, "taint \"c:NoExecute\" not found");
    }
}
