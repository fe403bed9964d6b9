//! Finds devices for claims on a node: every request of every claim gets its devices, no device two
//! claims, and the constraints of the claims hold. The first solution in order of pools, slices and
//! devices is taken.
//!
//! The search goes back wherever it gets stuck, as upstream's does, but takes devices of one request
//! in order only: the same devices the other way round are the same solution.

use super::pools::{self, Candidate, Pool, Slices};
use crate::cluster::{Cluster, DeviceClaimView, DeviceId, Property, Request, Wanted};
use crate::node::Node;
use client::cache::Item;
use expressions::device::{self, Device};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Upstream's number of devices that a claim can have.
const MAX_DEVICES: usize = 32;
/// Steps after which the search is given up.
const MAX_STEPS: usize = 50_000;

const TIMED_OUT: &str = "timed out trying to allocate devices";
const INVALID_POOLS: &str = "invalid resource pools were encountered";

pub type Claim = Arc<Item<DeviceClaimView>>;

/// A device that a claim gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// `request`, or `request/alternative`.
    pub request: String,
    pub class: String,
    pub id: DeviceId,
    pub is_admin: bool,
}

/// What a claim gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    pub picks: Vec<Pick>,
    /// The classes of its requests, or of the alternatives that were chosen, with their names.
    pub classes: Vec<(String, String)>,
    /// Where each device can be used.
    pub nodes: Vec<crate::cluster::Nodes>,
}

/// Why there is no solution.
enum Stop {
    /// In upstream's words.
    Error(String),
    /// The claim would get too many devices; an alternative may need fewer.
    TooMany,
}

type Step = Result<bool, Stop>;

/// How far the search has come. `wanted` is the alternative, `from` the first device to look at.
#[derive(Clone, Copy, Default)]
struct At {
    claim: usize,
    request: usize,
    wanted: usize,
    count: usize,
    from: usize,
}

struct Search<'s> {
    cluster: &'s Cluster,
    claims: &'s [Claim],
    taken: &'s BTreeSet<DeviceId>,
    pools: Vec<Pool<'s>>,
    candidates: Vec<Candidate<'s>>,
    /// Which claims have the candidate so far.
    holders: Vec<Vec<usize>>,
    /// By claim, request and alternative: which candidates its selectors take, as far as known.
    matches: Vec<Vec<Vec<Vec<Option<bool>>>>>,
    /// By claim, request and alternative: all devices of a request that wants all.
    all: Vec<Vec<Vec<Vec<usize>>>>,
    /// By claim: what was picked, as request, alternative and candidate.
    picks: Vec<Vec<(usize, usize, usize)>>,
    chosen: Vec<Vec<usize>>,
    steps: usize,
}

/// # Errors
/// Why these claims cannot be allocated on the node, in upstream's words.
pub fn allocate(
    cluster: &Cluster,
    claims: &[Claim],
    slices: &Slices,
    taken: &BTreeSet<DeviceId>,
    node: &Node,
) -> Result<Option<Vec<Given>>, String> {
    let (pools, candidates) = pools::gather(slices, node, taken);
    let mut search = Search {
        cluster,
        claims,
        taken,
        holders: vec![Vec::new(); candidates.len()],
        matches: per_wanted(claims, || vec![None; candidates.len()]),
        all: per_wanted(claims, Vec::new),
        picks: vec![Vec::new(); claims.len()],
        chosen: claims.iter().map(|claim| vec![0; claim.view.requests.len()]).collect(),
        steps: 0,
        pools,
        candidates,
    };
    match search.prepare().and_then(|()| search.next(At::default(), false)) {
        Ok(true) => Ok(Some(search.given())),
        Ok(false) if search.pools.iter().any(|pool| pool.is_invalid) => Err(INVALID_POOLS.to_owned()),
        Ok(false) | Err(Stop::TooMany) => Ok(None),
        Err(Stop::Error(why)) => Err(why),
    }
}

fn per_wanted<T>(claims: &[Claim], make: impl Fn() -> T) -> Vec<Vec<Vec<T>>> {
    let of_request = |request: &Request| request.wanted.iter().map(|_| make()).collect();
    claims.iter().map(|claim| claim.view.requests.iter().map(of_request).collect()).collect()
}

fn is_all(wanted: &Wanted) -> bool {
    wanted.allocation_mode == "All"
}

