//! The steps of a join against a server in memory; the whole of it is tested with real servers.

use super::*;
use client::fake::FakeApi;
use client::{Api, Request, Response, Verb};
use meta::GroupVersionResource;
use serde_json::{Value, json};

const REQUESTS: GroupVersionResource =
    GroupVersionResource::of("certificates.k8s.io", "v1", "certificatesigningrequests");

fn cluster_info(api: &FakeApi, authorities: &str) {
    let maps = GroupVersionResource::of("", "v1", "configmaps");
    api.put(&maps, crate::kubeconfig::cluster_info("https://192.0.2.7:6443", authorities));
}

#[tokio::test]
async fn only_the_pinned_authority_is_believed() {
    let now = base::Clock::real().now();
    let (ours, other) = (Authority::generate("a", now).unwrap(), Authority::generate("b", now).unwrap());
    let hash = pki::ca_hash(ours.certificate()).unwrap();
    let api = FakeApi::new();
    assert!(matches!(discovery::authority(&api, "s", &hash).await, Err(Error::Discovery { .. })));
    cluster_info(&api, other.certificate());
    assert!(matches!(discovery::authority(&api, "s", &hash).await, Err(Error::Impostor(..))));
    cluster_info(&api, &format!("{}{}", other.certificate(), ours.certificate()));
    assert_eq!(discovery::authority(&api, "s", &hash).await.unwrap().trim(), ours.certificate().trim());
    // As kubeadm writes it.
    let yaml =
        crate::kubeconfig::text("https://a", ours.certificate(), "u", &crate::kubeconfig::Credential::Token("t"));
    let map = json!({"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": yaml}});
    api.put(&GroupVersionResource::of("", "v1", "configmaps"), map);
    assert!(discovery::authority(&api, "s", &hash).await.is_ok());
}

fn wanted() -> Wanted {
    Wanted {
        file: "kubelet",
        signer: "kubernetes.io/kubelet-serving",
        usage: "server auth",
        common_name: "system:node:n1".to_owned(),
        names: vec!["n1".to_owned(), "192.0.2.9".to_owned()],
    }
}

/// Answers the one request there is, as a signer would.
async fn sign(api: &FakeApi, status: impl Fn(&pki::Request) -> Value) {
    loop {
        if let Some(mut object) = api.all(&REQUESTS).pop() {
            use base64::Engine as _;
            let pem =
                base64::engine::general_purpose::STANDARD.decode(object["spec"]["request"].as_str().unwrap()).unwrap();
            object["status"] = status(&pki::Request::from_pem(&pem).unwrap());
            api.put(&REQUESTS, object);
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_asked_for_once_and_waited_for() {
    use base64::Engine as _;
    let home = tempfile::tempdir().unwrap();
    let env = Env::real();
    let api = FakeApi::new();
    let (patience, wish) = (Duration::from_secs(5), wanted());
    let nobody = certificate::get(&env, &api, home.path(), &wish, patience).await;
    assert!(matches!(nobody, Err(Error::NotApproved { seconds: 5, .. })));
    assert!(home.path().join("kubelet.pending.key").exists());
    let ca = Authority::generate("kubernetes", env.clock.now()).unwrap();
    let signer = sign(&api, |request| {
        assert_eq!(request.organizations, ["system:nodes"]);
        let hour = jiff::SignedDuration::from_hours(1);
        let pem = ca.sign_request(request, &["digital signature", "server auth"], hour, env.clock.now()).unwrap();
        json!({"certificate": base64::engine::general_purpose::STANDARD.encode(pem)})
    });
    let (got, ()) = tokio::join!(certificate::get(&env, &api, home.path(), &wish, patience), signer);
    let got = got.unwrap();
    assert_eq!(api.all(&REQUESTS).len(), 1);
    let parsed = pki::Parsed::from_pem(&got.certificate).unwrap();
    assert_eq!(parsed.names.dns, ["n1"]);
    assert_eq!(parsed.public_key, *pki::Key::from_pem(&got.key).unwrap().public().subject());
    assert!(!home.path().join("kubelet.pending.key").exists());

    let denier = async {
        loop {
            let open = api.all(&REQUESTS).into_iter().find(|object| object["status"].is_null());
            if let Some(mut object) = open {
                object["status"] = json!({"conditions": [{"type": "Denied", "message": "no"}]});
                api.put(&REQUESTS, object);
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let (got, ()) = tokio::join!(certificate::get(&env, &api, home.path(), &wish, patience), denier);
    assert!(matches!(got, Err(Error::Denied { message, .. }) if message == "no"));
}

/// Gives tokens; all else is refused.
struct Tokens;

impl Api for Tokens {
    fn call(&self, request: Request) -> client::BoxFuture<'_, Result<Response, client::Error>> {
        Box::pin(async move {
            assert_eq!((request.verb, request.subresource.as_deref()), (Verb::Create, Some("token")));
            let name = request.name.unwrap();
            let body = json!({"status": {"token": format!("t-{name}"), "expirationTimestamp": "2027-11-20T12:00:00Z"}});
            Ok(Response::Object { body: body.to_string().into(), created: true })
        })
    }
}

#[tokio::test]
async fn tokens_are_kept_and_renewed_in_time() {
    let home = tempfile::tempdir().unwrap();
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let token = NodeToken::load(home.path(), "kube-proxy");
    assert!(token.needs_renewal(now) && token.current().is_empty());
    token.request(&Tokens, now).await.unwrap();
    let again = NodeToken::load(home.path(), "kube-proxy");
    assert_eq!(again.current(), "t-kube-proxy");
    assert!(!again.needs_renewal(now));
    assert!(again.needs_renewal("2027-08-20T12:00:00Z".parse().unwrap()));
}
