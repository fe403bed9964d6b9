//! One pod's link: a veth pair, the pod's end with the address and a default route, the host's end
//! with a route to the pod. About ten messages to the kernel.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use sys::net::{Changes, Error, Ipv4Net, Mac, Neighbour, Route, Rtnetlink, Scope, Veth, namespace, tag};

/// Every pod's next hop. It need not exist: the pod has a neighbour entry for it.
pub(crate) const NEXT_HOP: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const LOOPBACK: u32 = 1;
const HOST_END: u8 = 1;
const POD_END: u8 = 2;
pub(crate) const DEFAULT_MTU: u32 = 1500;
const INTERFACE: &str = "eth0";

pub(crate) struct Attachment {
    pub link: String,
    pub address: Ipv4Addr,
    /// What the host calls itself towards the pod.
    pub source: Option<Ipv4Addr>,
    pub mtu: u32,
    pub netns: PathBuf,
}

/// The links of an instance start like this.
pub(crate) fn link_prefix(instance: &str) -> String {
    format!("kv{:04x}", tag(instance))
}

pub(crate) fn link_name(instance: &str, address: Ipv4Addr) -> String {
    format!("{}{:08x}", link_prefix(instance), address.to_bits())
}

/// The address that a link is named after.
pub(crate) fn address_of_link(instance: &str, name: &str) -> Option<Ipv4Addr> {
    let address = name.strip_prefix(&link_prefix(instance))?;
    if address.len() == 8 { u32::from_str_radix(address, 16).ok().map(Ipv4Addr::from) } else { None }
}

pub(crate) fn attach(pod: &Attachment) -> Result<(), Error> {
    let (host_mac, pod_mac) = (Mac::for_address(HOST_END, pod.address), Mac::for_address(POD_END, pod.address));
    let mut host = Rtnetlink::open()?;
    let mut inside = Rtnetlink::open_in(&pod.netns)?;
    create(pod, host_mac, pod_mac, &mut host, &mut inside)?;
    let link = host.link(&pod.link)?.index;
    let mut changes = Changes::new();
    changes.replace_neighbour(&Neighbour { link, address: pod.address, mac: pod_mac });
    changes.replace_route(&host_route(link, pod));
    host.apply(&changes)?;

    let link = inside.link(INTERFACE)?.index;
    let direct = Route { destination: Ipv4Net::host(NEXT_HOP), link, gateway: None, source: None, metric: 0 };
    let mut changes = Changes::new();
    changes.set_up(LOOPBACK).set_up(link).add_address(link, pod.address, 32, Scope::Global, "");
    changes.replace_neighbour(&Neighbour { link, address: NEXT_HOP, mac: host_mac });
    changes.replace_route(&direct);
    changes.replace_route(&Route { destination: Ipv4Net::ANY, gateway: Some(NEXT_HOP), ..direct });
    inside.apply(&changes)
}

/// Whether packets to the pod leave the host. Its end of the pair has its carrier only once the
/// pod's end is up, and the kernel starts the queue when it finds the time, up to a second later;
/// what is sent until then is lost. Since Linux 6.8 looking at the link makes it do so at once.
pub(crate) fn is_running(link: &str) -> Result<bool, Error> {
    Ok(Rtnetlink::open()?.link(link)?.running)
}

/// Makes the pair, unless this pod has it already.
fn create(
    pod: &Attachment,
    mac: Mac,
    peer_mac: Mac,
    host: &mut Rtnetlink,
    inside: &mut Rtnetlink,
) -> Result<(), Error> {
    let namespace = namespace::open(&pod.netns)?;
    let mut changes = Changes::new();
    changes.add_veth(&Veth {
        name: &pod.link,
        mac,
        mtu: pod.mtu,
        peer_name: INTERFACE,
        peer_mac,
        peer_namespace: namespace.as_fd(),
    });
    match host.apply(&changes) {
        Err(error) if error.already_exists() => {}
        outcome => return outcome,
    }
    if inside.link(INTERFACE).is_ok_and(|link| link.mac == Some(peer_mac)) && host.link(&pod.link).is_ok() {
        return Ok(());
    }
    // Left over from a pod that had this address before.
    let mut removal = Changes::new();
    removal.delete_link(host.link(&pod.link)?.index);
    host.apply(&removal)?;
    host.apply(&changes)
}

fn host_route(link: u32, pod: &Attachment) -> Route {
    Route { destination: Ipv4Net::host(pod.address), link, gateway: None, source: pod.source, metric: 0 }
}

/// Takes the pod off the network. The link itself goes with the pod's namespace: deleting it here
/// would wait for the kernel about thirty times as long as all the rest.
pub(crate) fn detach(link: &str, address: Ipv4Addr) -> Result<(), Error> {
    let mut host = Rtnetlink::open()?;
    let index = match host.link(link) {
        Ok(link) => link.index,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut changes = Changes::new();
    changes.delete_route(&Route {
        destination: Ipv4Net::host(address),
        link: index,
        gateway: None,
        source: None,
        metric: 0,
    });
    match host.apply(&changes) {
        Err(error) if !error.is_absent() => Err(error),
        _ => Ok(()),
    }
}
