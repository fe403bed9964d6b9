//! TaintNodesByCondition: a new node takes no pods until it is found ready.

use crate::paths::items_mut;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::json;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(TaintNodesByCondition)
}

struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>, _: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if !request.is("", "nodes") {
            return Ok(());
        }
        if let Some(taints) = items_mut(&mut request.object, &["spec", "taints"])
            && !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule")
        {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
        }
        Ok(())
    }
}
