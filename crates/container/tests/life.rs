//! Containers from start to end on the real kernel: logs, exit codes, signals, limits, restarts.

#![allow(clippy::unwrap_used)]

mod rig;

use container::runtime::{ContainerState, Runtime, RuntimeError};
use rig::{Rig, memory, pod_init, pod_inits, supervisor, try_supervisor};
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_logs_and_ends() {
    let rig = Rig::new("life").await;
    let (sandbox, id) = rig.shell("one", "echo out; echo err >&2; printf last; exit 3").await;
    let status = rig.ended(&id).await;
    assert_eq!((status.state, status.exit_code, status.reason.as_str()), (ContainerState::Exited, 3, "Error"));
    assert!(status.started_at > 0 && status.finished_at >= status.started_at && status.created_at > 0);
    let mut log = rig.log(&sandbox, &id).await;
    log.sort();
    assert_eq!(log, ["stderr F err", "stdout F out", "stdout P last"]);
    rig.runtime.remove_container(&id).await.unwrap();
    assert!(matches!(rig.runtime.container(&id).await, Err(RuntimeError::NotFound { .. })));
    let done = rig.start(&sandbox, rig.container("done", &["true"])).await;
    let status = rig.ended(&done).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (0, "Completed"));
    rig.runtime.stop_sandbox(&sandbox.id).await.unwrap();
    rig.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    assert!(rig.runtime.sandboxes().await.unwrap().is_empty());
    assert!(rig.runtime.containers().await.unwrap().is_empty());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let rig = Rig::new("start").await;
    let sandbox = rig.pod("bad").await;
    let prefix = "failed to create containerd task: failed to create shim task: OCI runtime create failed: \
                  runc create failed: unable to start container process: ";
    for (name, args, why) in [
        ("missing", "nonesuch", "exec: \"nonesuch\": executable file not found in $PATH"),
        ("path", "/bin/nonesuch", "exec: \"/bin/nonesuch\": stat /bin/nonesuch: no such file or directory"),
        ("mode", "/bin/plain", "exec: \"/bin/plain\": permission denied"),
        ("directory", "/bin", "exec: \"/bin\": is a directory"),
    ] {
        let id = rig.runtime.create_container(&sandbox.id, rig.container(name, &[args])).await.unwrap();
        let error = rig.runtime.start_container(&id).await.unwrap_err();
        assert_eq!(error.to_string(), format!("{prefix}{why}: unknown"));
        let status = rig.runtime.container(&id).await.unwrap();
        let seen = (status.state, status.exit_code, status.reason.as_str(), status.started_at);
        assert_eq!(seen, (ContainerState::Exited, 128, "StartError", 0));
        assert_eq!(status.message, error.to_string());
    }
    let mut config = rig.container("user", &["true"]);
    config.user = "nobody-here".to_owned();
    let id = rig.runtime.create_container(&sandbox.id, config).await.unwrap();
    let error = rig.runtime.start_container(&id).await.unwrap_err().to_string();
    assert!(error.contains("unable to find user nobody-here: no matching entries in passwd file"), "{error}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_signals_then_kills() {
    let rig = Rig::new("stop").await;
    let sandbox = rig.pod("stop").await;
    let polite = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
    let id = rig.start(&sandbox, rig.container("polite", &["sh", "-c", polite])).await;
    rig.env.clock.sleep(Duration::from_millis(100)).await;
    rig.runtime.stop_container(&id, Duration::from_secs(20)).await.unwrap();
    assert_eq!(rig.runtime.container(&id).await.unwrap().exit_code, 7);

    let mut config = rig.container("own", &["sh", "-c", "trap 'exit 9' USR1; while :; do sleep 0.05; done"]);
    config.stop_signal = libc::SIGUSR1;
    let id = rig.start(&sandbox, config).await;
    rig.env.clock.sleep(Duration::from_millis(100)).await;
    rig.runtime.stop_container(&id, Duration::from_secs(20)).await.unwrap();
    assert_eq!(rig.runtime.container(&id).await.unwrap().exit_code, 9);

    let deaf = "trap '' TERM; while :; do sleep 0.05; done";
    let id = rig.start(&sandbox, rig.container("deaf", &["sh", "-c", deaf])).await;
    rig.env.clock.sleep(Duration::from_millis(100)).await;
    let begin = rig.env.clock.instant();
    rig.runtime.stop_container(&id, Duration::from_millis(300)).await.unwrap();
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
    let status = rig.runtime.container(&id).await.unwrap();
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "Error"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_memory_is_oom_killed() {
    let rig = Rig::new("oom").await;
    let sandbox = rig.pod("oom").await;
    let mut config = rig.container("eater", &["sh", "-c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"]);
    config.resources = memory(16 * 1024 * 1024);
    let id = rig.start(&sandbox, config).await;
    let status = rig.ended(&id).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_supervisor_and_kutter() {
    let mut rig = Rig::new("outlive").await;
    let script = "i=0; while [ $i -lt 15 ]; do echo $i; i=$((i+1)); sleep 0.1; done; exit 5";
    let (sandbox, id) = rig.shell("long", script).await;
    let (_, forever) = rig.shell("forever", "sleep 1000").await;
    let first = supervisor(&rig);
    sys::process::kill(first).unwrap();
    // A new supervisor comes by itself, and knows how to go on.
    let (_, next) = rig.shell("next", "exit 4").await;
    assert_eq!(rig.ended(&next).await.exit_code, 4);
    assert_ne!(supervisor(&rig), first);
    rig.restart().await;
    let status = rig.runtime.container(&id).await.unwrap();
    assert!(status.state == ContainerState::Running && status.pid.is_some(), "{status:?}");
    let status = rig.ended(&id).await;
    assert_eq!((status.exit_code, status.started_at > 0), (5, true));
    assert_eq!(rig.log(&sandbox, &id).await.len(), 15);
    // What ended while nobody looked is known as well.
    let (_, unseen) = rig.shell("unseen", "sleep 0.3; exit 6").await;
    rig.env.tasks.stop().await;
    std::thread::sleep(Duration::from_millis(600));
    rig.restart().await;
    let status = rig.runtime.container(&unseen).await.unwrap();
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 6));
    assert_eq!(rig.exec(&forever, &["echo", "here"]).await.0, "here\n");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_supervisor_is_replaced_without_being_asked() {
    let rig = Rig::new("kept").await;
    let first = supervisor(&rig);
    sys::process::kill(first).unwrap();
    let another = async {
        while try_supervisor(&rig).ok().is_none_or(|now| now == first) {
            rig.env.clock.sleep(Duration::from_millis(5)).await;
        }
    };
    rig.env.clock.timeout(rig::LIMIT, another).await.unwrap();
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_killed_at_its_work_makes_no_pod_twice() {
    let rig = Rig::new("twice").await;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| kill_as_pods_begin(&rig, &done));
        let make = async {
            for number in 0..40 {
                // Some are given up, when two supervisors in a row were killed.
                let _ = rig.runtime.run_sandbox(rig.sandbox(&format!("p{number}"))).await;
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(make));
        done.store(true, Ordering::Relaxed);
    });
    for given_up in rig.runtime.sandboxes().await.unwrap().iter().filter(|sandbox| !sandbox.ready) {
        rig.runtime.stop_sandbox(&given_up.id).await.unwrap();
        rig.runtime.remove_sandbox(&given_up.id).await.unwrap();
    }
    let mut known: Vec<i32> = rig.runtime.sandboxes().await.unwrap().iter().map(pod_init).collect();
    let mut running = pod_inits(&rig);
    known.sort_unstable();
    running.sort_unstable();
    assert!(known.len() > 5 && known == running, "{known:?} {running:?}");
    rig.end().await;
}

