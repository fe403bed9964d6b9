//! `/containerLogs/{namespace}/{pod}/{container}`.

use super::route::Query;
use super::{Body, pods, text};
use crate::agent::Agent;
use crate::logs::{LogOptions, Reader, Source};
use crate::pod::{PodRef, PodRuntime, spec};
use container::runtime::{ContainerState, ContainerStatus};
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use k8s_openapi::api::core::v1::Pod;
use std::sync::Arc;

pub(super) fn answer(
    agent: &Arc<Agent>,
    namespace: &str,
    name: &str,
    container: &str,
    query: &Query,
) -> Response<Body> {
    let (item, runtime) = match pods::find(agent, namespace, name) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    let options = match LogOptions::parse(query, agent.env.clock.now()) {
        Ok(options) => options,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let pod: Pod = match item.decode() {
        Ok(pod) => pod,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let status = match choose(&pod, &runtime, container, options.previous) {
        Ok(status) => status,
        Err((status, message)) => return text(status, message),
    };
    let path = agent.log_directory(&PodRef::of(&pod)).join(&status.log_path);
    let source = Running { agent: agent.clone(), id: status.id.clone() };
    match Reader::open(&agent.env, path, options, source) {
        Ok(reader) => stream_of(reader),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("failed to try resolving symlinks in path: {error}"))
        }
    }
}

struct Running {
    agent: Arc<Agent>,
    id: String,
}

impl Source for Running {
    fn is_running(&self) -> bool {
        self.agent.view.container(&self.id).is_some_and(|status| status.state == ContainerState::Running)
    }
}

fn stream_of(reader: Reader<Running>) -> Response<Body> {
    let pieces = stream::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(piece)), reader))
    });
    let mut response = Response::new(StreamBody::new(pieces).boxed_unsync());
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

/// The container whose log is meant, or why there is none, in upstream's words.
fn choose<'a>(
    pod: &Pod,
    runtime: &'a PodRuntime,
    container: &'a str,
    previous: bool,
) -> Result<&'a Arc<ContainerStatus>, (StatusCode, String)> {
    let name = pod.metadata.name.as_deref().unwrap_or("");
    let Some(slot) = spec::slot_of(pod, container) else {
        return Err((StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {name:?}")));
    };
    let mut history = runtime.history(container).filter(|status| status.state != ContainerState::Created);
    let known = crate::pod::start::known_status(pod, slot, container);
    let waiting = known.and_then(|known| known.state.as_ref()?.waiting.as_ref()?.reason.clone());
    if previous {
        // One that has ended and waits to be started again is the previous one already.
        if history.clone().next().is_some_and(|newest| newest.state == ContainerState::Running || waiting.is_none()) {
            history.next();
        }
        let missing = format!("previous terminated container {container:?} in pod {name:?} not found");
        return history.next().ok_or((StatusCode::BAD_REQUEST, missing));
    }
    history.next().ok_or_else(|| {
        let why = match waiting.as_deref() {
            Some("ErrImagePull") => ": image can't be pulled".to_owned(),
            Some("ImagePullBackOff") => ": trying and failing to pull image".to_owned(),
            Some(reason) => format!(": {reason}"),
            None => " - no logs yet".to_owned(),
        };
        (StatusCode::BAD_REQUEST, format!("container {container:?} in pod {name:?} is waiting to start{why}"))
    })
}
