//! A certificate authority and the certificates it issues.

use super::key::{Key, SubjectKey};
use super::request::Request;
use super::{CA_DAYS, CERTIFICATE_DAYS, Error, Parsed, der, pem};
use crate::secret;
use base::Timestamp;
use jiff::SignedDuration;
use std::net::IpAddr;

pub(super) const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
pub(super) const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
pub(super) const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];

/// Clocks of nodes differ; a certificate is valid from a little before it was made, as upstream's.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

/// Usages as a CertificateSigningRequest names them: key usage bits by their number, and
/// purposes by their identifier.
const KEY_USAGES: [(&str, u16); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];
const PURPOSES: [(&str, &[u64]); 13] = [
    ("any", &[2, 5, 29, 37, 0]),
    ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
    ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
];

/// A certificate (with the chain below its authority) and its key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    pub common_name: String,
    /// Groups, to Kubernetes.
    pub organizations: Vec<String>,
    /// Names and addresses a server answers to; none for clients.
    pub names: Vec<String>,
    pub client: bool,
    pub server: bool,
}

impl Profile {
    /// A certificate that a client shows.
    pub fn client(common_name: impl Into<String>, organizations: &[&str]) -> Self {
        Profile {
            common_name: common_name.into(),
            organizations: organizations.iter().map(|name| (*name).to_owned()).collect(),
            client: true,
            ..Profile::default()
        }
    }

    /// A certificate that a server shows under `names`, which may be addresses.
    pub fn server(common_name: impl Into<String>, names: Vec<String>) -> Self {
        Profile { common_name: common_name.into(), names, server: true, ..Profile::default() }
    }
}

/// Every name the API server is called by: its Service's, the host's, and `more`.
pub fn apiserver_names(cluster_domain: &str, host: &str, addresses: &[IpAddr], more: &[String]) -> Vec<String> {
    let mut names: Vec<String> =
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc"].map(str::to_owned).into();
    names.push(format!("kubernetes.default.svc.{cluster_domain}"));
    names.extend([host.to_owned(), "localhost".to_owned()]);
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    names.extend(addresses.iter().map(IpAddr::to_string));
    names.extend_from_slice(more);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    names
}

pub struct Authority {
    certificate: String,
    parsed: Parsed,
    key: Key,
}

impl Authority {
    /// A new self-signed authority.
    ///
    /// # Errors
    /// No key or signature can be made.
    pub fn generate(common_name: &str, now: Timestamp) -> Result<Self, Error> {
        let key = Key::generate()?;
        let subject = name(common_name, &[]);
        // digitalSignature, keyEncipherment, keyCertSign
        let extensions = [
            extension(KEY_USAGE, true, &der::flags(1 << 0 | 1 << 2 | 1 << 5)),
            extension(BASIC_CONSTRAINTS, true, &der::sequence(&[&[der::BOOLEAN, 1, 0xff]])),
            subject_key_id(key.public().subject()),
            extension(SUBJECT_ALT_NAME, false, &alt_names(&[common_name.to_owned()])),
        ];
        let body = Body {
            issuer: &subject,
            subject: &subject,
            public_key: key.public().subject(),
            not_before: now - BACKDATE,
            not_after: now + SignedDuration::from_hours(24 * CA_DAYS),
            extensions: &extensions.concat(),
        };
        let certificate = body.signed(&key)?;
        Self::from_parts(pem("CERTIFICATE", &certificate), key)
    }

    /// An authority from its files' contents; the first certificate counts.
    ///
    /// # Errors
    /// They cannot be read, do not fit each other, or are not an authority's.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, Error> {
        Self::from_parts(certificate.to_owned(), Key::from_pem(key)?)
    }

    fn from_parts(certificate: String, key: Key) -> Result<Self, Error> {
        let parsed = Parsed::from_pem(&certificate)?;
        if !parsed.is_authority {
            return Err(Error::NotAnAuthority);
        }
        if parsed.public_key != *key.public().subject() {
            return Err(Error::Mismatch);
        }
        Ok(Authority { certificate, parsed, key })
    }

    /// The authority's certificate in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn not_after(&self) -> Timestamp {
        self.parsed.not_after
    }

    /// Whether `certificate` (PEM) bears this authority's signature.
    pub fn has_signed(&self, certificate: &str) -> bool {
        super::certificates(certificate).is_ok_and(|chain| {
            chain.first().is_some_and(|leaf| super::parsed::is_signed_by(leaf, self.key.public().subject()))
        })
    }

    /// Makes a key and signs a certificate for it, valid a year.
    ///
    /// # Errors
    /// No key or signature can be made.
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Result<Identity, Error> {
        let key = Key::generate()?;
        let usages: Vec<&str> = [(profile.server, "server auth"), (profile.client, "client auth")]
            .into_iter()
            .filter_map(|(wanted, usage)| wanted.then_some(usage))
            .chain(["digital signature", "key encipherment"])
            .collect();
        let organizations: Vec<&str> = profile.organizations.iter().map(String::as_str).collect();
        let names = (!profile.names.is_empty()).then(|| alt_names(&profile.names));
        let lifetime = SignedDuration::from_hours(24 * CERTIFICATE_DAYS);
        let subject = name(&profile.common_name, &organizations);
        let certificate = self.sign(&subject, key.public().subject(), names.as_deref(), &usages, lifetime, now)?;
        Ok(Identity { certificate, key: key.to_pem().to_owned() })
    }

    /// Signs what `request` asks for: its subject and names as they are, `usages` as a
    /// CertificateSigningRequest object names them. It never outlives the authority.
    ///
    /// # Errors
    /// [`Error::Usage`], or no signature can be made.
    pub fn sign_request(
        &self,
        request: &Request,
        usages: &[&str],
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<String, Error> {
        self.sign(&request.subject, &request.public_key, request.alt_names.as_deref(), usages, lifetime, now)
    }

    fn sign(
        &self,
        subject: &[u8],
        public_key: &SubjectKey,
        alt_names: Option<&[u8]>,
        usages: &[&str],
        lifetime: SignedDuration,
        now: Timestamp,
    ) -> Result<String, Error> {
        let mut extensions = usage_extensions(usages)?;
        extensions.extend(extension(BASIC_CONSTRAINTS, true, &der::sequence(&[])));
        extensions.extend(subject_key_id(public_key));
        let issuer_id = self.parsed.subject_key_id.clone().unwrap_or_else(|| self.key.public().subject().identifier());
        extensions.extend(extension(AUTHORITY_KEY_ID, false, &der::sequence(&[&der::context_string(0, &issuer_id)])));
        if let Some(names) = alt_names {
            extensions.extend(extension(SUBJECT_ALT_NAME, false, names));
        }
        let body = Body {
            issuer: &self.parsed.subject,
            subject,
            public_key,
            not_before: now - BACKDATE,
            not_after: (now + lifetime).min(self.parsed.not_after),
            extensions: &extensions,
        };
        Ok(pem("CERTIFICATE", &body.signed(&self.key)?))
    }
}

