//! `kubectl set image`.

use super::change::{FLAGS, change, require_spec};
use crate::command::{Command, Done, FILES, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::Args;
use crate::session::Session;
use serde_json::{Value, json};

pub static COMMAND: Command = Command {
    name: "image",
    usage: "set image (-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N [options]",
    short: "Update the image of a pod template",
    examples: "# Set a deployment's nginx container image to 'nginx:1.9.1', and its busybox container image to 'busybox'\nkubectl set image deployment/nginx busybox=busybox nginx=nginx:1.9.1",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let (pairs, words): (Vec<String>, Vec<String>) =
            args.words.iter().cloned().partition(|word| word.contains('='));
        let pairs: Vec<(&str, &str)> = pairs.iter().filter_map(|pair| pair.split_once('=')).collect();
        if pairs.is_empty() && (!words.is_empty() || crate::targets::gives_files(&args)?) {
            return Err(Failure::message("at least one image update is required"));
        }
        change(session, &args, &words, "image updated", &|object| set(object, &pairs)).await
    })
}

fn set(object: &mut Value, pairs: &[(&str, &str)]) -> Outcome {
    let spec = require_spec(object)?;
    for (name, image) in pairs {
        let mut found = false;
        for list in ["initContainers", "containers"] {
            for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if *name == "*" || container["name"] == *name {
                    container["image"] = json!(image);
                    found = true;
                }
            }
        }
        if !found {
            return Err(Failure::message(format!("unable to find container named {name:?}")));
        }
    }
    Ok(())
}
