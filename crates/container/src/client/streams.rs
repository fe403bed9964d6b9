//! exec, attach and port-forward: files are handed over, so that data passes through nobody else.

use super::connection::{Connection, failed};
use super::{Inner, table};
use crate::protocol::{InitReply, InitRequest};
use crate::runtime::{ContainerState, ExecOptions, ExecOutput, Reader, RuntimeError, Streams, Writer};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use sys::socket;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// Most output that `exec_sync` keeps.
const MAX_OUTPUT: u64 = 16 * 1024 * 1024;
/// How long output is awaited from processes that outlive an `exec_sync`'s command.
const DRAIN: Duration = Duration::from_millis(500);
/// Room in an attached client's pipe.
const ATTACH_PIPE: usize = 256 * 1024;

impl Inner {
    fn running(&self, id: &str) -> Result<table::Container, RuntimeError> {
        let container = self.table().container(id)?.clone();
        match container.state {
            ContainerState::Running => Ok(container),
            _ => Err(RuntimeError::Failed { operation: "exec", why: format!("container {id} is not running") }),
        }
    }

    pub async fn exec(&self, id: &str, options: ExecOptions) -> Result<Streams, RuntimeError> {
        let (connection, mut streams) = self.begin(id, options).await?;
        streams.exit = Box::pin(async move { exit_code(&connection).await });
        Ok(streams)
    }

    /// Starts a command; the connection tells its end.
    async fn begin(&self, id: &str, options: ExecOptions) -> Result<(Connection, Streams), RuntimeError> {
        let container = self.running(id)?;
        let fail = failed("exec");
        let piped = |wanted: bool| (wanted && !options.tty).then(new_pipe).transpose();
        let (stdin, stdout, stderr) = (
            piped(options.stdin).map_err(&fail)?,
            piped(options.stdout).map_err(&fail)?,
            piped(options.stderr).map_err(&fail)?,
        );
        let request = InitRequest::Exec {
            container: id.to_owned(),
            command: options.command,
            tty: options.tty,
            stdin: stdin.is_some(),
            stdout: stdout.is_some(),
            stderr: stderr.is_some(),
        };
        let theirs = [
            stdin.as_ref().map(|pipe| &pipe.0),
            stdout.as_ref().map(|pipe| &pipe.1),
            stderr.as_ref().map(|pipe| &pipe.1),
        ];
        let theirs: Vec<_> = theirs.into_iter().flatten().map(AsFd::as_fd).collect();
        let connection = self.init(&container.sandbox)?;
        let mut files = match connection.call(&request, &theirs).await.map_err(&fail)? {
            (InitReply::Started, files) => files,
            (InitReply::Failed { message }, _) => return Err(RuntimeError::Invalid(message)),
            _ => return Err(RuntimeError::Failed { operation: "exec", why: "unexpected answer".to_owned() }),
        };
        let pending = Box::pin(std::future::pending());
        let mut streams = Streams { stdin: None, stdout: None, stderr: None, resize: None, exit: pending };
        if options.tty {
            let master = files.pop().ok_or_else(|| fail(io::ErrorKind::UnexpectedEof.into()))?;
            let terminal = Arc::new(Terminal::new(master).map_err(&fail)?);
            streams.stdin = options.stdin.then(|| Box::new(TerminalEnd(terminal.clone())) as Writer);
            streams.stdout = Some(Box::new(TerminalEnd(terminal.clone())));
            streams.resize = Some(self.resizer(terminal));
        } else {
            let reader = |pipe: Option<(OwnedFd, OwnedFd)>| pipe.map(|pipe| reader(pipe.0)).transpose();
            streams.stdin = stdin.map(|pipe| writer(pipe.1)).transpose().map_err(&fail)?;
            streams.stdout = reader(stdout).map_err(&fail)?;
            streams.stderr = reader(stderr).map_err(&fail)?;
        }
        Ok((connection, streams))
    }

