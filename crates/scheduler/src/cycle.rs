//! One pod after the other: find its node, assume it is there, and bind in the background while the
//! next pod is looked at.

use crate::Options;
use crate::binding::Placement;
use crate::cluster::Cluster;
use crate::config::Profile;
use crate::extender::Extender;
use crate::failure;
use crate::framework::Case;
use crate::judge::{Diagnosis, Judge};
use crate::metrics::Metrics;
use crate::node::NodeView;
use crate::plugins::{self, Decision, Reservation, dynamic_resources};
use crate::pod::{PodItem, PodView};
use crate::preemption::{self, Candidate, Search};
use crate::queue::{Failure, Next, Queue};
use crate::snapshot::Snapshot;
use base::Env;
use client::cache::Cache;
use client::events::Style;
use client::{Api, Client, Recorder};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// Writes under way at once: bindings, and what is told of pods that found no place.
const WRITES: usize = 128;

/// Events waiting to be written: every pod that gets a node has one, and pods come in thousands.
const EVENTS: usize = 8192;

pub struct Scheduler {
    pub(crate) env: Env,
    pub(crate) client: Client,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) pods: Arc<Cache<PodView>>,
    pub(crate) nodes: Arc<Cache<NodeView>>,
    pub(crate) cluster: Arc<Cluster>,
    state: Mutex<State>,
    pub(crate) queue: Queue,
    pub(crate) metrics: Metrics,
    pub(crate) extenders: Vec<Extender>,
    bindings: Arc<Semaphore>,
    tellings: Arc<Semaphore>,
}

/// A profile at work.
pub(crate) struct Lane {
    pub place: usize,
    pub profile: Arc<Profile>,
    pub recorder: Recorder,
}

pub(crate) struct State {
    pub snapshot: Snapshot,
    judges: Vec<Judge>,
}

/// What a pod that found no place waits for.
struct Outlook {
    /// What preemption came to, in upstream's words; empty: room is being made.
    said: Option<String>,
    /// Where the pod waits for room; None: as before.
    nomination: Option<String>,
    victims: Option<Candidate>,
}

impl Scheduler {
    pub fn new(
        env: &Env,
        api: Arc<dyn Api>,
        options: Options,
        pods: Arc<Cache<PodView>>,
        nodes: Arc<Cache<NodeView>>,
        cluster: Arc<Cluster>,
    ) -> Self {
        let Options { config, host } = options;
        let lane = |(place, profile): (usize, &Profile)| Lane {
            place,
            profile: Arc::new(profile.clone()),
            recorder: Recorder::with_queue(EVENTS, api.clone(), env, &profile.name, &host, Style::Series),
        };
        let lanes: Vec<Lane> = config.profiles.iter().enumerate().map(lane).collect();
        let percentage = config.percentage_of_nodes_to_score;
        let judges = lanes.iter().map(|lane| Judge::new(lane.profile.clone(), percentage)).collect();
        Scheduler {
            env: env.clone(),
            client: Client::new(api).with_manager("kube-scheduler"),
            queue: Queue::new(env.clock.clone(), config.first_backoff, config.max_backoff),
            extenders: config.extenders.iter().filter_map(|one| Extender::new(one, env)).collect(),
            lanes,
            pods,
            nodes,
            cluster,
            state: Mutex::new(State { snapshot: Snapshot::default(), judges }),
            metrics: Metrics::new(env),
            bindings: Arc::new(Semaphore::new(WRITES)),
            tellings: Arc::new(Semaphore::new(WRITES)),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lane_of(&self, pod: &PodItem) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.profile.name == pod.view.spec.scheduler_name)
    }

    /// Whether the pod waits for this scheduler.
    pub(crate) fn wants(&self, pod: &PodItem) -> bool {
        let view = &pod.view;
        let is_open = view.node_name.is_empty() && !view.is_over && !pod.meta.is_deleting();
        is_open
            && self.lane_of(pod).is_some_and(|lane| {
                let is_gated = lane.profile.gates && view.spec.is_gated;
                !is_gated && dynamic_resources::is_ready(&Case::new(pod, &lane.profile.args, &self.cluster))
            })
    }

    async fn schedule(self: &Arc<Self>, next: Next) {
        let key = next.pod.key.clone();
        let Some(pod) = self.pods.get_key(&key).filter(|pod| self.wants(pod)) else {
            return self.queue.remove(&key);
        };
        let Some(lane) = self.lane_of(&pod) else { return self.queue.remove(&key) };
        let began = self.env.clock.instant();
        let concerned: Vec<&Extender> = self.extenders.iter().filter(|one| one.cares_for(&pod.view.spec)).collect();
        let outcome = match concerned.is_empty() {
            true => self.choose(&pod, lane),
            false => self.choose_with_extenders(&pod, lane, &concerned).await,
        };
        self.metrics.searched(began.elapsed());
        match outcome {
            Ok(Chosen { node, decision, reservations }) => {
                let place = lane.place;
                let placement = Placement { pod, node, decision, reservations, place, began, next };
                let Ok(slot) = self.bindings.clone().acquire_owned().await else { return };
                let own = self.clone();
                self.env.tasks.spawn("binding", async move {
                    let _slot = slot;
                    own.bind(placement).await;
                });
            }
            Err(Refused::Nodes(diagnosis)) => {
                self.give_up(&pod, lane, &diagnosis).await;
                self.metrics.attempted("unschedulable", &lane.profile.name, began.elapsed());
            }
            Err(Refused::Error(error)) => {
                self.queue.failed(&key, Failure::Error);
                self.tell(&pod, lane, "SchedulerError", error, None).await;
                self.metrics.attempted("error", &lane.profile.name, began.elapsed());
            }
        }
    }

