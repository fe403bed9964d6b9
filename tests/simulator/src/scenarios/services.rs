//! A Service before the pods of a ReplicationController and one that is never ready, and a Service whose
//! Endpoints a user writes by hand, through crashes, dropped watches and lost nodes.
//!
//! No slice ever tells of a pod that was gone, or as ready of one that was not, for longer than news
//! may take. In the end Endpoints and slices tell of exactly the pods there are, those by hand are
//! mirrored to the letter, no address is told of twice, and nobody writes.

use crate::ledger::{Change, Ledger, Written};
use crate::player::{NAMESPACE, Player};
use crate::scenario::Scenario;
use meta::{GroupVersionResource, conditions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");
const CONTROLLER: GroupVersionResource = GroupVersionResource::of("", "v1", "replicationcontrollers");
const SERVICE: GroupVersionResource = GroupVersionResource::of("", "v1", "services");
const ENDPOINTS: GroupVersionResource = GroupVersionResource::of("", "v1", "endpoints");
const PODS: &str = "/registry/pods/default/";
const SLICES: &str = "/registry/discovery.k8s.io/endpointslices/default/";
const ALL_ENDPOINTS: &str = "/registry/endpoints/default/";
const THE_CONTROLLER: &str = "/registry/replicationcontrollers/default/web";
const THE_SERVICE: &str = "/registry/services/default/web";
const BY_CONTROLLER: &str = "endpointslice-controller.k8s.io";
const BY_MIRROR: &str = "endpointslicemirroring-controller.k8s.io";

/// How long a slice may tell of what is no longer so.
const WINDOW: Duration = Duration::from_secs(90);

pub(super) struct Services {
    replicas: u64,
    /// The Service shows pods that are not ready, too.
    shows_all: bool,
    made: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Scale,
    DeletePod,
    /// A pod is taken out of the Service or of its controller's hands, or put back.
    Relabel,
    ShowAll,
    /// The Service goes, and another one of its name comes.
    Renew,
    /// The Endpoints by hand are written anew.
    Fill,
    Drop,
}

impl Scenario for Services {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] = &[
        (5, Step::Scale),
        (4, Step::DeletePod),
        (3, Step::Relabel),
        (2, Step::ShowAll),
        (2, Step::Renew),
        (6, Step::Fill),
        (2, Step::Drop),
    ];
    const ROUNDS: Range<u64> = 15..40;
    const PAUSE: Range<u64> = 50..15_000;

    async fn start(player: &Player) -> Result<Self, String> {
        player.world.net.ledger.keep(Box::new(rule()));
        let replicas = 3;
        let controller = json!({
            "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "web", "namespace": NAMESPACE},
            "spec": {"replicas": replicas, "selector": {"app": "web"}, "template": {
                "metadata": {"labels": {"app": "web", "tier": "front"}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [{"name": "web", "image": "good:1"}]},
            }},
        });
        player.create(&CONTROLLER, &controller).await;
        let lame = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "lame", "namespace": NAMESPACE, "labels": {"tier": "front"}},
            "spec": {"containers": [{"name": "c", "image": "bad:1"}]},
        });
        player.create(&POD, &lame).await;
        let mut services = Services { replicas, shows_all: false, made: 0 };
        services.open(player).await;
        player.create(&SERVICE, &service("hand", json!({"ports": [{"port": 80}]}))).await;
        services.fill(player).await;
        Ok(services)
    }

    async fn step(&mut self, player: &Player, step: Step) {
        match step {
            Step::Scale => {
                self.replicas = player.rng.u64(0..7);
                player.patch(&CONTROLLER, "web", json!({"spec": {"replicas": self.replicas}})).await;
            }
            Step::DeletePod | Step::Relabel => {
                let pods = player.world.net.ledger.values(PODS);
                if pods.is_empty() {
                    return;
                }
                let pod = player.any(&pods);
                let name = text(&pod["metadata"]["name"]);
                if matches!(step, Step::DeletePod) {
                    return player.delete(&POD, name).await;
                }
                let labels = [("tier", "front"), ("app", "web")];
                // Its controller would wait for ever for the one that is never ready.
                let (label, value) = *player.any(if name == "lame" { &labels[..1] } else { &labels[..] });
                let value = if pod["metadata"]["labels"][label] == value { "other" } else { value };
                player.patch(&POD, name, json!({"metadata": {"labels": {label: value}}})).await;
            }
            Step::ShowAll => {
                self.shows_all = !self.shows_all;
                player.patch(&SERVICE, "web", json!({"spec": {"publishNotReadyAddresses": self.shows_all}})).await;
            }
            Step::Renew => {
                player.delete(&SERVICE, "web").await;
                self.open(player).await;
            }
            Step::Fill => self.fill(player).await,
            Step::Drop => player.delete(&ENDPOINTS, "hand").await,
        }
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        let ledger = &player.world.net.ledger;
        let pods = ledger.values(PODS);
        if let Some(pod) = pods.iter().find(|pod| is_going(pod)) {
            return Ok(Some(format!("{} is being deleted and never goes", pod["metadata"]["name"])));
        }
        let labelled = |label: &'static str, value: &'static str| {
            let active = pods.iter().map(|pod| &**pod).filter(|pod| is_active(pod));
            active.filter(move |pod| pod["metadata"]["labels"][label] == value)
        };
        let own: Vec<&Value> = labelled("app", "web").collect();
        if own.len() as u64 != self.replicas || !own.iter().all(|pod| is_ready(pod)) {
            let ready = own.iter().filter(|pod| is_ready(pod)).count();
            return Ok(Some(format!("{ready} of {} pods are ready, {} are wanted", own.len(), self.replicas)));
        }
        let controller = ledger.value(THE_CONTROLLER).unwrap_or_default();
        let available = controller["status"]["availableReplicas"].as_u64().unwrap_or(0);
        if available != self.replicas {
            return Ok(Some(format!("status.availableReplicas is {available} of {}", self.replicas)));
        }
        let reached = labelled("tier", "front").filter(|pod| pod["status"]["podIP"].is_string());
        let told = |pod: &Value| (text(&pod["status"]["podIP"]).to_owned(), is_ready(pod) || self.shows_all);
        let mut expected: Vec<Told> = reached.map(told).collect();
        expected.sort_unstable();
        let web = ledger.value(&format!("{ALL_ENDPOINTS}web")).unwrap_or_default();
        let hand = ledger.value(&format!("{ALL_ENDPOINTS}hand")).unwrap_or_default();
        let cases = [
            ("the Endpoints of web", addresses(&web), &expected),
            ("the slices of web", sliced(ledger, "web", BY_CONTROLLER), &expected),
            ("the mirror of hand", sliced(ledger, "hand", BY_MIRROR), &addresses(&hand)),
        ];
        let wrong = cases.into_iter().find(|(_, told, wanted)| told != *wanted);
        if let Some((what, told, wanted)) = wrong {
            return Ok(Some(format!("{what} tell of {told:?}, not {wanted:?}")));
        }
        Ok(None)
    }

    fn disturbs(&self, _ledger: &Ledger, written: &[Written]) -> Option<String> {
        let first = written.first()?;
        Some(format!("{} was written while nothing happened", first.key))
    }
}

