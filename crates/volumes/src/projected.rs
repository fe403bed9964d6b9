//! projected: several sources in one directory, among them the pod's token and certificates; and the
//! way all volumes made of files are put in place.

use crate::atomic_writer::{self, File, Payload};
use crate::keys::{Keys, Kind};
use crate::mounts::BoxFuture;
use crate::sources::TokenRequest;
use crate::{CertificateRequest, Mounted, Request, VolumeError, VolumeType, downward_api, trust_bundle};
use k8s_openapi::api::core::v1::{
    Pod, PodCertificateProjection, ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use std::os::unix::fs::PermissionsExt;

pub struct Projected;

/// How long a token lives that asks for no time of its own.
const TOKEN_SECONDS: i64 = 3600;
/// Only its owner reads what is the pod's alone, unless a group owns the volume.
const PRIVATE_MODE: u32 = 0o600;
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
            for (index, projection) in source.sources.unwrap_or_default().iter().enumerate() {
                files.extend(project(request, index, projection, mode).await?);
            }
            place(request, files, true).await
        })
    }
}

async fn project(
    request: &Request<'_>,
    index: usize,
    source: &VolumeProjection,
    mode: u32,
) -> Result<Payload, VolumeError> {
    if let Some(map) = &source.config_map {
        let (items, optional) = (map.items.as_deref(), map.optional);
        return Keys { kind: Kind::ConfigMap, name: &map.name, items, optional, mode }.payload(request).await;
    }
    if let Some(secret) = &source.secret {
        let (items, optional) = (secret.items.as_deref(), secret.optional);
        return Keys { kind: Kind::Secret, name: &secret.name, items, optional, mode }.payload(request).await;
    }
    if let Some(fields) = &source.downward_api {
        return downward_api::payload(request, fields.items.as_deref().unwrap_or(&[]), mode);
    }
    if let Some(token) = &source.service_account_token {
        return token_payload(request, token, mode).await;
    }
    if let Some(bundle) = &source.cluster_trust_bundle {
        let content = trust_bundle::content(request, bundle).await?;
        return Ok(Payload::from([(bundle.path.clone(), private(request, content, bundle.user, mode))]));
    }
    if let Some(certificate) = &source.pod_certificate {
        return certificate_payload(request, index, certificate, mode).await;
    }
    Err(VolumeError::Other("this projection is not supported by this node".to_owned()))
}

/// A file for the pod's own user, or for its group, and for nobody else where there is one.
fn private(request: &Request<'_>, content: Vec<u8>, user: Option<i64>, mode: u32) -> File {
    let user = user.and_then(|user| u32::try_from(user).ok()).or_else(|| only_user(request.pod));
    let mode = if user.is_some() || request.fs_group.is_some() { PRIVATE_MODE } else { mode };
    File { content, mode, user }
}

fn service_account(pod: &Pod) -> String {
    let named = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned())
}

async fn certificate_payload(
    request: &Request<'_>,
    index: usize,
    source: &PodCertificateProjection,
    mode: u32,
) -> Result<Payload, VolumeError> {
    let meta = &request.pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let wanted = CertificateRequest {
        namespace: text(&meta.namespace),
        pod_name: text(&meta.name),
        pod_uid: text(&meta.uid),
        service_account: service_account(request.pod),
        node_name: request.pod.spec.as_ref().map(|spec| text(&spec.node_name)).unwrap_or_default(),
        volume: request.volume.name.clone(),
        source: index,
        signer: source.signer_name.clone(),
        key_type: source.key_type.clone(),
        max_expiration_seconds: source.max_expiration_seconds,
        user_annotations: source.user_annotations.clone().unwrap_or_default(),
    };
    let issued = request.context.sources.certificate(&wanted).await?;
    let files = [
        (&source.credential_bundle_path, format!("{}{}", issued.key, issued.chain)),
        (&source.key_path, issued.key),
        (&source.certificate_chain_path, issued.chain),
    ];
    let named = files.into_iter().filter_map(|(path, content)| Some((path.clone()?, content)));
    let named = named.filter(|(path, _)| !path.is_empty());
    Ok(named.map(|(path, content)| (path, private(request, content.into_bytes(), source.user, mode))).collect())
}

async fn token_payload(
    request: &Request<'_>,
    source: &ServiceAccountTokenProjection,
    mode: u32,
) -> Result<Payload, VolumeError> {
    let meta = &request.pod.metadata;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let wanted = TokenRequest {
        namespace: text(&meta.namespace),
        service_account: service_account(request.pod),
        audience: text(&source.audience),
        expiration_seconds: source.expiration_seconds.unwrap_or(TOKEN_SECONDS),
        pod_name: text(&meta.name),
        pod_uid: text(&meta.uid),
    };
    let token = request.context.sources.token(&wanted).await?;
    Ok(Payload::from([(source.path.clone(), private(request, token.into_bytes(), source.user, mode))]))
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
