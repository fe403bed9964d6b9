//! Certificates of pods: asked for by the node, issued by a signer of this test's own, used by two
//! pods to trust each other.

use super::trust_bundles::{apply_all, bundle};
use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const SIGNER: &str = "pods.example.com/mesh";
const ANNOTATION: &str = "pods.example.com/spiffe-path";
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

const AUTHORITY: &str = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\n\
    certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=any\nunique_subject=no\n[any]\ncommonName=optional\n";
/// Whoever comes without a certificate of the signer is turned away.
const SERVER: &str = "server { listen 443 ssl; ssl_certificate /own/bundle.pem; ssl_certificate_key /own/bundle.pem; \
    ssl_client_certificate /trust/ca.pem; ssl_verify_client on; \
    location / { default_type text/plain; return 200 \"$ssl_client_verify $ssl_client_s_dn\\n\"; } }\n";
/// Sends what it is asked to the server, with its own certificate, and only if the server shows one.
const CLIENT: &str = "server { listen 80; location / { resolver 10.96.0.10; \
    set $peer server.default.svc.cluster.local; proxy_pass https://$peer:443; \
    proxy_ssl_certificate /own/bundle.pem; proxy_ssl_certificate_key /own/bundle.pem; \
    proxy_ssl_trusted_certificate /trust/ca.pem; proxy_ssl_verify on; proxy_ssl_name server; } }\n";

struct Signer {
    work: tempfile::TempDir,
}

impl Signer {
    fn new() -> Self {
        let signer = Signer { work: tempfile::tempdir().unwrap() };
        for (name, content) in [("ca.conf", AUTHORITY), ("index", ""), ("serial", "01\n")] {
            std::fs::write(signer.path(name), content).unwrap();
        }
        signer.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"]);
        signer
            .openssl(&["req", "-x509", "-new", "-key", "ca.key", "-days", "2", "-subj", "/CN=mesh", "-out", "ca.pem"]);
        signer
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn openssl(&self, words: &[&str]) -> String {
        openssl(self.work.path(), words)
    }

    /// Answers what is open; how many that were.
    fn round(&self, kubectl: &Kubectl<'_>) -> usize {
        let all = kubectl.json("get podcertificaterequests");
        let open = all["items"].as_array().unwrap().iter().filter(|one| one["status"]["conditions"].is_null());
        open.map(|request| self.issue(kubectl, request)).count()
    }

    /// A certificate for as long as may be, named after the pod.
    fn issue(&self, kubectl: &Kubectl<'_>, request: &Value) {
        let (name, spec) = (request["metadata"]["name"].as_str().unwrap(), &request["spec"]);
        std::fs::write(self.path("stub.b64"), spec["stubPKCS10Request"].as_str().unwrap()).unwrap();
        self.openssl(&["base64", "-d", "-A", "-in", "stub.b64", "-out", "stub.der"]);
        self.openssl(&["req", "-inform", "DER", "-in", "stub.der", "-out", "stub.pem"]);
        let pod = spec["podName"].as_str().unwrap();
        let path = spec["unverifiedUserAnnotations"][ANNOTATION].as_str().unwrap_or("nobody");
        let names = format!("subjectAltName=DNS:{pod},URI:spiffe://cluster.local/{path}\n");
        std::fs::write(self.path("names"), names).unwrap();
        let starts = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let ends = starts + spec["maxExpirationSeconds"].as_u64().unwrap();
        let subject = format!("/CN={pod}");
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.conf",
            "-extfile",
            "names",
            "-in",
            "stub.pem",
            "-subj",
            &subject,
            "-startdate",
            &date(starts, "%Y%m%d%H%M%SZ"),
            "-enddate",
            &date(ends, "%Y%m%d%H%M%SZ"),
            "-out",
            "leaf.pem",
        ]);
        let time = |second: u64| date(second, "%Y-%m-%dT%H:%M:%SZ");
        let condition = json!({"type": "Issued", "status": "True", "reason": "Signed", "message": "by the test",
            "lastTransitionTime": time(starts)});
        let status = json!({"status": {"conditions": [condition], "certificateChain": self.read("leaf.pem") + &self.read("ca.pem"),
            "notBefore": time(starts), "notAfter": time(ends), "beginRefreshAt": time(ends - 600)}});
        let patch = status.to_string();
        let said = kubectl
            .run(&["patch", "podcertificaterequest", name, "--subresource=status", "--type=merge", "-p", &patch], "");
        assert_eq!(said.code, 0, "{said:?}");
    }
}

fn openssl(at: &Path, words: &[&str]) -> String {
    let output = Command::new("openssl").args(words).current_dir(at).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn date(second: u64, form: &str) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("@{second}"), &format!("+{form}")]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A pod with its own certificate and the signer's; with a site it serves that.
