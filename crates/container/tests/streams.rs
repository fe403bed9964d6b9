//! exec, attach, port-forward and log rotation.

#![allow(clippy::unwrap_used)]

mod rig;

use container::runtime::{Runtime, RuntimeError};
use rig::{LIMIT, Rig, options};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn exec_sync_gives_output_and_code() {
    let rig = Rig::new("exec").await;
    let (_, id) = rig.shell("exec", "sleep 1000").await;
    let (out, err, code) = rig.exec(&id, &["sh", "-c", "echo out; echo err >&2; exit 42"]).await;
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", 42));
    assert_eq!(rig.exec(&id, &["sh", "-c", "kill -9 $$"]).await.2, 137);
    assert_eq!(rig.exec(&id, &["hostname"]).await.0, "exec\n");
    let many = rig.exec(&id, &["sh", "-c", "seq 100000"]).await.0;
    assert_eq!(many.lines().count(), 100_000);
    // Same user, groups, limits and filters as the container's first process.
    assert_eq!(rig.exec(&id, &["grep", "Seccomp:", "/proc/self/status"]).await.0, "Seccomp:\t2\n");
    let cgroup =
        rig.exec(&id, &["sh", "-c", "cut -d: -f3 /proc/self/cgroup | sort -u; cut -d: -f3 /proc/1/cgroup | sort -u"]);
    assert_eq!(cgroup.await.0, "/\n/\n");
    let missing = rig.runtime.exec_sync(&id, vec!["nonesuch".to_owned()], None).await.unwrap_err().to_string();
    let reason = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nonesuch\": \
                  executable file not found in $PATH: unknown";
    assert!(missing.ends_with(reason), "{missing}");
    let command = vec!["sh".to_owned(), "-c".to_owned(), "sleep 555 & sleep 555".to_owned()];
    let late = rig.runtime.exec_sync(&id, command, Some(Duration::from_millis(200))).await;
    assert!(matches!(late, Err(RuntimeError::Timeout(_))), "{late:?}");
    rig.env.clock.sleep(Duration::from_millis(100)).await;
    assert!(rig::processes_with("sleep\x00555").is_empty(), "the timed out command still runs");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_streams_both_ways() {
    let rig = Rig::new("both").await;
    let (_, id) = rig.shell("both", "sleep 1000").await;
    let mut streams = rig.runtime.exec(&id, options(&["sh", "-c", "cat; exit 8"], false)).await.unwrap();
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"to and fro").await.unwrap();
    drop(stdin);
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), streams.exit.await.unwrap()), ("to and fro", 8));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_with_a_terminal() {
    let rig = Rig::new("tty").await;
    let (_, id) = rig.shell("tty", "sleep 1000").await;
    let mut streams = rig.runtime.exec(&id, options(&["sh"], true)).await.unwrap();
    assert!(streams.stderr.is_none());
    streams.resize.as_ref().unwrap().send((123, 45)).await.unwrap();
    rig.env.clock.sleep(Duration::from_millis(100)).await;
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"tty; stty size; echo $TERM; exit 11\n").await.unwrap();
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert!(text.contains("/dev/pts/0\r\n45 123\r\nxterm\r\n"), "{text:?}");
    assert_eq!(streams.exit.await.unwrap(), 11);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_sees_output_and_gives_input() {
    let rig = Rig::new("attach").await;
    let sandbox = rig.pod("attach").await;
    let mut config = rig.container("main", &["sh", "-c", "read a; echo got $a; cat; exit 2"]);
    (config.stdin, config.stdin_once) = (true, true);
    let id = rig.start(&sandbox, config).await;
    let mut streams = rig.runtime.attach(&id).await.unwrap();
    let mut stdin = streams.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").await.unwrap();
    let mut stdout = streams.stdout.take().unwrap();
    let mut seen = [0; 12];
    stdout.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"got one\ntwo\n");
    // The end of the only client's input is the end of the input.
    drop(stdin);
    assert_eq!(rig.env.clock.timeout(LIMIT, streams.exit).await.unwrap().unwrap(), 2);
    assert_eq!(rig.log(&sandbox, &id).await, ["stdout F got one", "stdout F two"]);

    let mut config = rig.container("left", &["sh", "-c", "cat; exit 4"]);
    (config.stdin, config.stdin_once) = (true, true);
    let id = rig.start(&sandbox, config).await;
    // So is the end of the client itself.
    drop(rig.runtime.attach(&id).await.unwrap());
    assert_eq!(rig.ended(&id).await.exit_code, 4);

    let mut config = rig.container("terminal", &["sh", "-c", "read a; echo got $a; tty; exit 3"]);
    (config.stdin, config.tty) = (true, true);
    let id = rig.start(&sandbox, config).await;
    let mut streams = rig.runtime.attach(&id).await.unwrap();
    streams.stdin.take().unwrap().write_all(b"hello\n").await.unwrap();
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "hello\r\ngot hello\r\n/dev/pts/0\r\n");
    assert_eq!(streams.exit.await.unwrap(), 3);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_client_loses_nothing() {
    let rig = Rig::new("slow").await;
    let sandbox = rig.pod("slow").await;
    let mut config = rig.container("main", &["sh", "-c", "read a; seq 300000"]);
    config.stdin = true;
    let id = rig.start(&sandbox, config).await;
    let mut streams = rig.runtime.attach(&id).await.unwrap();
    streams.stdin.take().unwrap().write_all(b"\n").await.unwrap();
    rig.env.clock.sleep(Duration::from_millis(300)).await;
    let mut text = String::new();
    streams.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines.last()), (300_000, Some(&"300000")));
    rig.ended(&id).await;
    assert_eq!(rig.log(&sandbox, &id).await.len(), 300_000);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_forwarded() {
    let rig = Rig::new("ports").await;
    let (sandbox, _) = rig.shell("ports", "nc -l -p 8080 -e cat; sleep 1000").await;
    rig.env.clock.sleep(Duration::from_millis(200)).await;
    let (mut reader, mut writer) = rig.runtime.port_forward(&sandbox.id, 8080).await.unwrap();
    writer.write_all(b"through").await.unwrap();
    let mut back = [0; 7];
    rig.env.clock.timeout(LIMIT, reader.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"through");
    let Err(error) = rig.runtime.port_forward(&sandbox.id, 9).await else { panic!("nobody listens there") };
    assert!(error.to_string().contains("failed to connect to localhost:9 inside namespace"), "{error}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_rotated() {
    let rig = Rig::new("rotate").await;
    let script = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done";
    let (sandbox, id) = rig.shell("rotate", script).await;
    let path = sandbox.config.log_directory.join("main/0.log");
    rig.env.clock.sleep(Duration::from_millis(200)).await;
    std::fs::rename(&path, path.with_extension("old")).unwrap();
    rig.runtime.reopen_log(&id).await.unwrap();
    rig.env.clock.sleep(Duration::from_millis(200)).await;
    rig.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
    let number = |text: String, first: bool| {
        let mut lines = text.lines();
        let line = if first { lines.next() } else { lines.next_back() };
        line.unwrap().rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let last = number(std::fs::read_to_string(path.with_extension("old")).unwrap(), false);
    assert_eq!(number(std::fs::read_to_string(&path).unwrap(), true), last + 1);
    rig.end().await;
}

/// A pod init lives for months: nothing may stay open behind what has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_init_keeps_no_files_open() {
    let rig = Rig::new("open").await;
    let (sandbox, id) = rig.shell("open", "sleep 1000").await;
    let open = || std::fs::read_dir(format!("/proc/{}/fd", rig::pod_init(&sandbox))).unwrap().count();
    rig.exec(&id, &["true"]).await;
    let before = open();
    for number in 0..20 {
        rig.exec(&id, &["true"]).await;
        let _ = rig.runtime.exec_sync(&id, vec!["nonesuch".to_owned()], None).await;
        drop(rig.runtime.exec(&id, options(&["true"], true)).await.unwrap());
        drop(rig.runtime.attach(&id).await.unwrap());
        let short = rig.start(&sandbox, rig.container(&format!("short{number}"), &["true"])).await;
        rig.ended(&short).await;
    }
    let all_gone = async {
        while open() > before {
            rig.env.clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let gone = rig.env.clock.timeout(Duration::from_secs(5), all_gone).await;
    assert!(gone.is_ok(), "{before} files before, {} after", open());
    rig.end().await;
}
