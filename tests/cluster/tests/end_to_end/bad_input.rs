//! What is wrong is refused in upstream's words, and nothing else changes.

use cluster_tests::kubectl::Kubectl;
use cluster_tests::kutter::Kutter;
use cluster_tests::{holds, until};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use testkit::net::{Shape, World};

/// A manifest, and what kubectl prints when it is created: the beginning and the end.
struct Case {
    manifest: &'static str,
    starts: &'static str,
    ends: &'static str,
}

const CASES: &[Case] = &[
    Case {
        manifest: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x\n",
        starts: "error: error parsing STDIN: error converting YAML to JSON: yaml: ",
        ends: "",
    },
    Case {
        manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, dada: {}}",
        starts: "Error from server (BadRequest): error when creating \"STDIN\": ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ",
        ends: "strict decoding error: unknown field \"dada\"",
    },
    Case {
        manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: 1}}",
        starts: "Error from server (BadRequest): error when creating \"STDIN\": ConfigMap in version \"v1\" cannot be handled as a ConfigMap: ",
        ends: "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
    },
    Case {
        manifest: "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {}}",
        starts: "The Pod \"x\" is invalid: spec.containers: Required value",
        ends: "",
    },
    Case {
        manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: Bad_Name}}",
        starts: "The ConfigMap \"Bad_Name\" is invalid: metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        ends: "(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    },
    Case {
        manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {a: 'not ok'}}}",
        starts: "The ConfigMap \"x\" is invalid: metadata.labels: Invalid value: \"not ok\": a valid label must be an empty string or consist of alphanumeric characters",
        ends: "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    },
    Case {
        manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: nowhere}}",
        starts: "Error from server (NotFound): error when creating \"STDIN\": namespaces \"nowhere\" not found",
        ends: "",
    },
    Case {
        manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: there}}",
        starts: "Error from server (AlreadyExists): error when creating \"STDIN\": configmaps \"there\" already exists",
        ends: "",
    },
    Case {
        manifest: "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 70000, targetPort: 80}]}}",
        starts: "The Service \"x\" is invalid: spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ends: "",
    },
];

#[test]
fn bad_input() {
    let world = World::new(Shape::Switch);
    let mut kutter = Kutter::new(&world, 1);
    kutter.add_arguments(&["--no-node"]);
    kutter.start();
    until("the default namespace", 10, || {
        let said = kutter.kubectl().say("get namespace default");
        holds(said.code == 0, said)
    });
    kutter.kubectl().ok("create configmap there");
    let before = everything(&kutter.kubectl());
    objects_are_refused(&kutter.kubectl());
    large_bodies_are_refused(&kutter.kubectl());
    strangers_are_refused(&kutter);
    assert_eq!(everything(&kutter.kubectl()), before, "what is refused changes nothing");
    selectors_cannot_change(&kutter.kubectl());
    a_second_kutter_is_refused(&kutter);
    a_newer_format_is_refused(&mut kutter);
    kutter.down();
}

