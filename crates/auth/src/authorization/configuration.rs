//! Which authorizers there are: upstream's AuthorizationConfiguration file, or the flags that came
//! before it, checked in upstream's words.

use super::webhook::{Version, WebhookOptions, environment};
use crate::file::{self, none_wrong};
use expressions::{Program, Type, compile};
use meta::field::{ErrorList, FieldError, Path as Field};
use meta::validation::dns1123_subdomain;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const MODES: [&str; 5] = ["AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
const ALLOWED_FOR: Duration = Duration::from_secs(5 * 60);
const REFUSED_FOR: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(30);

/// The authorizers in their order.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub mode: Mode,
}

#[derive(Debug, Clone)]
pub enum Mode {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook(Box<WebhookOptions>),
}

impl Mode {
    pub fn name(&self) -> &'static str {
        match self {
            Mode::AlwaysAllow => "AlwaysAllow",
            Mode::AlwaysDeny => "AlwaysDeny",
            Mode::Node => "Node",
            Mode::Rbac => "RBAC",
            Mode::Webhook(_) => "Webhook",
        }
    }

    fn plain(name: &str) -> Option<Self> {
        Some(match name {
            "AlwaysAllow" => Mode::AlwaysAllow,
            "AlwaysDeny" => Mode::AlwaysDeny,
            "Node" => Mode::Node,
            "RBAC" => Mode::Rbac,
            _ => return None,
        })
    }
}

/// `--authorization-mode` and the flags of its webhook.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub modes: Vec<String>,
    pub webhook_config_file: Option<PathBuf>,
    /// v1beta1 unless told otherwise, as upstream.
    pub webhook_version: Option<String>,
    pub allowed_for: Option<Duration>,
    pub refused_for: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    authorizers: Vec<Authorizer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct Authorizer {
    r#type: String,
    name: String,
    webhook: Option<Hook>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Hook {
    #[serde(rename = "authorizedTTL")]
    authorized_ttl: Option<String>,
    cache_authorized_requests: Option<bool>,
    #[serde(rename = "unauthorizedTTL")]
    unauthorized_ttl: Option<String>,
    cache_unauthorized_requests: Option<bool>,
    timeout: Option<String>,
    subject_access_review_version: String,
    match_condition_subject_access_review_version: String,
    failure_policy: String,
    connection_info: Connection,
    match_conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Connection {
    r#type: String,
    kube_config_file: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Condition {
    expression: String,
}

impl Configuration {
    /// # Errors
    /// The file cannot be read, or what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = file::read(path).map_err(|error| error.to_string())?;
        Self::parse(&text).map_err(|error| error.to_string())
    }

    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, file::Error> {
        let file: File =
            file::decode(text, "apiserver.config.k8s.io", &["v1", "v1beta1"], "AuthorizationConfiguration")?;
        let mut errors = ErrorList::new();
        let all = Field::new("authorizers");
        if file.authorizers.is_empty() {
            errors.push(FieldError::required(&all, "at least one authorization mode must be defined"));
        }
        let mut entries: Vec<Entry> = Vec::new();
        for (index, given) in file.authorizers.iter().enumerate() {
            let entry = entry(&all.index(index), given, &entries, &mut errors);
            entries.extend(entry);
        }
        none_wrong(errors)?;
        Ok(Configuration { entries })
    }

    /// What the older flags say.
    ///
    /// # Errors
    /// A mode that is not known, given twice or lacks what it needs.
    pub fn of_flags(flags: &Flags) -> Result<Self, String> {
        let default = ["Node".to_owned(), "RBAC".to_owned()];
        let modes = if flags.modes.is_empty() { &default[..] } else { &flags.modes };
        let mut entries: Vec<Entry> = Vec::new();
        for mode in modes {
            if entries.iter().any(|entry| entry.mode.name() == mode) {
                return Err(format!("authorization-mode {modes:?} has mode specified more than once"));
            }
            let built = match (Mode::plain(mode), mode.as_str(), &flags.webhook_config_file) {
                (Some(plain), _, _) => plain,
                (None, "Webhook", Some(file)) => Mode::Webhook(Box::new(of_flags(flags, file)?)),
                (None, "Webhook", None) => {
                    return Err("authorization-mode Webhook's authorization config file not passed".to_owned());
                }
                _ => return Err(format!("authorization-mode {mode:?} is not a valid mode")),
            };
            let name = if mode == "Webhook" { "default".to_owned() } else { mode.to_lowercase() };
            entries.push(Entry { name, mode: built });
        }
        let has_webhook = entries.iter().any(|entry| matches!(entry.mode, Mode::Webhook(_)));
        if flags.webhook_config_file.is_some() && !has_webhook {
            return Err("cannot specify --authorization-webhook-config-file without mode Webhook".to_owned());
        }
        Ok(Configuration { entries })
    }

    pub fn has_rbac(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.mode, Mode::Rbac))
    }
}

