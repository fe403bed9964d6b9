//! Commands and flags, each with its help; every command's work is in its own module.

use crate::images;
use crate::up;
use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
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
    Entry { name: "images", build: images_command, run: images::run },
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
fn data_dir() -> Arg {
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
        .arg(value("max-pods", "N", "How many pods this node takes").default_value("110"))
        .arg(value("service-cidr", "CIDR", "Addresses of services").default_value("10.96.0.0/16"))
        .arg(value("cluster-domain", "DOMAIN", "DNS domain of the cluster").default_value("cluster.local"))
        .arg(value("token-auth-file", "FILE", "CSV file of tokens: token,user,uid,\"group1,group2\""))
        .arg(value("feature-gates", "A=true,B=false", "Upstream's feature gates").action(ArgAction::Append))
        .arg(flag("no-node", "Run the control plane alone"))
        .arg(flag("split", "Run server and node as two processes"))
        .arg(value("write-kubeconfig", "PATH", "Also write the administrator's kubeconfig here"))
}

fn up_options(matches: &ArgMatches) -> anyhow::Result<up::Options> {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let needed = |name: &str| text(name).unwrap_or_default();
    let address = |name: &str| -> anyhow::Result<Option<IpAddr>> {
        text(name).map(|given| given.parse().with_context(|| format!("--{name}: {given:?} is no address"))).transpose()
    };
    let listen = needed("listen");
    let gates = matches.get_many::<String>("feature-gates").into_iter().flatten().map(String::as_str);
    Ok(up::Options {
        data_dir: PathBuf::from(needed("data-dir")),
        listen: listen.parse::<SocketAddr>().with_context(|| format!("--listen: {listen:?} is no ADDR:PORT"))?,
        advertise_address: address("advertise-address")?,
        node_name: text("node-name"),
        node_ip: address("node-ip")?,
        pod_cidr: needed("pod-cidr"),
        node_cidr_mask_size: number(matches, "node-cidr-mask-size")?,
        max_pods: number(matches, "max-pods")?,
        service_cidr: needed("service-cidr"),
        cluster_domain: needed("cluster-domain"),
        token_auth_file: text("token-auth-file").map(PathBuf::from),
        feature_gates: up::read_gates(gates)?,
        no_node: matches.get_flag("no-node"),
        split: matches.get_flag("split"),
        write_kubeconfig: text("write-kubeconfig").map(PathBuf::from),
    })
}

fn number<N: std::str::FromStr>(matches: &ArgMatches, name: &str) -> anyhow::Result<N> {
    let given = matches.get_one::<String>(name).cloned().unwrap_or_default();
    given.parse().ok().with_context(|| format!("--{name}: {given:?} is no fitting number"))
}

fn images_command() -> Command {
    Command::new("images")
        .about("Look after the images of this node")
        .subcommand_required(true)
        .arg(data_dir().global(true))
        .after_help("Examples:\n  docker save nginx | kutter images import -\n  kutter images list")
        .subcommand(Command::new("list").about("List the images that are here"))
        .subcommand(
            Command::new("import")
                .about("Take over images from a docker archive or OCI layout")
                .arg(Arg::new("archive").value_name("ARCHIVE").required(true).help("File or directory; - for standard input")),
        )
        .subcommand(
            Command::new("pull")
                .about("Pull an image from its registry")
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
