//! Resizes of pods that run: what the API shows, and what the kernel was told.

use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::{Value, json};
use std::path::PathBuf;

fn container(name: &str, seconds: u32, resources: &Value) -> Value {
    json!({"name": name, "image": "busybox:1.28", "command": ["sleep", seconds.to_string()], "resources": resources})
}

fn pod(name: &str, containers: &[Value]) -> String {
    let spec = json!({"terminationGracePeriodSeconds": 0, "containers": containers});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
}

/// What each of the six has, and what it is to have.
fn six() -> [(Value, Value); 6] {
    let both = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    [
        // More of all.
        (
            json!({"requests": both("20m", "20Mi"), "limits": both("40m", "40Mi")}),
            json!({"requests": both("30m", "30Mi"), "limits": both("50m", "50Mi")}),
        ),
        // Less of all.
        (
            json!({"requests": both("30m", "30Mi"), "limits": both("60m", "60Mi")}),
            json!({"requests": both("20m", "20Mi"), "limits": both("40m", "40Mi")}),
        ),
        // Requests where there were none.
        (json!({}), json!({"requests": both("15m", "15Mi")})),
        // Limits beside the requests.
        (
            json!({"requests": both("20m", "20Mi")}),
            json!({"requests": both("20m", "20Mi"), "limits": both("70m", "70Mi")}),
        ),
        // One alone.
        (json!({"requests": {"cpu": "10m"}}), json!({"requests": {"cpu": "25m"}})),
        // Nothing.
        (json!({"requests": both("12m", "12Mi")}), json!({"requests": both("12m", "12Mi")})),
    ]
}

/// All pods of these tests, so that they start together.
pub fn make(kubectl: &Kubectl<'_>) {
    let before: Vec<Value> =
        six().iter().zip(1..).map(|((had, _), at)| container(&format!("c{at}"), 7100 + at, had)).collect();
    kubectl.apply(&pod("six", &before));
    let small = json!({"requests": {"cpu": "20m", "memory": "20Mi"}, "limits": {"memory": "40Mi"}});
    kubectl.apply(&pod("replaced", &[container("c1", 7111, &small)]));
    kubectl
        .apply(&pod("equal", &[container("c1", 7121, &json!({"requests": {"cpu": "2m"}, "limits": {"cpu": "5m"}}))]));
}

/// CPU shares, quota for 100 ms, and memory; −1 is no limit.
type Limits = (i64, i64, i64);

/// As the kernel has them for the one container with this command line, and by how much shares may
/// be off: version 2 keeps rounded weights instead.
fn told(kutter: &Kutter, seconds: u32) -> Result<(Limits, i64), String> {
    let all = kutter.workloads();
    let line = format!("sleep {seconds}");
    let found = all.iter().find(|(_, own)| own.trim_end() == line);
    let Some(((pid, _), _)) = found else { return Err(format!("no {line:?} in {all:?}")) };
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| error.to_string())?;
    let path_of = |controller: &str| {
        let mut lines = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let found = lines.find(|parts| parts[1].split(',').any(|one| one == controller))?;
        Some(PathBuf::from("/sys/fs/cgroup").join(controller).join(found[2].trim_start_matches('/')))
    };
    let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()));
    let number = |text: &str| text.trim().parse::<i64>().unwrap_or(-1);
    if let (Some(cpu), Some(memory)) = (path_of("cpu"), path_of("memory")) {
        let limit = number(&read(memory.join("memory.limit_in_bytes"))?);
        let shares = number(&read(cpu.join("cpu.shares"))?);
        let quota = number(&read(cpu.join("cpu.cfs_quota_us"))?);
        return Ok(((shares, quota, if limit > 1 << 60 { -1 } else { limit }), 0));
    }
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("no cgroup")?;
    let own = PathBuf::from("/sys/fs/cgroup").join(own);
    let weight = number(&read(own.join("cpu.weight"))?);
    let quota = read(own.join("cpu.max"))?.split(' ').next().map_or(-1, number);
    // The inverse of what runtimes do with shares.
    let shares = (weight - 1) * 262_142 / 9999 + 2;
    Ok(((shares, quota, number(&read(own.join("memory.max"))?)), 27))
}

