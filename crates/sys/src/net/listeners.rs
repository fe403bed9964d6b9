//! Who listens: the TCP ports on which a process's network namespace takes connections.

use super::namespace::run_in;
use super::netlink::{DUMP, Error, Messages, Socket};
use nix::sys::socket::SockProtocol;
use std::collections::BTreeSet;
use std::path::PathBuf;

const DIAG_BY_FAMILY: u16 = 20;
/// The bit of the state of a listening socket, `TCP_LISTEN`.
const LISTENING: u32 = 1 << 10;
/// The same as `/proc` prints it.
const PRINTED: &str = "0A";

/// Looks again and again at one namespace. Asks the kernel alone: no server sees anything of it.
pub struct Listeners {
    socket: Socket,
    pid: i32,
}

impl Listeners {
    /// Where the process `pid` lives.
    ///
    /// # Errors
    /// The process is gone, or its namespace cannot be entered.
    pub fn of(pid: i32) -> Result<Self, Error> {
        let namespace = PathBuf::from(format!("/proc/{pid}/ns/net"));
        let socket = run_in(&namespace, || Socket::open(SockProtocol::NetlinkSockDiag))??;
        Ok(Listeners { socket, pid })
    }

    /// Ports that are listened on, over IPv4 or IPv6.
    ///
    /// # Errors
    /// The kernel cannot tell.
    pub fn ports(&mut self) -> Result<BTreeSet<u16>, Error> {
        let mut ports = BTreeSet::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut messages = Messages::default();
            let mut header = vec![family as u8, libc::IPPROTO_TCP as u8, 0, 0];
            header.extend(LISTENING.to_ne_bytes());
            // Of any address: the part that names one socket stays empty.
            header.resize(header.len() + 48, 0);
            messages.push("cannot list sockets", DIAG_BY_FAMILY, DUMP, &header, |_| {});
            match self.socket.query(&messages, |payload| ports.extend(port(payload))) {
                Err(error) if error.is_absent() => return Ok(self.printed()),
                done => done?,
            }
        }
        Ok(ports)
    }

    /// For a kernel without the module that answers. It prints connections too, and looks through the
    /// whole machine's for them: milliseconds.
    fn printed(&self) -> BTreeSet<u16> {
        let table = |name| std::fs::read_to_string(format!("/proc/{}/net/{name}", self.pid)).unwrap_or_default();
        ["tcp", "tcp6"].into_iter().flat_map(|name| parse(&table(name))).collect()
    }
}

/// Of family, state, timer and retransmissions (a byte each), and then the port.
fn port(payload: &[u8]) -> Option<u16> {
    payload.get(4..6).map(|port| u16::from_be_bytes([port[0], port[1]]))
}

/// Rows are `number: address:port remote:port state …`, in hexadecimal.
fn parse(table: &str) -> BTreeSet<u16> {
    let row = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (_, port) = words.next()?.rsplit_once(':')?;
        let listens = words.nth(1)? == PRINTED;
        listens.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::namespace::Namespace;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn only_listeners_count() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("[::1]:0").ok();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut listeners = Listeners::of(std::process::id() as i32).unwrap();
        for ports in [listeners.ports().unwrap(), listeners.printed()] {
            assert!(ports.contains(&listener.local_addr().unwrap().port()));
            assert!(other.as_ref().is_none_or(|other| ports.contains(&other.local_addr().unwrap().port())));
            assert!(!ports.contains(&client.local_addr().unwrap().port()));
        }
    }

    #[test]
    fn it_looks_where_the_process_lives() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let namespace = Namespace::create().unwrap();
        let there = || Listeners::of(nix::unistd::gettid().as_raw()).unwrap();
        let mut elsewhere = namespace.run(there).unwrap();
        assert!(!elsewhere.ports().unwrap().contains(&listener.local_addr().unwrap().port()));
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert!(Listeners::of(i32::MAX).is_err());
    }
}
