//! Owners and manifests, as a plugin asks for them.

use riposte_sdk::prelude::*;
use riposte_sdk::testing::{self, Setup};

const STATE: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec: {replicas: 3}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: other}
---
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: bare, namespace: default}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: twice, namespace: default}
---
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: twice, namespace: default}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
";

/// Says who owns the pod
#[plugin(on = "falco.rule.output.v1")]
fn owner(alert: Falco, context: &Context) -> Answer {
    match context.owner(&alert) {
        Ok(owner) => ignore!("owned by {owner} of {}", owner.api_version),
        Err(none) if none.candidates().is_empty() => Err(none.into()),
        Err(none) => ignore!("{none} ({})", none.candidates().len()),
    }
}

/// Says what the desired state has
#[plugin(on = "test")]
fn look(_event: Event, context: &Context) -> Answer {
    let namespaces = context.find("Namespace", None);
    let [web] = &context.find("Deployment", "other")[..] else { return ignore!("no web") };
    let everywhere = context.find("Deployment", None).len();
    let elsewhere = ObjectRef { namespace: Some("default".to_owned()), ..web.clone() };
    let replicas: u32 = context.get(&elsewhere)?.integer_at("/spec/replicas")?;
    log::info!("{namespaces:?}");
    log::debug!("{everywhere} Deployments, {replicas} replicas");
    let none = context.get(web)?.integer_at::<u32>("/spec/replicas");
    log::warn!("{}", none.map_or_else(|missing| missing.to_string(), |count| count.to_string()));
    let gone = ObjectRef { name: "gone".to_owned(), ..elsewhere };
    Err(context.get(&gone).map_or_else(Stop::from, |_| Stop::Internal("it is there".to_owned())))
}

fn workload(kind: &str, name: &str) -> ObjectRef {
    ObjectRef::namespaced("apps/v1", kind, "default", name)
}

fn setup() -> Setup<owner> {
    testing::plugin::<owner>()
        .desired_state(STATE)
        .owner("default", "db-0", &workload("StatefulSet", "db"))
        .owner("default", "two-0", &workload("StatefulSet", "two"))
        .owner("default", "two-0", &workload("Pod", "two-0"))
}

#[test]
fn what_falco_names_comes_first_and_the_name_of_the_pod_second() {
    let table = [
        (
            r#""k8smeta.deployment.name":"web","k8s.pod.name":"db-0""#,
            "owned by Deployment default/web of apps/v1",
        ),
        (r#""k8smeta.rs.name":"bare","k8s.pod.name":"db-0""#, "owned by ReplicaSet default/bare of apps/v1"),
        (r#""k8smeta.rs.name":"db-7c","k8s.pod.name":"db-0""#, "owned by StatefulSet default/db of apps/v1"),
        (
            r#""k8smeta.deployment.name":"<NA>","k8s.pod.name":"db-0""#,
            "owned by StatefulSet default/db of apps/v1",
        ),
        (
            r#""k8smeta.deployment.name":"gone","k8s.pod.name":"db-0""#,
            "the desired state has no Deployment default/gone",
        ),
        (
            r#""k8smeta.deployment.name":"twice""#,
            "Deployment default/twice: several objects could have made the pod: \
             Deployment default/twice, Deployment default/twice (2)",
        ),
        (
            r#""k8s.pod.name":"two-0""#,
            "pod default/two-0: several objects could have made the pod: \
             StatefulSet default/two, Pod default/two-0 (2)",
        ),
        (
            r#""k8s.pod.name":"none""#,
            "pod default/none: the desired state has no object that makes such a pod",
        ),
        (r#""x":1"#, "the alert names no pod: output field k8s.pod.name is missing or <NA>"),
    ];
    for (fields, expected) in table {
        let alert = format!(r#"{{"output_fields":{{"k8s.ns.name":"default",{fields}}}}}"#);
        let decided = setup().handle(testing::falco(&alert));
        assert_eq!(decided.to_string(), format!("ignore: {expected}"), "{fields}");
    }
}

#[test]
fn manifests_are_found_by_kind_and_by_name() {
    let setup = testing::plugin::<look>().desired_state(STATE);
    let expected = r#"info: [ObjectRef { api_version: "v1", kind: "Namespace", namespace: None, name: "default" }]
debug: 4 Deployments, 3 replicas
warn: /spec/replicas is missing or empty
ignore: the desired state has no Deployment default/gone"#;
    for _ in 0..2 {
        assert_eq!(setup.handle(testing::event("test", "{}")).to_string(), expected);
    }
}

#[test]
#[should_panic(expected = "the desired state has Namespace default twice")]
fn a_test_that_has_an_object_twice_is_wrong() {
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: default}}";
    drop(testing::plugin::<look>().desired_state(namespace).desired_state(namespace));
}
