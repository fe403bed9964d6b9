//! Commands and flags, each with its help; every command's work is in its own module.

use crate::access_flags::{self, AccessOptions};
use crate::{agent, api_flags, convert, down, images, node_flags, rotation, split, status, token, up};
use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

/// One command of the binary.
struct Entry {
    name: &'static str,
    build: fn() -> Command,
    run: fn(&ArgMatches) -> anyhow::Result<ExitCode>,
}

const ALL: &[Entry] = &[
    Entry { name: "up", build: up_command, run: |matches| up::run(up_options(matches)?) },
    Entry {
        name: split::COMMAND,
        build: || up_command().name(split::COMMAND).hide(true),
        run: |matches| split::run(up_options(matches)?),
    },
    Entry { name: "agent", build: agent_command, run: |matches| agent::run(agent_options(matches)?) },
    Entry { name: "down", build: down_command, run: |matches| down::run(&dir(matches)) },
    Entry { name: "status", build: status_command, run: |matches| status::run(&dir(matches)) },
    Entry { name: "token", build: token_command, run: token },
    Entry { name: "secrets", build: rotation::command, run: rotation::run },
    Entry { name: "images", build: images_command, run: images::run },
    Entry { name: "convert", build: convert::command, run: convert::run },
    Entry { name: "version", build: version_command, run: version },
];

pub fn run(args: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let mut command = Command::new("kutter")
        .about("All of Kubernetes in one small, fast binary")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help("Also: kutter kubectl …, or this binary called as kubectl.");
    for entry in ALL {
        command = command.subcommand((entry.build)());
    }
    let matches = match command.try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            error.print().context("cannot print")?;
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
        }
    };
    let Some((name, matches)) = matches.subcommand() else { return Ok(ExitCode::FAILURE) };
    match ALL.iter().find(|entry| entry.name == name) {
        Some(entry) => (entry.run)(matches),
        None => Ok(ExitCode::FAILURE),
    }
}

/// `--data-dir`, the same for every command that talks to an instance.
pub fn data_dir() -> Arg {
    value("data-dir", "DIR", "Where this instance keeps everything").default_value("/var/lib/kutter")
}

fn value(name: &'static str, shown: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(shown).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn up_command() -> Command {
    Command::new("up")
        .about("Run a cluster in the foreground: API server, store, controllers, scheduler, node, network, DNS")
        .after_help(
            "Examples:\n  kutter up\n  kutter up --data-dir /tmp/a --listen 127.0.0.1:7443\n  \
             kutter up --no-node --write-kubeconfig ~/.kube/config",
        )
        .arg(data_dir())
        .arg(value("listen", "ADDR:PORT", "Where the API server listens").default_value("0.0.0.0:6443"))
        .arg(value("advertise-address", "ADDR", "Where others reach the API server [default: the node's address]"))
        .arg(value("node-name", "NAME", "Name of this node [default: the host's name]"))
        .arg(value("node-ip", "ADDR", "Address of this node [default: that of the default route]"))
        .arg(value("pod-cidr", "CIDR", "Addresses of pods").default_value("10.244.0.0/16"))
        .arg(value("node-cidr-mask-size", "BITS", "Size of each node's part of it").default_value("24"))
        .arg(value("service-cidr", "CIDR", "Addresses of services").default_value("10.96.0.0/16"))
        .arg(value("cluster-domain", "DOMAIN", "DNS domain of the cluster").default_value("cluster.local"))
        .arg(value("token-auth-file", "FILE", "CSV file of tokens: token,user,uid,\"group1,group2\""))
        .args(access_flags::args())
        .arg(value("feature-gates", "A=true,B=false", "Upstream's feature gates").action(ArgAction::Append))
        .args(api_flags::args())
        .arg(flag("no-node", "Run the control plane alone"))
        .arg(flag("split", "Run server and node as two processes: a server that fails leaves the node running"))
        .arg(flag("no-scheduler", "Leave scheduling to a scheduler of one's own"))
        .arg(
            value(
                "disable",
                "ROOM",
                "Leave out a room that another program takes the place of: repeat, or separate by commas",
            )
            .action(ArgAction::Append)
            .value_delimiter(',')
            .value_parser(ROOMS),
        )
        .arg(
            value("leader-elect", "BOOL", "Let controllers and scheduler act only while they hold their leases")
                .value_parser(value_parser!(bool))
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .default_value("true"),
        )
        .arg(value("scheduler-config", "FILE", "Profiles and extenders: upstream's KubeSchedulerConfiguration"))
        .arg(value("write-kubeconfig", "PATH", "Also write the administrator's kubeconfig here"))
        .args(node_flags::args())
}

/// What `--disable` can leave out.
const ROOMS: [&str; 3] = ["controllers", "scheduler", "node"];

