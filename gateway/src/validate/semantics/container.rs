//! Containers of a pod: names, ports, environment, mounts, what they may do.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Node;
use super::pod::{ID_MAX, profiles};
use super::{Found, names, probe, quantity};

/// The largest port.
pub(super) const PORT_MAX: i64 = 65_535;

/// `volumes` says of each volume whether it is a claim.
pub(super) fn check(kind: &str, spec: &Node<'_>, volumes: &BTreeMap<String, bool>, found: &mut Found) {
    let containers = spec.items("containers");
    if containers.is_empty() && spec.has("containers") {
        found.at(spec, "has no containers");
    }
    let init = spec.items("initContainers");
    let all: Vec<Node<'_>> =
        init.iter().chain(&containers).chain(&spec.items("ephemeralContainers")).cloned().collect();
    found.unique(&all, "name", |container| container.text_of("name").map(str::to_owned));
    for container in &all {
        one(container, volumes, found);
    }
    for container in &init {
        init_container(container, found);
    }
    for container in containers.iter().filter(|container| container.has("restartPolicy")) {
        let allowed: &[&str] = if kind == "Pod" || kind == "Job" || kind == "CronJob" {
            &["Always", "OnFailure", "Never"]
        } else {
            &["Always"]
        };
        found.one_of(container, "restartPolicy", allowed);
    }
    let shared = spec.is("hostNetwork", true);
    host_ports(&all, shared, found);
}

