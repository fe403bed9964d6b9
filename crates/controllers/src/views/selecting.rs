//! An object that finds others by the selector in its spec, as far as they need it to find it.

use client::Projection;
use meta::labels::Selector;
use serde::Deserialize;
use serde_json::Value;

/// Of objects that are otherwise read whole. A selector that cannot be read selects nothing.
pub struct SelectorView {
    pub selector: Selector,
}

impl Projection for SelectorView {
    fn project(object: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(SelectorView { selector: selector_of(&spec_of(object)?) })
    }
}

/// What an object is to be, whatever its kind.
pub fn spec_of(object: &[u8]) -> Result<Value, serde_json::Error> {
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        spec: Value,
    }
    serde_json::from_slice(object).map(|Object { spec }| spec)
}

pub fn selector_of(spec: &Value) -> Selector {
    Selector::from_json(&spec["selector"]).unwrap_or_else(|_| Selector::nothing())
}
