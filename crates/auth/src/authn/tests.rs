//! Each kind of credential, good, wrong, ended and bound to something that is gone.

use super::*;
use crate::authorizer::{Authorizer, Decision};
use crate::pki::{Authority, Key, Profile};
use meta::Attributes;
use service_account::{EXTENDED_SECONDS, INVALID_SINCE, LAST_USED, Refusal, WARN_ONLY_SECONDS};
use std::sync::Mutex;

const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

#[derive(Default)]
struct World {
    objects: BTreeMap<(&'static str, &'static str, &'static str), Found>,
    secrets: BTreeMap<(&'static str, String), SecretData>,
    /// Told of: namespace, Secret, day.
    uses: Mutex<Vec<[String; 3]>>,
}

impl Directory for World {
    fn find(&self, resource: &str, namespace: &str, name: &str) -> Option<Found> {
        let found = self.objects.iter().find(|(key, _)| **key == (resource, namespace, name));
        found.map(|(_, found)| found.clone())
    }

    fn secret(&self, namespace: &str, name: &str) -> Option<SecretData> {
        let found = self.secrets.iter().find(|((ns, own), _)| *ns == namespace && own == name);
        found.map(|(_, secret)| secret.clone())
    }

    fn bootstrap_secrets(&self) -> Vec<SecretData> {
        self.secrets.values().filter(|secret| secret.kind == bootstrap_token::SECRET_TYPE).cloned().collect()
    }

    fn used(&self, namespace: &str, secret: &str, day: &str) {
        self.uses.lock().unwrap().push([namespace, secret, day].map(str::to_owned));
    }
}

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn alive(uid: &str) -> Found {
    Found { uid: uid.to_owned(), deletion: None }
}

fn world() -> World {
    let mut world = World::default();
    world.objects.insert(("serviceaccounts", "shop", "web"), alive("sa-1"));
    world.objects.insert(("pods", "shop", "web-0"), alive("pod-1"));
    world.objects.insert(("nodes", "", "n1"), alive("node-1"));
    world
}

fn issuer() -> (Issuer, Verifier) {
    let key = Arc::new(Key::generate().unwrap());
    let audiences = vec![AUDIENCE.to_owned()];
    let verifier =
        Verifier { keys: vec![key.public().clone()], issuers: audiences.clone(), audiences: audiences.clone() };
    (Issuer { key, issuer: AUDIENCE.to_owned(), audiences, extends: true }, verifier)
}

fn spec() -> TokenSpec<'static> {
    TokenSpec {
        namespace: "shop",
        account: "web",
        account_uid: "sa-1",
        expiration_seconds: 600,
        ..TokenSpec::default()
    }
}

#[test]
fn an_accounts_token_is_its_user_until_it_ends() {
    let (issuer, verifier) = issuer();
    let pod = Some(Bound { name: "web-0", uid: "pod-1" });
    let node = Some(Bound { name: "n1", uid: "node-1" });
    let issued = issuer.issue(&TokenSpec { pod, node, ..spec() }, now()).unwrap();
    let found = verifier.verify(&issued.token, &[], &world(), later(1)).unwrap();
    assert_eq!(found.user.name, "system:serviceaccount:shop:web");
    assert_eq!(found.user.uid, "sa-1");
    assert_eq!(found.user.groups, ["system:serviceaccounts", "system:serviceaccounts:shop"]);
    let extra: Vec<String> = found.user.extra.iter().map(|(key, value)| format!("{key}={}", value[0])).collect();
    let prefix = "authentication.kubernetes.io/";
    assert_eq!(
        extra,
        [
            format!("{prefix}credential-id=JTI={}", issued.id),
            format!("{prefix}node-name=n1"),
            format!("{prefix}node-uid=node-1"),
            format!("{prefix}pod-name=web-0"),
            format!("{prefix}pod-uid=pod-1"),
        ]
    );
    assert_eq!(issued.expires, later(600));
    assert_eq!(verifier.verify(&issued.token, &[], &world(), later(600)).err(), Some(Refusal::Expired));
    assert_eq!(verifier.verify(&issued.token, &[], &world(), later(-1)).err(), Some(Refusal::NotYet));
    assert_eq!(verifier.verify(&issued.token, &["vault".to_owned()], &world(), now()).err(), Some(Refusal::Audience));
}

#[test]
fn a_token_ends_with_what_it_is_bound_to() {
    let (issuer, verifier) = issuer();
    let pod = Some(Bound { name: "web-0", uid: "pod-1" });
    let node = Some(Bound { name: "n1", uid: "node-1" });
    let of_pod = issuer.issue(&TokenSpec { pod, ..spec() }, now()).unwrap().token;
    let of_node = issuer.issue(&TokenSpec { node, ..spec() }, now()).unwrap().token;
    let check = |token: &str, change: &dyn Fn(&mut World)| {
        let mut world = world();
        change(&mut world);
        verifier.verify(token, &[], &world, later(100)).err()
    };
    let key = ("pods", "shop", "web-0");
    assert_eq!(check(&of_pod, &|_| ()), None);
    assert_eq!(check(&of_node, &|_| ()), None);
    assert_eq!(check(&of_pod, &|world| drop(world.objects.remove(&key))), Some(Refusal::Gone("pod")));
    assert_eq!(
        check(&of_pod, &|world| drop(world.objects.insert(key, alive("pod-2")))),
        Some(Refusal::Replaced("pod"))
    );
    let leaving = |at| Found { uid: "pod-1".to_owned(), deletion: Some(later(at)) };
    assert_eq!(check(&of_pod, &|world| drop(world.objects.insert(key, leaving(41)))), None);
    assert_eq!(check(&of_pod, &|world| drop(world.objects.insert(key, leaving(40)))), Some(Refusal::Gone("pod")));
    assert_eq!(check(&of_node, &|world| drop(world.objects.remove(&("nodes", "", "n1")))), Some(Refusal::Gone("node")));
    let account = ("serviceaccounts", "shop", "web");
    assert_eq!(check(&of_pod, &|world| drop(world.objects.remove(&account))), Some(Refusal::Gone("service account")));
}

#[test]
fn the_kubelets_default_lasts_a_year_and_warns() {
    let (issuer, verifier) = issuer();
    let spec = TokenSpec { expiration_seconds: WARN_ONLY_SECONDS, extend: true, ..spec() };
    let issued = issuer.issue(&spec, now()).unwrap();
    assert_eq!(issued.expires, later(WARN_ONLY_SECONDS));
    assert!(verifier.verify(&issued.token, &[], &world(), later(EXTENDED_SECONDS - 1)).is_ok());
    assert_eq!(jwt_claims(&issued.token)["kubernetes.io"]["warnafter"], now().as_second() + WARN_ONLY_SECONDS);
    for audiences in [&["vault"][..], &[AUDIENCE, "vault"]] {
        let audiences: Vec<String> = audiences.iter().map(|one| (*one).to_owned()).collect();
        let plain = issuer.issue(&TokenSpec { audiences, ..spec.clone() }, now()).unwrap();
        assert_eq!(jwt_claims(&plain.token)["exp"], now().as_second() + WARN_ONLY_SECONDS);
        assert!(verifier.verify(&plain.token, &["vault".to_owned()], &world(), now()).is_ok());
    }
    let strict = Issuer { extends: false, ..issuer };
    let plain = strict.issue(&spec, now()).unwrap();
    assert_eq!(jwt_claims(&plain.token)["exp"], now().as_second() + WARN_ONLY_SECONDS);
}

#[test]
fn stale_tokens_are_counted_and_told() {
    let (issuer, verifier) = issuer();
    let spec = TokenSpec { expiration_seconds: WARN_ONLY_SECONDS, extend: true, ..spec() };
    let token = issuer.issue(&spec, now()).unwrap().token;
    let metrics = base::Metrics::new();
    let authenticator = Authenticator::new(Arc::new(world()), None, Some(verifier)).counting(&metrics);
    let counted = |name: &str| metrics.render().contains(&format!("\nserviceaccount_{name}_tokens_total 1"));
    authenticator.token(&token, later(WARN_ONLY_SECONDS)).unwrap();
    assert!(counted("valid") && !counted("stale") && authenticator.stale_note(&token).is_none());
    authenticator.token(&token, later(WARN_ONLY_SECONDS + 30)).unwrap();
    assert!(counted("stale"));
    let note = "subject: system:serviceaccount:shop:web, seconds after warning threshold: 30";
    assert_eq!(authenticator.stale_note(&token).as_deref(), Some(note));
}

fn jwt_claims(token: &str) -> serde_json::Value {
    crate::jwt::peek(token).unwrap()
}

#[test]
fn a_secrets_token_is_good_while_the_secret_holds_it() {
    let (issuer, verifier) = issuer();
    let token = issuer.issue_legacy("shop", Bound { name: "web", uid: "sa-1" }, "web-token").unwrap();
    let mut world = world();
    assert_eq!(verifier.verify(&token, &[], &world, now()).err(), Some(Refusal::Gone("secret")));
    let data: BTreeMap<_, _> = [("token".to_owned(), token.clone().into_bytes())].into();
    let key = ("shop", "web-token".to_owned());
    world.secrets.insert(key.clone(), SecretData { data, ..SecretData::default() });
    assert_eq!(verifier.verify(&token, &[], &world, now()).unwrap().user.name, "system:serviceaccount:shop:web");
    // Its use is told of once a day: the label says so from then on.
    let mark = |world: &mut World, label: &str, day: &str| {
        world.secrets.get_mut(&key).unwrap().labels.insert(label.to_owned(), day.to_owned());
    };
    mark(&mut world, LAST_USED, "2026-11-20");
    verifier.verify(&token, &[], &world, now()).unwrap();
    assert_eq!(*world.uses.lock().unwrap(), [["shop", "web-token", "2026-11-20"].map(str::to_owned)]);
    mark(&mut world, INVALID_SINCE, "2026-11-19");
    let refused = verifier.verify(&token, &[], &world, now()).unwrap_err().to_string();
    assert!(refused.starts_with("the token in shop/web-token for service account shop/web has been"), "{refused}");
    mark(&mut world, INVALID_SINCE, "");
    world.secrets.get_mut(&key).unwrap().data.insert("token".to_owned(), b"other".to_vec());
    assert_eq!(verifier.verify(&token, &[], &world, now()).err(), Some(Refusal::Copy));
}

fn bootstrap(change: impl Fn(&mut SecretData)) -> World {
    let data = [
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-authentication", "true"),
        ("expiration", "2026-11-21T00:00:00Z"),
        ("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token"),
    ];
    let data = data.into_iter().map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())).collect();
    let mut secret = SecretData { kind: bootstrap_token::SECRET_TYPE.to_owned(), data, ..SecretData::default() };
    change(&mut secret);
    let mut world = World::default();
    world.secrets.insert(("kube-system", "bootstrap-token-abcdef".to_owned()), secret);
    world
}

