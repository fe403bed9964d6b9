//! What the runtime holds, kept current by its events, so that a pod's worker can look at its own
//! sandboxes and containers without asking the runtime for all of them.

use base::Env;
use container::runtime::{ContainerState, ContainerStatus, Runtime, RuntimeError, RuntimeEvent, SandboxStatus};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

/// One pod's share of the runtime, newest first.
#[derive(Debug, Clone, Default)]
pub struct PodRuntime {
    pub sandboxes: Vec<Arc<SandboxStatus>>,
    pub containers: Vec<Arc<ContainerStatus>>,
}

impl PodRuntime {
    pub fn latest(&self, name: &str) -> Option<&Arc<ContainerStatus>> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// The newest container of this name that belongs to the sandbox.
    pub fn latest_in(&self, sandbox: &str, name: &str) -> Option<&Arc<ContainerStatus>> {
        self.containers.iter().find(|container| container.name == name && container.sandbox == sandbox)
    }

    /// All containers of this name, newest first.
    pub fn history<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<ContainerStatus>> + Clone {
        self.containers.iter().filter(move |container| container.name == name)
    }

    pub fn running(&self) -> impl Iterator<Item = &Arc<ContainerStatus>> {
        self.containers.iter().filter(|container| container.state == ContainerState::Running)
    }

    pub fn is_empty(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }
}

/// Missed events are made up for by listing everything this often.
const RELIST: Duration = Duration::from_secs(60);

pub struct RuntimeView {
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sandboxes: BTreeMap<String, Seen>,
    containers: BTreeMap<String, Arc<ContainerStatus>>,
    /// Numbers the questions put to the runtime.
    questions: u64,
}

/// A sandbox, and the question that it was the answer to: answers may overtake each other.
struct Seen {
    status: Arc<SandboxStatus>,
    question: u64,
}

impl State {
    fn ask(&mut self) -> u64 {
        self.questions += 1;
        self.questions
    }

    /// Whether it is news.
    fn put_sandbox(&mut self, sandbox: SandboxStatus, question: u64) -> bool {
        match self.sandboxes.get_mut(&sandbox.id) {
            Some(seen) if seen.question > question => false,
            Some(seen) => {
                let news = *seen.status != sandbox;
                *seen = Seen { status: Arc::new(sandbox), question };
                news
            }
            None => {
                self.sandboxes.insert(sandbox.id.clone(), Seen { status: Arc::new(sandbox), question });
                true
            }
        }
    }

    /// Whether it is news. A container's life goes one way only.
    fn put_container(&mut self, container: &ContainerStatus) -> bool {
        let known = self.containers.get(&container.id);
        if known.is_some_and(|known| **known == *container || rank(known.state) > rank(container.state)) {
            return false;
        }
        self.containers.insert(container.id.clone(), Arc::new(container.clone()));
        true
    }

    fn uid_of(&self, sandbox: &str) -> Option<String> {
        self.sandboxes.get(sandbox).map(|seen| seen.status.config.uid.clone())
    }
}

