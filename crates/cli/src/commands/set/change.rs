//! What every `set` command does: find objects, change them, send the difference, tell.

use crate::change_cause;
use crate::changes::{Write, two_way};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::shared_flags::{ALL, DRY_RUN, FIELD_MANAGER, LOCAL, RECORD, SELECTOR};
use crate::targets::{fetched, objects, targets};
use serde_json::{Map, Value, json};

pub const FLAGS: &[Flag] = &[DRY_RUN, SELECTOR, ALL, FIELD_MANAGER, LOCAL, RECORD];

/// Where kinds keep their pod spec.
pub fn pod_spec(object: &mut Value) -> Option<&mut Value> {
    let path = match object["kind"].as_str()? {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    object.pointer_mut(path).filter(|spec| spec.is_object())
}

pub fn require_spec(object: &mut Value) -> Outcome<&mut Value> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    pod_spec(object).ok_or_else(|| Failure::message(format!("{kind} has no pod template")))
}

/// The containers of a pod spec whose names match a pattern, `*` standing for anything.
pub fn containers<'s>(spec: &'s mut Value, pattern: &str) -> Vec<&'s mut Value> {
    let is_meant = |container: &&mut Value| matches(pattern, container["name"].as_str().unwrap_or_default());
    let Some(map) = spec.as_object_mut() else { return Vec::new() };
    let mut found: Vec<&mut Value> = Vec::new();
    for (key, list) in map.iter_mut() {
        if matches!(key.as_str(), "containers" | "initContainers") {
            found.extend(list.as_array_mut().into_iter().flatten().filter(is_meant));
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        if at + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    true
}

/// What is told also where it changed nothing.
pub const ALWAYS_TOLD: &str = "selector updated";

/// Changes every object that the words or files mean; `told` is what happened to it.
pub async fn change(
    session: &Session,
    args: &Args,
    words: &[String],
    told: &str,
    change: &dyn Fn(&mut Value) -> Outcome,
) -> Outcome {
    let teller = Teller::of(args)?;
    let write = Write::of(args, "kubectl-set")?;
    if args.bool("local") {
        for (_, mut object) in objects(session, args).await? {
            change(&mut object)?;
            change_cause::note(&session.path, args, &mut object);
            let shown = object["kind"].as_str().unwrap_or_default().to_lowercase();
            teller.tell(&object, &shown, told)?;
        }
        return Ok(());
    }
    for (target, old) in fetched(session, args, targets(session, args, words).await?).await? {
        let mut new = old.clone();
        change(&mut new)?;
        change_cause::note(&session.path, args, &mut new);
        if new == old {
            // Nothing to send; of most changes kubectl says nothing either unless asked for the object.
            if teller.format != crate::print::Format::Default || told == ALWAYS_TOLD {
                teller.tell(&new, &target.resource.shown(), told)?;
            }
            continue;
        }
        if write.dry_run != DryRun::Client {
            let (media_type, patch) = two_way(&old, &new)?;
            new = write.patch(session, target.path(None), media_type, patch.to_string()).await?;
        }
        teller.tell(&new, &target.resource.shown(), told)?;
    }
    Ok(())
}

/// Puts pairs into a map that may not be there yet.
pub fn extend(place: &mut Value, pairs: Map<String, Value>) {
    if !place.is_object() {
        *place = json!({});
    }
    if let Some(map) = place.as_object_mut() {
        map.extend(pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, is) in [
            ("*", "a", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b*c", "abxc", true),
            ("*b", "ac", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
