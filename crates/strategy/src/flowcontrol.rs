//! FlowSchema and PriorityLevelConfiguration.

use crate::declared::Declared;
use crate::tree::{default, text};
use serde_json::{Value, json};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

pub const FLOW_SCHEMA: Declared =
    Declared::new(GROUP, "FlowSchema").with_status_alone().with_generation().updated_with_revision().defaults(
        |schema| {
            if let Some(spec) = schema.get_mut("spec").filter(|spec| spec.is_object())
                && spec.get("matchingPrecedence").and_then(Value::as_i64).unwrap_or_default() == 0
            {
                spec["matchingPrecedence"] = 1000.into();
            }
        },
    );

pub const PRIORITY_LEVEL: Declared = Declared::new(GROUP, "PriorityLevelConfiguration")
    .with_status_alone()
    .with_generation()
    .updated_with_revision()
    .defaults(priority_level);

fn priority_level(level: &mut Value) {
    let Some(spec) = level.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    if let Some(exempt) = spec.get_mut("exempt").filter(|exempt| exempt.is_object()) {
        default(exempt, "nominalConcurrencyShares", 0);
        default(exempt, "lendablePercent", 0);
    } else if text(spec, "type") == "Exempt" {
        spec["exempt"] = json!({"nominalConcurrencyShares": 0, "lendablePercent": 0});
    }
    let Some(limited) = spec.get_mut("limited").filter(|limited| limited.is_object()) else { return };
    default(limited, "nominalConcurrencyShares", 30);
    default(limited, "lendablePercent", 0);
    let Some(queuing) = limited.pointer_mut("/limitResponse/queuing").filter(|queuing| queuing.is_object()) else {
        return;
    };
    for (field, number) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
        if queuing.get(field).and_then(Value::as_i64).unwrap_or_default() == 0 {
            queuing[field] = number.into();
        }
    }
}
