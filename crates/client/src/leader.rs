//! Leader election by Lease: of several processes one leads, and another takes over when it stops
//! renewing. Upstream's timings (client-go `tools/leaderelection`).
//!
//! Clocks of different machines are never compared: a holder is given up when its record has not
//! changed for the lease's length on our own clock.

use crate::{Client, Error, Request, Verb, resource_of};
use base::Env;
use k8s_openapi::api::coordination::v1::Lease;
use meta::Reason;
use serde_json::{Value, json};
use std::time::Duration;
use tracing::{debug, info, warn};

#[derive(Debug, Clone)]
pub struct Timings {
    pub lease: Duration,
    pub renew_deadline: Duration,
    pub retry: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// One candidate for one Lease.
pub struct Elector {
    client: Client,
    env: Env,
    namespace: String,
    name: String,
    identity: String,
    timings: Timings,
    /// The record last seen, and when it last changed.
    observed: Option<(Value, tokio::time::Instant)>,
}

impl Elector {
    pub fn new(client: Client, env: &Env, namespace: &str, name: &str, identity: &str) -> Self {
        Elector {
            client,
            env: env.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timings: Timings::default(),
            observed: None,
        }
    }

    pub fn timings(mut self, timings: Timings) -> Self {
        self.timings = timings;
        self
    }

    /// Waits until this candidate leads.
    pub async fn acquire(&mut self) {
        info!(lease = %self.name, "attempting to acquire leader lease");
        loop {
            match self.try_once().await {
                Ok(true) => {
                    info!(lease = %self.name, identity = %self.identity, "became leader");
                    return;
                }
                Ok(false) => {}
                Err(error) => debug!(lease = %self.name, %error, "cannot reach the lease"),
            }
            let pause = self.timings.retry.mul_f64(1.0 + 1.2 * self.env.rng.f64());
            self.env.clock.sleep(pause).await;
        }
    }

    /// Keeps the lease; returns when it is lost. The caller must then stop acting as leader at once.
    pub async fn hold(&mut self) {
        let mut renewed = self.env.clock.instant();
        loop {
            self.env.clock.sleep(self.timings.retry).await;
            let left = self.timings.renew_deadline.saturating_sub(renewed.elapsed());
            let clock = self.env.clock.clone();
            match clock.timeout(left, self.try_once()).await {
                Ok(Ok(true)) => renewed = self.env.clock.instant(),
                Ok(Ok(false)) => {
                    warn!(lease = %self.name, "another candidate took the leader lease");
                    return;
                }
                Ok(Err(error)) => debug!(lease = %self.name, %error, "cannot renew the lease"),
                Err(_) => {}
            }
            if renewed.elapsed() >= self.timings.renew_deadline {
                warn!(lease = %self.name, "failed to renew the leader lease in time");
                return;
            }
        }
    }

    /// Gives the lease up, so that the next candidate need not wait.
    pub async fn release(&mut self) -> Result<(), Error> {
        let Some((record, _)) = self.observed.take() else { return Ok(()) };
        if record["spec"]["holderIdentity"] != self.identity.as_str() {
            return Ok(());
        }
        let now = format!("{:.6}", self.env.clock.now());
        let spec = json!({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now});
        self.write(&record, &spec).await.map(drop)
    }

