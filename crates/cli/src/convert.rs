//! Manifests from one API version to another, without a server: `kutter convert`.
//!
//! Knows what the API server knows: old versions become today's as they would on being applied. What
//! it does not know (custom resources) passes through as it is. Called by the kutter binary.

use meta::GroupVersion;
use serde_json::{Value, json};
use wire::decode::Strictness;
use wire::schema::TypeId;

/// How manifests are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Yaml,
    Protobuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    #[error("error converting YAML to JSON: {0}")]
    Yaml(String),
    #[error("invalid UTF-8")]
    Text,
    #[error("{0}")]
    Protobuf(#[from] wire::protobuf::ProtobufError),
    #[error("{kind} in version {version:?} cannot be handled as a {kind}: {why}")]
    Decode { kind: String, version: String, why: wire::decode::DecodeError },
    #[error("unexpected GroupVersion string: {0}")]
    Version(String),
    #[error("{0} has no protobuf form")]
    NoProtobuf(String),
    #[error("protobuf holds one object, and there are {0}")]
    Several(usize),
}

/// Converts all objects of `input` to `version` (`group/version`), where they have it, else to what
/// they are stored as.
///
/// # Errors
/// The input cannot be read, or an object does not fit its kind.
pub fn convert(input: &[u8], version: Option<&str>, form: Form) -> Result<Vec<u8>, ConvertError> {
    let wanted = match version {
        Some(text) => Some(GroupVersion::parse(text).ok_or_else(|| ConvertError::Version(text.to_owned()))?),
        None => None,
    };
    let mut converted = Vec::new();
    for object in read(input)? {
        converted.push(one(object, wanted.as_ref())?);
    }
    write(&converted, form)
}

/// The objects of a stream, the items of lists among them.
fn read(input: &[u8]) -> Result<Vec<Value>, ConvertError> {
    let mut objects = Vec::new();
    if input.starts_with(wire::protobuf::MAGIC) {
        let resolve = |version: &str, kind: &str| kinds::type_of_version(version, kind);
        flatten(wire::protobuf::from_protobuf(input, kinds::schema(), &resolve)?, &mut objects);
        return Ok(objects);
    }
    let text = std::str::from_utf8(input).map_err(|_| ConvertError::Text)?;
    // JSON is YAML too.
    for document in wire::yaml::documents(text) {
        let value = wire::yaml::parse(document).map_err(|error| ConvertError::Yaml(error.to_string()))?;
        if !value.is_null() {
            flatten(value, &mut objects);
        }
    }
    Ok(objects)
}

fn flatten(mut value: Value, objects: &mut Vec<Value>) {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
    match value["items"].take() {
        Value::Array(items) if is_list => {
            let (list_kind, version) = (value["kind"].clone(), value["apiVersion"].clone());
            for mut item in items {
                // Items of typed lists leave out what the list says.
                if item["kind"].is_null() {
                    item["kind"] = list_kind.as_str().unwrap_or_default().trim_end_matches("List").into();
                    item["apiVersion"] = version.clone();
                }
                objects.push(item);
            }
        }
        Value::Null => {
            value.as_object_mut().map(|fields| fields.remove("items"));
            objects.push(value);
        }
        items => {
            value["items"] = items;
            objects.push(value);
        }
    }
}

fn names(object: &Value) -> (String, String, String) {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let version = GroupVersion::parse(&text("apiVersion")).unwrap_or(GroupVersion::of("", ""));
    (version.group.into_owned(), version.version.into_owned(), text("kind"))
}

fn struct_of(object: &Value) -> Option<TypeId> {
    let (group, version, kind) = names(object);
    kinds::type_of(&group, &version, &kind)
}

