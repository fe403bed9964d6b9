//! The resources and kinds that rooms name.

use meta::{GroupVersionKind, GroupVersionResource};

macro_rules! resources {
    ($($constant:ident: $group:literal $version:literal $resource:literal $kind:literal;)*) => {
        /// Where each kind is served.
        pub mod resource {
            use super::GroupVersionResource;
            $(pub const $constant: GroupVersionResource = GroupVersionResource::of($group, $version, $resource);)*
        }
        /// The kinds themselves, under the names of their resources.
        // Not every one is named by a room.
        #[allow(dead_code)]
        pub mod kind {
            use super::GroupVersionKind;
            $(pub const $constant: GroupVersionKind = GroupVersionKind::of($group, $version, $kind);)*
        }
    };
}

resources! {
    CERTIFICATE_REQUESTS: "certificates.k8s.io" "v1" "certificatesigningrequests" "CertificateSigningRequest";
    CLUSTER_TRUST_BUNDLES: "certificates.k8s.io" "v1" "clustertrustbundles" "ClusterTrustBundle";
    CLUSTER_ROLES: "rbac.authorization.k8s.io" "v1" "clusterroles" "ClusterRole";
    CUSTOM_RESOURCE_DEFINITIONS: "apiextensions.k8s.io" "v1" "customresourcedefinitions" "CustomResourceDefinition";
    CONFIG_MAPS: "" "v1" "configmaps" "ConfigMap";
    CONTROLLER_REVISIONS: "apps" "v1" "controllerrevisions" "ControllerRevision";
    CRON_JOBS: "batch" "v1" "cronjobs" "CronJob";
    DAEMON_SETS: "apps" "v1" "daemonsets" "DaemonSet";
    DEPLOYMENTS: "apps" "v1" "deployments" "Deployment";
    DEVICE_TAINT_RULES: "resource.k8s.io" "v1" "devicetaintrules" "DeviceTaintRule";
    DISRUPTION_BUDGETS: "policy" "v1" "poddisruptionbudgets" "PodDisruptionBudget";
    ENDPOINTS: "" "v1" "endpoints" "Endpoints";
    ENDPOINT_SLICES: "discovery.k8s.io" "v1" "endpointslices" "EndpointSlice";
    HORIZONTAL_POD_AUTOSCALERS: "autoscaling" "v2" "horizontalpodautoscalers" "HorizontalPodAutoscaler";
    IP_ADDRESSES: "networking.k8s.io" "v1" "ipaddresses" "IPAddress";
    JOBS: "batch" "v1" "jobs" "Job";
    LEASES: "coordination.k8s.io" "v1" "leases" "Lease";
    NAMESPACES: "" "v1" "namespaces" "Namespace";
    NODES: "" "v1" "nodes" "Node";
    PERSISTENT_VOLUME_CLAIMS: "" "v1" "persistentvolumeclaims" "PersistentVolumeClaim";
    PERSISTENT_VOLUMES: "" "v1" "persistentvolumes" "PersistentVolume";
    POD_CERTIFICATE_REQUESTS: "certificates.k8s.io" "v1" "podcertificaterequests" "PodCertificateRequest";
    PODS: "" "v1" "pods" "Pod";
    REPLICATION_CONTROLLERS: "" "v1" "replicationcontrollers" "ReplicationController";
    REPLICA_SETS: "apps" "v1" "replicasets" "ReplicaSet";
    RESOURCE_CLAIMS: "resource.k8s.io" "v1" "resourceclaims" "ResourceClaim";
    RESOURCE_CLAIM_TEMPLATES: "resource.k8s.io" "v1" "resourceclaimtemplates" "ResourceClaimTemplate";
    RESOURCE_QUOTAS: "" "v1" "resourcequotas" "ResourceQuota";
    RESOURCE_SLICES: "resource.k8s.io" "v1" "resourceslices" "ResourceSlice";
    SECRETS: "" "v1" "secrets" "Secret";
    SERVICE_CIDRS: "networking.k8s.io" "v1" "servicecidrs" "ServiceCIDR";
    SERVICES: "" "v1" "services" "Service";
    SERVICE_ACCOUNTS: "" "v1" "serviceaccounts" "ServiceAccount";
    STATEFUL_SETS: "apps" "v1" "statefulsets" "StatefulSet";
    STORAGE_VERSION_MIGRATIONS: "storagemigration.k8s.io" "v1" "storageversionmigrations" "StorageVersionMigration";
    STORAGE_CLASSES: "storage.k8s.io" "v1" "storageclasses" "StorageClass";
    VALIDATING_POLICIES: "admissionregistration.k8s.io" "v1" "validatingadmissionpolicies" "ValidatingAdmissionPolicy";
    VOLUME_ATTRIBUTES_CLASSES: "storage.k8s.io" "v1" "volumeattributesclasses" "VolumeAttributesClass";
    SUBJECT_ACCESS_REVIEWS: "authorization.k8s.io" "v1" "subjectaccessreviews" "SubjectAccessReview";
}
