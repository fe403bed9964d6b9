//! Writes what was decided about a pod's claims of devices: their allocation, that they are the pod's,
//! and, where the pod did not get to its node, that they are not.

use crate::cluster::{DEVICE_CLAIMS, DeviceClaimView};
use crate::cycle::{Lane, Scheduler};
use crate::framework::Case;
use crate::news::{DEVICE_CLAIM, News, Subject};
use crate::plugins::{Reservation, dynamic_resources};
use crate::pod::PodItem;
use base::Backoff;
use client::cache::{Item, Key, parse_version};
use client::{Error, PatchType, Request, Verb};
use meta::Reason;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Keeps a claim that has devices until they were taken back.
const PROTECTION: &str = "resource.kubernetes.io/delete-protection";

/// As often somebody else may change the claim in between.
const TRIES: usize = 5;

/// After this long without news a written claim is taken as it was written.
const PATIENCE: Duration = Duration::from_secs(30);

impl Scheduler {
    /// Writes all reservations. Those written stay, whatever becomes of the others: they are taken back
    /// with [`Scheduler::give_back_claims`].
    pub(crate) async fn prepare_claims(&self, pod: &PodItem, reservations: &[Reservation]) -> Result<(), String> {
        for reservation in reservations {
            let written = self.write_claim(pod, reservation).await;
            written.map_err(|why| format!("running PreBind plugin \"DynamicResources\": {why}"))?;
        }
        Ok(())
    }

    /// What was written shows in the cache, or was never written: it need not be kept in mind.
    pub(crate) fn forget_claims(&self, reservations: &[Reservation]) {
        let mut assumed = self.cluster.assumed();
        let known = reservations.iter().filter_map(|one| assumed.devices.remove(&one.uid));
        let is_any = known.count() > 0;
        drop(assumed);
        if is_any {
            // Others may have been refused what nobody has after all.
            self.pass_on(&News { kinds: DEVICE_CLAIM, subject: Subject::Other });
        }
    }

    async fn write_claim(&self, pod: &PodItem, reservation: &Reservation) -> Result<(), String> {
        let key = &reservation.key;
        let cached = self.cluster.device_claims.get_key(key);
        let mut claim: Option<Value> = cached.and_then(|item| item.decode().ok());
        let mut tries = 0;
        loop {
            let current = match claim.take() {
                Some(claim) => claim,
                None => self
                    .read_claim(key)
                    .await
                    .map_err(|why| format!("get updated claim {key} after conflict: {why}"))?,
            };
            match self.try_write(pod, reservation, current).await {
                Ok(version) => {
                    self.await_news(version).await;
                    return Ok(());
                }
                Err(Refusal::Error(error)) if error.is(Reason::Conflict) && tries < TRIES => tries += 1,
                // It may have been written or not; the next look at it tells.
                Err(Refusal::Error(error)) if error.leaves_doubt() => {
                    let Some(found) = self.surely_read(key).await else {
                        return Err(format!("claim {key} got deleted in the meantime"));
                    };
                    if tries == TRIES && !is_reserved(&found, pod) {
                        return Err(not_written(reservation, &error));
                    }
                    tries = (tries + 1).min(TRIES);
                    claim = Some(found);
                }
                Err(Refusal::Error(error)) => return Err(not_written(reservation, &error)),
                Err(Refusal::Other(why)) => return Err(why),
            }
        }
    }

    /// One attempt on a claim as it was read; the version that it has afterwards.
    async fn try_write(&self, pod: &PodItem, reservation: &Reservation, mut claim: Value) -> Result<u64, Refusal> {
        let key = &reservation.key;
        let gone = claim["metadata"]["uid"] != *reservation.uid || claim["metadata"]["deletionTimestamp"].is_string();
        if gone {
            return Err(Refusal::Other(format!("claim {key} got deleted in the meantime")));
        }
        let is_reserved = is_reserved(&claim, pod);
        let mut consumers = claim["status"]["reservedFor"].as_array().cloned().unwrap_or_default();
        let mut status = json!({});
        if let Some(given) = &reservation.given {
            let class = |name: &str| self.cluster.device_classes.get("", name)?.decode::<Value>().ok();
            let allocation = dynamic_resources::allocation(given, &claim, class);
            match &claim["status"]["allocation"] {
                Value::Null => {
                    claim = self.protect(key, claim).await?;
                    status["allocation"] = allocation;
                }
                // Written by a try of which the answer got lost.
                standing if *standing == allocation && is_reserved => return Ok(version_of(&claim)),
                _ => return Err(Refusal::Other(format!("claim {key} got allocated elsewhere in the meantime"))),
            }
        }
        if reservation.given.is_none() && is_reserved {
            return Ok(version_of(&claim));
        }
        if !is_reserved {
            consumers.push(dynamic_resources::consumer(pod));
        }
        status["reservedFor"] = consumers.into();
        let version = &claim["metadata"]["resourceVersion"];
        let patch = json!({"metadata": {"resourceVersion": version, "uid": reservation.uid}, "status": status});
        let written = self.patch_claim(key, Some("status"), PatchType::Merge, &patch).await?;
        Ok(version_of(&written))
    }

