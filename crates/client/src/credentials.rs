//! Tokens that change: read from a file that is rewritten, or asked of a plug-in program.

use crate::BoxFuture;
use crate::https::TokenSource;
use base::{Env, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Bound tokens in files are renewed long before they end; client-go looks once a minute.
const FILE_PERIOD: Duration = Duration::from_secs(60);
const PLUGIN_LIMIT: Duration = Duration::from_secs(60);

/// A token in a file, read again every minute and after a refusal.
pub struct TokenFile {
    path: PathBuf,
    env: Env,
    last: Mutex<Option<(tokio::time::Instant, String)>>,
}

impl TokenFile {
    pub fn new(path: PathBuf, env: &Env) -> Self {
        TokenFile { path, env: env.clone(), last: Mutex::new(None) }
    }

    fn read(&self, refused: Option<&str>) -> Result<String, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((read, token)), None) = (last.as_ref(), refused)
            && read.elapsed() < FILE_PERIOD
        {
            return Ok(token.clone());
        }
        let text = std::fs::read_to_string(&self.path);
        let text = text.map_err(|error| format!("failed to read token file \"{}\": {error}", self.path.display()))?;
        let token = text.trim().to_owned();
        if token.is_empty() {
            return Err(format!("read empty token from file \"{}\"", self.path.display()));
        }
        *last = Some((self.env.clock.instant(), token.clone()));
        Ok(token)
    }
}

impl TokenSource for TokenFile {
    fn token<'a>(&'a self, refused: Option<&'a str>) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move { self.read(refused) })
    }
}

/// The `exec` section of a kubeconfig user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExecConfig {
    pub api_version: String,
    #[serde(deserialize_with = "meta::null_as_default")]
    pub args: Vec<String>,
    pub command: String,
    #[serde(deserialize_with = "meta::null_as_default")]
    pub env: Vec<ExecVariable>,
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecVariable {
    pub name: String,
    pub value: String,
}

/// What a plug-in answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Credential {
    pub token: Option<String>,
    pub expiration_timestamp: Option<String>,
    pub client_certificate_data: Option<String>,
    pub client_key_data: Option<String>,
}

/// Asks a plug-in program, and remembers its answer until it ends.
pub struct ExecSource {
    config: ExecConfig,
    folder: Option<PathBuf>,
    env: Env,
    last: Mutex<Option<Credential>>,
}

impl ExecSource {
    /// `folder`: what a relative path of the program is relative to.
    pub fn new(config: ExecConfig, folder: Option<&Path>, env: &Env) -> Self {
        ExecSource { config, folder: folder.map(Path::to_owned), env: env.clone(), last: Mutex::new(None) }
    }

    pub fn program(&self) -> PathBuf {
        let command = &self.config.command;
        match &self.folder {
            Some(folder) if command.contains('/') => folder.join(command),
            _ => PathBuf::from(command),
        }
    }

    /// Runs the program.
    pub async fn run(&self) -> Result<Credential, String> {
        let command = &self.config.command;
        let told = serde_json::json!({
            "kind": "ExecCredential", "apiVersion": self.config.api_version, "spec": {"interactive": false},
        });
        let mut child = tokio::process::Command::new(self.program());
        child.args(&self.config.args).env("KUBERNETES_EXEC_INFO", told.to_string());
        child.envs(self.config.env.iter().map(|variable| (&variable.name, &variable.value)));
        child.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let finished = self.env.clock.timeout(PLUGIN_LIMIT, child.output()).await;
        let finished = finished.map_err(|_| format!("exec: executable {command} did not answer"))?;
        let output = finished.map_err(|error| format!("exec: {error}"))?;
        if !output.status.success() {
            let code = output.status.code().unwrap_or(-1);
            return Err(format!("exec: executable {command} failed with exit code {code}"));
        }
        #[derive(Deserialize)]
        struct Answer {
            status: Option<Credential>,
        }
        let answer: Answer =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("decoding stdout: {error}"))?;
        let credential = answer.status.ok_or("exec plugin didn't return a status field")?;
        if credential.token.is_none() && credential.client_certificate_data.is_none() {
            return Err("exec plugin didn't return a token or cert/key pair".to_owned());
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(credential.clone());
        Ok(credential)
    }

    fn remembered(&self, refused: Option<&str>) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let credential = last.as_ref()?;
        let ends: Option<Timestamp> = credential.expiration_timestamp.as_ref().and_then(|time| time.parse().ok());
        let over = ends.is_some_and(|ends| ends <= self.env.clock.now());
        credential.token.clone().filter(|token| !over && Some(token.as_str()) != refused)
    }
}

impl TokenSource for ExecSource {
    fn token<'a>(&'a self, refused: Option<&'a str>) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            if let Some(token) = self.remembered(refused) {
                return Ok(token);
            }
            self.run().await?.token.ok_or_else(|| "exec plugin didn't return a token".to_owned())
        })
    }
}

/// As upstream says it: of the two that it once had, with what came in their place.
pub(crate) fn no_provider(name: &str) -> String {
    let (plugin, see) = match name {
        "azure" => (
            "the https://github.com/Azure/kubelogin",
            "https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins",
        ),
        "gcp" => (
            "the \"gke-gcloud-auth-plugin\"",
            "https://cloud.google.com/blog/products/containers-kubernetes/kubectl-auth-changes-in-gke",
        ),
        _ => return format!("no Auth Provider found for name {name:?}"),
    };
    format!(
        "The {name} auth plugin has been removed.\nPlease use {plugin} kubectl/client-go credential plugin instead.\n\
         See {see} for further details"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_plugin_is_asked_once_until_its_token_ends() {
        let env = Env::simulated(0, "2026-01-01T00:00:00Z".parse().unwrap());
        let answer = r#"{"status":{"token":"t'$$'","expirationTimestamp":"2026-01-01T01:00:00Z"}}"#;
        let config = ExecConfig {
            command: "sh".to_owned(),
            args: vec!["-c".to_owned(), format!("echo '{answer}'")],
            ..ExecConfig::default()
        };
        let source = ExecSource::new(config, None, &env);
        let first = source.token(None).await.unwrap();
        assert_eq!(source.token(None).await.unwrap(), first);
        let second = source.token(Some(&first)).await.unwrap();
        assert_ne!(second, first, "a refused token is not given out again");
        env.clock.jump(jiff::SignedDuration::from_hours(2));
        assert_ne!(source.token(None).await.unwrap(), second);
    }

    #[tokio::test]
    async fn a_failing_plugin_says_how() {
        let env = Env::simulated(0, Timestamp::UNIX_EPOCH);
        let cases = [
            ("exit 3", "exec: executable sh failed with exit code 3"),
            ("echo '{}'", "exec plugin didn't return a status field"),
            ("echo '{\"status\":{}}'", "exec plugin didn't return a token or cert/key pair"),
        ];
        for (script, message) in cases {
            let args = vec!["-c".to_owned(), script.to_owned()];
            let config = ExecConfig { command: "sh".to_owned(), args, ..ExecConfig::default() };
            assert_eq!(ExecSource::new(config, None, &env).run().await.err().as_deref(), Some(message));
        }
    }
}
