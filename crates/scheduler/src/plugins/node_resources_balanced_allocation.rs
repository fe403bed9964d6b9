//! NodeResourcesBalancedAllocation: the closer the filled parts of a node's resources are to each
//! other the better.

use crate::framework::{Case, MAX_SCORE, Normalize, Plugin};
use crate::node::Node;
use crate::snapshot::Snapshot;

pub const PLUGIN: Plugin = Plugin::scoring("NodeResourcesBalancedAllocation", score, Normalize::No, 1);

fn score(case: &Case<'_>, node: &Node, _: &Snapshot) -> i64 {
    let Some(view) = node.view() else { return 0 };
    let resources = &case.args.balanced;
    let part = |name: &str| {
        let offered = view.allocatable.amount(name);
        let wanted = case.spec.requests.amount(name);
        let is_plain = matches!(name, "cpu" | "memory" | "ephemeral-storage");
        (offered > 0 && (wanted > 0 || is_plain))
            .then(|| ((wanted + node.requested.amount(name)) as f64 / offered as f64).min(1.0))
    };
    // Two resources are the rule: nothing is put on the heap for them.
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for part in resources.iter().filter_map(|(name, _)| part(name)) {
        sum += part;
        squares += part * part;
        count += 1.0;
    }
    if count == 0.0 {
        return MAX_SCORE;
    }
    let mean: f64 = sum / count;
    let variance: f64 = (squares / count - mean * mean).max(0.0);
    ((1.0 - variance.sqrt()) * MAX_SCORE as f64) as i64
}
