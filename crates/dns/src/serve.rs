//! The loops that take questions from sockets. Whatever can be answered from memory is answered in
//! the loop itself; only questions for others get tasks.

use crate::answer::{Read, Responder, Transport};
use crate::{DnsOptions, put_address};
use base::Env;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

const CONNECTIONS: usize = 1000;
/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);
const LARGEST_QUESTION: usize = 4096;
/// Questions for others that came over UDP and wait for their answers.
const WAITING: usize = 2000;
const LOOK: Duration = Duration::from_secs(10);

pub(crate) async fn udp(responder: Arc<Responder>, socket: Arc<UdpSocket>) {
    let waiting = Arc::new(Semaphore::new(WAITING));
    let mut buffer = vec![0; LARGEST_QUESTION];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // A client that has gone makes the next read fail. Should anything fail for longer,
                // this must not take a core.
                debug!(%error, "cannot read a DNS question");
                responder.env.clock.sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        match responder.read(&buffer[..length], Transport::Udp) {
            Read::Ignore => {}
            Read::Answer(answer) => {
                if let Err(error) = socket.send_to(&answer, client).await {
                    debug!(%client, %error, "cannot send a DNS answer");
                }
            }
            Read::Ask(question) => {
                // With too many waiting the question is dropped: the client asks again.
                let Ok(permit) = waiting.clone().try_acquire_owned() else { continue };
                let (responder, socket) = (responder.clone(), socket.clone());
                responder.env.tasks.clone().spawn("dns question", async move {
                    let answer = responder.ask(question).await;
                    if let Err(error) = socket.send_to(&answer, client).await {
                        debug!(%client, %error, "cannot send a DNS answer");
                    }
                    drop(permit);
                });
            }
        }
    }
}

pub(crate) async fn tcp(responder: Arc<Responder>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // Waiting for a permit leaves further clients in the kernel's queue.
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, client)) => {
                let serving = responder.clone();
                responder.env.tasks.spawn("dns connection", async move {
                    if let Err(error) = connection(&serving, stream).await {
                        debug!(%client, %error, "DNS connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a DNS connection");
                responder.env.clock.sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(responder: &Responder, mut stream: TcpStream) -> io::Result<()> {
    loop {
        let question = read_question(&mut stream);
        let bytes = match responder.env.clock.timeout(IDLE, question).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Ok(()),
        };
        let answer = match responder.read(&bytes, Transport::Tcp) {
            Read::Ignore => return Ok(()),
            Read::Answer(answer) => answer,
            Read::Ask(question) => responder.ask(question).await,
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes(), &answer[..]].concat();
        match responder.env.clock.timeout(IDLE, stream.write_all(&framed)).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
    }
}

async fn read_question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > LARGEST_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Puts the address back when somebody has removed it.
pub(crate) async fn keep_address(env: Env, options: DnsOptions) {
    loop {
        env.clock.sleep(LOOK).await;
        if let Err(error) = put_address(&options) {
            warn!(%error, "cannot put the DNS address back");
        }
    }
}
