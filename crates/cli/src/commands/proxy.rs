//! `kubectl proxy`: the API server at a local port or socket, with the caller's own credentials,
//! behind filters of hosts, paths and methods; and a folder of files beside it.

use crate::command::{Command, Done};
use crate::failure::{Failure, Outcome};
use crate::flags::{Args, Flag, boolean, duration, int, text};
use crate::output::line;
use crate::session::Session;
use bytes::Bytes;
use client::{BoxIo, Https};
use http::header::{AUTHORIZATION, CONNECTION, HOST};
use regex::Regex;
use std::path::{Component, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const FLAGS: &[Flag] = &[
    text(
        "accept-hosts",
        r"^localhost$,^127\.0\.0\.1$,^\[::1\]$",
        "Regular expression for hosts that the proxy should accept.",
    ),
    text("accept-paths", "^.*", "Regular expression for paths that the proxy should accept."),
    text("address", "127.0.0.1", "The IP address on which to serve on."),
    text("api-prefix", "/", "Prefix to serve the proxied API under."),
    boolean(
        "append-server-path",
        "If true, enables automatic path appending of the kube context server path to each request.",
    ),
    boolean(
        "disable-filter",
        "If true, disable request filtering in the proxy. This is dangerous, and can leave you vulnerable to XSRF attacks, when used with an accessible port.",
    ),
    duration("keepalive", "0s", "keepalive specifies the keep-alive period for an active network connection."),
    int("port", "8001", "The port on which to run the proxy. Set to 0 to pick a random port.").short('p'),
    text(
        "reject-methods",
        "^$",
        "Regular expression for HTTP methods that the proxy should reject (example --reject-methods='POST,PUT,PATCH').",
    ),
    text(
        "reject-paths",
        "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach",
        "Regular expression for paths that the proxy should reject. Paths specified here will be rejected even accepted by --accept-paths.",
    ),
    text("unix-socket", "", "Unix socket on which to run the proxy.").short('u'),
    text("www", "", "Also serve static files from the given directory under the specified prefix.").short('w'),
    text("www-prefix", "/static/", "Prefix to serve static files under, if static file directory is specified.")
        .short('P'),
];

pub static COMMAND: Command = Command {
    name: "proxy",
    usage: "proxy [--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix] [options]",
    short: "Run a proxy to the Kubernetes API server",
    examples: "# To proxy all of the Kubernetes API and nothing else\nkubectl proxy --api-prefix=/\n\n# Run a proxy to the Kubernetes API server on port 8011, serving static content from ./local/www/\nkubectl proxy --port=8011 --www=./local/www/",
    flags: &[FLAGS],
    run: Some(run),
    ..Command::EMPTY
};

/// A request's head may be this long, as the server has it.
const MAX_HEAD: usize = 1 << 20;
const MAX_CONNECTIONS: usize = 256;
const MAX_HEADERS: usize = 128;

struct Filter {
    accept_hosts: Vec<Regex>,
    accept_paths: Vec<Regex>,
    reject_paths: Vec<Regex>,
    reject_methods: Vec<Regex>,
}

impl Filter {
    fn of(args: &Args) -> Outcome<Self> {
        let all = |flag: &str| {
            let part = |text: &str| Regex::new(text).map_err(|why| Failure::message(format!("--{flag}: {why}")));
            args.text(flag).split(',').map(part).collect::<Outcome<Vec<_>>>()
        };
        Ok(Filter {
            accept_hosts: all("accept-hosts")?,
            accept_paths: all("accept-paths")?,
            reject_paths: all("reject-paths")?,
            reject_methods: all("reject-methods")?,
        })
    }

    fn accepts(&self, method: &str, path: &str, host: &str) -> bool {
        let any = |list: &[Regex], text: &str| list.iter().any(|one| one.is_match(text));
        let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
        let host = port.map_or(host, |at| &host[..at]);
        !any(&self.reject_paths, path)
            && !any(&self.reject_methods, method)
            && any(&self.accept_paths, path)
            && any(&self.accept_hosts, host)
    }
}

struct Proxy {
    https: Arc<Https>,
    /// None: everything passes.
    filter: Option<Filter>,
    api_prefix: String,
    /// A folder and where it shows.
    files: Option<(PathBuf, String)>,
    /// The path of the server's own URL, and whether it goes before others.
    server_path: String,
}

fn slashed(text: &str) -> String {
    let begun = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
    if begun.ends_with('/') { begun } else { format!("{begun}/") }
}

fn run(session: &Session, args: Args) -> Done<'_> {
    Box::pin(async move {
        let unix = args.text("unix-socket");
        if !unix.is_empty() && args.has("port") {
            return Err(Failure::message("cannot set --unix-socket and --port at the same time"));
        }
        let https = session.shared_https().await?;
        let rest = https.server().split_once("://").map_or("", |(_, rest)| rest).to_owned();
        let server_path = rest.find('/').map(|at| rest[at..].trim_end_matches('/').to_owned()).unwrap_or_default();
        let www = Some(args.text("www")).filter(|folder| !folder.is_empty());
        let proxy = Arc::new(Proxy {
            https,
            filter: if args.bool("disable-filter") { None } else { Some(Filter::of(&args)?) },
            api_prefix: slashed(args.text("api-prefix")),
            files: www.map(|folder| (PathBuf::from(folder), slashed(args.text("www-prefix")))),
            server_path,
        });
        let failed = |why: std::io::Error| Failure::message(why.to_string());
        let slots = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
        if !unix.is_empty() {
            let listener = tokio::net::UnixListener::bind(unix).map_err(failed)?;
            line(&format!("Starting to serve on {unix}"));
            loop {
                let (stream, _) = listener.accept().await.map_err(failed)?;
                serve(session, &proxy, &slots, stream).await;
            }
        }
        let address = (args.text("address"), u16::try_from(args.int("port")).unwrap_or_default());
        let listener = tokio::net::TcpListener::bind(address).await.map_err(|why| {
            Failure::message(format!("listen tcp {}:{}: bind: {}", address.0, address.1, crate::session::io_text(&why)))
        })?;
        line(&format!("Starting to serve on {}", listener.local_addr().map_err(failed)?));
        loop {
            let (stream, _) = listener.accept().await.map_err(failed)?;
            serve(session, &proxy, &slots, stream).await;
        }
    })
}

