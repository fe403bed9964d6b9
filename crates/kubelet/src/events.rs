//! Events of the node and its pods, in the form upstream's kubelet gives them.

use crate::pod::PodRef;
use base::Env;
use client::Api;
use client::events::{Happening, ObjectRef, Recorder, Style};
use std::collections::BTreeMap;
use std::sync::Arc;

pub use client::events::Severity as Kind;

#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    node: Arc<str>,
}

impl Events {
    pub fn new(api: Arc<dyn Api>, env: &Env, node: &str) -> Self {
        Events { recorder: Recorder::new(api, env, "kubelet", node, Style::Core), node: node.into() }
    }

    pub fn pod(&self, pod: &PodRef, field_path: Option<String>, kind: Kind, reason: &str, message: impl Into<String>) {
        let about = about(pod).field(field_path.unwrap_or_default());
        self.recorder.record(Happening::new(about, kind, reason, message));
    }

    /// A warning that has more to say to programs.
    pub fn annotated(&self, pod: &PodRef, reason: &str, message: String, annotations: BTreeMap<String, String>) {
        self.recorder.record(Happening::new(about(pod), Kind::Warning, reason, message).annotations(annotations));
    }

    /// The node's name stands for its uid, as upstream has it.
    pub fn node(&self, kind: Kind, reason: &str, message: impl Into<String>) {
        let about = ObjectRef {
            kind: "Node".to_owned(),
            name: self.node.to_string(),
            uid: self.node.to_string(),
            ..ObjectRef::default()
        };
        self.recorder.record(Happening::new(about, kind, reason, message));
    }
}

fn about(pod: &PodRef) -> ObjectRef {
    ObjectRef {
        kind: "Pod".to_owned(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        api_version: "v1".to_owned(),
        ..ObjectRef::default()
    }
}