fn pod(name: &str, seconds: Option<u64>, site: Option<&str>) -> Value {
    let mut own = json!({"signerName": SIGNER, "keyType": "ECDSAP256", "credentialBundlePath": "bundle.pem",
        "keyPath": "key.pem", "certificateChainPath": "chain.pem", "userAnnotations": {ANNOTATION: format!("team/{name}")}});
    if let Some(seconds) = seconds {
        own["maxExpirationSeconds"] = json!(seconds);
    }
    let trust = json!({"name": "pods.example.com:mesh:ca", "path": "ca.pem"});
    let mut mounts = vec![json!({"name": "own", "mountPath": "/own"}), json!({"name": "trust", "mountPath": "/trust"})];
    let mut volumes = vec![
        json!({"name": "own", "projected": {"sources": [{"podCertificate": own}]}}),
        json!({"name": "trust", "projected": {"sources": [{"clusterTrustBundle": trust}]}}),
    ];
    if let Some(site) = site {
        mounts.push(json!({"name": "site", "mountPath": "/etc/nginx/conf.d"}));
        volumes.push(json!({"name": "site", "configMap": {"name": site}}));
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": {
        "terminationGracePeriodSeconds": 1, "volumes": volumes,
        "containers": [{"name": "c", "image": "nginx:1.27", "volumeMounts": mounts}],
    }})
}

fn site(name: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"default.conf": text}})
}

pub fn pods_get_certificates(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let signer = Signer::new();
    lives_are_limited(&kubectl);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server"},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 443}]}});
    apply_all(
        &kubectl,
        &[
            bundle("pods.example.com:mesh:ca", Some(SIGNER), &json!({}), &signer.read("ca.pem")),
            site("server", SERVER),
            site("client", CLIENT),
            service,
            pod("server", None, Some("server")),
            pod("client", Some(HOUR), Some("client")),
        ],
    );
    until("both pods run", 60, || {
        signer.round(&kubectl);
        let running = ["server", "client"]
            .map(|name| kubectl.try_json(&format!("get pod {name}"))["status"]["phase"] == "Running");
        holds(running == [true, true], kubectl.try_json("get podcertificaterequests"))
    });
    requests_name_their_pods(&kubectl);
    for (name, life) in [("server", DAY), ("client", HOUR)] {
        let text = signed_for(&kubectl, &signer, name);
        assert!(text.contains(&format!("URI:spiffe://cluster.local/team/{name}")), "{text}");
        assert_eq!(seconds_of(&signer), life, "{name}");
    }
    let client = kubectl.ok("get pod client -o jsonpath={.status.podIP}");
    until("the two trust each other", 30, || {
        let answer = kutter.get(&client, 80, "/")?;
        holds(answer == (200, "SUCCESS CN=client\n".to_owned()), answer)
    });
    kubectl.ok("delete pod server client --now --wait=false");
}

/// The pod's files fit together and are signed; the certificate as text.
fn signed_for(kubectl: &Kubectl<'_>, signer: &Signer, pod: &str) -> String {
    for file in ["bundle.pem", "key.pem", "chain.pem"] {
        let said = kubectl.shell(pod, &format!("cat /own/{file}"));
        std::fs::write(signer.path(file), said.out).unwrap();
    }
    assert_eq!(signer.read("bundle.pem"), signer.read("key.pem") + &signer.read("chain.pem"));
    let of_key = signer.openssl(&["pkey", "-in", "key.pem", "-pubout"]);
    assert_eq!(signer.openssl(&["x509", "-in", "chain.pem", "-noout", "-pubkey"]), of_key);
    signer.openssl(&["verify", "-CAfile", "ca.pem", "chain.pem"]);
    signer.openssl(&["x509", "-in", "chain.pem", "-noout", "-text"])
}

/// How long the certificate read last lives.
fn seconds_of(signer: &Signer) -> u64 {
    let said = signer.openssl(&["x509", "-in", "chain.pem", "-noout", "-dates"]);
    let at = |name: &str| {
        let text = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let output = Command::new("date").args(["-u", "-d", text, "+%s"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    };
    at("notAfter=") - at("notBefore=")
}

fn requests_name_their_pods(kubectl: &Kubectl<'_>) {
    let node = kubectl.json("get node n1")["metadata"]["uid"].clone();
    let account = kubectl.json("get serviceaccount default")["metadata"]["uid"].clone();
    let all = kubectl.json("get podcertificaterequests");
    for request in all["items"].as_array().unwrap() {
        let spec = &request["spec"];
        let pod = kubectl.json(&format!("get pod {}", spec["podName"].as_str().unwrap()));
        let named = json!([
            spec["podUID"],
            spec["nodeName"],
            spec["nodeUID"],
            spec["serviceAccountName"],
            spec["serviceAccountUID"]
        ]);
        assert_eq!(named, json!([pod["metadata"]["uid"], "n1", node, "default", account]));
        assert_eq!(request["metadata"]["ownerReferences"][0]["uid"], pod["metadata"]["uid"]);
        let longest = if spec["podName"] == "client" { HOUR } else { DAY };
        assert_eq!(spec["maxExpirationSeconds"], longest);
    }
}

fn lives_are_limited(kubectl: &Kubectl<'_>) {
    for (seconds, why) in [
        (HOUR - 1, "maxExpirationSeconds: Invalid value: 3599: if provided, maxExpirationSeconds must be >= 3600"),
        (
            91 * DAY + 1,
            "maxExpirationSeconds: Invalid value: 7862401: if provided, maxExpirationSeconds must be <= 7862400",
        ),
    ] {
        let said = kubectl.run(&["create", "-f", "-"], &pod("limited", Some(seconds), None).to_string());
        assert!(said.code != 0 && said.err.contains(why), "{said:?}");
    }
}
