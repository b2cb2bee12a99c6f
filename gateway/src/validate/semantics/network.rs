//! NetworkPolicies and Ingresses.

use super::container::PORT_MAX;
use super::names::Block;
use super::node::Node;
use super::{Found, names, probe, selector};

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    let Some(spec) = object.get("spec") else { return };
    match kind {
        "NetworkPolicy" => policy(&spec, found),
        "Ingress" => ingress(&spec, found),
        _ => {}
    }
}

fn policy(spec: &Node<'_>, found: &mut Found) {
    selector::check(spec, "podSelector", found);
    let types = spec.items("policyTypes");
    for of_type in &types {
        if !matches!(of_type.text(), Some("Ingress" | "Egress")) {
            found.at(of_type, format!("is {}, which is neither Ingress nor Egress", of_type.value()));
        }
    }
    if types.len() > 2 {
        found.at(spec, "has more than two policyTypes");
    }
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.items(rules) {
            rule.items("ports").iter().for_each(|port| policy_port(port, found));
            rule.items(peers).iter().for_each(|peer| self::peer(peer, found));
        }
    }
}

fn policy_port(port: &Node<'_>, found: &mut Found) {
    found.one_of(port, "protocol", &["TCP", "UDP", "SCTP"]);
    if let Some(number) = port.get("port") {
        probe::port(&number, found);
    }
    let Some(end) = port.get("endPort") else { return };
    match port.number_of("port") {
        None => found.at(&end, "needs a port that is a number"),
        Some(first) if end.number().is_some_and(|end| end < first) => found.at(&end, "is less than port"),
        Some(_) => found.within(port, "endPort", 1, PORT_MAX),
    }
}

fn peer(peer: &Node<'_>, found: &mut Found) {
    selector::check(peer, "podSelector", found);
    selector::check(peer, "namespaceSelector", found);
    let selects = peer.has("podSelector") || peer.has("namespaceSelector");
    match peer.get("ipBlock") {
        None if !selects => found.at(peer, "is nobody: it has no podSelector, namespaceSelector or ipBlock"),
        None => {}
        Some(block) => {
            if selects {
                found.at(peer, "has an ipBlock, beside which there can be no selector");
            }
            self::block(&block, found);
        }
    }
}

fn block(block: &Node<'_>, found: &mut Found) {
    found.form(block.get("cidr").as_ref(), names::cidr);
    let whole = block.text_of("cidr").and_then(Block::parse);
    for except in block.items("except") {
        match (whole, except.text().and_then(Block::parse)) {
            (_, None) => found.form(Some(&except), names::cidr),
            (Some(whole), Some(part)) if !whole.has_inside(part) => {
                found.at(&except, "is not a smaller part of the block that it is taken out of");
            }
            _ => {}
        }
    }
}

fn ingress(spec: &Node<'_>, found: &mut Found) {
    if !spec.has("defaultBackend") && spec.items("rules").is_empty() {
        found.at(spec, "has neither a defaultBackend nor rules");
    }
    found.form(spec.get("ingressClassName").as_ref(), names::subdomain);
    if let Some(default) = spec.get("defaultBackend") {
        backend(&default, found);
    }
    for tls in spec.items("tls") {
        tls.items("hosts").iter().for_each(|host| found.form(Some(host), self::host));
    }
    for rule in spec.items("rules") {
        found.form(rule.get("host").filter(|host| host.text() != Some("")).as_ref(), self::host);
        let Some(http) = rule.get("http") else { continue };
        let paths = http.items("paths");
        if paths.is_empty() {
            found.at(&http, "has no paths");
        }
        for path in paths {
            ingress_path(&path, found);
            if let Some(backend) = path.get("backend") {
                self::backend(&backend, found);
            }
        }
    }
}

/// A DNS name, perhaps with `*` as its first label; no address.
fn host(text: &str) -> Option<String> {
    if names::address(text).is_none() {
        return Some("which is an address, and has to be a DNS name".to_owned());
    }
    match text.strip_prefix("*.") {
        Some(rest) => names::subdomain(rest),
        None => names::subdomain(text),
    }
}

fn ingress_path(node: &Node<'_>, found: &mut Found) {
    found.one_of(node, "pathType", &["Exact", "Prefix", "ImplementationSpecific"]);
    let path = node.text_of("path").unwrap_or_default();
    let exact = matches!(node.text_of("pathType"), Some("Exact" | "Prefix"));
    if (exact || !path.is_empty()) && !path.starts_with('/') {
        found.at(node, format!("has the path {path:?}, which does not begin with '/'"));
    }
    let odd = ["//", "/./", "/../", "%2f", "%2F"].into_iter().find(|odd| path.contains(odd));
    let end = ["/..", "/."].into_iter().find(|end| path.ends_with(end));
    if let Some(odd) = odd.or(end).filter(|_| exact) {
        found.at(node, format!("has a path with {odd:?} in it"));
    }
}

fn backend(backend: &Node<'_>, found: &mut Found) {
    let (service, resource) = (backend.get("service"), backend.get("resource"));
    match (&service, resource) {
        (Some(_), Some(_)) => found.at(backend, "has both a service and a resource"),
        (None, None) => found.at(backend, "has neither a service nor a resource"),
        _ => {}
    }
    let Some(service) = service else { return };
    found.required(&service, "name");
    found.form(service.get("name").as_ref(), names::label_1035);
    match service.get("port") {
        None => found.at(&service, "has no port"),
        Some(port) => {
            let named = port.text_of("name").is_some_and(|name| !name.is_empty());
            let numbered = port.number_of("number").is_some_and(|number| number != 0);
            if named == numbered {
                found.at(&port, "needs either a name or a number");
            }
            found.form(port.get("name").filter(|_| named).as_ref(), names::port);
            if numbered {
                found.within(&port, "number", 1, PORT_MAX);
            }
        }
    }
}