impl<'s> Search<'s> {
    fn wanted(&self, at: At) -> &'s Wanted {
        &self.claims[at.claim].view.requests[at.request].wanted[at.wanted]
    }

    /// How many devices the request wants.
    fn needed(&self, at: At) -> usize {
        let wanted = self.wanted(at);
        if is_all(wanted) { self.all[at.claim][at.request][at.wanted].len() } else { wanted.count }
    }

    /// Finds out what "all" is, and whether any claim wants more than there can be.
    fn prepare(&mut self) -> Result<(), Stop> {
        for (claim, item) in self.claims.iter().enumerate() {
            let mut least = 0;
            for (request, one) in item.view.requests.iter().enumerate() {
                let mut fewest = usize::MAX;
                for wanted in 0..one.wanted.len() {
                    let at = At { claim, request, wanted, ..At::default() };
                    if is_all(self.wanted(at)) {
                        self.all[claim][request][wanted] = self.all_of(at)?;
                    }
                    fewest = fewest.min(self.needed(at));
                }
                least += fewest;
            }
            if least > MAX_DEVICES {
                return Err(Stop::Error(format!(
                    "claim {}: number of requested devices {least} exceeds the claim limit of {MAX_DEVICES}",
                    item.key
                )));
            }
        }
        Ok(())
    }

    fn all_of(&mut self, at: At) -> Result<Vec<usize>, Stop> {
        if let Some(pool) = self.pools.iter().find(|pool| !pool.is_usable()) {
            let state = if pool.is_incomplete { "being updated" } else { "invalid" };
            let (key, request) = (&self.claims[at.claim].key, self.name_of(at));
            return Err(Stop::Error(format!(
                "claim {key}, request {request}: asks for all devices, but resource pool {} is currently {state}",
                pool.name
            )));
        }
        let mut all = Vec::new();
        for candidate in 0..self.candidates.len() {
            if self.is_selected(at, candidate)? {
                all.push(candidate);
            }
        }
        Ok(all)
    }

    /// As errors call a request.
    fn name_of(&self, at: At) -> &'s str {
        let request = &self.claims[at.claim].view.requests[at.request];
        if request.is_choice { &self.wanted(at).name } else { &request.name }
    }

    fn next(&mut self, at: At, is_chosen: bool) -> Step {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Stop::Error(TIMED_OUT.to_owned()));
        }
        let Some(claim) = self.claims.get(at.claim) else { return Ok(true) };
        let Some(request) = claim.view.requests.get(at.request) else {
            return match self.next(At { claim: at.claim + 1, ..At::default() }, false) {
                // An earlier claim may leave this one an alternative of fewer devices.
                Err(Stop::TooMany) => Ok(false),
                other => other,
            };
        };
        if request.is_choice && !is_chosen {
            return self.choose(at, request.wanted.len());
        }
        let needed = self.needed(at);
        if is_all(self.wanted(at)) && needed == 0 {
            return Ok(false);
        }
        if at.count >= needed {
            return self.next(At { claim: at.claim, request: at.request + 1, ..At::default() }, false);
        }
        if self.picks[at.claim].len() + needed - at.count > MAX_DEVICES {
            return Err(Stop::TooMany);
        }
        if is_all(self.wanted(at)) {
            let candidate = self.all[at.claim][at.request][at.wanted][at.count];
            return Ok(self.is_free(at, candidate) && self.try_one(at, candidate, at.from)?);
        }
        for candidate in at.from..self.candidates.len() {
            let usable = self.pools[self.candidates[candidate].pool].is_usable();
            if usable
                && self.is_free(at, candidate)
                && self.is_selected(at, candidate)?
                && self.try_one(at, candidate, candidate + 1)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The first of several alternatives with which everything after it works out as well.
    fn choose(&mut self, at: At, count: usize) -> Step {
        let mut all_too_many = true;
        for wanted in 0..count {
            match self.next(At { wanted, ..at }, true) {
                Err(Stop::TooMany) => continue,
                Ok(true) => {
                    self.chosen[at.claim][at.request] = wanted;
                    return Ok(true);
                }
                Ok(false) => all_too_many = false,
                Err(other) => return Err(other),
            }
        }
        if all_too_many { Err(Stop::TooMany) } else { Ok(false) }
    }

    /// Goes on with a device taken; gives it back where that leads nowhere.
    fn try_one(&mut self, at: At, candidate: usize, from: usize) -> Step {
        if !self.fits(at, candidate)? {
            return Ok(false);
        }
        let (pool, device) = (self.candidates[candidate].pool, self.candidates[candidate].device);
        pools::consume(&mut self.pools[pool].left, device);
        self.holders[candidate].push(at.claim);
        self.picks[at.claim].push((at.request, at.wanted, candidate));
        let done = self.next(At { count: at.count + 1, from, ..at }, true);
        if !matches!(done, Ok(true)) {
            self.picks[at.claim].pop();
            self.holders[candidate].pop();
            pools::give_back(&mut self.pools[pool].left, device);
        }
        done
    }

    /// Whether nobody has the device; an administrator may have it beside others, but once.
    fn is_free(&self, at: At, candidate: usize) -> bool {
        let holders = &self.holders[candidate];
        match self.wanted(at).admin_access {
            true => !holders.contains(&at.claim),
            false => holders.is_empty() && !self.taken.contains(&self.candidates[candidate].id),
        }
    }

    /// Counters, taints and constraints.
    fn fits(&self, at: At, candidate: usize) -> Step {
        let Candidate { id, device, pool, .. } = &self.candidates[candidate];
        if !device.consumes.is_empty() && !pools::suffices(&self.pools[*pool].left, device) {
            return Ok(false);
        }
        let wanted = self.wanted(at);
        let rules = self.cluster.taint_rules.list();
        let rules: Vec<_> = rules.iter().filter(|rule| rule.view.is_about(id)).collect();
        let mut taints = device.taints.iter().chain(rules.iter().map(|rule| &rule.view.taint));
        if taints.any(|taint| taint.is_hard() && !taint.is_tolerated(&wanted.tolerations)) {
            return Ok(false);
        }
        let fits = self.meets_constraints(at, candidate);
        if !fits && is_all(wanted) {
            let (key, request) = (&self.claims[at.claim].key, self.name_of(at));
            return Err(Stop::Error(format!(
                "claim {key}, request {request}: cannot add device {id} because a claim constraint would not be satisfied"
            )));
        }
        Ok(fits)
    }

    fn meets_constraints(&self, at: At, candidate: usize) -> bool {
        let view = &self.claims[at.claim].view;
        let concerns = |names: &[String], request: usize, wanted: usize| {
            let request = &view.requests[request];
            let is_named = |name: &String| match name.split_once('/') {
                None => *name == request.name,
                Some((whole, part)) => {
                    request.is_choice && whole == request.name && part == request.wanted[wanted].name
                }
            };
            names.is_empty() || names.iter().any(is_named)
        };
        let value = |candidate: usize, name: &str| -> Option<&'s Property> {
            let Candidate { id, device, .. } = &self.candidates[candidate];
            device.attribute(&id.driver, name)
        };
        view.constraints.iter().filter(|one| concerns(&one.requests, at.request, at.wanted)).all(|constraint| {
            let (name, must_match) = match (&constraint.match_attribute, &constraint.distinct_attribute) {
                (Some(name), _) => (name, true),
                (None, Some(name)) => (name, false),
                (None, None) => return false,
            };
            let Some(own) = value(candidate, name) else { return false };
            let others = self.picks[at.claim].iter();
            let mut others = others.filter(|(request, wanted, _)| concerns(&constraint.requests, *request, *wanted));
            others.all(|(_, _, other)| (value(*other, name) == Some(own)) == must_match)
        })
    }

    /// Whether the selectors of the class and of the request take the device.
    fn is_selected(&mut self, at: At, candidate: usize) -> Step {
        if let Some(known) = self.matches[at.claim][at.request][at.wanted][candidate] {
            return Ok(known);
        }
        let matches = !self.candidates[candidate].device.has_conditions && self.ask_selectors(at, candidate)?;
        self.matches[at.claim][at.request][at.wanted][candidate] = Some(matches);
        Ok(matches)
    }

    fn ask_selectors(&self, at: At, candidate: usize) -> Step {
        let (key, wanted) = (&self.claims[at.claim].key, self.wanted(at));
        let Some(class) = self.cluster.device_classes.get("", &wanted.class) else {
            let (request, name) = (self.name_of(at), &wanted.class);
            return Err(Stop::Error(format!(
                "claim {key}, request {request}: could not retrieve device class {name}: \
                 deviceclass.resource.k8s.io {name:?} not found"
            )));
        };
        let Candidate { id, device, .. } = &self.candidates[candidate];
        let seen = Device {
            driver: &id.driver,
            attributes: device.attributes.iter().map(|(name, value)| (name.as_str(), value.seen())).collect(),
            capacity: device.capacity.iter().map(|(name, amount)| (name.as_str(), amount)).collect(),
            allows_multiple: device.allows_multiple,
        };
        let of_class = class.view.selectors.iter().enumerate().map(|(at, one)| (true, at, one));
        let of_request = wanted.selectors.iter().enumerate().map(|(at, one)| (false, at, one));
        for (is_class, number, selector) in of_class.chain(of_request) {
            let owner = || if is_class { format!("class {}", wanted.class) } else { format!("claim {key}") };
            let matches = match &*self.cluster.selector(&selector.cel.expression) {
                Ok(program) => device::matches(program, &seen)
                    .map_err(|why| format!("{}: selector #{number} on device {id}: CEL runtime error: {why}", owner())),
                Err(why) => Err(format!("{}: selector #{number}: CEL compile error: {why}", owner())),
            };
            if !matches.map_err(Stop::Error)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn given(&self) -> Vec<Given> {
        let of_claim = |(claim, item): (usize, &Claim)| {
            let requests = &item.view.requests;
            let name = |request: usize, wanted: usize| {
                let one = &requests[request];
                if one.is_choice { format!("{}/{}", one.name, one.wanted[wanted].name) } else { one.name.clone() }
            };
            let class = |request: usize, wanted: usize| requests[request].wanted[wanted].class.clone();
            let pick = |(request, wanted, candidate): &(usize, usize, usize)| Pick {
                request: name(*request, *wanted),
                class: class(*request, *wanted),
                id: self.candidates[*candidate].id.clone(),
                is_admin: requests[*request].wanted[*wanted].admin_access,
            };
            let chosen = self.chosen[claim].iter().enumerate();
            Given {
                picks: self.picks[claim].iter().map(pick).collect(),
                classes: chosen.map(|(request, wanted)| (name(request, *wanted), class(request, *wanted))).collect(),
                nodes: self.picks[claim].iter().map(|(_, _, at)| self.candidates[*at].nodes.clone()).collect(),
            }
        };
        self.claims.iter().enumerate().map(of_claim).collect()
    }
}
