//! The flags of a node, the same for `up` and `agent`, under upstream's names where it has them.

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches};
use images::ImagesOptions;
use kubelet::{EvictionOptions, ImageGarbage, ManifestOptions, Thresholds, UnsafeSysctls};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct NodeFlags {
    pub max_pods: u32,
    pub eviction: EvictionOptions,
    pub image_garbage: ImageGarbage,
    pub manifests: Option<ManifestOptions>,
    pub unsafe_sysctls: UnsafeSysctls,
    pub registries: ImagesOptions,
}

/// Name, what stands for its value, help, default.
const FLAGS: &[(&str, &str, &str, &str)] = &[
    ("max-pods", "N", "How many pods this node takes", "110"),
    (
        "eviction-hard",
        "SIGNAL<VALUE,…",
        "What the node keeps free: short of it, it evicts pods and takes no more; empty for nothing",
        Thresholds::DEFAULT,
    ),
    ("eviction-soft", "SIGNAL<VALUE,…", "The same for what may run short for a while", ""),
    ("eviction-soft-grace-period", "SIGNAL=DURATION,…", "How long each of those may be short, as 1m30s", ""),
    ("eviction-max-pod-grace-period", "SECONDS", "How long a pod may take to end when a soft threshold is met", "0"),
    ("eviction-minimum-reclaim", "SIGNAL=VALUE,…", "How much more than its threshold is made free", ""),
    ("eviction-pressure-transition-period", "DURATION", "How long the node says that it is short afterwards", "5m0s"),
    ("image-gc-high-threshold", "PERCENT", "How full the disk may be before unused images go; 100: never", "85"),
    ("image-gc-low-threshold", "PERCENT", "How full the disk may be for that to end", "80"),
];

pub fn args() -> Vec<Arg> {
    let simple = FLAGS.iter().map(|(name, shown, help, default)| {
        Arg::new(*name).long(*name).value_name(*shown).help(*help).default_value(*default)
    });
    simple.chain([manifests(), unsafe_sysctls()]).chain(registries()).collect()
}

fn manifests() -> Arg {
    let help = "Run the pods in the files of this directory, with or without an API server";
    Arg::new("pod-manifest-path")
        .long("pod-manifest-path")
        .visible_alias("static-pod-path")
        .value_name("DIR")
        .help(help)
}

fn unsafe_sysctls() -> Arg {
    let help = "Sysctls that pods may set though the node is not safe from them, as kernel.msg*";
    let arg = Arg::new("allowed-unsafe-sysctls").long("allowed-unsafe-sysctls").value_name("NAME,…").help(help);
    arg.action(ArgAction::Append).value_delimiter(',')
}

pub fn read(matches: &ArgMatches) -> anyhow::Result<NodeFlags> {
    Ok(NodeFlags {
        max_pods: number(matches, "max-pods")?,
        eviction: eviction(matches)?,
        image_garbage: image_garbage(matches)?,
        manifests: matches
            .get_one::<String>("pod-manifest-path")
            .map(|directory| ManifestOptions { directory: PathBuf::from(directory), read: apiserver::manifest::pod }),
        unsafe_sysctls: UnsafeSysctls::new(matches.get_many::<String>("allowed-unsafe-sysctls").into_iter().flatten())
            .context("--allowed-unsafe-sysctls")?,
        registries: registry_options(matches)?,
    })
}

fn eviction(matches: &ArgMatches) -> anyhow::Result<EvictionOptions> {
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let transition = text("eviction-pressure-transition-period");
    let nanos = meta::time::parse_duration(transition).ok().and_then(|nanos| u64::try_from(nanos).ok());
    let options = EvictionOptions {
        hard: text("eviction-hard").parse().context("--eviction-hard")?,
        soft: text("eviction-soft").parse().context("--eviction-soft")?,
        soft_grace: text("eviction-soft-grace-period").parse().context("--eviction-soft-grace-period")?,
        reclaim: text("eviction-minimum-reclaim").parse().context("--eviction-minimum-reclaim")?,
        max_pod_grace: number(matches, "eviction-max-pod-grace-period")?,
        transition: nanos.map(Duration::from_nanos).with_context(|| {
            format!("--eviction-pressure-transition-period: {transition:?} is no duration such as 5m0s")
        })?,
    };
    options.check().context("--eviction-soft")?;
    Ok(options)
}

fn image_garbage(matches: &ArgMatches) -> anyhow::Result<ImageGarbage> {
    let (high, low) = (number(matches, "image-gc-high-threshold")?, number(matches, "image-gc-low-threshold")?);
    for (name, percent) in [("high", high), ("low", low)] {
        anyhow::ensure!(percent <= 100, "--image-gc-{name}-threshold must be between 0 and 100, inclusive: {percent}");
    }
    anyhow::ensure!(low < high, "--image-gc-low-threshold {low} must be less than --image-gc-high-threshold {high}");
    Ok(ImageGarbage { high, low })
}

/// How images are pulled, the same for every command that pulls.
pub fn registries() -> [Arg; 3] {
    let many = |name: &'static str, shown: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shown).help(help).action(ArgAction::Append)
    };
    [
        many("registry-mirror", "REGISTRY=URL", "Pull from URL first, as docker.io=https://mirror.local"),
        many("insecure-registry", "HOST[:PORT]", "Pull from this registry without TLS"),
        many("registry-ca", "FILE", "Also trust the authorities in this PEM file for registries"),
    ]
}

pub fn registry_options(matches: &ArgMatches) -> anyhow::Result<ImagesOptions> {
    let all = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned();
    let mut options = ImagesOptions {
        insecure: all("insecure-registry").collect(),
        extra_authorities: all("registry-ca").map(PathBuf::from).collect(),
        ..ImagesOptions::default()
    };
    for pair in all("registry-mirror") {
        let (registry, url) = pair
            .split_once('=')
            .filter(|(registry, url)| {
                !registry.is_empty() && (url.starts_with("https://") || url.starts_with("http://"))
            })
            .with_context(|| format!("--registry-mirror: {pair:?} is no REGISTRY=URL"))?;
        options.mirrors.entry(registry.to_owned()).or_default().push(url.to_owned());
    }
    Ok(options)
}

pub fn number<N: std::str::FromStr>(matches: &ArgMatches, name: &str) -> anyhow::Result<N> {
    let given = matches.get_one::<String>(name).cloned().unwrap_or_default();
    given.parse().ok().with_context(|| format!("--{name}: {given:?} is no fitting number"))
}
