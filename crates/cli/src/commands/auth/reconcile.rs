//! `kubectl auth reconcile`: roles and bindings get the rules and subjects that files ask for.

use crate::changes::Write;
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, boolean};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::{Target, from_files};
use serde_json::{Value, json};

pub static COMMAND: Command = Command {
    name: "reconcile",
    usage: "auth reconcile -f FILENAME [options]",
    short: "Reconciles rules for RBAC role, role binding, cluster role, and cluster role binding objects",
    examples: "# Reconcile RBAC resources from a file\nkubectl auth reconcile -f my-rbac-rules.yaml",
    flags: &[
        PRINT,
        FILES,
        &[
            DRY_RUN,
            boolean("remove-extra-permissions", "If true, removes extra permissions added to roles"),
            boolean("remove-extra-subjects", "If true, removes extra subjects added to rolebindings"),
        ],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        if !crate::targets::gives_files(&args)? {
            return Err(Failure::message("must specify --filename to reconcile"));
        }
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "")?;
        for target in from_files(session, &args).await? {
            let kind = target.resource.kind.as_str();
            let (field, removes) = match kind {
                "Role" | "ClusterRole" => ("rules", args.bool("remove-extra-permissions")),
                "RoleBinding" | "ClusterRoleBinding" => ("subjects", args.bool("remove-extra-subjects")),
                // kubectl passes over anything else.
                _ => continue,
            };
            let object = reconcile(session, &write, &target, field, removes).await?;
            teller.tell(&object, &target.resource.shown(), "reconciled")?;
        }
        Ok(())
    })
}

async fn reconcile(session: &Session, write: &Write, target: &Target, field: &str, removes: bool) -> Outcome<Value> {
    let Some(wanted) = target.object.clone() else { return Ok(Value::Null) };
    let client = write.dry_run == DryRun::Client;
    let mut live = match target.get(session).await {
        Ok(live) => live,
        Err(failure) if failure.is_not_found() && client => return Ok(wanted),
        Err(failure) if failure.is_not_found() => return write.create(session, target.collection(), &wanted).await,
        Err(failure) => return Err(failure),
    };
    let before = live.clone();
    let list = |object: &Value| object[field].as_array().cloned().unwrap_or_default();
    let mut all = if removes { Vec::new() } else { list(&live) };
    for one in list(&wanted) {
        if !all.iter().any(|known| covers(known, &one)) {
            all.push(one);
        }
    }
    if removes && all.len() == list(&live).len() && all.iter().all(|one| list(&live).contains(one)) {
        all = list(&live);
    }
    live[field] = json!(all);
    for map in ["labels", "annotations"] {
        for (key, value) in wanted["metadata"][map].as_object().into_iter().flatten() {
            live["metadata"][map][key] = value.clone();
        }
    }
    if live["roleRef"] != wanted["roleRef"] && wanted.get("roleRef").is_some() && !client {
        // A binding cannot be pointed elsewhere: another takes its place.
        crate::changes::Deletion::default().send(session, target.path(None)).await?;
        return write.create(session, target.collection(), &wanted).await;
    }
    if live == before || client {
        return Ok(live);
    }
    write.replace(session, target.path(None), &live).await
}

/// Whether everything one rule or subject says is said by another already.
fn covers(known: &Value, wanted: &Value) -> bool {
    let Some(fields) = wanted.as_object() else { return known == wanted };
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    // A rule for some names does not cover one for all.
    let names = (texts(&known["resourceNames"]), texts(&wanted["resourceNames"]));
    if !names.0.is_empty() && names.1.is_empty() {
        return false;
    }
    fields.iter().all(|(field, value)| match value {
        Value::Array(_) => {
            let own = texts(&known[field]);
            let free = field == "resourceNames" && own.is_empty();
            free || own.iter().any(|one| one == "*") || texts(value).iter().all(|one| own.contains(one))
        }
        other => known[field] == *other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_say_the_same() {
        let rule = |verbs: &[&str], names: &[&str]| json!({"apiGroups": [""], "resources": ["pods"], "verbs": verbs, "resourceNames": names});
        assert!(covers(&rule(&["get", "list"], &[]), &rule(&["get"], &[])));
        assert!(covers(&rule(&["*"], &[]), &rule(&["get"], &["a"])));
        assert!(!covers(&rule(&["get"], &[]), &rule(&["get", "list"], &[])));
        assert!(!covers(&rule(&["get"], &["a"]), &rule(&["get"], &[])));
    }
}