impl Services {
    async fn open(&mut self, player: &Player) {
        let spec = json!({
            "selector": {"tier": "front"}, "publishNotReadyAddresses": self.shows_all,
            "ports": [{"port": 80, "targetPort": 8080}],
        });
        player.create(&SERVICE, &service("web", spec)).await;
    }

    async fn fill(&mut self, player: &Player) {
        self.made += 1;
        let mut numbers: Vec<u64> = (1..30).collect();
        player.rng.shuffle(&mut numbers);
        let (ready, unready) = (player.rng.usize(0..6), player.rng.usize(0..3));
        let each =
            |numbers: &[u64]| numbers.iter().map(|last| json!({"ip": format!("192.0.2.{last}")})).collect::<Vec<_>>();
        let mut subset = json!({"ports": [{"port": 80 + self.made % 3}]});
        if ready > 0 {
            subset["addresses"] = json!(each(&numbers[..ready]));
        }
        if unready > 0 {
            subset["notReadyAddresses"] = json!(each(&numbers[ready..ready + unready]));
        }
        let subsets = if ready + unready > 0 { json!([subset]) } else { json!([]) };
        let endpoints = json!({
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "hand", "namespace": NAMESPACE},
            "subsets": subsets,
        });
        player.create(&ENDPOINTS, &endpoints).await;
        player.patch(&ENDPOINTS, "hand", json!({"subsets": subsets})).await;
    }
}

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_going(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_active(pod: &Value) -> bool {
    !matches!(text(&pod["status"]["phase"]), "Failed" | "Succeeded") && !is_going(pod)
}

fn is_ready(pod: &Value) -> bool {
    is_active(pod) && conditions::is_true(&pod["status"]["conditions"], "Ready")
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

/// An address, and whether it is said to be ready.
type Told = (String, bool);

fn addresses(endpoints: &Value) -> Vec<Told> {
    let mut all = Vec::new();
    for subset in items(endpoints, "subsets") {
        for (field, ready) in [("addresses", true), ("notReadyAddresses", false)] {
            all.extend(items(subset, field).map(|address| (text(&address["ip"]).to_owned(), ready)));
        }
    }
    all.sort_unstable();
    all
}

/// What all slices of a Service tell that one manager made.
fn sliced(ledger: &Ledger, service: &str, manager: &str) -> Vec<Told> {
    let slices = ledger.values(SLICES);
    let labelled = |slice: &Value, label: &str, value: &str| slice["metadata"]["labels"][label] == value;
    let ours = slices.iter().filter(|slice| {
        labelled(slice, "kubernetes.io/service-name", service)
            && labelled(slice, "endpointslice.kubernetes.io/managed-by", manager)
    });
    let endpoints = ours.flat_map(|slice| items(slice, "endpoints"));
    let told = |endpoint: &Value| (text(&endpoint["addresses"][0]).to_owned(), endpoint["conditions"]["ready"] == true);
    let mut all: Vec<Told> = endpoints.map(told).collect();
    all.sort_unstable();
    all
}

/// When a pod was there for the last time, and when it was ready; None: it is.
#[derive(Default)]
struct Life {
    gone: Option<Instant>,
    unready: Option<Instant>,
}

fn rule() -> impl FnMut(&Change<'_>) -> Option<String> {
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    // When the Service was last told to show all; what is written soon after may still be of that.
    let mut shown: Option<Instant> = None;
    move |change| {
        let shows = |service: Option<&Value>| service.is_some_and(|it| it["spec"]["publishNotReadyAddresses"] == true);
        if change.key == THE_SERVICE && (shows(change.before) || shows(change.after)) {
            shown = Some(change.now);
        }
        if change.key.starts_with(PODS) {
            let pod = change.after.or(change.before)?;
            let life = lives.entry(text(&pod["metadata"]["uid"]).to_owned()).or_default();
            let now = |is: bool, since: Option<Instant>| if is { None } else { since.or(Some(change.now)) };
            life.gone = now(change.after.is_some(), life.gone);
            life.unready = now(change.after.is_some_and(is_ready), life.unready);
            return None;
        }
        let slice = change.after.filter(|_| change.key.starts_with(SLICES))?;
        let shows_all = shows(change.objects.get(THE_SERVICE).map(|(_, service)| &**service))
            || shown.is_some_and(|at| change.now - at <= WINDOW);
        for endpoint in items(slice, "endpoints") {
            let Some(life) = lives.get(text(&endpoint["targetRef"]["uid"])) else { continue };
            let late = |since: Option<Instant>| since.is_some_and(|since| change.now - since > WINDOW);
            let what = if late(life.gone) {
                "there"
            } else if late(life.unready) && endpoint["conditions"]["ready"] == true && !shows_all {
                "ready"
            } else {
                continue;
            };
            return Some(format!("{} tells of {}, which is not {what}", change.key, endpoint["targetRef"]["name"]));
        }
        None
    }
}
