//! The RFC's own token, its forgeries, and ours.

use super::*;
use serde_json::json;

/// RFC 7515, appendix A.3.
const ES256_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn rfc_key() -> PublicKey {
    let number = |text| URL_SAFE_NO_PAD.decode(text).unwrap();
    let mut spki = vec![0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    spki.extend([6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0, 4]);
    spki.extend(number("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"));
    spki.extend(number("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"));
    PublicKey::from_pem(&pki::pem("PUBLIC KEY", &spki)).unwrap()
}

#[test]
fn the_rfc_token_is_believed_and_its_forgeries_are_not() {
    let keys = [rfc_key()];
    assert_eq!(verify(&keys, ES256_TOKEN).unwrap()["iss"], "joe");
    let other = [Key::generate().unwrap().public().clone()];
    assert_eq!(verify(&other, ES256_TOKEN), Err(Error::Signature));
    assert_eq!(verify(&[], ES256_TOKEN), Err(Error::UnknownKey));
    let parts: Vec<&str> = ES256_TOKEN.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"eve"}"#);
    let header = |alg: &str| URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
    for (token, why) in [
        (format!("{}.{claims}.{}", parts[0], parts[2]), Error::Signature),
        (format!("{}.{}.{}", header("none"), parts[1], ""), Error::Algorithm),
        (format!("{}.{}.{}", header("HS256"), parts[1], parts[2]), Error::Algorithm),
        (format!("{}.{}.{}", header("RS256"), parts[1], parts[2]), Error::UnknownKey),
        (format!("{}.{}", parts[0], parts[1]), Error::Malformed),
        (format!("{ES256_TOKEN}.x"), Error::Malformed),
        ("x".repeat(LONGEST + 1), Error::Malformed),
    ] {
        assert_eq!(verify(&keys, &token), Err(why), "{token}");
    }
}

#[test]
fn own_tokens_are_believed_by_their_key_alone() {
    let (key, other) = (Key::generate().unwrap(), Key::generate().unwrap());
    let token = sign(&key, &json!({"sub": "me"})).unwrap();
    let keys = [other.public().clone(), key.public().clone()];
    assert_eq!(verify(&keys, &token).unwrap(), json!({"sub": "me"}));
    assert_eq!(verify(&keys[..1], &token), Err(Error::UnknownKey));
    assert_eq!(peek(&token).unwrap()["sub"], "me");
}
