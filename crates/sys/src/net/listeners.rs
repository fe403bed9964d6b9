//! Who listens: the TCP ports on which a process's network namespace takes connections.

use std::collections::BTreeSet;
use std::io;

/// The state of a listening socket, as the kernel prints it.
const LISTEN: &str = "0A";

/// Ports that are listened on, over IPv4 or IPv6, where the process `pid` lives. Asks the kernel
/// alone: no server sees anything of it.
///
/// # Errors
/// The process is gone.
pub fn listening_ports(pid: i32) -> io::Result<BTreeSet<u16>> {
    let mut ports = parse(&std::fs::read_to_string(format!("/proc/{pid}/net/tcp"))?);
    // Absent where IPv6 is switched off.
    if let Ok(table) = std::fs::read_to_string(format!("/proc/{pid}/net/tcp6")) {
        ports.extend(parse(&table));
    }
    Ok(ports)
}

/// Rows are `number: address:port remote:port state …`, in hexadecimal.
fn parse(table: &str) -> BTreeSet<u16> {
    let row = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (_, port) = words.next()?.rsplit_once(':')?;
        let listens = words.nth(1)? == LISTEN;
        listens.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    };
    table.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listeners_count() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ports = listening_ports(std::process::id() as i32).unwrap();
        assert!(ports.contains(&listener.local_addr().unwrap().port()));
        assert!(!ports.contains(&client.local_addr().unwrap().port()));
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert!(listening_ports(i32::MAX).is_err());
    }
}
