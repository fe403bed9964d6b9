//! An issuer of tokens on loopback: discovery, keys, claims of every form, keys that change.

use crate::authn::configuration::{Configuration, OidcFlags};
use crate::authn::{Authenticator, Directory, Found, Outside, SecretData};
use crate::jwt;
use crate::pki::Key;
use crate::testing::Hook;
use base::Env;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

struct Empty;

impl Directory for Empty {
    fn find(&self, _: &str, _: &str, _: &str) -> Option<Found> {
        None
    }

    fn secret(&self, _: &str, _: &str) -> Option<SecretData> {
        None
    }

    fn bootstrap_secrets(&self) -> Vec<SecretData> {
        Vec::new()
    }

    fn used(&self, _: &str, _: &str, _: &str) {}
}

struct Issuer {
    hook: Hook,
    key: Arc<Mutex<Key>>,
}

fn issuer() -> Issuer {
    let key = Arc::new(Mutex::new(Key::generate().unwrap()));
    let served = key.clone();
    let hook = Hook::serve(|url| {
        let url = url.to_owned();
        Arc::new(move |path, _| match path {
            "/.well-known/openid-configuration" => json!({"issuer": url, "jwks_uri": format!("{url}/keys")}),
            "/keys" => json!({"keys": [{"kty": "weird"}, served.lock().unwrap().public().jwk()]}),
            _ => Value::Null,
        })
    });
    Issuer { hook, key }
}

