//! An operator on kube-rs: a definition of its own, a finalizer, server-side apply of what it owns
//! and of its status; and what else such programs use. Fails where anything is not as it must be.

use anyhow::{Context as _, Result, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{AttachParams, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::Action;
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const NAME: &str = "rs-operator";
const NAMESPACE: &str = "rust";

#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(group = "rs.example.com", version = "v1", kind = "Doc", namespaced, status = "DocStatus")]
#[kube(scale(spec_replicas_path = ".spec.copies", status_replicas_path = ".status.copies"))]
pub struct DocSpec {
    text: String,
    #[serde(default)]
    copies: i32,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DocStatus {
    copies: i32,
    seen: String,
}

async fn reconcile(doc: Arc<Doc>, client: Arc<Client>) -> Result<Action, finalizer::Error<kube::Error>> {
    let docs: Api<Doc> = Api::namespaced((*client).clone(), NAMESPACE);
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), NAMESPACE);
    finalizer(&docs.clone(), "rs.example.com/cleanup", doc, |event| async move {
        match event {
            Event::Apply(doc) => apply(&docs, &maps, &doc).await,
            Event::Cleanup(doc) => {
                let left = ConfigMap { metadata: named(&format!("{}-gone", doc.name_any())), ..ConfigMap::default() };
                maps.patch(&left.name_any(), &PatchParams::apply(NAME), &Patch::Apply(&left)).await?;
                Ok(Action::await_change())
            }
        }
    })
    .await
}

async fn apply(docs: &Api<Doc>, maps: &Api<ConfigMap>, doc: &Doc) -> Result<Action, kube::Error> {
    let map = ConfigMap {
        metadata: ObjectMeta { owner_references: doc.controller_owner_ref(&()).map(|one| vec![one]), ..named("a") },
        data: Some(BTreeMap::from([("text".to_owned(), doc.spec.text.clone())])),
        ..ConfigMap::default()
    };
    let force = PatchParams::apply(NAME).force();
    maps.patch(&doc.name_any(), &force, &Patch::Apply(&map)).await?;
    let status = json!({"apiVersion": "rs.example.com/v1", "kind": "Doc",
        "status": {"copies": doc.spec.copies, "seen": doc.spec.text}});
    docs.patch_status(&doc.name_any(), &force, &Patch::Apply(&status)).await?;
    Ok(Action::requeue(Duration::from_secs(300)))
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

/// Looks until it finds something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    for _ in 0..600 {
        if let Some(found) = look().await {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("not within a minute: {what}")
}

fn code<T>(answer: Result<T, kube::Error>) -> u16 {
    match answer {
        Err(kube::Error::Api(status)) => status.code,
        Err(_) => 0,
        Ok(_) => 200,
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let client = Client::try_default().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let own = Doc::crd();
    definitions.patch(&own.name_any(), &PatchParams::apply(NAME), &Patch::Apply(&own)).await?;
    let name = own.name_any();
    let established = await_condition(definitions.clone(), &name, conditions::is_crd_established());
    tokio::time::timeout(Duration::from_secs(60), established).await??;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace { metadata: named(NAMESPACE), ..Namespace::default() };
    namespaces.create(&PostParams::default(), &namespace).await?;

    let docs: Api<Doc> = Api::namespaced(client.clone(), NAMESPACE);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let streaming = watcher::Config::default().streaming_lists();
    let controller = Controller::new(docs.clone(), streaming).owns(maps.clone(), watcher::Config::default());
    let again = |_, _: &finalizer::Error<kube::Error>, _| Action::requeue(Duration::from_secs(1));
    tokio::spawn(controller.run(reconcile, again, Arc::new(client.clone())).for_each(|_| async {}));
    operate(&docs, &maps).await?;
    enter_a_pod(&client).await?;

    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    definitions.delete(&name, &DeleteParams::default()).await?;
    until("the namespace goes", async || namespaces.get_opt(NAMESPACE).await.ok()?.is_none().then_some(())).await
}

async fn operate(docs: &Api<Doc>, maps: &Api<ConfigMap>) -> Result<()> {
    docs.create(&PostParams::default(), &Doc::new("a", DocSpec { text: "one".into(), copies: 2 })).await?;
    until("a status", async || docs.get("a").await.ok()?.status.filter(|status| status.seen == "one")).await?;
    ensure!(docs.get("a").await?.finalizers() == ["rs.example.com/cleanup"]);
    let merge = |spec| Patch::Merge(json!({"spec": spec}));
    docs.patch("a", &PatchParams::default(), &merge(json!({"text": "two"}))).await?;
    let holds_two = |map: ConfigMap| map.data?.get("text").filter(|text| *text == "two").cloned();
    until("what it owns follows", async || maps.get("a").await.ok().and_then(holds_two)).await?;
    maps.delete("a", &DeleteParams::default()).await?;
    until("it comes back", async || maps.get("a").await.ok().and_then(holds_two)).await?;
    ensure!(docs.get_scale("a").await?.spec.and_then(|scale| scale.replicas) == Some(2));
    ensure!(code(docs.patch("a", &PatchParams::default(), &merge(json!({"copies": "x"}))).await) == 422);
    let theirs = Patch::Apply(json!({"apiVersion": "rs.example.com/v1", "kind": "Doc", "spec": {"text": "three"}}));
    ensure!(code(docs.patch("a", &PatchParams::apply("other"), &theirs).await) == 409);
    ensure!(docs.list_metadata(&ListParams::default()).await?.items.len() == 1);
    docs.delete("a", &DeleteParams::default()).await?;
    until("it goes", async || docs.get_opt("a").await.ok()?.is_none().then_some(())).await?;
    until("the finalizer ran", async || maps.get("a-gone").await.ok()).await?;
    until("what it owned goes", async || maps.get_opt("a").await.ok()?.is_none().then_some(())).await
}

async fn enter_a_pod(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    until("the default account", async || accounts.get("default").await.ok()).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "nginx:1.27", "imagePullPolicy": "Never"}]}}))?;
    pods.create(&PostParams::default(), &pod).await?;
    let running = await_condition(pods.clone(), "p", conditions::is_pod_running());
    tokio::time::timeout(Duration::from_secs(60), running).await??;
    let mut process = pods.exec("p", ["echo", "hello"], &AttachParams::default().stderr(false)).await?;
    let mut output = String::new();
    process.stdout().context("no output")?.read_to_string(&mut output).await?;
    let status = process.take_status().context("no status")?.await.and_then(|status| status.status);
    ensure!((output.as_str(), status.as_deref()) == ("hello\n", Some("Success")));
    let mut forwarder = pods.portforward("p", &[80]).await?;
    let mut stream = forwarder.take_stream(80).context("no stream")?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).await?;
    ensure!(&answer == b"HTTP/1.1 200 OK");
    Ok(())
}