fn one(object: Value, wanted: Option<&GroupVersion>) -> Result<Value, ConvertError> {
    let (group, version, kind) = names(&object);
    let Some(id) = struct_of(&object) else { return Ok(object) };
    let read = wire::decode::from_value(object, kinds::schema(), id, Strictness::Ignore);
    let (mut object, _) =
        read.map_err(|why| ConvertError::Decode { kind: kind.clone(), version: version.clone(), why })?;
    object["apiVersion"] = if group.is_empty() { version.clone() } else { format!("{group}/{version}") }.into();
    object["kind"] = kind.as_str().into();
    if wanted.is_some_and(|wanted| wanted.group == group && wanted.version == version) {
        return Ok(object);
    }
    if let Some(old) = strategy::versions::find(&group, &version, &kind) {
        // A second version that is served today is left as it is, unless another is asked for.
        let is_old =
            kinds::find_kind(&group, &version, &kind).is_some_and(|row| row.stability == kinds::Stability::Legacy);
        if is_old || wanted.is_some() {
            old.default(&mut object);
            old.up(&mut object);
        }
    }
    let stored = names(&object);
    let target = wanted.and_then(|wanted| {
        let target = strategy::versions::find(&wanted.group, &wanted.version, &stored.2)?;
        let (group, version, _) = target.kept_as();
        ((group, version) == (stored.0.as_str(), stored.1.as_str())).then_some(target)
    });
    if let Some(target) = target {
        target.down(&mut object);
    }
    Ok(object)
}

fn write(objects: &[Value], form: Form) -> Result<Vec<u8>, ConvertError> {
    match form {
        Form::Json => {
            let mut out = match objects {
                [only] => encode(only),
                several => {
                    let items: Vec<Value> = several.to_vec();
                    json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}).to_string().into_bytes()
                }
            };
            out.push(b'\n');
            Ok(out)
        }
        Form::Yaml => {
            let tree = |object: &Value| serde_json::from_slice(&encode(object)).unwrap_or_else(|_| object.clone());
            let texts: Vec<String> = objects.iter().map(|object| wire::yaml::to_string(&tree(object))).collect();
            Ok(texts.join("---\n").into_bytes())
        }
        Form::Protobuf => match objects {
            [only] => {
                let id = struct_of(only).ok_or_else(|| ConvertError::NoProtobuf(names(only).2))?;
                Ok(wire::protobuf::to_protobuf(only, kinds::schema(), id)?)
            }
            several => Err(ConvertError::Several(several.len())),
        },
    }
}

/// As the server would write it.
fn encode(object: &Value) -> Vec<u8> {
    match struct_of(object) {
        Some(id) => wire::encode::to_json(object, kinds::schema(), id),
        None => wire::encode::any_to_json(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INGRESS: &str = "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\nspec:\n  backend: {serviceName: s, servicePort: 80}\n";

    fn object(input: &[u8], version: Option<&str>) -> Value {
        serde_json::from_slice(&convert(input, version, Form::Json).unwrap()).unwrap()
    }

    #[test]
    fn old_manifests_become_todays_and_back() {
        let new = object(INGRESS.as_bytes(), None);
        assert_eq!(new["apiVersion"], "networking.k8s.io/v1");
        assert_eq!(new["spec"]["defaultBackend"]["service"], json!({"name": "s", "port": {"number": 80}}));
        let back = object(new.to_string().as_bytes(), Some("networking.k8s.io/v1beta1"));
        assert_eq!(back["spec"]["backend"], json!({"serviceName": "s", "servicePort": 80}));
        let both = object(format!("{INGRESS}---\n{INGRESS}").as_bytes(), None);
        assert_eq!((&both["kind"], both["items"].as_array().map(Vec::len)), (&json!("List"), Some(2)));
    }

    #[test]
    fn every_form_goes_in_and_out() {
        let bytes = convert(INGRESS.as_bytes(), None, Form::Protobuf).unwrap();
        assert!(bytes.starts_with(wire::protobuf::MAGIC));
        assert_eq!(object(&bytes, None), object(INGRESS.as_bytes(), None));
        let yaml = convert(&bytes, None, Form::Yaml).unwrap();
        assert_eq!(object(&yaml, None), object(INGRESS.as_bytes(), None));
    }

    #[test]
    fn what_is_not_known_passes() {
        let cat = json!({"apiVersion": "example.com/v1", "kind": "Cat", "spec": {"a": 1}});
        assert_eq!(object(cat.to_string().as_bytes(), Some("apps/v1")), cat);
        assert!(convert(cat.to_string().as_bytes(), None, Form::Protobuf).is_err());
    }
}
