//! The kinds whose operations are tried: for each a smallest object and a change of its status.

/// One kind, as the API serves it.
pub struct Kind {
    /// Group and version, resource, kind.
    pub of: &'static str,
    pub namespaced: bool,
    /// JSON of the object without apiVersion, kind and name; `NAME` stands for the name.
    pub body: &'static str,
    /// JSON of a merge patch of its status, where it has one.
    pub status: Option<&'static str>,
}

const fn kind(of: &'static str, namespaced: bool, body: &'static str, status: Option<&'static str>) -> Kind {
    Kind { of, namespaced, body, status }
}

const CONDITION: Option<&str> = Some(
    r#"{"conditions": [{"type": "Tried", "status": "True", "reason": "T", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}"#,
);
const WORKLOAD: &str = r#"{"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "NAME"}}, "serviceName": "s",
    "template": {"metadata": {"labels": {"app": "NAME"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#;
const SET: &str = r#"{"spec": {"replicas": 1, "selector": {"matchLabels": {"app": "NAME"}},
    "template": {"metadata": {"labels": {"app": "NAME"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#;
const DAEMONS: &str = r#"{"spec": {"selector": {"matchLabels": {"app": "NAME"}},
    "template": {"metadata": {"labels": {"app": "NAME"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#;
const CLAIM: &str = r#"{"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
    "resources": {"requests": {"storage": "1Gi"}}}}"#;
const DEVICES: &str =
    r#"{"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "class"}}]}}}"#;

/// A certificate of an authority that nobody has.
const TRUST_BUNDLE: &str = r#"{"spec": {"trustBundle": "-----BEGIN CERTIFICATE-----\nMIIBdTCCARugAwIBAgIUbNNRT8cKFV0rtvtDzkKmNjzxbvswCgYIKoZIzj0EAwIwDzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExMTQ0NThaGA8yMTI2MTAyODExNDQ1OFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJ8e01aMLBbvhP+RNpU2YznSrVY1JvWZ5SpuBppDfxTcNy4U3eLq981TN/Xibc36M6UjGHuCtlYgNDS+NLCEH7OjUzBRMB0GA1UdDgQWBBS44hf2Ts0lmSpDCTnWDBYa3QW0xDAfBgNVHSMEGDAWgBS44hf2Ts0lmSpDCTnWDBYa3QW0xDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIELIgywr+CZWVTeZALGuUoewiLQdSE6ECwIo25YDzGdZAiEA0l6UuvPNVKizvM+gUsV5dIhnxLA0trYHaSJptKNvTK0=\n-----END CERTIFICATE-----\n"}}"#;

/// With a request that was signed once, for a key that nobody has kept.
const CERTIFICATE_REQUEST: &str = r#"{"spec": {"signerName": "example.com/tried", "podName": "p", "podUID": "u",
    "serviceAccountName": "s", "serviceAccountUID": "u", "nodeName": "n", "nodeUID": "u", "stubPKCS10Request":
    "MIG5MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDkTvRdBZZG9wrJEUv1mSXkreoDbPZ4l/UHdz+X8PVJdJjfk9qzKNTAdKBNalWMGptdX2drecQItZcNeFzT99qugADAKBggqhkjOPQQDAgNHADBEAiBk/FVuXK6NHR0B0fQCMDIa4u+vOAJEWIjj4LNki4dStAIgYz9npAVpzH5JQmVT/r0eI4KrKqrqwlm/F1iRXZEwJ8c="}}"#;

pub const ALL: &[Kind] = &[
    kind("v1 configmaps ConfigMap", true, r#"{"data": {"a": "1"}}"#, None),
    kind("v1 secrets Secret", true, r#"{"stringData": {"a": "1"}}"#, None),
    kind("v1 serviceaccounts ServiceAccount", true, r#"{"automountServiceAccountToken": false}"#, None),
    kind("v1 limitranges LimitRange", true, r#"{"spec": {"limits": [{"type": "Pod", "max": {"cpu": "9"}}]}}"#, None),
    kind(
        "v1 resourcequotas ResourceQuota",
        true,
        r#"{"spec": {"hard": {"pods": "99"}}}"#,
        Some(r#"{"hard": {"pods": "99"}}"#),
    ),
    kind(
        "v1 podtemplates PodTemplate",
        true,
        r#"{"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}"#,
        None,
    ),
    kind("v1 services Service", true, r#"{"spec": {"ports": [{"port": 80}], "selector": {"app": "none"}}}"#, CONDITION),
    kind(
        "v1 pods Pod",
        true,
        r#"{"spec": {"containers": [{"name": "c", "image": "i"}], "volumes":
        [{"name": "v", "csi": {"driver": "driver.example.com", "volumeAttributes": {"a": "b"}}}]}}"#,
        Some(r#"{"message": "tried"}"#),
    ),
    kind(
        "v1 replicationcontrollers ReplicationController",
        true,
        r#"{"spec": {"replicas": 1,
        "template": {"metadata": {"labels": {"app": "NAME"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"#,
        CONDITION,
    ),
    kind("v1 nodes Node", false, r#"{"spec": {"unschedulable": true}}"#, Some(r#"{"phase": "Running"}"#)),
    kind(
        "v1 persistentvolumes PersistentVolume",
        false,
        r#"{"spec": {"capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "hostPath": {"path": "/tmp"}}}"#,
        Some(r#"{"message": "tried"}"#),
    ),
    kind("v1 persistentvolumeclaims PersistentVolumeClaim", true, CLAIM, CONDITION),
    kind("apps/v1 controllerrevisions ControllerRevision", true, r#"{"data": {"a": 1}, "revision": 1}"#, None),
    kind("apps/v1 deployments Deployment", true, SET, CONDITION),
    kind("apps/v1 replicasets ReplicaSet", true, SET, CONDITION),
    kind("apps/v1 statefulsets StatefulSet", true, WORKLOAD, CONDITION),
    kind("apps/v1 daemonsets DaemonSet", true, DAEMONS, CONDITION),
    kind(
        "batch/v1 jobs Job",
        true,
        r#"{"spec": {"suspend": true, "template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}"#,
        CONDITION,
    ),
    kind(
        "batch/v1 cronjobs CronJob",
        true,
        r#"{"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec":
        {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}"#,
        Some(r#"{"lastScheduleTime": "2026-01-01T00:00:00Z"}"#),
    ),
    kind(
        "policy/v1 poddisruptionbudgets PodDisruptionBudget",
        true,
        r#"{"spec": {"minAvailable": 1,
        "selector": {"matchLabels": {"app": "none"}}}}"#,
        CONDITION,
    ),
    kind(
        "discovery.k8s.io/v1 endpointslices EndpointSlice",
        true,
        r#"{"addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.2.3"]}], "ports": [{"name": "p", "port": 80}]}"#,
        None,
    ),
    kind("storage.k8s.io/v1 csidrivers CSIDriver", false, r#"{"spec": {"attachRequired": false}}"#, None),
    kind("storage.k8s.io/v1 csinodes CSINode", false, r#"{"spec": {"drivers": []}}"#, None),
    kind(
        "storage.k8s.io/v1 csistoragecapacities CSIStorageCapacity",
        true,
        r#"{"storageClassName": "c", "capacity": "1Gi"}"#,
        None,
    ),
    kind("storage.k8s.io/v1 storageclasses StorageClass", false, r#"{"provisioner": "example.com/none"}"#, None),
    kind(
        "storage.k8s.io/v1 volumeattachments VolumeAttachment",
        false,
        r#"{"spec": {"attacher": "a.example.com", "nodeName": "nowhere",
        "source": {"persistentVolumeName": "NAME"}}}"#,
        Some(r#"{"attached": true}"#),
    ),
    kind(
        "storage.k8s.io/v1 volumeattributesclasses VolumeAttributesClass",
        false,
        r#"{"driverName": "a.example.com", "parameters": {"a": "b"}}"#,
        None,
    ),
    kind("resource.k8s.io/v1 deviceclasses DeviceClass", false, r#"{"spec": {}}"#, None),
    kind("resource.k8s.io/v1 resourceclaims ResourceClaim", true, DEVICES, Some(r#"{"reservedFor": []}"#)),
    kind(
        "resource.k8s.io/v1 resourceclaimtemplates ResourceClaimTemplate",
        true,
        r#"{"spec": {"spec":
        {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "class"}}]}}}}"#,
        None,
    ),
    kind(
        "resource.k8s.io/v1 resourceslices ResourceSlice",
        false,
        r#"{"spec": {"driver": "d.example.com", "allNodes": true,
        "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "devices": [{"name": "d"}]}}"#,
        None,
    ),
    kind(
        "resource.k8s.io/v1 devicetaintrules DeviceTaintRule",
        false,
        r#"{"spec": {"deviceSelector": {"driver": "d.example.com"},
        "taint": {"key": "example.com/k", "effect": "NoSchedule"}}}"#,
        CONDITION,
    ),
    kind(
        "certificates.k8s.io/v1 podcertificaterequests PodCertificateRequest",
        true,
        CERTIFICATE_REQUEST,
        Some(
            r#"{"conditions": [{"type": "Denied", "status": "True", "reason": "T", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}"#,
        ),
    ),
    kind("certificates.k8s.io/v1 clustertrustbundles ClusterTrustBundle", false, TRUST_BUNDLE, None),
];