impl Issuer {
    fn config(&self, mappings: &str) -> String {
        let authority = self.hook.authority.replace('\n', "\n        ");
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: {}\n    \
             audiences: [shop]\n    certificateAuthority: |\n        {authority}\n{mappings}",
            self.hook.url
        )
    }

    fn token(&self, env: &Env, claims: Value) -> String {
        let now = env.clock.now().as_second();
        let mut all = json!({
            "iss": self.hook.url, "aud": "shop", "exp": now + 300, "iat": now, "sub": "42",
            "email": "jane@example.com", "email_verified": true, "groups": ["dev", "ops"], "team": "red", "jti": "j1",
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        jwt::sign(&self.key.lock().unwrap(), &all).unwrap()
    }
}

fn authenticator(configuration: Configuration, env: &Env) -> Authenticator {
    Authenticator::new(Arc::new(Empty), None, None).with_outside(Some(Outside::new(configuration, None, env)))
}

const BY_CLAIM: &str = "  claimMappings:\n    username: {claim: sub, prefix: 'shop:'}\n    groups: {claim: groups, \
                        prefix: 'g:'}\n    uid: {claim: sub}\n";

const BY_EXPRESSION: &str = "  claimMappings:\n    username: {expression: 'claims.email_verified ? claims.email : \
                             claims.sub'}\n    groups: {expression: 'claims.groups.map(g, \"x-\" + g)'}\n    uid: \
                             {expression: claims.sub}\n    extra:\n    - {key: example.com/team, valueExpression: \
                             claims.team}\n  claimValidationRules:\n  - {expression: \"claims.team != 'blue'\", \
                             message: no blue}\n  - {claim: team, requiredValue: red}\n  userValidationRules:\n  - \
                             {expression: \"!user.username.startsWith('system:')\", message: reserved}\n";

#[tokio::test(flavor = "multi_thread")]
async fn claims_become_users_and_wrong_tokens_are_told_apart() {
    let (env, issuer) = (Env::real(), issuer());
    let configuration = Configuration::parse(issuer.config(BY_CLAIM).as_bytes(), &[]).unwrap();
    let by_claim = authenticator(configuration, &env);
    let now = env.clock.now();
    let user = by_claim.token(&issuer.token(&env, json!({})), now).unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("shop:42", "42"));
    assert_eq!(user.groups, ["g:dev", "g:ops", "system:authenticated"]);
    assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=j1"]);
    let mut forged = issuer.token(&env, json!({}));
    forged.replace_range(forged.len() - 4.., "AAAA");
    let old = now.as_second() - 10;
    for (token, why) in [
        (issuer.token(&env, json!({"aud": ["other"]})), "expected audience in [shop] got [other]"),
        (issuer.token(&env, json!({"exp": old})), "token is expired"),
        (issuer.token(&env, json!({"nbf": old + 3600})), "before the nbf"),
        (issuer.token(&env, json!({"groups": 7})), "parse groups claim"),
        (issuer.token(&env, json!({"iss": "https://else"})), "invalid bearer token"),
        (forged, "failed to verify"),
    ] {
        let said = by_claim.token(&token, now).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    let configuration = Configuration::parse(issuer.config(BY_EXPRESSION).as_bytes(), &[]).unwrap();
    let by_expression = authenticator(configuration, &env);
    let user = by_expression.token(&issuer.token(&env, json!({})), now).unwrap();
    assert_eq!(user.name, "jane@example.com");
    assert_eq!(user.groups, ["x-dev", "x-ops", "system:authenticated"]);
    assert_eq!(user.extra["example.com/team"], ["red"]);
    for (claims, why) in [
        (json!({"team": "blue"}), "validation expression 'claims.team != 'blue'' failed: no blue"),
        (json!({"team": "green"}), "required claim team value does not match. Got = green, want = red"),
        (json!({"email": "system:admin"}), "failed: reserved"),
    ] {
        let said = by_expression.token(&issuer.token(&env, claims), now).unwrap_err();
        assert!(said.contains(why), "{said}");
    }
    env.tasks.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_fetched_and_made_up_ones_ask_seldom() {
    let (env, issuer) = (Env::real(), issuer());
    let flags = OidcFlags {
        issuer_url: issuer.hook.url.clone(),
        client_id: "shop".to_owned(),
        username_claim: Some("email".to_owned()),
        signing_algorithms: vec!["ES256".to_owned()],
        ..OidcFlags::default()
    };
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &issuer.hook.authority).unwrap();
    let flags = OidcFlags { ca_file: Some(ca), ..flags };
    let authenticator = authenticator(Configuration::of_flags(&flags, &[]).unwrap(), &env);
    let user = authenticator.token(&issuer.token(&env, json!({})), env.clock.now()).unwrap();
    assert_eq!(user.name, "jane@example.com");
    let said = authenticator.token(&issuer.token(&env, json!({"email_verified": false})), env.clock.now());
    assert_eq!(said.unwrap_err(), "[invalid bearer token, oidc: email not verified]");
    env.clock.sleep(std::time::Duration::from_secs(6)).await;
    *issuer.key.lock().unwrap() = Key::generate().unwrap();
    assert!(authenticator.token(&issuer.token(&env, json!({"n": 1})), env.clock.now()).is_ok());
    let asked = issuer.hook.count();
    *issuer.key.lock().unwrap() = Key::generate().unwrap();
    for number in 0..20 {
        assert!(authenticator.token(&issuer.token(&env, json!({"n": number})), env.clock.now()).is_err());
    }
    assert_eq!(issuer.hook.count(), asked);
    let rs = OidcFlags { signing_algorithms: Vec::new(), ..flags };
    let strict = self::authenticator(Configuration::of_flags(&rs, &[]).unwrap(), &env);
    let said = strict.token(&issuer.token(&env, json!({})), env.clock.now()).unwrap_err();
    assert!(said.contains("unsupported algorithm \"ES256\""), "{said}");
    env.tasks.stop().await;
}

#[test]
fn configurations_are_refused_in_upstreams_words() {
    let base = |issuer: &str, rest: &str| {
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer: {{{issuer}}}\n{rest}"
        )
    };
    let good = "url: 'https://a', audiences: [b]";
    let name = "  claimMappings: {username: {claim: sub, prefix: ''}}\n";
    let mapped = |username: &str| base(good, &format!("  claimMappings: {{username: {username}}}\n"));
    for (text, error) in [
        (base("audiences: [b]", name), "jwt[0].issuer.url: Required value: URL is required"),
        (base("url: 'http://a', audiences: [b]", name), "URL scheme must be https"),
        (base("url: 'https://u:p@a', audiences: [b]", name), "URL must not contain a username or password"),
        (base("url: 'https://a?q=1', audiences: [b]", name), "URL must not contain a query"),
        (base("url: 'https://a#f', audiences: [b]", name), "URL must not contain a fragment"),
        (
            base("url: 'https://own', audiences: [b]", name),
            "URL must not overlap with disallowed issuers: [https://own]",
        ),
        (base("url: 'https://a'", name), "at least one jwt[0].issuer.audiences is required"),
        (
            base("url: 'https://a', audiences: [b, c]", name),
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            base("url: 'https://a', audiences: [b], discoveryURL: 'https://a/'", name),
            "discoveryURL must be different from URL",
        ),
        (
            base("url: 'https://a', audiences: [b], certificateAuthority: x", name),
            "data does not contain any valid RSA or ECDSA certificates",
        ),
        (base(good, ""), "jwt[0].claimMappings.username: Required value: claim or expression is required"),
        (mapped("{claim: sub}"), "prefix is required when claim is set"),
        (mapped("{claim: sub, expression: claims.sub}"), "claim and expression can't both be set"),
        (mapped("{expression: claims.email}"), "claims.email_verified must be used in"),
        (mapped("{expression: '1'}"), "must evaluate to string"),
        (mapped("{expression: 'claims.'}"), "compilation failed"),
        (
            base(good, &format!("{name}  claimValidationRules: [{{claim: a, requiredValue: b, message: c}}]\n")),
            "message can't be set when claim is set",
        ),
        (base(good, &format!("{name}  userValidationRules: [{{}}]\n")), "expression is required"),
        (
            base(good, &format!("{name}  userValidationRules: [{{expression: user.other}}]\n")),
            "undefined field 'other'",
        ),
        (
            base(
                good,
                "  claimMappings: {username: {claim: sub, prefix: ''}, extra: [{key: k8s.io/a, valueExpression: \"'a'\"}]}\n",
            ),
            "are reserved for Kubernetes use",
        ),
        (base(&format!("{good}, more: 1"), name), "unknown field `more`"),
    ] {
        let why = Configuration::parse(text.as_bytes(), &["https://own".to_owned()]).err().unwrap().to_string();
        assert!(why.contains(error), "{why}\n{error}");
    }
}
