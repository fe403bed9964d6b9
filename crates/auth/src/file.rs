//! Configuration files of upstream's forms: read strictly, with their version checked, and what is
//! wrong with them told by field.

use meta::field::ErrorList;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A configuration is small.
const LARGEST: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to read config file {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("config file {0} is too large")]
    Size(PathBuf),
    #[error("strict decoding error: {0}")]
    Decode(String),
    #[error("no kind \"{kind}\" is registered for version \"{version}\"")]
    Kind { kind: String, version: String },
    #[error("{}", shown(.0))]
    Fields(ErrorList),
    #[error("{0}")]
    Other(String),
}

/// Several errors as upstream lists them.
fn shown(errors: &ErrorList) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// # Errors
/// [`Error::Fields`] where there are any.
pub(crate) fn none_wrong(errors: ErrorList) -> Result<(), Error> {
    if errors.is_empty() { Ok(()) } else { Err(Error::Fields(errors)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// # Errors
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let text = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if text.len() > LARGEST { Err(Error::Size(path.to_owned())) } else { Ok(text) }
}

/// A document of one of the named versions (`group/version`) and kind.
///
/// # Errors
/// It is not such a document.
pub(crate) fn decode<T: DeserializeOwned>(text: &[u8], group: &str, versions: &[&str], kind: &str) -> Result<T, Error> {
    let unreadable = |error: serde_yaml_ng::Error| Error::Decode(error.to_string());
    let head: Head = serde_yaml_ng::from_slice(text).map_err(unreadable)?;
    let is_known = head.kind == kind
        && head.api_version.split_once('/').is_some_and(|(own, version)| own == group && versions.contains(&version));
    if !is_known {
        return Err(Error::Kind { kind: head.kind, version: head.api_version });
    }
    serde_yaml_ng::from_slice(text).map_err(unreadable)
}

/// A duration as Go writes it, `5m`; None where it is not one.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    meta::time::parse_duration(text).ok().and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos)
}
