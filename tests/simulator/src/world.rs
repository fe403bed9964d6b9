//! The simulated cluster: store, API server, controllers, scheduler and kubelets on one thread, and
//! the supervisor that starts again what has died.
//!
//! Wired as the `kutter` program wires them; the wires are faulty and the store has no disk.

use crate::chaos::{Chaos, StoreFaults, Victim, Weather};
use crate::door::Door;
use crate::kubelet;
use crate::ledger::{Change, Ledger, under};
use crate::machines::Machines;
use crate::meter::Meter;
use crate::player::NODES;
use crate::wire::{Net, Wire};
use crate::witness::Witness;
use apiserver::{Access, Identity, Local, Server, Settings};
use auth::authn::service_account;
use auth::names::{API_SERVER, AUTHENTICATED, MASTERS};
use base::{Env, Metrics, Tasks, Timestamp};
use client::{Api, Caches};
use cluster::objects::{self, ObjectOptions};
use meta::User;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::MemoryStore;
use tokio::sync::mpsc;

const SERVICE_CIDR: &str = "10.96.0.0/16";
/// Parts of it for four nodes, of which there are fewer.
const POD_CIDR: &str = "10.244.0.0/22";
/// 2026-01-01T00:00:00Z.
const EPOCH_SECONDS: i64 = 1_767_225_600;
/// Deaths that wait for the supervisor.
const DEATHS: usize = 16;
const MANAGER: &str = "kube-controller-manager";

/// The world could not be built: a bug in the simulator or in a start-up.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("epoch: {0}")]
    Epoch(String),
    #[error("admission: {0}")]
    Admission(String),
    #[error(transparent)]
    Start(#[from] apiserver::StartError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Objects(#[from] objects::Error),
}

pub struct World {
    pub env: Env,
    pub net: Arc<Net>,
    store: Mutex<MemoryStore>,
    running: Mutex<BTreeMap<String, Tasks>>,
}

impl World {
    /// Starts everything but nodes, in quiet weather. Somebody must [`supervise`] it.
    ///
    /// # Errors
    /// A start-up failed.
    pub async fn start(seed: u64, prints: bool) -> Result<(Arc<World>, Deaths), BuildError> {
        let epoch = Timestamp::from_second(EPOCH_SECONDS).map_err(|error| BuildError::Epoch(error.to_string()))?;
        let env = Env::simulated(seed, epoch);
        let (crashes, deaths) = mpsc::channel(DEATHS);
        let chaos = Chaos::new(env.rng.fork(), env.clock.clone(), crashes);
        let ledger = Ledger::new(env.clock.clone(), prints);
        ledger.keep(Box::new(ranges_apart));
        let store = MemoryStore::with_faults(&env, Arc::new(StoreFaults(chaos.clone())));
        let net = Arc::new(Net {
            clock: env.clock.clone(),
            chaos,
            door: Door::default(),
            ledger,
            machines: Machines::default(),
            meter: Arc::new(Meter::default()),
        });
        let world = Arc::new(World { env: env.clone(), net, store: Mutex::new(store), running: Mutex::default() });
        world.start_server().await?;
        world.start_controllers();
        world.start_scheduler();
        Ok((world, Deaths(deaths)))
    }

    /// A component's way to the server.
    pub fn wire(&self, component: &str, user: User, weather: Weather) -> Wire {
        Wire::new(&self.net, component, user, weather)
    }

    /// Somebody who may do everything.
    pub fn admin(&self, name: &str) -> Arc<dyn Api> {
        Arc::new(self.wire(name, User::new(name, &[MASTERS, AUTHENTICATED]), Weather::Fair))
    }

    /// Starts the kubelet of a node, whether or not the node is known already.
    pub fn start_node(&self, name: &str) {
        let user = User::new(format!("system:node:{name}"), &["system:nodes", AUTHENTICATED]);
        let api = Arc::new(self.wire(name, user, Weather::Foul));
        let env = self.component_env(name);
        env.tasks.spawn("kubelet", kubelet::run(env.clone(), self.net.clone(), api, name.to_owned()));
    }

    /// Ends a component's tasks, each at the await it is in.
    pub async fn stop(&self, component: &str) {
        let tasks = self.running().remove(component);
        if let Some(tasks) = tasks {
            tasks.stop().await;
        }
    }

