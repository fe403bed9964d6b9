//! How long starts take and what a kept pod costs. Prints figures; fails only where something is
//! badly wrong, as machines differ.

#![allow(clippy::unwrap_used)]

mod rig;

use container::runtime::Runtime;
use rig::{Rig, supervisor};
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

#[tokio::test(flavor = "multi_thread")]
async fn forty_pods_at_once() {
    let mut rig = Rig::new("speed").await;
    let begin = rig.env.clock.instant();
    rig.restart().await;
    println!("start with a living supervisor: {:?}", begin.elapsed());
    sys::process::kill(supervisor(&rig)).unwrap();
    let begin = rig.env.clock.instant();
    rig.restart().await;
    println!("start with a new supervisor: {:?}", begin.elapsed());
    let rig = Arc::new(rig);
    for round in 0..2 {
        let begin = rig.env.clock.instant();
        let mut one = Vec::new();
        for number in 0..10 {
            let begin = rig.env.clock.instant();
            let sandbox = rig.pod(&format!("single{round}-{number}")).await;
            let made = begin.elapsed();
            rig.start(&sandbox, rig.container("main", &["sleep", "1000"])).await;
            one.push((begin.elapsed(), made));
        }
        one.sort();
        let total = begin.elapsed() / 10;
        println!("one after the other: {total:?} each; median {:?}, of it the sandbox {:?}", one[5].0, one[5].1);
    }
    let begin = rig.env.clock.instant();
    let mut tasks = Vec::new();
    for number in 0..40 {
        let rig = rig.clone();
        let env = rig.env.clone();
        tasks.push(env.tasks.spawn("start", async move {
            let sandbox = rig.pod(&format!("parallel{number}")).await;
            rig.start(&sandbox, rig.container("main", &["sleep", "1000"])).await;
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
    let mut sizes: Vec<(u64, u64)> = Vec::new();
    for sandbox in rig.runtime.sandboxes().await.unwrap() {
        let netns = sandbox.netns.unwrap();
        let pid = netns.components().nth(2).unwrap().as_os_str().to_str().unwrap().parse().unwrap();
        sizes.push(private_kib(pid));
    }
    sizes.sort_unstable();
    let (private, pss) = sizes[sizes.len() / 2];
    println!("{} pod inits: median {private} KiB private, {pss} KiB PSS; most {:?}", sizes.len(), sizes.last());
    println!("supervisor: {:?} KiB private, PSS", private_kib(supervisor(&rig)));
    assert!(private < 2048, "a pod init has {private} KiB");
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
