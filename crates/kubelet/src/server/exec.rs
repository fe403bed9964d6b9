//! `/exec`, `/attach` and `/run`: commands in containers.

use super::route::{Query, is_set};
use super::{Body, full, pods, text};
use crate::agent::Agent;
use container::runtime::{ContainerState, ExecOptions, Runtime, RuntimeError, Streams as Process};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Duration;
use streams::server::RemoteCommand;
use streams::{Outcome, Refused, Streams};
use tokio::io::AsyncWriteExt;
use tracing::debug;

/// Output that comes after a command's end: of its children, which may hold the pipe for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// The running container that a path names.
fn running(agent: &Agent, namespace: &str, pod: &str, container: &str) -> Result<String, Box<Response<Body>>> {
    let (_, runtime) = pods::find(agent, namespace, pod)?;
    let found = runtime.latest(container).filter(|status| status.state == ContainerState::Running);
    let missing = || Box::new(text(StatusCode::INTERNAL_SERVER_ERROR, format!("container not found ({container:?})")));
    found.map(|status| status.id.clone()).ok_or_else(missing)
}

pub(super) fn refused(refused: Refused) -> Response<Body> {
    let mut response = text(refused.status, refused.message);
    for (name, value) in refused.headers {
        response.headers_mut().append(name, value);
    }
    response
}

pub(super) fn switching(response: Response<()>) -> Response<Body> {
    response.map(|()| Empty::new().boxed_unsync())
}

fn streams_of(query: &Query) -> Streams {
    Streams {
        stdin: is_set(query, "input") || is_set(query, "stdin"),
        stdout: is_set(query, "output") || is_set(query, "stdout"),
        stderr: is_set(query, "error") || is_set(query, "stderr"),
        tty: is_set(query, "tty"),
    }
}

pub(super) async fn exec(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let id = match running(agent, namespace, pod, container) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let wanted = streams_of(query);
    let command: Vec<String> =
        query.iter().filter(|(name, _)| name == "command").map(|(_, word)| word.clone()).collect();
    if command.is_empty() {
        return text(StatusCode::BAD_REQUEST, "you must specify at least one command");
    }
    let upgrade = match streams::server::command(&mut request, wanted, &agent.env) {
        Ok(upgrade) => upgrade,
        Err(why) => return refused(why),
    };
    let options =
        ExecOptions { command, stdin: wanted.stdin, stdout: wanted.stdout, stderr: wanted.stderr, tty: wanted.tty };
    let runtime = agent.runtime.clone();
    let worker = agent.clone();
    agent.env.tasks.spawn("exec", async move {
        let remote = match upgrade.session.await {
            Ok(remote) => remote,
            Err(error) => return debug!(%error, "exec was not taken up"),
        };
        let process = Box::pin(async move { runtime.exec(&id, options).await });
        connect(&worker, remote, process.await, false).await;
    });
    switching(upgrade.response)
}

pub(super) async fn attach(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let id = match running(agent, namespace, pod, container) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let upgrade = match streams::server::command(&mut request, streams_of(query), &agent.env) {
        Ok(upgrade) => upgrade,
        Err(why) => return refused(why),
    };
    let runtime: Arc<dyn Runtime> = agent.runtime.clone();
    let worker = agent.clone();
    agent.env.tasks.spawn("attach", async move {
        match upgrade.session.await {
            Ok(remote) => {
                let process = runtime.attach(&id).await;
                connect(&worker, remote, process, true).await;
            }
            Err(error) => debug!(%error, "attach was not taken up"),
        }
    });
    switching(upgrade.response)
}

/// Passes everything both ways until the command has ended or the client has gone.
async fn connect(agent: &Agent, remote: RemoteCommand, process: Result<Process, RuntimeError>, attached: bool) {
    let RemoteCommand { stdin, stdout, stderr, resizes, finish } = remote;
    let process = match process {
        Ok(process) => process,
        Err(error) => {
            drop((stdin, stdout, stderr));
            finish.report(&Outcome::Error(error.to_string())).await;
            return;
        }
    };
    let input = async {
        if let (Some(mut from), Some(mut to)) = (stdin, process.stdin) {
            // Either end may close at any time; the other then sees the end.
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let sizes = async {
        if let (Some(mut resizes), Some(resize)) = (resizes, process.resize) {
            while let Some(size) = resizes.next().await {
                if resize.send((size.width, size.height)).await.is_err() {
                    break;
                }
            }
        }
        std::future::pending::<()>().await;
    };
    let output = async { tokio::join!(pass(process.stdout, stdout), pass(process.stderr, stderr)) };
    let gone = finish.gone();
    let work = async {
        tokio::pin!(output);
        let exit = process.exit;
        tokio::pin!(exit);
        let code = tokio::select! {
            code = &mut exit => {
                // What it wrote before its end is still on the way.
                let _ = agent.env.clock.timeout(LAST_OUTPUT, &mut output).await;
                code
            }
            _ = &mut output => exit.await,
        };
        outcome(code, attached)
    };
    let outcome = tokio::select! {
        outcome = work => Some(outcome),
        () = input => None,
        () = sizes => None,
        () = gone.wait() => None,
    };
    drop(gone);
    if let Some(outcome) = outcome {
        finish.report(&outcome).await;
    }
}

async fn pass(from: Option<container::runtime::Reader>, to: Option<streams::Output>) {
    if let (Some(mut from), Some(mut to)) = (from, to) {
        // Either end may close at any time; the other then sees the end.
        let _ = tokio::io::copy(&mut from, &mut to).await;
        let _ = to.shutdown().await;
    }
}

fn outcome(code: Result<i32, RuntimeError>, attached: bool) -> Outcome {
    match code {
        Ok(_) if attached => Outcome::Success,
        Ok(0) => Outcome::Success,
        Ok(code) => Outcome::ExitCode(code),
        Err(error) => Outcome::Error(error.to_string()),
    }
}

/// Runs a command to its end and answers with its output.
pub(super) async fn run(
    agent: &Arc<Agent>,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &Query,
) -> Response<Body> {
    let id = match running(agent, namespace, pod, container) {
        Ok(id) => id,
        Err(refusal) => return *refusal,
    };
    let line = query.iter().find(|(name, _)| name == "cmd").map_or("", |(_, line)| line.as_str());
    let command: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match agent.runtime.exec_sync(&id, command, None).await {
        Ok(output) => {
            let mut all = output.stdout;
            all.extend_from_slice(&output.stderr);
            full(StatusCode::OK, "text/plain", all)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}
