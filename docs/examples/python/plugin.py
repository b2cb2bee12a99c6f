"""Restarts the workload that owns an alert's pod: all of its pods are made anew.

The functions are those of sdk/wit/plugin.wit. The annotation is the one of `kubectl rollout restart`,
and its time is the event's: a plugin has no other clock. Build it in this folder:

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/componentize-py -d ../../../sdk/wit -w plugin componentize --stub-wasi plugin -o plugin.wasm
    riposte plugin test
"""

import json

from componentize_py_types import Err
from wit_world.imports import desired_state, log, types

RESTARTED = "kubectl.kubernetes.io/restartedAt"
KINDS = ("Deployment", "StatefulSet", "DaemonSet")


class WitWorld:
    def describe(self) -> types.Description:
        rules = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        schema = {"type": "object", "properties": {"rules": rules}, "required": ["rules"]}
        schema["additionalProperties"] = False
        summary = "Restarts the workload that owns an alert's pod"
        # What the operator is asked to grant; where, is the operator's to say.
        annotation = "/spec/template/metadata/annotations/" + RESTARTED.replace("/", "~1")
        grants = types.RequestedGrants(["apps/v1/Deployment"], [annotation], False, False)
        events = ["falco.rule.output.v1"]
        return types.Description("restart-py", "0.1.0", summary, events, json.dumps(schema), grants)

    def validate_config(self, config: str) -> None:
        """The gateway holds the configuration against the schema; there is no more to check."""

    def handle(self, event: types.Event, config: str) -> types.Decision:
        if not isinstance(event.data, types.Payload_Json) or event.time is None:
            return types.Decision_Ignore("the event has no JSON or no time")
        alert = json.loads(event.data.value)
        rule, fields = alert["rule"], alert.get("output_fields", {})
        if rule not in json.loads(config)["rules"]:
            return types.Decision_Ignore(f'rule "{rule}" is not configured')
        namespace, pod = fields.get("k8s.ns.name"), fields.get("k8s.pod.name")
        if not namespace or not pod:
            return types.Decision_Ignore("the alert names no pod")
        try:
            target = desired_state.owner(namespace, pod)
        except Err as error:
            which = type(error.value).__name__.removeprefix("OwnerError_").lower()
            return types.Decision_Ignore(f"the owner of pod {namespace}/{pod} is {which}")
        if target.kind not in KINDS:
            return types.Decision_Ignore(f"{target.kind} {target.name} cannot be restarted")
        log.emit(log.Level.INFO, f"pod {pod} comes from {target.kind} {target.name}")
        template = {"metadata": {"annotations": {RESTARTED: event.time}}}
        patch = types.Patch(target, types.Change_MergePatch(json.dumps({"spec": {"template": template}})))
        title = f"Restart {namespace}/{target.name}"
        reason = f'"{rule}" in {pod}'
        return types.Decision_Propose(types.Proposal([patch], title, reason, expires_after_s=None))