    /// Finds the pod's node and counts it there.
    fn choose(&self, pod: &PodItem, lane: &Lane) -> Result<Chosen, Refused> {
        let case = Case::new(pod, &lane.profile.args, &self.cluster);
        let mut state = self.state();
        let State { snapshot, judges } = &mut *state;
        let judge = &mut judges[lane.place];
        let ruling = judge.find(&case, snapshot);
        let slot = match ruling.fitting.as_slice() {
            [] => None,
            [only] => Some(*only),
            several => {
                let totals = judge.score(&case, snapshot, &ruling.ready, several);
                Judge::best(several, &totals, &self.env.rng)
            }
        };
        match slot {
            Some(slot) => self.assume(&case, snapshot, slot, ruling.diagnosis),
            None => Err(Refused::Nodes(ruling.diagnosis)),
        }
    }

    /// The same where other programs have a say.
    async fn choose_with_extenders(
        &self,
        pod: &PodItem,
        lane: &Lane,
        extenders: &[&Extender],
    ) -> Result<Chosen, Refused> {
        let case = Case::new(pod, &lane.profile.args, &self.cluster);
        let (mut names, mut diagnosis) = {
            let mut state = self.state();
            let State { snapshot, judges } = &mut *state;
            let ruling = judges[lane.place].find(&case, snapshot);
            let names: Vec<String> = ruling.fitting.iter().map(|slot| snapshot.node(*slot).name.clone()).collect();
            (names, ruling.diagnosis)
        };
        for extender in extenders {
            if names.is_empty() {
                break;
            }
            let kept = extender.filter(pod, &self.nodes, names).await.map_err(Refused::Error)?;
            let state = self.state();
            let failed = kept.failed.into_iter();
            diagnosis.rejected.extend(failed.filter_map(|(name, why)| Some((state.snapshot.find(&name)?.slot, why))));
            names = kept.names;
        }
        if names.is_empty() {
            return Err(Refused::Nodes(diagnosis));
        }
        let mut extra = vec![0; names.len()];
        for extender in extenders {
            let scores = extender.prioritize(pod, &self.nodes, &names).await;
            extra.iter_mut().zip(&names).for_each(|(total, name)| *total += scores.get(name).copied().unwrap_or(0));
        }
        let mut state = self.state();
        let State { snapshot, judges } = &mut *state;
        let standing = names.iter().zip(extra).filter_map(|(name, extra)| Some((snapshot.find(name)?.slot, extra)));
        let (slots, extra): (Vec<usize>, Vec<i64>) = standing.unzip();
        let judge = &mut judges[lane.place];
        let totals = judge.score_anew(&case, snapshot, &slots);
        let totals: Vec<i64> = totals.iter().zip(&extra).map(|(own, extra)| own + extra).collect();
        match Judge::best(&slots, &totals, &self.env.rng) {
            Some(slot) => self.assume(&case, snapshot, slot, diagnosis),
            None => Err(Refused::Nodes(diagnosis)),
        }
    }

    fn assume(
        &self,
        case: &Case<'_>,
        snapshot: &mut Snapshot,
        slot: usize,
        mut diagnosis: Diagnosis,
    ) -> Result<Chosen, Refused> {
        let node = snapshot.node(slot);
        // Claims last: from then on they hold their devices.
        let decided =
            plugins::decide(case, node).and_then(|decision| Ok((decision, dynamic_resources::reserve(case, node)?)));
        let (decision, reservations) = match decided {
            Ok(decided) => decided,
            Err(rejection) => {
                diagnosis.rejected.push((slot, Arc::new(rejection)));
                return Err(Refused::Nodes(diagnosis));
            }
        };
        let promised = decision.bind.iter().cloned();
        self.cluster.assumed().volumes.extend(promised);
        let name = node.name.clone();
        snapshot.assume(case.pod.clone(), &name);
        if snapshot.has_nominations() {
            snapshot.nominate(case.pod, "");
        }
        Ok(Chosen { node: name, decision, reservations })
    }

