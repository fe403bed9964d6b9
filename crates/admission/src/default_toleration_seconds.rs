//! DefaultTolerationSeconds: pods stay five minutes on a node that fails, unless they say otherwise.

use crate::paths::items_mut;
use crate::{Attributes, Lookup, Notes, Operation, Plugin, Setup};
use meta::Status;
use serde_json::{Value, json};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

pub(crate) fn build(_: &Setup) -> Box<dyn Plugin> {
    Box::new(DefaultTolerationSeconds)
}

struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn admit(&self, request: &mut Attributes<'_>, _: &dyn Lookup, _: &mut Notes) -> Result<(), Status> {
        if !request.is("", "pods") || !request.object["spec"].is_object() {
            return Ok(());
        }
        let has = |tolerations: &[Value], key: &str| tolerations.iter().any(|toleration| tolerates(toleration, key));
        let present = crate::paths::items(&request.object, &["spec", "tolerations"]);
        let missing: Vec<&str> = TAINTS.into_iter().filter(|key| !has(present, key)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(tolerations) = items_mut(&mut request.object, &["spec", "tolerations"]) {
            tolerations.extend(missing.into_iter().map(
                |key| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}),
            ));
        }
        Ok(())
    }
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let is_one_of = |field: &str, wanted: [&str; 2]| {
        wanted.contains(&toleration.get(field).and_then(Value::as_str).unwrap_or_default())
    };
    is_one_of("key", [taint, ""]) && is_one_of("effect", ["NoExecute", ""])
}
