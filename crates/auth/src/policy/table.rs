//! The policy's tables: facts of upstream's bootstrap policy, in a short form read by `mod.rs` (table).
//!
//! A rule is `groups:resources=verbs` (`core` is the nameless group), resources with names in
//! braces; or `nonResource:paths=verbs`.

pub(super) struct Role {
    pub namespace: &'static str,
    pub name: &'static str,
    pub rules: &'static [&'static str],
    /// The aggregate label whose roles fill this one.
    pub aggregates: &'static str,
    /// The aggregate label it carries.
    pub label: &'static str,
}

const fn role(name: &'static str, rules: &'static [&'static str]) -> Role {
    Role { namespace: "", name, rules, aggregates: "", label: "" }
}

const fn part(name: &'static str, label: &'static str, rules: &'static [&'static str]) -> Role {
    Role { namespace: "", name, rules, aggregates: "", label }
}

const fn whole(name: &'static str, aggregates: &'static str, label: &'static str) -> Role {
    Role { namespace: "", name, rules: &[], aggregates, label }
}

const fn within(namespace: &'static str, name: &'static str, rules: &'static [&'static str]) -> Role {
    Role { namespace, name, rules, aggregates: "", label: "" }
}

pub(super) const CLUSTER_ROLES: &[Role] = &[
    whole("admin", "aggregate-to-admin", ""),
    role("cluster-admin", &["*:*=*", "nonResource:*=*"]),
    whole("edit", "aggregate-to-edit", "aggregate-to-admin"),
    part(
        "system:aggregate-to-admin",
        "aggregate-to-admin",
        &[
            "authorization.k8s.io:localsubjectaccessreviews=create",
            "rbac.authorization.k8s.io:rolebindings,roles=create,delete,deletecollection,get,list,patch,update,watch",
        ],
    ),
    part(
        "system:aggregate-to-edit",
        "aggregate-to-edit",
        &[
            "core:pods/attach,pods/exec,pods/portforward,pods/proxy,secrets,services/proxy=get,list,watch",
            "core:serviceaccounts=impersonate",
            "core:pods,pods/attach,pods/exec,pods/portforward,pods/proxy=create,delete,deletecollection,patch,update",
            "apps:daemonsets,deployments,deployments/rollback,deployments/scale,replicasets,replicasets/scale,statefulsets,statefulsets/scale=create,delete,deletecollection,patch,update",
            "autoscaling:horizontalpodautoscalers=create,delete,deletecollection,patch,update",
            "batch:cronjobs,jobs=create,delete,deletecollection,patch,update",
            "extensions:daemonsets,deployments,deployments/rollback,deployments/scale,ingresses,networkpolicies,replicasets,replicasets/scale,replicationcontrollers/scale=create,delete,deletecollection,patch,update",
            "policy:poddisruptionbudgets=create,delete,deletecollection,patch,update",
            "networking.k8s.io:ingresses,networkpolicies=create,delete,deletecollection,patch,update",
            "core:configmaps,events,persistentvolumeclaims,replicationcontrollers,replicationcontrollers/scale,secrets,serviceaccounts,services,services/proxy=create,delete,deletecollection,patch,update",
            "core:pods/eviction=create",
            "core:serviceaccounts/token=create",
            "coordination.k8s.io:leases=create,delete,deletecollection,get,list,patch,update,watch",
            "resource.k8s.io:resourceclaims,resourceclaimtemplates=create,delete,deletecollection,patch,update",
        ],
    ),
    part(
        "system:aggregate-to-view",
        "aggregate-to-view",
        &[
            "core:configmaps,endpoints,persistentvolumeclaims,persistentvolumeclaims/status,pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status=get,list,watch",
            "core:bindings,events,limitranges,namespaces/status,pods/log,pods/status,replicationcontrollers/status,resourcequotas,resourcequotas/status=get,list,watch",
            "core:namespaces=get,list,watch",
            "apps:controllerrevisions,daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,replicasets,replicasets/scale,replicasets/status,statefulsets,statefulsets/scale,statefulsets/status=get,list,watch",
            "autoscaling:horizontalpodautoscalers,horizontalpodautoscalers/status=get,list,watch",
            "batch:cronjobs,cronjobs/status,jobs,jobs/status=get,list,watch",
            "extensions:daemonsets,daemonsets/status,deployments,deployments/scale,deployments/status,ingresses,ingresses/status,networkpolicies,replicasets,replicasets/scale,replicasets/status,replicationcontrollers/scale=get,list,watch",
            "policy:poddisruptionbudgets,poddisruptionbudgets/status=get,list,watch",
            "networking.k8s.io:ingresses,ingresses/status,networkpolicies=get,list,watch",
            "discovery.k8s.io:endpointslices=get,list,watch",
            "resource.k8s.io:resourceclaims,resourceclaims/status,resourceclaimtemplates=get,list,watch",
        ],
    ),
    // Not of upstream's bootstrap policy: it comes with metrics-server, whose API this server has.
    part("system:aggregated-metrics-reader", "aggregate-to-view", &["metrics.k8s.io:nodes,pods=get,list,watch"]),
    role(
        "system:auth-delegator",
        &["authentication.k8s.io:tokenreviews=create", "authorization.k8s.io:subjectaccessreviews=create"],
    ),
    role(
        "system:basic-user",
        &[
            "authorization.k8s.io:selfsubjectaccessreviews,selfsubjectrulesreviews=create",
            "authentication.k8s.io:selfsubjectreviews=create",
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &["certificates.k8s.io:certificatesigningrequests/nodeclient=create"],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &["certificates.k8s.io:certificatesigningrequests/selfnodeclient=create"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &["certificates.k8s.io:signers{kubernetes.io/kube-apiserver-client}=approve"],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &["certificates.k8s.io:signers{kubernetes.io/kube-apiserver-client-kubelet}=approve"],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &["certificates.k8s.io:signers{kubernetes.io/kubelet-serving}=approve"],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &["certificates.k8s.io:signers{kubernetes.io/legacy-unknown}=approve"],
    ),
    role("system:cluster-trust-bundle-discovery", &["certificates.k8s.io:clustertrustbundles=get,list,watch"]),
    role(
        "system:discovery",
        &["nonResource:/api,/api/*,/apis,/apis/*,/healthz,/livez,/openapi,/openapi/*,/readyz,/version,/version/=get"],
    ),
    role(
        "system:heapster",
        &["core:events,namespaces,nodes,pods=get,list,watch", "extensions:deployments=get,list,watch"],
    ),
    role("system:kube-aggregator", &["core:endpoints,services=get,list,watch"]),
    role(
        "system:kube-controller-manager",
        &[
            "core,events.k8s.io:events=create,patch,update",
            "coordination.k8s.io:leases=create",
            "coordination.k8s.io:leases{kube-controller-manager}=get,update",
            "core:secrets,serviceaccounts=create",
            "core:secrets=delete",
            "core:configmaps,namespaces,secrets,serviceaccounts=get",
            "core:secrets,serviceaccounts=update",
            "authentication.k8s.io:tokenreviews=create",
            "authorization.k8s.io:subjectaccessreviews=create",
            "*:*=list,watch",
            "core:serviceaccounts/token=create",
        ],
    ),
    role("system:kube-dns", &["core:endpoints,services=list,watch"]),
    role(
        "system:kube-scheduler",
        &[
            "core,events.k8s.io:events=create,patch,update",
            "coordination.k8s.io:leases=create",
            "core:nodes=get,list,watch",
            "core:pods=delete,get,list,watch",
            "core:bindings,pods/binding=create",
            "core:pods/status=patch,update",
            "core:replicationcontrollers,services=get,list,watch",
            "apps,extensions:replicasets=get,list,watch",
            "apps:statefulsets=get,list,watch",
            "policy:poddisruptionbudgets=get,list,watch",
            "core:persistentvolumeclaims,persistentvolumes=get,list,watch",
            "authentication.k8s.io:tokenreviews=create",
            "authorization.k8s.io:subjectaccessreviews=create",
            "storage.k8s.io:csinodes=get,list,watch",
            "coordination.k8s.io:leases{kube-scheduler}=get,list,update,watch",
            "coordination.k8s.io:leasecandidates=create,delete,deletecollection,get,list,patch,update,watch",
            "storage.k8s.io:volumeattachments=get,list,watch",
            "core:namespaces=get,list,watch",
            "storage.k8s.io:csidrivers=get,list,watch",
            "storage.k8s.io:csistoragecapacities=get,list,watch",
            "resource.k8s.io:deviceclasses=get,list,watch",
            "resource.k8s.io:resourceclaims,resourceclaims/status=get,list,patch,update,watch",
            "core:pods/finalizers=get,list,patch,update,watch",
            "resource.k8s.io:resourceslices=get,list,watch",
            "resource.k8s.io:devicetaintrules=get,list,watch",
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            "core:nodes=get,list,watch",
            "core:nodes=proxy",
            "core:nodes/log,nodes/metrics,nodes/proxy,nodes/stats=*",
            "core:nodes/configz,nodes/healthz,nodes/pods=*",
        ],
    ),
    role(
        "system:monitoring",
        &[
            "nonResource:/healthz,/healthz/*,/livez,/livez/*,/metrics,/metrics/slis,/readyz,/readyz/*=get",
            "nonResource:/flagz=get",
            "nonResource:/statusz=get",
        ],
    ),
    role(
        "system:node",
        &[
            "authentication.k8s.io:tokenreviews=create",
            "authorization.k8s.io:localsubjectaccessreviews,subjectaccessreviews=create",
            "core:services=get,list,watch",
            "core:nodes=create,get,list,watch",
            "core:nodes/status=patch,update",
            "core:nodes=patch,update",
            "core:events=create,patch,update",
            "core:pods=get,list,watch",
            "core:pods=create,delete",
            "core:pods/status=patch,update",
            "core:pods/eviction=create",
            "core:configmaps,secrets=get,list,watch",
            "core:persistentvolumeclaims,persistentvolumes=get",
            "core:endpoints=get",
            "certificates.k8s.io:certificatesigningrequests=create,get,list,watch",
            "coordination.k8s.io:leases=create,delete,get,patch,update",
            "storage.k8s.io:volumeattachments=get",
            "core:serviceaccounts/token=create",
            "core:persistentvolumeclaims/status=get,patch,update",
            "storage.k8s.io:csidrivers=get,list,watch",
            "storage.k8s.io:csinodes=create,delete,get,patch,update",
            "node.k8s.io:runtimeclasses=get,list,watch",
            "resource.k8s.io:resourceclaims=get",
            "resource.k8s.io:resourceslices=deletecollection",
            "certificates.k8s.io:clustertrustbundles=get,list,watch",
            "core:serviceaccounts=get",
        ],
    ),
    role("system:node-bootstrapper", &["certificates.k8s.io:certificatesigningrequests=create,get,list,watch"]),
    role(
        "system:node-problem-detector",
        &["core:nodes=get", "core:nodes/status=patch", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:node-proxier",
        &[
            "core:endpoints,services=list,watch",
            "core:nodes=get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
            "discovery.k8s.io:endpointslices=list,watch",
            "networking.k8s.io:servicecidrs=list,watch",
        ],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            "core:persistentvolumes=create,delete,get,list,watch",
            "core:persistentvolumeclaims=get,list,update,watch",
            "storage.k8s.io:storageclasses=get,list,watch",
            "core:events=watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role("system:public-info-viewer", &["nonResource:/healthz,/livez,/readyz,/version,/version/=get"]),
    role(
        "system:service-account-issuer-discovery",
        &[
            "nonResource:/.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/=get",
        ],
    ),
    role(
        "system:volume-scheduler",
        &[
            "core:persistentvolumes=get,list,patch,update,watch",
            "storage.k8s.io:storageclasses=get,list,watch",
            "core:persistentvolumeclaims=get,list,patch,update,watch",
        ],
    ),
    whole("view", "aggregate-to-view", "aggregate-to-edit"),
];

/// Each is bound to the service account of kube-system that its name ends with.
pub(super) const CONTROLLER_ROLES: &[Role] = &[
    role(
        "system:controller:attachdetach-controller",
        &[
            "core:persistentvolumeclaims,persistentvolumes=list,watch",
            "core:nodes=get,list,watch",
            "core:nodes/status=patch,update",
            "core:pods=list,watch",
            "core,events.k8s.io:events=create,patch,update",
            "storage.k8s.io:volumeattachments=create,delete,get,list,watch",
            "storage.k8s.io:csidrivers=get,list,watch",
            "storage.k8s.io:csinodes=get,list,watch",
        ],
    ),
    role(
        "system:controller:certificate-controller",
        &[
            "certificates.k8s.io:certificatesigningrequests=delete,get,list,watch",
            "certificates.k8s.io:certificatesigningrequests/approval,certificatesigningrequests/status=update",
            "certificates.k8s.io:signers{kubernetes.io/kube-apiserver-client-kubelet}=approve",
            "certificates.k8s.io:signers{kubernetes.io/kube-apiserver-client,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kubelet-serving,kubernetes.io/legacy-unknown}=sign",
            "authorization.k8s.io:subjectaccessreviews=create",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:clusterrole-aggregation-controller",
        &["rbac.authorization.k8s.io:clusterroles=escalate,get,list,patch,update,watch"],
    ),
    role(
        "system:controller:cronjob-controller",
        &[
            "batch:cronjobs=get,list,update,watch",
            "batch:jobs=create,delete,get,list,patch,update,watch",
            "batch:cronjobs/status=update",
            "batch:cronjobs/finalizers=update",
            "core:pods=delete,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:daemon-set-controller",
        &[
            "apps,extensions:daemonsets=get,list,watch",
            "apps,extensions:daemonsets/status=update",
            "apps,extensions:daemonsets/finalizers=update",
            "core:nodes=list,watch",
            "core:pods=create,delete,list,patch,watch",
            "core:pods/binding=create",
            "apps:controllerrevisions=create,delete,get,list,patch,update,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:deployment-controller",
        &[
            "apps,extensions:deployments=get,list,update,watch",
            "apps,extensions:deployments/status=update",
            "apps,extensions:deployments/finalizers=update",
            "apps,extensions:replicasets=create,delete,get,list,patch,update,watch",
            "core:pods=get,list,update,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:device-taint-eviction-controller",
        &[
            "core:pods=delete,get,list,watch",
            "core:pods/status=patch,update",
            "resource.k8s.io:resourceclaims=get,list,watch",
            "resource.k8s.io:resourceslices=get,list,watch",
            "resource.k8s.io:deviceclasses=get,list,watch",
            "resource.k8s.io:devicetaintrules=get,list,watch",
            "resource.k8s.io:devicetaintrules/status=patch,update",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:disruption-controller",
        &[
            "apps,extensions:deployments=get,list,watch",
            "apps,extensions:replicasets=get,list,watch",
            "core:replicationcontrollers=get,list,watch",
            "policy:poddisruptionbudgets=get,list,watch",
            "apps:statefulsets=get,list,watch",
            "policy:poddisruptionbudgets/status=update",
            "*:*/scale=get",
            "core,events.k8s.io:events=create,patch,update",
            "core:pods/status=patch,update",
        ],
    ),
    role(
        "system:controller:endpoint-controller",
        &[
            "core:pods,services=get,list,watch",
            "core:endpoints=create,delete,get,list,update,watch",
            "core:endpoints/restricted=create",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:endpointslice-controller",
        &[
            "core:nodes,pods,services=get,list,watch",
            "core:services/finalizers=update",
            "discovery.k8s.io:endpointslices=create,delete,get,list,update,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:endpointslicemirroring-controller",
        &[
            "core:endpoints,services=get,list,watch",
            "core:services/finalizers=update",
            "core:endpoints/finalizers=update",
            "discovery.k8s.io:endpointslices=create,delete,get,list,update,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:ephemeral-volume-controller",
        &[
            "core:pods=get,list,watch",
            "core:pods/finalizers=update",
            "core:persistentvolumeclaims=create,get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:expand-controller",
        &[
            "core:persistentvolumes=get,list,patch,update,watch",
            "core:persistentvolumeclaims/status=patch,update",
            "core:persistentvolumeclaims=get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:generic-garbage-collector",
        &["*:*=delete,get,list,patch,update,watch", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:horizontal-pod-autoscaler",
        &[
            "autoscaling:horizontalpodautoscalers=get,list,watch",
            "autoscaling:horizontalpodautoscalers/status=update",
            "*:*/scale=get,update",
            "core:pods=list,watch",
            "metrics.k8s.io:pods=list,watch",
            "custom.metrics.k8s.io:*=get,list,watch",
            "external.metrics.k8s.io:*=get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:job-controller",
        &[
            "batch:jobs=get,list,patch,update,watch",
            "batch:jobs/status=update",
            "batch:jobs/finalizers=update",
            "core:pods=create,delete,list,patch,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:kube-apiserver-serving-clustertrustbundle-publisher",
        &[
            "certificates.k8s.io:signers{kubernetes.io/kube-apiserver-serving}=attest",
            "certificates.k8s.io:clustertrustbundles=create,delete,list,update,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:legacy-service-account-token-cleaner",
        &["core:configmaps{kube-apiserver-legacy-service-account-token-tracking}=get", "core:secrets=delete,patch"],
    ),
    role(
        "system:controller:namespace-controller",
        &[
            "core:namespaces=delete,get,list,watch",
            "core:namespaces/finalize,namespaces/status=update",
            "*:*=delete,deletecollection,get,list,watch",
        ],
    ),
    role(
        "system:controller:node-controller",
        &[
            "core:nodes=delete,get,list,patch,update,watch",
            "core:nodes/status=patch,update",
            "core:pods/status=patch,update",
            "core:pods=delete,get,list,watch",
            "coordination.k8s.io:leases=get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:persistent-volume-binder",
        &[
            "core:persistentvolumes=create,delete,get,list,update,watch",
            "core:persistentvolumes/status=update",
            "core:persistentvolumeclaims=get,list,update,watch",
            "core:persistentvolumeclaims/status=update",
            "core:pods=create,delete,get,list,watch",
            "storage.k8s.io:storageclasses=get,list,watch",
            "core:nodes=list,watch",
            "core,events.k8s.io:events=create,patch,update",
            "core:events=watch",
        ],
    ),
    role(
        "system:controller:pod-garbage-collector",
        &["core:pods=delete,list,watch", "core:nodes=get,list,watch", "core:pods/status=patch"],
    ),
    role(
        "system:controller:podcertificaterequestcleaner",
        &["certificates.k8s.io:podcertificaterequests=delete,get,list,watch"],
    ),
    role(
        "system:controller:podgroup-protection-controller",
        &[
            "scheduling.k8s.io:podgroups=get,list,update,watch",
            "core:pods=get,list,watch",
            "scheduling.k8s.io:compositepodgroups=get,list,update,watch",
        ],
    ),
    role(
        "system:controller:pv-protection-controller",
        &["core:persistentvolumes=get,list,update,watch", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:pvc-protection-controller",
        &[
            "core:persistentvolumeclaims=get,list,update,watch",
            "core:persistentvolumeclaims/status=update",
            "core:pods=get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:replicaset-controller",
        &[
            "apps,extensions:replicasets=get,list,update,watch",
            "apps,extensions:replicasets/status=update",
            "apps,extensions:replicasets/finalizers=update",
            "core:pods=create,delete,list,patch,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:replication-controller",
        &[
            "core:replicationcontrollers=get,list,update,watch",
            "core:replicationcontrollers/status=update",
            "core:replicationcontrollers/finalizers=update",
            "core:pods=create,delete,list,patch,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:resource-claim-controller",
        &[
            "core:pods=get,list,watch",
            "core:pods/finalizers=update",
            "resource.k8s.io:resourceclaims=create,delete,get,list,watch",
            "resource.k8s.io:resourceclaims,resourceclaims/status=patch,update",
            "core:pods/status=patch,update",
            "core,events.k8s.io:events=create,patch,update",
            "scheduling.k8s.io:podgroups=get,list,watch",
            "scheduling.k8s.io:podgroups/status=patch,update",
            "resource.k8s.io:resourceclaims/binding=patch,update",
        ],
    ),
    role(
        "system:controller:resourcequota-controller",
        &["*:*=list,watch", "core:resourcequotas/status=update", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:root-ca-cert-publisher",
        &["core:configmaps=create,update", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:route-controller",
        &["core:nodes=list,watch", "core:nodes/status=patch", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:selinux-warning-controller",
        &[
            "core,events.k8s.io:events=create,patch,update",
            "core:persistentvolumes=get,list,watch",
            "core:persistentvolumeclaims=get,list,watch",
            "core:pods=get,list,watch",
            "storage.k8s.io:csidrivers=get,list,watch",
        ],
    ),
    role(
        "system:controller:service-account-controller",
        &["core:serviceaccounts=create", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:service-cidrs-controller",
        &[
            "networking.k8s.io:servicecidrs=get,list,patch,update,watch",
            "networking.k8s.io:servicecidrs/finalizers=patch,update",
            "networking.k8s.io:servicecidrs/status=patch,update",
            "networking.k8s.io:ipaddresses=get,list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:service-controller",
        &[
            "core:services=get,list,watch",
            "core:services/status=patch,update",
            "core:nodes=list,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:statefulset-controller",
        &[
            "core:pods=list,watch",
            "apps:statefulsets=get,list,watch",
            "apps:statefulsets/status=update",
            "apps:statefulsets/finalizers=update",
            "core:pods=create,delete,get,patch,update",
            "apps:controllerrevisions=create,delete,get,list,patch,update,watch",
            "core:persistentvolumeclaims=create,get,list,watch",
            "core:persistentvolumeclaims=delete,update",
            "core:pods/finalizers=update",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:storage-version-migrator-controller",
        &[
            "*:*=list,patch",
            "apiextensions.k8s.io:customresourcedefinitions=get",
            "apiextensions.k8s.io:customresourcedefinitions/status=patch",
            "storagemigration.k8s.io:storageversionmigrations/status=update",
        ],
    ),
    role(
        "system:controller:ttl-after-finished-controller",
        &["batch:jobs=delete,get,list,watch", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:ttl-controller",
        &["core:nodes=list,patch,update,watch", "core,events.k8s.io:events=create,patch,update"],
    ),
    role(
        "system:controller:validatingadmissionpolicy-status-controller",
        &[
            "admissionregistration.k8s.io:validatingadmissionpolicies=get,list,watch",
            "admissionregistration.k8s.io:validatingadmissionpolicies/status=get,patch,update",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    role(
        "system:controller:volumeattributesclass-protection-controller",
        &[
            "core:persistentvolumeclaims=get,list,watch",
            "core:persistentvolumes=get,list,watch",
            "storage.k8s.io:volumeattributesclasses=get,list,update,watch",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
];

pub(super) const ROLES: &[Role] = &[
    within(
        "kube-public",
        "system:controller:bootstrap-signer",
        &[
            "core:configmaps=get,list,watch",
            "core:configmaps{cluster-info}=update",
            "core,events.k8s.io:events=create,patch,update",
        ],
    ),
    within(
        "kube-system",
        "extension-apiserver-authentication-reader",
        &["core:configmaps{extension-apiserver-authentication}=get,list,watch"],
    ),
    within(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &[
            "core:configmaps=watch",
            "core:configmaps{kube-controller-manager}=get,update",
            "coordination.k8s.io:leases=create,get,list,update,watch",
        ],
    ),
    within(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &[
            "core:configmaps=watch",
            "core:configmaps{kube-scheduler}=get,update",
            "coordination.k8s.io:leases=create,get,list,update,watch",
        ],
    ),
    within("kube-system", "system:controller:bootstrap-signer", &["core:secrets=get,list,watch"]),
    within("kube-system", "system:controller:cloud-provider", &["core:configmaps=create,get,list,watch"]),
    within(
        "kube-system",
        "system:controller:token-cleaner",
        &["core:secrets=delete,get,list,watch", "core,events.k8s.io:events=create,patch,update"],
    ),
];

pub(super) struct Binding {
    /// Empty for ClusterRoleBindings.
    pub namespace: &'static str,
    pub name: &'static str,
    /// A Role's name within a namespace, a ClusterRole's otherwise.
    pub role: &'static str,
    /// `User x`, `Group x` or `ServiceAccount namespace/x`.
    pub subjects: &'static [&'static str],
}

pub(super) const BINDINGS: &[Binding] = &[
    Binding { namespace: "", name: "cluster-admin", role: "cluster-admin", subjects: &["Group system:masters"] },
    Binding {
        namespace: "",
        name: "system:basic-user",
        role: "system:basic-user",
        subjects: &["Group system:authenticated"],
    },
    Binding {
        namespace: "",
        name: "system:discovery",
        role: "system:discovery",
        subjects: &["Group system:authenticated"],
    },
    Binding {
        namespace: "",
        name: "system:kube-controller-manager",
        role: "system:kube-controller-manager",
        subjects: &["User system:kube-controller-manager"],
    },
    Binding {
        namespace: "",
        name: "system:kube-dns",
        role: "system:kube-dns",
        subjects: &["ServiceAccount kube-system/kube-dns"],
    },
    Binding {
        namespace: "",
        name: "system:kube-scheduler",
        role: "system:kube-scheduler",
        subjects: &["User system:kube-scheduler"],
    },
    Binding {
        namespace: "",
        name: "system:monitoring",
        role: "system:monitoring",
        subjects: &["Group system:monitoring"],
    },
    Binding { namespace: "", name: "system:node", role: "system:node", subjects: &[] },
    Binding {
        namespace: "",
        name: "system:node-proxier",
        role: "system:node-proxier",
        subjects: &["User system:kube-proxy"],
    },
    Binding {
        namespace: "",
        name: "system:public-info-viewer",
        role: "system:public-info-viewer",
        subjects: &["Group system:authenticated", "Group system:unauthenticated"],
    },
    Binding {
        namespace: "",
        name: "system:service-account-issuer-discovery",
        role: "system:service-account-issuer-discovery",
        subjects: &["Group system:serviceaccounts"],
    },
    Binding {
        namespace: "",
        name: "system:volume-scheduler",
        role: "system:volume-scheduler",
        subjects: &["User system:kube-scheduler"],
    },
    Binding {
        namespace: "kube-public",
        name: "system:controller:bootstrap-signer",
        role: "system:controller:bootstrap-signer",
        subjects: &["ServiceAccount kube-system/bootstrap-signer"],
    },
    Binding {
        namespace: "kube-system",
        name: "system::extension-apiserver-authentication-reader",
        role: "extension-apiserver-authentication-reader",
        subjects: &["User system:kube-controller-manager", "User system:kube-scheduler"],
    },
    Binding {
        namespace: "kube-system",
        name: "system::leader-locking-kube-controller-manager",
        role: "system::leader-locking-kube-controller-manager",
        subjects: &["User system:kube-controller-manager", "ServiceAccount kube-system/kube-controller-manager"],
    },
    Binding {
        namespace: "kube-system",
        name: "system::leader-locking-kube-scheduler",
        role: "system::leader-locking-kube-scheduler",
        subjects: &["User system:kube-scheduler", "ServiceAccount kube-system/kube-scheduler"],
    },
    Binding {
        namespace: "kube-system",
        name: "system:controller:bootstrap-signer",
        role: "system:controller:bootstrap-signer",
        subjects: &["ServiceAccount kube-system/bootstrap-signer"],
    },
    Binding {
        namespace: "kube-system",
        name: "system:controller:cloud-provider",
        role: "system:controller:cloud-provider",
        subjects: &["ServiceAccount kube-system/cloud-provider"],
    },
    Binding {
        namespace: "kube-system",
        name: "system:controller:token-cleaner",
        role: "system:controller:token-cleaner",
        subjects: &["ServiceAccount kube-system/token-cleaner"],
    },
    Binding {
        namespace: "",
        name: "system:cluster-trust-bundle-discovery",
        role: "system:cluster-trust-bundle-discovery",
        subjects: &["Group system:serviceaccounts"],
    },
];
