//! A tiny HTTP server that looks like an API server with one pod, whose exec and port-forward do
//! what the tests ask for.

use base::Env;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use streams::server::{self, Forwards, RemoteCommand};
use streams::{Outcome, Refused, Size, Streams, proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

#[derive(Clone)]
pub struct Pretender {
    pub address: SocketAddr,
    pub env: Env,
    /// The requests that were upgraded: method, `Upgrade` and protocol of each.
    pub upgrades: Arc<Mutex<Vec<String>>>,
    /// How many clients of `wait` have left.
    pub left: Arc<Semaphore>,
    /// Upgrades are passed on to that one.
    behind: Option<SocketAddr>,
}

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"default"},
"spec":{"containers":[{"name":"main","image":"x","stdin":true,"tty":true}]},"status":{"phase":"Running"}}"#;
const RESOURCES: &str = r#"{"kind":"APIResourceList","groupVersion":"v1","resources":[
{"name":"pods","singularName":"pod","namespaced":true,"kind":"Pod","verbs":["get","list"],"shortNames":["po"]}]}"#;

impl Pretender {
    pub async fn start() -> Pretender {
        Self::start_before(None).await
    }

    /// One that passes upgrades on to the server at `behind`.
    pub async fn start_before(behind: Option<SocketAddr>) -> Pretender {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pretender = Pretender {
            address,
            env: Env::real(),
            upgrades: Arc::default(),
            left: Arc::new(Semaphore::new(0)),
            behind,
        };
        let server = pretender.clone();
        pretender.env.tasks.spawn("pretender", async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                server.env.clone().tasks.spawn("pretender's connection", async move {
                    let service = service_fn(move |request| {
                        let server = server.clone();
                        async move { Ok::<_, Infallible>(server.answer(request).await) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(socket), service).with_upgrades().await;
                });
            }
        });
        pretender
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if let (Some(behind), Ok(())) = (self.behind, proxy::check(&request)) {
            let onward = Request::builder().uri(request.uri().clone()).header("host", behind.to_string()).body(());
            let socket = TcpStream::connect(behind).await.unwrap();
            let answer = proxy::pass(&mut request, onward.unwrap(), socket, &self.env).await;
            return answer.unwrap().map(Full::from);
        }
        match path.as_str() {
            "/api" => json(r#"{"kind":"APIVersions","versions":["v1"]}"#),
            "/apis" => json(r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[]}"#),
            "/api/v1" => json(RESOURCES),
            "/api/v1/namespaces/default/pods/web" => json(POD),
            "/api/v1/namespaces/default/pods/web/exec" | "/api/v1/namespaces/default/pods/web/attach" => {
                let query = Query::of(&request);
                let upgrade = server::command(&mut request, query.streams, &self.env);
                let left = Arc::clone(&self.left);
                self.upgrade(&request, upgrade, move |command| run(query.command.join(" "), command, left))
            }
            "/api/v1/namespaces/default/pods/web/portforward" => {
                let upgrade = server::forward(&mut request, Ok(vec![80]), &self.env);
                let env = self.env.clone();
                self.upgrade(&request, upgrade, |forwards| forward(forwards, env))
            }
            _ => status(StatusCode::NOT_FOUND, "not here"),
        }
    }

    fn upgrade<S: Send + 'static, F: Future<Output = ()> + Send + 'static>(
        &self,
        request: &Request<Incoming>,
        upgrade: Result<streams::Upgrade<S>, Refused>,
        serve: impl FnOnce(S) -> F + Send + 'static,
    ) -> Response<Full<Bytes>> {
        let upgrade = match upgrade {
            Ok(upgrade) => upgrade,
            Err(refused) => return status(refused.status, &refused.message),
        };
        let chosen = ["sec-websocket-protocol", "x-stream-protocol-version"];
        let chosen = chosen.iter().find_map(|name| upgrade.response.headers().get(*name)).unwrap();
        let line = format!("{} {:?} {:?}", request.method(), request.headers()["upgrade"], chosen);
        self.upgrades.lock().unwrap().push(line.replace('"', ""));
        self.env.tasks.spawn("pretender's session", async move {
            match upgrade.session.await {
                Ok(session) => serve(session).await,
                Err(error) => eprintln!("session: {error}"),
            }
        });
        upgrade.response.map(|()| Full::default())
    }
}

fn json(text: &'static str) -> Response<Full<Bytes>> {
    Response::builder().header("content-type", "application/json").body(Full::from(text)).unwrap()
}

fn status(code: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let text = format!(
        r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":{message:?},"code":{}}}"#,
        code.as_u16()
    );
    Response::builder().status(code).header("content-type", "application/json").body(Full::from(text)).unwrap()
}

#[derive(Default)]
struct Query {
    streams: Streams,
    command: Vec<String>,
}

impl Query {
    fn of(request: &Request<Incoming>) -> Query {
        let mut query = Query::default();
        for (name, value) in
            request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='))
        {
            match name {
                "command" => query.command.push(value.to_owned()),
                "stdin" => query.streams.stdin = value == "true",
                "stdout" => query.streams.stdout = value == "true",
                "stderr" => query.streams.stderr = value == "true",
                "tty" => query.streams.tty = value == "true",
                _ => {}
            }
        }
        query
    }
}

/// The commands that the pretended container knows; without one it is an attach, which echoes.
async fn run(line: String, command: RemoteCommand, left: Arc<Semaphore>) {
    let RemoteCommand { stdin, mut stdout, mut stderr, resizes, finish } = command;
    let outcome = match line.as_str() {
        "cat" | "" => {
            let copied = tokio::io::copy(&mut stdin.unwrap(), stdout.as_mut().unwrap()).await;
            copied.map_or_else(|error| Outcome::Error(error.to_string()), |_| Outcome::Success)
        }
        "both" => {
            stdout.as_mut().unwrap().write_all(b"to stdout\n").await.unwrap();
            stderr.as_mut().unwrap().write_all(b"to stderr\n").await.unwrap();
            Outcome::ExitCode(7)
        }
        "much" => {
            for _ in 0..200 {
                stdout.as_mut().unwrap().write_all(&[b'x'; 10_000]).await.unwrap();
            }
            Outcome::Success
        }
        "size" => {
            let Size { width, height } = resizes.unwrap().next().await.unwrap();
            let text = format!("{width} by {height}, stderr {}\r\n", stderr.is_some());
            stdout.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
            Outcome::Success
        }
        "wait" => {
            finish.gone().wait().await;
            left.add_permits(1);
            Outcome::Success
        }
        other => Outcome::Error(format!("error executing command in container: {other}: not found")),
    };
    drop((stdout, stderr));
    finish.report(&outcome).await;
}

/// Port 80 echoes in capitals, port 81 refuses.
async fn forward(mut forwards: Forwards, env: Env) {
    while let Some(mut forward) = forwards.next().await {
        env.tasks.spawn("pretender's forward", async move {
            if forward.port != 80 {
                let message = format!("failed to connect to localhost:{} inside namespace", forward.port);
                return forward.error.report(&message).await;
            }
            let mut bytes = vec![0; 4096];
            while let Ok(read @ 1..) = forward.input.read(&mut bytes).await {
                bytes[..read].make_ascii_uppercase();
                if forward.output.write_all(&bytes[..read]).await.is_err() {
                    return;
                }
            }
        });
    }
}
