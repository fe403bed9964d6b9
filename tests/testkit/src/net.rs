//! Hosts and pods as network namespaces, with servers that say who they are and whom they saw.
//!
//! Nothing here has a name in the system: all of it ends with the handles, whatever the test does.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;
use sys::net::namespace::Namespace;
use sys::net::{Changes, Ipv4Net, Mac, Neighbour, Route, Rtnetlink, Scope, Veth, sysctl};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

const LOOPBACK: u32 = 1;

/// How hosts see each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All on one link, 192.0.2.0/24.
    Switch,
    /// Each behind a router, 192.0.2.N with the router as its only neighbour.
    Router,
}

/// The hosts' surroundings. As 192.0.2.254 it is a client outside the cluster.
pub struct World {
    pub outside: Namespace,
    shape: Shape,
}

pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);

pub struct Host {
    pub namespace: Namespace,
    pub address: Ipv4Addr,
}

impl World {
    pub fn new(shape: Shape) -> Self {
        let outside = Namespace::create().expect("a network namespace: this test needs root");
        inside(&outside, || {
            let mut kernel = Rtnetlink::open().unwrap();
            let mut changes = Changes::new();
            changes.set_up(LOOPBACK);
            if shape == Shape::Switch {
                changes.add_bridge("br0");
            }
            kernel.apply(&changes).unwrap();
            sysctl::set("ipv4/ip_forward", "1").unwrap();
            let (link, prefix) = match shape {
                Shape::Switch => (kernel.link("br0").unwrap().index, 24),
                Shape::Router => (LOOPBACK, 32),
            };
            let mut changes = Changes::new();
            changes.add_address(link, OUTSIDE, prefix, Scope::Global, "");
            kernel.apply(&changes).unwrap();
        });
        World { outside, shape }
    }

    /// The host 192.0.2.N.
    pub fn host(&self, number: u8) -> Host {
        let namespace = Namespace::create().unwrap();
        let address = Ipv4Addr::new(192, 0, 2, number);
        let name = format!("h{number}");
        inside(&self.outside, || {
            let mut kernel = Rtnetlink::open().unwrap();
            let link = join(&mut kernel, &name, address, &namespace);
            let mut changes = Changes::new();
            match self.shape {
                Shape::Switch => _ = changes.set_master(link, kernel.link("br0").unwrap().index),
                Shape::Router => _ = changes.replace_route(&direct(Ipv4Net::host(address), link)),
            }
            kernel.apply(&changes).unwrap();
        });
        let (prefix, shape) = (if self.shape == Shape::Switch { 24 } else { 32 }, self.shape);
        inside(&namespace, || {
            let mut kernel = Rtnetlink::open().unwrap();
            let link = kernel.link("eth0").unwrap().index;
            let mut changes = Changes::new();
            changes.set_up(LOOPBACK).set_up(link).add_address(link, address, prefix, Scope::Global, "");
            if shape == Shape::Router {
                changes.replace_route(&direct(Ipv4Net::host(OUTSIDE), link));
            }
            let default = Route { gateway: Some(OUTSIDE), ..direct(Ipv4Net::ANY, link) };
            changes.replace_route(&default);
            kernel.apply(&changes).unwrap();
        });
        settle(&self.outside, &name);
        Host { namespace, address }
    }
}

impl Host {
    /// A pod linked to this host by hand: for tests of what runs above the pod network.
    pub fn pod(&self, address: Ipv4Addr) -> Namespace {
        let pod = Namespace::create().unwrap();
        let gateway = Ipv4Addr::new(169, 254, 1, 1);
        let name = format!("p{:08x}", address.to_bits());
        inside(&self.namespace, || {
            sysctl::set("ipv4/ip_forward", "1").unwrap();
            let mut kernel = Rtnetlink::open().unwrap();
            let link = join(&mut kernel, &name, address, &pod);
            let mut changes = Changes::new();
            changes.replace_route(&direct(Ipv4Net::host(address), link));
            changes.replace_neighbour(&Neighbour { link, address, mac: Mac::for_address(2, address) });
            kernel.apply(&changes).unwrap();
        });
        inside(&pod, || {
            let mut kernel = Rtnetlink::open().unwrap();
            let link = kernel.link("eth0").unwrap().index;
            let mut changes = Changes::new();
            changes.set_up(LOOPBACK).set_up(link).add_address(link, address, 32, Scope::Global, "");
            changes.replace_neighbour(&Neighbour { link, address: gateway, mac: Mac::for_address(1, address) });
            changes.replace_route(&direct(Ipv4Net::host(gateway), link));
            changes.replace_route(&Route { gateway: Some(gateway), ..direct(Ipv4Net::ANY, link) });
            kernel.apply(&changes).unwrap();
        });
        settle(&self.namespace, &name);
        pod
    }