/// What it should have been told: shares, quota, memory.
fn expected(resources: &Value) -> Limits {
    let amount = |kind: &str, name: &str| {
        let text = resources[kind][name].as_str()?;
        let (digits, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
        let number: i64 = digits.parse().unwrap();
        Some(match unit {
            "Mi" => number << 20,
            "m" => number,
            _ => number * 1000,
        })
    };
    let shares = amount("requests", "cpu").map_or(2, |milli| (milli * 1024 / 1000).max(2));
    let quota = amount("limits", "cpu").map_or(-1, |milli| (milli * 100).max(1000));
    (shares, quota, amount("limits", "memory").unwrap_or(-1))
}

fn fits((now, slack): (Limits, i64), wanted: Limits) -> Result<(), String> {
    let close = (now.0 - wanted.0).abs() <= slack && (now.1, now.2) == (wanted.1, wanted.2);
    holds(close, (now, wanted))
}

#[track_caller]
fn has(kutter: &Kutter, seconds: u32, resources: &Value) {
    until(&format!("sleep {seconds} has {resources}"), 40, || fits(told(kutter, seconds)?, expected(resources)));
}

fn resize(kubectl: &Kubectl<'_>, name: &str, containers: &[(String, Value)]) -> cluster_tests::kubectl::Said {
    let all: Vec<Value> = containers.iter().map(|(name, now)| json!({"name": name, "resources": now})).collect();
    let patch = json!({"spec": {"containers": all}}).to_string();
    kubectl.run(&["patch", "pod", name, "--subresource", "resize", "-p", &patch], "")
}

/// The status shows what each has, nothing is under way, and no container was restarted.
#[track_caller]
fn shows(kubectl: &Kubectl<'_>, name: &str, containers: &[(String, Value)]) {
    until(&format!("{name} shows its resources"), 40, || {
        let pod = kubectl.json(&format!("get pod {name}"));
        let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let shown = containers.iter().all(|(container, wanted)| {
            let status = statuses.iter().find(|status| status["name"] == container.as_str());
            status.is_some_and(|status| {
                let shown = &status["resources"];
                status["restartCount"] == 0 && ["requests", "limits"].iter().all(|kind| shown[kind] == wanted[kind])
            })
        });
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let waits = conditions.iter().any(|one| one["type"].as_str().is_some_and(|kind| kind.starts_with("PodResize")));
        holds(shown && !waits, &pod["status"])
    });
}

pub fn six_containers(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let named = |pick: fn((Value, Value)) -> Value| -> Vec<(String, Value)> {
        six().into_iter().zip(1..).map(|(one, at)| (format!("c{at}"), pick(one))).collect()
    };
    let (before, after) = (named(|one| one.0), named(|one| one.1));
    for ((_, had), at) in before.iter().zip(1..) {
        has(kutter, 7100 + at, had);
    }
    let said = resize(&kubectl, "six", &after);
    assert_eq!(said.code, 0, "{said:?}");
    for ((_, has_now), at) in after.iter().zip(1..) {
        has(kutter, 7100 + at, has_now);
    }
    shows(&kubectl, "six", &after);
}

pub fn through_the_replace_endpoint(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.container("replaced", "running", "");
    let wanted = json!({"requests": {"cpu": "35m", "memory": "35Mi"}, "limits": {"memory": "80Mi"}});
    until("the resize is taken", 20, || {
        let mut pod = kubectl.json("get pod replaced --subresource resize");
        assert_eq!(pod["metadata"]["uid"], kubectl.json("get pod replaced")["metadata"]["uid"]);
        pod["spec"]["containers"][0]["resources"] = wanted.clone();
        let said = kubectl.run(&["replace", "--subresource", "resize", "-f", "-"], &pod.to_string());
        holds(said.code == 0, said)
    });
    has(kutter, 7111, &wanted);
    shows(&kubectl, "replaced", &[("c1".to_owned(), wanted)]);
}

/// Amounts that are one to the kernel are still told apart; amounts that are one are no resize.
pub fn equal_amounts(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    kubectl.container("equal", "running", "");
    let less = json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}});
    assert_eq!(resize(&kubectl, "equal", &[("c1".to_owned(), less.clone())]).code, 0);
    shows(&kubectl, "equal", &[("c1".to_owned(), less.clone())]);
    has(kutter, 7121, &less);
    let generation = kubectl.json("get pod equal")["metadata"]["generation"].clone();
    let same = json!({"requests": {"cpu": "0.001"}, "limits": {"cpu": "0.005"}});
    assert_eq!(resize(&kubectl, "equal", &[("c1".to_owned(), same)]).code, 0);
    assert_eq!(kubectl.json("get pod equal")["metadata"]["generation"], generation);
    shows(&kubectl, "equal", &[("c1".to_owned(), less)]);
}

/// What does not fit beside another pod waits, and happens when that pod has gone.
pub fn a_deferred_one_gets_its_turn(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let node = kubectl.json("get node n1");
    let cores: i64 = node["status"]["allocatable"]["cpu"].as_str().unwrap().parse().unwrap();
    let asks = |milli: i64| json!({"requests": {"cpu": format!("{milli}m")}});
    kubectl.apply(&pod("grows", &[container("c1", 7131, &asks(100))]));
    kubectl.apply(&pod("big", &[container("c1", 7132, &asks(cores * 500))]));
    for name in ["grows", "big"] {
        kubectl.container(name, "running", "");
    }
    let more = asks(cores * 600);
    assert_eq!(resize(&kubectl, "grows", &[("c1".to_owned(), more.clone())]).code, 0);
    until("the resize is deferred", 20, || {
        let pod = kubectl.json("get pod grows");
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let waits = conditions.iter().any(|one| one["type"] == "PodResizePending" && one["reason"] == "Deferred");
        holds(waits, conditions)
    });
    kubectl.ok("delete pod big");
    // Well before the pod's worker would look by itself.
    until("the deferred resize has happened", 20, || fits(told(kutter, 7131)?, expected(&more)));
    shows(&kubectl, "grows", &[("c1".to_owned(), asks(cores * 600))]);
    kubectl.ok("delete pod grows --wait=false");
}