    /// A task that passes terminal sizes on, until nobody sends them.
    fn resizer(&self, terminal: Arc<Terminal>) -> tokio::sync::mpsc::Sender<(u16, u16)> {
        let (sender, mut sizes) = tokio::sync::mpsc::channel::<(u16, u16)>(8);
        self.env.tasks.spawn("terminal size", async move {
            while let Some((columns, rows)) = sizes.recv().await {
                if sys::pty::resize(terminal.0.get_ref(), columns, rows).is_err() {
                    return;
                }
            }
        });
        sender
    }

    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput, RuntimeError> {
        let options = ExecOptions { command, stdin: false, stdout: true, stderr: true, tty: false };
        let (connection, streams) = self.begin(id, options).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let run = async {
            let collected =
                async { tokio::join!(collect(streams.stdout, &mut stdout), collect(streams.stderr, &mut stderr)) };
            tokio::pin!(collected);
            let exit = exit_code(&connection);
            tokio::pin!(exit);
            tokio::select! {
                _ = &mut collected => exit.await,
                code = &mut exit => {
                    let _ = self.env.clock.timeout(DRAIN, collected).await;
                    code
                }
            }
        };
        let code = match timeout.filter(|limit| !limit.is_zero()) {
            None => run.await?,
            Some(limit) => match self.env.clock.timeout(limit, run).await {
                Ok(code) => code?,
                Err(_) => {
                    connection.send(&InitRequest::KillExec, &[]).await.map_err(failed("kill the command"))?;
                    return Err(RuntimeError::Timeout(limit));
                }
            },
        };
        Ok(ExecOutput { stdout, stderr, exit_code: code })
    }

    pub async fn attach(&self, id: &str) -> Result<Streams, RuntimeError> {
        let container = self.running(id)?;
        let config = &container.record.config;
        let fail = failed("attach");
        let stdout = new_pipe().map_err(&fail)?;
        let stderr = new_pipe().map_err(&fail)?;
        for pipe in [&stdout, &stderr] {
            // A smaller pipe only means more waiting.
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe.1, ATTACH_PIPE);
        }
        let request = InitRequest::Attach { container: id.to_owned() };
        let connection = self.init(&container.sandbox)?;
        let given = [stdout.1.as_fd(), stderr.1.as_fd()];
        let mut files = match connection.call(&request, &given).await.map_err(&fail)? {
            (InitReply::Attached, files) => files,
            (InitReply::Failed { message }, _) => {
                return Err(RuntimeError::Failed { operation: "attach", why: message });
            }
            _ => return Err(RuntimeError::Failed { operation: "attach", why: "unexpected answer".to_owned() }),
        };
        drop((stdout.1, stderr.1));
        let mut streams = Streams {
            stdin: None,
            stdout: Some(reader(stdout.0).map_err(&fail)?),
            stderr: None,
            resize: None,
            exit: Box::pin(std::future::pending()),
        };
        let mut input_ended = None;
        match (config.tty, files.pop()) {
            (true, Some(master)) => {
                let terminal = Arc::new(Terminal::new(master).map_err(&fail)?);
                streams.stdin = config.stdin.then(|| Box::new(TerminalEnd(terminal.clone())) as Writer);
                streams.resize = Some(self.resizer(terminal));
            }
            (false, stdin) => {
                streams.stderr = Some(reader(stderr.0).map_err(&fail)?);
                if let Some(stdin) = stdin {
                    let (ended, told) = tokio::sync::oneshot::channel();
                    streams.stdin =
                        Some(Box::new(AttachedInput { pipe: pipe_end(stdin).map_err(&fail)?, _ended: ended }));
                    input_ended = Some(told);
                }
            }
            (true, None) => {}
        }
        streams.exit = Box::pin(async move { exit_of_attached(&connection, input_ended).await });
        Ok(streams)
    }

    pub async fn port_forward(&self, sandbox: &str, port: u16) -> Result<(Reader, Writer), RuntimeError> {
        self.table().sandbox(sandbox)?;
        let fail = failed("port forward");
        let connection = self.init(sandbox)?;
        let mut files = match connection.call(&InitRequest::Connect { port }, &[]).await.map_err(&fail)? {
            (InitReply::Connected, files) => files,
            (InitReply::Failed { message }, _) => {
                let why = format!("failed to connect to localhost:{port} inside namespace {sandbox:?}: {message}");
                return Err(RuntimeError::Failed { operation: "port forward", why });
            }
            _ => return Err(RuntimeError::Failed { operation: "port forward", why: "unexpected answer".to_owned() }),
        };
        let stream = files.pop().ok_or_else(|| fail(io::ErrorKind::UnexpectedEof.into()))?;
        let stream = std::net::TcpStream::from(stream);
        stream.set_nonblocking(true).map_err(&fail)?;
        let (reader, writer) = tokio::net::TcpStream::from_std(stream).map_err(&fail)?.into_split();
        Ok((Box::new(reader), Box::new(writer)))
    }
}

