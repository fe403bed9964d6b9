//! Configurations, right and wrong, and a webhook that is really asked.

use super::*;
use crate::testing::Hook;
use meta::{Attributes, User};
use serde_json::{Value, json};

struct Nobody;

impl Authorizer for Nobody {
    fn authorize(&self, _: &Attributes<'_>) -> Decision {
        Decision::no_opinion("rbac says nothing")
    }
}

fn built_in() -> BuiltIn {
    BuiltIn { node: Arc::new(Nobody), rbac: Arc::new(Nobody) }
}

fn file(authorizers: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n{authorizers}")
}

fn webhook(kubeconfig: &Path, more: &str) -> String {
    format!(
        "- type: Webhook\n  name: hook\n  webhook:\n    timeout: 3s\n    subjectAccessReviewVersion: v1\n    \
         matchConditionSubjectAccessReviewVersion: v1\n    failurePolicy: Deny\n    connectionInfo: {{type: \
         KubeConfigFile, kubeConfigFile: '{}'}}\n{more}",
        kubeconfig.display()
    )
}

#[test]
fn configurations_are_refused_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    let known = dir.path().join("k");
    std::fs::write(&known, "").unwrap();
    for (text, error) in [
        (file("  []"), "authorizers: Required value: at least one authorization mode must be defined"),
        (file("- {type: Other, name: a}"), "authorizers[0].type: Unsupported value: \"Other\""),
        (file("- {type: RBAC}"), "authorizers[0].name: Required value"),
        (file("- {type: RBAC, name: a}\n- {type: RBAC, name: b}"), "authorizers[1].type: Duplicate value: \"RBAC\""),
        (file("- {type: RBAC, name: a}\n- {type: Node, name: a}"), "authorizers[1].name: Duplicate value: \"a\""),
        (file("- {type: RBAC, name: A_}"), "authorizer name is invalid"),
        (file("- {type: Webhook, name: a}"), "authorizers[0].webhook: Required value: required when type=Webhook"),
        (file("- {type: RBAC, name: a, webhook: {}}"), "may only be specified when type=Webhook"),
        (file("- {type: Webhook, name: a, webhook: {timeout: 40s}}"), "must be > 0s and <= 30s"),
        (file("- {type: Webhook, name: a, webhook: {}}"), "authorizers[0].webhook.failurePolicy: Required value"),
        (file(&webhook(Path::new("rel"), "")), "must be an absolute path"),
        (file(&webhook(&known, "    matchConditions: [{expression: request.user}]\n")), "must evaluate to bool"),
        (file("- {type: RBAC, name: a, more: b}"), "unknown field `more`"),
    ] {
        let why = Configuration::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(why.contains(error), "{why}\n{error}");
    }
    let modes = |modes: &[&str]| {
        let modes = modes.iter().map(|mode| (*mode).to_owned()).collect();
        Configuration::of_flags(&configuration::Flags { modes, ..Default::default() })
    };
    assert_eq!(modes(&[]).unwrap().entries.len(), 2);
    assert!(modes(&["RBAC", "RBAC"]).unwrap_err().contains("more than once"));
    assert!(modes(&["ABCD"]).unwrap_err().contains("is not a valid mode"));
    assert!(modes(&["Webhook"]).unwrap_err().contains("config file not passed"));
}

