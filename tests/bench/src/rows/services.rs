//! Ten thousand Services of two endpoints: how soon a proxy that starts has them in the kernel, how
//! soon one changed endpoint is, and how long a first packet takes. Kutter's nftables maps against
//! kube-proxy in iptables mode, on the legacy tables, which are its quicker ones.

use super::{Better, Found, Measure, Row, Run, Unit};
use crate::bench::Bench;
use crate::load::{self, Load, MERGE, Shot, Until};
use crate::process::{Program, output};
use crate::served::Served;
use crate::sides::{Kind, Parts, Side, node};
use crate::summary::Spread;
use anyhow::Context as _;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

pub const ROW: Row = Row {
    name: "services",
    in_quick: false,
    measures: &[
        measure("services load", "10,000 services: start of the proxy until the last one answers", Unit::Millis),
        measure("services change", "one endpoint changed until connections reach the new one, p50", Unit::Millis),
        measure("services connect", "first packet: a connection to a service, p50", Unit::Micros),
    ],
    run: Run::Alone(|bench, kind| Box::pin(run(bench, kind))),
};

const fn measure(key: &'static str, title: &'static str, unit: Unit) -> Measure {
    Measure { key, title, unit, better: Better::Less, goal: None, json: None }
}

const SERVICES: u64 = 10_000;
const NAMESPACE: &str = "default";
/// The one that is asked; its endpoints are listeners of ours.
const PROBE: &str = "zz-probe";
const CHANGES: usize = 10;
const CONNECTIONS: usize = 300;

async fn run(bench: &Bench, kind: Kind) -> anyhow::Result<Found> {
    let folder = bench.folder("services-")?;
    let address: IpAddr = node::ADDRESS.parse()?;
    drop(output(Command::new("ip").args(["address", "add", &format!("{address}/32"), "dev", "lo"])));
    let mut served = Served::start(bench, kind, Parts::Api, folder.path()).await?;
    let listeners = [listen(bench, address, b'a').await?, listen(bench, address, b'b').await?];
    let probe = fill(&mut served, &listeners).await?;
    let (side, began) = match kind {
        Kind::Kutter => {
            served.stop().await?;
            let began = bench.env.clock.instant();
            (node::start_agent(bench, folder.path()).await?, began)
        }
        Kind::Upstream => {
            // Kutter's proxy makes such a route itself.
            drop(output(Command::new("ip").args(["route", "add", "10.96.0.0/16", "dev", "lo"])));
            let began = bench.env.clock.instant();
            served.side.programs.push(proxy(bench, folder.path())?);
            (served.into_side(), began)
        }
    };
    let found = measure_all(bench, &side, probe, &listeners, began).await;
    let stopped = node::stop(bench, side, folder.path()).await;
    let found = found?;
    stopped?;
    Ok(found)
}

async fn measure_all(
    bench: &Bench,
    side: &Side,
    probe: SocketAddr,
    listeners: &[SocketAddr; 2],
    began: tokio::time::Instant,
) -> anyhow::Result<Found> {
    until_answered(bench, probe, b'a').await?;
    let load = began.elapsed().as_secs_f64() * 1000.0;
    let mut changes = Vec::new();
    for change in 0..CHANGES {
        let next = (change + 1) % 2;
        let body = json!({"ports": [{"name": "", "protocol": "TCP", "port": listeners[next].port()}]}).to_string();
        let began = bench.env.clock.instant();
        let path = format!("{}/{PROBE}", slices_path(side.kind));
        load::once(&bench.env, &side.target, &Shot::patch(path, MERGE, body, "")).await?;
        until_answered(bench, probe, [b'a', b'b'][next]).await?;
        changes.push(began.elapsed().as_secs_f64() * 1000.0);
        bench.env.clock.sleep(Duration::from_millis(200)).await;
    }
    let mut connects = Vec::new();
    for _ in 0..CONNECTIONS {
        let began = bench.env.clock.instant();
        let stream = TcpStream::connect(probe).await?;
        connects.push(began.elapsed().as_secs_f64() * 1e6);
        drop(stream);
    }
    let median = |values: &[f64]| Spread::of(values).map(|spread| spread.median).context("nothing was measured");
    Ok(vec![("services load", load), ("services change", median(&changes)?), ("services connect", median(&connects)?)])
}

/// How long the kernel's tables may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);

