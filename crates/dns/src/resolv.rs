//! The host's name servers, from its resolv.conf, read again when it changes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tracing::{info, warn};

const PORT: u16 = 53;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// More are never asked.
const SERVERS: usize = 15;

pub(crate) struct Resolvers {
    file: PathBuf,
    /// Where systemd-resolved says whom it asks itself.
    behind_resolved: PathBuf,
    /// Asking ourselves would never end.
    own: Ipv4Addr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: Vec<SocketAddr>,
    looked: Option<Instant>,
    changed: Option<SystemTime>,
}

impl Resolvers {
    pub fn new(file: PathBuf, behind_resolved: PathBuf, own: Ipv4Addr) -> Self {
        Resolvers { file, behind_resolved, own, state: Mutex::default() }
    }

    /// The servers to ask, in order.
    pub fn current(&self, now: Instant) -> Vec<SocketAddr> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.is_none_or(|looked| now - looked >= LOOK) {
            state.looked = Some(now);
            let changed = std::fs::metadata(&self.file).and_then(|metadata| metadata.modified()).ok();
            if changed != state.changed || state.servers.is_empty() {
                state.changed = changed;
                let servers = self.read();
                if servers != state.servers {
                    info!(?servers, "name servers for names outside the cluster");
                    state.servers = servers;
                }
            }
        }
        state.servers.clone()
    }

    /// Puts a server that did not answer last.
    pub fn failed(&self, server: SocketAddr) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.servers.first() == Some(&server) {
            state.servers.rotate_left(1);
        }
    }

    fn read(&self) -> Vec<SocketAddr> {
        let text = match std::fs::read_to_string(&self.file) {
            Ok(text) => text,
            Err(error) => {
                warn!(file = %self.file.display(), %error, "cannot read the host's name servers");
                return vec![];
            }
        };
        let mut servers = parse(&text, self.own);
        // systemd-resolved may itself have been told to ask us: go to those behind it.
        if servers.iter().all(|server| is_resolved(*server))
            && let Ok(text) = std::fs::read_to_string(&self.behind_resolved)
        {
            servers = parse(&text, self.own);
        }
        servers
    }
}

fn is_resolved(server: SocketAddr) -> bool {
    [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 54)].iter().any(|stub| server.ip() == IpAddr::V4(*stub))
}

fn parse(text: &str, own: Ipv4Addr) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    let addresses = lines.filter_map(|word| word.parse::<IpAddr>().ok()).filter(|address| *address != IpAddr::V4(own));
    addresses.map(|address| SocketAddr::new(address, PORT)).take(SERVERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_and_our_own_address_is_left_out() {
        let text = "# comment\nsearch a b\nnameserver 192.0.2.1\n nameserver  2001:db8::1 # x\nnameserver 10.96.0.10\nnameserver x\nnameserver\n";
        let servers = parse(text, Ipv4Addr::new(10, 96, 0, 10));
        let expected: Vec<SocketAddr> = vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(servers, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn systemd_resolved_is_passed_by_and_changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (file, behind) = (folder.path().join("resolv.conf"), folder.path().join("behind"));
        std::fs::write(&file, "nameserver 127.0.0.53\n").unwrap();
        let resolvers = Resolvers::new(file.clone(), behind.clone(), Ipv4Addr::new(10, 96, 0, 10));
        let clock = base::Clock::real();
        let first = |resolvers: &Resolvers| resolvers.current(clock.instant()).first().map(|server| server.to_string());
        assert_eq!(first(&resolvers).unwrap(), "127.0.0.53:53", "better than nothing");
        std::fs::write(&behind, "nameserver 192.0.2.53\n").unwrap();
        let again = Resolvers::new(file.clone(), behind, Ipv4Addr::new(10, 96, 0, 10));
        assert_eq!(first(&again).unwrap(), "192.0.2.53:53");
        std::fs::write(&file, "nameserver 192.0.2.7\nnameserver 192.0.2.8\n").unwrap();
        std::fs::File::open(&file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(first(&again).unwrap(), "192.0.2.53:53", "not at once");
        clock.sleep(LOOK).await;
        assert_eq!(first(&again).unwrap(), "192.0.2.7:53");
        again.failed("192.0.2.7:53".parse().unwrap());
        assert_eq!(first(&again).unwrap(), "192.0.2.8:53", "the one that failed comes last");
    }
}
