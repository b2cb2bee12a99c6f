//! Services.

use super::container::PORT_MAX;
use super::node::Node;
use super::{Found, metadata, names, probe};

/// The longest stickiness of a client, in seconds: a day.
const AFFINITY_S_MAX: i64 = 86_400;

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    let Some(spec) = object.get("spec").filter(|_| kind == "Service") else { return };
    let of_type = spec.text_of("type").unwrap_or("ClusterIP");
    found.one_of(&spec, "type", &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]);
    metadata::labels(&spec, "selector", found);
    addresses(&spec, of_type, found);
    ports(&spec, of_type, found);
    affinity(&spec, found);
    let outside = matches!(of_type, "NodePort" | "LoadBalancer") || !spec.items("externalIPs").is_empty();
    found.one_of(&spec, "externalTrafficPolicy", &["Cluster", "Local"]);
    found.one_of(&spec, "internalTrafficPolicy", &["Cluster", "Local"]);
    for (field, fits, needs) in [
        ("externalTrafficPolicy", outside, "the type NodePort or LoadBalancer"),
        ("loadBalancerClass", of_type == "LoadBalancer", "the type LoadBalancer"),
        ("allocateLoadBalancerNodePorts", of_type == "LoadBalancer", "the type LoadBalancer"),
        ("loadBalancerSourceRanges", of_type == "LoadBalancer", "the type LoadBalancer"),
    ] {
        if let Some(field) = spec.get(field).filter(|_| !fits) {
            found.at(&field, format!("needs {needs}"));
        }
    }
}

fn addresses(spec: &Node<'_>, of_type: &str, found: &mut Found) {
    let headless = spec.text_of("clusterIP") == Some("None");
    if headless && matches!(of_type, "NodePort" | "LoadBalancer") {
        found.at(spec, format!("has the clusterIP None, and the type {of_type}"));
    }
    let given = spec.get("clusterIP").filter(|ip| !matches!(ip.text(), Some("" | "None")));
    found.form(given.as_ref(), names::address);
    match of_type {
        "ExternalName" => {
            if spec.text_of("clusterIP").is_some_and(|ip| !ip.is_empty()) {
                found.at(spec, "has a clusterIP, and the type ExternalName");
            }
            found.required(spec, "externalName");
            let name = spec.text_of("externalName").map(|name| name.strip_suffix('.').unwrap_or(name));
            if let Some(wrong) = name.filter(|name| !name.is_empty()).and_then(names::subdomain) {
                found.at(spec, format!("has an externalName {wrong}"));
            }
        }
        _ if spec.items("ports").is_empty() && !headless => found.at(spec, "has no ports"),
        _ => {}
    }
    spec.items("externalIPs").iter().for_each(|ip| found.form(Some(ip), names::address));
    spec.items("loadBalancerSourceRanges").iter().for_each(|block| found.form(Some(block), names::cidr));
    found.one_of(spec, "ipFamilyPolicy", &["SingleStack", "PreferDualStack", "RequireDualStack"]);
    let families = spec.items("ipFamilies");
    for family in &families {
        if !matches!(family.text(), Some("IPv4" | "IPv6")) {
            found.at(family, "is neither IPv4 nor IPv6");
        }
    }
    found.unique(&families, "family", |family| family.text().map(str::to_owned));
}

fn ports(spec: &Node<'_>, of_type: &str, found: &mut Found) {
    let ports = spec.items("ports");
    for port in &ports {
        found.within(port, "port", 1, PORT_MAX);
        found.within(port, "nodePort", 0, PORT_MAX);
        found.one_of(port, "protocol", &["TCP", "UDP", "SCTP"]);
        if ports.len() > 1 {
            found.required(port, "name");
        }
        found.form(port.get("name").filter(|name| name.text() != Some("")).as_ref(), names::label);
        found.form(port.get("appProtocol").as_ref(), names::qualified);
        if let Some(target) =
            port.get("targetPort").filter(|target| target.text() != Some("") && target.number() != Some(0))
        {
            probe::port(&target, found);
        }
        if let Some(node_port) = port.get("nodePort").filter(|port| port.number() != Some(0))
            && !matches!(of_type, "NodePort" | "LoadBalancer")
        {
            found.at(&node_port, "needs the type NodePort or LoadBalancer");
        }
    }
    let protocol = |port: &Node<'_>| port.text_of("protocol").unwrap_or("TCP").to_owned();
    found.unique(&ports, "name", |port| {
        port.text_of("name").filter(|name| !name.is_empty()).map(str::to_owned)
    });
    found.unique(&ports, "port and protocol", |port| {
        Some(format!("{} {}", port.number_of("port")?, protocol(port)))
    });
    found.unique(&ports, "nodePort and protocol", |port| {
        let number = port.number_of("nodePort").filter(|number| *number > 0)?;
        Some(format!("{number} {}", protocol(port)))
    });
}

fn affinity(spec: &Node<'_>, found: &mut Found) {
    found.one_of(spec, "sessionAffinity", &["ClientIP", "None"]);
    let Some(config) = spec.get("sessionAffinityConfig") else { return };
    if spec.text_of("sessionAffinity").unwrap_or("None") == "None" {
        found.at(&config, "needs the sessionAffinity ClientIP");
    }
    if let Some(client) = config.get("clientIP") {
        found.within(&client, "timeoutSeconds", 1, AFFINITY_S_MAX);
    }
}
