//! The file of a kustomization: finding it, reading it, refusing what is not known.

use crate::failure::{Failure, Outcome};
use crate::output::error_line;
use serde_json::{Map, Value, json};
use std::path::Path;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

const KNOWN: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "openapi",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "patchesStrategicMerge",
    "patchesJson6902",
    "patches",
    "images",
    "imageTags",
    "replacements",
    "replicas",
    "vars",
    "sortOptions",
    "resources",
    "components",
    "crds",
    "bases",
    "configMapGenerator",
    "secretGenerator",
    "helmGlobals",
    "helmCharts",
    "helmChartInflationGenerator",
    "generatorOptions",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "buildMetadata",
];

/// What needs programs, plugins or schemas of one's own.
const REFUSED: &[&str] = &[
    "vars",
    "crds",
    "configurations",
    "generators",
    "transformers",
    "validators",
    "helmCharts",
    "helmGlobals",
    "helmChartInflationGenerator",
    "openapi",
];

/// Old fields and what takes their place.
const DEPRECATED: &[(&str, &str)] = &[
    ("bases", "resources"),
    ("commonLabels", "labels"),
    ("patchesJson6902", "patches"),
    ("patchesStrategicMerge", "patches"),
];

pub struct Kustomization {
    fields: Map<String, Value>,
}

impl Kustomization {
    pub fn read(folder: &Path) -> Outcome<Self> {
        let shown = folder.display();
        let found: Vec<_> = NAMES.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect();
        let path = match found.as_slice() {
            [path] => path,
            [] => {
                return Err(Failure::message(format!(
                    "unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory '{shown}'"
                )));
            }
            _ => {
                return Err(Failure::message(format!("Found multiple kustomization files under: {shown}\n")));
            }
        };
        let text = crate::targets::read(path)?;
        let invalid = |why: &str| Failure::message(format!("invalid Kustomization: {why}"));
        let parsed =
            wire::yaml::parse(&text).map_err(|why| invalid(&format!("error converting YAML to JSON: {why}")))?;
        let fields = match parsed {
            Value::Object(fields) => fields,
            Value::Null => return Err(Failure::message("kustomization.yaml is empty")),
            _ => return Err(invalid("json: cannot unmarshal into Go value of type types.Kustomization")),
        };
        if let Some(unknown) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(invalid(&format!("json: unknown field {unknown:?}")));
        }
        let kustomization = Kustomization { fields };
        if let Some(refused) = REFUSED.iter().find(|name| !kustomization.is_empty(name)) {
            return Err(Failure::message(format!("the field {refused:?} of a kustomization is not supported")));
        }
        for (name, instead) in DEPRECATED.iter().filter(|(name, _)| !kustomization.is_empty(name)) {
            error_line(&format!(
                "# Warning: '{name}' is deprecated. Please use '{instead}' instead. Run 'kustomize edit fix' to update your Kustomization automatically."
            ));
        }
        Ok(kustomization)
    }

    fn is_empty(&self, name: &str) -> bool {
        match self.fields.get(name) {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(_) => false,
        }
    }

    pub fn get(&self, name: &str) -> &Value {
        self.fields.get(name).unwrap_or(&Value::Null)
    }

    pub fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap_or_default()
    }

    pub fn list(&self, name: &str) -> &[Value] {
        self.get(name).as_array().map_or(&[], Vec::as_slice)
    }

    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.list(name).iter().filter_map(Value::as_str).collect()
    }

    /// Labels or annotations, their values as text.
    pub fn pairs(&self, name: &str) -> Map<String, Value> {
        pairs(self.get(name))
    }

    pub fn is_component(&self) -> bool {
        self.text("kind") == "Component"
    }
}

pub fn pairs(value: &Value) -> Map<String, Value> {
    let map = value.as_object().into_iter().flatten();
    map.map(|(key, value)| (key.clone(), json!(crate::jsonpath::text_of(value)))).collect()
}
