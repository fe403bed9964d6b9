//! Upstream's EncryptionConfiguration: for each resource a list of providers, of which the first
//! seals and all open. What it does not speak of keeps the seal it has by default.

use super::Provider;
use super::cipher::{Identity, Keyed};
use super::kms::KmsV2;
use super::sealer::Sealer;
use crate::file::{self, none_wrong};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::field::{ErrorList, FieldError, Path as Field};
use serde::Deserialize;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const SECRETS: &str = "secrets";
const USUAL_LIMIT: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Given>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Given {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<Nothing>,
    kms: Option<Kms>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kms {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoint: String,
    timeout: Option<String>,
    /// Of v1, which is gone.
    cachesize: Option<i64>,
}

/// Which resources providers are for: `resource.group`, `resource`, `*.group`, `*.`, `*.*`.
struct Rule {
    resources: Vec<String>,
    providers: Vec<Arc<dyn Provider>>,
}

impl Rule {
    fn concerns(&self, resource: &str, group: &str) -> bool {
        self.resources.iter().any(|given| match given.split_once('.') {
            None => given == resource && group.is_empty(),
            Some(("*", "*")) => true,
            Some((name, own)) => own == group && (name == "*" || name == resource),
        })
    }
}

/// Seals and opens every value that goes to the store and comes back.
pub struct Encryption {
    rules: RwLock<Arc<Vec<Rule>>>,
    /// With which Secrets are sealed where the rules say nothing; opens what it sealed for ever.
    own: RwLock<Arc<Sealer>>,
}

impl Encryption {
    /// Secrets under a generated key, everything else as it is.
    pub fn new(own: Sealer) -> Self {
        Encryption { rules: RwLock::default(), own: RwLock::new(Arc::new(own)) }
    }

    /// Seals Secrets with other keys from now on.
    pub fn set_own(&self, own: Sealer) {
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(own);
    }

    fn own(&self) -> Arc<Sealer> {
        self.own.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes by a configuration file from now on.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong with it; the rules stay as they are.
    pub fn load(&self, path: &Path) -> Result<(), file::Error> {
        let rules = Arc::new(rules(&file::read(path)?)?);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    fn rules(&self) -> Arc<Vec<Rule>> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// None: the value is stored as it is.
    ///
    /// # Errors
    /// The value cannot be sealed now.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (resource, group) = resource_of(place);
        let rules = self.rules();
        let Some(rule) = rules.iter().find(|rule| rule.concerns(resource, group)) else {
            return match (resource, group) {
                (SECRETS, "") => self.own().seal(place, plain).map(Some).map_err(|error| error.to_string()),
                _ => Ok(None),
            };
        };
        let Some(first) = rule.providers.first().filter(|first| !first.prefix().is_empty()) else { return Ok(None) };
        let mut sealed = first.prefix().as_bytes().to_vec();
        sealed.extend(first.seal(place, plain)?);
        Ok(Some(sealed))
    }

    /// None: the value was stored as it is.
    ///
    /// # Errors
    /// It was changed, moved, or sealed with what is not known here.
    pub fn open(&self, place: &str, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
        // All plain values are JSON.
        if !stored.starts_with(b"k8s:enc:") {
            return Ok(None);
        }
        let (resource, group) = resource_of(place);
        let rules = self.rules();
        let concerned = rules.iter().filter(|rule| rule.concerns(resource, group));
        let providers = concerned.flat_map(|rule| &rule.providers).filter(|provider| !provider.prefix().is_empty());
        let mut last = None;
        for provider in providers {
            let Some(sealed) = stored.strip_prefix(provider.prefix().as_bytes()) else { continue };
            match provider.open(place, sealed) {
                Ok(plain) => return Ok(Some(plain)),
                // Two providers may have keys of one name.
                Err(why) => last = Some(why),
            }
        }
        match (self.own().open(place, stored), last) {
            (Ok(Some(plain)), _) => Ok(Some(plain)),
            (_, Some(why)) => Err(why),
            (Err(why), None) => Err(why.to_string()),
            (Ok(None), None) => Err("no matching prefix found".to_owned()),
        }
    }
}

/// Resource and group of a store key: `/registry/secrets/…`, `/registry/GROUP/RESOURCE/…`.
fn resource_of(place: &str) -> (&str, &str) {
    let mut parts = place.trim_start_matches('/').split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    match parts.next() {
        Some(second) if first.contains('.') || is_group(first) => (second, first),
        _ => (first, ""),
    }
}

/// The groups without a dot.
fn is_group(word: &str) -> bool {
    matches!(word, "apps" | "batch" | "autoscaling" | "policy" | "extensions")
}

fn rules(text: &[u8]) -> Result<Vec<Rule>, file::Error> {
    let file: File = file::decode(text, "apiserver.config.k8s.io", &["v1"], "EncryptionConfiguration")?;
    let mut errors = ErrorList::new();
    let root = Field::new("resources");
    if file.resources.is_empty() {
        errors.push(FieldError::required(&root, "at least one resources entry is required"));
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (index, entry) in file.resources.iter().enumerate() {
        let path = root.index(index);
        check_resources(&path.child("resources"), &entry.resources, &rules, &mut errors);
        let at = path.child("providers");
        if entry.providers.is_empty() {
            errors.push(FieldError::required(&at, "at least one provider is required"));
        }
        let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
        for (index, given) in entry.providers.iter().enumerate() {
            add(&at.index(index), given, &mut providers, &mut errors);
        }
        rules.push(Rule { resources: entry.resources.clone(), providers });
    }
    none_wrong(errors)?;
    Ok(rules)
}

fn check_resources(path: &Field, given: &[String], before: &[Rule], errors: &mut ErrorList) {
    if given.is_empty() {
        errors.push(FieldError::required(path, "at least one resource is required"));
    }
    for (index, name) in given.iter().enumerate() {
        let at = path.index(index);
        if name.is_empty() {
            errors.push(FieldError::required(&at, "resource cannot be empty"));
        } else if name == "*" {
            errors.push(FieldError::invalid(
                &at,
                name.as_str(),
                "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
            ));
        } else if name.contains('/') {
            errors.push(FieldError::invalid(&at, name.as_str(), "subresources are not supported"));
        } else if *name != name.to_lowercase() {
            errors.push(FieldError::invalid(&at, name.as_str(), "resource names must be lowercase"));
        } else if given[..index].contains(name) {
            errors.push(FieldError::invalid(&at, name.as_str(), "resource name is not unique"));
        }
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        if before.iter().any(|rule| rule.concerns(resource, group)) {
            errors.push(FieldError::invalid(&at, name.as_str(), "resource is masked by earlier rule"));
        }
    }
}

fn add(path: &Field, given: &Given, providers: &mut Vec<Arc<dyn Provider>>, errors: &mut ErrorList) {
    let keyed = [("aesgcm", &given.aesgcm), ("aescbc", &given.aescbc), ("secretbox", &given.secretbox)];
    let set = keyed.iter().filter(|(_, keys)| keys.is_some()).count()
        + usize::from(given.identity.is_some())
        + usize::from(given.kms.is_some());
    match set {
        0 => errors.push(FieldError::required(
            path,
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        )),
        1 => {}
        _ => errors.push(FieldError::invalid(
            path,
            set,
            "more than one provider specified in a single element, should split into different list elements",
        )),
    }
    if given.identity.is_some() {
        providers.push(Arc::new(Identity));
    }
    for (form, keys) in keyed {
        let Some(keys) = keys else { continue };
        let path = path.child(form).child("keys");
        if keys.keys.is_empty() {
            errors.push(FieldError::required(&path, "at least one key is required"));
        }
        for (index, key) in keys.keys.iter().enumerate() {
            add_key(&path.index(index), form, key, &keys.keys[..index], providers, errors);
        }
    }
    if let Some(kms) = &given.kms {
        add_kms(&path.child("kms"), kms, providers, errors);
    }
}

fn add_key(
    path: &Field,
    form: &str,
    key: &Key,
    before: &[Key],
    providers: &mut Vec<Arc<dyn Provider>>,
    errors: &mut ErrorList,
) {
    let name = path.child("name");
    if key.name.is_empty() {
        errors.push(FieldError::required(&name, "key name is required"));
    } else if before.iter().any(|earlier| earlier.name == key.name) {
        errors.push(FieldError::invalid(&name, key.name.as_str(), "key name must be unique"));
    }
    let secret = path.child("secret");
    if key.secret.is_empty() {
        errors.push(FieldError::required(&secret, "key secret is required"));
        return;
    }
    let Ok(bytes) = STANDARD.decode(key.secret.trim()) else {
        errors.push(FieldError::invalid(&secret, "REDACTED", "secrets must be base64 encoded"));
        return;
    };
    match Keyed::new(form, &key.name, &bytes) {
        Ok(provider) => providers.push(Arc::new(provider)),
        Err(why) => errors.push(FieldError::invalid(&secret, "REDACTED", &why)),
    }
}

fn add_kms(path: &Field, kms: &Kms, providers: &mut Vec<Arc<dyn Provider>>, errors: &mut ErrorList) {
    if kms.api_version != "v2" {
        let why = "only v2 is supported: KMSv1 is deprecated and switched off";
        errors.push(FieldError::invalid(&path.child("apiVersion"), kms.api_version.as_str(), why));
    }
    let name = path.child("name");
    if kms.name.is_empty() {
        errors.push(FieldError::required(&name, "kms provider name is required"));
    } else if kms.name.contains(':') {
        errors.push(FieldError::invalid(&name, kms.name.as_str(), "invalid provider name, must not contain ':'"));
    }
    if kms.cachesize.is_some() {
        let why = "cachesize is not supported in v2";
        errors.push(FieldError::invalid(&path.child("cachesize"), kms.cachesize.unwrap_or_default(), why));
    }
    let limit = match kms.timeout.as_deref().map(|text| (text, file::duration(text))) {
        None => USUAL_LIMIT,
        Some((_, Some(limit))) if !limit.is_zero() => limit,
        Some((text, _)) => {
            errors.push(FieldError::invalid(&path.child("timeout"), text, "timeout should be a positive value"));
            return;
        }
    };
    if kms.endpoint.is_empty() {
        errors.push(FieldError::required(&path.child("endpoint"), "endpoint is a required field"));
        return;
    }
    match KmsV2::new(&kms.name, &kms.endpoint, limit) {
        Ok(provider) => providers.push(Arc::new(provider)),
        Err(why) => errors.push(FieldError::invalid(&path.child("endpoint"), kms.endpoint.as_str(), &why)),
    }
}
