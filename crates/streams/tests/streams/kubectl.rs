//! Real kubectls: versions that speak SPDY, and versions that speak WebSocket.
//!
//! They are looked for where Debian's packages put them; a machine without one tries nothing here.

use crate::pretender::Pretender;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const DIRECTORIES: [&str; 3] = ["/usr/lib/google-cloud-sdk/bin", "/usr/local/bin", "/usr/bin"];
const LIMIT: Duration = Duration::from_secs(60);

/// A kubectl, and whether it is told to speak WebSocket or SPDY; older ones only know SPDY.
#[derive(Clone)]
struct Kubectl {
    program: PathBuf,
    websocket: bool,
    kubeconfig: PathBuf,
}

fn kubectls(dir: &Path, pretender: &Pretender) -> Vec<Kubectl> {
    let kubeconfig = dir.join("kubeconfig");
    let server = format!("http://{}", pretender.address);
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster: {{server: \"{server}\"}}\n\
         contexts:\n- name: c\n  context: {{cluster: c, user: u}}\nusers:\n- name: u\n  user: {{token: t}}\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        for name in ["kubectl.1.27", "kubectl.1.30", "kubectl.1.33", "kubectl"] {
            let program = Path::new(directory).join(name);
            // The plain name may be a dispatcher for the numbered ones.
            if !program.exists() || name == "kubectl" && !found.is_empty() {
                continue;
            }
            for websocket in [false, true] {
                found.push(Kubectl { program: program.clone(), websocket, kubeconfig: kubeconfig.clone() });
            }
        }
    }
    if found.is_empty() {
        eprintln!("no kubectl in {DIRECTORIES:?}: not tried");
    }
    found
}

impl Kubectl {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        let websocket = self.websocket.to_string();
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", self.kubeconfig.parent().unwrap());
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", &websocket);
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", &websocket).kill_on_drop(true);
    }

    fn name(&self) -> String {
        format!("{} {}", self.program.display(), if self.websocket { "websocket" } else { "spdy" })
    }

    /// Runs it with `input`; returns exit code, output and errors.
    async fn run(&self, pretender: &Pretender, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feed = async {
            let _ = stdin.write_all(input.as_bytes()).await;
            drop(stdin);
        };
        let run = async { tokio::join!(child.wait_with_output(), feed).0.unwrap() };
        let output = pretender.env.clock.timeout(LIMIT, run).await;
        let output = output.unwrap_or_else(|_| panic!("{} {arguments:?} hangs", self.name()));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

#[tokio::test]
async fn exec_and_attach() {
    let dir = tempfile::tempdir().unwrap();
    let pretender = Pretender::start().await;
    let long: String = (0..50_000).map(|number| format!("line {number}\n")).collect();
    for kubectl in kubectls(dir.path(), &pretender) {
        let name = kubectl.name();
        let (code, stdout, stderr) = kubectl.run(&pretender, &["exec", "web", "--", "both"], "").await;
        assert_eq!((code, stdout.as_str()), (Some(7), "to stdout\n"), "{name}: {stderr}");
        assert_eq!(stderr, "to stderr\ncommand terminated with exit code 7\n", "{name}");
        let (code, stdout, stderr) = kubectl.run(&pretender, &["exec", "-i", "web", "--", "cat"], &long).await;
        assert!(code == Some(0) && stdout == long, "{name}: {code:?}, {} of {}, {stderr}", stdout.len(), long.len());
        let (code, stdout, stderr) = kubectl.run(&pretender, &["exec", "web", "--", "much"], "").await;
        assert_eq!((code, stdout.len()), (Some(0), 2_000_000), "{name}: {stderr}");
        let (code, _, stderr) = kubectl.run(&pretender, &["exec", "web", "--", "nonsense"], "").await;
        assert_eq!(code, Some(1), "{name}: {stderr}");
        assert!(stderr.contains("error executing command in container: nonsense: not found"), "{name}: {stderr}");
        let (code, stdout, stderr) = kubectl.run(&pretender, &["attach", "-i", "web"], "hello\n").await;
        assert_eq!((code, stdout.as_str()), (Some(0), "hello\n"), "{name}: {stderr}");
    }
    let upgrades = pretender.upgrades.lock().unwrap().clone();
    eprintln!("{upgrades:#?}");
}

#[tokio::test]
async fn exec_with_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let pretender = Pretender::start().await;
    for kubectl in kubectls(dir.path(), &pretender) {
        // `script` runs it on a terminal, whose size is set there.
        let line = format!("stty rows 40 cols 100; exec {} exec -it web -- size", kubectl.program.display());
        let mut script = Command::new("script");
        kubectl.environment(&mut script);
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null());
        let output = pretender.env.clock.timeout(LIMIT, script.output()).await;
        let output = output.unwrap_or_else(|_| panic!("{} hangs", kubectl.name())).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("100 by 40, stderr false"), "{}: {text}", kubectl.name());
        assert!(output.status.success(), "{}: {text}", kubectl.name());
    }
}

/// Starts a port-forward from a free local port; returns it with the port.
async fn port_forward(kubectl: &Kubectl, pretender: &Pretender, port: u16) -> (Child, u16) {
    let mut command = kubectl.command();
    command.args(["port-forward", "web", &format!(":{port}"), "--address", "127.0.0.1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = pretender.env.clock.timeout(LIMIT, lines.next_line()).await.unwrap().unwrap();
    let line = line.unwrap_or_else(|| panic!("{} says nothing", kubectl.name()));
    // "Forwarding from 127.0.0.1:40123 -> 80"
    let local = line.split(" -> ").next().and_then(|from| from.rsplit(':').next()).and_then(|port| port.parse().ok());
    // Its later lines must have a reader.
    pretender.env.tasks.spawn("output", async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, local.unwrap_or_else(|| panic!("{}: {line}", kubectl.name())))
}

#[tokio::test]
async fn port_forwards() {
    let dir = tempfile::tempdir().unwrap();
    let pretender = Pretender::start().await;
    for kubectl in kubectls(dir.path(), &pretender) {
        let (mut child, port) = port_forward(&kubectl, &pretender, 80).await;
        // One after the other and side by side over the same session.
        let mut open = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        for text in ["first", "second"] {
            let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            socket.write_all(text.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            let mut got = String::new();
            pretender.env.clock.timeout(LIMIT, socket.read_to_string(&mut got)).await.unwrap().unwrap();
            assert_eq!(got, text.to_uppercase(), "{}", kubectl.name());
        }
        open.write_all(b"still open").await.unwrap();
        let mut got = [0; 10];
        pretender.env.clock.timeout(LIMIT, open.read_exact(&mut got)).await.unwrap().unwrap();
        assert_eq!(&got, b"STILL OPEN", "{}", kubectl.name());
        child.kill().await.unwrap();

        let (mut child, port) = port_forward(&kubectl, &pretender, 81).await;
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut nothing = Vec::new();
        let _ = pretender.env.clock.timeout(LIMIT, socket.read_to_end(&mut nothing)).await.unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = pretender.env.clock.timeout(LIMIT, errors.next_line()).await.unwrap().unwrap().unwrap();
        assert!(line.contains("failed to connect to localhost:81"), "{}: {line}", kubectl.name());
        child.kill().await.unwrap();
    }
    eprintln!("{:#?}", pretender.upgrades.lock().unwrap());
}
