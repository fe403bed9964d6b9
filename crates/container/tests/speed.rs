//! How long starts take and what a kept pod costs. Prints figures; fails only where something is
//! badly wrong, as machines differ.

#![allow(clippy::unwrap_used)]

mod rig;

use container::runtime::Runtime;
use rig::{Rig, pod_init, supervisor};
use std::sync::Arc;
use std::time::Duration;

/// Private memory of a process, in KiB.
fn private_kib(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let number = |key: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(key));
        lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
    };
    (number("Private_Dirty:") + number("Private_Clean:"), number("Pss:"))
}

/// Starts a sandbox with one container; gives the whole time and that of the sandbox.
async fn start_one(rig: &Rig, name: &str) -> (Duration, Duration) {
    let begin = rig.env.clock.instant();
    let sandbox = rig.pod(name).await;
    let made = begin.elapsed();
    rig.start(&sandbox, rig.container("main", &["sleep", "1000"])).await;
    (begin.elapsed(), made)
}

async fn print_starts(rig: &mut Rig) {
    let begin = rig.env.clock.instant();
    rig.restart().await;
    println!("start with a living supervisor: {:?}", begin.elapsed());
    sys::process::kill(supervisor(rig)).unwrap();
    let begin = rig.env.clock.instant();
    rig.restart().await;
    println!("start with a new supervisor: {:?}", begin.elapsed());
    let mut one = Vec::new();
    for number in 0..20 {
        one.push(start_one(rig, &format!("single{number}")).await);
    }
    one.sort();
    println!("one after the other: median {:?}, of it the sandbox {:?}; most {:?}", one[10].0, one[10].1, one[19].0);
}

/// The median pod init's private KiB.
async fn print_memory(rig: &Rig) -> u64 {
    let mut sizes: Vec<(u64, u64)> = Vec::new();
    for sandbox in rig.runtime.sandboxes().await.unwrap() {
        sizes.push(private_kib(pod_init(&sandbox)));
    }
    sizes.sort_unstable();
    let (private, pss) = sizes[sizes.len() / 2];
    println!("{} pod inits: median {private} KiB private, {pss} KiB PSS; most {:?}", sizes.len(), sizes.last());
    println!("supervisor: {:?} KiB private, PSS", private_kib(supervisor(rig)));
    private
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_pods_at_once() {
    let mut rig = Rig::new("speed").await;
    print_starts(&mut rig).await;
    let rig = Arc::new(rig);
    let begin = rig.env.clock.instant();
    let mut tasks = Vec::new();
    for number in 0..40 {
        let (rig, env) = (rig.clone(), rig.env.clone());
        tasks.push(env.tasks.spawn("start", async move {
            start_one(&rig, &format!("parallel{number}")).await;
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let took = begin.elapsed();
    println!("40 at once: {took:?}, {:?} each", took / 40);
    assert!(took < Duration::from_secs(20));
    let running = rig.runtime.containers().await.unwrap();
    assert!(running.iter().all(|one| one.pid.is_some()), "{running:?}");
    let private = print_memory(&rig).await;
    assert!(private < 800, "a pod init has {private} KiB");
    let usage = rig.runtime.stats(&running[0].id).await.unwrap();
    assert!(usage.memory_usage_bytes > 0 && usage.pids == 1, "{usage:?}");

    let begin = rig.env.clock.instant();
    for _ in 0..20 {
        assert_eq!(rig.exec(&running[0].id, &["true"]).await.2, 0);
    }
    println!("exec: {:?} each", begin.elapsed() / 20);
    let begin = rig.env.clock.instant();
    for sandbox in rig.runtime.sandboxes().await.unwrap().iter().take(10) {
        rig.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    }
    println!("remove: {:?} each", begin.elapsed() / 10);
    let begin = rig.env.clock.instant();
    Arc::into_inner(rig).unwrap().end().await;
    println!("all ended in {:?}", begin.elapsed());
}
