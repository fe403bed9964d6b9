//! `kubectl set env`: variables of containers, written, taken away, taken over or listed.

use super::change::{FLAGS, change, containers, require_spec};
use crate::command::{Command, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, list, repeat, text};
use crate::output::line;
use crate::print::name_of;
use crate::session::{Call, Session};
use crate::targets::{fetched, from_words, objects, targets};
use base64::Engine;
use serde_json::{Value, json};

const OWN: &[Flag] = &[
    text("containers", "*", "The names of containers in the selected pod templates to change - may use wildcards")
        .short('c'),
    repeat("env", "Specify a key-value pair for an environment variable to set into each container.").short('e'),
    text("from", "", "The name of a resource from which to inject environment variables"),
    list("keys", "Comma-separated list of keys to import from specified resource"),
    boolean(
        "list",
        "If true, display the environment and any changes in the standard format. this flag will removed when we have kubectl view env.",
    ),
    Flag {
        default: "true",
        ..boolean(
            "overwrite",
            "If true, allow environment to be overwritten, otherwise reject updates that overwrite existing environment.",
        )
    },
    text("prefix", "", "Prefix to append to variable names"),
    boolean("resolve", "If true, show secret or configmap references when listing variables"),
];

pub static COMMAND: Command = Command {
    name: "env",
    usage: "set env RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N [options]",
    short: "Update environment variables on a pod template",
    examples: "# Update deployment 'registry' with a new environment variable\nkubectl set env deployment/registry STORAGE_DIR=/local\n\n# Import environment from a config map with a prefix\nkubectl set env --from=configmap/myconfigmap --prefix=MYSQL_ deployment/myapp\n\n# Remove the environment variable ENV from container 'c1' in all deployment configs\nkubectl set env deployments --all --containers=\"c1\" ENV-",
    flags: &[PRINT, FILES, FLAGS, OWN],
    run: Some(run),
    ..Command::EMPTY
};

/// What is to become of the variables.
struct Plan {
    set: Vec<Value>,
    remove: Vec<String>,
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let mut plan = Plan { set: Vec::new(), remove: Vec::new() };
        let mut words = Vec::new();
        for word in args.words.iter().chain(&args.list("env")) {
            match word.split_once('=') {
                Some((name, value)) => plan.set.push(variable(name, value)?),
                None if word.ends_with('-') => plan.remove.push(word.trim_end_matches('-').to_owned()),
                None => words.push(word.clone()),
            }
        }
        if args.list("env").iter().any(|pair| pair == "-") {
            return Err(Failure::message("reading variables from standard input is not supported"));
        }
        if !args.text("from").is_empty() {
            plan.set.extend(imported(session, &args).await?);
        }
        if args.bool("list") {
            return show(session, &args, &words, &plan).await;
        }
        if plan.set.is_empty() && plan.remove.is_empty() {
            return Err(Failure::message("at least one environment variable must be provided"));
        }
        change(session, &args, &words, "env updated", &|object| apply(object, &args, &plan)).await
    })
}

fn variable(name: &str, value: &str) -> Outcome<Value> {
    let wrong = name.is_empty() || name.contains(char::is_whitespace) || name.starts_with(|c: char| c.is_ascii_digit());
    if wrong {
        return Err(Failure::message(format!(
            "{name:?} is not a valid key name: a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit"
        )));
    }
    Ok(json!({"name": name, "value": value}))
}

/// A variable for each key of a ConfigMap or Secret, named as variables are.
async fn imported(session: &Session, args: &Args) -> Outcome<Vec<Value>> {
    let found = from_words(session, &[args.text("from").to_owned()], false).await?;
    let keys = args.list("keys");
    let mut all = Vec::new();
    for target in found {
        let object = target.get(session).await?;
        let source = match object["kind"].as_str() {
            Some("ConfigMap") => "configMapKeyRef",
            Some("Secret") => "secretKeyRef",
            _ => return Err(Failure::message(format!("unsupported resource specified in --from: {}", target.shown()))),
        };
        for (key, _) in object["data"].as_object().into_iter().flatten() {
            if !keys.is_empty() && !keys.contains(key) {
                continue;
            }
            let sign = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            let name: String = key.chars().map(sign).collect();
            all.push(json!({
                "name": format!("{}{name}", args.text("prefix")),
                "valueFrom": {source: {"name": target.name, "key": key}},
            }));
        }
    }
    Ok(all)
}

