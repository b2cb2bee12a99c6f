// Scales the workload that owns an alert's pod to 0.
//
// The functions are those of sdk/wit/plugin.wit. Build it in this folder:
//
//     npm ci && npm run build
//     riposte plugin test
import { emit } from "riposte:plugin/log@0.1.0";
import { owner } from "riposte:plugin/desired-state@0.1.0";

const SCALABLE = ["Deployment", "StatefulSet", "ReplicaSet"];

export function describe() {
  const rules = { type: "array", items: { type: "string" }, minItems: 1 };
  const schema = { type: "object", properties: { rules }, required: ["rules"], additionalProperties: false };
  return {
    name: "scale-to-zero-js",
    version: "0.1.0",
    summary: "Scales the workload that owns an alert's pod to 0",
    eventTypes: ["falco.rule.output.v1"],
    configSchema: JSON.stringify(schema),
    // What the operator is asked to grant; where, is the operator's to say.
    grants: { kinds: ["apps/v1/Deployment"], fields: ["/spec/replicas"], create: false, delete: false },
  };
}

// The gateway holds the configuration against the schema; there is no more to check.
export function validateConfig(_config) {}

export function handle(event, config) {
  const ignore = (reason) => ({ tag: "ignore", val: reason });
  if (event.data.tag !== "json") return ignore("the event has no JSON");
  const { rule, output_fields: fields = {} } = JSON.parse(event.data.val);
  if (!JSON.parse(config).rules.includes(rule)) return ignore(`rule "${rule}" is not configured`);
  const [namespace, pod] = [fields["k8s.ns.name"], fields["k8s.pod.name"]];
  if (!namespace || !pod) return ignore("the alert names no pod");
  let target;
  try {
    target = owner(namespace, pod);
  } catch (error) {
    return ignore(`the owner of pod ${namespace}/${pod} is ${error.payload.tag}`);
  }
  if (!SCALABLE.includes(target.kind)) return ignore(`${target.kind} ${target.name} has no replicas`);
  emit("info", `pod ${pod} comes from ${target.kind} ${target.name}`);
  const change = { tag: "merge-patch", val: JSON.stringify({ spec: { replicas: 0 } }) };
  const title = `Scale ${namespace}/${target.name} to 0`;
  return { tag: "propose", val: { patches: [{ target, change }], title, reason: `"${rule}" in ${pod}` } };
}
