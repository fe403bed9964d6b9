//! projected: several sources in one directory, among them the pod's token; and the way all
//! volumes made of files are put in place.

use crate::atomic_writer::{self, File, Payload};
use crate::mounts::BoxFuture;
use crate::sources::TokenRequest;
use crate::{Mounted, Request, VolumeError, VolumeType, config_map, downward_api, secret};
use k8s_openapi::api::core::v1::{Pod, ServiceAccountTokenProjection, Volume, VolumeProjection};
use std::os::unix::fs::PermissionsExt;

pub struct Projected;

/// How long a token lives that asks for no time of its own.
const TOKEN_SECONDS: i64 = 3600;
/// Only its owner reads a token, unless a group owns the volume.
const TOKEN_MODE: u32 = 0o600;
const DEFAULT_MODE: u32 = 0o644;

impl VolumeType for Projected {
    fn directory_name(&self) -> &'static str {
        "kubernetes.io~projected"
    }

    fn matches(&self, volume: &Volume) -> bool {
        volume.projected.is_some()
    }

    fn set_up<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Result<Mounted, VolumeError>> {
        Box::pin(async move {
            let source = request.volume.projected.clone().unwrap_or_default();
            let mode = mode_of(source.default_mode);
            let mut files = Payload::new();
            for projection in source.sources.unwrap_or_default() {
                files.extend(project(request, &projection, mode).await?);
            }
            place(request, files, true).await
        })
    }
}

async fn project(request: &Request<'_>, source: &VolumeProjection, mode: u32) -> Result<Payload, VolumeError> {
    if let Some(map) = &source.config_map {
        let optional = map.optional.unwrap_or(false);
        return config_map::payload(request, &map.name, map.items.as_deref(), optional, mode).await;
    }
    if let Some(object) = &source.secret {
        let optional = object.optional.unwrap_or(false);
        return secret::payload(request, &object.name, object.items.as_deref(), optional, mode).await;
    }
    if let Some(fields) = &source.downward_api {
        return downward_api::payload(request, fields.items.as_deref().unwrap_or(&[]), mode);
    }
    if let Some(token) = &source.service_account_token {
        return token_payload(request, token, mode).await;
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        return if bundle.optional.unwrap_or(false) {
            Ok(Payload::from([(bundle.path.clone(), File { content: Vec::new(), mode, user: None })]))
        } else {
            Err(VolumeError::Other("clusterTrustBundle projections are not supported by this node".to_owned()))
        };
    }
    Err(VolumeError::Other("this projection is not supported by this node".to_owned()))
}

async fn token_payload(
    request: &Request<'_>,
    source: &ServiceAccountTokenProjection,
    mode: u32,
) -> Result<Payload, VolumeError> {
    let meta = &request.pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let spec = request.pod.spec.as_ref();
    let account = spec.and_then(|spec| spec.service_account_name.clone()).filter(|name| !name.is_empty());
    let wanted = TokenRequest {
        namespace: text(&meta.namespace),
        service_account: account.unwrap_or_else(|| "default".to_owned()),
        audience: text(&source.audience),
        expiration_seconds: source.expiration_seconds.unwrap_or(TOKEN_SECONDS),
        pod_name: text(&meta.name),
        pod_uid: text(&meta.uid),
    };
    let token = request.context.sources.token(&wanted).await?;
    let user = source.user.and_then(|user| u32::try_from(user).ok()).or_else(|| only_user(request.pod));
    let mode = if user.is_some() || request.fs_group.is_some() { TOKEN_MODE } else { mode };
    Ok(Payload::from([(source.path.clone(), File { content: token.into_bytes(), mode, user })]))
}

/// The user that all containers of the pod run as, where they name the same.
fn only_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let mut users = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .map(|container| container.security_context.as_ref().and_then(|context| context.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}

pub(crate) fn mode_of(default_mode: Option<i32>) -> u32 {
    default_mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(DEFAULT_MODE)
}

/// Puts the files into the volume's directory, in memory where they are not for a disk.
pub(crate) async fn place(request: &Request<'_>, files: Payload, in_memory: bool) -> Result<Mounted, VolumeError> {
    let directory = &request.directory;
    let context = request.context;
    if !directory.exists() {
        std::fs::create_dir_all(directory).map_err(|error| VolumeError::io("create", directory, error))?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777))
            .map_err(|error| VolumeError::io("change the mode of", directory, error))?;
    }
    if in_memory && context.mounts.below(directory).await?.is_empty() {
        context.mounts.tmpfs(directory, None).await?;
    }
    let (now, unique) = (context.env.clock.now(), context.env.rng.u64(1_000_000..9_999_999_999));
    atomic_writer::write(directory, &files, request.fs_group, now, unique)?;
    Ok(Mounted { path: directory.clone(), read_only: true })
}
