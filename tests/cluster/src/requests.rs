//! Requests to what runs in the cluster, each over a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

/// `GET path`, from the calling thread's network namespace: the status and the body.
pub fn get(address: &str, port: u16, path: &str) -> Result<(u16, String), String> {
    let target: Ipv4Addr = address.parse().map_err(|_| format!("{address:?} is no address"))?;
    let wrong = |error: std::io::Error| format!("{address}:{port}: {error}");
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((target, port)), PATIENCE).map_err(wrong)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(wrong)?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).map_err(wrong)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(wrong)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no HTTP answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(|| format!("no HTTP status: {head:?}"))?, body.to_owned()))
}
