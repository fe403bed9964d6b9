//! Image names as users write them, and as registries want them.
//!
//! `nginx` is `docker.io/library/nginx:latest`: the registry, the `library/` folder and the tag
//! have defaults. Names that upstream's parser refuses are refused here, with its words.

use crate::digest::Digest;
use std::fmt;

pub const DOCKER_HUB: &str = "docker.io";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A whole image name; a name without a tag and digest gets the tag `latest`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `docker.io`, `quay.io`, `localhost:5000`.
    pub registry: String,
    /// `library/nginx`.
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    NotLowercase(String),
    #[error("repository name must not be more than {MAX_NAME} characters")]
    TooLong,
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    LooksLikeId(String),
    #[error("unsupported digest algorithm")]
    Digest,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if Digest::from_hex(text).is_some() {
            return Err(ReferenceError::LooksLikeId(text.to_owned()));
        }
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => (rest, Some(parse_digest(digest)?)),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (registry, path) = split_registry(name);
        let repository = match registry {
            DOCKER_HUB if !path.contains('/') => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::NotLowercase(repository));
        }
        let right = is_registry(registry) && repository.split('/').all(is_component) && tag.is_none_or(is_tag);
        if !right {
            return Err(ReferenceError::Format);
        }
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(ReferenceError::TooLong);
        }
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }

    /// `docker.io/library/nginx`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// `docker.io/library/nginx:1.27`; none where there is a digest: a tag beside it is for people.
    pub fn tagged(&self) -> Option<String> {
        self.tag.as_ref().filter(|_| self.digest.is_none()).map(|tag| format!("{}:{tag}", self.name()))
    }

    /// `docker.io/library/nginx@sha256:…`.
    pub fn with_digest(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.name())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    let (algorithm, digits) = text.split_once(':').ok_or(ReferenceError::Format)?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !plain(algorithm) || !plain(digits) {
        return Err(ReferenceError::Format);
    }
    if algorithm != "sha256" {
        return Err(ReferenceError::Digest);
    }
    Digest::from_hex(digits).ok_or(ReferenceError::Format)
}

/// The first part is a registry when it cannot be a folder: a dot, a port, capitals, `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest)) => {
            let host = first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first;
            match (host, first) {
                (true, "index.docker.io") => (DOCKER_HUB, rest),
                (true, _) => (first, rest),
                (false, _) => (DOCKER_HUB, name),
            }
        }
        None => (DOCKER_HUB, name),
    }
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match address {
        Some(address) => address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':') && address.contains(':'),
        None => host.split('.').all(label),
    };
    host && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Letters and digits, held together by one dot, one or two underscores or any dashes.
fn is_component(text: &str) -> bool {
    let word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(word) && bytes.last().is_some_and(word);
    let mut separators = bytes.split(word).filter(|separator| !separator.is_empty());
    ends && separators.all(|run| matches!(run, b"." | b"_" | b"__") || run.iter().all(|byte| *byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let first = bytes.first().is_some_and(|byte| word(*byte));
    first && bytes.len() <= MAX_TAG && bytes.iter().all(|byte| word(*byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_get_their_defaults() {
        let digest = format!("@sha256:{HEX}");
        for (text, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("a/b", "docker.io/a/b:latest"),
            ("index.docker.io/a", "docker.io/library/a:latest"),
            ("docker.io/nginx", "docker.io/library/nginx:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a/b__c.d--e:V_1", "localhost:5000/a/b__c.d--e:V_1"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("HOST/a", "HOST/a:latest"),
            (&format!("quay.io/a/b{digest}"), &format!("quay.io/a/b{digest}")),
            (&format!("a:1{digest}"), &format!("docker.io/library/a:1{digest}")),
        ] {
            assert_eq!(Reference::parse(text).map(|name| name.to_string()), Ok(full.to_owned()), "{text}");
        }
    }

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        use ReferenceError::*;
        let long = "a/".repeat(130) + "a";
        for (text, error) in [
            ("", Format),
            (":1", Format),
            ("a:", Format),
            ("a b", Format),
            ("a:-1", Format),
            ("a..b", Format),
            ("a/", Format),
            ("/a", Format),
            ("-a", Format),
            ("a___b", Format),
            ("a@b", Format),
            ("a@sha256:00", Format),
            (&format!("a@sha512:{HEX}"), Digest),
            ("Nginx", NotLowercase("library/Nginx".into())),
            ("quay.io/A:1", NotLowercase("A".into())),
            (HEX, LooksLikeId(HEX.into())),
            (&long, TooLong),
            (&format!("a:{}", "x".repeat(129)), Format),
        ] {
            assert_eq!(Reference::parse(text), Err(error), "{text}");
        }
    }
}