impl RuntimeView {
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        RuntimeView { runtime, state: Mutex::default() }
    }

    pub fn pod(&self, uid: &str) -> PodRuntime {
        let state = self.lock();
        let all = state.sandboxes.values().map(|seen| &seen.status);
        let mut sandboxes: Vec<_> = all.filter(|sandbox| sandbox.config.uid == uid).cloned().collect();
        sandboxes.sort_by_key(|sandbox| std::cmp::Reverse((sandbox.created_at, sandbox.config.attempt)));
        let own = |found: &&Arc<ContainerStatus>| sandboxes.iter().any(|sandbox| sandbox.id == found.sandbox);
        let mut containers: Vec<_> = state.containers.values().filter(own).cloned().collect();
        containers.sort_by_key(|container| std::cmp::Reverse((container.attempt, container.created_at)));
        PodRuntime { sandboxes, containers }
    }

    /// Namespace, name and uid of every pod the runtime knows.
    pub fn pods(&self) -> BTreeMap<String, Arc<SandboxStatus>> {
        let state = self.lock();
        let all = state.sandboxes.values().map(|seen| &seen.status);
        all.map(|sandbox| (sandbox.config.uid.clone(), sandbox.clone())).collect()
    }

    pub fn sandboxes(&self) -> Vec<Arc<SandboxStatus>> {
        self.lock().sandboxes.values().map(|seen| seen.status.clone()).collect()
    }

    pub fn containers(&self) -> Vec<Arc<ContainerStatus>> {
        self.lock().containers.values().cloned().collect()
    }

    pub fn container(&self, id: &str) -> Option<Arc<ContainerStatus>> {
        self.lock().containers.get(id).cloned()
    }

    /// Reads everything anew; returns the uids of the pods that changed. What a worker makes while
    /// the answers are on their way is kept: only what stood here before can be found missing.
    ///
    /// # Errors
    /// The runtime does not answer; the view stays as it was.
    pub async fn relist(&self) -> Result<Vec<String>, RuntimeError> {
        let known: Vec<String> = self.lock().containers.keys().cloned().collect();
        let mut changed = self.refresh_sandboxes().await?;
        let containers = self.runtime.containers().await?;
        let mut state = self.lock();
        let mut touched = Vec::new();
        for id in known.iter().filter(|id| !containers.iter().any(|container| container.id == **id)) {
            touched.extend(state.containers.remove(id).map(|container| container.sandbox.clone()));
        }
        for container in containers {
            if state.put_container(&container) {
                touched.push(container.sandbox);
            }
        }
        changed.extend(touched.iter().filter_map(|id| state.uid_of(id)));
        changed.sort();
        changed.dedup();
        Ok(changed)
    }

    /// Takes what the caller just learned or did.
    pub fn put_sandbox(&self, sandbox: SandboxStatus) {
        let mut state = self.lock();
        let question = state.ask();
        state.put_sandbox(sandbox, question);
    }

    pub fn remove_sandbox(&self, id: &str) {
        self.lock().sandboxes.remove(id);
    }

    pub fn remove_container(&self, id: &str) {
        self.lock().containers.remove(id);
    }

    /// Asks for one container's state.
    ///
    /// # Errors
    /// The runtime does not answer.
    pub async fn refresh_container(&self, id: &str) -> Result<Option<Arc<ContainerStatus>>, RuntimeError> {
        match self.runtime.container(id).await {
            Ok(status) => {
                let mut state = self.lock();
                state.put_container(&status);
                Ok(state.containers.get(id).cloned())
            }
            Err(RuntimeError::NotFound { .. }) => {
                self.lock().containers.remove(id);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks for all sandboxes' states; returns the uids of the pods that changed.
    ///
    /// # Errors
    /// The runtime does not answer.
    pub async fn refresh_sandboxes(&self) -> Result<Vec<String>, RuntimeError> {
        let question = self.lock().ask();
        let sandboxes = self.runtime.sandboxes().await?;
        let mut state = self.lock();
        let gone = |(id, seen): &(&String, &Seen)| {
            seen.question < question && !sandboxes.iter().any(|sandbox| sandbox.id == **id)
        };
        let gone: Vec<String> = state.sandboxes.iter().filter(gone).map(|(id, _)| id.clone()).collect();
        let mut changed = Vec::new();
        for id in gone {
            changed.extend(state.sandboxes.remove(&id).map(|seen| seen.status.config.uid.clone()));
        }
        for sandbox in sandboxes {
            let uid = sandbox.config.uid.clone();
            if state.put_sandbox(sandbox, question) {
                changed.push(uid);
            }
        }
        Ok(changed)
    }

    /// Follows the runtime's events for ever; `changed` is told the uid of each pod that changed.
    pub async fn follow(&self, env: &Env, changed: impl Fn(&str)) {
        let mut events = self.runtime.events();
        loop {
            let outcome = match env.clock.timeout(RELIST, events.recv()).await {
                Ok(Ok(event)) => self.apply(&event).await.map(|uid| uid.into_iter().collect()),
                Ok(Err(RecvError::Lagged(_))) | Err(_) => self.relist().await,
                Ok(Err(RecvError::Closed)) => {
                    env.clock.sleep(Duration::from_secs(1)).await;
                    events = self.runtime.events();
                    self.relist().await
                }
            };
            match outcome {
                Ok(uids) => uids.iter().for_each(|uid| changed(uid)),
                Err(error) => {
                    warn!(%error, "cannot read the runtime's state");
                    env.clock.sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn apply(&self, event: &RuntimeEvent) -> Result<Option<String>, RuntimeError> {
        match &event.container {
            Some(id) => {
                self.refresh_container(id).await?;
            }
            None => {
                self.refresh_sandboxes().await?;
            }
        }
        Ok(self.lock().uid_of(&event.sandbox))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rank(state: ContainerState) -> u8 {
    match state {
        ContainerState::Created => 0,
        ContainerState::Running => 1,
        ContainerState::Unknown => 2,
        ContainerState::Exited => 3,
    }
}
