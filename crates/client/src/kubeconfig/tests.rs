//! Files as users have them, and what becomes of them.

use super::*;

const FIRST: &str = r#"
apiVersion: v1
kind: Config
current-context: home
preferences: {}
clusters:
- name: home
  cluster: {server: "https://10.0.0.1:6443", insecure-skip-tls-verify: true, proxy-url: "http://p"}
contexts:
- name: home
  context: {cluster: home, user: me, namespace: mine}
users:
- name: me
  user: {token: abc, as: other, as-groups: [a, b]}
"#;
const SECOND: &str = r#"
current-context: work
clusters:
- name: home
  cluster: {server: "https://shadowed"}
- name: work
  cluster: {server: "https://work", insecure-skip-tls-verify: true}
contexts:
- name: work
  context: {cluster: work, user: none}
users: null
"#;

fn merged() -> Kubeconfig {
    let mut config = Kubeconfig::parse(FIRST.as_bytes(), Some(Path::new("/etc/a/config"))).unwrap();
    config.merge(Kubeconfig::parse(SECOND.as_bytes(), None).unwrap());
    config
}

#[tokio::test]
async fn the_first_file_wins_and_contexts_resolve() {
    let env = Env::simulated(0, base::Timestamp::UNIX_EPOCH);
    let config = merged();
    let target = config.target(&Overrides::default(), &env).await.unwrap();
    assert_eq!((target.https.server.as_str(), target.namespace.as_str()), ("https://10.0.0.1:6443", "mine"));
    assert_eq!(target.https.headers.get_all("impersonate-group").iter().count(), 2);
    assert_eq!(target.https.token.unwrap().token(None).await.unwrap(), "abc");
    let failing = [("work", "auth info \"none\" does not exist"), ("moon", "context \"moon\" does not exist")];
    for (context, message) in failing {
        let overrides = Overrides { context: Some(context.to_owned()), ..Overrides::default() };
        let error = config.target(&overrides, &env).await.err().unwrap();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn what_a_wrong_file_says_is_not_repeated() {
    let key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\n";
    let error = Kubeconfig::parse(key.as_bytes(), Some(Path::new("a.pem"))).unwrap_err().to_string();
    let begin = "error loading config file \"a.pem\": couldn't get version/kind; json parse error: json: cannot \
                 unmarshal string into Go value of type struct {";
    assert!(error.starts_with(begin) && !error.contains("abc"), "{error}");
}

#[tokio::test]
async fn programs_are_run_for_credentials_only_where_they_may() {
    let text = r#"
current-context: a
clusters: [{name: a, cluster: {server: "http://a"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: "true"}}}]
"#;
    let (env, config) = (Env::real(), Kubeconfig::parse(text.as_bytes(), None).unwrap());
    let list = |program: &str| PluginPolicy::Allowlist(vec!["no-such-program".to_owned(), program.to_owned()]);
    let full = on_path(Path::new("true")).unwrap();
    let rows = [
        (PluginPolicy::AllowAll, true),
        (PluginPolicy::DenyAll, false),
        (PluginPolicy::Allowlist(Vec::new()), false),
        (list("false"), false),
        (list("true"), true),
        (list(full.to_str().unwrap()), true),
    ];
    for (plugins, may_run) in rows {
        let overrides = Overrides { plugins: plugins.clone(), ..Overrides::default() };
        // The program that may run says nothing, which is no credential.
        let error = config.target(&overrides, &env).await.err().unwrap();
        assert_eq!(matches!(error, ConfigError::Plugin(_)), may_run, "{plugins:?}: {error}");
        assert_eq!(matches!(error, ConfigError::PluginNotAllowed(_)), !may_run, "{plugins:?}: {error}");
    }
}

#[tokio::test]
async fn providers_of_old_are_refused() {
    let text = "{clusters: [{name: a, cluster: {server: 'http://a'}}], contexts: [{name: a, context: {cluster: a, \
                user: a}}], current-context: a, users: [{name: a, user: {auth-provider: {name: x}}}]}";
    let config = Kubeconfig::parse(text.as_bytes(), None).unwrap();
    let error = config.target(&Overrides::default(), &Env::real()).await.err().unwrap();
    assert_eq!(error.to_string(), "no Auth Provider found for name \"x\"");
}

#[test]
fn unknown_fields_survive_a_round_trip() {
    let again = Kubeconfig::parse(merged().to_yaml().as_bytes(), None).unwrap();
    assert_eq!(again.clusters[0].cluster.rest["proxy-url"], "http://p");
    assert!(again.rest.contains_key("preferences"));
}

#[test]
fn paths_follow_flag_variable_home() {
    let home = Some(Path::new("/root"));
    let paths = |explicit, variable| Kubeconfig::paths(explicit, variable, home);
    assert_eq!(paths(Some(Path::new("x")), Some("a")), [PathBuf::from("x")]);
    assert_eq!(paths(None, Some("a::b")), [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(paths(None, Some("")), [PathBuf::from("/root/.kube/config")]);
}

#[test]
fn files_are_relative_to_their_config() {
    assert_eq!(resolve("ca.crt", Some(Path::new("/etc/a/config"))), Path::new("/etc/a/ca.crt"));
    assert_eq!(resolve("/ca.crt", Some(Path::new("/etc/a/config"))), Path::new("/ca.crt"));
}
