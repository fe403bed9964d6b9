//! UDP flows that lead to endpoints which are gone. TCP clients notice; a UDP client that never
//! stops sending would be sent there for ever.

use crate::plan::{Backend, Front, Place};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use sys::net::Error;
use sys::net::conntrack::{Connection, Conntrack};

const UDP: u8 = 17;

/// What each changed front may lead to now.
type Allowed = BTreeMap<(Place, u16), BTreeSet<(Ipv4Addr, u16)>>;

/// Forgets the flows to endpoints that the changed fronts no longer have. Returns how many.
pub(crate) fn forget(changed: &BTreeMap<Front, Option<Backend>>) -> Result<usize, Error> {
    let allowed = allowed(changed);
    if allowed.is_empty() {
        return Ok(0);
    }
    let mut kernel = Conntrack::open()?;
    let stale = kernel.list(|flow| is_stale(&allowed, flow))?;
    kernel.forget(&stale)?;
    Ok(stale.len())
}

fn allowed(changed: &BTreeMap<Front, Option<Backend>>) -> Allowed {
    let mut allowed = Allowed::new();
    for (front, backend) in changed.iter().filter(|(front, _)| front.protocol == UDP) {
        let targets = allowed.entry((front.place, front.port)).or_default();
        if let Some(Backend::Endpoints { endpoints, .. }) = backend {
            targets.extend(endpoints.iter().map(|endpoint| (endpoint.address, endpoint.port)));
        }
    }
    allowed
}

fn is_stale(allowed: &Allowed, flow: &Connection) -> bool {
    let (wanted, answered) = (flow.original.destination, flow.reply.source);
    // A flow that was not translated leads nowhere else: it was not ours.
    if flow.original.protocol != UDP || wanted == answered {
        return false;
    }
    let targets = allowed.get(&(Place::Address(wanted.0), wanted.1)).or_else(|| allowed.get(&(Place::Node, wanted.1)));
    targets.is_some_and(|targets| !targets.contains(&answered))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Endpoint, Masquerade};
    use sys::net::conntrack::Tuple;

    const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 5);
    const OLD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);
    const NEW: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 6);

    fn flow(protocol: u8, to: (Ipv4Addr, u16), answered_by: (Ipv4Addr, u16)) -> Connection {
        let client = (Ipv4Addr::new(10, 244, 0, 9), 4000);
        Connection {
            original: Tuple { protocol, source: client, destination: to },
            reply: Tuple { protocol, source: answered_by, destination: client },
        }
    }

    #[test]
    fn only_udp_flows_to_former_endpoints_are_stale() {
        let endpoints = vec![Endpoint { address: NEW, port: 53, local: true }];
        let backend = Backend::Endpoints { masquerade: Masquerade::Foreign, affinity: None, endpoints };
        let front = |place, port| Front { place, protocol: UDP, port, inside: false };
        let changed =
            BTreeMap::from([(front(Place::Address(SERVICE), 53), Some(backend)), (front(Place::Node, 30053), None)]);
        let allowed = allowed(&changed);
        let node = Ipv4Addr::new(192, 0, 2, 1);
        let cases = [
            (flow(UDP, (SERVICE, 53), (OLD, 53)), true, "an endpoint that is gone"),
            (flow(UDP, (SERVICE, 53), (NEW, 53)), false, "one that is there"),
            (flow(UDP, (SERVICE, 54), (OLD, 53)), false, "another port"),
            (flow(6, (SERVICE, 53), (OLD, 53)), false, "TCP"),
            (flow(UDP, (node, 30053), (OLD, 53)), true, "a node port without endpoints"),
            (flow(UDP, (node, 30053), (node, 30053)), false, "not translated"),
        ];
        for (flow, stale, what) in cases {
            assert_eq!(is_stale(&allowed, &flow), stale, "{what}");
        }
    }
}
