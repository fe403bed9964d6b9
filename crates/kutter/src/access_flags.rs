//! The flags of authentication, authorization and encryption, under upstream's names, and what they
//! come to.

use anyhow::Context as _;
use apiserver::Access;
use auth::authn::configuration::{Anonymous, Configuration as Authentication, OidcFlags};
use auth::authn::token_webhook::{TokenWebhook, WebhookOptions};
use auth::authn::{Issuer, Outside, Verifier};
use auth::authorization::configuration::Flags;
use auth::authorization::{Configuration as Authorization, Configured, Version};
use auth::encryption::{Encryption, Sealer};
use auth::pki::{Key, PublicKey};
use base::Env;
use clap::{Arg, ArgAction, ArgMatches};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How often the encryption configuration is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
pub struct AccessOptions {
    pub authentication_config: Option<PathBuf>,
    pub anonymous: Option<bool>,
    pub oidc: Option<OidcFlags>,
    pub token_webhook: Option<WebhookOptions>,
    pub authorization_config: Option<PathBuf>,
    pub authorization: Flags,
    pub encryption_config: Option<PathBuf>,
    pub encryption_reload: bool,
    pub account_issuers: Vec<String>,
    pub account_keys: Vec<PathBuf>,
    pub account_signing_key: Option<PathBuf>,
    /// Tokens of pods outlive their time by far, and tell of it.
    pub account_tokens_last: bool,
    pub audiences: Vec<String>,
}

struct Flag {
    name: &'static str,
    shown: &'static str,
    help: &'static str,
    many: bool,
}

const fn flag(name: &'static str, shown: &'static str, help: &'static str) -> Flag {
    Flag { name, shown, help, many: false }
}

const fn many(name: &'static str, shown: &'static str, help: &'static str) -> Flag {
    Flag { name, shown, help, many: true }
}

const FLAGS: &[Flag] = &[
    flag("authentication-config", "FILE", "Token issuers and anonymous access: upstream's AuthenticationConfiguration"),
    flag("anonymous-auth", "BOOL", "Whether requests without credentials are let through to authorization"),
    flag("oidc-issuer-url", "URL", "An OpenID Connect issuer whose tokens are believed"),
    flag("oidc-client-id", "ID", "The audience that its tokens must be meant for"),
    flag("oidc-username-claim", "CLAIM", "The claim with the user's name [default: sub]"),
    flag("oidc-username-prefix", "PREFIX", "Stands before user names; - for none [default: the issuer's URL and #]"),
    flag("oidc-groups-claim", "CLAIM", "The claim with the user's groups"),
    flag("oidc-groups-prefix", "PREFIX", "Stands before groups"),
    many("oidc-signing-algs", "ALG,…", "Algorithms that tokens may be signed with [default: RS256]"),
    many("oidc-required-claim", "CLAIM=VALUE", "A claim that tokens must have"),
    flag("oidc-ca-file", "FILE", "Authorities to believe about the issuer, in PEM"),
    flag("authentication-token-webhook-config-file", "FILE", "kubeconfig of a webhook that knows tokens"),
    flag("authentication-token-webhook-version", "VERSION", "Of its TokenReviews: v1 or v1beta1 [default: v1beta1]"),
    flag("authentication-token-webhook-cache-ttl", "DURATION", "How long its answers are remembered [default: 2m]"),
    flag("authorization-config", "FILE", "Authorizers: upstream's AuthorizationConfiguration"),
    many("authorization-mode", "MODE,…", "Authorizers in their order [default: Node,RBAC]"),
    flag("authorization-webhook-config-file", "FILE", "kubeconfig of a webhook that authorizes"),
    flag("authorization-webhook-version", "VERSION", "Of its SubjectAccessReviews: v1 or v1beta1 [default: v1beta1]"),
    flag("authorization-webhook-cache-authorized-ttl", "DURATION", "How long its yes is remembered [default: 5m]"),
    flag("authorization-webhook-cache-unauthorized-ttl", "DURATION", "How long its no is remembered [default: 30s]"),
    flag("encryption-provider-config", "FILE", "What is encrypted at rest: upstream's EncryptionConfiguration"),
    flag("encryption-provider-config-automatic-reload", "BOOL", "Follow changes of that file"),
    many("service-account-issuer", "URL", "Issuer of service account tokens; further ones are only believed"),
    many("service-account-key-file", "FILE", "Public keys that service account tokens may be signed with"),
    flag("service-account-signing-key-file", "FILE", "Private key that signs service account tokens"),
    flag(
        "service-account-extend-token-expiration",
        "BOOL",
        "Let tokens of pods last a year, and count those used after their time [default: true]",
    ),
    many("api-audiences", "AUDIENCE,…", "What service account tokens are meant for [default: the issuer]"),
];

