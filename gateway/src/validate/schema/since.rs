//! Which version of Kubernetes brought which field and which value, as far as our kinds reach.
//!
//! Written by `.ci/kubernetes` out of k8s.io/client-go and k8s.io/api (Apache-2.0) 0.30 to 0.37, and
//! compared with them by it: change that, not this. Fields of a definition that came with their definition
//! are not here: what refers to it is.

/// The oldest minor version that is known.
pub(super) const OLDEST: u8 = 30;
/// The newest: that of the schemas.
pub(super) const NEWEST: u8 = 37;

/// A definition, a field of it, and the minor version that brought it.
pub(super) const FIELDS: &[(&str, &str, u8)] = &[
    ("io.k8s.api.apps.v1.DeploymentStatus", "terminatingReplicas", 33),
    ("io.k8s.api.apps.v1.ReplicaSetStatus", "terminatingReplicas", 33),
    ("io.k8s.api.autoscaling.v2.HPAScalingRules", "tolerance", 33),
    ("io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerCondition", "observedGeneration", 37),
    ("io.k8s.api.batch.v1.JobSpec", "scheduling", 37),
    ("io.k8s.api.core.v1.ClusterTrustBundleProjection", "user", 37),
    ("io.k8s.api.core.v1.ConfigMapVolumeSource", "defaultUser", 37),
    ("io.k8s.api.core.v1.Container", "restartPolicyRules", 34),
    ("io.k8s.api.core.v1.ContainerStatus", "allocatedResourcesStatus", 31),
    ("io.k8s.api.core.v1.ContainerStatus", "stopSignal", 33),
    ("io.k8s.api.core.v1.ContainerStatus", "user", 31),
    ("io.k8s.api.core.v1.DownwardAPIVolumeFile", "user", 37),
    ("io.k8s.api.core.v1.DownwardAPIVolumeSource", "defaultUser", 37),
    ("io.k8s.api.core.v1.EmptyDirVolumeSource", "mode", 37),
    ("io.k8s.api.core.v1.EnvVarSource", "fileKeyRef", 34),
    ("io.k8s.api.core.v1.EphemeralContainer", "restartPolicyRules", 34),
    ("io.k8s.api.core.v1.GRPCAction", "mode", 37),
    ("io.k8s.api.core.v1.HTTPGetAction", "protocol", 37),
    ("io.k8s.api.core.v1.KeyToPath", "user", 37),
    ("io.k8s.api.core.v1.Lifecycle", "stopSignal", 33),
    ("io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus", "mapping", 37),
    ("io.k8s.api.core.v1.NodeAllocatableResourceClaimStatus", "overhead", 37),
    ("io.k8s.api.core.v1.PersistentVolumeClaimStatus", "healthStatus", 37),
    ("io.k8s.api.core.v1.PodCertificateProjection", "user", 37),
    ("io.k8s.api.core.v1.PodCertificateProjection", "userAnnotations", 35),
    ("io.k8s.api.core.v1.PodCondition", "observedGeneration", 33),
    ("io.k8s.api.core.v1.PodResourceClaim", "resourceClaimName", 31),
    ("io.k8s.api.core.v1.PodResourceClaim", "resourceClaimTemplateName", 31),
    ("io.k8s.api.core.v1.PodSecurityContext", "seLinuxChangePolicy", 32),
    ("io.k8s.api.core.v1.PodSecurityContext", "supplementalGroupsPolicy", 31),
    ("io.k8s.api.core.v1.PodSpec", "evictionResponders", 37),
    ("io.k8s.api.core.v1.PodSpec", "hostnameOverride", 34),
    ("io.k8s.api.core.v1.PodSpec", "resources", 32),
    ("io.k8s.api.core.v1.PodSpec", "schedulingGroup", 36),
    ("io.k8s.api.core.v1.PodStatus", "allocatedResources", 35),
    ("io.k8s.api.core.v1.PodStatus", "extendedResourceClaimStatus", 34),
    ("io.k8s.api.core.v1.PodStatus", "nodeAllocatableResourceClaimStatuses", 36),
    ("io.k8s.api.core.v1.PodStatus", "observedGeneration", 33),
    ("io.k8s.api.core.v1.PodStatus", "resources", 35),
    ("io.k8s.api.core.v1.PodStatus", "volumeHealth", 37),
    ("io.k8s.api.core.v1.ProjectedVolumeSource", "defaultUser", 37),
    ("io.k8s.api.core.v1.ResourceClaim", "request", 31),
    ("io.k8s.api.core.v1.ResourceHealth", "message", 36),
    ("io.k8s.api.core.v1.SecretVolumeSource", "defaultUser", 37),
    ("io.k8s.api.core.v1.ServiceAccountTokenProjection", "user", 37),
    ("io.k8s.api.core.v1.Volume", "image", 31),
    ("io.k8s.api.core.v1.VolumeMount", "bindMountOptions", 37),
    ("io.k8s.api.core.v1.VolumeMountStatus", "volumeStatus", 36),
    ("io.k8s.api.core.v1.VolumeProjection", "podCertificate", 34),
];

/// A definition, a field of it, a value of that, and the minor version that brought it.
pub(super) const VALUES: &[(&str, &str, &str, u8)] = &[
    ("io.k8s.api.apps.v1.StatefulSetUpdateStrategy", "type", "Recreate", 37),
    ("io.k8s.api.core.v1.Container", "restartPolicy", "Never", 34),
    ("io.k8s.api.core.v1.Container", "restartPolicy", "OnFailure", 34),
    ("io.k8s.api.core.v1.ContainerRestartRule", "action", "RestartAllContainers", 35),
    ("io.k8s.api.core.v1.EphemeralContainer", "restartPolicy", "Never", 34),
    ("io.k8s.api.core.v1.EphemeralContainer", "restartPolicy", "OnFailure", 34),
    ("io.k8s.api.core.v1.ResourceQuotaSpec", "scopes", "VolumeAttributesClass", 33),
    ("io.k8s.api.core.v1.ScopedResourceSelectorRequirement", "scopeName", "VolumeAttributesClass", 33),
    ("io.k8s.api.core.v1.ServiceSpec", "trafficDistribution", "PreferSameNode", 33),
    ("io.k8s.api.core.v1.ServiceSpec", "trafficDistribution", "PreferSameZone", 33),
    ("io.k8s.api.core.v1.Toleration", "operator", "Gt", 35),
    ("io.k8s.api.core.v1.Toleration", "operator", "Lt", 35),
];
