// Validates recorded requests: GraphQL documents and variables against GitHub's schema; REST paths,
// parameters, bodies and the fields that we read of the answers against its OpenAPI description. A
// broken copy of each request must be found wrong, or the check itself is.

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

const PULL_REQUEST = ["number", "html_url", "state", "title", "body", "labels.name", "head.ref", "head.sha", "head.repo.full_name", "base.ref"];
// Every operation that the gateway uses, and what it reads of the answer.
const READ = {
  "GET /repos/{owner}/{repo}": ["archived", "permissions.push", "node_id"],
  "GET /repos/{owner}/{repo}/git/ref/{ref}": ["object.sha"],
  "GET /repos/{owner}/{repo}/git/commits/{commit_sha}": ["sha", "message", "tree.sha", "parents.sha"],
  "POST /repos/{owner}/{repo}/git/refs": [],
  "POST /repos/{owner}/{repo}/git/blobs": ["sha"],
  "POST /repos/{owner}/{repo}/git/trees": ["sha"],
  "POST /repos/{owner}/{repo}/git/commits": ["sha"],
  "PATCH /repos/{owner}/{repo}/git/refs/{ref}": [],
  "GET /repos/{owner}/{repo}/installation": ["id"],
  "POST /app/installations/{installation_id}/access_tokens": ["token", "expires_at", "permissions.contents"],
  "GET /repos/{owner}/{repo}/pulls": PULL_REQUEST,
  "POST /repos/{owner}/{repo}/pulls": PULL_REQUEST,
  "PATCH /repos/{owner}/{repo}/pulls/{pull_number}": [],
  "POST /repos/{owner}/{repo}/issues/{issue_number}/labels": [],
  "POST /repos/{owner}/{repo}/issues/{issue_number}/comments": [],
};
const MUTATIONS = ["createCommitOnBranch", "updateRefs"];

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

// A `{ref}` stands for the rest of a path, any other parameter for one step of it.
function templateOf(path) {
  const parts = path.split("/");
  const fits = (template) => {
    const wanted = template.split("/");
    const open = wanted.at(-1) === "{ref}" ? wanted.length <= parts.length : wanted.length === parts.length;
    return open && wanted.every((part, at) => part.startsWith("{") || part === parts[at]);
  };
  return Object.keys(READ).find((name) => fits(name.split(" ")[1]))
    && Object.keys(openapi.paths).filter((path) => fits(path)).sort((a, b) => b.replace(/\{\w+\}/g, "").length - a.replace(/\{\w+\}/g, "").length)[0];
}

// As much of JSON Schema as GitHub's bodies use.
function bodyErrors(node, value, at) {
  node = deref(node);
  if (value === null && node.nullable) return [];
  const choices = node.oneOf ?? node.anyOf;
  if (choices) {
    const found = choices.map((choice) => bodyErrors({ ...node, oneOf: undefined, anyOf: undefined, ...deref(choice) }, value, at));
    return found.some((errors) => errors.length === 0) ? [] : found[0];
  }
  if (node.enum && !node.enum.includes(value)) return [`${at} is none of ${node.enum}`];
  if (node.type === "array") {
    if (!Array.isArray(value)) return [`${at} is no array`];
    return value.flatMap((item, index) => bodyErrors(node.items, item, `${at}[${index}]`));
  }
  if (node.type === "object" || node.properties) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${at} is no object`];
    const missing = (node.required ?? []).filter((key) => !(key in value)).map((key) => `${at} has no ${key}`);
    return Object.entries(value).reduce(
      (errors, [key, item]) =>
        errors.concat(node.properties?.[key] ? bodyErrors(node.properties[key], item, `${at}.${key}`) : [`${at}.${key} is not known`]),
      missing,
    );
  }
  if (node.type === "integer") return Number.isInteger(value) ? [] : [`${at} is no integer`];
  return node.type && typeof value !== node.type ? [`${at} is no ${node.type}`] : [];
}

function has(node, path) {
  return path.split(".").reduce((at, key) => {
    const found = deref(at);
    return deref(found?.items ?? found)?.properties?.[key];
  }, node) !== undefined;
}

function restErrors({ method, path, query, body }) {
  const template = templateOf(path);
  const item = openapi.paths[template];
  const operation = item?.[method.toLowerCase()];
  const read = READ[`${method} ${template}`];
  if (!operation || !read) return [`${method} ${path} is no operation of GitHub's REST API that is used`];
  const name = `${method} ${template}`;
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(deref);
  const errors = [...new URLSearchParams(query ?? "")].flatMap(([key, value]) => {
    const parameter = parameters.find((parameter) => parameter.in === "query" && parameter.name === key);
    const typed = parameter?.schema.type === "integer" ? Number(value) : value;
    return parameter ? bodyErrors(parameter.schema, typed, `?${key}`) : [`${name} has no parameter ${key}`];
  });
  const content = deref(operation.requestBody)?.content["application/json"];
  if (content) errors.push(...bodyErrors(content.schema, body, "body"));
  else if (body) errors.push(`${name} takes no body`);
  const success = Object.keys(operation.responses).find((status) => status.startsWith("2"));
  const answer = deref(deref(operation.responses[success]).content["application/json"].schema);
  return errors.concat(read.filter((field) => !has(answer, field)).map((field) => `the answer to ${name} has no ${field}`));
}

