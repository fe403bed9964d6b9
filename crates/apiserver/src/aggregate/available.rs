//! Looks again and again whether aggregated servers answer, and says so in their conditions.

use super::described::Described;
use super::{Aggregator, RESOURCE, Remote, SERVICES, Seen};
use crate::connect::endpoint;
use crate::object::timestamp;
use crate::server::Server;
use client::{Request, Verb};
use futures_util::future::join_all;
use rustls::ClientConfig;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// While one is not there yet: it may come up any moment.
const LOOK_SOON: Duration = Duration::from_secs(1);

/// A document of version 2 may be long, so it is not read at every look.
const READ_EVERY: Duration = Duration::from_secs(60);

/// Status, reason and message of the condition.
type Verdict = (&'static str, &'static str, String);

impl Aggregator {
    /// Runs for as long as the server does.
    pub async fn watch_over(self: Arc<Self>, server: Arc<Server>) {
        let Some(services) = server.resources.find(super::GROUP, "v1", RESOURCE) else { return };
        let Some(collection) = services.collection.clone() else { return };
        loop {
            let (_, _, place) = collection.snapshot_and_place();
            let remotes = server.remotes.all();
            join_all(remotes.iter().map(|remote| self.look(&server, remote))).await;
            let all = server.remotes.all();
            let pause = if all.iter().all(|remote| remote.is_available) { LOOK_EVERY } else { LOOK_SOON };
            // News of an APIService, or time.
            let _ = self.env.clock.timeout(pause, collection.grown_past(place)).await;
            // Our own news too, which must not make this run hot.
            self.env.clock.sleep(Duration::from_millis(50)).await;
        }
    }

    async fn look(&self, server: &Server, remote: &Remote) {
        let verdict = match self.judge(server, remote).await {
            Ok(seen) => {
                remote.see(seen.clone());
                if let Some(current) = server.remotes.find(&remote.group, &remote.version) {
                    current.see(seen);
                }
                ("True", "Passed", "all checks passed".to_owned())
            }
            Err(verdict) => verdict,
        };
        tell(server, remote, &verdict).await;
    }

    async fn judge(&self, server: &Server, remote: &Remote) -> Result<Seen, Verdict> {
        let (namespace, name) = (&remote.namespace, &remote.service);
        let services = server.resources.find("", "v1", "services");
        let service = services.and_then(|services| server.get(&services, namespace, name).ok()?.value().ok());
        let Some(service) = service else {
            let why = format!("service/{name} in {namespace:?} is not present");
            return Err(("False", "ServiceNotFound", why));
        };
        let ports = service.pointer("/spec/ports").and_then(Value::as_array);
        let has_port = ports.into_iter().flatten().any(|port| port["port"] == remote.port);
        if !has_port {
            let why = format!("service/{name} in {namespace:?} is not listening on port {}", remote.port);
            return Err(("False", "ServicePortError", why));
        }
        let (host, port) = endpoint(server, namespace, name, remote.port).map_err(|_| {
            let why = format!("endpoints for service/{name} in {namespace:?} have no addresses with port name \"\"");
            ("False", "MissingEndpoints", why)
        })?;
        let url = format!("https://{host}:{port}{}", remote.path());
        let failed =
            |why: String| ("False", "FailedDiscoveryCheck", format!("failing or missing response from {url}: {why}"));
        let tls = self.tls(remote).map_err(failed)?;
        let server_name = remote.server_name();
        let own = super::own_user();
        let at = (host.as_str(), port, server_name.as_str());
        let got = self.get(tls.clone(), at, &own, &remote.path()).await;
        let (status, body) = got.map_err(|why| failed(format!("Get {url:?}: {why}")))?;
        if !status.is_success() {
            return Err(failed(format!("bad status from {url}: {}", status.as_u16())));
        }
        let resources = serde_json::from_slice(&body).ok().map(Arc::new);
        let index = self.get(tls.clone(), at, &own, "/openapi/v3").await.ok();
        let openapi = index.filter(|(status, _)| status.is_success()).and_then(|(_, body)| hash(remote, &body));
        let described = match remote.seen().described {
            Some((known, since)) if self.env.clock.instant() < since + READ_EVERY => Some((known, since)),
            _ => self.read_v2(remote, tls, at).await,
        };
        Ok(Seen { resources, openapi, described })
    }

    async fn read_v2(
        &self,
        remote: &Remote,
        tls: Arc<ClientConfig>,
        at: (&str, u16, &str),
    ) -> Option<(Arc<Described>, Instant)> {
        let (status, body) = self.get(tls, at, &super::own_user(), "/openapi/v2").await.ok()?;
        let described = Described::read(&body, &remote.path()).filter(|_| status.is_success())?;
        Some((Arc::new(described), self.env.clock.instant()))
    }
}

/// The hash that the server's own index has for the version.
fn hash(remote: &Remote, index: &[u8]) -> Option<String> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let place = index["paths"][&remote.path()[1..]]["serverRelativeURL"].as_str()?;
    Some(place.split_once("hash=").map_or("", |(_, hash)| hash).to_owned())
}

async fn tell(server: &Server, remote: &Remote, (status, reason, message): &Verdict) {
    let services = server.resources.find(super::GROUP, "v1", RESOURCE);
    let object = services.and_then(|services| server.get(&services, "", &remote.name).ok()?.value().ok());
    let Some(mut object) = object else { return };
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let before = conditions.iter().find(|condition| condition["type"] == "Available");
    let same = |field: &str, text: &str| before.is_some_and(|before| before[field] == text);
    if same("status", status) && same("reason", reason) && same("message", message) {
        return;
    }
    let since = match before.filter(|_| same("status", status)) {
        Some(before) => before["lastTransitionTime"].clone(),
        None => timestamp(server.env.clock.now()).into(),
    };
    object["status"] = json!({"conditions": [{"type": "Available", "status": status, "reason": reason,
        "message": message, "lastTransitionTime": since}]});
    let request =
        Request::new(Verb::Update, SERVICES).name(&remote.name).subresource("status").body(object.to_string());
    // A conflict is news, and news bring the next look.
    let _ = server.call(request).await;
}
