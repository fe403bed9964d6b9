//! `kubectl create deployment`.

use super::generate::{FLAGS, command, finish, metadata, name, require};
use crate::command::{Command, Done, PRINT};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, int, list};
use crate::session::Session;
use serde_json::{Value, json};

const OWN: &[Flag] = &[
    list("image", "Image names to run. A deployment can have multiple images set for multiple containers."),
    int("replicas", "1", "Number of replicas to create. Default is 1.").short('r'),
    int("port", "-1", "The containerPort that this deployment exposes."),
];

pub static COMMAND: Command = Command {
    name: "deployment",
    aliases: &["deploy"],
    usage: "create deployment NAME --image=image -- [COMMAND] [args...] [options]",
    short: "Create a deployment with the specified name",
    examples: "# Create a deployment named my-dep that runs the busybox image\nkubectl create deployment my-dep --image=busybox\n\n# Create a deployment named my-dep that runs the nginx image with 3 replicas\nkubectl create deployment my-dep --image=nginx --replicas=3",
    flags: &[PRINT, FLAGS, OWN],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        require(&args, &["image"])?;
        let object = object(name(session, &args)?, &args)?;
        finish(session, &args, object, "failed to create deployment:").await
    })
}

fn object(name: &str, args: &Args) -> Outcome<Value> {
    let images = args.list("image");
    let command = command(args);
    if images.len() > 1 && !command.is_empty() {
        return Err(Failure::message("cannot specify multiple --image options and command"));
    }
    let mut containers: Vec<Value> = images.iter().map(|image| container(image, &command)).collect();
    // The port is that of the first.
    if args.int("port") > 0 {
        containers[0]["ports"] = json!([{"containerPort": args.int("port")}]);
    }
    let labels = [("app", name)];
    let mut template = metadata(name, &labels);
    if let Some(map) = template.as_object_mut() {
        map.remove("name");
    }
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, &labels),
        "spec": {
            "replicas": args.int("replicas"),
            "selector": {"matchLabels": {"app": name}},
            "strategy": {},
            "template": {"metadata": template, "spec": {"containers": containers}},
        },
        "status": {},
    }))
}

fn container(image: &str, command: &[String]) -> Value {
    let mut container = json!({"image": image, "name": container_name(image), "resources": {}});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    container
}

/// The image's last path segment without tag and digest, as a name may be written.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let bare = last.split(['@', ':']).next().unwrap_or(last);
    bare.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect()
}
