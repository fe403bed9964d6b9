//! The flags of a node, the same for `up` and `agent`, under upstream's names where it has them.

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches};
use images::ImagesOptions;
use kubelet::{ImageGarbage, Thresholds};
use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct NodeFlags {
    pub max_pods: u32,
    pub eviction_hard: Thresholds,
    pub image_garbage: ImageGarbage,
    pub registries: ImagesOptions,
}

/// Name, what stands for its value, help, default.
const FLAGS: &[(&str, &str, &str, &str)] = &[
    ("max-pods", "N", "How many pods this node takes", "110"),
    (
        "eviction-hard",
        "SIGNAL<VALUE,…",
        "What the node keeps free: short of it, it takes no more pods; empty for nothing",
        Thresholds::DEFAULT,
    ),
    ("image-gc-high-threshold", "PERCENT", "How full the disk may be before unused images go; 100: never", "85"),
    ("image-gc-low-threshold", "PERCENT", "How full the disk may be for that to end", "80"),
];

pub fn args() -> Vec<Arg> {
    let simple = FLAGS.iter().map(|(name, shown, help, default)| {
        Arg::new(*name).long(*name).value_name(*shown).help(*help).default_value(*default)
    });
    simple.chain(registries()).collect()
}

pub fn read(matches: &ArgMatches) -> anyhow::Result<NodeFlags> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    Ok(NodeFlags {
        max_pods: number(matches, "max-pods")?,
        eviction_hard: text("eviction-hard").parse().context("--eviction-hard")?,
        image_garbage: image_garbage(matches)?,
        registries: registry_options(matches)?,
    })
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
