//! Hints by the annotation `service.kubernetes.io/topology-mode: Auto`: endpoints are shared out among
//! the zones by what each has of the nodes' CPU, as long as no zone gets much less than its share.
//! Pure.

use super::{Endpoint, Hint, Hints, Standing};
use crate::views::NodeView;
use client::Item;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An endpoint may get so much more traffic than all would if it were even.
const OVERLOAD: f64 = 0.2;

/// The part of all CPU that each zone has.
pub type Shares = BTreeMap<String, f64>;

/// None: a node does not say, or there are not two zones.
pub fn shares(nodes: &[Arc<Item<NodeView>>]) -> Option<Shares> {
    let mut cpu: BTreeMap<&str, i64> = BTreeMap::new();
    for NodeView { zone, cpu: own, .. } in nodes.iter().map(|node| &node.view).filter(|node| serves(node)) {
        if zone.is_empty() || *own == 0 {
            return None;
        }
        *cpu.entry(zone).or_default() += own;
    }
    let total: i64 = cpu.values().sum();
    let share = |own: i64| own as f64 / total as f64;
    (cpu.len() >= 2).then(|| cpu.into_iter().map(|(zone, own)| (zone.to_owned(), share(own))).collect())
}

fn serves(node: &NodeView) -> bool {
    node.is_ready() && !node.is_control_plane
}

/// Whether the shares may have changed with the node.
pub fn is_other(old: Option<&NodeView>, new: Option<&NodeView>) -> bool {
    let part = |node: Option<&NodeView>| {
        let node = node.filter(|node| serves(node))?;
        Some((node.zone.clone(), node.cpu))
    };
    part(old) != part(new)
}

/// The zones that standing slices of one address type hint at, by address.
pub fn standing_hints(standing: &[Standing], address_type: &str) -> BTreeMap<String, String> {
    let slices = standing.iter().filter(|it| it.slice.address_type == address_type);
    let endpoints = slices.flat_map(|it| &it.slice.endpoints);
    let hinted = endpoints.filter_map(|endpoint| {
        let [hint] = &endpoint.hints.as_ref()?.for_zones[..] else { return None };
        Some((endpoint.addresses.first()?.clone(), hint.name.clone()))
    });
    hinted.collect()
}

/// What a zone is to get.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Allocation {
    minimum: usize,
    maximum: usize,
    desired: f64,
}

/// Hints every ready endpoint at a zone, where it can at that of `standing`, so that little changes.
///
/// # Errors
/// Why none is hinted, in upstream's words.
pub fn hint(
    endpoints: &mut [&mut Endpoint],
    shares: Option<&Shares>,
    standing: &BTreeMap<String, String>,
) -> Result<(), String> {
    let mut ready: Vec<&mut &mut Endpoint> =
        endpoints.iter_mut().filter(|endpoint| endpoint.conditions.ready == Some(true)).collect();
    let allocations = allocate(shares, ready.len())?;
    let kept: Vec<Option<&str>> = ready
        .iter()
        .map(|endpoint| {
            let zone = standing.get(endpoint.addresses.first()?)?;
            allocations.contains_key(zone.as_str()).then_some(zone.as_str())
        })
        .collect();
    let own: Vec<Option<String>> = ready.iter().map(|endpoint| endpoint.zone.clone()).collect();
    let own: Vec<Option<&str>> = own.iter().map(Option::as_deref).collect();
    let fits = |zones: &[&str]| {
        let count = |zone: &str| zones.iter().filter(|one| **one == zone).count();
        allocations.iter().all(|(zone, wanted)| (wanted.minimum..=wanted.maximum).contains(&count(zone)))
    };
    let nothing = vec![None; kept.len()];
    let zones = match share_out(&allocations, &kept, &own)? {
        zones if fits(&zones) => zones,
        _ => share_out(&allocations, &nothing, &own)?,
    };
    for (endpoint, zone) in ready.iter_mut().zip(zones) {
        endpoint.hints = Some(Hints { for_zones: vec![Hint { name: zone.to_owned() }], for_nodes: Vec::new() });
    }
    Ok(())
}

fn allocate(shares: Option<&Shares>, count: usize) -> Result<BTreeMap<&str, Allocation>, String> {
    let shares =
        shares.ok_or("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes")?;
    let numbers = format!("({count} endpoints, {} zones)", shares.len());
    if shares.len() > count {
        return Err(format!("Insufficient number of endpoints {numbers}"));
    }
    let (mut allocations, mut left) = (BTreeMap::new(), count);
    for (zone, share) in shares {
        let desired = share * count as f64;
        let minimum = (desired * (1.0 / (1.0 + OVERLOAD))).ceil() as usize;
        left = left.checked_sub(minimum).ok_or_else(|| {
            format!(
                "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                 {numbers}"
            )
        })?;
        let desired = desired.max(minimum as f64);
        allocations.insert(zone.as_str(), Allocation { minimum, maximum: minimum, desired });
    }
    allocations.values_mut().for_each(|wanted| wanted.maximum += left);
    Ok(allocations)
}

/// A zone for each endpoint: the kept one; else its own, unless another needs it more.
fn share_out<'z>(
    allocations: &BTreeMap<&'z str, Allocation>,
    kept: &[Option<&'z str>],
    own: &[Option<&'z str>],
) -> Result<Vec<&'z str>, String> {
    let no_zone = "One or more endpoints do not have a zone specified";
    let mut zones = Vec::with_capacity(own.len());
    for (kept, own) in kept.iter().zip(own) {
        zones.push(kept.or(*own).ok_or(no_zone)?);
    }
    let (mut giving, mut receiving) = moves(allocations, &zones);
    for (zone, _) in zones.iter_mut().zip(kept).filter(|(_, kept)| kept.is_none()) {
        let Some(gives) = giving.get_mut(*zone).filter(|gives| **gives > 0) else { continue };
        let Some((needy, needs)) = receiving.iter_mut().find(|(_, needs)| **needs > 0) else { break };
        *gives -= 1;
        *needs -= 1;
        *zone = *needy;
    }
    Ok(zones)
}

type Moves<'z> = BTreeMap<&'z str, usize>;

/// How many endpoints zones give away, and how many they get.
fn moves<'z>(allocations: &BTreeMap<&'z str, Allocation>, zones: &[&'z str]) -> (Moves<'z>, Moves<'z>) {
    let mut surplus: BTreeMap<&str, f64> = allocations.iter().map(|(zone, wanted)| (*zone, -wanted.desired)).collect();
    zones.iter().for_each(|zone| *surplus.entry(*zone).or_default() += 1.0);
    let (mut giving, mut receiving) = (Moves::new(), Moves::new());
    loop {
        let most = surplus.iter().max_by(|one, other| one.1.total_cmp(other.1)).map(|(zone, much)| (*zone, *much));
        let least = surplus.iter().min_by(|one, other| one.1.total_cmp(other.1)).map(|(zone, much)| (*zone, -*much));
        let (Some((rich, gives)), Some((poor, needs))) = (most, least) else { break };
        if (gives < 1.0 && needs < 1.0) || gives < 0.5 || needs < 0.5 {
            break;
        }
        *giving.entry(rich).or_default() += 1;
        *receiving.entry(poor).or_default() += 1;
        *surplus.entry(rich).or_default() -= 1.0;
        *surplus.entry(poor).or_default() += 1.0;
    }
    (giving, receiving)
}
