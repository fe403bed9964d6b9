//! Registry credentials out of image pull secrets (`kubernetes.io/dockerconfigjson` and
//! `dockercfg`), and which of them belong to an image.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use images::RegistryAuth;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct DockerConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

/// Credentials with the registry (and path) they are for.
pub type Keyring = Vec<(String, RegistryAuth)>;

/// What a secret holds; nothing where it is of another type or cannot be read, as upstream.
pub fn read(secret: &Secret) -> Keyring {
    let data = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map(|value| value.0.as_slice());
    let entries = if let Some(json) = data(".dockerconfigjson") {
        serde_json::from_slice::<DockerConfigJson>(json).map(|config| config.auths)
    } else if let Some(json) = data(".dockercfg") {
        serde_json::from_slice(json)
    } else {
        return Keyring::new();
    };
    entries.unwrap_or_default().into_iter().map(|(place, entry)| (normalize(&place), entry.auth())).collect()
}

impl Entry {
    fn auth(self) -> RegistryAuth {
        let mut auth = RegistryAuth {
            username: self.username,
            password: self.password,
            identity_token: self.identitytoken,
            registry_token: self.registrytoken,
        };
        let decoded = STANDARD.decode(self.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            auth.username = user.to_owned();
            auth.password = password.trim_end_matches('\0').to_owned();
        }
        auth
    }
}

/// `https://index.docker.io/v1/` is how docker names its hub.
fn normalize(place: &str) -> String {
    let bare = place.strip_prefix("https://").or_else(|| place.strip_prefix("http://")).unwrap_or(place);
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    match bare {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// The credentials for an image, the most specific first.
pub fn matching(keyring: &Keyring, image: &str) -> Vec<RegistryAuth> {
    let (registry, path) = split(image);
    let mut found: Vec<&(String, RegistryAuth)> =
        keyring.iter().filter(|(place, _)| matches(place, registry, path)).collect();
    found.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
    found.into_iter().map(|(_, auth)| auth.clone()).collect()
}

/// Registry and repository of an image as the user wrote it.
fn split(image: &str) -> (&str, &str) {
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (if first == "index.docker.io" { "docker.io" } else { first }, rest)
        }
        _ => ("docker.io", image),
    }
}

/// A place names a registry, perhaps with a port, `*` within a part of the name, and the start of
/// the path.
fn matches(place: &str, registry: &str, path: &str) -> bool {
    let (host, prefix) = place.split_once('/').unwrap_or((place, ""));
    let (host_name, host_port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let (name, port) = registry.split_once(':').map_or((registry, None), |(name, port)| (name, Some(port)));
    let mut own = name.split('.');
    let same =
        host_name.split('.').all(|part| own.next().is_some_and(|other| glob(part, other))) && own.next().is_none();
    same && host_port == port && path.starts_with(prefix)
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text
            .strip_prefix(head)
            .is_some_and(|rest| (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| glob(tail, rest)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn secret(key: &str, json: &str) -> Secret {
        let data = BTreeMap::from([(key.to_owned(), ByteString(json.as_bytes().to_vec()))]);
        Secret { data: Some(data), ..Secret::default() }
    }

    #[test]
    fn reads_both_forms() {
        let auth = STANDARD.encode("me:pass:word");
        let json = format!(r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}}}}}}"#);
        let keyring = read(&secret(".dockerconfigjson", &json));
        assert_eq!(keyring[0].0, "docker.io");
        assert_eq!((keyring[0].1.username.as_str(), keyring[0].1.password.as_str()), ("me", "pass:word"));
        let keyring = read(&secret(".dockercfg", r#"{"quay.io":{"username":"a","password":"b"}}"#));
        assert_eq!(keyring[0].1.username, "a");
        assert!(read(&secret(".dockerconfigjson", "nonsense")).is_empty());
        assert!(read(&secret("other", "{}")).is_empty());
    }

    #[test]
    fn picks_the_credentials_of_the_image() {
        for (place, image, fits) in [
            ("docker.io", "nginx:1", true),
            ("docker.io", "library/nginx", true),
            ("quay.io", "quay.io/a/b", true),
            ("quay.io", "quay.io.evil.com/a/b", false),
            ("*.example.com", "eu.example.com/a", true),
            ("*.example.com", "a.eu.example.com/a", false),
            ("reg:5000", "reg:5000/a", true),
            ("reg", "reg:5000/a", false),
            ("quay.io/team", "quay.io/team/a", true),
            ("quay.io/team", "quay.io/other/a", false),
        ] {
            let keyring = vec![(place.to_owned(), RegistryAuth::default())];
            assert_eq!(!matching(&keyring, image).is_empty(), fits, "{place} {image}");
        }
    }
}
