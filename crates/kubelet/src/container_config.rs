//! Everything the runtime must know to make one container of a pod.

use crate::agent::Agent;
use crate::environment::{self, Addresses, Variables};
use crate::expand::{expand, expand_strictly};
use crate::names;
use crate::pod::spec::{self, PodRef, Slot};
use crate::pod::volumes::PodVolumes;
use crate::probe::listening;
use crate::{resources, security};
use container::runtime::{ContainerConfig, Device, Mount, Propagation, SandboxStatus};
use images::{Image, ImageConfig};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use volumes::subpath;

/// The container to be made.
pub struct Order<'a> {
    pub pod: &'a Pod,
    pub slot: Slot,
    pub container: &'a Container,
    pub image: &'a Image,
    pub sandbox: &'a SandboxStatus,
    pub volumes: &'a PodVolumes,
    pub attempt: u32,
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
pub const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";

/// # Errors
/// The message of CreateContainerConfigError.
pub async fn make(agent: &Agent, order: &Order<'_>) -> Result<ContainerConfig, String> {
    let Order { pod, container, image, .. } = *order;
    let addresses = Addresses {
        pod: if order.sandbox.addresses.is_empty() {
            agent.options.node_ips.clone()
        } else {
            order.sandbox.addresses.clone()
        },
        host: agent.options.node_ips.clone(),
    };
    let own = environment::make(agent, pod, container, &addresses).await?;
    let lookup = |name: &str| own.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let workdir = container.working_dir.clone().filter(|path| !path.is_empty());
    let mut config = ContainerConfig {
        name: container.name.clone(),
        attempt: order.attempt,
        rootfs_layers: image.layers.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_ref: image_ref(image),
        args: command_line(container, &image.config, &lookup),
        env: merge(&image.config, &own, &order.sandbox.config.hostname, container.tty == Some(true)),
        working_dir: workdir.unwrap_or_else(|| image.config.workdir.clone()),
        labels: labels(pod, container),
        annotations: annotations(order),
        log_path: PathBuf::from(&container.name).join(format!("{}.log", order.attempt)),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        resources: resources::of_container(pod, container, agent.node_memory()),
        stop_signal: stop_signal(container, &image.config),
        target_container: target(order),
        ..ContainerConfig::default()
    };
    if config.args.is_empty() {
        return Err("no command specified".to_owned());
    }
    if config.working_dir.is_empty() {
        config.working_dir = "/".to_owned();
    }
    security::apply(pod, container, &image.config, &agent.options.root_dir.join("seccomp"), &mut config)?;
    config.mounts = mounts(agent, order, &lookup).await?;
    config.devices = devices(order);
    Ok(config)
}

pub fn image_ref(image: &Image) -> String {
    image.repo_digests.first().cloned().unwrap_or_else(|| image.id.clone())
}

/// A command of the user's own hides entrypoint and arguments of the image; arguments alone hide
/// the image's arguments.
fn command_line(container: &Container, image: &ImageConfig, lookup: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let given = |words: &Option<Vec<String>>| -> Option<Vec<String>> {
        let words = words.as_ref().filter(|words| !words.is_empty())?;
        Some(words.iter().map(|word| expand(word, lookup)).collect())
    };
    match (given(&container.command), given(&container.args)) {
        (Some(command), args) => command.into_iter().chain(args.unwrap_or_default()).collect(),
        (None, Some(args)) => image.entrypoint.iter().cloned().chain(args).collect(),
        (None, None) => image.entrypoint.iter().chain(&image.cmd).cloned().collect(),
    }
}

/// The image's variables first; the pod's own take their place.
fn merge(image: &ImageConfig, own: &Variables, hostname: &str, tty: bool) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = vec![("PATH".to_owned(), DEFAULT_PATH.to_owned())];
    let mut set = |name: &str, value: &str| match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => all.push((name.to_owned(), value.to_owned())),
    };
    set("HOSTNAME", hostname);
    if tty {
        set("TERM", "xterm");
    }
    for line in &image.env {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        set(name, value);
    }
    for (name, value) in own {
        set(name, value);
    }
    all
}

