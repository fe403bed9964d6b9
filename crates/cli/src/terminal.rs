//! The terminal that kubectl runs in, and passing its streams to a container's.

use crate::detach::DetachKeys;
use crate::failure::{Failure, Outcome};
use crate::output::error_line;
use crate::session::{Call, Session};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::IsTerminal;
use streams::client::{Command, command};
use streams::{Size, Streams, Transport};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Lets key presses through as they are, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw).ok()?;
        Some(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal is gone if this fails.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.0);
    }
}

fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(std::io::stdin())).ok()?;
    Some(Size { width: size.ws_col, height: size.ws_row })
}

/// Whether a terminal can be had, with kubectl's word where one was asked for in vain.
pub fn usable(tty: bool) -> bool {
    if tty && !std::io::stdin().is_terminal() {
        error_line("Unable to use a TTY - input is not a terminal or the right kind of file");
        return false;
    }
    tty
}

/// Runs or attaches to a command over WebSocket, or SPDY where the server speaks nothing newer.
pub async fn begin(session: &Session, path: &str, query: &[(&str, String)], streams: Streams) -> Outcome<Command> {
    let call = || {
        let mut call = Call::get(path);
        call.query = query.to_vec();
        call
    };
    let (io, request) = session.dial(call()).await?;
    let running = match command(io, request, streams, Transport::WebSocket, &session.env).await {
        Err(streams::StreamError::Refused { status, .. }) if status.as_u16() == 400 || status.as_u16() == 426 => {
            let (io, mut request) = session.dial(call()).await?;
            *request.method_mut() = http::Method::POST;
            command(io, request, streams, Transport::Spdy, &session.env).await
        }
        other => other,
    };
    running.map_err(failed)
}

/// How a command was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    AtItsEnd,
    /// By the keys for it.
    Running,
}

/// The same until it ends, with this terminal's streams; its exit code becomes ours. `detach`: the keys
/// that leave it running.
pub async fn run(
    session: &Session,
    path: String,
    query: Vec<(&str, String)>,
    streams: Streams,
    detach: DetachKeys,
) -> Outcome<Left> {
    let keys = if streams.tty { detach } else { DetachKeys::default() };
    let running = begin(session, &path, &query, streams).await?;
    let raw = if streams.tty { Raw::enter() } else { None };
    let ended = pass(session, running, keys).await;
    drop(raw);
    match ended? {
        Some(ended) => code(ended).map(|()| Left::AtItsEnd),
        None => Ok(Left::Running),
    }
}

/// What a command's end means for ours.
pub fn code(ended: streams::Outcome) -> Outcome {
    match ended {
        streams::Outcome::Success => Ok(()),
        streams::Outcome::ExitCode(code) => {
            error_line(&format!("command terminated with exit code {code}"));
            Err(Failure::Code(u8::try_from(code).unwrap_or(1)))
        }
        streams::Outcome::Error(why) => {
            const PREFIX: &str = "Internal error occurred: ";
            let why = why.strip_prefix(PREFIX).unwrap_or(&why);
            Err(Failure::message(format!("{PREFIX}{why}")))
        }
    }
}

/// What the server said, or why there was no answer.
pub fn failed(why: streams::StreamError) -> Failure {
    let streams::StreamError::Refused { body, .. } = &why else { return Failure::message(why.to_string()) };
    match serde_json::from_str::<meta::Status>(body) {
        Ok(status) if !status.message.is_empty() => status.into(),
        _ if body.trim().is_empty() => Failure::message(why.to_string()),
        _ => Failure::message(format!("unable to upgrade connection: {}", body.trim())),
    }
}

/// Passes on what is typed, until it ends or detaches.
async fn type_into(mut remote: impl AsyncWrite + Unpin, mut keys: DetachKeys) -> bool {
    let mut local = tokio::io::stdin();
    let mut buffer = vec![0; 8 << 10];
    while let Ok(length @ 1..) = local.read(&mut buffer).await {
        let (passed, detaches) = keys.pass(&buffer[..length]);
        if remote.write_all(&passed).await.is_err() || remote.flush().await.is_err() {
            // A remote end that is gone shows in the result.
            return false;
        }
        if detaches {
            return true;
        }
    }
    let _ = remote.shutdown().await;
    false
}

/// None: it was left running.
async fn pass(session: &Session, running: Command, keys: DetachKeys) -> Outcome<Option<streams::Outcome>> {
    let Command { stdin, stdout, stderr, resize, result } = running;
    let (detach, mut detached) = tokio::sync::oneshot::channel();
    if let Some(remote) = stdin {
        session.env.tasks.spawn("standard input", async move {
            if type_into(remote, keys).await {
                // Nobody listens any more where the command ended meanwhile.
                let _ = detach.send(());
            }
        });
    }
    if let Some(mut resize) = resize {
        session.env.tasks.spawn("terminal size", async move {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
            loop {
                if let Some(size) = size()
                    && resize.send(size).await.is_err()
                {
                    return;
                }
                if changes.recv().await.is_none() {
                    return;
                }
            }
        });
    }
    let output = async {
        let Some(mut remote) = stdout else { return };
        let mut buffer = vec![0; 32 << 10];
        while let Ok(length) = remote.read(&mut buffer).await {
            if length == 0 {
                return;
            }
            crate::output::out_bytes(&buffer[..length]);
        }
    };
    let errors = async {
        let Some(mut remote) = stderr else { return };
        let mut local = tokio::io::stderr();
        // Nowhere to tell a failure to.
        let _ = tokio::io::copy(&mut remote, &mut local).await;
        let _ = local.flush().await;
    };
    let to_the_end = async { tokio::join!(result, output, errors).0.map_err(failed) };
    tokio::select! {
        ended = to_the_end => ended.map(Some),
        Ok(()) = &mut detached => Ok(None),
    }
}
