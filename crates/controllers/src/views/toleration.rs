//! What a pod bears of a node.

use super::Taint;
use serde::Deserialize;

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    pub key: String,
    pub operator: String,
    pub value: String,
    pub effect: String,
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    pub fn tolerates(&self, taint: &Taint) -> bool {
        let effect = self.effect.is_empty() || self.effect == taint.effect;
        let key = self.key.is_empty() || self.key == taint.key;
        let number = |text: &str| text.parse::<i64>().ok();
        let value = match self.operator.as_str() {
            "Exists" => true,
            "" | "Equal" => self.value == taint.value,
            "Lt" => matches!((number(&taint.value), number(&self.value)), (Some(is), Some(limit)) if is < limit),
            "Gt" => matches!((number(&taint.value), number(&self.value)), (Some(is), Some(limit)) if is > limit),
            _ => false,
        };
        effect && key && value
    }
}