#[test]
fn bootstrap_tokens_join_until_they_end() {
    let good = "abcdef.0123456789abcdef";
    let (user, expires) = bootstrap_token::user(good, &bootstrap(|_| ()), now()).unwrap();
    assert_eq!(user.name, "system:bootstrap:abcdef");
    assert_eq!(user.groups, ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"]);
    assert_eq!(expires, Some("2026-11-21T00:00:00Z".parse().unwrap()));
    for token in ["abcdef.0123456789abcdee", "abcdeg.0123456789abcdef", "abcdef", "ABCDEF.0123456789abcdef", ""] {
        assert!(bootstrap_token::user(token, &bootstrap(|_| ()), now()).is_none(), "{token}");
    }
    let set = |key: &'static str, value: &'static str| {
        bootstrap(move |secret| drop(secret.data.insert(key.to_owned(), value.as_bytes().to_vec())))
    };
    for world in [
        set("usage-bootstrap-authentication", "false"),
        set("expiration", "2026-11-20T12:00:00Z"),
        set("expiration", "soon"),
        set("auth-extra-groups", "system:masters"),
        set("token-id", "other1"),
        bootstrap(|secret| secret.kind = "Opaque".to_owned()),
        bootstrap(|secret| secret.deletion = Some(now())),
    ] {
        assert!(bootstrap_token::user(good, &world, now()).is_none());
    }
    assert!(bootstrap_token::parse(&bootstrap_token::generate().unwrap()).is_some());
}

#[test]
fn requests_are_told_apart_by_what_they_carry() {
    let ca = Authority::generate("kubernetes", now()).unwrap();
    let jane = ca.issue(&Profile::client("jane", &["devs"]), now()).unwrap();
    let der = &crate::pki::certificates(&jane.certificate).unwrap()[0];
    let certificate = ClientCertificate::new(der).unwrap();
    let closed = Authenticator::new(Arc::new(World::default()), None, None);
    let open = Authenticator::new(Arc::new(bootstrap(|_| ())), None, None);
    let pods = Credentials { method: "get", path: "/api/v1/pods", ..Credentials::default() };
    let health = Credentials { path: "/readyz", ..pods };
    let info = Credentials { path: CLUSTER_INFO_PATH, ..pods };
    let ask = |who: &Authenticator, credentials: Credentials<'_>, at| {
        who.authenticate(&credentials, at).map(|user| user.name.clone()).ok()
    };
    let shown = Credentials { certificate: Some(&certificate), ..pods };
    let user = closed.authenticate(&shown, now()).unwrap();
    assert_eq!(user.groups, ["devs", "system:authenticated"]);
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("X509SHA256="));
    assert_eq!(ask(&closed, shown, later(366 * 86400)), None);
    assert_eq!(ask(&closed, Credentials { path: "/readyz", ..shown }, later(366 * 86400)), None);
    assert_eq!(ask(&closed, pods, now()), None);
    assert_eq!(ask(&closed, health, now()).as_deref(), Some("system:anonymous"));
    assert_eq!(ask(&closed, Credentials { bearer: Some("wrong"), ..health }, now()), None);
    assert_eq!(ask(&closed, info, now()), None);
    assert_eq!(ask(&open, info, now()).as_deref(), Some("system:anonymous"));
    assert_eq!(ask(&open, Credentials { method: "patch", ..info }, now()), None);
    assert_eq!(ask(&open, info, later(86400)), None);
    let joining = Credentials { bearer: Some("abcdef.0123456789abcdef"), ..pods };
    assert_eq!(ask(&open, joining, now()).as_deref(), Some("system:bootstrap:abcdef"));
    // Remembered, but not beyond the token's end.
    assert_eq!(ask(&open, joining, later(12 * 3600)), None);
}

