//! Where kustomize puts labels and annotations, and where it follows names.
//!
//! After kustomize's own defaults, for the kinds that make pods and those around them.

/// Kinds whose pods stand in `spec/template`.
pub(super) const TEMPLATED: [&str; 5] =
    ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController"];

/// Kinds with `spec/replicas`.
pub(in crate::snapshot) const SCALED: [&str; 4] =
    ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"];

/// Where the labels of what a kind makes stand.
pub(super) fn template_labels(kind: &str) -> &'static [&'static str] {
    match kind {
        "StatefulSet" => &["spec/template/metadata/labels", "spec/volumeClaimTemplates[]/metadata/labels"],
        "CronJob" => &["spec/jobTemplate/metadata/labels", "spec/jobTemplate/spec/template/metadata/labels"],
        "Job" => &["spec/template/metadata/labels"],
        kind if TEMPLATED.contains(&kind) => &["spec/template/metadata/labels"],
        _ => &[],
    }
}

/// Where annotations go beside the object's own.
pub(super) fn template_annotations(kind: &str) -> &'static [&'static str] {
    match kind {
        "CronJob" => {
            &["spec/jobTemplate/metadata/annotations", "spec/jobTemplate/spec/template/metadata/annotations"]
        }
        "Job" => &["spec/template/metadata/annotations"],
        kind if TEMPLATED.contains(&kind) => &["spec/template/metadata/annotations"],
        _ => &[],
    }
}

/// Where labels select, and whether the place is made.
pub(super) fn selectors(kind: &str) -> &'static [(&'static str, bool)] {
    const OF_A_DEPLOYMENT: &[(&str, bool)] = &[
        ("spec/selector/matchLabels", true),
        (
            "spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
            false,
        ),
        (
            "spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
            false,
        ),
        (
            "spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
            false,
        ),
        (
            "spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
            false,
        ),
        ("spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels", false),
    ];
    match kind {
        "Service" | "ReplicationController" => &[("spec/selector", true)],
        "Deployment" | "StatefulSet" => OF_A_DEPLOYMENT,
        "ReplicaSet" | "DaemonSet" => &[("spec/selector/matchLabels", true)],
        "Job" | "PodDisruptionBudget" => &[("spec/selector/matchLabels", false)],
        "CronJob" => &[("spec/jobTemplate/spec/selector/matchLabels", false)],
        "NetworkPolicy" => &[
            ("spec/podSelector/matchLabels", false),
            ("spec/ingress/from/podSelector/matchLabels", false),
            ("spec/egress/to/podSelector/matchLabels", false),
        ],
        _ => &[],
    }
}

/// Where a pod's specification stands in a kind.
pub(super) fn pod_spec(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("spec"),
        "CronJob" => Some("spec/jobTemplate/spec/template/spec"),
        "Job" => Some("spec/template/spec"),
        kind if TEMPLATED.contains(&kind) => Some("spec/template/spec"),
        _ => None,
    }
}

/// Below a pod's specification: the kind that is named, and where.
pub(super) const OF_PODS: [(&str, &str); 15] = [
    ("ConfigMap", "volumes/configMap/name"),
    ("ConfigMap", "volumes/projected/sources/configMap/name"),
    ("ConfigMap", "containers/env/valueFrom/configMapKeyRef/name"),
    ("ConfigMap", "initContainers/env/valueFrom/configMapKeyRef/name"),
    ("ConfigMap", "containers/envFrom/configMapRef/name"),
    ("ConfigMap", "initContainers/envFrom/configMapRef/name"),
    ("Secret", "volumes/secret/secretName"),
    ("Secret", "volumes/projected/sources/secret/name"),
    ("Secret", "containers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "initContainers/env/valueFrom/secretKeyRef/name"),
    ("Secret", "containers/envFrom/secretRef/name"),
    ("Secret", "initContainers/envFrom/secretRef/name"),
    ("Secret", "imagePullSecrets/name"),
    ("ServiceAccount", "serviceAccountName"),
    ("PersistentVolumeClaim", "volumes/persistentVolumeClaim/claimName"),
];

/// In a kind of its own: the kind that is named, the one that names it, and where.
pub(super) const OF_OTHERS: [(&str, &str, &str); 15] = [
    ("Service", "StatefulSet", "spec/serviceName"),
    ("Service", "Ingress", "spec/rules/http/paths/backend/service/name"),
    ("Service", "Ingress", "spec/defaultBackend/service/name"),
    ("Secret", "Ingress", "spec/tls/secretName"),
    ("Secret", "ServiceAccount", "imagePullSecrets/name"),
    ("Deployment", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    ("StatefulSet", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    ("ReplicaSet", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    ("ReplicationController", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    ("Role", "RoleBinding", "roleRef/name"),
    ("ClusterRole", "RoleBinding", "roleRef/name"),
    ("ClusterRole", "ClusterRoleBinding", "roleRef/name"),
    ("PersistentVolume", "PersistentVolumeClaim", "spec/volumeName"),
    ("StorageClass", "PersistentVolumeClaim", "spec/storageClassName"),
    ("StorageClass", "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
];

/// Kinds in which kustomize follows names in ways that are not repeated here.
pub(super) const UNFOLLOWED: [(&str, &str); 9] = [
    ("RoleBinding", "subjects"),
    ("ClusterRoleBinding", "subjects"),
    ("Role", "rules"),
    ("ClusterRole", "rules"),
    ("MutatingWebhookConfiguration", "webhooks"),
    ("ValidatingWebhookConfiguration", "webhooks"),
    ("APIService", "spec"),
    ("CustomResourceDefinition", "spec/conversion"),
    ("PersistentVolume", "spec"),
];
