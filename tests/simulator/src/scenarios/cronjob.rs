//! CronJobs of each policy under a clock that jumps, suspended, resumed and changed, through crashes
//! and dropped watches.
//!
//! No time is served twice, none before it has come or long after its deadline; none while the CronJob
//! is suspended, and none while another job runs that must not be overlapped. In the end each has
//! served what was due, keeps no more history than it may, and says which jobs run.

use crate::ledger::{Change, Ledger, Objects, Written, under};
use crate::player::{NAMESPACE, Player};
use crate::scenario::Scenario;
use crate::skew::Skew;
use base::{Clock, Timestamp};
use meta::{GroupVersionResource, conditions, time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const CRON_JOB: GroupVersionResource = GroupVersionResource::of("batch", "v1", "cronjobs");
const JOB: GroupVersionResource = GroupVersionResource::of("batch", "v1", "jobs");
const CRON_JOBS: &str = "/registry/batch/cronjobs/default/";
const JOBS: &str = "/registry/batch/jobs/default/";
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Each policy's CronJob, with the seconds after which a missed time is not made up for.
const ALL: &[(&str, &str, Option<i64>)] =
    &[("allow", "Allow", None), ("forbid", "Forbid", Some(200)), ("replace", "Replace", Some(90))];
/// How long somebody may act on what is no longer so.
const WINDOW: Duration = Duration::from_secs(60);
/// A time is served this soon while all is well.
const PROMPT: Duration = Duration::from_secs(200);

pub(super) struct CronJobs {
    /// Who served nothing when all was well.
    late: Option<String>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Suspend,
    Resume,
    Reschedule,
    /// From now on jobs run for ever.
    Stall,
    Mend,
    DeleteJob,
}

impl Scenario for CronJobs {
    type Step = Step;

    const NODES: usize = 2;
    const STEPS: &'static [(u64, Step)] = &[
        (3, Step::Suspend),
        (5, Step::Resume),
        (2, Step::Reschedule),
        (3, Step::Stall),
        (5, Step::Mend),
        (3, Step::DeleteJob),
    ];
    const ROUNDS: Range<u64> = 10..30;
    const PAUSE: Range<u64> = 1000..60_000;
    /// Failed pods of Jobs are tried again after up to ten minutes.
    const CONVERGES_WITHIN: Duration = Duration::from_secs(7200);

    async fn start(player: &Player) -> Result<Self, String> {
        player.world.net.ledger.keep(Box::new(Rules::new(player.world.env.clock.clone()).into_rule()));
        for (name, policy, deadline) in ALL {
            let template = json!({"spec": {"backoffLimit": 100_000, "template": {"spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 5,
                "containers": [{"name": "c", "image": "done:1"}],
            }}}});
            let cron_job = json!({
                "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "schedule": schedule(player), "concurrencyPolicy": policy, "startingDeadlineSeconds": deadline,
                    "successfulJobsHistoryLimit": player.rng.u64(1..4), "jobTemplate": template,
                },
            });
            player.create(&CRON_JOB, &cron_job).await;
        }
        Ok(CronJobs { late: None })
    }

    async fn step(&mut self, player: &Player, step: Step) {
        let (name, ..) = *player.any(ALL);
        match step {
            Step::Suspend => suspend(player, name, true).await,
            Step::Resume => suspend(player, name, false).await,
            Step::Reschedule => {
                player.patch(&CRON_JOB, name, json!({"spec": {"schedule": schedule(player)}})).await;
            }
            Step::Stall => use_image(player, name, "bad:1").await,
            Step::Mend => use_image(player, name, "done:1").await,
            Step::DeleteJob => {
                let jobs = player.world.net.ledger.values(JOBS);
                if !jobs.is_empty() {
                    player.delete(&JOB, text(&player.any(&jobs)["metadata"]["name"])).await;
                }
            }
        }
    }

    /// They must start jobs for a while; then no more, so that there is an end.
    async fn calm(&mut self, player: &Player) {
        for (name, ..) in ALL {
            use_image(player, name, "done:1").await;
            suspend(player, name, false).await;
            player.patch(&CRON_JOB, name, json!({"spec": {"schedule": "* * * * *"}})).await;
        }
        delete_endless(player).await;
        let clock = &player.world.env.clock;
        clock.sleep(PROMPT).await;
        let ledger = &player.world.net.ledger;
        for (name, policy, _) in ALL {
            let cron_job = ledger.value(&format!("{CRON_JOBS}{name}")).unwrap_or_default();
            let served = at(&cron_job["status"]["lastScheduleTime"]);
            let known = served.or(at(&cron_job["metadata"]["creationTimestamp"])).unwrap_or(Timestamp::MIN);
            // One whose job still runs may have to wait; one that was ahead of the clock, too.
            let is_late = clock.now().duration_since(known) > jiff::SignedDuration::from_secs(130);
            if is_late && *policy != "Forbid" {
                self.late = Some(format!("{name} has served nothing since {known}"));
            }
        }
        for (name, ..) in ALL {
            suspend(player, name, true).await;
        }
        // One may have been made from what the CronJob said before.
        delete_endless(player).await;
    }

    fn unfinished(&self, player: &Player) -> Result<Option<String>, String> {
        if let Some(late) = &self.late {
            return Err(late.clone());
        }
        let ledger = &player.world.net.ledger;
        let jobs = ledger.values(JOBS);
        for (name, ..) in ALL {
            let cron_job = ledger.value(&format!("{CRON_JOBS}{name}")).unwrap_or_default();
            let own: Vec<&Value> = jobs.iter().map(|job| &**job).filter(|job| is_of(job, &cron_job)).collect();
            if let Some(job) = own.iter().find(|job| !is_over(job)) {
                return Ok(Some(format!("{} runs", job["metadata"]["name"])));
            }
            if let Some(listed) = cron_job["status"]["active"].get(0) {
                return Ok(Some(format!("{name} lists {listed}, which is over")));
            }
            let limit = cron_job["spec"]["successfulJobsHistoryLimit"].as_u64().and_then(|it| usize::try_from(it).ok());
            if limit.is_some_and(|limit| own.len() > limit) {
                return Ok(Some(format!("{name} keeps {} jobs, {limit:?} are allowed", own.len())));
            }
        }
        Ok(None)
    }

    fn disturbs(&self, _ledger: &Ledger, written: &[Written]) -> Option<String> {
        let first = written.iter().find(|one| !one.key.starts_with("/registry/events/"))?;
        Some(format!("{} was written while nothing happened", first.key))
    }
}

