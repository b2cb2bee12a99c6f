//! Roles and what binds them.

use super::Found;
use super::node::Node;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn check(kind: &str, object: &Node<'_>, found: &mut Found) {
    match kind {
        "Role" | "ClusterRole" => {
            object.items("rules").iter().for_each(|rule| self::rule(rule, kind == "ClusterRole", found));
        }
        "RoleBinding" | "ClusterRoleBinding" => binding(kind, object, found),
        _ => {}
    }
}

fn rule(rule: &Node<'_>, of_cluster: bool, found: &mut Found) {
    if rule.items("verbs").is_empty() {
        found.at(rule, "has no verbs");
    }
    if !rule.items("nonResourceURLs").is_empty() {
        if !of_cluster {
            found.at(rule, "has nonResourceURLs, which only a ClusterRole can have");
        }
        if !rule.items("apiGroups").is_empty() || !rule.items("resources").is_empty() {
            found.at(rule, "has nonResourceURLs beside resources");
        }
        return;
    }
    for field in ["apiGroups", "resources"] {
        if rule.items(field).is_empty() {
            found.at(rule, format!("has no {field}"));
        }
    }
}

fn binding(kind: &str, object: &Node<'_>, found: &mut Found) {
    if let Some(role) = object.get("roleRef") {
        let kinds: &[&str] = if kind == "RoleBinding" { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        found.one_of(&role, "kind", kinds);
        found.one_of(&role, "apiGroup", &[GROUP]);
        found.required(&role, "name");
    }
    for subject in object.items("subjects") {
        found.required(&subject, "name");
        match subject.text_of("kind") {
            Some("ServiceAccount") => {
                found.one_of(&subject, "apiGroup", &[""]);
                let named = subject.text_of("namespace").is_some_and(|namespace| !namespace.is_empty());
                if !named && kind == "ClusterRoleBinding" {
                    found.at(&subject, "has no namespace, which a ServiceAccount needs");
                }
            }
            Some("User" | "Group") => found.one_of(&subject, "apiGroup", &[GROUP]),
            _ => found.one_of(&subject, "kind", &["User", "Group", "ServiceAccount"]),
        }
    }
}