fn objects_are_refused(kubectl: &Kubectl<'_>) {
    let mut wrong = Vec::new();
    for case in CASES {
        let said = kubectl.run(&["create", "-f", "-"], case.manifest);
        let told = said.err.trim_end();
        if said.code != 1 || !told.starts_with(case.starts) || !told.ends_with(case.ends) {
            wrong.push(format!("{}\n  wanted: {} … {}\n  seen:   {said:?}", case.manifest, case.starts, case.ends));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let said = kubectl.run(&["create", "--raw", "/api/v1/namespaces/default/configmaps", "-f", "-"], "{\"kind\":");
    let expected = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: ";
    assert!(said.code == 1 && said.err.contains("(BadRequest)") && said.err.contains(expected), "{said:?}");
}

fn large_bodies_are_refused(kubectl: &Kubectl<'_>) {
    let manifest = |bytes: usize| {
        let text = "x".repeat(bytes);
        format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"big\"}},\"data\":{{\"a\":\"{text}\"}}}}"
        )
    };
    let said = kubectl.run(&["create", "-f", "-"], &manifest(1_100_000));
    assert_eq!(said.err, "The ConfigMap \"big\" is invalid: []: Too long: may not be more than 1048576 bytes\n");
    let said = kubectl.run(&["create", "-f", "-"], &manifest(3_200_000));
    let expected = "Error from server (RequestEntityTooLarge): error when creating \"STDIN\": Request entity too large: limit is 3145728\n";
    assert_eq!(said.err, expected);
}

fn strangers_are_refused(kutter: &Kutter) {
    let kubectl = kutter.kubectl();
    let unauthorized = "error: You must be logged in to the server (Unauthorized)\n";
    let ca = kutter.data_dir().join("pki/ca.crt");
    let server = [
        "--kubeconfig",
        "/dev/null",
        "--server",
        "https://127.0.0.1:6443",
        "--certificate-authority",
        ca.to_str().unwrap(),
    ];
    for more in [vec!["--token", "wrong"], vec!["--token", "aaaaaa.bbbbbbbbbbbbbbbb"], vec!["--token", "a.b.c"]] {
        let said = kubectl.run(&[&["get", "pods"], &server[..], &more[..]].concat(), "");
        assert_eq!((said.code, said.err.as_str()), (1, unauthorized), "{more:?}");
    }
    // A certificate that is not from this cluster's authority; the address needs no network.
    let pem = kutter.home().join("stranger.pem");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"])
        .args(["/O=system:masters/CN=root", "-days", "1", "-keyout"])
        .arg(&pem)
        .arg("-out")
        .arg(pem.with_extension("crt"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let (key, certificate) = (pem.to_str().unwrap().to_owned(), pem.with_extension("crt").to_str().unwrap().to_owned());
    let more = ["--client-key", &key, "--client-certificate", &certificate];
    let said = kubectl.run(&[&["get", "pods"], &server[..], &more[..]].concat(), "");
    assert!(said.code == 1 && said.out.is_empty(), "a stranger's certificate: {said:?}");
    let unverified =
        ["get", "pods", "--kubeconfig", "/dev/null", "--server", "https://127.0.0.1:6443", "--token", "any"];
    let said = kubectl.run(&unverified, "");
    assert!(said.code == 1 && said.err.contains("x509: certificate signed by unknown authority"), "{said:?}");
}

fn selectors_cannot_change(kubectl: &Kubectl<'_>) {
    kubectl.apply_file("web.yaml");
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/web.yaml")).unwrap();
    let said = kubectl.run(&["replace", "-f", "-"], &manifest.replace("app: web", "app: other"));
    let told = said.err.trim_end();
    let (starts, ends) = ("The Deployment \"web\" is invalid: spec.selector: Invalid value: ", ": field is immutable");
    assert!(said.code == 1 && told.starts_with(starts) && told.ends_with(ends), "{said:?}");
}

fn a_second_kutter_is_refused(kutter: &Kutter) {
    let (data, other) = (kutter.data_dir(), kutter.home().join("other"));
    let up = |words: &[&str]| {
        let output =
            kutter.inside(|| std::process::Command::new(kutter.program()).arg("up").args(words).output().unwrap());
        assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = up(&["--no-node", "--data-dir", other.to_str().unwrap()]);
    assert!(
        told.contains(
            "kutter: 0.0.0.0:6443 is in use by another program: end that, or choose another address with --listen"
        ),
        "{told}"
    );
    let told = up(&["--no-node", "--listen", "127.0.0.1:7443", "--data-dir", data.to_str().unwrap()]);
    assert!(
        told.contains(" is in use by another process (")
            && told.contains("stop that one, or choose another data directory"),
        "{told}"
    );
    let told = up(&["--no-node", "--listen", "127.0.0.1:7443", "--data-dir", "/dev/null/data"]);
    assert!(told.contains("kutter: cannot make the data dir /dev/null/data: choose one with --data-dir"), "{told}");
    kutter.kubectl().ok("get configmap there");
}

/// The format number lies in the database's header, in the four bytes that SQLite leaves to its user.
fn a_newer_format_is_refused(kutter: &mut Kutter) {
    const USER_VERSION: u64 = 60;
    kutter.stop();
    let database = kutter.data_dir().join("store/store.db");
    let mut file = std::fs::File::options().read(true).write(true).open(database).unwrap();
    let mut format = [0; 4];
    file.seek(SeekFrom::Start(USER_VERSION)).unwrap();
    file.read_exact(&mut format).unwrap();
    let mut set = |number: u32| {
        file.seek(SeekFrom::Start(USER_VERSION)).unwrap();
        file.write_all(&number.to_be_bytes()).unwrap();
    };
    let number = u32::from_be_bytes(format);
    assert!((1..1000).contains(&number), "{number}");
    set(number + 1);
    kutter.spawn();
    until("kutter gives up", 20, || {
        kutter.ended().map(|ended| assert_eq!(ended.code(), Some(1))).ok_or_else(|| kutter.log())
    });
    let expected = format!(" has data format {}, this version knows up to {number}; use a newer version", number + 1);
    assert!(kutter.log().contains(&expected), "{}", kutter.log());
    set(number);
    kutter.start();
    kutter.kubectl().ok("get configmap there");
}

/// Names and revisions of all that a refused request might have touched.
fn everything(kubectl: &Kubectl<'_>) -> String {
    let all = "get configmaps,pods,services,deployments -n default -o jsonpath=";
    kubectl.ok(&format!("{all}{{range.items[*]}}{{.kind}}/{{.metadata.name}}@{{.metadata.resourceVersion}},{{end}}"))
}