/// Allows jane, refuses joe, breaks for mad, knows nobody else.
fn judge(_: &str, review: &Value) -> Value {
    assert_eq!(review["kind"], "SubjectAccessReview");
    match review["spec"]["user"].as_str() {
        Some("jane") => json!({"status": {"allowed": true, "reason": "she may"}}),
        Some("joe") => json!({"status": {"denied": true, "reason": "not him"}}),
        Some("mad") => json!({"status": {"denied": true, "allowed": true}}),
        Some("selective") => {
            let about = &review["spec"]["resourceAttributes"];
            assert_eq!(
                about["fieldSelector"],
                json!({"requirements": [{"key": "spec.nodeName", "operator": "In", "values": ["n1"]}]})
            );
            assert_eq!(about["labelSelector"]["requirements"][0]["operator"], "NotIn");
            json!({"status": {"allowed": true}})
        }
        _ => json!({"status": {"allowed": false}}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_decides_is_remembered_and_skipped_by_its_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::serve(|_| Arc::new(judge));
    let path = hook.kubeconfig(dir.path());
    let more = "    matchConditions:\n    - expression: has(request.resourceAttributes)\n    - expression: \
                request.user != 'nosy'\n";
    let text = file(&format!("{}- {{type: RBAC, name: rbac}}\n", webhook(&path, more)));
    let configuration = Configuration::parse(text.as_bytes()).unwrap();
    let env = Env::real();
    let configured = Configured::new(&configuration, built_in(), &env).await.unwrap();
    let decide = |name: &str| {
        let user = User::new(name, &[]);
        configured.authorize(&Attributes::resource(&user, "list", "", "pods"))
    };
    assert_eq!(decide("jane"), Decision::allow("she may"));
    assert_eq!(decide("jane"), Decision::allow("she may"));
    assert_eq!(hook.count(), 1, "remembered");
    assert_eq!(decide("joe"), Decision::Deny { reason: "not him".into() });
    assert_eq!(decide("else"), Decision::no_opinion("rbac says nothing"));
    assert!(matches!(decide("mad"), Decision::Deny { reason } if reason.contains("both allow and deny")));
    let before = hook.count();
    assert_eq!(decide("nosy"), Decision::no_opinion("rbac says nothing"));
    let jane = User::new("jane", &[]);
    assert!(!configured.authorize(&Attributes::path(&jane, "get", "/x")).is_allowed());
    assert_eq!(hook.count(), before, "conditions keep these from the webhook");
    let selective = User::new("selective", &[]);
    let asked = Attributes {
        field_selector: "spec.nodeName=n1",
        label_selector: "app notin (a,b)",
        ..Attributes::resource(&selective, "list", "", "pods")
    };
    assert!(configured.authorize(&asked).is_allowed());
    let metrics = env.metrics.render();
    for line in [
        "apiserver_authorization_decisions_total{type=\"Webhook\",name=\"hook\",decision=\"allowed\"} 3",
        "apiserver_authorization_match_condition_exclusions_total{type=\"Webhook\",name=\"hook\"} 2",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_gone_refuses_or_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let hook = Hook::serve(|_| Arc::new(|_, _| Value::Null));
    let mut gone = Hook { url: "https://127.0.0.1:9".to_owned(), ..hook };
    let path = gone.kubeconfig(dir.path());
    gone.url.clear();
    let jane = User::new("jane", &[]);
    for (policy, expected) in [("Deny", false), ("NoOpinion", true)] {
        let text = webhook(&path, "- {type: AlwaysAllow, name: rest}\n").replace("Deny", policy);
        let configuration = Configuration::parse(file(&text).as_bytes()).unwrap();
        let configured = Configured::new(&configuration, built_in(), &Env::real()).await.unwrap();
        let decision = configured.authorize(&Attributes::resource(&jane, "get", "", "pods"));
        assert_eq!(decision.is_allowed(), expected, "{policy} {decision:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_counts_once_it_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authorization.yaml");
    std::fs::write(&path, file("- {type: RBAC, name: rbac}\n")).unwrap();
    let env = Env::real();
    let configured = Configured::new(&Configuration::load(&path).unwrap(), built_in(), &env).await.unwrap();
    env.tasks.spawn("follow", configured.clone().follow(path.clone()));
    let jane = User::new("jane", &[]);
    let allowed = || configured.authorize(&Attributes::resource(&jane, "get", "", "pods")).is_allowed();
    assert!(!allowed());
    env.clock.sleep(Duration::from_millis(300)).await;
    std::fs::write(&path, file("- {type: AlwaysAllow, name: all}\n")).unwrap();
    env.clock.sleep(Duration::from_millis(1500)).await;
    assert!(!allowed(), "RBAC cannot go while the server runs");
    std::fs::write(&path, file("- {type: RBAC, name: rbac}\n- {type: AlwaysAllow, name: all}\n")).unwrap();
    env.clock.sleep(Duration::from_millis(2500)).await;
    assert!(allowed());
    env.tasks.stop().await;
}