fn schedule(player: &Player) -> &'static str {
    player.any::<&str>(&["* * * * *", "*/2 * * * *", "1-59/3 * * * *"])
}

async fn delete_endless(player: &Player) {
    for job in player.world.net.ledger.values(JOBS).iter().filter(|job| never_ends(job)) {
        player.delete(&JOB, text(&job["metadata"]["name"])).await;
    }
}

async fn suspend(player: &Player, name: &str, suspend: bool) {
    player.patch(&CRON_JOB, name, json!({"spec": {"suspend": suspend}})).await;
}

async fn use_image(player: &Player, name: &str, image: &str) {
    let pod = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
    player.patch(&CRON_JOB, name, json!({"spec": {"jobTemplate": {"spec": {"template": pod}}}})).await;
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn at(value: &Value) -> Option<Timestamp> {
    time::parse(value.as_str()?).ok()
}

fn is_of(job: &Value, cron_job: &Value) -> bool {
    job["metadata"]["ownerReferences"][0]["uid"] == cron_job["metadata"]["uid"]
}

fn is_over(job: &Value) -> bool {
    ["Complete", "Failed"].into_iter().any(|kind| conditions::is_true(&job["status"]["conditions"], kind))
}

fn never_ends(job: &Value) -> bool {
    text(&job["spec"]["template"]["spec"]["containers"][0]["image"]).starts_with("bad")
}

/// What is judged at each write.
struct Rules {
    skew: Skew,
    served: BTreeSet<(String, String)>,
    /// Since when a CronJob is suspended.
    suspended: BTreeMap<String, Instant>,
    /// Since when a CronJob has known of a job that runs, by uid.
    listed: BTreeMap<String, Instant>,
}

impl Rules {
    fn new(clock: Clock) -> Self {
        let (skew, served) = (Skew::new(clock), BTreeSet::new());
        Rules { skew, served, suspended: BTreeMap::new(), listed: BTreeMap::new() }
    }

    fn into_rule(mut self) -> impl FnMut(&Change<'_>) -> Option<String> {
        move |change| {
            self.skew.look(change.now);
            if let Some(name) = change.key.strip_prefix(CRON_JOBS) {
                self.note(name, change.now, change.after?);
            }
            let name = change.key.strip_prefix(JOBS)?;
            match (change.before, change.after) {
                (None, Some(job)) => return self.judge(name, change.now, job, change.objects),
                (Some(job), None) => self.forget(job, change.objects),
                _ => {}
            }
            None
        }
    }

    fn note(&mut self, name: &str, now: Instant, cron_job: &Value) {
        if cron_job["spec"]["suspend"] == true {
            self.suspended.entry(name.to_owned()).or_insert(now);
        } else {
            self.suspended.remove(name);
        }
        for job in cron_job["status"]["active"].as_array().into_iter().flatten() {
            self.listed.entry(text(&job["uid"]).to_owned()).or_insert(now);
        }
    }

    /// Of a job that goes before its CronJob could note it, as when the user is quick and the controller
    /// dead, nobody can know.
    fn forget(&mut self, job: &Value, objects: &Objects) {
        let scheduled = text(&job["metadata"]["annotations"][SCHEDULED_AT]);
        let owner = text(&job["metadata"]["ownerReferences"][0]["name"]);
        let cron_job = objects.get(&*format!("{CRON_JOBS}{owner}"));
        let noted = cron_job.and_then(|(_, cron_job)| at(&cron_job["status"]["lastScheduleTime"]));
        if time::parse(scheduled).is_ok_and(|due: Timestamp| noted.is_none_or(|noted| noted < due)) {
            self.served.remove(&(owner.to_owned(), scheduled.to_owned()));
        }
    }

    fn judge(&mut self, name: &str, now: Instant, job: &Value, objects: &Objects) -> Option<String> {
        let scheduled = text(&job["metadata"]["annotations"][SCHEDULED_AT]).to_owned();
        let owner = text(&job["metadata"]["ownerReferences"][0]["name"]).to_owned();
        if !self.served.insert((owner.clone(), scheduled.clone())) {
            return Some(format!("{owner} serves {scheduled} twice"));
        }
        let due: Timestamp = time::parse(&scheduled).ok()?;
        if due > self.skew.latest() {
            return Some(format!("{name} was made before its time, {scheduled}"));
        }
        if self.suspended.get(&owner).is_some_and(|since| now - *since > WINDOW) {
            return Some(format!("{name} was made while {owner} was suspended"));
        }
        let (_, policy, deadline) = ALL.iter().find(|one| one.0 == owner)?;
        let jumped = self.skew.set().is_some_and(|at| now - at <= WINDOW);
        let late = self.skew.now().duration_since(due);
        let window = i64::try_from(WINDOW.as_secs()).unwrap_or(0);
        if deadline.is_some_and(|deadline| late > jiff::SignedDuration::from_secs(deadline + window)) && !jumped {
            return Some(format!("{name} was made {late} after its time"));
        }
        let known = |other: &Value| {
            let since = self.listed.get(text(&other["metadata"]["uid"]));
            let is_old = since.is_some_and(|since| now - *since > WINDOW);
            is_old && !is_over(other) && other["metadata"]["deletionTimestamp"].is_null()
        };
        let mut others = under(objects, JOBS).map(|(_, (_, other))| other).filter(|other: &&Arc<Value>| known(other));
        let runs = others.find(|other| text(&other["metadata"]["ownerReferences"][0]["name"]) == owner)?;
        (*policy != "Allow").then(|| format!("{name} was made while {} runs", runs["metadata"]["name"]))
    }
}