pub fn args() -> impl Iterator<Item = Arg> {
    FLAGS.iter().map(|flag| {
        let arg = Arg::new(flag.name).long(flag.name).value_name(flag.shown).help(flag.help);
        // Prefixes may begin with anything.
        let arg = arg.allow_hyphen_values(flag.name.ends_with("prefix"));
        if flag.many { arg.action(ArgAction::Append) } else { arg }
    })
}

impl AccessOptions {
    pub fn read(matches: &ArgMatches) -> anyhow::Result<Self> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let path = |name: &str| text(name).map(PathBuf::from);
        let all = |name: &str| -> Vec<String> {
            let given = matches.get_many::<String>(name).into_iter().flatten();
            given
                .flat_map(|text| text.split(','))
                .map(|one| one.trim().to_owned())
                .filter(|one| !one.is_empty())
                .collect()
        };
        let options = AccessOptions {
            authentication_config: path("authentication-config"),
            anonymous: flag_value(matches, "anonymous-auth")?,
            oidc: oidc(matches, &text, &all)?,
            token_webhook: token_webhook(matches)?,
            authorization_config: path("authorization-config"),
            authorization: Flags {
                modes: all("authorization-mode"),
                webhook_config_file: path("authorization-webhook-config-file"),
                webhook_version: text("authorization-webhook-version"),
                allowed_for: duration(matches, "authorization-webhook-cache-authorized-ttl")?,
                refused_for: duration(matches, "authorization-webhook-cache-unauthorized-ttl")?,
            },
            encryption_config: path("encryption-provider-config"),
            encryption_reload: flag_value(matches, "encryption-provider-config-automatic-reload")?.unwrap_or(false),
            account_issuers: all("service-account-issuer"),
            account_keys: all("service-account-key-file").into_iter().map(PathBuf::from).collect(),
            account_signing_key: path("service-account-signing-key-file"),
            account_tokens_last: flag_value(matches, "service-account-extend-token-expiration")?.unwrap_or(true),
            audiences: all("api-audiences"),
        };
        anyhow::ensure!(
            options.authentication_config.is_none() || (options.oidc.is_none() && options.anonymous.is_none()),
            "authentication-config file and oidc-* or anonymous-auth flags are mutually exclusive"
        );
        let flags = &options.authorization;
        anyhow::ensure!(
            options.authorization_config.is_none() || (flags.modes.is_empty() && flags.webhook_config_file.is_none()),
            "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags \
             are specified"
        );
        Ok(options)
    }

    /// Who decides; follows its file where there is one.
    pub async fn access(&self, env: &Env) -> anyhow::Result<Access> {
        let configuration = match &self.authorization_config {
            Some(path) => Authorization::load(path),
            None => Authorization::of_flags(&self.authorization),
        };
        let configuration = configuration.map_err(anyhow::Error::msg).context("authorization")?;
        let mut access = Access::standard();
        let configured = Configured::new(&configuration, access.built_in.clone(), env).await;
        let configured = configured.map_err(anyhow::Error::msg).context("authorization")?;
        access.authorizer = configured.clone();
        if !configuration.has_rbac() {
            access.rbac = None;
        }
        if let Some(path) = &self.authorization_config {
            env.tasks.spawn("authorization configuration", configured.follow(path.clone()));
        }
        Ok(access)
    }

    /// Users whom others know; follows its file where there is one. None: there are none.
    pub async fn outside(&self, own: &Issuer, env: &Env) -> anyhow::Result<Option<Arc<Outside>>> {
        let own_issuers = vec![own.issuer.clone()];
        let mut configuration = match (&self.authentication_config, &self.oidc) {
            (Some(path), _) => Authentication::load(path, &own_issuers)?,
            (None, Some(flags)) => Authentication::of_flags(flags, &own_issuers)?,
            (None, None) => Authentication::default(),
        };
        if let Some(enabled) = self.anonymous {
            configuration.anonymous = Some(Anonymous { enabled, conditions: Vec::new() });
        }
        let webhook = match &self.token_webhook {
            Some(options) => Some(TokenWebhook::open(options, &own.audiences, env).await?),
            None => None,
        };
        let is_empty = configuration.issuers.is_empty() && configuration.anonymous.is_none() && webhook.is_none();
        if is_empty && self.authentication_config.is_none() {
            return Ok(None);
        }
        let outside = Outside::new(configuration, webhook, env);
        if let Some(path) = &self.authentication_config {
            env.tasks.spawn("authentication configuration", outside.clone().follow(path.clone(), own_issuers));
        }
        Ok(Some(outside))
    }

    /// Issuer and verifier of service account tokens; `key` signs unless another is named.
    pub fn accounts(&self, key: &Arc<Key>, default_issuer: &str) -> anyhow::Result<(Issuer, Verifier)> {
        let key = match &self.account_signing_key {
            Some(path) => Arc::new(Key::from_pem(&read(path)?).with_context(|| path.display().to_string())?),
            None => key.clone(),
        };
        let issuers = match self.account_issuers.as_slice() {
            [] => vec![default_issuer.to_owned()],
            given => given.to_vec(),
        };
        let issuer = issuers.first().cloned().unwrap_or_default();
        let audiences = if self.audiences.is_empty() { vec![issuer.clone()] } else { self.audiences.clone() };
        let mut keys = vec![key.public().clone()];
        for path in &self.account_keys {
            let public = PublicKey::from_pem(&read(path)?).with_context(|| path.display().to_string())?;
            if !keys.contains(&public) {
                keys.push(public);
            }
        }
        let verifier = Verifier { keys, issuers, audiences: audiences.clone() };
        Ok((Issuer { key, issuer, audiences, extends: self.account_tokens_last }, verifier))
    }

    /// What is sealed on its way to the disk; follows its file where that is wanted.
    pub fn encryption(&self, own: Sealer, env: &Env) -> anyhow::Result<Arc<Encryption>> {
        let encryption = Arc::new(Encryption::new(own));
        let Some(path) = &self.encryption_config else { return Ok(encryption) };
        encryption.load(path).context("--encryption-provider-config")?;
        if self.encryption_reload {
            env.tasks.spawn("encryption configuration", follow(env.clone(), encryption.clone(), path.clone()));
        }
        Ok(encryption)
    }
}