fn one(container: &Node<'_>, volumes: &BTreeMap<String, bool>, found: &mut Found) {
    found.form(container.get("name").as_ref(), names::label);
    found.required(container, "image");
    if let Some((image, text)) = container.get("image").and_then(|image| Some((image.clone(), image.text()?)))
        && text.trim() != text
    {
        found.at(&image, "begins or ends with white space");
    }
    found.one_of(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"]);
    found.one_of(container, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"]);
    quantity::resources(container, found);
    ports(container, found);
    environment(container, found);
    mounts(container, volumes, found);
    probe::check(container, found);
    security(container, found);
}

/// One that has `restartPolicy: Always` goes on beside the others, and may have what they have.
fn init_container(container: &Node<'_>, found: &mut Found) {
    if container.text_of("restartPolicy") == Some("Always") {
        return;
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
        if let Some(field) = container.get(field) {
            found.at(&field, "is not for a container that ends before the others begin");
        }
    }
}

fn ports(container: &Node<'_>, found: &mut Found) {
    let ports = container.items("ports");
    for port in &ports {
        found.within(port, "containerPort", 1, PORT_MAX);
        found.within(port, "hostPort", 0, PORT_MAX);
        found.one_of(port, "protocol", &["TCP", "UDP", "SCTP"]);
        found.form(port.get("name").filter(|name| name.text() != Some("")).as_ref(), names::port);
        found.form(port.get("hostIP").filter(|ip| ip.text() != Some("")).as_ref(), names::address);
    }
    found.unique(&ports, "name", |port| {
        port.text_of("name").filter(|name| !name.is_empty()).map(str::to_owned)
    });
    // An API server stores it, and refuses it from who applies it.
    found.unique(&ports, "containerPort and protocol", |port| {
        Some(format!("{} {}", port.number_of("containerPort")?, port.text_of("protocol").unwrap_or("TCP")))
    });
}

fn host_ports(containers: &[Node<'_>], shared: bool, found: &mut Found) {
    let ports: Vec<Node<'_>> = containers.iter().flat_map(|container| container.items("ports")).collect();
    let ports: Vec<Node<'_>> =
        ports.into_iter().filter(|port| port.number_of("hostPort").is_some_and(|port| port > 0)).collect();
    found.unique(&ports, "hostPort", |port| {
        let address = port.text_of("hostIP").unwrap_or_default();
        Some(format!(
            "{} {address} {}",
            port.text_of("protocol").unwrap_or("TCP"),
            port.number_of("hostPort")?
        ))
    });
    for port in ports.iter().filter(|_| shared) {
        if port.number_of("hostPort") != port.number_of("containerPort") {
            found.at(
                port,
                "has a hostPort that is not its containerPort, although the pod has the host's network",
            );
        }
    }
}

fn environment(container: &Node<'_>, found: &mut Found) {
    let variables = container.items("env");
    for variable in &variables {
        found.form(variable.get("name").as_ref(), names::env);
        let Some(from) = variable.get("valueFrom") else { continue };
        if variable.text_of("value").is_some_and(|value| !value.is_empty()) {
            found.at(variable, "has both value and valueFrom");
        }
        if from.fields().len() != 1 {
            found.at(&from, format!("has {} sources, and exactly one is needed", from.fields().len()));
        }
        for reference in ["configMapKeyRef", "secretKeyRef"].iter().filter_map(|field| from.get(field)) {
            found.required(&reference, "key");
            found.form(reference.get("key").as_ref(), names::config_key);
        }
        if let Some(field) = from.get("fieldRef") {
            found.required(&field, "fieldPath");
        }
    }
    // An API server stores it, and refuses it from who applies it.
    found.unique(&variables, "name", |variable| variable.text_of("name").map(str::to_owned));
    for source in container.items("envFrom") {
        let sources = ["configMapRef", "secretRef"].iter().filter(|field| source.has(field)).count();
        if sources != 1 {
            found.at(&source, format!("has {sources} sources, and exactly one is needed"));
        }
    }
}

fn mounts(container: &Node<'_>, volumes: &BTreeMap<String, bool>, found: &mut Found) {
    let mounts = container.items("volumeMounts");
    for mount in &mounts {
        let name = mount.text_of("name").unwrap_or_default();
        if !volumes.contains_key(name) {
            found.at(mount, format!("mounts the volume {name:?}, which the pod does not have"));
        }
        found.required(mount, "mountPath");
        if mount.text_of("subPath").is_some_and(|path| !path.is_empty())
            && mount.text_of("subPathExpr").is_some_and(|path| !path.is_empty())
        {
            found.at(mount, "has both subPath and subPathExpr");
        }
        for path in ["subPath", "subPathExpr"] {
            found.form(mount.get(path).as_ref(), names::relative_path);
        }
        found.one_of(mount, "mountPropagation", &["None", "HostToContainer", "Bidirectional"]);
        let privileged =
            container.at(&["securityContext"]).is_some_and(|security| security.is("privileged", true));
        if mount.text_of("mountPropagation") == Some("Bidirectional") && !privileged {
            found.at(
                mount,
                "has the mountPropagation Bidirectional, which only a privileged container may have",
            );
        }
    }
    found.unique(&mounts, "mountPath", |mount| mount.text_of("mountPath").map(str::to_owned));
    let paths: BTreeSet<&str> = mounts.iter().filter_map(|mount| mount.text_of("mountPath")).collect();
    let devices = container.items("volumeDevices");
    for device in &devices {
        let name = device.text_of("name").unwrap_or_default();
        match volumes.get(name) {
            Some(true) => {}
            Some(false) => found.at(device, format!("uses the volume {name:?}, which is no claim")),
            None => found.at(device, format!("uses the volume {name:?}, which the pod does not have")),
        }
        if device.text_of("devicePath").is_some_and(|path| paths.contains(path)) {
            found.at(device, "has a devicePath where a volume is mounted");
        }
    }
    found.unique(&devices, "devicePath", |device| device.text_of("devicePath").map(str::to_owned));
}

fn security(container: &Node<'_>, found: &mut Found) {
    let Some(security) = container.get("securityContext") else { return };
    for id in ["runAsUser", "runAsGroup"] {
        found.within(&security, id, 0, ID_MAX);
    }
    found.one_of(&security, "procMount", &["Default", "Unmasked"]);
    if security.is("allowPrivilegeEscalation", false) {
        if security.is("privileged", true) {
            found.at(&security, "is privileged, and does not allow privilege escalation");
        }
        let added = security.get("capabilities").map(|all| all.items("add")).unwrap_or_default();
        if added.iter().any(|one| matches!(one.text(), Some("SYS_ADMIN" | "CAP_SYS_ADMIN"))) {
            found.at(&security, "adds the capability SYS_ADMIN, and does not allow privilege escalation");
        }
    }
    profiles(&security, found);
}
