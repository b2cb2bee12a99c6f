//! Strategic merge: the lists that Kubernetes' types merge by a key, the directives, what is refused.

use riposte::edit::strategic_merge;
use serde_json::{Value, json};

fn data(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"))
}

/// What a patch makes of the pods of a Deployment.
fn below_pod(pod: &str, patch: &str) -> Result<Value, String> {
    let spec = |pod: &str| json!({"spec": {"template": {"spec": data(pod)}}});
    let mut object = spec(pod);
    object["apiVersion"] = json!("apps/v1");
    object["kind"] = json!("Deployment");
    let mut merged = strategic_merge(&object, &spec(patch)).map_err(|error| error.to_string())?;
    Ok(merged["spec"]["template"]["spec"].take())
}

fn below_container(container: &str, patch: &str) -> Result<Value, String> {
    let pod = |container: &str| format!("containers: [{{name: web, {container}}}]");
    let mut merged = below_pod(&pod(container), &pod(patch))?["containers"][0].take();
    merged.as_object_mut().and_then(|merged| merged.remove("name"));
    Ok(merged)
}

#[test]
fn the_lists_of_a_pod_are_merged_by_their_keys() {
    let table = [
        (
            "containers: [{name: a, image: a:1, args: [x]}, {name: b}]",
            "containers: [{name: c}, {name: a, image: a:2}]",
            "containers: [{name: a, image: a:2, args: [x]}, {name: b}, {name: c}]",
        ),
        (
            "initContainers: [{name: a}, {name: b}]",
            "initContainers: [{name: a, $patch: delete}, {name: not-there, $patch: delete}]",
            "initContainers: [{name: b}]",
        ),
        (
            "containers: [{name: a, image: a:1}]",
            "containers: [{$patch: replace}, {name: a}]",
            "containers: [{name: a}]",
        ),
        (
            "{}",
            "containers: [{name: a, env: [{name: A, value: null}]}]",
            "containers: [{name: a, env: [{name: A}]}]",
        ),
        (
            "volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]",
            "volumes: [{name: v, $retainKeys: [name, configMap], configMap: {name: c}}]",
            "volumes: [{name: v, configMap: {name: c}}, {name: w, emptyDir: {}}]",
        ),
        (
            "hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]",
            "hostAliases: [{ip: 10.0.0.1, hostnames: [b]}, {ip: 10.0.0.2}]",
            "hostAliases: [{ip: 10.0.0.1, hostnames: [b]}, {ip: 10.0.0.2}]",
        ),
        (
            "{tolerations: [{key: a}], imagePullSecrets: [{name: a}]}",
            "{tolerations: [{key: b}], imagePullSecrets: [{name: b}]}",
            "{tolerations: [{key: b}], imagePullSecrets: [{name: a}, {name: b}]}",
        ),
        (
            "{nodeSelector: {a: b}, securityContext: {runAsUser: 1}, affinity: {x: {y: 1}}}",
            "{nodeSelector: {$patch: replace, c: d}, securityContext: {$patch: delete},
              affinity: {$patch: merge, x: {z: 2}}}",
            "{nodeSelector: {c: d}, affinity: {x: {y: 1, z: 2}}}",
        ),
        (
            "{hostNetwork: true, containers: [{name: a}], nodeSelector: '?'}",
            "{hostNetwork: null, containers: null, nodeSelector: {a: b}}",
            "nodeSelector: {a: b}",
        ),
        ("containers: [{name: a}]", "containers: []", "containers: [{name: a}]"),
        ("tolerations: [{key: a}]", "tolerations: []", "tolerations: []"),
        (
            "containers: [{name: a}, {name: a}]",
            "containers: [{name: b}]",
            "containers: [{name: a}, {name: a}, {name: b}]",
        ),
    ];
    for (pod, patch, expected) in table {
        assert_eq!(below_pod(pod, patch), Ok(data(expected)), "{pod} and {patch}");
    }
}

#[test]
fn the_lists_of_a_container_are_merged_by_their_keys() {
    let table = [
        (
            "env: [{name: A, value: '1'}, {name: B, value: '2'}]",
            "env: [{name: B, value: '3'}, {name: C, value: '4'}]",
            "env: [{name: A, value: '1'}, {name: B, value: '3'}, {name: C, value: '4'}]",
        ),
        (
            "env: [{name: A, valueFrom: {fieldRef: {fieldPath: x}}}]",
            "env: [{name: A, value: '1', valueFrom: null}]",
            "env: [{name: A, value: '1'}]",
        ),
        (
            "volumeMounts: [{mountPath: /a, name: a}], volumeDevices: [{devicePath: /x, name: x}]",
            "volumeMounts: [{mountPath: /a, name: b}], volumeDevices: [{devicePath: /x, name: y}]",
            "volumeMounts: [{mountPath: /a, name: b}], volumeDevices: [{devicePath: /x, name: y}]",
        ),
        (
            "ports: [{containerPort: 53, protocol: TCP}, {containerPort: 53, protocol: UDP}]",
            "ports: [{containerPort: 53, protocol: UDP, hostPort: 1}]",
            "ports: [{containerPort: 53, protocol: TCP}, {containerPort: 53, protocol: UDP, hostPort: 1}]",
        ),
        (
            "ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53}]",
            "ports: [{containerPort: 53, hostPort: 1}]",
            "ports: [{containerPort: 53, protocol: UDP}, {containerPort: 53, hostPort: 1}]",
        ),
        (
            "ports: [{containerPort: 53, protocol: UDP}]",
            "ports: [{containerPort: 53, hostPort: 1}]",
            "ports: [{containerPort: 53, protocol: UDP, hostPort: 1}]",
        ),
        (
            "ports: [{containerPort: 53}]",
            "ports: [{containerPort: 53, protocol: TCP, hostPort: 1}, {containerPort: 53, protocol: UDP}]",
            "ports: [{containerPort: 53, protocol: TCP, hostPort: 1}, {containerPort: 53, protocol: UDP}]",
        ),
        ("args: [a]", "env: [{name: A, $patch: delete}]", "args: [a]"),
        ("env: [{name: A}]", "env: [{name: A, $patch: delete}]", "env: []"),
        ("args: [a, b]", "args: [c]", "args: [c]"),
        ("args: [a, b]", "$deleteFromPrimitiveList/args: [a]", "args: [b]"),
    ];
    for (container, patch, expected) in table {
        let expected = data(&format!("{{{expected}}}"));
        assert_eq!(below_container(container, patch), Ok(expected), "{container} and {patch}");
    }
}

