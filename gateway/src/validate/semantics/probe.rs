//! Probes and hooks of a container: one handler each, and numbers that make sense.

use super::Found;
use super::container::PORT_MAX;
use super::names;
use super::node::Node;

pub(super) fn check(container: &Node<'_>, found: &mut Found) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get(name) else { continue };
        handler(&probe, &["exec", "httpGet", "tcpSocket", "grpc"], found);
        found.not_negative(
            &probe,
            &[
                "initialDelaySeconds",
                "timeoutSeconds",
                "periodSeconds",
                "successThreshold",
                "failureThreshold",
            ],
        );
        if name != "readinessProbe" {
            // 0 becomes 1.
            found.within(&probe, "successThreshold", i64::MIN, 1);
        }
        if let Some(period) = probe.get("terminationGracePeriodSeconds") {
            if name == "readinessProbe" {
                found.at(&period, "is not for a readinessProbe");
            }
            found.within(&probe, "terminationGracePeriodSeconds", 1, i64::MAX);
        }
    }
    for name in ["postStart", "preStop"] {
        if let Some(hook) = container.at(&["lifecycle", name]) {
            handler(&hook, &["exec", "httpGet", "tcpSocket", "sleep"], found);
            if let Some(sleep) = hook.get("sleep") {
                found.not_negative(&sleep, &["seconds"]);
            }
        }
    }
}

fn handler(node: &Node<'_>, kinds: &[&str], found: &mut Found) {
    let handlers: Vec<&str> = kinds.iter().copied().filter(|kind| node.has(kind)).collect();
    match handlers.as_slice() {
        [] => found.at(node, format!("has no handler: one of {}", kinds.join(", "))),
        [_] => {}
        several => found.at(node, format!("has several handlers: {}", several.join(", "))),
    }
    if let Some(exec) = node.get("exec")
        && exec.items("command").is_empty()
    {
        found.at(&exec, "has no command");
    }
    for handler in ["httpGet", "tcpSocket", "grpc"].iter().filter_map(|kind| node.get(kind)) {
        if let Some(port) = handler.get("port") {
            self::port(&port, found);
        }
    }
    if let Some(get) = node.get("httpGet") {
        found.one_of(&get, "scheme", &["HTTP", "HTTPS"]);
    }
}

/// A number, or the name of a container's port.
pub(super) fn port(port: &Node<'_>, found: &mut Found) {
    match port.number() {
        Some(number) if !(1..=PORT_MAX).contains(&number) => {
            found.at(port, format!("is {number}, which is no port: 1 to {PORT_MAX}"));
        }
        Some(_) => {}
        None => found.form(Some(port), names::port),
    }
}
