//! `kubectl exec` and `kubectl attach`.

use super::logs::{default_container, pod, pod_of};
use crate::command::{Command, Done, FILES};
use crate::detach::DetachKeys;
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag};
use crate::output::error_line;
use crate::print::{name_of, namespace_of};
use crate::session::Session;
use crate::shared_flags::{CONTAINER, DETACH_KEYS, RUNNING_TIMEOUT, STREAMS};
use crate::terminal::{self, Left};
use serde_json::Value;
use streams::Streams;

const FLAGS: &[Flag] = &[CONTAINER, RUNNING_TIMEOUT];

pub static EXEC: Command = Command {
    name: "exec",
    usage: "exec (POD | TYPE/NAME) [-c CONTAINER] [flags] -- COMMAND [args...] [options]",
    short: "Execute a command in a container",
    examples: "# Get output from running the 'date' command from pod mypod, using the first container by default\nkubectl exec mypod -- date\n\n# Switch to raw terminal mode; sends stdin to 'bash' in ruby-container from pod mypod\nkubectl exec mypod -c ruby-container -i -t -- bash -il",
    flags: &[FILES, STREAMS, FLAGS],
    run: Some(exec),
    ..Command::EMPTY
};

pub static ATTACH: Command = Command {
    name: "attach",
    usage: "attach (POD | TYPE/NAME) -c CONTAINER [options]",
    short: "Attach to a running container",
    flags: &[STREAMS, FLAGS, &[DETACH_KEYS]],
    run: Some(attach),
    ..Command::EMPTY
};

fn exec(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let Some((word, command)) = args.words.split_first() else {
            return Err(Failure::message("pod, type/name or --filename must be specified"));
        };
        if command.is_empty() {
            return Err(Failure::message("you must specify at least one command for the container"));
        }
        if args.before_dash.is_none() {
            error_line(
                "kubectl exec [POD] [COMMAND] is DEPRECATED and will be removed in a future version. Use kubectl exec [POD] -- [COMMAND] instead.",
            );
        }
        let pod = running(session, word).await?;
        let container = container(&pod, &args)?;
        let (stdin, tty) = (args.bool("stdin"), args.bool("tty"));
        let tty = terminal::usable(tty && stdin);
        let streams = Streams { stdin, stdout: true, stderr: !tty, tty };
        let mut query: Vec<(&str, String)> = command.iter().map(|word| ("command", word.clone())).collect();
        query.push(("container", container));
        query.extend(flags(streams));
        terminal::run(session, path(&pod, "exec"), query, streams, DetachKeys::default()).await.map(|_| ())
    })
}

fn attach(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let [word] = args.words.as_slice() else {
            return Err(Failure::usage(&session.path, "pod, type/name or --filename must be specified"));
        };
        let pod = running(session, word).await?;
        let container = container(&pod, &args)?;
        attach_to(session, &pod, &container, &args).await.map(|_| ())
    })
}

/// Attaches to a container that runs, as the command line says; with a terminal where its container has
/// one.
pub async fn attach_to(session: &Session, pod: &Value, container: &str, args: &Args) -> Outcome<Left> {
    let (stdin, tty, quiet) = (args.bool("stdin"), args.bool("tty"), args.bool("quiet"));
    let keys = DetachKeys::parse(args.text("detach-keys")).map_err(Failure::message)?;
    let lists = ["containers", "ephemeralContainers", "initContainers"];
    let mut all = lists.iter().flat_map(|list| pod["spec"][*list].as_array().into_iter().flatten());
    let its_own = all.find(|one| one["name"] == container);
    let has_tty = its_own.is_some_and(|one| one["tty"] == true);
    if tty && !has_tty && !quiet {
        error_line(&format!("error: Unable to use a TTY - container {container} did not allocate one"));
    }
    let tty = tty && has_tty && terminal::usable(true);
    if !quiet {
        error_line("If you don't see a command prompt, try pressing enter.");
    }
    let streams = Streams { stdin, stdout: true, stderr: !has_tty, tty };
    let mut query = vec![("container", container.to_owned())];
    query.extend(flags(streams));
    terminal::run(session, path(pod, "attach"), query, streams, keys).await
}

fn path(pod: &Value, subresource: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}/{subresource}", namespace_of(pod), name_of(pod))
}

fn flags(streams: Streams) -> Vec<(&'static str, String)> {
    let all = [("stdin", streams.stdin), ("stdout", streams.stdout), ("stderr", streams.stderr), ("tty", streams.tty)];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| (name, "true".to_owned())).collect()
}

/// A pod that commands can run in.
pub async fn running(session: &Session, word: &str) -> Outcome<Value> {
    let pod = match word.split_once('/') {
        None => pod(session, word).await?,
        Some(("pod" | "pods" | "po", name)) => pod(session, name).await?,
        Some(_) => pod_of(session, word).await?.0,
    };
    match pod["status"]["phase"].as_str().unwrap_or_default() {
        phase @ ("Succeeded" | "Failed") => {
            Err(Failure::message(format!("cannot exec into a container in a completed pod; current phase is {phase}")))
        }
        _ => Ok(pod),
    }
}

fn container(pod: &Value, args: &Args) -> Outcome<String> {
    let asked = args.text("container");
    if asked.is_empty() {
        return default_container(pod);
    }
    // Whether there is such a container is the server's to say.
    Ok(asked.to_owned())
}