fn of_flags(flags: &Flags, file: &Path) -> Result<WebhookOptions, String> {
    let version = flags.webhook_version.as_deref().unwrap_or("v1beta1");
    Ok(WebhookOptions {
        kubeconfig: file.to_owned(),
        version: Version::parse(version).ok_or_else(|| {
            format!("unsupported webhook authorizer version {version:?}, supported versions are \"v1\", \"v1beta1\"")
        })?,
        timeout: LONGEST,
        allowed_for: flags.allowed_for.unwrap_or(ALLOWED_FOR),
        refused_for: flags.refused_for.unwrap_or(REFUSED_FOR),
        fails_closed: false,
        conditions: Arc::default(),
    })
}

fn entry(path: &Field, given: &Authorizer, before: &[Entry], errors: &mut ErrorList) -> Option<Entry> {
    let kind = path.child("type");
    let is_known = MODES.contains(&given.r#type.as_str());
    if given.r#type.is_empty() {
        errors.push(FieldError::required(&kind, ""));
    } else if !is_known {
        errors.push(FieldError::not_supported(&kind, given.r#type.as_str(), &MODES));
    } else if given.r#type != "Webhook" && before.iter().any(|entry| entry.mode.name() == given.r#type) {
        errors.push(FieldError::duplicate(&kind, given.r#type.as_str()));
    }
    let name = path.child("name");
    if given.name.is_empty() {
        errors.push(FieldError::required(&name, ""));
    } else if before.iter().any(|entry| entry.name == given.name) {
        errors.push(FieldError::duplicate(&name, given.name.as_str()));
    } else if let [first, ..] = dns1123_subdomain(&given.name).as_slice() {
        let why = format!("authorizer name is invalid, {first}");
        errors.push(FieldError::invalid(&name, given.name.as_str(), &why));
    }
    let hook = path.child("webhook");
    let mode = match (&given.webhook, given.r#type.as_str()) {
        (Some(webhook), "Webhook") => Mode::Webhook(Box::new(webhook_options(&hook, webhook, errors)?)),
        (None, "Webhook") => {
            errors.push(FieldError::required(&hook, "required when type=Webhook"));
            return None;
        }
        (Some(_), _) => {
            errors.push(FieldError::invalid(&hook, "non-null", "may only be specified when type=Webhook"));
            return None;
        }
        (None, kind) => Mode::plain(kind)?,
    };
    Some(Entry { name: given.name.clone(), mode })
}

fn webhook_options(path: &Field, given: &Hook, errors: &mut ErrorList) -> Option<WebhookOptions> {
    let before = errors.len();
    let timeout = path.child("timeout");
    let limit = given.timeout.as_deref().map(|text| (text, file::duration(text).unwrap_or_default()));
    match limit {
        None => errors.push(FieldError::required(&timeout, "")),
        Some((text, limit)) if limit.is_zero() || limit > LONGEST => {
            errors.push(FieldError::invalid(&timeout, text, "must be > 0s and <= 30s"));
        }
        Some(_) => {}
    }
    let allowed_for = lasting(&path.child("authorizedTTL"), given.authorized_ttl.as_deref(), ALLOWED_FOR, errors);
    let refused_for = lasting(&path.child("unauthorizedTTL"), given.unauthorized_ttl.as_deref(), REFUSED_FOR, errors);
    let version = path.child("subjectAccessReviewVersion");
    let sent = Version::parse(&given.subject_access_review_version);
    one_of(&version, &given.subject_access_review_version, &["v1", "v1beta1"], errors);
    let matched = path.child("matchConditionSubjectAccessReviewVersion");
    match given.match_condition_subject_access_review_version.as_str() {
        "" if given.match_conditions.is_empty() => {}
        "" => errors.push(FieldError::required(&matched, "required if match conditions are specified")),
        other => one_of(&matched, other, &["v1"], errors),
    }
    one_of(&path.child("failurePolicy"), &given.failure_policy, &["Deny", "NoOpinion"], errors);
    let kubeconfig = connection(&path.child("connectionInfo"), &given.connection_info, errors);
    let conditions = conditions(&path.child("matchConditions"), &given.match_conditions, errors);
    if errors.len() > before {
        return None;
    }
    let kept = |wanted: Option<bool>, lasts| if wanted == Some(false) { Duration::ZERO } else { lasts };
    Some(WebhookOptions {
        kubeconfig: kubeconfig?,
        version: sent?,
        timeout: limit?.1,
        allowed_for: kept(given.cache_authorized_requests, allowed_for),
        refused_for: kept(given.cache_unauthorized_requests, refused_for),
        fails_closed: given.failure_policy == "Deny",
        conditions: Arc::new(conditions),
    })
}

fn lasting(path: &Field, given: Option<&str>, default: Duration, errors: &mut ErrorList) -> Duration {
    let Some(text) = given else { return default };
    match meta::time::parse_duration(text) {
        Ok(0) => default,
        Ok(nanos) if nanos > 0 => Duration::from_nanos(nanos.unsigned_abs()),
        _ => {
            errors.push(FieldError::invalid(path, text, "must be > 0s"));
            default
        }
    }
}

fn one_of(path: &Field, given: &str, known: &[&str], errors: &mut ErrorList) {
    if given.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !known.contains(&given) {
        errors.push(FieldError::not_supported(path, given, known));
    }
}

fn connection(path: &Field, given: &Connection, errors: &mut ErrorList) -> Option<PathBuf> {
    one_of(&path.child("type"), &given.r#type, &["KubeConfigFile"], errors);
    let file = path.child("kubeConfigFile");
    let Some(name) = given.kube_config_file.as_deref().filter(|name| !name.is_empty()) else {
        if given.r#type == "KubeConfigFile" {
            errors.push(FieldError::required(&file, ""));
        }
        return None;
    };
    let path = PathBuf::from(name);
    if !path.is_absolute() {
        errors.push(FieldError::invalid(&file, name, "must be an absolute path"));
    } else if let Err(error) = std::fs::metadata(&path) {
        errors.push(FieldError::invalid(&file, name, &format!("error loading file: {error}")));
    } else if !path.is_file() {
        errors.push(FieldError::invalid(&file, name, "must be a regular file"));
    }
    Some(path)
}

fn conditions(path: &Field, given: &[Condition], errors: &mut ErrorList) -> Vec<Program> {
    let (environment, mut programs) = (environment(), Vec::new());
    for (index, condition) in given.iter().enumerate() {
        let path = path.index(index).child("expression");
        let source = condition.expression.as_str();
        if source.trim().is_empty() {
            errors.push(FieldError::required(&path, ""));
            continue;
        }
        if given[..index].iter().any(|earlier| earlier.expression == source) {
            errors.push(FieldError::duplicate(&path, source));
            continue;
        }
        match compile(source, &environment, &[Type::Bool]) {
            Ok(program) => programs.push(program),
            Err(error) => errors.push(FieldError::invalid(&path, source, &error.to_string())),
        }
    }
    programs
}
