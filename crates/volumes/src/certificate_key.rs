//! Keys of pods' certificates, and the request that proves who holds one: an empty PKCS#10 request,
//! as the signer takes nothing else from it.

use crate::{VolumeError, pem};
use base::Tasks;
use keys::{Kind, Pair};

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const ATTRIBUTES: u8 = 0xa0;
const VERSION: &[u8] = &[2, 1, 0];

/// A new key with its request.
pub(crate) struct Fresh {
    /// PKCS#8 in PEM.
    pub key: String,
    /// PKCS#10 in DER.
    pub request: Vec<u8>,
}

/// Off the threads that others wait for: an RSA key takes seconds.
///
/// # Errors
/// A type that is not known, or no randomness.
pub(crate) async fn generate(tasks: &Tasks, key_type: &str) -> Result<Fresh, VolumeError> {
    let kind: Kind = key_type.parse().map_err(|error| failed(format_args!("{error} {key_type:?}")))?;
    let made = tasks.spawn_blocking(move || {
        let pair = Pair::generate(kind)?;
        let request = request(&pair)?;
        Ok(Fresh { key: pem::encode("PRIVATE KEY", pair.pkcs8()), request })
    });
    made.await.map_err(failed)?.map_err(|error: keys::Error| failed(error))
}

fn failed(why: impl std::fmt::Display) -> VolumeError {
    VolumeError::Other(format!("while generating keypair: {why}"))
}

fn request(pair: &Pair) -> Result<Vec<u8>, keys::Error> {
    let nobody = value(SEQUENCE, &[]);
    let public = value(SEQUENCE, &[pair.algorithm(), &bits(pair.public())]);
    let body = value(SEQUENCE, &[VERSION, &nobody, &public, &value(ATTRIBUTES, &[])]);
    let signature = bits(&pair.sign(&body)?);
    Ok(value(SEQUENCE, &[&body, pair.signature_algorithm(), &signature]))
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes])
}

/// A value in DER. Nothing here reaches 64 KiB.
fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let [high, low] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length: &[u8] = match (high, low) {
        (0, 0..=0x7f) => &[low],
        (0, _) => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag], length, &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    fn openssl(words: &[&str], input: &[u8]) -> String {
        let mut command = Command::new("openssl");
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// As somebody else reads them: the request's signature fits, and its key is the private one's.
    #[tokio::test]
    async fn keys_and_requests_are_what_others_understand() {
        let tasks = Tasks::new();
        for kind in ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"] {
            let fresh = generate(&tasks, kind).await.unwrap();
            let request = pem::encode("CERTIFICATE REQUEST", &fresh.request);
            let asked = openssl(&["req", "-verify", "-noout", "-pubkey"], request.as_bytes());
            assert_eq!(openssl(&["pkey", "-pubout"], fresh.key.as_bytes()), asked, "{kind}");
        }
        let unknown = generate(&tasks, "DSA").await.err().unwrap();
        assert_eq!(unknown.to_string(), "while generating keypair: unknown key type \"DSA\"");
    }
}
