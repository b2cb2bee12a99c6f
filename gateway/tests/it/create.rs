//! New objects: where their files go, what lists them, and what is refused.

use riposte::model::plugin::Grants;
use riposte::validate::{Refusals, Validated};
use serde_json::{Value, json};

use crate::harness::fleet::deployment;
use crate::harness::proposal::{check, creation, deployment_in, web};
use crate::harness::sandbox::snapshot_of as snapshot;

fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "podSelector": { "matchLabels": { "app": "web" } }, "policyTypes": ["Ingress", "Egress"] },
    })
}

fn grants(create: bool) -> Grants {
    let any = vec!["*".to_owned()];
    Grants {
        kinds: vec!["NetworkPolicy".to_owned(), "Deployment".to_owned()],
        namespaces: any,
        create,
        ..Grants::default()
    }
}

fn files(result: Result<Validated, Refusals>) -> Vec<(String, String)> {
    match result {
        Ok(Validated::Change(change)) => {
            change.files().iter().map(|file| (file.path.clone(), file.content.clone().unwrap())).collect()
        }
        other => panic!("{other:?}"),
    }
}

const WRITTEN: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: isolate-web\n  namespace: default\n\
spec:\n  podSelector:\n    matchLabels:\n      app: web\n  policyTypes:\n    - Ingress\n    - Egress\n";

#[tokio::test]
async fn a_new_object_stands_beside_its_neighbour_and_is_listed_where_that_one_is() {
    let text = deployment("web");
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, Option<(&'a str, &'a str)>);
    let table: [Row<'_>; 5] = [
        (&[("web.yaml", &text)], "networkpolicy-isolate-web.yaml", None),
        (
            &[
                ("apps/web.yaml", &text),
                ("apps/kustomization.yaml", "# ours\nresources:\n  - web.yaml # the shop\n"),
            ],
            "apps/networkpolicy-isolate-web.yaml",
            Some((
                "apps/kustomization.yaml",
                "# ours\nresources:\n  - web.yaml # the shop\n  - networkpolicy-isolate-web.yaml\n",
            )),
        ),
        (
            &[
                ("apps/web/web.yaml", &text),
                ("apps/kustomization.yaml", "resources:\n- web/web.yaml\n- web/x.yaml\nnamespace: default\n"),
            ],
            "apps/web/networkpolicy-isolate-web.yaml",
            Some((
                "apps/kustomization.yaml",
                "resources:\n- web/web.yaml\n- web/x.yaml\n- web/networkpolicy-isolate-web.yaml\nnamespace: default\n",
            )),
        ),
        (
            &[("base/web.yaml", &text), ("over/eu/kustomization.yaml", "resources: [../../base/web.yaml]\n")],
            "base/networkpolicy-isolate-web.yaml",
            Some((
                "over/eu/kustomization.yaml",
                "resources: [../../base/web.yaml, \"../../base/networkpolicy-isolate-web.yaml\"]\n",
            )),
        ),
        (
            &[("apps/many.yaml", &format!("{text}---\n{}", deployment("other")))],
            "apps/networkpolicy-isolate-web.yaml",
            None,
        ),
    ];
    for (before, path, listed) in table {
        let snapshot = snapshot(before).await;
        let found = files(check(&snapshot, &grants(true), vec![creation(policy("isolate-web"), web())]));
        let mut expected = vec![(path.to_owned(), WRITTEN.to_owned())];
        expected.extend(listed.map(|(path, text)| (path.to_owned(), text.to_owned())));
        expected.sort();
        assert_eq!(found, expected, "{before:?}");
    }
}

#[tokio::test]
async fn what_is_there_already_is_left_alone_or_refused() {
    let text = deployment("web");
    let there = snapshot(&[("web.yaml", &text), ("policies/any.yaml", WRITTEN)]).await;
    let same = check(&there, &grants(true), vec![creation(policy("isolate-web"), web())]);
    assert!(matches!(same, Ok(Validated::Unchanged)), "{same:?}");
    let moved = WRITTEN.replace("  namespace: default\n", "");
    let kustomized = snapshot(&[
        ("a/web.yaml", &text),
        ("a/p.yaml", &moved),
        ("a/kustomization.yaml", "namespace: default\nresources: [web.yaml, p.yaml]\n"),
    ])
    .await;
    let same = check(&kustomized, &grants(true), vec![creation(policy("isolate-web"), web())]);
    assert!(matches!(same, Ok(Validated::Unchanged)), "{same:?}");
    let mut other = policy("isolate-web");
    other["spec"]["policyTypes"] = json!(["Ingress"]);
    let refused = check(&there, &grants(true), vec![creation(other, web())]).expect_err("it differs");
    assert!(refused.to_string().contains("an object of that name is there already"), "{refused}");
    let twice = vec![creation(policy("isolate-web"), web()), creation(policy("isolate-web"), web())];
    let without = snapshot(&[("web.yaml", &text)]).await;
    assert_eq!(files(check(&without, &grants(true), twice)).len(), 1);
}

#[tokio::test]
async fn what_may_not_be_made_is_refused_with_every_reason() {
    let text = deployment("web");
    let system = text.replace("  name: web # by hand\n", "  name: dns\n  namespace: kube-system\n");
    let snapshot = snapshot(&[
        ("apps/web.yaml", &text),
        ("apps/networkpolicy-taken.yaml", "a: 1\n"),
        ("dns.yaml", &system),
        ("both/shared.yaml", &deployment("shared")),
        ("one/kustomization.yaml", "resources: [../both/shared.yaml]\n"),
        ("two/kustomization.yaml", "resources: [../both/shared.yaml]\n"),
    ])
    .await;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut manifest = policy("isolate-web");
        change(&mut manifest);
        manifest
    };
    let dns = deployment_in("kube-system", "dns");
    let in_system = with(&|manifest| manifest["metadata"]["namespace"] = json!("kube-system"));
    let mut renamed = creation(policy("isolate-web"), web());
    renamed.target.name = "another".to_owned();
    let table = [
        ("a protected namespace", creation(in_system.clone(), dns), vec!["protected"]),
        ("another namespace", creation(in_system, web()), vec!["protected", "create"]),
        ("another name", renamed, vec!["create"]),
        (
            "no schema",
            creation(with(&|manifest| manifest["spec"]["podSelektor"] = json!({})), web()),
            vec!["schema"],
        ),
        (
            "no such kind",
            creation(with(&|manifest| manifest["kind"] = json!("Secret")), web()),
            vec!["grant-kind", "schema"],
        ),
        ("nobody beside", creation(policy("x"), deployment_in("default", "nobody")), vec!["unknown-object"]),
        ("a file that is there", creation(policy("taken"), web()), vec!["create"]),
        ("a way out", creation(policy("../../x"), web()), vec!["semantics"]),
        ("two kustomizations", creation(policy("x"), deployment_in("default", "shared")), vec!["create"]),
    ];
    for (name, patch, kinds) in table {
        let refused = check(&snapshot, &grants(true), vec![patch]).expect_err(name);
        let found: Vec<&str> = refused.reasons().iter().map(|refusal| refusal.kind()).collect();
        assert_eq!(found, kinds, "{name}: {refused}");
    }
    let ungranted =
        check(&snapshot, &grants(false), vec![creation(policy("x"), web())]).expect_err("no grant");
    assert_eq!(ungranted.reasons()[0].kind(), "grant-create");
}
