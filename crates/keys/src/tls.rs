//! What TLS is made of: ring's, and P-521 beside it, in certificates and in the keys that go with them.

use crate::proof::{is_signed, p521_signature};
use p521::elliptic_curve::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use ring::digest;
use rsa::signature::Signer as _;
use rustls::crypto::{CryptoProvider, KeyProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    AlgorithmIdentifier, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
    alg_id,
};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};
use std::fmt;
use std::sync::{Arc, LazyLock};

const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP521_SHA512;

/// For every server and client of ours.
pub fn tls_provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let ring = rustls::crypto::ring::default_provider();
        let signature_verification_algorithms = with_p521(&ring.signature_verification_algorithms);
        Arc::new(CryptoProvider { signature_verification_algorithms, key_provider: &Keys, ..ring })
    });
    PROVIDER.clone()
}

/// Made once, so it may be leaked: the library wants what lives for ever.
fn with_p521(others: &WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    let mut all = others.all.to_vec();
    all.push(&P521Sha512);
    let mut mapping = others.mapping.to_vec();
    mapping.push((SCHEME, &[&P521Sha512]));
    WebPkiSupportedAlgorithms { all: all.leak(), mapping: mapping.leak() }
}

/// ECDSA on P-521 with SHA-512: the only hash that TLS 1.3 allows with it.
#[derive(Debug)]
struct P521Sha512;

impl SignatureVerificationAlgorithm for P521Sha512 {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let hash = digest::digest(&digest::SHA512, message);
        let is_theirs = p521_signature(signature).is_some_and(|signature| is_signed(key, &hash, &signature));
        is_theirs.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA512
    }
}

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let secret = match &key {
            PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
            _ => None,
        };
        match secret {
            Some(secret) => Ok(Arc::new(P521Key::new(&secret)?)),
            None => rustls::crypto::ring::sign::any_supported_type(&key),
        }
    }
}

#[derive(Clone)]
struct P521Key {
    secret: Arc<p521::ecdsa::SigningKey>,
    public: Arc<[u8]>,
}

impl P521Key {
    fn new(secret: &p521::SecretKey) -> Result<Self, Error> {
        let unusable = |why: &dyn fmt::Display| Error::General(format!("cannot use the key: {why}"));
        let public = secret.public_key().to_public_key_der().map_err(|why| unusable(&why))?;
        let secret = p521::ecdsa::SigningKey::from_bytes(&secret.to_bytes()).map_err(|why| unusable(&why))?;
        Ok(P521Key { secret: Arc::new(secret), public: public.as_bytes().into() })
    }
}

impl fmt::Debug for P521Key {
    /// Nothing of the secret.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("P521Key")
    }
}

impl SigningKey for P521Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(&*self.public))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: p521::ecdsa::Signature =
            self.secret.try_sign(message).map_err(|_| Error::General("the key refused to sign".to_owned()))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, version};
    use std::path::Path;
    use std::process::Command;

    /// An authority, and certificates of it, all on P-521 and made by somebody else.
    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let files = Files(tempfile::tempdir().unwrap());
            files.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -sha512 -nodes -subj /CN=ca -keyout ca.key -out ca.crt -days 2");
            std::fs::write(files.0.path().join("names"), "basicConstraints=CA:FALSE\nsubjectAltName=DNS:server")
                .unwrap();
            for name in ["server", "jane", "eve"] {
                files.openssl(&format!("req -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"));
                files.openssl(&format!("x509 -req -sha512 -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile names -out {name}.crt"));
            }
            // The older form of a key.
            files.openssl("ec -in jane.key -out jane.old");
            files
        }

        fn openssl(&self, line: &str) {
            let output = Command::new("openssl").args(line.split(' ')).current_dir(&self.0).output().unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            Path::new(self.0.path()).join(name)
        }

        fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
            vec![CertificateDer::from_pem_file(self.path(name)).unwrap()]
        }

        fn key(&self, name: &str) -> PrivateKeyDer<'static> {
            PrivateKeyDer::from_pem_file(self.path(name)).unwrap()
        }

        fn roots(&self) -> RootCertStore {
            let mut roots = RootCertStore::empty();
            roots.add(self.chain("ca.crt").remove(0)).unwrap();
            roots
        }
    }

    fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn who_holds_a_key_on_p521_can_show_its_certificate() {
        let files = Files::new();
        let signer = |key: &str| tls_provider().key_provider.load_private_key(files.key(key)).unwrap();
        let shown = |chain: &str, key: &str| Arc::new(CertifiedKey::new(files.chain(chain), signer(key)));
        for version in [&version::TLS12, &version::TLS13] {
            for (key, expected) in [("jane.key", true), ("jane.old", true), ("eve.key", false)] {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(files.roots()), tls_provider());
                let mut server = ServerConfig::builder_with_provider(tls_provider())
                    .with_protocol_versions(&[version])
                    .unwrap()
                    .with_client_cert_verifier(verifier.build().unwrap())
                    .with_single_cert(files.chain("server.crt"), files.key("server.key"))
                    .unwrap();
                server.session_storage = Arc::new(NoServerSessionStorage {});
                let jane = SingleCertAndKey::from(Arc::unwrap_or_clone(shown("jane.crt", key)));
                let client = ClientConfig::builder_with_provider(tls_provider())
                    .with_protocol_versions(&[version])
                    .unwrap()
                    .with_root_certificates(files.roots())
                    .with_client_cert_resolver(Arc::new(jane));
                let name = ServerName::try_from("server").unwrap();
                let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
                let mut server = ServerConnection::new(Arc::new(server)).unwrap();
                let outcome = handshake(&mut client, &mut server);
                assert_eq!(outcome.is_ok(), expected, "{key} with {version:?}: {outcome:?}");
            }
        }
        // Nobody needs to come so far with a key that is another's.
        assert!(CertifiedKey::from_der(files.chain("jane.crt"), files.key("eve.key"), &tls_provider()).is_err());
    }
}
