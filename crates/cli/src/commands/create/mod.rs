//! `kubectl create`: objects from files, and generators for the kinds one types by hand.

mod binding;
mod config_map;
mod cron_job;
mod deployment;
mod generate;
mod ingress;
mod job;
mod limits;
mod namespace;
mod role;
mod secret;
mod service;
mod service_account;
mod token;

pub use binding::subjects;
pub use limits::amounts;

use super::edit::until_taken;
use crate::changes::Write;
use crate::command::{Command, DRY_RUN, Done, FILES, PRINT, SELECTOR, VALIDATE};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, text};
use crate::print::{DryRun, Teller};
use crate::session::{Call, JSON, Session};
use crate::shared_flags::{FIELD_MANAGER, RECORD, SAVE_CONFIG, WINDOWS_LINE_ENDINGS};
use crate::targets::{Target, from_files, read};
use http::Method;
use serde_json::Value;

const FLAGS: &[Flag] = &[
    DRY_RUN,
    VALIDATE,
    SELECTOR,
    FIELD_MANAGER,
    text("raw", "", "Raw URI to POST to the server. Uses the transport specified by the kubeconfig file."),
    SAVE_CONFIG,
    RECORD,
    boolean("edit", "Edit the API resource before creating"),
    WINDOWS_LINE_ENDINGS,
];

pub static COMMAND: Command = Command {
    name: "create",
    usage: "create -f FILENAME [options]",
    short: "Create a resource from a file or from stdin",
    long: "JSON and YAML formats are accepted.",
    examples: "# Create a pod using the data in pod.json\nkubectl create -f ./pod.json\n\n# Create a pod based on the JSON passed into stdin\ncat pod.json | kubectl create -f -",
    flags: &[PRINT, FILES, FLAGS],
    run: Some(run),
    children: &[
        &role::CLUSTER_ROLE,
        &binding::CLUSTER_ROLE_BINDING,
        &config_map::COMMAND,
        &cron_job::COMMAND,
        &deployment::COMMAND,
        &ingress::COMMAND,
        &job::COMMAND,
        &namespace::COMMAND,
        &limits::BUDGET,
        &limits::PRIORITY_CLASS,
        &limits::QUOTA,
        &role::COMMAND,
        &binding::COMMAND,
        &secret::COMMAND,
        &service::COMMAND,
        &service_account::COMMAND,
        &token::COMMAND,
    ],
    ..Command::EMPTY
};

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let files = args.list("filename");
        if !crate::targets::gives_files(&args)? {
            return Err(Failure::message("must specify one of -f and -k"));
        }
        if let Some(word) = args.words.first() {
            return Err(Failure::usage(&session.path, format!("Unexpected args: [{word}]")));
        }
        if !args.text("raw").is_empty() {
            let file = files.first().map_or("-", String::as_str);
            let body = if file == "-" {
                std::io::read_to_string(std::io::stdin()).map_err(|why| Failure::message(why.to_string()))?
            } else {
                read(file.as_ref())?
            };
            let answer = session.send(Call::new(Method::POST, args.text("raw")).body(JSON, body)).await?;
            crate::output::out_bytes(&answer);
            return Ok(());
        }
        let teller = Teller::of(&args)?;
        let write = Write::of(&args, "kubectl-create")?;
        let mut failures = Vec::new();
        let targets = from_files(session, &args).await?;
        if targets.is_empty() {
            return Err(Failure::message("no objects passed to create"));
        }
        for target in targets {
            let Some(object) = target.object.clone() else { continue };
            let create = async |object| create(session, &args, &teller, &write, &target, object).await;
            let done = match args.bool("edit") {
                true => until_taken(&args, &target, &object, create).await,
                false => create(object).await,
            };
            if let Err(failure) = done {
                failures.push(failure);
            }
        }
        Failure::collect(failures)
    })
}

async fn create(
    session: &Session,
    args: &Args,
    teller: &Teller,
    write: &Write,
    target: &Target,
    mut object: Value,
) -> Outcome {
    if args.bool("save-config") {
        crate::last_applied::record(&mut object);
    }
    crate::change_cause::note(&session.path, args, &mut object);
    if write.dry_run != DryRun::Client {
        let created = write.create(session, target.collection(), &object).await;
        object = created.map_err(|failure| failure.during("creating", &target.source))?;
    }
    teller.tell(&object, &target.resource.shown(), "created")
}
