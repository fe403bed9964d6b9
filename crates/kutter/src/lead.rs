//! Leading by Lease: the controllers and the scheduler act only while this process holds theirs, so
//! that upstream's programs, or ours elsewhere, take over and hand back on a live cluster.
//!
//! Upstream's programs exit when they lose a lease; here the room's tasks end, and it waits for its
//! next turn. Who ends cleanly gives the lease back. A process that comes back after a crash is
//! known by its data directory and goes on at once.

use base::Env;
use client::events::{ObjectRef, Recorder, Style};
use client::leader::{Elector, Timings};
use client::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

const NAMESPACE: &str = "kube-system";
/// How long giving the lease back may take at the end: the store may be gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// Starts a room in the environment it is given; its tasks end with that.
pub type Begin = Box<dyn Fn(&Env) + Send + Sync>;

/// One who would lead.
pub struct Candidate {
    pub api: Arc<dyn Api>,
    /// Of the lease, and of the program as upstream calls it.
    pub name: &'static str,
    pub identity: String,
    pub timings: Timings,
}

/// Runs the room whenever `candidate` leads, until the environment's tasks end.
pub fn spawn(env: &Env, candidate: Candidate, begin: Begin) {
    env.tasks.spawn_to_end("leader", lead(env.clone(), candidate, begin));
}

async fn lead(env: Env, candidate: Candidate, begin: Begin) {
    let Candidate { api, name, identity, timings } = candidate;
    let recorder = Recorder::new(api.clone(), &env, name, "", Style::Core);
    let tell = |what: &str| recorder.normal(lease(name), "LeaderElection", format!("{identity} {what}"));
    let mut elector = Elector::new(Client::new(api), &env, NAMESPACE, name, &identity).timings(timings);
    let end = env.tasks.shutdown();
    loop {
        tokio::select! {
            biased;
            () = end.wait() => return,
            () = elector.acquire() => tell("became leader"),
        }
        // Each turn counts anew, as upstream's programs do, which end with theirs.
        let term = env.metrics.begin_term();
        let room = Env { metrics: term.metrics(), ..env.child() };
        begin(&room);
        tokio::select! {
            biased;
            () = end.wait() => {}
            () = elector.hold() => tell("stopped leading"),
        }
        room.tasks.stop().await;
        if end.is_set() {
            match env.clock.timeout(FAREWELL, elector.release()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(lease = name, %error, "cannot give the leader lease back"),
                Err(_) => warn!(lease = name, "no time to give the leader lease back"),
            }
            return;
        }
    }
}

fn lease(name: &str) -> ObjectRef {
    ObjectRef {
        kind: "Lease".to_owned(),
        namespace: NAMESPACE.to_owned(),
        name: name.to_owned(),
        api_version: "coordination.k8s.io/v1".to_owned(),
        ..ObjectRef::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Timestamp;
    use client::fake::FakeApi;
    use meta::GroupVersionResource;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const LEASES: GroupVersionResource = GroupVersionResource::of("coordination.k8s.io", "v1", "leases");

    /// How many rooms run, and how many ever began.
    #[derive(Default)]
    struct Count {
        running: AtomicUsize,
        begun: AtomicUsize,
    }

    struct Running(Arc<Count>);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.running.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn counting(count: &Arc<Count>) -> Begin {
        let count = count.clone();
        Box::new(move |env: &Env| {
            assert_eq!(count.running.fetch_add(1, Ordering::SeqCst), 0, "one room at a time");
            count.begun.fetch_add(1, Ordering::SeqCst);
            let one = Running(count.clone());
            let turns = env.metrics.register("turns", "", base::metrics::Counter::<u64>::default());
            turns.inc();
            env.tasks.spawn("room", async move {
                std::future::pending::<()>().await;
                drop(one);
            });
        })
    }

    fn holder(api: &FakeApi) -> String {
        let lease = api.get(&LEASES, NAMESPACE, "boss").unwrap_or_default();
        lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn one_leads_steps_down_takes_over_and_gives_back() {
        let env = Env::simulated(1, Timestamp::UNIX_EPOCH);
        let api = FakeApi::new();
        let count = Arc::new(Count::default());
        let (lease, retry) = (Duration::from_secs(2), Duration::from_millis(50));
        let timings = Timings { lease, renew_deadline: lease, retry };
        let candidate = Candidate { api: Arc::new(api.clone()), name: "boss", identity: "ours".to_owned(), timings };
        spawn(&env, candidate, counting(&count));
        let lead = async |turns: usize| {
            let leads = || count.begun.load(Ordering::SeqCst) >= turns && holder(&api) == "ours";
            let wait = async {
                while !leads() {
                    env.clock.sleep(retry).await;
                }
            };
            env.clock.timeout(Duration::from_secs(30), wait).await.expect("did not come to lead");
        };
        lead(1).await;
        // Another takes the lease and dies without a word.
        let mut taken = api.get(&LEASES, NAMESPACE, "boss").unwrap();
        taken["spec"]["holderIdentity"] = json!("other");
        taken["spec"]["leaseDurationSeconds"] = json!(1);
        api.put(&LEASES, taken);
        lead(2).await;
        let metrics = env.metrics.render();
        assert_eq!(metrics.matches("turns_total 1\n").count(), 1, "{metrics}");
        env.tasks.stop().await;
        assert_eq!((count.running.load(Ordering::SeqCst), holder(&api)), (0, String::new()));
    }
}