    /// Sends `network` to the host `via`.
    pub fn route(&self, network: &str, via: Ipv4Addr) {
        inside(&self.namespace, || {
            let mut kernel = Rtnetlink::open().unwrap();
            let link = kernel.link("eth0").unwrap().index;
            let mut changes = Changes::new();
            changes.replace_route(&Route { gateway: Some(via), ..direct(network.parse().unwrap(), link) });
            kernel.apply(&changes).unwrap();
        });
    }
}

fn join(kernel: &mut Rtnetlink, name: &str, address: Ipv4Addr, peer: &Namespace) -> u32 {
    let mut changes = Changes::new();
    changes.add_veth(&Veth {
        name,
        mac: Mac::for_address(1, address),
        mtu: 1500,
        peer_name: "eth0",
        peer_mac: Mac::for_address(2, address),
        peer_namespace: peer.as_fd(),
    });
    kernel.apply(&changes).unwrap();
    kernel.link(name).unwrap().index
}

/// Looking at a link makes the kernel start its queue, if its carrier has just come.
fn settle(namespace: &Namespace, link: &str) {
    inside(namespace, || drop(Rtnetlink::open().unwrap().link(link).unwrap()));
}

fn direct(destination: Ipv4Net, link: u32) -> Route {
    Route { destination, link, gateway: None, source: None, metric: 0 }
}

/// Runs `work` on a thread in the namespace.
pub fn inside<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> T {
    namespace.run(work).expect("a thread in the namespace")
}

/// A TCP and UDP server that answers everyone with its name and the address it saw, such as
/// `web 10.244.0.7`.
pub struct Server {
    _stop: oneshot::Sender<()>,
}

impl Server {
    pub fn start(namespace: &Namespace, name: &str, port: u16) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let name = name.to_owned();
        inside(namespace, move || {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                runtime.block_on(async {
                    let tcp = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await.unwrap();
                    let udp = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await.unwrap();
                    ready.send(()).unwrap();
                    tokio::select! {
                        _ = stopped => {}
                        () = answer_tcp(&tcp, &name) => {}
                        () = answer_udp(&udp, &name) => {}
                    }
                });
            });
        });
        is_ready.recv().expect("the server binds its port");
        Server { _stop: stop }
    }
}

async fn answer_tcp(listener: &tokio::net::TcpListener, name: &str) {
    while let Ok((mut stream, peer)) = listener.accept().await {
        let _ = stream.write_all(format!("{name} {}", peer.ip()).as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn answer_udp(socket: &tokio::net::UdpSocket, name: &str) {
    let mut buffer = [0; 512];
    while let Ok((_, peer)) = socket.recv_from(&mut buffer).await {
        let _ = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer).await;
    }
}

/// A runtime whose threads are in a namespace: what is spawned there sees that host's network.
pub struct Room {
    handle: tokio::runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    ended: std::sync::mpsc::Receiver<()>,
}

impl Room {
    pub fn start(namespace: &Namespace) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, started) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel();
        inside(namespace, move || {
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                sender.send(runtime.handle().clone()).unwrap();
                let _ = runtime.block_on(stopped);
                drop(runtime);
                let _ = end.send(());
            });
        });
        Room { handle: started.recv().unwrap(), stop: Some(stop), ended }
    }

    /// Runs `future` in the namespace (the one that the room was started in) and waits for it.
    pub fn run<F: Future + Send>(&self, namespace: &Namespace, future: F) -> F::Output
    where
        F::Output: Send,
    {
        let handle = &self.handle;
        inside(namespace, || handle.block_on(future))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.ended.recv_timeout(Duration::from_secs(10));
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

/// Connects from the namespace and returns the server's answer.
pub fn ask(from: &Namespace, address: Ipv4Addr, port: u16) -> io::Result<String> {
    inside(from, || ask_here(address, port))
}

/// As [`ask`], from the thread's own namespace.
pub fn ask_here(address: Ipv4Addr, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(SocketAddrV4::new(address, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.flush()?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Sends a datagram from the namespace and returns the server's answer.
pub fn ask_udp(from: &Namespace, address: Ipv4Addr, port: u16) -> io::Result<String> {
    inside(from, || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        ask_from(&socket, address, port)
    })
}

/// Sends a datagram from a socket that is kept, as a client that never stops does.
pub fn ask_from(socket: &UdpSocket, address: Ipv4Addr, port: u16) -> io::Result<String> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((address, port))?;
    socket.send(b"?")?;
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Waits until `done` says so, for at most twenty seconds.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within twenty seconds: {what}");
}
