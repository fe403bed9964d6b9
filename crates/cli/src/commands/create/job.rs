//! `kubectl create job`, new or from a CronJob.

use super::generate::{FLAGS, command, finish, metadata, name};
use crate::command::{Command, Done, PRINT};
use crate::failure::Failure;
use crate::flags::{Args, text};
use crate::session::Session;
use crate::targets::from_words;
use serde_json::{Value, json};

pub static COMMAND: Command = Command {
    name: "job",
    usage: "create job NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...] [options]",
    short: "Create a job with the specified name",
    examples: "# Create a job\nkubectl create job my-job --image=busybox\n\n# Create a job from a cron job named \"a-cronjob\"\nkubectl create job test-job --from=cronjob/a-cronjob",
    flags: &[
        PRINT,
        FLAGS,
        &[
            text("image", "", "Image name to run."),
            text("from", "", "The name of the resource to create a Job from (only cronjob is supported)."),
        ],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let name = name(session, &args)?;
        let (image, from) = (args.text("image"), args.text("from"));
        if image.is_empty() == from.is_empty() {
            return Err(Failure::message("either --image or --from must be specified"));
        }
        let object = if from.is_empty() {
            let spec = json!({"template": template(name, image, &command(&args), "Never")});
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(name, &[]), "spec": spec, "status": {}})
        } else {
            let targets = from_words(session, &[from.to_owned()], false).await?;
            let source = match targets.first() {
                Some(target) if target.resource.kind == "CronJob" => target.get(session).await?,
                _ => return Err(Failure::message("from must be an existing cronjob")),
            };
            of_cron_job(name, &source)
        };
        finish(session, &args, object, "failed to create job:").await
    })
}

/// A pod template with one container.
pub fn template(name: &str, image: &str, command: &[String], restart: &str) -> Value {
    let mut container = json!({"image": image, "name": name, "resources": {}});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": [container], "restartPolicy": restart}})
}

fn of_cron_job(name: &str, source: &Value) -> Value {
    let template = &source["spec"]["jobTemplate"];
    let mut meta = metadata(name, &[]);
    meta["annotations"] = template["metadata"]["annotations"].clone();
    if !meta["annotations"].is_object() {
        meta["annotations"] = json!({});
    }
    meta["annotations"]["cronjob.kubernetes.io/instantiate"] = json!("manual");
    if template["metadata"]["labels"].is_object() {
        meta["labels"] = template["metadata"]["labels"].clone();
    }
    meta["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": source["metadata"]["name"],
        "uid": source["metadata"]["uid"], "controller": true,
    }]);
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"], "status": {}})
}
