//! kubeconfig files: read, merged and turned into [`HttpsOptions`]; and the configuration that a pod
//! finds in its own file system.
//!
//! Changing files is the work of `kubectl config`; fields not known here survive a round trip.

use crate::credentials::{self, ExecConfig, ExecSource, TokenFile};
use crate::https::{ClientCertificate, HttpsOptions, OptionsError, Roots};
use base::Env;
use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Rest = BTreeMap<String, serde_json::Value>;

/// Where a pod finds its token, CA and namespace.
const POD_FILES: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {why}")]
    Read { path: PathBuf, why: std::io::Error },
    #[error("error loading config file \"{path}\": {why}")]
    Parse { path: PathBuf, why: String },
    #[error("context \"{0}\" does not exist")]
    NoContext(String),
    #[error("cluster \"{0}\" does not exist")]
    NoCluster(String),
    #[error("auth info \"{0}\" does not exist")]
    NoUser(String),
    #[error("invalid configuration: no server found for cluster \"{0}\"")]
    NoServer(String),
    #[error("{field} is not valid base64: {why}")]
    Base64 { field: &'static str, why: base64::DecodeError },
    #[error("invalid impersonation header: {0}")]
    Impersonation(String),
    #[error("getting credentials: {0}")]
    Plugin(String),
    #[error("getting credentials: exec: plugin {0:?} is not allowed by the credential plugin policy")]
    PluginNotAllowed(String),
    #[error("{}", credentials::no_provider(.0))]
    NoProvider(String),
    #[error(
        "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
    )]
    NotInCluster,
    #[error(transparent)]
    Options(#[from] OptionsError),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion", skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    #[serde(deserialize_with = "meta::null_as_default")]
    pub clusters: Vec<NamedCluster>,
    #[serde(deserialize_with = "meta::null_as_default")]
    pub contexts: Vec<NamedContext>,
    pub current_context: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(deserialize_with = "meta::null_as_default")]
    pub users: Vec<NamedUser>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedCluster {
    #[serde(default)]
    pub cluster: Cluster,
    pub name: String,
    /// The file this entry was read from: paths in it are relative to that file's folder.
    #[serde(skip)]
    pub origin: Option<Arc<Path>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedContext {
    #[serde(default)]
    pub context: Context,
    pub name: String,
    #[serde(skip)]
    pub origin: Option<Arc<Path>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedUser {
    pub name: String,
    #[serde(default)]
    pub user: User,
    #[serde(skip)]
    pub origin: Option<Arc<Path>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Cluster {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_tls_verify: bool,
    pub server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Context {
    pub cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub user: String,
    #[serde(flatten)]
    pub rest: Rest,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct User {
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub impersonate: Option<String>,
    #[serde(rename = "as-groups", skip_serializing_if = "Vec::is_empty")]
    pub impersonate_groups: Vec<String>,
    #[serde(rename = "as-uid", skip_serializing_if = "Option::is_none")]
    pub impersonate_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(rename = "tokenFile", skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(flatten)]
    pub rest: Rest,
}

/// What command line flags put in place of the file's.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub context: Option<String>,
    pub cluster: Option<String>,
    pub user: Option<String>,
    /// Takes the place of the context's own cluster fields and user fields where set.
    pub cluster_fields: Cluster,
    pub user_fields: User,
    pub plugins: PluginPolicy,
}

/// Which `exec` programs may be run for credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PluginPolicy {
    #[default]
    AllowAll,
    DenyAll,
    /// These, by path, or by a name that is looked for in PATH.
    Allowlist(Vec<String>),
}

impl PluginPolicy {
    fn allows(&self, program: &Path) -> bool {
        let same = |allowed: &String| {
            let allowed = Path::new(allowed);
            allowed == program || on_path(allowed).is_some_and(|found| Some(found) == on_path(program))
        };
        match self {
            PluginPolicy::AllowAll => true,
            PluginPolicy::DenyAll => false,
            PluginPolicy::Allowlist(list) => list.iter().any(same),
        }
    }
}

/// Where a program stands: a name without a slash is looked for in PATH.
fn on_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.canonicalize().ok();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find_map(|folder| folder.join(program).canonicalize().ok())
}

/// A context, resolved: whom to talk to, and in which namespace.
#[derive(Clone)]
pub struct Target {
    pub https: HttpsOptions,
    /// `default` where nothing says otherwise.
    pub namespace: String,
}

impl Kubeconfig {
    /// The files to read: `explicit` alone, or those of the variable KUBECONFIG (its value is given),
    /// or `$HOME/.kube/config`.
    pub fn paths(explicit: Option<&Path>, variable: Option<&str>, home: Option<&Path>) -> Vec<PathBuf> {
        if let Some(path) = explicit {
            return vec![path.to_owned()];
        }
        let listed: Vec<_> =
            variable.into_iter().flat_map(|list| list.split(':')).filter(|path| !path.is_empty()).collect();
        if listed.is_empty() {
            return home.map(|home| home.join(".kube/config")).into_iter().collect();
        }
        listed.into_iter().map(PathBuf::from).collect()
    }

    /// Reads and merges `paths`; files that do not exist count as empty unless `must_exist`.
    pub fn load(paths: &[PathBuf], must_exist: bool) -> Result<Self, ConfigError> {
        let mut merged = Kubeconfig::default();
        for path in paths {
            match std::fs::read(path) {
                Ok(text) => merged.merge(Self::parse(&text, Some(path))?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {}
                Err(why) => return Err(ConfigError::Read { path: path.clone(), why }),
            }
        }
        Ok(merged)
    }

    /// Reads one file's text; `path` is where it came from.
    pub fn parse(text: &[u8], path: Option<&Path>) -> Result<Self, ConfigError> {
        let shown = || path.unwrap_or(Path::new("-")).to_owned();
        let refused = |why: String| ConfigError::Parse { path: shown(), why };
        let found: serde_yaml_ng::Value = serde_yaml_ng::from_slice(text).map_err(|why| refused(why.to_string()))?;
        if let Some(kind) = no_config(&found) {
            return Err(refused(format!(
                "{NO_VERSION}: json: cannot unmarshal {kind} into Go value of type {TYPE_META}"
            )));
        }
        let parsed: Result<Option<Self>, _> = serde_yaml_ng::from_value(found);
        let parsed = parsed.map_err(|why| refused(why.to_string()))?;
        let mut config = parsed.unwrap_or_default();
        let origin: Option<Arc<Path>> = path.map(Arc::from);
        config.clusters.iter_mut().for_each(|entry| entry.origin.clone_from(&origin));
        config.contexts.iter_mut().for_each(|entry| entry.origin.clone_from(&origin));
        config.users.iter_mut().for_each(|entry| entry.origin.clone_from(&origin));
        Ok(config)
    }

    /// Adds what `other` has and this lacks: of two entries of one name the first stays.
    pub fn merge(&mut self, other: Self) {
        for entry in other.clusters {
            if !self.clusters.iter().any(|mine| mine.name == entry.name) {
                self.clusters.push(entry);
            }
        }
        for entry in other.contexts {
            if !self.contexts.iter().any(|mine| mine.name == entry.name) {
                self.contexts.push(entry);
            }
        }
        for entry in other.users {
            if !self.users.iter().any(|mine| mine.name == entry.name) {
                self.users.push(entry);
            }
        }
        if self.current_context.is_empty() {
            self.current_context = other.current_context;
        }
        if self.api_version.is_empty() {
            (self.api_version, self.kind) = (other.api_version, other.kind);
        }
        for (name, value) in other.rest {
            self.rest.entry(name).or_insert(value);
        }
    }

    pub fn to_yaml(&self) -> String {
        // A plain structure of strings cannot fail to be written.
        serde_yaml_ng::to_string(self).unwrap_or_default()
    }

    pub fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|entry| entry.name == name).map(|entry| &entry.context)
    }

    /// Resolves the current context, or the one of `overrides`. Runs the user's exec plugin where
    /// there is one.
    pub async fn target(&self, overrides: &Overrides, env: &Env) -> Result<Target, ConfigError> {
        let name = overrides.context.as_deref().unwrap_or(&self.current_context);
        let context = match self.context(name) {
            Some(context) => context.clone(),
            None if name.is_empty() => Context::default(),
            None => return Err(ConfigError::NoContext(name.to_owned())),
        };
        let cluster = overrides.cluster.as_ref().unwrap_or(&context.cluster);
        let user = overrides.user.as_ref().unwrap_or(&context.user);
        let https = self.https(cluster, user, overrides, env).await?;
        let namespace = context.namespace.filter(|namespace| !namespace.is_empty());
        Ok(Target { https, namespace: namespace.unwrap_or_else(|| "default".to_owned()) })
    }

    async fn https(
        &self,
        cluster: &str,
        user: &str,
        overrides: &Overrides,
        env: &Env,
    ) -> Result<HttpsOptions, ConfigError> {
        let entry = self.clusters.iter().find(|entry| entry.name == cluster);
        if entry.is_none() && !cluster.is_empty() {
            return Err(ConfigError::NoCluster(cluster.to_owned()));
        }
        let over = &overrides.cluster_fields;
        let own = entry.map(|entry| entry.cluster.clone()).unwrap_or_default();
        let server = if over.server.is_empty() { own.server.clone() } else { over.server.clone() };
        if server.is_empty() {
            return Err(ConfigError::NoServer(cluster.to_owned()));
        }
        let origin = entry.and_then(|entry| entry.origin.clone());
        let roots = roots(&own, over, origin.as_deref())?;
        let mut options = HttpsOptions::new(server, roots);
        options.server_name = over.tls_server_name.clone().or(own.tls_server_name);
        let entry = self.users.iter().find(|entry| entry.name == user);
        if entry.is_none() && !user.is_empty() {
            return Err(ConfigError::NoUser(user.to_owned()));
        }
        let empty = NamedUser::default();
        add_identity(&mut options, entry.unwrap_or(&empty), overrides, env).await?;
        Ok(options)
    }
}

/// The configuration of a process in a pod; `variable` reads an environment variable.
pub fn in_cluster(variable: &dyn Fn(&str) -> Option<String>, env: &Env) -> Result<Target, ConfigError> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).ok_or(ConfigError::NotInCluster);
    let (host, port) = (set("KUBERNETES_SERVICE_HOST")?, set("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let files = Path::new(POD_FILES);
    let roots = Roots::Pem(read(&files.join("ca.crt"))?);
    let token = TokenFile::new(files.join("token"), env);
    let namespace = std::fs::read_to_string(files.join("namespace")).unwrap_or_default();
    let namespace = if namespace.trim().is_empty() { "default" } else { namespace.trim() };
    let https = HttpsOptions::new(format!("https://{host}:{port}"), roots).token(token);
    Ok(Target { https, namespace: namespace.to_owned() })
}

fn roots(own: &Cluster, over: &Cluster, origin: Option<&Path>) -> Result<Roots, ConfigError> {
    if over.insecure_skip_tls_verify || own.insecure_skip_tls_verify {
        return Ok(Roots::Unchecked);
    }
    if let Some(file) = &over.certificate_authority {
        return Ok(Roots::Pem(read(Path::new(file))?));
    }
    let data = data_or_file(
        "certificate-authority-data",
        own.certificate_authority_data.as_deref(),
        own.certificate_authority.as_deref(),
        origin,
    )?;
    Ok(data.map_or(Roots::System, Roots::Pem))
}

async fn add_identity(
    options: &mut HttpsOptions,
    entry: &NamedUser,
    overrides: &Overrides,
    env: &Env,
) -> Result<(), ConfigError> {
    let over = &overrides.user_fields;
    let (own, origin) = (&entry.user, entry.origin.as_deref());
    // What client libraries had built in before there were plugins: here is none of them.
    if let Some(provider) = own.rest.get("auth-provider").filter(|provider| provider.is_object()) {
        return Err(ConfigError::NoProvider(provider["name"].as_str().unwrap_or_default().to_owned()));
    }
    let over_chain = over.client_certificate.as_deref().map(|file| read(Path::new(file))).transpose()?;
    let over_key = over.client_key.as_deref().map(|file| read(Path::new(file))).transpose()?;
    let chain = data_or_file(
        "client-certificate-data",
        own.client_certificate_data.as_deref(),
        own.client_certificate.as_deref(),
        origin,
    )?;
    let key = data_or_file("client-key-data", own.client_key_data.as_deref(), own.client_key.as_deref(), origin)?;
    if let (Some(chain), Some(key)) = (over_chain.or(chain), over_key.or(key)) {
        options.certificate = Some(Arc::new(ClientCertificate::new(&chain, &key)?));
    }
    if let Some(token) = over.token.as_ref().or(own.token.as_ref()).filter(|token| !token.is_empty()) {
        options.token = Some(Arc::new(token.clone()));
    } else if let Some(file) = &own.token_file {
        options.token = Some(Arc::new(TokenFile::new(resolve(file, origin), env)));
    } else if let Some(user) = over.username.as_ref().or(own.username.as_ref()) {
        let password = over.password.as_ref().or(own.password.as_ref()).cloned().unwrap_or_default();
        options.basic = Some((user.clone(), password));
    } else if let Some(exec) = &own.exec {
        let source = ExecSource::new(exec.clone(), origin.and_then(Path::parent), env);
        if !overrides.plugins.allows(&source.program()) {
            return Err(ConfigError::PluginNotAllowed(exec.command.clone()));
        }
        let first = source.run().await.map_err(ConfigError::Plugin)?;
        if let (Some(chain), Some(key)) = (&first.client_certificate_data, &first.client_key_data) {
            options.certificate = Some(Arc::new(ClientCertificate::new(chain.as_bytes(), key.as_bytes())?));
        }
        if first.token.is_some() {
            options.token = Some(Arc::new(source));
        }
    }
    options.headers = impersonation(own, over)?;
    Ok(())
}

fn impersonation(own: &User, over: &User) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| -> Result<(), ConfigError> {
        let header = HeaderValue::from_str(value).map_err(|_| ConfigError::Impersonation(value.to_owned()))?;
        headers.append(HeaderName::from_static(name), header);
        Ok(())
    };
    if let Some(user) = over.impersonate.as_ref().or(own.impersonate.as_ref()) {
        add("impersonate-user", user)?;
    }
    let groups = if over.impersonate_groups.is_empty() { &own.impersonate_groups } else { &over.impersonate_groups };
    groups.iter().try_for_each(|group| add("impersonate-group", group))?;
    if let Some(uid) = over.impersonate_uid.as_ref().or(own.impersonate_uid.as_ref()) {
        add("impersonate-uid", uid)?;
    }
    Ok(headers)
}

