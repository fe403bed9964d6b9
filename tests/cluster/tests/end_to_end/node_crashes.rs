//! What runs pods is killed while they come and go: kutter, its supervisor, processes in containers. In
//! the end each pod has what it needs, once, and nothing else is left. Of lost pod inits `pods` tells.

use base::Rng;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, remains, until};
use std::time::Duration;
use testkit::net::{Shape, World};

const PODS: usize = 12;
/// nginx's master and its worker.
const PROCESSES: usize = 2 * PODS;
const ROUNDS: usize = 6;
const KILLS: usize = 4;

#[test]
fn killed_under_its_pods() {
    let rng = Rng::seeded(37);
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::up(&world, 1);
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/web.yaml")).unwrap();
    kutter.kubectl().apply(&manifest.replace("replicas: 2", &format!("replicas: {PODS}")));
    kutter.kubectl().ready_pods("app=web", PODS);
    for _ in 0..ROUNDS {
        kutter.kubectl().ok("rollout restart deployment/web");
        let killed: Vec<String> = (0..KILLS).map(|_| kill_something(&mut kutter, &rng)).collect();
        all_is_there_once(&kutter, &killed);
    }
    kutter.down();
}

/// At any moment of a rollout, which takes some seconds.
fn kill_something(kutter: &mut Kutter, rng: &Rng) -> String {
    std::thread::sleep(Duration::from_millis(rng.u64(0..700)));
    let (what, found): (_, Vec<i32>) = match rng.usize(0..3) {
        0 => {
            kutter.kill();
            kutter.start();
            return "kutter".to_owned();
        }
        1 => ("supervisor", kutter.supervisor().into_iter().collect()),
        _ => ("workload", kutter.workloads().into_keys().map(|(pid, _)| pid).collect()),
    };
    let victim = (!found.is_empty()).then(|| found[rng.usize(0..found.len())]);
    victim.into_iter().for_each(remains::kill);
    format!("{what} {victim:?}")
}

fn all_is_there_once(kutter: &Kutter, killed: &[String]) {
    let kubectl = kutter.kubectl();
    kubectl.ok("rollout status deployment/web --timeout=120s");
    kubectl.ready_pods("app=web", PODS);
    until(&format!("every pod is there once, after the deaths of {killed:?}"), 60, || {
        let pods = kubectl.json("get pods")["items"].as_array().unwrap().len();
        let (inits, processes) = (kutter.pod_inits("").len(), kutter.workloads());
        let is_once = (pods, inits, processes.len()) == (PODS, PODS, PROCESSES);
        holds(is_once, (pods, inits, processes))
    });
}
