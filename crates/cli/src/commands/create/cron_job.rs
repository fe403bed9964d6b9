//! `kubectl create cronjob`.

use super::generate::{FLAGS, command, finish, metadata, name, require};
use super::job::template;
use crate::command::{Command, Done, PRINT};
use crate::flags::{Args, text};
use crate::session::Session;
use serde_json::json;

pub static COMMAND: Command = Command {
    name: "cronjob",
    aliases: &["cj"],
    usage: "create cronjob NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [options]",
    short: "Create a cron job with the specified name",
    examples: "# Create a cron job\nkubectl create cronjob my-job --image=busybox --schedule=\"*/1 * * * *\"",
    flags: &[
        PRINT,
        FLAGS,
        &[
            text("image", "", "Image name to run."),
            text("schedule", "", "A schedule in the Cron format the job should be run with."),
            text("restart", "", "job's restart policy. supported values: OnFailure, Never"),
        ],
    ],
    run: Some(run),
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        require(&args, &["image", "schedule"])?;
        let name = name(session, &args)?;
        let restart = Some(args.text("restart")).filter(|policy| !policy.is_empty()).unwrap_or("OnFailure");
        let job = json!({"template": template(name, args.text("image"), &command(&args), restart)});
        let object = json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": metadata(name, &[]),
            "spec": {
                "jobTemplate": {"metadata": metadata(name, &[]), "spec": job},
                "schedule": args.text("schedule"),
            },
            "status": {},
        });
        finish(session, &args, object, "failed to create cronjob:").await
    })
}