/// The inline form wins over the file.
fn data_or_file(
    field: &'static str,
    data: Option<&str>,
    file: Option<&str>,
    origin: Option<&Path>,
) -> Result<Option<Vec<u8>>, ConfigError> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let compact: String = data.split_whitespace().collect();
        let decoded = base64::engine::general_purpose::STANDARD.decode(compact);
        return Ok(Some(decoded.map_err(|why| ConfigError::Base64 { field, why })?));
    }
    file.filter(|file| !file.is_empty()).map(|file| read(&resolve(file, origin))).transpose()
}

/// A path of a file is relative to the folder of the file that names it.
fn resolve(file: &str, origin: Option<&Path>) -> PathBuf {
    match origin.and_then(Path::parent) {
        Some(folder) => folder.join(file),
        None => PathBuf::from(file),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|why| ConfigError::Read { path: path.to_owned(), why })
}

const NO_VERSION: &str = "couldn't get version/kind; json parse error";
const TYPE_META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// What a text is that cannot be a configuration, as Go calls it. What it says is not repeated: a wrong
/// file may well be a key.
fn no_config(found: &serde_yaml_ng::Value) -> Option<&'static str> {
    match found {
        serde_yaml_ng::Value::Null | serde_yaml_ng::Value::Mapping(_) | serde_yaml_ng::Value::Tagged(_) => None,
        serde_yaml_ng::Value::Bool(_) => Some("bool"),
        serde_yaml_ng::Value::Number(_) => Some("number"),
        serde_yaml_ng::Value::String(_) => Some("string"),
        serde_yaml_ng::Value::Sequence(_) => Some("array"),
    }
}

#[cfg(test)]
mod tests;
