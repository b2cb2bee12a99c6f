//! What a rule does: one of the responses that are plugins of their own too, or nothing.

use std::borrow::Cow;

use riposte_responses::{
    Annotations, FluxObject, Labels, Marks, Open, Response, drop_token, isolate, quarantine, scale_to_zero,
    suspend_any,
};
use riposte_sdk::prelude::*;
use riposte_sdk::schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::given::Given;

/// What a rule does. In YAML a name, or a name with its options.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// The workload goes to no replicas.
    ScaleToZero {},
    /// The workload's pods get labels and annotations.
    Quarantine {
        /// Labels; at least one.
        #[serde(default)]
        labels: Labels,
        /// Annotations.
        #[serde(default)]
        annotations: Annotations,
    },
    /// A network policy cuts the workload's pods off, but for what is open.
    Isolate(Open),
    /// The CronJob or Job is suspended, or what Flux applied the pod by.
    Suspend {
        /// This object of Flux, whoever owns the pod.
        #[serde(default)]
        object: Given<FluxObject>,
        /// Where no CronJob or Job owns the pod: what Flux's labels in the alert name.
        #[serde(default)]
        flux_labels: bool,
    },
    /// The workload's pods get no service account token.
    DropToken {},
    /// Nothing, and no later rule is tried.
    Ignore {},
}

/// Reads `name` as `name: {}`.
pub(crate) fn by_name_or_with_options<'de, D: Deserializer<'de>>(from: D) -> Result<Action, D::Error> {
    let value = match Value::deserialize(from)? {
        Value::String(name) => json!({ (name): {} }),
        options => options,
    };
    serde_json::from_value(value).map_err(|error| D::Error::custom(format!("action: {error}")))
}

impl Action {
    /// Whether its options can be used.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Quarantine { labels, annotations } => labels.check().and_then(|()| annotations.check()),
            Self::Isolate(open) => open.check(),
            _ => Ok(()),
        }
    }

    /// What it does to the owner of the alert's pod.
    pub(crate) fn response(&self, facts: &Facts<'_>) -> Result<Response, Stop> {
        let (alert, context) = (facts.alert, facts.context);
        let owner = || facts.owner();
        match self {
            Self::ScaleToZero {} => scale_to_zero(&owner()?, context),
            Self::Quarantine { labels, annotations } => {
                quarantine(&owner()?, &Marks { labels, annotations, rule: alert.rule()? }, context)
            }
            Self::Isolate(open) => isolate(&owner()?, open, context),
            Self::Suspend { object, flux_labels } => {
                suspend_any(object.get(), owner, *flux_labels, alert, context)
            }
            Self::DropToken {} => drop_token(&owner()?),
            Self::Ignore {} => ignore!("its action is ignore"),
        }
    }
}

/// One schema without alternatives: what is wrong with a value is then said of that value.
impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let none = json!({ "type": "object", "maxProperties": 0 });
        let (labels, annotations) = (Labels::json_schema(generator), Annotations::json_schema(generator));
        let quarantine = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": { "labels": labels, "annotations": annotations },
        });
        let isolate = Open::json_schema(generator);
        let suspend = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "object": FluxObject::json_schema(generator),
                "fluxLabels": {
                    "description": "Where no CronJob or Job owns the pod: what Flux's labels in the alert name.",
                    "type": "boolean", "default": false,
                },
            },
        });
        json_schema!({
            "description": "What a rule does: a name, or a name with its options.",
            "type": ["string", "object"],
            "pattern": "^(scale-to-zero|quarantine|isolate|suspend|drop-token|ignore)$",
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": false,
            "properties": {
                "scale-to-zero": none,
                "quarantine": quarantine,
                "isolate": isolate,
                "suspend": suspend,
                "drop-token": none,
                "ignore": none,
            },
        })
    }
}
