//! Our client against our server, both transports.

use crate::pretender::Pretender;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use streams::client::{self, Command, Forwarder};
use streams::{Outcome, Size, StreamError, Streams, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

const BOTH: [Transport; 2] = [Transport::Spdy, Transport::WebSocket];
const OUTPUT: Streams = Streams { stdin: false, stdout: true, stderr: true, tty: false };

fn request(pretender: &Pretender, rest: &str) -> Request<()> {
    let path = format!("/api/v1/namespaces/default/pods/web/{rest}");
    Request::builder().uri(path).header("host", pretender.address.to_string()).body(()).unwrap()
}

async fn exec(
    pretender: &Pretender,
    command: &str,
    streams: Streams,
    transport: Transport,
) -> Result<Command, StreamError> {
    let Streams { stdin, stdout, stderr, tty } = streams;
    let rest = format!("exec?command={command}&stdin={stdin}&stdout={stdout}&stderr={stderr}&tty={tty}");
    let socket = TcpStream::connect(pretender.address).await.unwrap();
    client::command(socket, request(pretender, &rest), streams, transport, &pretender.env).await
}

async fn all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn output_and_exit_code_come_back() {
    let pretender = Pretender::start().await;
    for transport in BOTH {
        let mut command = exec(&pretender, "both", OUTPUT, transport).await.unwrap();
        assert_eq!(all(command.stdout.as_mut().unwrap()).await, "to stdout\n");
        assert_eq!(all(command.stderr.as_mut().unwrap()).await, "to stderr\n");
        assert_eq!(command.result.await.unwrap(), Outcome::ExitCode(7), "{transport:?}");
        let command = exec(&pretender, "no-such", OUTPUT, transport).await.unwrap();
        let Outcome::Error(message) = command.result.await.unwrap() else { panic!("{transport:?}") };
        assert_eq!(message, "Internal error occurred: error executing command in container: no-such: not found");
    }
}

#[tokio::test]
async fn much_input_is_echoed_and_its_end_seen() {
    let pretender = Pretender::start().await;
    for transport in BOTH {
        let streams = Streams { stdin: true, stdout: true, ..Streams::default() };
        let mut command = exec(&pretender, "cat", streams, transport).await.unwrap();
        let sent: String = (0..100_000).map(|number| format!("{number}\n")).collect();
        let (mut stdin, mut stdout) = (command.stdin.take().unwrap(), command.stdout.take().unwrap());
        let send = async {
            stdin.write_all(sent.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
            drop(stdin);
        };
        let (got, ()) = tokio::join!(all(&mut stdout), send);
        assert!(got == sent, "{transport:?}: {} of {}", got.len(), sent.len());
        assert_eq!(command.result.await.unwrap(), Outcome::Success);
    }
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    let pretender = Pretender::start().await;
    for transport in BOTH {
        let mut command = exec(&pretender, "much", OUTPUT, transport).await.unwrap();
        pretender.env.clock.sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(all(command.stdout.as_mut().unwrap()).await.len(), 2_000_000, "{transport:?}");
        assert_eq!(command.result.await.unwrap(), Outcome::Success);
    }
}

#[tokio::test]
async fn a_terminal_learns_its_size_and_has_no_stderr() {
    let pretender = Pretender::start().await;
    for transport in BOTH {
        let streams = Streams { tty: true, ..OUTPUT };
        let mut command = exec(&pretender, "size", streams, transport).await.unwrap();
        assert!(command.stderr.is_none());
        command.resize.as_mut().unwrap().send(Size { width: 100, height: 40 }).await.unwrap();
        assert_eq!(all(command.stdout.as_mut().unwrap()).await, "100 by 40, stderr false\r\n", "{transport:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    let pretender = Pretender::start().await;
    for transport in BOTH {
        let command = exec(&pretender, "wait", OUTPUT, transport).await.unwrap();
        drop(command);
    }
    let left = pretender.left.acquire_many(2);
    let waited = pretender.env.clock.timeout(std::time::Duration::from_secs(10), left).await;
    drop(waited.expect("the server learns that both have left").unwrap());
}

async fn forwarder(pretender: &Pretender, transport: Transport) -> Forwarder {
    let socket = TcpStream::connect(pretender.address).await.unwrap();
    client::forward(socket, request(pretender, "portforward"), transport, &pretender.env).await.unwrap()
}

#[tokio::test]
async fn connections_are_forwarded_side_by_side_and_failures_reported() {
    let pretender = Pretender::start().await;
    forward_through(&pretender).await;
}

/// The connections' ways lead through a server that passes them on.
#[tokio::test]
async fn a_proxy_is_not_noticed() {
    let behind = Pretender::start().await;
    let pretender = Pretender::start_before(Some(behind.address)).await;
    forward_through(&pretender).await;
    for transport in BOTH {
        let mut command = exec(&pretender, "both", OUTPUT, transport).await.unwrap();
        assert_eq!(all(command.stdout.as_mut().unwrap()).await, "to stdout\n");
        assert_eq!(command.result.await.unwrap(), Outcome::ExitCode(7), "{transport:?}");
        let socket = TcpStream::connect(pretender.address).await.unwrap();
        let wrong = Request::builder().uri("/nowhere").header("host", "x").body(()).unwrap();
        let refused = client::command(socket, wrong, OUTPUT, transport, &pretender.env).await.err().unwrap();
        assert!(
            matches!(&refused, StreamError::Refused { status, body } if status.as_u16() == 404 && body.contains("not here"))
        );
    }
    assert_eq!(behind.upgrades.lock().unwrap().len(), 4);
    assert!(pretender.upgrades.lock().unwrap().is_empty());
}

async fn forward_through(pretender: &Pretender) {
    for transport in BOTH {
        let forwarder = forwarder(pretender, transport).await;
        let mut first = forwarder.connect(80).await.unwrap();
        let mut second = forwarder.connect(80).await.unwrap();
        let refused = forwarder.connect(81).await.unwrap();
        for (connection, text) in [(&mut second, "second"), (&mut first, "first")] {
            connection.data.write_all(text.as_bytes()).await.unwrap();
            connection.data.shutdown().await.unwrap();
            assert_eq!(all(&mut connection.data).await, text.to_uppercase(), "{transport:?}");
        }
        assert_eq!(first.error.await, None);
        let message = refused.error.await;
        assert_eq!(message.as_deref(), Some("failed to connect to localhost:81 inside namespace"), "{transport:?}");
    }
}

/// As the clients of Python and JavaScript do it: two channels per port of the query, no SPDY inside.
#[tokio::test]
async fn ports_are_forwarded_over_channels_too() {
    let pretender = Pretender::start().await;
    let socket = TcpStream::connect(pretender.address).await.unwrap();
    let uri = format!("ws://{}/api/v1/namespaces/default/pods/web/portforward", pretender.address);
    let mut request = uri.into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "v4.channel.k8s.io".parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(request, socket).await.unwrap();
    socket.send(Message::Binary(b"\x00loud".as_slice().into())).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        heard.push(socket.next().await.unwrap().unwrap().into_data().to_vec());
    }
    assert_eq!(heard, [b"\x00\x50\x00".as_slice(), b"\x01\x50\x00", b"\x00LOUD"]);
}

#[tokio::test]
async fn what_cannot_be_a_stream_is_refused_with_a_reason() {
    let pretender = Pretender::start().await;
    let cases = [
        ("GET", vec![], 400, "Upgrade request required"),
        ("POST", vec![("connection", "Upgrade"), ("upgrade", "h2c")], 400, "Upgrade request required"),
        (
            "POST",
            vec![
                ("connection", "Upgrade"),
                ("upgrade", "SPDY/3.1"),
                ("x-stream-protocol-version", "v9.channel.k8s.io"),
            ],
            403,
            "unable to negotiate protocol",
        ),
        ("GET", vec![("connection", "upgrade"), ("upgrade", "websocket")], 400, "missing Sec-WebSocket-Key"),
    ];
    for (method, headers, code, text) in cases {
        let mut socket = TcpStream::connect(pretender.address).await.unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let path = "/api/v1/namespaces/default/pods/web/exec?stdout=true";
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 2000];
        let read = socket.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(text), "{answer}");
    }
    let socket = TcpStream::connect(pretender.address).await.unwrap();
    let wrong = Request::builder().uri("/nowhere").header("host", "x").body(()).unwrap();
    let refused = client::command(socket, wrong, OUTPUT, Transport::WebSocket, &pretender.env).await.err().unwrap();
    assert!(
        matches!(&refused, StreamError::Refused { status, body } if status.as_u16() == 404 && body.contains("not here"))
    );
}
