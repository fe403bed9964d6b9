//! Users by client certificate: common name and organizations, as upstream reads them.

use super::authenticated;
use crate::pki::{Error, Parsed};
use crate::secret;
use base::Timestamp;
use meta::User;
use std::sync::Arc;

const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The certificate a connection was opened with. TLS checked its chain and purpose; whether it is
/// still valid is asked at every request, because connections live long.
pub struct ClientCertificate {
    user: Option<Arc<User>>,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl ClientCertificate {
    /// # Errors
    /// [`Error::ReadCertificate`].
    pub fn new(der: &[u8]) -> Result<Self, Error> {
        let parsed = Parsed::new(der)?;
        let fingerprint = ring::digest::digest(&ring::digest::SHA256, der);
        let id = format!("X509SHA256={}", secret::hex(fingerprint.as_ref()));
        let user = User {
            name: parsed.common_name,
            uid: parsed.user_uid,
            groups: parsed.organizations,
            extra: [(CREDENTIAL_ID.to_owned(), vec![id])].into(),
        };
        Ok(ClientCertificate {
            user: (!user.name.is_empty()).then(|| Arc::new(authenticated(user))),
            not_before: parsed.not_before,
            not_after: parsed.not_after,
        })
    }

    /// None before and after its validity, and for one without a common name.
    pub fn user(&self, now: Timestamp) -> Option<Arc<User>> {
        self.user.clone().filter(|_| self.not_before <= now && now <= self.not_after)
    }
}
