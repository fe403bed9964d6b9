//! Objects that own each other, in trees, cycles and with owners that never were, deleted with each
//! policy, through crashes and dropped watches.
//!
//! Nothing goes but what the user deletes and what has no owner left; no owner that is to leave
//! orphans goes before they are free. In the end no garbage is left.

use crate::ledger::{Change, Objects, under};
use crate::player::{NAMESPACE, Player};
use crate::scenario::{FAULTS_OF_SERVERS, Fault, Scenario};
use client::{PatchType, Request, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const CONFIG_MAP: GroupVersionResource = GroupVersionResource::of("", "v1", "configmaps");
const CONFIG_MAPS: &str = "/registry/configmaps/default/";
const POLICIES: &[&str] = &["Background", "Background", "Foreground", "Orphan"];
/// More objects than this are not there at once.
const MANY: usize = 60;

/// What the user asked to go, by uid.
type Doomed = Arc<Mutex<BTreeSet<String>>>;

pub(super) struct Garbage {
    doomed: Doomed,
    made: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Plant,
    Close,
    Fell,
}

impl Scenario for Garbage {
    type Step = Step;

    const NODES: usize = 0;
    const STEPS: &'static [(u64, Step)] = &[(8, Step::Plant), (2, Step::Close), (7, Step::Fell)];
    const FAULTS: &'static [(u64, Fault)] = FAULTS_OF_SERVERS;
    const ROUNDS: Range<u64> = 15..40;
    const PAUSE: Range<u64> = 50..8_000;

    async fn start(player: &Player) -> Result<Self, String> {
        let doomed = Doomed::default();
        player.world.net.ledger.keep(Box::new(rule(doomed.clone())));
        Ok(Garbage { doomed, made: 0 })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        match step {
            Step::Plant => {
                for _ in 0..player.rng.u64(2..8) {
                    self.plant(player).await;
                }
            }
            Step::Close => self.close(player).await,
            Step::Fell => {
                for _ in 0..player.rng.u64(1..4) {
                    self.fell(player).await;
                }
            }
        }
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let objects = player.world.net.ledger.values(CONFIG_MAPS);
        let there: BTreeSet<&str> = objects.iter().map(|object| uid(object)).collect();
        for object in &objects {
            let name = text(&object["metadata"]["name"]);
            if is_going(object) {
                return Ok(Some(format!("{name} is being deleted and never goes")));
            }
            let owners = owners(object);
            if !owners.is_empty() && !owners.iter().any(|owner| there.contains(owner)) {
                return Ok(Some(format!("{name} has no owner left and stays")));
            }
        }
        Ok(None)
    }
}

impl Garbage {
    /// One more object, owned by some that are there, or by one that never was.
    async fn plant(&mut self, player: &Player) {
        let objects = living(player);
        if objects.len() >= MANY {
            return;
        }
        self.made += 1;
        let mut owners = BTreeMap::new();
        for _ in 0..player.rng.u64(0..3).min(objects.len() as u64) {
            let owner = player.any(&objects);
            owners.insert(uid(owner).to_owned(), reference(owner, player.rng.chance(0.5)));
        }
        if player.rng.chance(0.1) {
            let ghost = json!({"metadata": {"name": "ghost", "uid": player.rng.uuid()}});
            owners.insert(String::new(), reference(&ghost, false));
        }
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": format!("leaf-{}", self.made), "namespace": NAMESPACE,
                "ownerReferences": owners.into_values().collect::<Vec<_>>(),
            },
        });
        player.create(&CONFIG_MAP, &object).await;
    }

    /// Two that own each other, whoever else owned them.
    async fn close(&mut self, player: &Player) {
        let objects = living(player);
        if objects.len() < 2 {
            return;
        }
        let (one, other) = (player.any(&objects), player.any(&objects));
        if uid(one) == uid(other) || !owners(one).is_empty() || !owners(other).is_empty() {
            return;
        }
        for (owner, owned) in [(one, other), (other, one)] {
            let metadata = json!({"uid": uid(owned), "ownerReferences": [reference(owner, player.rng.chance(0.5))]});
            let patch = Request::new(Verb::Patch(PatchType::Merge), CONFIG_MAP).namespace(NAMESPACE);
            let patch = patch.name(text(&owned["metadata"]["name"]));
            player.insist(patch.body(json!({"metadata": metadata}).to_string())).await;
        }
    }

    async fn fell(&self, player: &Player) {
        let objects = living(player);
        if objects.is_empty() {
            return;
        }
        let object = player.any(&objects);
        lock(&self.doomed).insert(uid(object).to_owned());
        let body = json!({
            "preconditions": {"uid": uid(object)}, "propagationPolicy": player.any(POLICIES),
        });
        let delete = Request::new(Verb::Delete, CONFIG_MAP).namespace(NAMESPACE);
        player.insist(delete.name(text(&object["metadata"]["name"])).body(body.to_string())).await;
    }
}

fn lock(doomed: &Doomed) -> MutexGuard<'_, BTreeSet<String>> {
    doomed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is there and not about to go.
fn living(player: &Player) -> Vec<Arc<Value>> {
    let objects = player.world.net.ledger.values(CONFIG_MAPS);
    objects.into_iter().filter(|object| !is_going(object)).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn uid(object: &Value) -> &str {
    text(&object["metadata"]["uid"])
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn owners(object: &Value) -> Vec<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().map(|owner| text(&owner["uid"])).collect()
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().any(|one| one == name)
}

fn reference(owner: &Value, blocks: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    })
}

fn rule(doomed: Doomed) -> impl FnMut(&Change<'_>) -> Option<String> {
    // Since which revision an owner that leaves orphans is going, by uid.
    let mut leaving: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    move |change| {
        let before = change.before.filter(|_| change.key.starts_with(CONFIG_MAPS))?;
        let starts_to_go = !is_going(before) && change.after.is_none_or(is_going);
        if starts_to_go && change.after.is_some_and(|after| has_finalizer(after, "orphan")) {
            leaving.insert(uid(before).to_owned(), owned_by(change.objects, uid(before)));
        }
        if change.after.is_none()
            && let Some(orphans) = leaving.remove(uid(before))
            && let Some(left) = owned_by(change.objects, uid(before)).intersection(&orphans).next()
        {
            return Some(format!("{} went and left {left}, which it still owns", change.key));
        }
        if !starts_to_go || lock(&doomed).contains(uid(before)) {
            return None;
        }
        let owners = owners(before);
        let holds = |owner: &&str| {
            let mut all = under(change.objects, CONFIG_MAPS).map(|(_, (_, object))| &**object);
            all.any(|one| uid(one) == *owner && !(is_going(one) && has_finalizer(one, "foregroundDeletion")))
        };
        match owners.iter().find(|owner| holds(owner)) {
            Some(owner) => Some(format!("{} goes while its owner {owner} stays", change.key)),
            None if owners.is_empty() => Some(format!("{} goes and belongs to nobody", change.key)),
            None => None,
        }
    }
}

/// The uids of what an owner owns.
fn owned_by(objects: &Objects, owner: &str) -> BTreeSet<String> {
    let all = under(objects, CONFIG_MAPS).filter(|(_, (_, object))| owners(object).contains(&owner));
    all.map(|(_, (_, object))| uid(object).to_owned()).collect()
}
