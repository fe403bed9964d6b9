//! PodTopologyLabels: a pod bound to a node learns the node's zone and region from its own labels.

use crate::paths::{slot, text};
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::json;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(PodTopologyLabels)
}

struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>, lookup: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        // A Binding's labels become the pod's; a pod may also be born bound.
        let node = if request.is("", "pods/binding") || request.is("", "bindings") {
            text(&request.object, &["target", "name"])
        } else if request.is("", "pods") {
            text(&request.object, &["spec", "nodeName"])
        } else {
            return Ok(());
        };
        let Some(node) = lookup.get("", "nodes", "", node).filter(|_| !node.is_empty()) else { return Ok(()) };
        for label in LABELS {
            let value = text(&node, &["metadata", "labels", label]);
            if value.is_empty() {
                continue;
            }
            if let Some(place) = slot(&mut request.object, &["metadata", "labels", label]) {
                *place = json!(value);
            }
        }
        Ok(())
    }
}
