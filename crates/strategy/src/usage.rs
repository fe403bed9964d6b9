//! NodeMetrics and PodMetrics: answered, never stored, so all there is to them are their columns.

use crate::declared::Declared;

pub const NODE_METRICS: Declared = Declared::new("metrics.k8s.io", "NodeMetrics");
pub const POD_METRICS: Declared = Declared::new("metrics.k8s.io", "PodMetrics");
