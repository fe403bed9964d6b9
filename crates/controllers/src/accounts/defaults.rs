//! One object per namespace, kept as it should be.

use crate::action::{Action, Create, Patch, Plan};
use crate::kinds::resource;
use crate::rig::{Def, Rig, Room, RoomError};
use base::Timestamp;
use client::queue::RETRY;
use client::{Cache, Key, Selection};
use meta::GroupVersionResource;
use serde_json::{Value, json};
use std::sync::Arc;

pub const DEFAULT_ACCOUNT: Def = Def {
    name: "serviceaccount-controller",
    identity: "service-account-controller",
    component: "serviceaccount-controller",
    workers: 1,
    retry: RETRY,
    build: |rig| build(rig, default_account()),
};

pub const ROOT_CA: Def = Def {
    name: "root-ca-certificate-publisher-controller",
    identity: "root-ca-cert-publisher",
    component: "root-ca-cert-publisher",
    workers: 1,
    retry: RETRY,
    build: |rig| build(rig, root_ca(rig)),
};

const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
     distributions of Kubernetes clusters.";

/// The object that every namespace is to have.
struct Wanted {
    resource: GroupVersionResource,
    name: &'static str,
    /// None: nothing is kept.
    object: Option<Value>,
}

fn default_account() -> Wanted {
    let object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    Wanted { resource: resource::SERVICE_ACCOUNTS, name: "default", object: Some(object) }
}

fn root_ca(rig: &Rig) -> Wanted {
    let name = "kube-root-ca.crt";
    let object = rig.options.root_ca.as_ref().map(|pem| {
        let metadata = json!({"name": name, "annotations": {"kubernetes.io/description": DESCRIPTION}});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": pem}})
    });
    Wanted { resource: resource::CONFIG_MAPS, name, object }
}

struct Keeper {
    wanted: Wanted,
    namespaces: Arc<Cache<()>>,
    kept: Arc<Cache<()>>,
}

fn build(rig: &Rig, wanted: Wanted) -> Box<dyn Room> {
    let namespaces = rig.cache::<()>(&resource::NAMESPACES);
    let only = Selection::all(wanted.resource.clone()).fields(format!("metadata.name={}", wanted.name));
    let kept = rig.cache_of::<()>(only);
    rig.on_itself(&namespaces);
    rig.on(&kept, |change, queue| {
        let namespaces = change.latest().map(|item| Key::new("", &item.meta.namespace));
        namespaces.into_iter().for_each(|namespace| queue.add(namespace));
    });
    Box::new(Keeper { wanted, namespaces, kept })
}

impl Room for Keeper {
    fn reconcile(&self, key: &Key, _now: Timestamp) -> Result<Plan, RoomError> {
        let namespace = self.namespaces.get_key(key).filter(|namespace| !namespace.meta.is_deleting());
        let (Some(_), Some(object)) = (namespace, &self.wanted.object) else { return Ok(Plan::nothing()) };
        let standing = self.kept.get(key.name(), self.wanted.name);
        let standing: Option<Value> = match standing {
            Some(item) => Some(item.decode().map_err(|why| RoomError::Decode { key: item.key.clone(), why })?),
            None => None,
        };
        Ok(Plan::of(plan(&self.wanted, object, key.name(), standing.as_ref()).into_iter().collect()))
    }
}

fn plan(wanted: &Wanted, object: &Value, namespace: &str, standing: Option<&Value>) -> Option<Action> {
    let Some(standing) = standing else {
        return Some(Action::Create(vec![Create::new(&wanted.resource, namespace, object.clone()).or_exists()]));
    };
    let note = "kubernetes.io/description";
    let annotated = object["metadata"]["annotations"][note] == standing["metadata"]["annotations"][note];
    if object["data"] == standing["data"] && annotated {
        return None;
    }
    let annotations = &object["metadata"]["annotations"];
    // Keys that do not belong there go, too.
    let mut data = object["data"].clone();
    for name in standing["data"].as_object().into_iter().flat_map(|fields| fields.keys()) {
        if data[name].is_null() {
            data[name] = Value::Null;
        }
    }
    let body = json!({"metadata": {"annotations": annotations}, "data": data});
    (!object["data"].is_null()).then(|| {
        let key = Key::new(namespace, wanted.name);
        Action::Patch(Patch::merge(&wanted.resource, &key, body))
    })
}
