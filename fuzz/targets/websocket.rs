//! A whole WebSocket connection of `exec`: the handshake, then frames from a client that may say anything.
#![no_main]

use base::{Env, Timestamp};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use std::convert::Infallible;
use streams::{Outcome, Streams, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

const PROTOCOLS: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", "v4.base64.channel.k8s.io"];
const STREAMS: Streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };

fuzz_target!(|data: &[u8]| {
    let Some((protocol, frames)) = data.split_first() else { return };
    let protocol = PROTOCOLS[usize::from(*protocol) % PROTOCOLS.len()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(connection(protocol, &masked(frames)));
});

/// Clients must mask what they send: zeroes change nothing, so that frames stay readable in seeds.
fn masked(frames: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), frames);
    while let [first, length, after @ ..] = rest {
        let extended = match length & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((extra, after)) = after.split_at_checked(extended) else { break };
        let mut bytes = extra.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        if extended == 0 {
            bytes = usize::from(length & 0x7f);
        }
        out.extend_from_slice(&[*first, length | 0x80]);
        out.extend_from_slice(extra);
        out.extend_from_slice(&[0; 4]);
        let (payload, after) = after.split_at(bytes.min(after.len()));
        out.extend_from_slice(payload);
        rest = after;
    }
    out
}

async fn connection(protocol: &str, frames: &[u8]) {
    let env = Env::simulated(1, Timestamp::UNIX_EPOCH);
    let (mut near, far) = duplex(256 << 10);
    let head = format!(
        "GET /exec HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: {protocol}\r\n\r\n"
    );
    let (ended, over) = tokio::sync::oneshot::channel::<()>();
    let ended = std::sync::Mutex::new(Some(ended));
    let service = service_fn(|mut request| {
        let upgrade = server::command(&mut request, STREAMS, &env);
        let ended = ended.lock().ok().and_then(|mut ended| ended.take());
        let (parts, session) = match upgrade {
            Ok(upgrade) => (upgrade.response, Some(upgrade.session)),
            Err(_) => (http::Response::new(()), None),
        };
        if let Some(session) = session {
            env.tasks.spawn("command", async move {
                if let Ok(mut command) = session.await {
                    if let Some(stdin) = &mut command.stdin {
                        let _ = stdin.read_to_end(&mut Vec::new()).await;
                    }
                    drop((command.stdin, command.stdout));
                    command.finish.report(&Outcome::ExitCode(0)).await;
                }
                drop(ended);
            });
        }
        async move { Ok::<_, Infallible>(parts.map(|()| Empty::<bytes::Bytes>::new())) }
    });
    let server =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades();
    let client = async {
        let _ = near.write_all(head.as_bytes()).await;
        let _ = near.write_all(frames).await;
        let _ = near.shutdown().await;
        let _ = tokio::io::copy(&mut near, &mut tokio::io::sink()).await;
        let _ = over.await;
    };
    let _ = tokio::join!(server, client);
}
