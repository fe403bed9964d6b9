//! Upstream's configuration file, `kubescheduler.config.k8s.io/v1` KubeSchedulerConfiguration: its
//! fields, read strictly, and what may stand in them.

use super::{Config, Extender, Profile, Tls, resolve};
use base64::Engine as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the scheduler configuration: {0}")]
    Yaml(String),
    #[error("no kind \"{kind}\" is registered for version \"{version}\"")]
    Kind { kind: String, version: String },
    #[error("strict decoding error: {0}")]
    Decode(#[from] serde_json::Error),
    #[error("{field}: Invalid value: {value}: {why}")]
    Invalid { field: String, value: String, why: String },
    #[error("{field}: Duplicate value: \"{value}\"")]
    Duplicate { field: String, value: String },
    #[error("{field}: Required value")]
    Required { field: String },
    #[error("profile \"{profile}\": plugin \"{plugin}\" does not exist")]
    NoSuchPlugin { profile: String, plugin: String },
    #[error("at least one bind plugin is needed for profile with scheduler name \"{profile}\"")]
    NoBinder { profile: String },
    #[error("cannot read {}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
}

impl ConfigError {
    pub(super) fn invalid(field: impl Into<String>, value: impl ToString, why: &str) -> Self {
        ConfigError::Invalid { field: field.into(), value: value.to_string(), why: why.to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    percentage_of_nodes_to_score: Option<i64>,
    #[serde(default)]
    pod_initial_backoff_seconds: Option<i64>,
    #[serde(default)]
    pod_max_backoff_seconds: Option<i64>,
    #[serde(default)]
    profiles: Vec<ProfileFile>,
    #[serde(default)]
    extenders: Vec<ExtenderFile>,
    // What follows concerns a process of its own, which this scheduler is not.
    #[serde(rename = "parallelism", default)]
    _parallelism: Option<IgnoredAny>,
    #[serde(rename = "leaderElection", default)]
    _leader_election: Option<IgnoredAny>,
    #[serde(rename = "clientConnection", default)]
    _client_connection: Option<IgnoredAny>,
    #[serde(rename = "enableProfiling", default)]
    _enable_profiling: Option<IgnoredAny>,
    #[serde(rename = "enableContentionProfiling", default)]
    _enable_contention_profiling: Option<IgnoredAny>,
    #[serde(rename = "delayCacheUntilActive", default)]
    _delay_cache_until_active: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProfileFile {
    #[serde(default)]
    pub scheduler_name: Option<String>,
    #[serde(default)]
    pub percentage_of_nodes_to_score: Option<i64>,
    #[serde(default)]
    pub plugins: Plugins,
    #[serde(default)]
    pub plugin_config: Vec<PluginConfig>,
}

/// The extension points; those that no plugin here has a part in alone are checked for names only.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Plugins {
    pub multi_point: PluginSet,
    pub pre_enqueue: PluginSet,
    pub queue_sort: PluginSet,
    pub pre_filter: PluginSet,
    pub filter: PluginSet,
    pub post_filter: PluginSet,
    pub pre_score: PluginSet,
    pub score: PluginSet,
    pub reserve: PluginSet,
    pub permit: PluginSet,
    pub pre_bind: PluginSet,
    pub bind: PluginSet,
    pub post_bind: PluginSet,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PluginSet {
    pub enabled: Vec<PluginName>,
    pub disabled: Vec<PluginName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginName {
    pub name: String,
    #[serde(default)]
    pub weight: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PluginConfig {
    pub name: String,
    #[serde(default)]
    pub args: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExtenderFile {
    url_prefix: String,
    #[serde(default)]
    filter_verb: String,
    #[serde(default)]
    preempt_verb: String,
    #[serde(default)]
    prioritize_verb: String,
    #[serde(default)]
    weight: i64,
    #[serde(default)]
    bind_verb: String,
    #[serde(rename = "enableHTTPS", default)]
    enable_https: bool,
    #[serde(default)]
    tls_config: Option<TlsFile>,
    #[serde(rename = "httpTimeout", default)]
    http_timeout: Option<String>,
    #[serde(default)]
    node_cache_capable: bool,
    #[serde(default)]
    managed_resources: Vec<ManagedResource>,
    #[serde(default)]
    ignorable: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ManagedResource {
    name: String,
    #[serde(default)]
    ignored_by_scheduler: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct TlsFile {
    insecure: bool,
    server_name: Option<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    cert_data: Option<String>,
    key_data: Option<String>,
    ca_data: Option<String>,
}

/// Reads the file's text, YAML or JSON.
///
/// # Errors
/// It is none, or names what there is not.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let value = wire::yaml::parse(text).map_err(|error| ConfigError::Yaml(error.to_string()))?;
    let named = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (named("apiVersion"), named("kind"));
    if version != API_VERSION || kind != KIND {
        return Err(ConfigError::Kind { kind, version });
    }
    let file: File = serde_json::from_value(value)?;
    let (first, max) = backoff(&file)?;
    let mut config = Config {
        percentage_of_nodes_to_score: percentage("percentageOfNodesToScore", file.percentage_of_nodes_to_score)?
            .unwrap_or(0),
        first_backoff: first,
        max_backoff: max,
        ..Config::default()
    };
    if !file.profiles.is_empty() {
        config.profiles = profiles(file.profiles)?;
    }
    let mut ignored = BTreeSet::new();
    for (place, extender) in file.extenders.into_iter().enumerate() {
        let managed = extender.managed_resources.iter().filter(|one| one.ignored_by_scheduler);
        ignored.extend(managed.map(|one| one.name.clone()));
        config.extenders.push(extender.read(place)?);
    }
    if config.extenders.iter().filter(|one| !one.bind.is_empty()).count() > 1 {
        return Err(ConfigError::invalid(
            "extenders",
            "found 2 extenders implementing bind",
            "only one can implement bind",
        ));
    }
    for profile in &mut config.profiles {
        profile.args.fit.ignored.extend(ignored.iter().cloned());
    }
    Ok(config)
}

pub(super) fn percentage(field: &str, given: Option<i64>) -> Result<Option<i64>, ConfigError> {
    match given {
        Some(value) if !(0..=100).contains(&value) => {
            Err(ConfigError::invalid(field, value, "not in valid range [0-100]"))
        }
        given => Ok(given),
    }
}

fn backoff(file: &File) -> Result<(Duration, Duration), ConfigError> {
    let (first, max) = (file.pod_initial_backoff_seconds.unwrap_or(1), file.pod_max_backoff_seconds.unwrap_or(10));
    if first <= 0 {
        return Err(ConfigError::invalid("podInitialBackoffSeconds", first, "must be greater than 0"));
    }
    if max < first {
        let why = "must be greater than or equal to PodInitialBackoffSeconds";
        return Err(ConfigError::invalid("podMaxBackoffSeconds", max, why));
    }
    let seconds = |count: i64| Duration::from_secs(u64::try_from(count).unwrap_or(1));
    Ok((seconds(first), seconds(max)))
}

fn profiles(given: Vec<ProfileFile>) -> Result<Vec<Profile>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut profiles = Vec::new();
    let many = given.len() > 1;
    for (place, profile) in given.into_iter().enumerate() {
        let field = format!("profiles[{place}].schedulerName");
        let name = match &profile.scheduler_name {
            Some(name) if !name.is_empty() => name.clone(),
            _ if many => return Err(ConfigError::Required { field }),
            _ => "default-scheduler".to_owned(),
        };
        if !names.insert(name.clone()) {
            return Err(ConfigError::Duplicate { field, value: name });
        }
        profiles.push(resolve::profile(&name, place, profile)?);
    }
    Ok(profiles)
}

impl ExtenderFile {
    fn read(self, place: usize) -> Result<Extender, ConfigError> {
        let field = |name: &str| format!("extenders[{place}].{name}");
        if !self.prioritize_verb.is_empty() && self.weight <= 0 {
            let why = "must have a positive weight applied to it";
            return Err(ConfigError::invalid(field("weight"), self.weight, why));
        }
        let timeout = match &self.http_timeout {
            None => Duration::from_secs(5),
            Some(text) => {
                let nanos = meta::time::parse_duration(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
                let nanos = nanos.filter(|nanos| *nanos > 0);
                let bad = || ConfigError::invalid(field("httpTimeout"), text, "must be a positive duration");
                Duration::from_nanos(nanos.ok_or_else(bad)?)
            }
        };
        let is_named = self.url_prefix.contains("://");
        let scheme = if self.enable_https { "https" } else { "http" };
        let tls = self.tls_config.unwrap_or_default();
        Ok(Extender {
            url: if is_named { self.url_prefix } else { format!("{scheme}://{}", self.url_prefix) },
            filter: self.filter_verb,
            prioritize: self.prioritize_verb,
            preempt: self.preempt_verb,
            bind: self.bind_verb,
            weight: self.weight,
            timeout,
            nodes_are_cached: self.node_cache_capable,
            is_ignorable: self.ignorable,
            resources: self.managed_resources.into_iter().map(|one| one.name).collect(),
            tls: tls.read(place)?,
        })
    }
}

impl TlsFile {
    fn read(self, place: usize) -> Result<Tls, ConfigError> {
        let pem = |data: Option<String>, path: Option<PathBuf>, name: &str| match (data, path) {
            (Some(text), _) => {
                let field = format!("extenders[{place}].tlsConfig.{name}");
                let bytes = base64::engine::general_purpose::STANDARD.decode(&text);
                bytes.map(Some).map_err(|error| ConfigError::invalid(field, "", &error.to_string()))
            }
            (None, Some(path)) => match std::fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) => Err(ConfigError::File { path, error }),
            },
            (None, None) => Ok(None),
        };
        let chain = pem(self.cert_data, self.cert_file, "certData")?;
        let key = pem(self.key_data, self.key_file, "keyData")?;
        Ok(Tls {
            insecure: self.insecure,
            server_name: self.server_name,
            ca: pem(self.ca_data, self.ca_file, "caData")?,
            certificate: chain.zip(key),
        })
    }
}