/// Kills the supervisor around the moment in which it forks a pod init: some time after the socket is there.
fn kill_as_pods_begin(rig: &Rig, done: &AtomicBool) {
    let mut seen = BTreeSet::new();
    while !done.load(Ordering::Relaxed) {
        let sandboxes = std::fs::read_dir(rig.options.state_dir.join("sandboxes")).unwrap().flatten();
        let begun = sandboxes.map(|entry| entry.path()).filter(|path| path.join("init.sock").exists());
        for path in begun.filter(|path| !seen.contains(path)).collect::<Vec<_>>() {
            let later = rig.env.clock.instant() + Duration::from_micros(seen.len() as u64 % 20 * 50);
            while rig.env.clock.instant() < later {}
            // None may listen right now.
            let _ = try_supervisor(rig).map(sys::process::kill);
            seen.insert(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kutter_in_another_mount_namespace_finds_its_mounts_again() {
    let rig = Rig::new("mounts").await;
    let kept = std::fs::read_link(format!("/proc/{}/ns/mnt", supervisor(&rig))).unwrap();
    let mut command = std::process::Command::new("unshare");
    let output = command.args(["-m", env!("CARGO_BIN_EXE_container-supervisor"), "mounts"]).arg(&rig.options.state_dir);
    let output = output.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said,
        format!("joined true, now in {}\n", kept.display()),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let state = rig.options.state_dir.clone();
    let mut alone = std::process::Command::new(env!("CARGO_BIN_EXE_container-supervisor"));
    let output = alone.arg("mounts").arg(&state).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("joined false"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_supervisor_is_replaced() {
    let mut rig = Rig::new("stuck").await;
    let (_, id) = rig.shell("stuck", "sleep 1000").await;
    let stuck = supervisor(&rig);
    sys::process::signal(sys::process::open(stuck).unwrap().as_fd(), libc::SIGSTOP).unwrap();
    rig.restart().await;
    assert_ne!(supervisor(&rig), stuck);
    assert_eq!(rig.exec(&id, &["echo", "here"]).await.0, "here\n");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_the_answer_to_a_question_that_was_given_up() {
    let rig = Rig::new("given-up").await;
    let (sandbox, id) = rig.shell("given-up", "sleep 1000").await;
    for _ in 0..5 {
        // Asked once, which sends the question, and dropped.
        let mut question = rig.runtime.stats(&id);
        let ask = |context: &mut Context<'_>| Poll::Ready(question.as_mut().poll(context).is_ready());
        std::future::poll_fn(ask).await;
    }
    let other = rig.runtime.run_sandbox(rig.sandbox("other")).await.unwrap();
    assert_ne!(pod_init(&sandbox), pod_init(&other));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_pod_init_is_noticed() {
    let rig = Rig::new("lost").await;
    let (sandbox, id) = rig.shell("lost", "sleep 1000").await;
    let init = pod_init(&sandbox);
    let pid = rig.runtime.container(&id).await.unwrap().pid.unwrap();
    sys::process::kill(init).unwrap();
    let status = rig.ended(&id).await;
    assert_eq!((status.state, status.exit_code, status.reason.as_str()), (ContainerState::Unknown, 255, "Unknown"));
    assert!(!rig.runtime.sandboxes().await.unwrap()[0].ready);
    let runs = || std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists();
    assert!(runs(), "its processes have outlived it");
    for _ in 0..2 {
        rig.runtime.stop_container(&id, Duration::from_secs(30)).await.unwrap();
        assert!(!runs(), "the container still runs");
    }
    rig.runtime.stop_sandbox(&sandbox.id).await.unwrap();
    rig.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_made_anew_is_not_touched_by_the_end_of_its_old_sandbox() {
    let rig = Rig::new("anew").await;
    let old = rig.pod("anew").await;
    let mut again = rig.sandbox("anew");
    again.attempt = 1;
    let new = rig.runtime.run_sandbox(again).await.unwrap();
    let id = rig.start(&new, rig.container("main", &["sleep", "1000"])).await;
    rig.runtime.stop_sandbox(&old.id).await.unwrap();
    rig.runtime.remove_sandbox(&old.id).await.unwrap();
    assert_eq!(rig.exec(&id, &["echo", "lives"]).await.0, "lives\n");
    assert!(rig.runtime.stats(&id).await.unwrap().pids > 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_pod_is_told_and_undone() {
    let rig = Rig::new("wrong").await;
    let mut config = rig.sandbox("wrong");
    config.sysctls = [("net.none.such".to_owned(), "1".to_owned())].into();
    let error = rig.runtime.run_sandbox(config).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to set sysctl net.none.such=1: "), "{error}");
    assert!(rig.runtime.sandboxes().await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(rig.options.state_dir.join("sandboxes")).unwrap().count(), 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_can_be_changed_while_it_runs() {
    let rig = Rig::new("limits").await;
    let (_, id) = rig.shell("limits", "sleep 1000").await;
    let files =
        ["memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us", "memory.max", "pids.max", "cpu.max"];
    let script = format!("cd /sys/fs/cgroup; cat {} 2>/dev/null", files.join(" "));
    let resources = container::runtime::Resources {
        cpu_quota_micros: Some(50_000),
        cpu_period_micros: Some(100_000),
        pids_limit: Some(17),
        ..memory(64 << 20)
    };
    rig.runtime.update_container_resources(&id, resources.clone()).await.unwrap();
    let seen = rig.exec(&id, &["sh", "-c", &script]).await.0;
    assert!(seen == "67108864\n17\n50000\n" || seen == "67108864\n17\n50000 100000\n", "{seen:?}");
    assert_eq!(rig.runtime.container(&id).await.unwrap().resources, resources);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_can_be_repeated() {
    let rig = Rig::new("repeat").await;
    let one = rig.pod("same").await;
    assert_eq!(rig.pod("same").await.id, one.id);
    let config = rig.container("main", &["sleep", "1000"]);
    let id = rig.start(&one, config.clone()).await;
    assert_eq!(rig.start(&one, config).await, id);
    let address = ["10.0.0.7".parse().unwrap()];
    rig.runtime.set_addresses(&one.id, address.to_vec()).await.unwrap();
    assert_eq!(rig.runtime.sandboxes().await.unwrap()[0].addresses, address);
    for _ in 0..2 {
        rig.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    }
    for _ in 0..2 {
        rig.runtime.stop_sandbox(&one.id).await.unwrap();
    }
    for _ in 0..2 {
        rig.runtime.remove_sandbox(&one.id).await.unwrap();
        rig.runtime.remove_container(&id).await.unwrap();
    }
    rig.end().await;
}
