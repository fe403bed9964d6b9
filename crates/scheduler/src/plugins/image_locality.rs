//! ImageLocality: nodes that have the pod's images already are a little more welcome, the more the
//! wider an image is spread, so that a single node does not draw all its pods.

use crate::framework::{Case, MAX_SCORE, Normalize, Plugin};
use crate::node::Node;
use crate::snapshot::Snapshot;

/// Sizes outside of this range, per container, make no difference.
const SMALL: i64 = 23 << 20;
const LARGE: i64 = 1000 << 20;

pub const PLUGIN: Plugin = Plugin::scoring("ImageLocality", score, Normalize::No, 1);

fn score(case: &Case<'_>, node: &Node, snapshot: &Snapshot) -> i64 {
    let Some(view) = node.view() else { return 0 };
    let images = &case.spec.images;
    let there: i64 = images
        .iter()
        .filter_map(|image| {
            let size = *view.images.get(image)?;
            let spread = snapshot.nodes_with_image(image) as f64 / snapshot.existing().max(1) as f64;
            Some((size as f64 * spread) as i64)
        })
        .sum();
    let (low, high) = (SMALL, LARGE * i64::try_from(images.len()).unwrap_or(1).max(1));
    MAX_SCORE * (there.clamp(low, high) - low) / (high - low)
}