/// Allows what is listed as `resource/subresource name`.
struct Only(&'static [&'static str]);

impl Authorizer for Only {
    fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        let asked = format!("{}/{} {}", attributes.resource, attributes.subresource, attributes.name);
        assert_eq!(attributes.verb, "impersonate");
        if self.0.contains(&asked.as_str()) { Decision::allow("") } else { Decision::no_opinion("") }
    }
}

#[test]
fn impersonation_needs_leave_for_every_part() {
    let boss = User::new("boss", &[]);
    let act = |allowed, headers: &[(&'static str, &'static str)]| {
        impersonation::impersonate(&boss, headers.iter().copied(), &Only(allowed))
    };
    assert_eq!(act(&[], &[("accept", "x")]), Ok(None));
    let jane = act(
        &["users/ jane", "groups/ devs", "userextras/a/b c"],
        &[("Impersonate-User", "jane"), ("Impersonate-Group", "devs"), ("Impersonate-Extra-a%2fB", "c")],
    );
    let jane = jane.unwrap().unwrap();
    assert_eq!(jane.groups, ["devs", "system:authenticated"]);
    assert_eq!(jane.extra["a/b"], ["c"]);
    let account = act(&["serviceaccounts/ web"], &[("Impersonate-User", "system:serviceaccount:shop:web")]);
    let groups = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"];
    assert_eq!(account.unwrap().unwrap().groups, groups);
    let refused = act(&["users/ jane"], &[("Impersonate-User", "jane"), ("Impersonate-Group", "system:masters")]);
    assert_eq!(
        refused.unwrap_err().message,
        r#"groups "system:masters" is forbidden: User "boss" cannot impersonate resource "groups" in API group "" at the cluster scope"#
    );
    assert_eq!(act(&[], &[("Impersonate-Group", "devs")]).unwrap_err().code, 500);
}
