//! A registry for tests: answers as a closure says and remembers what it was asked.
#![allow(clippy::unwrap_used)]

use super::Parts;
use crate::digest::Digest;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub host: String,
    pub authorization: String,
    pub range: String,
    pub body: String,
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection ends after that much of the body.
    pub cut: usize,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, headers: Vec::new(), body: body.into(), cut: usize::MAX }
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

pub struct Fake {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    ended: Arc<AtomicBool>,
}

impl Fake {
    pub fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Fake { address: listener.local_addr().unwrap(), asked: Arc::default(), ended: Arc::default() };
        let (asked, ended, answer) = (fake.asked.clone(), fake.ended.clone(), Arc::new(answer));
        let accept = move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (asked, answer) = (asked.clone(), answer.clone());
                base::tasks::thread("answer", move || serve(&stream, &asked, &*answer)).unwrap();
            }
        };
        base::tasks::thread("fake registry", accept).unwrap();
        fake
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method == method && asked.path.contains(path)).count()
    }

    pub fn image(&self) -> String {
        format!("{}/a/b:1", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the listener up to see it.
        let _ = TcpStream::connect(self.address);
    }
}

/// The image `a/b` as a registry has it.
pub fn serve_parts(parts: &Parts, asked: &Asked) -> Reply {
    let path = asked.path.split('?').next().unwrap();
    let found = path.strip_prefix("/v2/a/b/").and_then(|path| parts.files.get(path));
    let Some((media_type, bytes)) = found else {
        return Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#);
    };
    let digest = Digest::of(bytes).to_string();
    let reply =
        match asked.range.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse::<usize>().ok()) {
            Some(from) => Reply::new(206, &bytes[from..]),
            None => Reply::new(200, bytes.clone()),
        };
    reply.with("Content-Type", *media_type).with("Docker-Content-Digest", digest)
}

fn serve(stream: &TcpStream, asked: &Mutex<Vec<Asked>>, answer: &Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let mut request = Asked { method: words.next()?.to_owned(), path: words.next()?.to_owned(), ..Asked::default() };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = value.to_owned(),
            "host" => request.host = value.to_owned(),
            "range" => request.range = value.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    let reply = answer(&request);
    let bodiless = request.method == "HEAD";
    asked.lock().unwrap().push(request);
    let mut head =
        format!("HTTP/1.1 {} x\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = stream;
    stream.write_all((head + "\r\n").as_bytes()).ok()?;
    if !bodiless {
        stream.write_all(&reply.body[..reply.cut.min(reply.body.len())]).ok()?;
    }
    Some(())
}
