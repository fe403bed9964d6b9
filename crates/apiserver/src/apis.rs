//! Which API versions are answered: upstream's defaults, and what `--runtime-config` says otherwise.

use kinds::{Kind, Stability};
use std::collections::BTreeMap;

/// `group/version`, `group/version/resource`, or one of [`CLASSES`], and whether it is served.
#[derive(Debug, Clone, Default)]
pub struct Apis(BTreeMap<String, bool>);

/// Keys for many versions at once. `api/legacy` are those that upstream has taken away.
const CLASSES: &[&str] = &["api/all", "api/ga", "api/beta", "api/alpha", "api/legacy"];

impl Apis {
    /// Reads `apps/v1beta1=false,api/beta=true`, given once or several times.
    ///
    /// # Errors
    /// In upstream's words: no such group, or no such form.
    pub fn parse<'t>(given: impl Iterator<Item = &'t str>) -> Result<Self, String> {
        let mut apis = BTreeMap::new();
        for pair in given.flat_map(|text| text.split(',')).map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let (key, value) = (key.trim(), value.trim());
            let is_on = match value {
                "" | "true" | "True" | "TRUE" | "t" | "T" | "1" => true,
                "false" | "False" | "FALSE" | "f" | "F" | "0" => false,
                other => return Err(format!("invalid value of {key}={other}")),
            };
            if !CLASSES.contains(&key) {
                let group = match key.split('/').collect::<Vec<_>>().as_slice() {
                    ["v1"] | ["api", "v1"] => "",
                    [group, _] | [group, _, _] => group,
                    _ => return Err(format!("runtime-config invalid key {key}")),
                };
                if !kinds::all().iter().any(|kind| kind.group == group) {
                    return Err(format!("unknown api groups {group}"));
                }
            }
            apis.insert(key.to_owned(), is_on);
        }
        Ok(Apis(apis))
    }

    /// What was said last about the narrowest key that covers the kind.
    pub fn serves(&self, kind: &Kind) -> bool {
        let version = match kind.group.as_ref() {
            "" => kind.version.to_string(),
            _ => kind.api_version(),
        };
        let (class, default) = match kind.stability {
            Stability::Ga => ("api/ga", kind.served_by_default),
            Stability::Beta => ("api/beta", false),
            Stability::Alpha => ("api/alpha", false),
            Stability::Legacy => ("api/legacy", true),
        };
        let keys = [format!("{version}/{}", kind.resource), version.clone(), format!("api/{version}")];
        let named = keys.iter().find_map(|key| self.0.get(key));
        let told = named.or_else(|| self.0.get(class)).or_else(|| self.0.get("api/all"));
        told.copied().unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serves(given: &str, group: &str, version: &str) -> bool {
        let apis = Apis::parse([given].into_iter()).unwrap();
        let kind = kinds::all().iter().find(|kind| kind.group == group && kind.version == version).unwrap();
        apis.serves(kind)
    }

    #[test]
    fn the_narrowest_word_decides() {
        assert!(serves("", "apps", "v1beta1"));
        assert!(!serves("apps/v1beta1=false", "apps", "v1beta1"));
        assert!(!serves("api/legacy=false", "apps", "v1beta1"));
        assert!(serves("api/legacy=false,apps/v1beta1=true", "apps", "v1beta1"));
        assert!(serves("api/legacy=false", "apps", "v1"));
        assert!(!serves("api/all=false,v1=true", "apps", "v1"));
        assert!(serves("api/all=false,v1=true", "", "v1"));
        assert!(Apis::parse(["nosuch.group/v1=true"].into_iter()).unwrap_err().contains("unknown api groups"));
        assert!(Apis::parse(["a/b/c/d"].into_iter()).unwrap_err().contains("invalid key"));
    }
}