    pub fn is_running(&self, component: &str) -> bool {
        self.running().contains_key(component)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Tasks>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn component_env(&self, component: &str) -> Env {
        let env = Env {
            tasks: self.env.tasks.child(),
            rng: self.env.rng.fork(),
            metrics: Metrics::new(),
            clock: self.env.clock.clone(),
        };
        self.running().insert(component.to_owned(), env.tasks.clone());
        env
    }

    async fn start_server(&self) -> Result<(), BuildError> {
        let env = self.component_env("server");
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let witness = Witness { inner: store, ledger: self.net.ledger.clone() };
        witness.catch_up().await?;
        let setup = admission::Setup {
            clock: env.clock.clone(),
            rng: env.rng.clone(),
            gates: base::collections::HashSet::default(),
        };
        let chain =
            admission::Chain::from_flags(&setup, &[], &[]).map_err(|error| BuildError::Admission(error.to_string()))?;
        let server =
            Server::start(env, Arc::new(witness), chain, Access::standard(), Identity::default(), settings()).await?;
        let root = Local::new(server.clone(), User::new(API_SERVER, &[MASTERS]));
        objects::ensure(&root, &objects::all(&object_options())).await?;
        server.set_ready();
        self.net.door.open(server);
        Ok(())
    }

    fn start_controllers(&self) {
        let env = self.component_env("controllers");
        let caches = Caches::new(self.controller_api(MANAGER), &env);
        let mut options = controllers::Options::new(caches);
        options.node_ranges = controllers::Range::parse(POD_CIDR, None).into_iter().collect();
        controllers::start(&env, &|identity| self.controller_api(identity), options);
    }

    fn controller_api(&self, identity: &str) -> Arc<dyn Api> {
        let user = if identity == MANAGER {
            User::new(format!("system:{MANAGER}"), &[AUTHENTICATED])
        } else {
            let mut user = User::new(service_account::user_name("kube-system", identity), &[AUTHENTICATED]);
            user.groups.extend(service_account::groups("kube-system"));
            user
        };
        Arc::new(self.wire("controllers", user, Weather::Foul).of_victim(Victim::Controllers))
    }

    fn start_scheduler(&self) {
        let env = self.component_env("scheduler");
        let user = User::new("system:kube-scheduler", &[AUTHENTICATED]);
        let api = Arc::new(self.wire("scheduler", user, Weather::Foul).of_victim(Victim::Scheduler));
        scheduler::start(&env, api, scheduler::Options::default());
    }

    async fn restart(&self, victim: Victim) -> Result<(), BuildError> {
        let pause = Duration::from_millis(self.env.rng.u64(0..5000));
        match victim {
            Victim::Server => {
                self.net.door.close();
                self.stop("server").await;
                let reopened = self.store.lock().unwrap_or_else(PoisonError::into_inner).reopen();
                *self.store.lock().unwrap_or_else(PoisonError::into_inner) = reopened;
                self.env.clock.sleep(pause).await;
                self.start_server().await?;
            }
            Victim::Controllers => {
                self.stop("controllers").await;
                self.net.meter.forget(self.env.clock.instant());
                self.env.clock.sleep(pause).await;
                self.start_controllers();
            }
            Victim::Scheduler => {
                self.stop("scheduler").await;
                self.env.clock.sleep(pause).await;
                self.start_scheduler();
            }
        }
        Ok(())
    }
}

/// Two nodes never have the same range of addresses.
fn ranges_apart(change: &Change<'_>) -> Option<String> {
    let range = &change.after.filter(|_| change.key.starts_with(NODES))?["spec"]["podCIDR"];
    let mut others = under(change.objects, NODES).filter(|(key, _)| ***key != *change.key);
    let (other, _) = others.find(|(_, (_, node))| range.is_string() && node["spec"]["podCIDR"] == *range)?;
    Some(format!("{} and {other} both have {range}", change.key))
}

/// Who died and waits to be started again.
pub struct Deaths(mpsc::Receiver<Victim>);

/// Starts again what dies, for as long as it is polled.
pub async fn supervise(world: &World, mut deaths: Deaths) {
    while let Some(victim) = deaths.0.recv().await {
        world.net.ledger.note(&format!("restart {victim:?}"));
        loop {
            match world.restart(victim).await {
                Ok(()) => break,
                // A store that crashes while the server starts is one more crash of the server.
                Err(error) if world.net.chaos.is_on() => {
                    world.net.ledger.note(&format!("restart {victim:?} failed: {error}"));
                }
                Err(error) => return world.net.ledger.wrong(format!("{victim:?} does not start again: {error}")),
            }
        }
    }
}

fn settings() -> Settings {
    Settings {
        apis: apiserver::Apis::default(),
        limits: apiserver::Limits::default(),
        service_cidr: SERVICE_CIDR.to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        ca_pem: String::new(),
        feature_gates: BTreeMap::new(),
        audiences: Vec::new(),
    }
}

fn object_options() -> ObjectOptions {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 96, 0, last));
    let advertise = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    ObjectOptions {
        ca: String::new(),
        front_proxy_ca: String::new(),
        server: "https://192.0.2.1:6443".to_owned(),
        advertise_address: advertise,
        advertise_port: 6443,
        service_cidr: SERVICE_CIDR.to_owned(),
        service_address: address(1),
        dns_address: address(10),
        cluster_domain: "cluster.local".to_owned(),
        pod_cidr: POD_CIDR.to_owned(),
    }
}