fn apply(object: &mut Value, args: &Args, plan: &Plan) -> Outcome {
    let shown = format!("{}/{}", object["kind"].as_str().unwrap_or_default(), name_of(object));
    let spec = require_spec(object)?;
    let chosen = containers(spec, args.text("containers"));
    if chosen.is_empty() {
        return Err(Failure::message(format!(
            "{shown} does not have any containers matching {:?}",
            args.text("containers")
        )));
    }
    for container in chosen {
        let mut all = container["env"].as_array().cloned().unwrap_or_default();
        for wanted in &plan.set {
            match all.iter_mut().find(|known| known["name"] == wanted["name"]) {
                Some(known) if !args.bool("overwrite") && known != wanted => {
                    let name = wanted["name"].as_str().unwrap_or_default();
                    return Err(Failure::message(format!("{name:?} already has a value and --overwrite is false")));
                }
                Some(known) => *known = wanted.clone(),
                None => all.push(wanted.clone()),
            }
        }
        all.retain(|known| plan.remove.iter().all(|name| known["name"] != name.as_str()));
        if all.is_empty() {
            container.as_object_mut().map(|map| map.remove("env"));
        } else {
            container["env"] = json!(all);
        }
    }
    Ok(())
}

async fn show(session: &Session, args: &Args, words: &[String], plan: &Plan) -> Outcome {
    let all: Vec<Value> = if args.bool("local") {
        objects(session, args).await?.into_iter().map(|(_, object)| object).collect()
    } else {
        let found = fetched(session, args, targets(session, args, words).await?).await?;
        found.into_iter().map(|(_, object)| object).collect()
    };
    for mut object in all {
        apply(&mut object, args, plan)?;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let name = name_of(&object).to_owned();
        let spec = require_spec(&mut object)?;
        for container in containers(spec, args.text("containers")) {
            line(&format!("# {kind} {name}, container {}", container["name"].as_str().unwrap_or_default()));
            for one in container["env"].as_array().into_iter().flatten() {
                line(&shown(session, args, one).await?);
            }
        }
    }
    Ok(())
}

/// `A=b`, or where its value comes from.
async fn shown(session: &Session, args: &Args, one: &Value) -> Outcome<String> {
    let name = one["name"].as_str().unwrap_or_default();
    let from = &one["valueFrom"];
    if !from.is_object() {
        return Ok(format!("{name}={}", one["value"].as_str().unwrap_or_default()));
    }
    for (field, resource, word) in
        [("configMapKeyRef", "configmaps", "configmap"), ("secretKeyRef", "secrets", "secret")]
    {
        let of = &from[field];
        let text = |key: &str| of[key].as_str().unwrap_or_default().to_owned();
        if !of.is_object() {
            continue;
        }
        if !args.bool("resolve") {
            return Ok(format!("# {name} from {word} {}, key {}", text("name"), text("key")));
        }
        let namespace = session.namespace().await?;
        let path = format!("/api/v1/namespaces/{namespace}/{resource}/{}", text("name"));
        let object = session.json(Call::get(path)).await?;
        let value = object["data"][text("key")].as_str().unwrap_or_default();
        let decoded = base64::engine::general_purpose::STANDARD.decode(value).unwrap_or_default();
        let value = if word == "secret" { String::from_utf8_lossy(&decoded).into_owned() } else { value.to_owned() };
        return Ok(format!("{name}={value}"));
    }
    let path = from["fieldRef"]["fieldPath"].as_str().or(from["resourceFieldRef"]["resource"].as_str());
    Ok(format!("# {name} from field path {}", path.unwrap_or_default()))
}
