//! A small HTTP/1.1 server: a thread per connection, keep-alive, bodies with a length.

use crate::eaters;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const MAX_HEAD: u64 = 64 << 10;
const MAX_BODY: usize = 16 << 20;

pub struct Options {
    pub ready_after: Duration,
    pub greeting: String,
    started: Instant,
    unhealthy: AtomicBool,
    eaten: Mutex<Vec<Vec<Vec<u8>>>>,
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Options {
    pub fn new() -> Self {
        Options {
            ready_after: Duration::ZERO,
            greeting: String::new(),
            started: Instant::now(),
            unhealthy: AtomicBool::new(false),
            eaten: Mutex::default(),
        }
    }
}

pub fn serve(port: u16, options: Arc<Options>) -> io::Result<()> {
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|_| TcpListener::bind(("0.0.0.0", port)))?;
    println!("serving on {port}");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let options = options.clone();
            std::thread::spawn(move || connection(&stream, &options));
        }
    });
    Ok(())
}

fn connection(stream: &TcpStream, options: &Options) -> io::Result<()> {
    let client = stream.peer_addr()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let (status, body) = answer(&request, client, options);
        println!("{} {} {status} {client}", request.method, request.path);
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        let _ = write!(head, "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n", body.len());
        if close {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut reply = head.into_bytes();
        if request.method != "HEAD" {
            reply.extend_from_slice(&body);
        }
        let mut stream = stream;
        stream.write_all(&reply)?;
        if close {
            break;
        }
    }
    Ok(())
}

fn answer(request: &Request, client: SocketAddr, options: &Options) -> (u16, Vec<u8>) {
    let path = request.path.split('?').next().unwrap_or("");
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let text = |status: u16, text: &str| (status, format!("{text}\n").into_bytes());
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    match parts.as_slice() {
        ["hostname"] => text(200, &hostname()),
        ["echo"] => (200, request.body.clone()),
        ["env"] => {
            (200, std::env::vars().fold(String::new(), |all, (name, value)| all + &format!("{name}={value}\n")).into())
        }
        ["healthz"] if options.unhealthy.load(Ordering::Relaxed) => text(500, "unhealthy"),
        ["healthz"] => text(200, "ok"),
        ["unhealthy"] => {
            options.unhealthy.store(true, Ordering::Relaxed);
            text(200, "unhealthy from now on")
        }
        ["ready"] if options.started.elapsed() < options.ready_after => text(503, "not ready"),
        ["ready"] => text(200, "ok"),
        ["status", status] => text(u16::try_from(number(status)).unwrap_or(400).clamp(200, 599), "as asked"),
        ["delay", milliseconds] => {
            std::thread::sleep(Duration::from_millis(number(milliseconds)));
            text(200, "ok")
        }
        ["exit", code] => std::process::exit(i32::try_from(number(code)).unwrap_or(1)),
        ["memory", mebibytes] => {
            let eaten = eaters::memory(usize::try_from(number(mebibytes)).unwrap_or(0));
            options.eaten.lock().unwrap_or_else(PoisonError::into_inner).push(eaten);
            text(200, "ok")
        }
        ["cpu", seconds] => {
            eaters::cpu(1, Some(Duration::from_secs(number(seconds))));
            text(200, "ok")
        }
        _ => (200, about(request, client, options).into_bytes()),
    }
}

fn about(request: &Request, client: SocketAddr, options: &Options) -> String {
    let mut text = String::new();
    if !options.greeting.is_empty() {
        let _ = writeln!(text, "{}", options.greeting);
    }
    let _ = writeln!(text, "hostname: {}", hostname());
    let _ = writeln!(text, "request: {} {}", request.method, request.path);
    // An IPv4 client of an IPv6 socket is shown as what it is.
    let _ = writeln!(text, "client: {}", SocketAddr::new(client.ip().to_canonical(), client.port()));
    for (name, value) in &request.headers {
        let _ = writeln!(text, "header: {name}: {value}");
    }
    text
}

impl Request {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
    }
}

/// The next request; none when the client has no more.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.by_ref().take(MAX_HEAD);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request = Request { method, path, headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        request.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0usize);
    request.body = vec![0; length.min(MAX_BODY)];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        404 => "Not Found",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "As Asked",
    }
}
