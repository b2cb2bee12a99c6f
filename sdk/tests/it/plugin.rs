//! What the attribute makes, and a plugin's configuration.

use riposte_sdk::prelude::*;
use riposte_sdk::{Grants, NoConfig, Plugin, testing};
use serde::Deserialize;
use serde_json::json;

/// Which alerts count
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    /// Falco rules.
    #[schemars(length(min = 1))]
    rules: Vec<String>,
    /// How urgent an alert has to be.
    #[serde(default = "error")]
    at_least: Priority,
}

fn error() -> Priority {
    Priority::Error
}

fn no_stars(config: &Config) -> Result<(), String> {
    match config.rules.iter().find(|rule| rule.contains('*')) {
        Some(rule) => Err(format!("{rule:?} is no exact name")),
        None => Ok(()),
    }
}

/// Counts what is
/// urgent.
///
/// Nothing else.
#[plugin(
    on = ["falco.rule.output.v1", "other"],
    validate = no_stars,
    grants(kinds = ["v1/Service"], fields = ["/metadata/labels/*", "/spec/type"], create, delete)
)]
fn counted(alert: Falco, config: &Config) -> Answer {
    log::info!("at least {}", config.at_least);
    if alert.rule()? == "broken" {
        return Err(Stop::Internal("broken".to_owned()));
    }
    ignore!("{} counts", config.rules.len())
}

/// Has other names.
#[plugin(on = "any", name = "other", summary = "Does nothing")]
fn quiet(_: Event) -> Answer {
    ignore!("nothing")
}

#[test]
fn the_plugin_describes_itself() {
    assert_eq!((counted::NAME, counted::VERSION), ("riposte-sdk", env!("CARGO_PKG_VERSION")));
    assert_eq!(counted::SUMMARY, "Counts what is urgent");
    assert_eq!(counted::EVENT_TYPES, ["falco.rule.output.v1", "other"]);
    assert_eq!((quiet::NAME, quiet::SUMMARY), ("other", "Does nothing"));
    let fields = &["/metadata/labels/*", "/spec/type"];
    assert_eq!(counted::GRANTS, Grants { kinds: &["v1/Service"], fields, create: true, delete: true });
    assert_eq!(quiet::GRANTS, Grants::NONE);
    assert_eq!(
        testing::schema::<counted>(),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Config",
            "description": "Which alerts count",
            "type": "object",
            "required": ["rules"],
            "additionalProperties": false,
            "properties": {
                "rules": { "description": "Falco rules.", "type": "array", "minItems": 1, "items": { "type": "string" } },
                "atLeast": {
                    "description": "How urgent an alert has to be.",
                    "$ref": "#/$defs/Priority",
                    "default": "Error",
                },
            },
            "$defs": { "Priority": testing::schema::<counted>()["$defs"]["Priority"] },
        })
    );
    assert_eq!(testing::schema::<quiet>()["additionalProperties"], json!(false));
}

#[test]
fn the_configuration_is_checked_before_any_event() {
    let setup = |config| testing::plugin::<counted>().config(config);
    let table = [
        (json!({ "rules": ["a"] }), "info: at least Error\nignore: 1 counts"),
        (json!({ "rules": ["a", "b"], "atLeast": "Debug" }), "info: at least Debug\nignore: 2 counts"),
        (json!({ "rules": ["a*"] }), "invalid configuration: \"a*\" is no exact name"),
        (json!({}), "invalid configuration: missing field `rules`"),
        (json!({ "rules": [], "rulez": 1 }), "invalid configuration: unknown field `rulez`"),
        (json!({ "rules": [], "atLeast": "Loud" }), "invalid configuration: unknown variant `Loud`"),
    ];
    for (config, expected) in table {
        let decided = setup(config.clone()).handle(testing::falco(r#"{"rule":"a"}"#)).to_string();
        assert!(decided.starts_with(expected), "{config}: {decided}");
    }
}

#[test]
fn a_plugin_without_a_configuration_takes_an_empty_one() {
    assert_eq!(serde_json::from_str::<NoConfig>("{}").ok(), Some(NoConfig {}));
    assert_eq!(testing::plugin::<quiet>().validate(), Ok(()));
    assert!(testing::plugin::<quiet>().config(json!({ "a": 1 })).validate().is_err());
    assert_eq!(testing::plugin::<quiet>().handle(Event::default()).to_string(), "ignore: nothing");
}

#[test]
fn each_end_has_its_word_and_its_own_log() {
    let setup = testing::plugin::<counted>().config(json!({ "rules": ["a"] }));
    let table = [
        (r#"{"rule":"broken"}"#, "info: at least Error\ninternal error: broken"),
        (r#"{"rule":"a"}"#, "info: at least Error\nignore: 1 counts"),
        (r#"{"rule":null}"#, "info: at least Error\nignore: the alert has no rule: it is missing or empty"),
        ("[]", "invalid event: the data is no falco.rule.output.v1: "),
    ];
    log::error!("of no event");
    for (alert, expected) in table {
        let decided = setup.handle(testing::falco(alert)).to_string();
        assert!(decided.starts_with(expected), "{alert}: {decided}");
    }
    let decided = setup.handle(testing::falco("{}"));
    assert_eq!(decided.log, [(log::Level::Info, "at least Error".to_owned())]);
}
