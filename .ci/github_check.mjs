// Validates recorded requests: GraphQL documents and variables against GitHub's schema, REST paths
// and the fields that we read against its OpenAPI description. A broken copy of each request must
// be found wrong, or the check itself is.

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [modules, file] = process.argv.slice(2);
const require = createRequire(resolve(modules, "package.json"));
const { buildSchema, getVariableValues, parse, validate } = require("graphql");

const json = (path) => JSON.parse(readFileSync(path, "utf8"));
const packages = resolve(modules, "node_modules/@octokit");
const schema = buildSchema(readFileSync(`${packages}/graphql-schema/schema.graphql`, "utf8"), {
  // The published text defines two fields twice.
  assumeValidSDL: true,
});
const openapi = json(`${packages}/openapi/generated/api.github.com.json`);
// What the gateway reads of GET /repos/{owner}/{repo}.
const READ = ["archived", "permissions.push"];

function graphqlErrors({ query, variables }) {
  const document = parse(query);
  const errors = validate(schema, document);
  if (errors.length > 0) return errors.map((error) => error.message);
  const operation = document.definitions.find((definition) => definition.kind === "OperationDefinition");
  const coerced = getVariableValues(schema, operation.variableDefinitions, variables);
  return (coerced.errors ?? []).map((error) => error.message);
}

function deref(node) {
  while (node?.$ref) node = node.$ref.slice(2).split("/").reduce((at, key) => at[key], openapi);
  return node;
}

function restErrors({ method, path }) {
  const parts = path.split("/");
  const template = Object.keys(openapi.paths).find((candidate) => {
    const wanted = candidate.split("/");
    return wanted.length === parts.length && wanted.every((part, at) => part.startsWith("{") || part === parts[at]);
  });
  const operation = openapi.paths[template]?.[method.toLowerCase()];
  if (!operation) return [`${method} ${path} is no operation of GitHub's REST API`];
  const answer = deref(deref(operation.responses["200"]).content["application/json"].schema);
  const missing = READ.filter((field) => {
    const found = field.split(".").reduce((at, key) => deref(deref(at)?.properties?.[key]), answer);
    return found === undefined;
  });
  return missing.map((field) => `the answer to ${method} ${template} has no ${field}`);
}

const check = (request) => (request.path.endsWith("/graphql") ? graphqlErrors(request.body) : restErrors(request));

const requests = json(file);
assert(requests.length >= 2, "too few requests were recorded");
for (const request of requests) {
  assert.deepEqual(check(request), [], `${request.method} ${request.path}`);
  console.log(`ok  ${request.method} ${request.path}`);
}

const commit = requests.find((request) => request.path.endsWith("/graphql"));
const broken = (change) => {
  const copy = structuredClone(commit);
  change(copy.body);
  return copy;
};
const deletion = requests.find((request) => request.body?.variables?.input.fileChanges.deletions);
assert(deletion, "no recorded request deletes a file");
const pathless = structuredClone(deletion);
delete pathless.body.variables.input.fileChanges.deletions[0].path;
const wrong = [
  pathless,
  broken((body) => (body.query = body.query.replace("commit { oid }", "commit { sha }"))),
  broken((body) => delete body.variables.input.expectedHeadOid),
  broken((body) => (body.variables.input.branch = "main")),
  broken((body) => (body.variables.input.fileChanges.additions[0].content = "x")),
  { method: "GET", path: "/repositories/acme/desired" },
  { method: "PATCH", path: "/rate_limit" },
];
for (const request of wrong) {
  assert.notDeepEqual(check(request), [], `not found wrong: ${JSON.stringify(request)}`);
}
console.log(`ok  ${wrong.length} broken copies are found wrong`);