/// Connects until the listener that says `wanted` is reached.
async fn until_answered(bench: &Bench, probe: SocketAddr, wanted: u8) -> anyhow::Result<()> {
    let clock = &bench.env.clock;
    let deadline = clock.instant() + ANSWER_WITHIN;
    let ask = || async {
        let mut stream = TcpStream::connect(probe).await.ok()?;
        stream.read_u8().await.ok()
    };
    loop {
        if let Ok(Some(said)) = clock.timeout(Duration::from_millis(50), ask()).await
            && said == wanted
        {
            return Ok(());
        }
        anyhow::ensure!(clock.instant() < deadline, "the service does not lead to its endpoint");
        clock.sleep(Duration::from_millis(1)).await;
    }
}

/// A server that says its name to whoever connects.
async fn listen(bench: &Bench, address: IpAddr, name: u8) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((address, 0)).await?;
    let own = listener.local_addr()?;
    bench.env.tasks.spawn("listener", async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Who only connects does not read it.
            let _ = stream.try_write(&[name]);
        }
    });
    Ok(own)
}

fn slices_path(kind: Kind) -> String {
    // Upstream 1.20 has not got v1 yet.
    let version = if kind == Kind::Kutter { "v1" } else { "v1beta1" };
    format!("/apis/discovery.k8s.io/{version}/namespaces/{NAMESPACE}/endpointslices")
}

fn slice(kind: Kind, name: &str, addresses: &[String], port: u16) -> Value {
    let version = if kind == Kind::Kutter { "v1" } else { "v1beta1" };
    let endpoints: Vec<Value> =
        addresses.iter().map(|address| json!({"addresses": [address], "conditions": {"ready": true}})).collect();
    json!({
        "apiVersion": format!("discovery.k8s.io/{version}"), "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {
            "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "bench",
        }},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "", "protocol": "TCP", "port": port}],
    })
}

/// Makes all services and slices; answers with the address of the one to ask.
async fn fill(served: &mut Served<'_>, listeners: &[SocketAddr; 2]) -> anyhow::Result<SocketAddr> {
    let kind = served.side.kind;
    let services = format!("/api/v1/namespaces/{NAMESPACE}/services");
    let service = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"protocol": "TCP", "port": 80, "targetPort": 8080}]}})
    };
    let name = |number: u64| format!("service-{number:05}");
    let path = services.clone();
    let make: load::Make =
        Arc::new(move |number| Shot::create(&path, service(&name(number)).to_string(), name(number)));
    served.load(Load::http1(32, Until::Done(SERVICES)), make).await?;
    let path = slices_path(kind);
    let make: load::Make = Arc::new(move |number| {
        let at =
            |offset: u64| format!("10.244.{}.{}", (number * 2 + offset) / 250 % 250, (number * 2 + offset) % 250 + 1);
        let body = slice(kind, &name(number), &[at(0), at(1)], 8080);
        Shot::create(&path, body.to_string(), name(number))
    });
    served.load(Load::http1(32, Until::Done(SERVICES)), make).await?;
    let first = slice(kind, PROBE, &[listeners[0].ip().to_string()], listeners[0].port());
    served.once(&Shot::create(slices_path(kind), first.to_string(), "")).await?;
    let made = served.once(&Shot::create(services, service(PROBE).to_string(), "")).await?;
    let made: Value = serde_json::from_slice(&made)?;
    let address = made["spec"]["clusterIP"].as_str().context("the service has no address")?;
    Ok(SocketAddr::new(address.parse()?, 80))
}

fn proxy(bench: &Bench, folder: &Path) -> anyhow::Result<Program> {
    let tools = folder.join("tools");
    std::fs::create_dir_all(&tools)?;
    for name in ["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"] {
        std::os::unix::fs::symlink("/usr/sbin/xtables-legacy-multi", tools.join(name))?;
    }
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(bench.upstream.join("kube-proxy"));
    command.env("PATH", path).arg(format!("--kubeconfig={}", folder.join("kube-proxy.kubeconfig").display()));
    command.args(["--proxy-mode=iptables", "--cluster-cidr=10.244.0.0/16", "--iptables-min-sync-period=1ms"]);
    // Without an address of its own it would wait for a Node to be registered.
    command.args([&format!("--bind-address={}", node::ADDRESS), "--conntrack-max-per-core=0"]);
    command.arg(format!("--hostname-override={}", node::NODE));
    command.args(["--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"]);
    Program::start("kube-proxy", &mut command, folder)
}
