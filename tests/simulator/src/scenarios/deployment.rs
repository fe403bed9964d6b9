//! A Deployment through crashes and dropped watches: rolled, scaled, paused, rolled back, its pods
//! and nodes taken away, by seed. Then quiet: it must converge, and then nobody may write.

use crate::judge::{DEPLOYMENTS, PODS, SETS};
use crate::player::{NAMESPACE, Player};
use crate::scenario::Scenario;
use base::Rng;
use client::{Request, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::ops::Range;

const NAME: &str = "web";
const DEPLOYMENT: GroupVersionResource = GroupVersionResource::of("apps", "v1", "deployments");
const SET: GroupVersionResource = GroupVersionResource::of("apps", "v1", "replicasets");
const POD: GroupVersionResource = GroupVersionResource::of("", "v1", "pods");

pub(super) struct Deployment {
    versions: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Roll,
    RollBad,
    RollBack,
    Scale,
    Strategy,
    Pause,
    Resume,
    DeletePod,
}

impl Scenario for Deployment {
    type Step = Step;

    const STEPS: &'static [(u64, Step)] = &[
        (6, Step::Roll),
        (2, Step::RollBad),
        (2, Step::RollBack),
        (4, Step::Scale),
        (2, Step::Strategy),
        (1, Step::Pause),
        (3, Step::Resume),
        (4, Step::DeletePod),
    ];
    const ROUNDS: Range<u64> = 8..16;
    const PAUSE: Range<u64> = 500..40_000;
    const FOLLOWED: &'static [(GroupVersionResource, &'static str)] =
        &[(POD, PODS), (SET, SETS), (DEPLOYMENT, DEPLOYMENTS)];

    async fn start(player: &Player) -> Result<Self, String> {
        let replicas = player.rng.u64(3..9);
        let rolling = rolling(&player.rng);
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": NAME}},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
                "template": {
                    "metadata": {"labels": {"app": NAME}},
                    "spec": {
                        "terminationGracePeriodSeconds": 5,
                        "containers": [{
                            "name": "web", "image": "good:1",
                            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                        }],
                    },
                },
            },
        });
        player.create(&DEPLOYMENT, &deployment).await;
        Ok(Deployment { versions: 1 })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        match step {
            Step::Roll => {
                self.versions += 1;
                set_image(player, format!("good:{}", self.versions)).await;
            }
            Step::RollBad => set_image(player, format!("bad:{}", self.versions)).await,
            Step::RollBack => set_image(player, format!("good:{}", player.rng.u64(1..=self.versions))).await,
            Step::Scale => patch(player, json!({"replicas": player.rng.u64(3..9)})).await,
            Step::Strategy => patch(player, json!({"strategy": {"rollingUpdate": rolling(&player.rng)}})).await,
            Step::Pause => patch(player, json!({"paused": true})).await,
            Step::Resume => patch(player, json!({"paused": false})).await,
            Step::DeletePod => delete_pod(player).await,
        }
    }

    async fn calm(&mut self, player: &Player) {
        patch(player, json!({"paused": false})).await;
        set_image(player, format!("good:{}", self.versions)).await;
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        Ok(player.world.net.ledger.judge(|judge, now| judge.unfinished(now)))
    }
}

fn rolling(rng: &Rng) -> Value {
    let surge = rng.u64(0..4);
    let unavailable = rng.u64(u64::from(surge == 0)..3);
    match rng.u64(0..4) {
        0 => json!({"maxSurge": "25%", "maxUnavailable": "25%"}),
        1 => json!({"maxSurge": format!("{}%", surge * 20), "maxUnavailable": unavailable}),
        _ => json!({"maxSurge": surge, "maxUnavailable": unavailable}),
    }
}

async fn patch(player: &Player, spec: Value) {
    player.patch(&DEPLOYMENT, NAME, json!({"spec": spec})).await;
}

async fn set_image(player: &Player, image: String) {
    patch(player, json!({"template": {"spec": {"containers": [{"name": "web", "image": image}]}}})).await;
}

async fn delete_pod(player: &Player) {
    let ledger = &player.world.net.ledger;
    let pods: Vec<_> =
        ledger.judge(|judge, _| judge.pods.iter().map(|(key, pod)| (key.clone(), pod.uid.clone())).collect());
    if pods.is_empty() {
        return;
    }
    let (key, uid) = player.any::<(std::sync::Arc<str>, String)>(&pods);
    ledger.judge(|judge, _| judge.doom(uid));
    let name = key.rsplit('/').next().unwrap_or_default();
    let body = json!({"preconditions": {"uid": uid}}).to_string();
    player.insist(Request::new(Verb::Delete, POD).namespace(NAMESPACE).name(name).body(body)).await;
}
