//! Labels and annotations that the node puts on sandboxes and containers, so that it finds its own
//! again after a restart and knows how to end pods that were deleted meanwhile. Upstream's names, where it
//! has them.

pub const POD_NAME: &str = "io.kubernetes.pod.name";
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub const POD_UID: &str = "io.kubernetes.pod.uid";
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";

pub const HASH: &str = "io.kubernetes.container.hash";
pub const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// JSON of the container's preStop hook.
pub const PRE_STOP: &str = "io.kubernetes.container.preStopHandler";
/// JSON of the container's ports, for named ports in hooks.
pub const PORTS: &str = "io.kubernetes.container.ports";
/// TCP ports that are to be listened on before the container is ready, as `80,443`.
pub const AWAITED_PORTS: &str = "kutter.io/awaited-ports";
pub const POD_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";
/// `init` where the container is one, so that it is told from the others without the spec.
pub const CONTAINER_TYPE: &str = "io.kubernetes.container.type";

/// Scheme of container ids in status.
pub const RUNTIME: &str = "kutter";

/// Of pods that come from files, and of what the API server shows in their place; upstream's names.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