    /// Takes or renews the lease; false: somebody else has it.
    async fn try_once(&mut self) -> Result<bool, Error> {
        let Some(record) = self.read().await? else { return self.create().await };
        self.observe(&record);
        let spec = &record["spec"];
        let holder = spec["holderIdentity"].as_str().unwrap_or("");
        let ours = holder == self.identity;
        if !ours && !holder.is_empty() && !self.is_stale() {
            return Ok(false);
        }
        let now = format!("{:.6}", self.env.clock.now());
        let mut new = json!({
            "holderIdentity": self.identity, "leaseDurationSeconds": self.timings.lease.as_secs(), "renewTime": now,
        });
        if !ours {
            new["acquireTime"] = json!(now);
            new["leaseTransitions"] = json!(spec["leaseTransitions"].as_i64().unwrap_or(0) + 1);
        }
        match self.write(&record, &new).await {
            Ok(written) => {
                self.observe(&written);
                Ok(true)
            }
            Err(error) if error.is(Reason::Conflict) && !ours => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read(&self) -> Result<Option<Value>, Error> {
        match self.client.object(self.request(Verb::Get).name(self.name.clone())).await {
            Ok(body) => parse(&body).map(Some),
            Err(error) if error.is(Reason::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&mut self) -> Result<bool, Error> {
        let now = format!("{:.6}", self.env.clock.now());
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": self.namespace, "name": self.name},
            "spec": {
                "holderIdentity": self.identity, "leaseDurationSeconds": self.timings.lease.as_secs(),
                "acquireTime": now, "renewTime": now, "leaseTransitions": 0,
            },
        });
        match self.client.object(self.request(Verb::Create).body(lease.to_string())).await {
            Ok(body) => {
                self.observe(&parse(&body)?);
                Ok(true)
            }
            Err(error) if error.is(Reason::AlreadyExists) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, record: &Value, spec: &Value) -> Result<Value, Error> {
        // Whole objects, as upstream's roles for leases allow updates but no patches.
        let mut lease = record.clone();
        for (field, value) in spec.as_object().into_iter().flatten() {
            lease["spec"][field] = value.clone();
        }
        let request = self.request(Verb::Update).name(self.name.clone()).body(lease.to_string());
        parse(&self.client.object(request).await?)
    }

    fn request(&self, verb: Verb) -> Request {
        Request::new(verb, resource_of::<Lease>()).namespace(self.namespace.clone())
    }

    fn observe(&mut self, record: &Value) {
        let changed = self.observed.as_ref().is_none_or(|(known, _)| known["spec"] != record["spec"]);
        let since = match &self.observed {
            Some((_, since)) if !changed => *since,
            _ => self.env.clock.instant(),
        };
        self.observed = Some((record.clone(), since));
    }

    /// Whether the record has not changed for as long as it promises to hold.
    fn is_stale(&self) -> bool {
        let Some((record, since)) = &self.observed else { return false };
        let promised = record["spec"]["leaseDurationSeconds"].as_u64().map(Duration::from_secs);
        since.elapsed() > promised.unwrap_or(self.timings.lease)
    }
}

fn parse(body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Decode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeApi;
    use base::Timestamp;
    use std::sync::Arc;

    fn candidate(api: &FakeApi, env: &Env, identity: &str) -> Elector {
        Elector::new(Client::new(Arc::new(api.clone())), env, "kube-system", "boss", identity)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_leader_is_followed_and_a_released_lease_at_once() {
        let env = Env::simulated(1, Timestamp::UNIX_EPOCH);
        let api = FakeApi::new();
        let mut first = candidate(&api, &env, "first");
        let mut second = candidate(&api, &env, "second");
        first.acquire().await;
        let limit = Duration::from_secs(60);
        let start = env.clock.instant();
        env.clock.timeout(limit, second.acquire()).await.unwrap();
        assert!((15..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let start = env.clock.instant();
        env.clock.timeout(limit, first.hold()).await.unwrap();
        assert!(start.elapsed().as_secs() < 3, "the first must notice at its next renewal");
        second.release().await.unwrap();
        let start = env.clock.instant();
        first.acquire().await;
        assert!(start.elapsed().as_secs() < 5);
        let lease = api.get(&resource_of::<Lease>(), "kube-system", "boss").unwrap();
        assert_eq!(lease["spec"]["leaseTransitions"], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_renews_stays_and_one_cut_off_steps_down() {
        let env = Env::simulated(1, Timestamp::UNIX_EPOCH);
        let api = FakeApi::new();
        let mut first = candidate(&api, &env, "first");
        let mut second = candidate(&api, &env, "second");
        first.acquire().await;
        let minute = Duration::from_secs(60);
        tokio::select! {
            biased;
            () = first.hold() => panic!("lost the lease"),
            () = second.acquire() => panic!("took a lease that is renewed"),
            () = env.clock.sleep(minute) => {}
        }
        api.fault(|_| Some(Error::Connection("cut off".to_owned())));
        let start = env.clock.instant();
        env.clock.timeout(minute, first.hold()).await.unwrap();
        assert!((8..=12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}