fn labels(pod: &Pod, container: &Container) -> BTreeMap<String, String> {
    let PodRef { namespace, name, uid } = PodRef::of(pod);
    [
        (names::POD_NAME, name),
        (names::POD_NAMESPACE, namespace),
        (names::POD_UID, uid),
        (names::CONTAINER_NAME, container.name.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn annotations(order: &Order<'_>) -> BTreeMap<String, String> {
    let container = order.container;
    let text = |value: &Option<String>, default: &str| value.clone().unwrap_or_else(|| default.to_owned());
    let kind = match order.slot {
        Slot::Init(_) => "init",
        Slot::Main(_) => "main",
        Slot::Ephemeral(_) => "ephemeral",
    };
    let mut all = BTreeMap::from([
        (names::HASH, spec::hash(container)),
        (names::RESTART_COUNT, order.attempt.to_string()),
        (names::TERMINATION_MESSAGE_PATH, text(&container.termination_message_path, DEFAULT_MESSAGE_PATH)),
        (names::TERMINATION_MESSAGE_POLICY, text(&container.termination_message_policy, "File")),
        (names::CONTAINER_TYPE, kind.to_owned()),
    ]);
    let grace = order.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    all.insert(names::POD_GRACE_PERIOD, grace.to_string());
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if let Some(json) = hook.and_then(|hook| serde_json::to_string(hook).ok()) {
        all.insert(names::PRE_STOP, json);
    }
    if let Some(json) = container.ports.as_ref().and_then(|ports| serde_json::to_string(ports).ok()) {
        all.insert(names::PORTS, json);
    }
    let awaited = listening::awaited_ports(container, &order.image.config);
    if !awaited.is_empty() {
        all.insert(names::AWAITED_PORTS, awaited);
    }
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The pod's own word, else the image's.
fn stop_signal(container: &Container, image: &ImageConfig) -> i32 {
    let own = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    own.and_then(signal_number).or_else(|| signal_number(&image.stop_signal)).unwrap_or(0)
}

/// `SIGQUIT`, `QUIT`, `3` or `SIGRTMIN+3`.
fn signal_number(text: &str) -> Option<i32> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    const RTMIN: i32 = 34;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return if offset.is_empty() { Some(RTMIN) } else { offset.parse::<i32>().ok().map(|offset| RTMIN + offset) };
    }
    NAMES.iter().position(|known| *known == name).and_then(|index| i32::try_from(index + 1).ok())
}

fn target(order: &Order<'_>) -> Option<String> {
    let Slot::Ephemeral(index) = order.slot else { return None };
    let name = spec::ephemeral_containers(order.pod).get(index)?.target_container_name.clone()?;
    Some(name).filter(|name| !name.is_empty())
}

async fn mounts(
    agent: &Agent,
    order: &Order<'_>,
    lookup: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    for (index, mount) in order.container.volume_mounts.iter().flatten().enumerate() {
        mounts.push(volume_mount(agent, order, index, mount, lookup).await?);
    }
    let taken = |path: &str| mounts.iter().any(|mount: &Mount| mount.container_path == Path::new(path));
    let pod_directory = agent.pod_directory(&PodRef::of(order.pod).uid);
    if !taken("/etc/hosts") {
        mounts.push(plain(pod_directory.join("etc-hosts"), "/etc/hosts"));
    }
    let message_path = order.container.termination_message_path.as_deref().unwrap_or(DEFAULT_MESSAGE_PATH);
    if !message_path.is_empty() {
        mounts.push(plain(message_file(agent, &pod_directory, order)?, message_path));
    }
    Ok(mounts)
}

fn plain(host: PathBuf, container: &str) -> Mount {
    Mount { host_path: host, container_path: PathBuf::from(container), ..Mount::default() }
}

/// An empty file that every user of the container may write its last words to.
fn message_file(agent: &Agent, pod_directory: &Path, order: &Order<'_>) -> Result<PathBuf, String> {
    let directory = pod_directory.join("containers").join(&order.container.name);
    let path = directory.join(format!("{:08x}", agent.env.rng.u64(0..1 << 32)));
    let failed = |error: std::io::Error| format!("cannot make {}: {error}", path.display());
    std::fs::create_dir_all(&directory).map_err(failed)?;
    std::fs::write(&path, "").map_err(failed)?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(&path, open).map_err(failed)?;
    Ok(path)
}

async fn volume_mount(
    agent: &Agent,
    order: &Order<'_>,
    index: usize,
    mount: &VolumeMount,
    lookup: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<Mount, String> {
    let container = &order.container.name;
    let volume = order
        .volumes
        .get(&mount.name)
        .ok_or_else(|| format!("cannot find volume {:?} to mount into container {container:?}", mount.name))?;
    let expression = mount.sub_path_expr.as_deref().filter(|path| !path.is_empty());
    let subpath = match expression {
        Some(text) => expand_strictly(text, &lookup)
            .map_err(|name| format!("failed to expand subPathExpr {text:?}: missing value for {name:?}"))?,
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    let mut host_path = volume.path.clone();
    if !subpath.is_empty() {
        if Path::new(&subpath).is_absolute() || subpath.split('/').any(|part| part == "..") {
            return Err(format!("error SubPath `{subpath}` must not be an absolute path or contain '..'"));
        }
        let target = agent.pod_directory(&PodRef::of(order.pod).uid).join("volume-subpaths");
        let target = target.join(&mount.name).join(container).join(index.to_string());
        let mounts = agent.volumes.mounts.as_ref();
        host_path = subpath::prepare(mounts, &volume.path, &subpath, &target).await.map_err(|error| {
            tracing::warn!(%error, "cannot prepare a subPath");
            format!("failed to prepare subPath for volumeMount {:?} of container {container:?}", mount.name)
        })?;
    }
    let read_only = mount.read_only == Some(true) || volume.read_only;
    Ok(Mount {
        host_path,
        container_path: Path::new("/").join(&mount.mount_path),
        read_only,
        recursive_read_only: read_only
            && matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible")),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            _ => Propagation::Private,
        },
    })
}

/// A privileged container gets the node's devices from the runtime; others none but the usual.
fn devices(order: &Order<'_>) -> Vec<Device> {
    let devices = order.container.volume_devices.iter().flatten();
    let of = |device: &k8s_openapi::api::core::v1::VolumeDevice| {
        order.volumes.get(&device.name).map(|volume| Device {
            host_path: volume.path.clone(),
            container_path: PathBuf::from(&device.device_path),
            permissions: "rwm".to_owned(),
        })
    };
    devices.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_arguments_hide_the_images() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let image = ImageConfig { entrypoint: words("/entry -e"), cmd: words("cmd"), ..ImageConfig::default() };
        let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
        for (command, args, expected) in [
            ("", "", "/entry -e cmd"),
            ("", "x $(A)", "/entry -e x 1"),
            ("sh", "", "sh"),
            ("sh $(A)", "-c $(B)", "sh 1 -c $(B)"),
        ] {
            let container =
                Container { command: Some(words(command)), args: Some(words(args)), ..Container::default() };
            assert_eq!(command_line(&container, &image, &lookup), words(expected));
        }
    }

    #[test]
    fn signals_by_any_name() {
        for (text, number) in [
            ("SIGQUIT", Some(3)),
            ("quit", Some(3)),
            ("15", Some(15)),
            ("SIGRTMIN+3", Some(37)),
            ("SIGSYS", Some(31)),
            ("", None),
            ("SIGNONE", None),
        ] {
            assert_eq!(signal_number(text), number, "{text}");
        }
    }

    #[test]
    fn the_users_variables_come_last() {
        let image = ImageConfig { env: vec!["PATH=/opt".to_owned(), "A=image".to_owned()], ..ImageConfig::default() };
        let own = vec![("A".to_owned(), "own".to_owned())];
        let merged: BTreeMap<_, _> = merge(&image, &own, "h", false).into_iter().collect();
        assert_eq!((merged["PATH"].as_str(), merged["A"].as_str(), merged["HOSTNAME"].as_str()), ("/opt", "own", "h"));
    }
}
