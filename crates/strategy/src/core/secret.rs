//! Secret.

use crate::Strategy;
use crate::tree::{default_text, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub struct Secret;

impl Strategy for Secret {
    fn group_kind(&self) -> (&'static str, &'static str) {
        ("", "Secret")
    }

    fn default(&self, object: &mut Value) {
        default_text(object, "type", "Opaque");
        // What is written in the clear for comfort is stored as everything else is.
        let Some(fields) = object.as_object_mut() else { return };
        let Some(Value::Object(plain)) = fields.remove("stringData") else { return };
        for (key, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            object["data"][key] = encoded.into();
        }
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("type", text(object, "type").to_owned())]
    }
}