async fn exit_code(connection: &Connection) -> Result<i32, RuntimeError> {
    loop {
        match connection.receive::<InitReply>().await.map_err(failed("wait for the command"))?.0 {
            InitReply::Exited { code, .. } => return Ok(code),
            InitReply::Failed { message } => return Err(RuntimeError::Failed { operation: "exec", why: message }),
            _ => {}
        }
    }
}

/// As [`exit_code`]; passes on that the input has ended, since the pod init holds the pipe as well.
async fn exit_of_attached(
    connection: &Connection,
    input_ended: Option<tokio::sync::oneshot::Receiver<()>>,
) -> Result<i32, RuntimeError> {
    let exit = exit_code(connection);
    tokio::pin!(exit);
    if let Some(input_ended) = input_ended {
        tokio::select! {
            code = &mut exit => return code,
            _ = input_ended => {
                connection.send(&InitRequest::InputEnded, &[]).await.map_err(failed("end the input"))?;
            }
        }
    }
    exit.await
}

async fn collect(stream: Option<Reader>, into: &mut Vec<u8>) {
    if let Some(stream) = stream {
        let mut bounded = stream.take(MAX_OUTPUT);
        let _ = bounded.read_to_end(into).await;
        // Read on, so that the command does not end by SIGPIPE.
        let _ = tokio::io::copy(&mut bounded.into_inner(), &mut tokio::io::sink()).await;
    }
}

/// Read end, write end.
fn new_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

fn reader(file: OwnedFd) -> io::Result<Reader> {
    socket::set_nonblocking(&file)?;
    Ok(Box::new(pipe::Receiver::from_owned_fd(file)?))
}

fn writer(file: OwnedFd) -> io::Result<Writer> {
    Ok(Box::new(pipe_end(file)?))
}

fn pipe_end(file: OwnedFd) -> io::Result<pipe::Sender> {
    socket::set_nonblocking(&file)?;
    pipe::Sender::from_owned_fd(file)
}

/// What an attached client writes; tells when it is dropped.
struct AttachedInput {
    pipe: pipe::Sender,
    _ended: tokio::sync::oneshot::Sender<()>,
}

impl AsyncWrite for AttachedInput {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

/// The master of a terminal.
struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    fn new(master: OwnedFd) -> io::Result<Self> {
        socket::set_nonblocking(&master)?;
        // SAFETY: the OwnedFd stays open, and the same, as long as the AsyncFd has it.
        Ok(Terminal(unsafe { AsyncFd::register(master)? }))
    }
}

/// One direction of a terminal.
struct TerminalEnd(Arc<Terminal>);

impl AsyncRead for TerminalEnd {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.0.poll_read_ready(context))?;
            let unfilled = buffer.initialize_unfilled();
            match guard.try_io(|file| Ok(rustix::io::read(file.get_ref(), unfilled)?)) {
                Ok(Ok(read)) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // The last program has closed it.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for TerminalEnd {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.0.poll_write_ready(context))?;
            match guard.try_io(|file| Ok(rustix::io::write(file.get_ref(), bytes)?)) {
                Ok(done) => return Poll::Ready(done),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
