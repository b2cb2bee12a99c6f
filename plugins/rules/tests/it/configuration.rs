//! Wrong configurations are refused when the plugin is loaded: by the schema, or by the plugin.

use riposte_sdk::testing;
use rules::rules;
use serde_json::{Value, json};

use super::{with_rule, with_rules};

#[test]
fn what_cannot_be_right_is_refused_with_the_name_of_the_rule() {
    let table = [
        ("{ rule: { regex: '(' } }", "match.rule: the regex \"(\" is wrong: "),
        ("{ rule: { regex: '(?=a)' } }", "write a \\ before a character that stands for itself"),
        ("{ rule: { regex: '(a{900}){900}' } }", "the regex"),
        ("{ namespace: { glob: 'shop-[ab]' } }", "match.namespace: the glob \"shop-[ab]\" is wrong: "),
        ("{ fields: { proc.name: { glob: '{a,b}' } } }", "match.fields.proc.name: the glob"),
        ("{ tag: [a, { glob: '[' }] }", "match.tag: the glob \"[\""),
        ("{ tag: { oneOf: [{ glob: '[' }] } }", "match.tag: the glob \"[\""),
        ("{ tag: {} }", "match.tag: give one of exact, prefix, suffix, glob, regex, oneOf"),
        ("{ tag: [] }", "match.tag: the list is empty"),
        ("{ tag: { oneOf: [] } }", "match.tag: the list is empty"),
        ("{ priority: {} }", "match.priority: give atLeast, atMost or both"),
        (
            "{ priority: { atLeast: Error, atMost: Notice } }",
            "at least Error and at most Notice; exchange them",
        ),
        ("{}", "match is empty; to match every alert, write `rule: { glob: \"*\" }`"),
        ("{ fields: {} }", "match is empty"),
        ("{ any: [] }", "match.any: the list is empty"),
        ("{ all: [{ tag: x }, {}] }", "match.all[1] is empty"),
        ("{ any: [{ not: { tag: { glob: '[' } } }] }", "match.any[0].not.tag: the glob"),
    ];
    for (when, expected) in table {
        let refused = with_rule(when, "ignore").validate().expect_err(when);
        assert!(refused.starts_with("rule \"it\": ") && refused.contains(expected), "{when}: {refused}");
    }
    let labels = with_rule("{ tag: x }", "{ quarantine: { labels: { a: b c } } }").validate();
    assert!(labels.is_err_and(|said| said.starts_with("rule \"it\": label \"a\" has the value \"b c\"")));
    let range = with_rule("{ tag: x }", "{ isolate: { allowCidrs: [all] } }").validate();
    assert!(range.is_err_and(|said| said.starts_with("rule \"it\": allowCidrs: \"all\" is no range")));
    let twice =
        "[{ name: a, match: { tag: x }, action: ignore }, { name: a, match: { tag: y }, action: ignore }]";
    let refused = with_rules(twice).validate();
    assert_eq!(refused, Err("two rules are named \"a\": give one of them another name".to_owned()));
}

/// A rule, and what the schema and the plugin each say of it.
const SLIPS: [(&str, &str, &str); 18] = [
    ("{ name: a, match: { tag: x } }", "\"action\" is a required property", "missing field `action`"),
    ("{ name: a, action: ignore }", "\"match\" is a required property", "missing field `match`"),
    ("{ name: a, match: null, action: ignore }", "null is not of type", "invalid type: null"),
    ("{ name: a, match: { tag: null, rule: x }, action: ignore }", "null is not of", "null is no text"),
    (
        "{ name: a, match: { tag: { prefix: null, suffix: x } }, action: ignore }",
        "null is not of",
        "invalid type: null",
    ),
    (
        "{ name: a, match: { priority: null, rule: x }, action: ignore }",
        "null is not of",
        "invalid type: null",
    ),
    ("{ name: a, match: { tags: x }, action: ignore }", "'tags' was unexpected", "unknown field `tags`"),
    ("{ name: a, match: { tag: { prefx: x } }, action: ignore }", "'prefx' was", "unknown field `prefx`"),
    ("{ name: a, match: { tag: x }, action: ignore, on: x }", "'on' was unexpected", "unknown field `on`"),
    (
        "{ name: a, match: { priority: Error }, action: ignore }",
        "is not of type \"object\"",
        "invalid type: string",
    ),
    (
        "{ name: a, match: { priority: { atLeast: error } }, action: ignore }",
        "\"error\" is not",
        "variant `error`",
    ),
    ("{ name: a, match: { tag: [{ a: b }] }, action: ignore }", "'a' was unexpected", "unknown field `a`"),
    ("{ name: a, match: { tag: { exact: [a] } }, action: ignore }", "is not of types", "[\"a\"] is no text"),
    (
        "{ name: a, match: { tag: x }, action: suspnd }",
        "does not match \"^(scale",
        "unknown variant `suspnd`",
    ),
    (
        "{ name: a, match: { tag: x }, action: { suspend: { at: 1 } } }",
        "'at' was unexpected",
        "unknown field `at`",
    ),
    ("{ name: a, match: { tag: x }, action: { quarantine: { label: {} } } }", "'label' was", "field `label`"),
    (
        "{ name: a, match: { tag: x }, action: { isolate: { allowDNS: true } } }",
        "'allowDNS' was",
        "field `allowDNS`",
    ),
    (
        "{ name: a, match: { tag: x }, action: ignore, continue: 1 }",
        "1 is not of type",
        "invalid type: integer",
    ),
];

#[test]
fn slips_are_found_by_the_schema_and_by_the_plugin() {
    let schema = jsonschema::validator_for(&testing::schema::<rules>()).expect("a schema");
    for (rule, by_schema, by_plugin) in SLIPS {
        let config: Value = serde_yaml::from_str(&format!("{{ rules: [{rule}] }}")).expect("YAML");
        let said: Vec<String> = schema.iter_errors(&config).map(|error| error.to_string()).collect();
        assert!(said.iter().any(|said| said.contains(by_schema)), "{rule}: {said:?}");
        let refused = testing::plugin::<rules>().config(config).validate().expect_err(rule);
        assert!(refused.starts_with("rule \"a\": ") && refused.contains(by_plugin), "{rule}: {refused}");
    }
    let refused =
        with_rules("[{ name: a, match: { tag: x }, action: ignore }, { match: { tag: x } }]").validate();
    assert!(refused.is_err_and(|said| said.starts_with("rules[1]: missing field `name`")));
    for config in [json!({}), json!({ "rules": [] }), json!({ "rules": [], "rulez": [] })] {
        assert!(!schema.is_valid(&config), "{config}");
    }
}

#[test]
fn the_schema_explains_what_it_wants() {
    let schema = testing::schema::<rules>();
    assert_eq!(schema["properties"]["rules"]["minItems"], 1);
    let keys = schema["$defs"]["Match"]["properties"].as_object().expect("keys");
    for (key, value) in keys {
        assert!(value["description"].is_string(), "{key} has no description: {value}");
    }
    assert_eq!(keys.len(), 12);
    // One schema, no alternatives: else an error could not say what is wrong.
    assert!(schema["$defs"]["Text"]["anyOf"].is_null() && schema["$defs"]["Text"]["oneOf"].is_null());
}
