//! `kubectl set image`.

use crate::changes::{Write, two_way};
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, SELECTOR};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::print::{DryRun, Teller};
use crate::session::Session;
use crate::targets::{fetched, objects, targets};
use serde_json::{Value, json};

const FLAGS: &[Flag] = &[
    DRY_RUN,
    SELECTOR,
    boolean("all", "Select all resources, in the namespace of the specified resource types"),
    text("field-manager", "", "Name of the manager used to track field ownership."),
    boolean("local", "If true, set image will NOT contact api-server but run locally."),
];

pub static COMMAND: Command = Command {
    name: "image",
    usage: "set image (-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N [options]",
    short: "Update the image of a pod template",
    examples: "# Set a deployment's nginx container image to 'nginx:1.9.1', and its busybox container image to 'busybox'\nkubectl set image deployment/nginx busybox=busybox nginx=nginx:1.9.1",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

/// Where kinds keep their pod spec.
pub fn pod_spec(object: &mut Value) -> Option<&mut Value> {
    let path = match object["kind"].as_str()? {
        "Pod" => "/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    };
    object.pointer_mut(path).filter(|spec| spec.is_object())
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let (pairs, words): (Vec<String>, Vec<String>) =
            args.words.iter().cloned().partition(|word| word.contains('='));
        let pairs: Vec<(&str, &str)> = pairs.iter().filter_map(|pair| pair.split_once('=')).collect();
        let files = args.list("filename");
        let local = args.bool("local");
        if pairs.is_empty() && !(words.is_empty() && files.is_empty()) {
            return Err(Failure::message("at least one image update is required"));
        }
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-set")?;
        if local {
            for (_, mut object) in objects(&files, args.bool("recursive"))? {
                set(&mut object, &pairs)?;
                teller.format.print(&object, "")?;
            }
            return Ok(());
        }
        for (target, old) in fetched(session, &args, targets(session, &args, &words).await?).await? {
            let mut new = old.clone();
            set(&mut new, &pairs)?;
            if new == old {
                continue;
            }
            if write.dry_run != DryRun::Client {
                let (media_type, patch) = two_way(&old, &new)?;
                new = write.patch(session, target.path(None), media_type, patch.to_string()).await?;
            }
            teller.tell(&new, &target.resource.shown(), "image updated")?;
        }
        Ok(())
    })
}

fn set(object: &mut Value, pairs: &[(&str, &str)]) -> Outcome {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let Some(spec) = pod_spec(object) else {
        return Err(Failure::message(format!("{kind} has no pod template")));
    };
    for (name, image) in pairs {
        let mut found = false;
        for list in ["initContainers", "containers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                if *name == "*" || container["name"] == *name {
                    container["image"] = json!(image);
                    found = true;
                }
            }
        }
        if let Some(map) = spec.as_object_mut()
            && map.get("initContainers").is_some_and(Value::is_null)
        {
            map.remove("initContainers");
        }
        if !found {
            return Err(Failure::message(format!("unable to find container named {name:?}")));
        }
    }
    Ok(())
}
