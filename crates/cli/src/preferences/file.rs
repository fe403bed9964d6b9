//! The file of the preferences: which one it is, reading it and writing it.

use super::{KIND, Preferences, VERSIONS};
use crate::failure::{Failure, Outcome};
use crate::session::io_text;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub struct Place {
    pub path: PathBuf,
    /// By the flag or by the environment: it is missed where it is not there.
    pub is_named: bool,
}

impl Place {
    /// The file of the flag, of KUBERC, or the one in the home. None: preferences are switched off, or
    /// there is no home.
    pub fn of(flag: Option<&str>) -> Outcome<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if variable("KUBECTL_KUBERC").as_deref() == Some("false") {
            return Ok(None);
        }
        let switch = variable("KUBERC");
        if switch.as_deref() == Some("off") {
            let both = "disabling kuberc via KUBERC=off and passing kuberc flag are mutually exclusive";
            return flag.map_or(Ok(None), |_| Err(Failure::message(both)));
        }
        let named = flag.map(PathBuf::from).or(switch.map(PathBuf::from));
        let is_named = named.is_some();
        let path = named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/kuberc")));
        Ok(path.map(|path| Place { path, is_named }))
    }

    /// None: there is no such file.
    pub fn read(&self) -> Result<Option<Preferences>, String> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => parse(&text).map(Some),
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
            Err(why) => Err(format!("open {}: {}", self.path.display(), io_text(&why))),
        }
    }
}

fn parse(text: &str) -> Result<Preferences, String> {
    let value = wire::yaml::parse(text).map_err(|why| why.to_string())?;
    let (version, kind) = (&value["apiVersion"], &value["kind"]);
    if kind != KIND || !VERSIONS.iter().any(|known| version == known) {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        return Err(format!("no kind {:?} is registered for version {:?}", text(kind), text(version)));
    }
    serde_json::from_value(value).map_err(|why| why.to_string())
}

/// Takes the place of what was there.
pub fn write(preferences: &Preferences, path: &Path) -> Outcome {
    let failed = |why: String| Failure::message(format!("error writing kuberc file: {why}"));
    let value = serde_json::to_value(preferences).map_err(|why| failed(why.to_string()))?;
    let written = crate::whole_file::replace(path, &wire::yaml::to_string(&value));
    written.map_err(|why| failed(io_text(&why)))
}
