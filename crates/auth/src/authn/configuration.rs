//! Upstream's AuthenticationConfiguration: which issuers of tokens are believed, how their claims
//! become users, and who may come without any. Checked in upstream's words; the `--oidc-*` flags are
//! another way to write one issuer.

use super::issuer::mapping::Mapping;
use crate::file::{self, none_wrong};
use meta::field::{ErrorList, FieldError, Path as Field};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const MOST_ISSUERS: usize = 64;

/// What the file says, checked.
#[derive(Default)]
pub struct Configuration {
    pub issuers: Vec<IssuerOptions>,
    pub anonymous: Option<Anonymous>,
}

/// One issuer whose tokens are believed.
pub struct IssuerOptions {
    pub url: String,
    pub discovery_url: Option<String>,
    /// In PEM; empty: this machine's authorities.
    pub authorities: Vec<u8>,
    pub audiences: Vec<String>,
    /// Empty: all that are known here.
    pub algorithms: Vec<String>,
    pub mapping: Mapping,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<Anonymous>,
}

/// Who may come without credentials; with conditions: only to these paths.
#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Anonymous {
    #[serde(default)]
    pub enabled: bool,
    #[serde(default)]
    pub conditions: Vec<AnonymousCondition>,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AnonymousCondition {
    pub path: String,
}

