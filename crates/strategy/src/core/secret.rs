//! Secret.

use super::settings;
use crate::tree::{default_text, text};
use crate::{Strategy, check};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::{ErrorList, FieldError, Path};
use serde_json::Value;

pub struct Secret;

/// Keys that secrets of a type must have.
const KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

const ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

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

    fn validate(&self, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        settings::secret_data(new, old, errors);
        let (kind, data) = (text(new, "type"), Path::new("data"));
        if let Some(old) = old {
            check::immutable(errors, &Path::new("type"), &new["type"], &old["type"]);
        }
        let keys = KEYS.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, keys)| keys);
        for key in keys.iter().filter(|key| new["data"].get(**key).is_none()) {
            errors.push(FieldError::required(&data.key(key), ""));
        }
        let has = |key: &str| new["data"].get(key).is_some();
        if kind == "kubernetes.io/basic-auth" && !has("username") && !has("password") {
            errors.push(FieldError::required(&data.key("username"), ""));
            errors.push(FieldError::required(&data.key("password"), ""));
        }
        if kind == ACCOUNT_TOKEN && new["metadata"]["annotations"][ACCOUNT_NAME].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(&Path::new("metadata").child("annotations").key(ACCOUNT_NAME), ""));
        }
    }

    fn has_generation(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> crate::Fields {
        vec![("type".into(), text(object, "type").to_owned())]
    }
}