#[test]
fn each_kind_has_its_own_rules() {
    let pods = ["containers: [{name: a}]", "containers: [{name: b}]", "containers: [{name: a}, {name: b}]"];
    let replaced = [pods[0], pods[1], pods[1]];
    let finalizers = ["[a]", "[b, a]", "[a, b]"];
    let names = ["[{name: a}]", "[{name: b}]", "[{name: a}, {name: b}]"];
    let table = [
        ("v1", "Pod", "/spec", pods),
        ("batch/v1", "CronJob", "/spec/jobTemplate/spec/template/spec", pods),
        ("batch/v1", "Job", "/spec/template/spec", pods),
        ("v1", "PodTemplate", "/template/spec", pods),
        (
            "v1",
            "Service",
            "/spec/ports",
            ["[{port: 1, name: a}]", "[{port: 1, nodePort: 5}]", "[{port: 1, name: a, nodePort: 5}]"],
        ),
        ("v1", "ServiceAccount", "/secrets", names),
        ("v1", "ServiceAccount", "/imagePullSecrets", [names[0], names[1], names[1]]),
        ("v1", "ConfigMap", "/metadata/finalizers", finalizers),
        ("apps/v1", "Deployment", "/spec/template/metadata/finalizers", finalizers),
        (
            "v1",
            "ConfigMap",
            "/metadata/ownerReferences",
            ["[{uid: x, name: a}]", "[{uid: x, name: b}]", "[{uid: x, name: b}]"],
        ),
        ("policy/v1", "PodDisruptionBudget", "/spec/selector", ["a: 1", "b: 2", "b: 2"]),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
            "/webhooks",
            [
                "[{name: a, matchConditions: [{name: x}]}]",
                "[{name: a, matchConditions: [{name: y}]}]",
                "[{name: a, matchConditions: [{name: x}, {name: y}]}]",
            ],
        ),
        ("v1", "Node", "/spec/podCIDRs", ["[a]", "[b]", "[a, b]"]),
        // The kinds of others have no such rules, whatever they are called.
        ("example.com/v1", "Deployment", "/spec/template/spec", replaced),
        ("example.com/v1", "Thing", "/metadata/finalizers", ["[a]", "[b]", "[b]"]),
        (
            "gateway.networking.k8s.io/v1",
            "Service",
            "/spec/ports",
            ["[{port: 1}]", "[{port: 2}]", "[{port: 2}]"],
        ),
    ];
    for (api_version, kind, place, values) in table {
        let steps = || place[1..].rsplit('/');
        let [before, patch, after] =
            values.map(|value| steps().fold(data(value), |value, step| json!({ (step): value })));
        let [before, after] = [before, after].map(|mut object| {
            object["apiVersion"] = json!(api_version);
            object["kind"] = json!(kind);
            object
        });
        assert_eq!(strategic_merge(&before, &patch), Ok(after), "{api_version} {kind} {place}");
    }
}

#[test]
fn what_would_be_a_guess_is_refused() {
    let table = [
        ("{}", "containers: [{image: x}]", "has no name"),
        ("{}", "containers: [x]", "has no name"),
        ("{}", "containers: [{name: {a: 1}}]", "has no name"),
        ("{}", "containers: [{name: a}, {name: a}]", "twice"),
        ("containers: [{name: a}, {name: a}]", "containers: [{name: a, image: x}]", "several times"),
        ("{}", "containers: [{name: a, $patch: replace}]", "for the whole list"),
        ("{}", "$patch: destroy", "merge, replace or delete"),
        ("{}", "$patch: 1", "merge, replace or delete"),
        ("{}", "tolerations: [{$patch: replace}]", "has no meaning"),
        ("{}", "tolerations: [{a: [{$patch: delete}]}]", "has no meaning"),
        ("{}", "$setElementOrder/containers: [{name: a}]", "keep their places"),
        ("{}", "$deleteFromPrimitiveList/x: a", "no list of scalars"),
        ("{}", "$deleteFromPrimitiveList/x: [{}]", "no list of scalars"),
        ("{}", "$retainKeys: [a, 1]", "no list of names"),
        ("{}", "{$retainKeys: [a], b: 1}", "does not have \"b\""),
    ];
    for (pod, patch, words) in table {
        let refused = below_pod(pod, patch).expect_err(words);
        assert!(refused.contains(words) && refused.contains("/spec/template/spec"), "{patch}: {refused}");
    }
    for (patch, words) in [("$patch: delete", "of its own"), ("[]", "is an object"), ("1", "is an object")] {
        let refused = strategic_merge(&json!({}), &data(patch)).expect_err(words).to_string();
        assert!(refused.contains(words), "{patch}: {refused}");
    }
}