    /// Adds the finalizer that keeps the claim as long as it has devices.
    async fn protect(&self, key: &Key, claim: Value) -> Result<Value, Refusal> {
        let metadata = &claim["metadata"];
        let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
        if finalizers.iter().any(|one| *one == PROTECTION) {
            return Ok(claim);
        }
        finalizers.push(PROTECTION.into());
        let version = &metadata["resourceVersion"];
        let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
        Ok(self.patch_claim(key, None, PatchType::Merge, &patch).await?)
    }

    async fn patch_claim(
        &self,
        key: &Key,
        subresource: Option<&str>,
        kind: PatchType,
        patch: &Value,
    ) -> Result<Value, Error> {
        let mut request = Request::new(Verb::Patch(kind), DEVICE_CLAIMS).namespace(key.namespace()).name(key.name());
        if let Some(subresource) = subresource {
            request = request.subresource(subresource);
        }
        request.options.field_manager = Some("kube-scheduler".to_owned());
        let answer = self.client.object(request.body(patch.to_string())).await?;
        serde_json::from_slice(&answer).map_err(|error| Error::Decode(error.to_string()))
    }

    async fn read_claim(&self, key: &Key) -> Result<Value, Error> {
        let request = Request::new(Verb::Get, DEVICE_CLAIMS).namespace(key.namespace()).name(key.name());
        let answer = self.client.object(request).await?;
        serde_json::from_slice(&answer).map_err(|error| Error::Decode(error.to_string()))
    }

    /// Asks until it is told; None: there is no such claim, or it may not be seen.
    async fn surely_read(&self, key: &Key) -> Option<Value> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).with_jitter(0.5);
        loop {
            match self.read_claim(key).await {
                Ok(claim) => return Some(claim),
                Err(Error::Status(status)) if status.is(Reason::NotFound) || status.is(Reason::Forbidden) => {
                    return None;
                }
                Err(error) => debug!(claim = %key, %error, "cannot look up a claim"),
            }
            self.env.clock.sleep(backoff.next(&self.env.rng)).await;
        }
    }

    /// The pod did not get to its node: its claims are not its own any more.
    pub(crate) async fn give_back_claims(&self, pod: &PodItem, lane: &Lane) {
        let case = Case::new(pod, &lane.profile.args, &self.cluster);
        let Ok(claims) = dynamic_resources::claims_of(&case) else { return };
        for claim in claims.iter().filter(|claim| claim.view.reserved_for.contains(&pod.meta.uid)) {
            let patch = json!({
                "metadata": {"uid": claim.meta.uid},
                "status": {"reservedFor": [{"$patch": "delete", "uid": pod.meta.uid}]},
            });
            let answer = match self.patch_claim(&claim.key, Some("status"), PatchType::Strategic, &patch).await {
                // It may have been written or not; the next look at it tells.
                Err(error) if error.leaves_doubt() => self.surely_read(&claim.key).await,
                Err(error) => {
                    // Looked at again when the pod is, or when it is gone.
                    debug!(claim = %claim.key, %error, "cannot take back a reservation");
                    None
                }
                Ok(written) => Some(written),
            };
            // The pod's next attempt must not take it for its own still.
            if let Some(claim) = answer {
                self.await_news(version_of(&claim)).await;
            }
        }
    }

    /// Waits until the cache knows of a version, or until its watch must be broken, and will list anew.
    async fn await_news(&self, version: u64) {
        let _ = self.env.clock.timeout(PATIENCE, self.cluster.device_claims.wait_seen(version)).await;
    }

    /// Takes the devices of a claim that keeps its pod off every node; what came of it, in upstream's
    /// words.
    pub(crate) async fn free_claim(&self, claim: Option<&Arc<Item<DeviceClaimView>>>) -> String {
        let Some(claim) = claim else { return "still not schedulable".to_owned() };
        let patch = json!({
            "metadata": {"uid": claim.meta.uid, "resourceVersion": claim.meta.resource_version},
            "status": {"allocation": null, "reservedFor": null, "devices": null},
        });
        match self.patch_claim(&claim.key, Some("status"), PatchType::Merge, &patch).await {
            Ok(_) => "deallocation of ResourceClaim completed".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

/// Why a claim was not written.
enum Refusal {
    Error(Error),
    Other(String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Error(error)
    }
}

fn not_written(reservation: &Reservation, error: &Error) -> String {
    let what = if reservation.given.is_some() { "allocation and reservation" } else { "reservation" };
    format!("add {what} to claim {}: {error}", reservation.key)
}

/// Whether the claim is the pod's, among others.
fn is_reserved(claim: &Value, pod: &PodItem) -> bool {
    let mut consumers = claim["status"]["reservedFor"].as_array().into_iter().flatten();
    consumers.any(|one| one["uid"] == *pod.meta.uid)
}

fn version_of(claim: &Value) -> u64 {
    parse_version(claim["metadata"]["resourceVersion"].as_str().unwrap_or_default())
}