fn up_options(matches: &ArgMatches) -> anyhow::Result<up::Options> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let needed = |name: &str| text(name).unwrap_or_default();
    let listen = needed("listen");
    let gates = matches.get_many::<String>("feature-gates").into_iter().flatten().map(String::as_str);
    let is_disabled = |room: &str| matches.get_many::<String>("disable").into_iter().flatten().any(|name| name == room);
    Ok(up::Options {
        data_dir: dir(matches),
        listen: listen.parse::<SocketAddr>().with_context(|| format!("--listen: {listen:?} is no ADDR:PORT"))?,
        advertise_address: address(matches, "advertise-address")?,
        node_name: text("node-name"),
        node_ip: address(matches, "node-ip")?,
        pod_cidr: needed("pod-cidr"),
        node_cidr_mask_size: node_flags::number(matches, "node-cidr-mask-size")?,
        service_cidr: needed("service-cidr"),
        cluster_domain: needed("cluster-domain"),
        token_auth_file: text("token-auth-file").map(PathBuf::from),
        access: AccessOptions::read(matches)?,
        feature_gates: up::read_gates(gates)?,
        api: api_flags::read(matches, &dir(matches))?,
        no_node: matches.get_flag("no-node") || is_disabled("node"),
        split: matches.get_flag("split"),
        no_scheduler: matches.get_flag("no-scheduler") || is_disabled("scheduler"),
        no_controllers: is_disabled("controllers"),
        leader_elect: matches.get_one("leader-elect").is_none_or(|is_on| *is_on),
        scheduler_config: text("scheduler-config").map(PathBuf::from),
        node: node_flags::read(matches)?,
        write_kubeconfig: text("write-kubeconfig").map(PathBuf::from),
    })
}

fn agent_command() -> Command {
    Command::new("agent")
        .about("Add this machine to a cluster as a node")
        .after_help("Example:\n  kutter agent --server https://10.0.0.1:6443 --token abcdef.0123456789abcdef.<hash>")
        .arg(data_dir())
        .arg(value("server", "URL", "Where the API server is").required(true))
        .arg(value("token", "TOKEN", "As `kutter token create` prints it; needed the first time only"))
        .arg(value("ca-cert-hash", "sha256:HASH", "For a plain bootstrap token: whom to trust"))
        .arg(value("node-name", "NAME", "Name of this node [default: the host's name]"))
        .arg(value("node-ip", "ADDR", "Address of this node [default: that of the default route]"))
        .arg(value("feature-gates", "A=true,B=false", "Upstream's feature gates").action(ArgAction::Append))
        .args(node_flags::args())
}

fn agent_options(matches: &ArgMatches) -> anyhow::Result<agent::Options> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let gates = matches.get_many::<String>("feature-gates").into_iter().flatten().map(String::as_str);
    Ok(agent::Options {
        data_dir: dir(matches),
        server: text("server").unwrap_or_default(),
        token: text("token"),
        ca_cert_hash: text("ca-cert-hash"),
        node_name: text("node-name"),
        node_ip: address(matches, "node-ip")?,
        feature_gates: up::read_gates(gates)?,
        node: node_flags::read(matches)?,
    })
}

fn down_command() -> Command {
    Command::new("down")
        .about("End an instance and everything it runs; its data stays")
        .after_help("Example:\n  kutter down --data-dir /tmp/a")
        .arg(data_dir())
}

fn status_command() -> Command {
    Command::new("status")
        .about("Tell whether an instance runs and how it is")
        .after_help("Exit code 0: it runs; 1: it does not; 3: it was never started.\n\nExample:\n  kutter status")
        .arg(data_dir())
}

fn token_command() -> Command {
    Command::new("token")
        .about("Ways in for more nodes")
        .subcommand_required(true)
        .arg(data_dir().global(true))
        .after_help("Example:\n  kutter token create")
        .subcommand(
            Command::new("create")
                .about("Make a token and print the command that joins a node with it")
                .arg(value("ttl", "HOURS", "How long it is good for; 0: for ever").default_value("24")),
        )
}

fn token(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match matches.subcommand() {
        Some(("create", matches)) => token::create(&dir(matches), node_flags::number(matches, "ttl")?),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Absolute: what it is told to others stays true wherever they are.
pub fn dir(matches: &ArgMatches) -> PathBuf {
    let given = PathBuf::from(matches.get_one::<String>("data-dir").cloned().unwrap_or_default());
    std::path::absolute(&given).unwrap_or(given)
}

fn address(matches: &ArgMatches, name: &str) -> anyhow::Result<Option<IpAddr>> {
    let given = matches.get_one::<String>(name);
    given.map(|text| text.parse().with_context(|| format!("--{name}: {text:?} is no address"))).transpose()
}

fn images_command() -> Command {
    Command::new("images")
        .about("Look after the images of this node")
        .subcommand_required(true)
        .arg(data_dir().global(true))
        .after_help("Examples:\n  docker save nginx | kutter images import -\n  kutter images list")
        .subcommand(Command::new("list").about("List the images that are here"))
        .subcommand(Command::new("import").about("Take over images from a docker archive or OCI layout").arg(
            Arg::new("archive").value_name("ARCHIVE").required(true).help("File or directory; - for standard input"),
        ))
        .subcommand(
            Command::new("pull")
                .about("Pull an image from its registry")
                .args(node_flags::registries())
                .arg(Arg::new("reference").value_name("REF").required(true)),
        )
        .subcommand(
            Command::new("remove")
                .about("Remove images")
                .arg(Arg::new("reference").value_name("REF").required(true).num_args(1..)),
        )
}

fn version_command() -> Command {
    Command::new("version").about("Print the version of kutter and of the API it serves")
}

#[allow(clippy::unnecessary_wraps, reason = "the form every command has")]
fn version(_: &ArgMatches) -> anyhow::Result<ExitCode> {
    println!("kutter {} (Kubernetes API {})", env!("CARGO_PKG_VERSION"), apiserver::GIT_VERSION);
    Ok(ExitCode::SUCCESS)
}