impl Anonymous {
    pub fn admits(&self, path: &str) -> bool {
        self.enabled && (self.conditions.is_empty() || self.conditions.iter().any(|one| one.path == path))
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Jwt {
    pub issuer: Issuer,
    pub claim_validation_rules: Vec<ClaimRule>,
    pub claim_mappings: ClaimMappings,
    pub user_validation_rules: Vec<UserRule>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Issuer {
    pub url: String,
    #[serde(rename = "discoveryURL")]
    pub discovery_url: Option<String>,
    pub certificate_authority: String,
    pub audiences: Vec<String>,
    pub audience_match_policy: String,
    /// The way out of upstream's konnectivity; there is one way here.
    pub egress_selector_type: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClaimRule {
    pub claim: String,
    pub required_value: String,
    pub expression: String,
    pub message: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClaimMappings {
    pub username: Prefixed,
    pub groups: Prefixed,
    pub uid: ClaimOrExpression,
    pub extra: Vec<Extra>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Prefixed {
    pub claim: String,
    pub prefix: Option<String>,
    pub expression: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClaimOrExpression {
    pub claim: String,
    pub expression: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Extra {
    pub key: String,
    pub value_expression: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct UserRule {
    pub expression: String,
    pub message: String,
}

/// The `--oidc-*` flags.
#[derive(Debug, Clone, Default)]
pub struct OidcFlags {
    pub issuer_url: String,
    pub client_id: String,
    pub username_claim: Option<String>,
    /// `-`: none.
    pub username_prefix: Option<String>,
    pub groups_claim: Option<String>,
    pub groups_prefix: Option<String>,
    pub signing_algorithms: Vec<String>,
    pub required_claims: BTreeMap<String, String>,
    pub ca_file: Option<PathBuf>,
}

impl Configuration {
    /// `own_issuers`: of this cluster's service accounts, which nobody else may be.
    ///
    /// # Errors
    /// The file cannot be read, or what is wrong with it.
    pub fn load(path: &Path, own_issuers: &[String]) -> Result<Self, file::Error> {
        Self::parse(&file::read(path)?, own_issuers)
    }

    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8], own_issuers: &[String]) -> Result<Self, file::Error> {
        let versions = ["v1", "v1beta1", "v1alpha1"];
        let file: File = file::decode(text, "apiserver.config.k8s.io", &versions, "AuthenticationConfiguration")?;
        let mut errors = ErrorList::new();
        let anonymous = file.anonymous;
        if let Some(given) = &anonymous
            && !given.enabled
            && !given.conditions.is_empty()
        {
            let path = Field::new("anonymous").child("conditions");
            errors.push(FieldError::invalid(
                &path,
                given.conditions.len(),
                "enabled should be set to true when conditions are defined",
            ));
        }
        let issuers = issuers(&file.jwt, own_issuers, &[], &mut errors);
        none_wrong(errors)?;
        Ok(Configuration { issuers, anonymous })
    }

    /// # Errors
    /// What is wrong with the flags.
    pub fn of_flags(flags: &OidcFlags, own_issuers: &[String]) -> Result<Self, file::Error> {
        if flags.issuer_url.is_empty() != flags.client_id.is_empty() {
            return Err(file::Error::Other(
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
                    .to_owned(),
            ));
        }
        let authority = match &flags.ca_file {
            Some(path) => String::from_utf8_lossy(&file::read(path)?).into_owned(),
            None => String::new(),
        };
        let claim = flags.username_claim.clone().unwrap_or_else(|| "sub".to_owned());
        let prefix = match flags.username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) => prefix.to_owned(),
            // As upstream: names of several issuers must not meet, but e-mail addresses do not.
            None if claim == "email" => String::new(),
            None => format!("{}#", flags.issuer_url),
        };
        let rule = |(claim, value): (&String, &String)| ClaimRule {
            claim: claim.clone(),
            required_value: value.clone(),
            ..ClaimRule::default()
        };
        let mut jwt = Jwt {
            issuer: Issuer {
                url: flags.issuer_url.clone(),
                certificate_authority: authority,
                audiences: vec![flags.client_id.clone()],
                ..Issuer::default()
            },
            claim_validation_rules: flags.required_claims.iter().map(rule).collect(),
            ..Jwt::default()
        };
        jwt.claim_mappings.username = Prefixed { claim, prefix: Some(prefix), expression: String::new() };
        if let Some(groups) = &flags.groups_claim {
            let prefix = Some(flags.groups_prefix.clone().unwrap_or_default());
            jwt.claim_mappings.groups = Prefixed { claim: groups.clone(), prefix, expression: String::new() };
        }
        let given = &flags.signing_algorithms;
        let algorithms = if given.is_empty() { vec!["RS256".to_owned()] } else { given.clone() };
        if let Some(unknown) = algorithms.iter().find(|one| !super::issuer::keys::ALGORITHMS.contains(&one.as_str())) {
            return Err(file::Error::Other(format!("oidc: unsupported signing alg: {unknown:?}")));
        }
        let mut errors = ErrorList::new();
        let issuers = issuers(&[jwt], own_issuers, &algorithms, &mut errors);
        none_wrong(errors)?;
        Ok(Configuration { issuers, anonymous: None })
    }
}

fn issuers(given: &[Jwt], own: &[String], algorithms: &[String], errors: &mut ErrorList) -> Vec<IssuerOptions> {
    let root = Field::new("jwt");
    if given.len() > MOST_ISSUERS {
        errors.push(FieldError::too_many(&root, given.len(), MOST_ISSUERS));
        return Vec::new();
    }
    let mut issuers: Vec<IssuerOptions> = Vec::new();
    let mut discoveries: Vec<&str> = Vec::new();
    for (index, jwt) in given.iter().enumerate() {
        let path = root.index(index);
        let issuer = path.child("issuer");
        check_url(&issuer.child("url"), &jwt.issuer.url, own, errors);
        if issuers.iter().any(|earlier| earlier.url == jwt.issuer.url) {
            errors.push(FieldError::duplicate(&issuer.child("url"), jwt.issuer.url.as_str()));
        }
        check_discovery(&issuer.child("discoveryURL"), &jwt.issuer, &mut discoveries, errors);
        check_audiences(&issuer, &jwt.issuer, errors);
        check_authority(&issuer.child("certificateAuthority"), &jwt.issuer.certificate_authority, errors);
        if !jwt.issuer.egress_selector_type.is_empty() {
            let detail = "there is no egress selector";
            let field = issuer.child("egressSelectorType");
            errors.push(FieldError::invalid(&field, jwt.issuer.egress_selector_type.as_str(), detail));
        }
        let mapping = Mapping::new(&path, jwt, errors);
        issuers.push(IssuerOptions {
            url: jwt.issuer.url.clone(),
            discovery_url: jwt.issuer.discovery_url.clone().filter(|url| !url.is_empty()),
            authorities: jwt.issuer.certificate_authority.clone().into_bytes(),
            audiences: jwt.issuer.audiences.clone(),
            algorithms: algorithms.to_vec(),
            mapping,
        });
    }
    issuers
}

fn check_url(path: &Field, url: &str, own: &[String], errors: &mut ErrorList) {
    if url.is_empty() {
        errors.push(FieldError::required(path, "URL is required"));
        return;
    }
    if own.iter().any(|taken| taken == url) {
        let why = format!("URL must not overlap with disallowed issuers: [{}]", own.join(" "));
        errors.push(FieldError::invalid(path, url, &why));
    }
    check_form(path, url, errors);
}

fn check_form(path: &Field, url: &str, errors: &mut ErrorList) {
    let mut wrong = |why: &str| errors.push(FieldError::invalid(path, url, why));
    let Ok(uri) = url.split('#').next().unwrap_or_default().parse::<http::Uri>() else {
        wrong("URL cannot be parsed");
        return;
    };
    if uri.scheme_str() != Some("https") {
        wrong("URL scheme must be https");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        wrong("URL must not contain a username or password");
    }
    if uri.query().is_some_and(|query| !query.is_empty()) {
        wrong("URL must not contain a query");
    }
    if url.split_once('#').is_some_and(|(_, fragment)| !fragment.is_empty()) {
        wrong("URL must not contain a fragment");
    }
}

fn check_discovery<'j>(path: &Field, issuer: &'j Issuer, seen: &mut Vec<&'j str>, errors: &mut ErrorList) {
    let Some(url) = issuer.discovery_url.as_deref().filter(|url| !url.is_empty()) else { return };
    if url.trim_end_matches('/') == issuer.url.trim_end_matches('/') {
        errors.push(FieldError::invalid(path, url, "discoveryURL must be different from URL"));
    }
    if seen.contains(&url) {
        errors.push(FieldError::duplicate(path, url));
    }
    seen.push(url);
    check_form(path, url, errors);
}

fn check_audiences(issuer: &Field, given: &Issuer, errors: &mut ErrorList) {
    let path = issuer.child("audiences");
    let policy = issuer.child("audienceMatchPolicy");
    if given.audiences.is_empty() {
        errors.push(FieldError::required(&path, &format!("at least one {} is required", path.as_str())));
        return;
    }
    for (index, audience) in given.audiences.iter().enumerate() {
        let at = path.index(index);
        if audience.is_empty() {
            errors.push(FieldError::required(&at, "audience can't be empty"));
        } else if given.audiences[..index].contains(audience) {
            errors.push(FieldError::duplicate(&at, audience.as_str()));
        }
    }
    match (given.audiences.len(), given.audience_match_policy.as_str()) {
        (_, "MatchAny") | (1, "") => {}
        (1, other) => {
            errors.push(FieldError::invalid(
                &policy,
                other,
                "audienceMatchPolicy must be empty or MatchAny for single audience",
            ));
        }
        (_, other) => {
            errors.push(FieldError::invalid(
                &policy,
                other,
                "audienceMatchPolicy must be MatchAny for multiple audiences",
            ));
        }
    }
}

fn check_authority(path: &Field, pem: &str, errors: &mut ErrorList) {
    if pem.is_empty() {
        return;
    }
    let is_good = crate::pki::certificates(pem).is_ok_and(|all| !all.is_empty());
    if !is_good {
        errors.push(FieldError::invalid(
            path,
            "<omitted>",
            "data does not contain any valid RSA or ECDSA certificates",
        ));
    }
}
