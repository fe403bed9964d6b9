//! What a container sees and may do: mounts, users, capabilities, filters, namespaces.

#![allow(clippy::unwrap_used)]

mod rig;

use container::runtime::{ContainerConfig, Device, Mount, Propagation, Runtime, Seccomp};
use rig::Rig;
use std::path::Path;

/// The log of a container that runs one script to its end.
async fn said(rig: &Rig, name: &str, script: &str, change: impl FnOnce(&mut ContainerConfig)) -> Vec<String> {
    let sandbox = rig.pod(name).await;
    let mut config = rig.container("main", &["sh", "-c", script]);
    change(&mut config);
    let id = rig.start(&sandbox, config).await;
    rig.ended(&id).await;
    let log = rig.log(&sandbox, &id).await;
    rig.runtime.remove_sandbox(&sandbox.id).await.unwrap();
    log.into_iter().map(|line| line.split_once(" F ").unwrap().1.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_system_is_the_images_own() {
    let rig = Rig::new("files").await;
    let script = "hostname; cat /etc/resolv.conf /etc/hostname; pwd; echo $HOME $HOSTNAME $PATH; ls /dev | tr '\n' ' '; \
                  echo; echo x > /new && cat /new; stat -c %a /dev/shm; cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls -A /sys/firmware | wc -l; \
                  echo 1 > /proc/sys/kernel/sysrq || echo refused; echo $$; ls /sys/class/net; \
                  mkdir /sys/fs/cgroup/memory/x /sys/fs/cgroup/x || echo refused; cat /proc/self/cgroup | cut -d: -f3 | sort -u";
    let log = said(&rig, "files", script, |config| config.working_dir = "/made/for/me".to_owned()).await;
    let expected = [
        "files",
        "nameserver 10.96.0.10",
        "files",
        "/made/for/me",
        "/root files /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ",
        "x",
        "1777",
        "0",
        "0",
        "refused",
        "1",
        "lo",
        "refused",
        "/",
    ];
    let log: Vec<&str> = log.iter().map(String::as_str).filter(|line| !line.contains(": ")).collect();
    assert_eq!(log, expected);
    let image = rig.directory.path().join("image");
    assert!(!image.join("new").exists() && !image.join("made").exists(), "the image was written to");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_root_and_volumes() {
    let rig = Rig::new("volumes").await;
    let volume = rig.directory.path().join("volume");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("file"), "data\n").unwrap();
    let mount = |from: &Path, to: &str, read_only| Mount {
        host_path: from.to_owned(),
        container_path: to.into(),
        read_only,
        ..Mount::default()
    };
    let script = "touch /x || echo root; touch /bin/x || echo bin; touch /rw/x && echo rw; touch /ro/x || echo ro; \
                  cat /deep/inside/it; cat /rw/nested/file; touch /dev/shm/x && echo shm";
    let log = said(&rig, "volumes", script, |config| {
        config.read_only_rootfs = true;
        config.mounts = vec![
            mount(&volume, "/rw/nested", true),
            mount(&volume, "/ro", true),
            mount(&rig.directory.path().join("made-by-mount"), "/rw", false),
            mount(&volume.join("file"), "/deep/inside/it", true),
        ];
    })
    .await;
    let log: Vec<&str> = log.iter().map(String::as_str).filter(|line| !line.contains(": ")).collect();
    assert_eq!(log, ["root", "bin", "rw", "ro", "data", "data", "shm"]);
    assert!(rig.directory.path().join("made-by-mount/x").exists());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_mounts_stay_inside() {
    let rig = Rig::new("escape").await;
    let outside = rig.directory.path().join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, rig.directory.path().join("image/way-out")).unwrap();
    let script = "cat /way-out/x; readlink /way-out";
    let log = said(&rig, "escape", script, |config| {
        let (host_path, container_path) = ("/etc/passwd".into(), "/way-out/x".into());
        config.mounts = vec![Mount { host_path, container_path, ..Mount::default() }];
    });
    // The link led to the same path inside the container's root.
    let log = log.await;
    assert!(log[0].starts_with("root:") && log.last().unwrap() == outside.to_str().unwrap(), "{log:?}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_groups_and_capabilities() {
    let rig = Rig::new("users").await;
    let script = "id -u; id -g; id -G; grep -E '^(Cap(Eff|Bnd)|NoNewPrivs|Seccomp):' /proc/self/status; echo $HOME";
    let log = said(&rig, "root", script, |_| {}).await;
    let (effective, bounding) = ("CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb");
    assert_eq!(log, ["0", "0", "0", effective, bounding, "NoNewPrivs:\t0", "Seccomp:\t2", "/root"]);
    let log = said(&rig, "web", script, |config| {
        config.user = "web".to_owned();
        config.supplemental_groups = vec![77];
        config.no_new_privs = true;
        config.drop_capabilities = vec!["ALL".to_owned()];
        config.add_capabilities = vec!["NET_BIND_SERVICE".to_owned()];
    })
    .await;
    let (effective, bounding) = ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000400");
    assert_eq!(log, ["33", "33", "33 44 77", effective, bounding, "NoNewPrivs:\t1", "Seccomp:\t2", "/tmp"]);
    let log = said(&rig, "ids", script, |config| {
        (config.run_as_uid, config.run_as_gid) = (Some(1234), Some(5678));
        config.seccomp = Seccomp::Unconfined;
    })
    .await;
    assert_eq!(log[..3], ["1234", "5678", "5678"]);
    assert_eq!(log[6], "Seccomp:\t0");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_calls_are_filtered() {
    let rig = Rig::new("seccomp").await;
    let script = "unshare -n true && echo allowed || echo denied; mkdir /a && echo made || echo refused";
    let plain = |log: Vec<String>| log.into_iter().filter(|line| !line.contains(": ")).collect::<Vec<_>>();
    assert_eq!(plain(said(&rig, "default", script, |_| {}).await), ["denied", "made"]);
    let privileged = said(
        &rig,
        "privileged",
        "unshare -n true && echo allowed; mount -t tmpfs x /tmp && echo mounted; \
         ls /dev/vda /dev/loop-control /dev/kmsg 2>/dev/null | head -1 | wc -l; touch /sys/fs/cgroup/x 2>&1 | grep -c Read-only",
        |config| {
            config.privileged = true;
            (config.masked_paths, config.readonly_paths) = (Vec::new(), Vec::new());
        },
    );
    assert_eq!(plain(privileged.await), ["allowed", "mounted", "1", "0"]);
    let profile = rig.directory.path().join("profile.json");
    let text =
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}"#;
    std::fs::write(&profile, text).unwrap();
    let local = said(&rig, "local", script, |config| {
        config.seccomp = Seccomp::Localhost(profile);
        config.add_capabilities = vec!["SYS_ADMIN".to_owned()];
    });
    assert_eq!(plain(local.await), ["allowed", "refused"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_only_as_given() {
    let rig = Rig::new("devices").await;
    // The host's kmsg stands for any device.
    let script = "mknod /tmp/k c 1 11 && cat /dev/null && head -c1 /tmp/k >/dev/null 2>&1 && echo open || echo closed; \
                  head -c1 /dev/given >/dev/null && echo given";
    let log = said(&rig, "devices", script, |config| {
        let permissions = "rwm".to_owned();
        config.devices =
            vec![Device { host_path: "/dev/zero".into(), container_path: "/dev/given".into(), permissions }];
    });
    assert_eq!(log.await, ["closed", "given"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn process_namespaces() {
    let rig = Rig::new("pids").await;
    // Alone: only itself.
    let alone = said(&rig, "alone", "ps -o pid,comm | grep -c kutter", |_| {}).await;
    assert_eq!(alone, ["0"]);
    // Shared: the pod init is pid 1 and the other container is seen.
    let mut shared = rig.sandbox("shared");
    shared.share_process_namespace = true;
    let shared = rig.runtime.run_sandbox(shared).await.unwrap();
    let first = rig.start(&shared, rig.container("first", &["sleep", "1234"])).await;
    let script = "cat /proc/1/comm; ps -o args | grep -c '[s]leep 1234'; kill $(pidof sleep)";
    let second = rig.start(&shared, rig.container("second", &["sh", "-c", script])).await;
    rig.ended(&second).await;
    assert_eq!(rig.log(&shared, &second).await, ["stdout F kutter-pod", "stdout F 1"]);
    assert_eq!(rig.ended(&first).await.exit_code, 143);
    let third = rig.start(&shared, rig.container("third", &["sleep", "1000"])).await;
    let pid = rig.runtime.container(&third).await.unwrap().pid.unwrap();
    assert!(std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().starts_with("sleep\x001000"));
    assert_eq!(rig.exec(&third, &["sh", "-c", "exit 3"]).await.2, 3);
    rig.runtime.stop_sandbox(&shared.id).await.unwrap();
    assert_eq!(rig.ended(&third).await.exit_code, 137);
    // The host's.
    let mut host = rig.sandbox("host");
    (host.host_pid, host.host_network, host.host_ipc) = (true, true, true);
    let host = rig.runtime.run_sandbox(host).await.unwrap();
    assert_eq!(host.netns, None);
    // Counted without a look at each: others' processes end meanwhile.
    let script = "sleep 4321 & set -- /proc/[0-9]*; echo $#; cat /proc/self/stat | cut -d' ' -f1";
    let seen = rig.start(&host, rig.container("seen", &["sh", "-c", script])).await;
    rig.ended(&seen).await;
    let log = rig.log(&host, &seen).await;
    let number = |line: &String| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
    assert!(number(&log[0]) > 10 && number(&log[1]) > 10, "{log:?}");
    // What it left in the background has ended with it.
    assert!(rig::processes_with("sleep\x004321").is_empty());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_container_sees_its_targets_processes() {
    let rig = Rig::new("target").await;
    let (sandbox, _) = rig.shell("target", "exec sleep 7777").await;
    let mut config = rig.container("debugger", &["sh", "-c", "ps -o pid,args | grep '[s]leep 7777'"]);
    config.target_container = Some("main".to_owned());
    let id = rig.start(&sandbox, config).await;
    assert_eq!(rig.ended(&id).await.exit_code, 0);
    assert_eq!(rig.log(&sandbox, &id).await, ["stdout F     1 sleep 7777"]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_a_pod_share_network_memory_and_name() {
    let rig = Rig::new("pod").await;
    let mut config = rig.sandbox("pod");
    config.sysctls = [("net.ipv4.ip_local_port_range".to_owned(), "20000 20001".to_owned())].into();
    let sandbox = rig.runtime.run_sandbox(config).await.unwrap();
    let writer =
        "echo shared > /dev/shm/x; cat /proc/sys/net/ipv4/ip_local_port_range; nc -l -p 80 -e echo hello & sleep 1000";
    let mut first = rig.container("first", &["sh", "-c", writer]);
    // An ordinary user may use low ports in its pod.
    first.user = "web".to_owned();
    let first = rig.start(&sandbox, first).await;
    rig.env.clock.sleep(std::time::Duration::from_millis(200)).await;
    let reader = "cat /dev/shm/x; nc 127.0.0.1 80 </dev/null; df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    let second = rig.start(&sandbox, rig.container("second", &["sh", "-c", reader])).await;
    rig.ended(&second).await;
    assert_eq!(rig.log(&sandbox, &second).await, ["stdout F shared", "stdout F hello", "stdout F 65536"]);
    assert_eq!(rig.log(&sandbox, &first).await, ["stdout F 20000\t20001"]);
    rig.end().await;
}

/// A mount of the test's own on the host.
struct HostMount(std::path::PathBuf);

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_travel_where_the_host_shares_them() {
    use rustix::mount::{MountFlags, MountPropagationFlags};
    let rig = Rig::new("travel").await;
    let make = |name: &str, peering| {
        let path = rig.directory.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        rustix::mount::mount("travel", &path, "tmpfs", MountFlags::empty(), None).unwrap();
        let mount = HostMount(path);
        rustix::mount::mount_change(&mount.0, peering).unwrap();
        std::fs::create_dir_all(mount.0.join("inner")).unwrap();
        std::fs::create_dir_all(mount.0.join("outer")).unwrap();
        mount
    };
    let (shared, private) =
        (make("shared", MountPropagationFlags::SHARED), make("private", MountPropagationFlags::PRIVATE));
    let volume = |from: &HostMount, to: &str, propagation| Mount {
        host_path: from.0.clone(),
        container_path: to.into(),
        propagation,
        ..Mount::default()
    };
    let sandbox = rig.pod("travel").await;
    for propagation in [Propagation::Bidirectional, Propagation::HostToContainer] {
        let mut config = rig.container(&format!("refused{}", propagation as u8), &["true"]);
        config.mounts = vec![volume(&private, "/volume", propagation)];
        let id = rig.runtime.create_container(&sandbox.id, config).await.unwrap();
        let error = rig.runtime.start_container(&id).await.unwrap_err().to_string();
        let kind = if propagation == Propagation::Bidirectional { "shared" } else { "shared or slave" };
        assert!(error.contains(&format!("but it is not a {kind} mount")), "{error}");
    }
    let mut config =
        rig.container("main", &["sh", "-c", "mount -t tmpfs in /both/inner && mkdir /both/inner/x && sleep 1000"]);
    config.privileged = true;
    config.mounts = vec![
        volume(&shared, "/both", Propagation::Bidirectional),
        volume(&shared, "/down", Propagation::HostToContainer),
        volume(&shared, "/own", Propagation::Private),
    ];
    let id = rig.start(&sandbox, config).await;
    rig.env.clock.sleep(std::time::Duration::from_millis(200)).await;
    let outer = shared.0.join("outer");
    rustix::mount::mount("outer", &outer, "tmpfs", MountFlags::empty(), None).unwrap();
    let (_outer, _inner) = (HostMount(outer.clone()), HostMount(shared.0.join("inner")));
    std::fs::create_dir(outer.join("y")).unwrap();
    assert!(shared.0.join("inner/x").exists(), "the container's mount did not reach the host");
    let seen = rig.exec(
        &id,
        &["sh", "-c", "cd /; ls -d both/outer/y down/outer/y own/outer/y down/inner/x own/inner/x 2>/dev/null"],
    );
    assert_eq!(seen.await.0, "both/outer/y\ndown/inner/x\ndown/outer/y\n");
    drop((_outer, _inner, shared, private));
    rig.end().await;
}
