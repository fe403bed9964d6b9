//! A registry with one small image, on a host's loopback: as much of one as a pull needs.

use cluster_tests::kutter::Kutter;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const PATIENCE: Duration = Duration::from_millis(20);

pub struct Registry {
    pub address: String,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Media type and content, by path.
type Shelf = BTreeMap<String, (&'static str, Vec<u8>)>;

impl Registry {
    /// Serves `data:v1`, an image whose one layer is what lies in `content`.
    pub fn start(kutter: &Kutter, content: &Path) -> Self {
        let listener = kutter.inside(|| TcpListener::bind("127.0.0.1:0").unwrap());
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (shelf, ended) = (shelf(content), Arc::new(AtomicBool::new(false)));
        let stop = ended.clone();
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    // A client that goes away is its own affair.
                    Ok((stream, _)) => drop(answer(stream, &shelf)),
                    Err(_) => std::thread::sleep(PATIENCE),
                }
            }
        });
        Registry { address, ended, thread: Some(thread) }
    }
}

fn run(program: &str, words: &[&str], at: &Path) -> Vec<u8> {
    let output = Command::new(program).args(words).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    output.stdout
}

fn digest(work: &Path, bytes: &[u8]) -> String {
    std::fs::write(work.join("hashed"), bytes).unwrap();
    let said = String::from_utf8(run("sha256sum", &["hashed"], work)).unwrap();
    format!("sha256:{}", said.split(' ').next().unwrap())
}

fn shelf(content: &Path) -> Shelf {
    let work = tempfile::tempdir().unwrap();
    let layer = run("tar", &["--create", "--owner=0", "--group=0", "."], content);
    let hash = |bytes: &[u8]| digest(work.path(), bytes);
    let architecture = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let rootfs = json!({"type": "layers", "diff_ids": [hash(&layer)]});
    let config = json!({"architecture": architecture, "os": "linux", "config": {}, "rootfs": rootfs}).to_string();
    let part = |kind: &str, bytes: &[u8]| -> Value {
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": hash(bytes), "size": bytes.len()})
    };
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": part("config.v1+json", config.as_bytes()),
        "layers": [part("layer.v1.tar", &layer)]})
        .to_string()
        .into_bytes();
    let blob = |bytes: &[u8]| format!("/v2/data/blobs/{}", hash(bytes));
    Shelf::from([
        ("/v2/".to_owned(), ("application/json", b"{}".to_vec())),
        ("/v2/data/manifests/v1".to_owned(), (MANIFEST, manifest.clone())),
        (format!("/v2/data/manifests/{}", hash(&manifest)), (MANIFEST, manifest)),
        (blob(config.as_bytes()), ("application/octet-stream", config.into_bytes())),
        (blob(&layer), ("application/octet-stream", layer)),
    ])
}

fn answer(mut stream: TcpStream, shelf: &Shelf) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, (kind, body)) = match shelf.get(path) {
        Some(found) => ("200 OK", found.clone()),
        None => ("404 Not Found", ("application/json", b"{}".to_vec())),
    };
    let length = body.len();
    let reply =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(reply.as_bytes())?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(&body) }
}