    /// A pod that fits nowhere: may be room can be made; it is told, and waits.
    async fn give_up(self: &Arc<Self>, pod: &PodItem, lane: &Lane, diagnosis: &Diagnosis) {
        let freed = self.free_devices(pod, lane, diagnosis).await;
        let outlook = self.look_for_room(pod, lane, diagnosis).await;
        let by = diagnosis.by();
        self.metrics.kept_out(by, &lane.profile.name);
        self.queue.failed(&pod.key, Failure::Unschedulable { by });
        let preemption = outlook.said.filter(|said| !said.is_empty()).map(|said| format!("preemption: {said}"));
        let said: Vec<String> = freed.into_iter().chain(preemption).collect();
        // Where room is being made there is nothing more to say.
        let said = if outlook.victims.is_some() { String::new() } else { said.join(", ") };
        let message = failure::message(diagnosis, &said);
        self.tell(pod, lane, "Unschedulable", message, outlook.nomination).await;
        if let Some(candidate) = outlook.victims {
            let (own, pod, place) = (self.clone(), pod.clone(), lane.place);
            let Ok(slot) = self.tellings.clone().acquire_owned().await else { return };
            self.env.tasks.spawn("preemption", async move {
                let _slot = slot;
                own.evict(&pod, place, candidate).await;
            });
        }
    }

    /// A pod with claims may be kept off nodes by the devices of one: it is given up.
    async fn free_devices(&self, pod: &PodItem, lane: &Lane, diagnosis: &Diagnosis) -> Option<String> {
        if pod.view.claims.is_empty() || diagnosis.nodes == 0 {
            return None;
        }
        if diagnosis.before.is_some() {
            return Some("no new claims to deallocate".to_owned());
        }
        let claim = {
            let case = Case::new(pod, &lane.profile.args, &self.cluster);
            let state = self.state();
            let nodes = diagnosis.rejected.iter().map(|(slot, _)| state.snapshot.node(*slot));
            dynamic_resources::in_the_way(&case, &nodes.collect::<Vec<_>>())
        };
        Some(self.free_claim(claim.as_ref()).await)
    }

    /// Where room could be made for the pod, and by evicting whom.
    fn search(&self, pod: &PodItem, lane: &Lane, diagnosis: &Diagnosis) -> Search {
        let case = Case::new(pod, &lane.profile.args, &self.cluster);
        let budgets = self.cluster.budgets.list();
        let mut state = self.state();
        let State { snapshot, judges } = &mut *state;
        preemption::search(&case, &judges[lane.place], snapshot, diagnosis, &budgets, &self.env.rng)
    }

    async fn look_for_room(&self, pod: &PodItem, lane: &Lane, diagnosis: &Diagnosis) -> Outlook {
        let none = Outlook { said: None, nomination: None, victims: None };
        if !lane.profile.preempts || diagnosis.nodes == 0 {
            return none;
        }
        let mut candidates = match self.search(pod, lane, diagnosis) {
            Search::Found(candidates) => candidates,
            Search::NotEligible(why) => return Outlook { said: Some(why.to_owned()), ..none },
            Search::Hopeless(why) => {
                let snapshot = &mut self.state().snapshot;
                let stands = snapshot.nomination(&pod.key).is_some() || !pod.view.nominated_node.is_empty();
                snapshot.nominate(pod, "");
                return Outlook { said: Some(why), nomination: stands.then(String::new), victims: None };
            }
        };
        for extender in self.extenders.iter().filter(|one| one.cares_for(&pod.view.spec)) {
            candidates = extender.preempt(pod, candidates).await;
        }
        let Some(candidate) = preemption::choose(candidates) else { return none };
        self.metrics.preempting(candidate.victims.len());
        self.state().snapshot.nominate(pod, &candidate.node);
        Outlook { said: None, nomination: Some(candidate.node.clone()), victims: Some(candidate) }
    }

    /// Tells of a failure in the background: an event, and the pod's condition.
    pub(crate) async fn tell(
        self: &Arc<Self>,
        pod: &PodItem,
        lane: &Lane,
        reason: &'static str,
        message: String,
        nomination: Option<String>,
    ) {
        self.announce(pod, lane, &message);
        let stands = pod.view.unscheduled.as_ref().is_some_and(|(old, said)| old == reason && *said == message);
        if stands && nomination.as_ref().is_none_or(|node| *node == pod.view.nominated_node) {
            return;
        }
        let Ok(slot) = self.tellings.clone().acquire_owned().await else { return };
        let (own, pod) = (self.clone(), pod.clone());
        self.env.tasks.spawn("pod condition", async move {
            let _slot = slot;
            own.set_condition(&pod, reason, &message, nomination.as_deref()).await;
        });
    }

    fn measure(&self) {
        let (nodes, pods) = {
            let state = self.state();
            (state.snapshot.existing(), state.snapshot.placed())
        };
        self.metrics.standing(self.queue.depth(), nodes, pods);
    }
}

/// The node of a pod, and what is to be written before it gets there.
struct Chosen {
    node: String,
    decision: Decision,
    reservations: Vec<Reservation>,
}

/// Why a pod was given no node.
enum Refused {
    Nodes(Diagnosis),
    /// An extender failed.
    Error(String),
}

/// Schedules until the task group ends.
pub async fn run(scheduler: Arc<Scheduler>) {
    scheduler.cluster.synced().await;
    scheduler.nodes.synced().await;
    scheduler.pods.synced().await;
    loop {
        let next = scheduler.queue.next().await;
        scheduler.schedule(next).await;
        scheduler.measure();
    }
}
