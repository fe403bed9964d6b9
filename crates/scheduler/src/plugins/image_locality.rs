//! ImageLocality: nodes that have the pod's images already are a little more welcome.

use crate::framework::{MAX_SCORE, Normalize, Plugin};
use crate::node::Node;
use crate::pod::Candidate;

/// Sizes outside of this range, per container, make no difference.
const SMALL: i64 = 23 << 20;
const LARGE: i64 = 1000 << 20;

pub const PLUGIN: Plugin =
    Plugin { name: "ImageLocality", filter: None, score: Some(score), normalize: Normalize::No, weight: 1 };

fn score(pod: &Candidate, node: &Node) -> i64 {
    let containers = i64::try_from(pod.images.len()).unwrap_or(1).max(1);
    let there: i64 = pod.images.iter().filter_map(|image| node.view.images.get(&full_name(image))).sum();
    let (low, high) = (SMALL, LARGE * containers);
    MAX_SCORE * (there.clamp(low, high) - low) / (high - low)
}

/// With the tag that a name without one means.
fn full_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let tagged = if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") };
    match tagged.split_once('/') {
        None => format!("docker.io/library/{tagged}"),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => tagged,
        Some(_) => format!("docker.io/{tagged}"),
    }
}