const isGraphql = (request) => request.path.endsWith("/graphql");
const check = (request) => (isGraphql(request) ? graphqlErrors(request.body) : restErrors(request));

const requests = json(file);
const used = new Set();
for (const request of requests) {
  assert.deepEqual(check(request), [], `${request.method} ${request.path}`);
  const name = isGraphql(request) ? MUTATIONS.find((name) => request.body.query.includes(name)) : `${request.method} ${templateOf(request.path)}`;
  if (!used.has(name)) console.log(`ok  ${name}`);
  used.add(name);
}
for (const name of [...Object.keys(READ), ...MUTATIONS]) assert(used.has(name), `no recorded request is ${name}`);

const find = (fits) => structuredClone(requests.find(fits)) ?? assert.fail("a request is missing");
const broken = (fits, change) => {
  const copy = find(fits);
  change(copy.body, copy);
  return copy;
};
const rest = (method, end) => (request) => request.method === method && new RegExp(`${end}$`).test(request.path);
const mutation = (name) => (request) => request.body?.query?.includes(name);
const commit = mutation("createCommitOnBranch");
const deletion = (request) => request.body?.variables?.input.fileChanges?.deletions;
const wrong = [
  broken(deletion, (body) => delete body.variables.input.fileChanges.deletions[0].path),
  broken(commit, (body) => (body.query = body.query.replace("commit { oid }", "commit { sha }"))),
  broken(commit, (body) => delete body.variables.input.expectedHeadOid),
  broken(commit, (body) => (body.variables.input.branch = "main")),
  broken(commit, (body) => (body.variables.input.fileChanges.additions[0].content = "x")),
  broken(mutation("updateRefs"), (body) => delete body.variables.input.repositoryId),
  broken(mutation("updateRefs"), (body) => (body.variables.input.refUpdates[0].before = "x")),
  broken(rest("POST", "/git/refs"), (body) => delete body.sha),
  broken(rest("PATCH", "/git/refs/.*"), (body) => (body.force = "true")),
  broken(rest("POST", "/git/blobs"), (body) => delete body.content),
  broken(rest("POST", "/git/trees"), (body) => (body.tree[0].mode = "100666")),
  broken(rest("POST", "/git/commits"), (body) => delete body.tree),
  broken(rest("POST", "/access_tokens"), (body) => (body.repositories = "desired")),
  broken(rest("POST", "/pulls"), (body) => delete body.head),
  broken(rest("POST", "/pulls"), (body) => (body.labels = ["riposte"])),
  broken(rest("PATCH", "/pulls/1"), (body) => (body.state = "merged")),
  broken(rest("GET", "/pulls"), (_, copy) => (copy.query += "&branch=x")),
  broken(rest("GET", "/pulls"), (_, copy) => (copy.query = copy.query.replace("state=open", "state=opened"))),
  broken(rest("POST", "/labels"), (body) => (body.labels = [{ title: "x" }])),
  broken(rest("POST", "/comments"), (body) => delete body.body),
  { method: "GET", path: "/repositories/acme/desired" },
  { method: "PATCH", path: "/rate_limit" },
];
for (const request of wrong) {
  assert.notDeepEqual(check(request), [], `not found wrong: ${JSON.stringify(request)}`);
}
console.log(`ok  ${wrong.length} broken copies are found wrong`);
