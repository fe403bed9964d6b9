//! Randomness and comparison for secrets. Everything that guards access draws from the kernel here,
//! never from `base::Rng`, whose stream a simulation can predict.

use ring::rand::{SecureRandom, SystemRandom};

/// The kernel gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system has no random bytes to give")]
pub struct NoRandomness;

/// # Errors
/// [`NoRandomness`].
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// `length` characters of a bootstrap token's alphabet, each equally likely.
///
/// # Errors
/// [`NoRandomness`].
pub fn random_token(length: usize) -> Result<String, NoRandomness> {
    const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // The largest multiple of 36 in a byte: what lies above it would make low letters likelier.
    const FAIR: u8 = 252;
    let mut token = String::with_capacity(length);
    while token.len() < length {
        let fair = random::<32>()?.into_iter().filter(|byte| *byte < FAIR);
        token.extend(fair.take(length - token.len()).map(|byte| char::from(ALPHABET[usize::from(byte) % 36])));
    }
    Ok(token)
}

/// Compares without telling by its duration where the two differ. Lengths are not secret.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len()
        && left.iter().zip(right).fold(0, |differs, (a, b)| std::hint::black_box(differs | (a ^ b))) == 0
}

/// A random (version 4) UUID for a token's identity.
///
/// # Errors
/// [`NoRandomness`].
pub fn uuid() -> Result<String, NoRandomness> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex(&bytes);
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_sees_every_byte() {
        assert!(same(b"secret", b"secret"));
        for (left, right) in [("secret", "secreT"), ("Secret", "secret"), ("secret", "secre"), ("", "x")] {
            assert!(!same(left.as_bytes(), right.as_bytes()), "{left} {right}");
        }
    }

    #[test]
    fn tokens_have_their_length_and_alphabet_and_differ() {
        let (a, b) = (random_token(100).unwrap(), random_token(100).unwrap());
        assert_eq!(a.len(), 100);
        assert!(a.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()));
        assert_ne!(a, b);
    }
}