/// Serves a connection beside the others, once there is room for it.
async fn serve<S>(session: &Session, proxy: &Arc<Proxy>, slots: &Arc<tokio::sync::Semaphore>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(slot) = slots.clone().acquire_owned().await else { return };
    let proxy = proxy.clone();
    session.env.tasks.spawn("proxied connection", async move {
        // A connection that breaks concerns nobody but its two ends.
        let _ = proxy.connection(stream).await;
        drop(slot);
    });
}

impl Proxy {
    /// One request a connection: its head is read and judged, the rest is passed on as it comes, so
    /// that watches and upgrades work like anything else.
    async fn connection<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) -> std::io::Result<()> {
        let mut head = Vec::new();
        let end = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if head.len() > MAX_HEAD || stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        };
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&head[..end]).is_err() {
            return answer(&mut stream, 400, "text/plain", b"Bad Request").await;
        }
        let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
        let path = target.split('?').next().unwrap_or_default();
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default()
        };
        if self.filter.as_ref().is_some_and(|filter| !filter.accepts(method, path, header("host"))) {
            return answer(&mut stream, 403, "text/plain; charset=utf-8", b"Forbidden\n").await;
        }
        if let Some((folder, prefix)) = &self.files
            && let Some(name) = path.strip_prefix(prefix.as_str())
        {
            return file(&mut stream, folder, name).await;
        }
        let Some(inner) = target.strip_prefix(self.api_prefix.as_str()) else {
            return answer(&mut stream, 404, "text/plain; charset=utf-8", b"404 page not found\n").await;
        };
        let upgrades = !header("upgrade").is_empty();
        let mut far = match self.https.connect_http1().await {
            Ok(far) => far,
            Err(why) => return answer(&mut stream, 502, "text/plain", why.to_string().as_bytes()).await,
        };
        let first = self.head(method, inner, &request, upgrades).await?;
        far.write_all(&first).await?;
        far.write_all(&head[end..]).await?;
        exchange(&mut stream, &mut far).await
    }

    /// The request's head as the server gets it: with credentials, without the caller's own.
    async fn head(
        &self,
        method: &str,
        inner: &str,
        request: &httparse::Request<'_, '_>,
        upgrades: bool,
    ) -> std::io::Result<Bytes> {
        let server = self.https.server();
        let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        let mut head = format!("{method} {}/{inner} HTTP/1.1\r\nhost: {authority}\r\n", self.server_path).into_bytes();
        for header in request.headers.iter() {
            let is = |name: &http::HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
            let private = is(&HOST) || is(&AUTHORIZATION) || header.name.eq_ignore_ascii_case("origin");
            if private || is(&CONNECTION) && !upgrades {
                continue;
            }
            head.extend_from_slice(header.name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(header.value);
            head.extend_from_slice(b"\r\n");
        }
        if !upgrades {
            head.extend_from_slice(b"connection: close\r\n");
        }
        let credentials = self.https.authorization().await.map_err(std::io::Error::other)?;
        if let Some(value) = credentials {
            head.extend_from_slice(b"authorization: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        Ok(Bytes::from(head))
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(near: &mut S, far: &mut BoxIo) -> std::io::Result<()> {
    tokio::io::copy_bidirectional(near, far).await.map(|_| ())
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, code: u16, kind: &str, body: &[u8]) -> std::io::Result<()> {
    let reason = http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {code} {reason}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

/// A file of the folder, or its `index.html`; never one outside of it.
async fn file<S: AsyncWrite + Unpin>(stream: &mut S, folder: &std::path::Path, name: &str) -> std::io::Result<()> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
    let inner: PathBuf =
        PathBuf::from(&name).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let mut path = folder.join(inner);
    if path.is_dir() {
        path.push("index.html");
    }
    let (Ok(root), Ok(real)) = (folder.canonicalize(), path.canonicalize()) else {
        return answer(stream, 404, "text/plain; charset=utf-8", b"404 page not found\n").await;
    };
    if !real.starts_with(root) {
        return answer(stream, 403, "text/plain; charset=utf-8", b"Forbidden\n").await;
    }
    let kind = match real.extension().and_then(|end| end.to_str()) {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    answer(stream, 200, kind, &tokio::fs::read(&real).await?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_passes() {
        let args = Args::parse("kubectl proxy", FLAGS.to_vec(), &[]).unwrap();
        let filter = Filter::of(&args).unwrap();
        let rows = [
            ("GET", "/api/v1/pods", "localhost:8001", true),
            ("GET", "/api/v1/pods", "127.0.0.1", true),
            ("GET", "/api/v1/pods", "[::1]:80", true),
            ("GET", "/api/v1/pods", "evil.example", false),
            ("POST", "/api/v1/namespaces/a/pods/b/exec", "localhost", false),
            ("POST", "/api/v1/namespaces/a/pods/b/attach", "localhost", false),
            ("GET", "/api/v1/namespaces/a/pods/b/log", "localhost", true),
        ];
        for (method, path, host, passes) in rows {
            assert_eq!(filter.accepts(method, path, host), passes, "{method} {path} {host}");
        }
    }
}