/// What a certificate says, before it is signed.
struct Body<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    public_key: &'a SubjectKey,
    not_before: Timestamp,
    not_after: Timestamp,
    extensions: &'a [u8],
}

impl Body<'_> {
    fn signed(&self, key: &Key) -> Result<Vec<u8>, Error> {
        let mut serial = secret::random::<16>()?;
        // Positive and of full length.
        serial[0] = serial[0] & 0x7f | 0x40;
        let algorithm = key.signature_algorithm();
        let to_sign = der::sequence(&[
            &der::context(0, &[&der::integer(&[2])]),
            &der::integer(&serial),
            &algorithm,
            self.issuer,
            &der::sequence(&[&der::time(self.not_before), &der::time(self.not_after)]),
            self.subject,
            self.public_key.der(),
            &der::context(3, &[&der::sequence(&[self.extensions])]),
        ]);
        Ok(der::sequence(&[&to_sign, &algorithm, &der::bit_string(&key.sign(&to_sign)?)]))
    }
}

/// A distinguished name: the organizations as one set, as Go writes it, then the common name.
pub(super) fn name(common_name: &str, organizations: &[&str]) -> Vec<u8> {
    let attribute = |kind: &[u64], value: &str| der::sequence(&[&der::oid(kind), &der::text(value)]);
    let mut groups: Vec<Vec<u8>> = organizations.iter().map(|value| attribute(ORGANIZATION, value)).collect();
    // The members of a SET stand in the order of their bytes.
    groups.sort();
    let groups = if groups.is_empty() { Vec::new() } else { der::tlv(der::SET, &[&groups.concat()]) };
    der::sequence(&[&groups, &der::tlv(der::SET, &[&attribute(COMMON_NAME, common_name)])])
}

/// SubjectAltName of `names`, each an address or a DNS name.
pub(super) fn alt_names(names: &[String]) -> Vec<u8> {
    let each: Vec<Vec<u8>> = names
        .iter()
        .map(|name| match name.parse() {
            Ok(IpAddr::V4(address)) => der::context_string(7, &address.octets()),
            Ok(IpAddr::V6(address)) => der::context_string(7, &address.octets()),
            Err(_) => der::context_string(2, name.as_bytes()),
        })
        .collect();
    der::sequence(&[&each.concat()])
}

pub(super) fn extension(kind: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[der::BOOLEAN, 1, 0xff] } else { &[] };
    der::sequence(&[&der::oid(kind), critical, &der::tlv(der::OCTET_STRING, &[value])])
}

fn subject_key_id(key: &SubjectKey) -> Vec<u8> {
    extension(SUBJECT_KEY_ID, false, &der::tlv(der::OCTET_STRING, &[&key.identifier()]))
}

fn usage_extensions(usages: &[&str]) -> Result<Vec<u8>, Error> {
    let mut bits = 0;
    let mut purposes: Vec<&[u64]> = Vec::new();
    for usage in usages {
        if let Some((_, bit)) = KEY_USAGES.iter().find(|(name, _)| name == usage) {
            bits |= 1 << bit;
        } else if let Some((_, purpose)) = PURPOSES.iter().find(|(name, _)| name == usage) {
            purposes.push(purpose);
        } else {
            return Err(Error::Usage((*usage).to_owned()));
        }
    }
    let mut extensions = Vec::new();
    if bits != 0 {
        extensions.extend(extension(KEY_USAGE, true, &der::flags(bits)));
    }
    if !purposes.is_empty() {
        let list: Vec<Vec<u8>> = purposes.iter().map(|purpose| der::oid(purpose)).collect();
        extensions.extend(extension(EXTENDED_KEY_USAGE, false, &der::sequence(&[&list.concat()])));
    }
    Ok(extensions)
}