async fn follow(env: Env, encryption: Arc<Encryption>, path: PathBuf) {
    let mut last = std::fs::read(&path).unwrap_or_default();
    loop {
        env.clock.sleep(LOOK_EVERY).await;
        let Ok(text) = std::fs::read(&path) else { continue };
        if text == last {
            continue;
        }
        match encryption.load(&path) {
            Ok(()) => info!(path = %path.display(), "reloaded the encryption configuration"),
            Err(error) => {
                warn!(path = %path.display(), %error, "the encryption configuration is wrong; the old one goes on")
            }
        }
        last = text;
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn flag_value(matches: &ArgMatches, name: &str) -> anyhow::Result<Option<bool>> {
    let Some(text) = matches.get_one::<String>(name) else { return Ok(None) };
    text.parse().map(Some).ok().with_context(|| format!("--{name}: {text:?} is neither true nor false"))
}

fn duration(matches: &ArgMatches, name: &str) -> anyhow::Result<Option<Duration>> {
    let Some(text) = matches.get_one::<String>(name) else { return Ok(None) };
    let nanos = meta::time::parse_duration(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
    nanos.map(|nanos| Some(Duration::from_nanos(nanos))).with_context(|| format!("--{name}: invalid duration {text:?}"))
}

fn oidc(
    matches: &ArgMatches,
    text: &dyn Fn(&str) -> Option<String>,
    all: &dyn Fn(&str) -> Vec<String>,
) -> anyhow::Result<Option<OidcFlags>> {
    if !FLAGS.iter().any(|flag| flag.name.starts_with("oidc-") && matches.contains_id(flag.name)) {
        return Ok(None);
    }
    let mut required_claims = BTreeMap::new();
    for pair in all("oidc-required-claim") {
        let (claim, value) =
            pair.split_once('=').with_context(|| format!("--oidc-required-claim: {pair:?} is no CLAIM=VALUE"))?;
        required_claims.insert(claim.to_owned(), value.to_owned());
    }
    Ok(Some(OidcFlags {
        issuer_url: text("oidc-issuer-url").unwrap_or_default(),
        client_id: text("oidc-client-id").unwrap_or_default(),
        username_claim: text("oidc-username-claim"),
        username_prefix: text("oidc-username-prefix"),
        groups_claim: text("oidc-groups-claim"),
        groups_prefix: text("oidc-groups-prefix"),
        signing_algorithms: all("oidc-signing-algs"),
        required_claims,
        ca_file: text("oidc-ca-file").map(PathBuf::from),
    }))
}

fn token_webhook(matches: &ArgMatches) -> anyhow::Result<Option<WebhookOptions>> {
    let Some(file) = matches.get_one::<String>("authentication-token-webhook-config-file") else { return Ok(None) };
    let version = matches.get_one::<String>("authentication-token-webhook-version");
    let version = version.map_or("v1beta1", String::as_str);
    Ok(Some(WebhookOptions {
        kubeconfig: file.into(),
        version: Version::parse(version).with_context(|| {
            format!("unsupported webhook authenticator version {version:?}, supported versions are \"v1\", \"v1beta1\"")
        })?,
        kept_for: duration(matches, "authentication-token-webhook-cache-ttl")?.unwrap_or(Duration::from_secs(120)),
    }))
}
