"""Holds the objects of gateway/tests/it/fixtures/kubernetes against the real kubeconform, and the table of what
came when against the schemas that it is given: those of kubernetes-validate, made from each version's own OpenAPI.

What the gateway takes in every version (accepted.yaml) kubeconform has to take in every version; what came with a
version (versions.yaml) it has to refuse below it and to take from it on. What it refuses of refused.yaml is counted
only: it knows schemas, and the gateway more. Run by .ci/kubernetes, as: kubernetes_conform.py KUBECONFORM WORK
"""

import copy
import json
import pathlib
import re
import subprocess
import sys

import kubernetes_validate
import yaml

FIXTURES = pathlib.Path("gateway/tests/it/fixtures/kubernetes")
TABLE = pathlib.Path("gateway/src/validate/schema/since.rs")
SCHEMAS = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"


def put(at, steps, value):
    """Sets a value at the steps of a JSON pointer and makes what is missing above it; null takes away."""
    if not steps:
        return value
    step = steps[0].replace("~1", "/").replace("~0", "~")
    if isinstance(at, list):
        index = int(step)
        at[index:index + 1] = [put(at[index] if index < len(at) else None, steps[1:], value)]
        return at
    at = at if isinstance(at, dict) else {}
    if value is None and len(steps) == 1:
        at.pop(step, None)
    else:
        at[step] = put(at.get(step), steps[1:], value)
    return at


def objects(work):
    """Writes the object of each case to a file of its own; the cases by their files, and the files of the schemas
    of their kinds."""
    read = lambda name: yaml.safe_load((FIXTURES / name).read_text())
    bases, cases, files = read("bases.yaml"), {}, set()
    for base in bases.values():
        group = base["apiVersion"].split("/")[0].split(".")[0] + "-" if "/" in base["apiVersion"] else ""
        files.add(f"{base['kind'].lower()}-{group}v{base['apiVersion'].rpartition('v')[2]}.json")
    for name in ["refused.yaml", "accepted.yaml", "versions.yaml"]:
        for number, case in enumerate(read(name)):
            manifest = copy.deepcopy(bases[case["base"]])
            for pointer, value in [*(case.get("before") or {}).items(), *case.get("set", {}).items()]:
                manifest = put(manifest, pointer.split("/")[1:], copy.deepcopy(value))
            path = work / f"{name}-{number}.json"
            path.write_text(json.dumps(manifest))
            cases[str(path)] = (name, case)
    return cases, files


def references(schema):
    """The names of the definitions that a schema refers to."""
    return set(re.findall(r'#/\$defs/([^"]+)"', json.dumps(schema)))


def schemas(minor, files, work):
    """Puts the strict schemas of a version's kinds into a folder, with the definitions that they need in a file
    beside them; those definitions. The whole file would be compiled for each of the kinds."""
    source, folder = SCHEMAS / f"v1.{minor}.0-local-strict", work / f"v1.{minor}.0"
    folder.mkdir()
    every, needed, waiting = json.loads((source / "_definitions.json").read_text())["$defs"], {}, set()
    for name in files:
        schema = json.loads((source / name).read_text())
        # Where it says that it lies, nothing is.
        del schema["$id"]
        waiting |= references(schema)
        (folder / name).write_text(json.dumps(schema).replace('"/api/_definitions.json#', '"_definitions.json#'))
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed[name] = every[name]
            waiting |= references(every[name])
    (folder / "_definitions.json").write_text(json.dumps({"$defs": needed}))
    return needed


def refused(kubeconform, minor, work, paths):
    """The files that kubeconform refuses with the schemas of a version, each with its words."""
    location = f"{work}/{{{{.NormalizedKubernetesVersion}}}}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    version = ["-kubernetes-version", f"1.{minor}.0", "-schema-location", location]
    run = subprocess.run([kubeconform, "-strict", "-output", "json", *version, *paths], capture_output=True, text=True)
    found = {one["filename"]: one for one in json.loads(run.stdout)["resources"]}
    broken = [one["msg"] for one in found.values() if one["status"] != "statusInvalid"]
    if broken:
        sys.exit(f"kubeconform cannot tell: {broken[0]}")
    return {name: one["msg"] for name, one in found.items()}


def main():
    kubeconform, work = sys.argv[1], pathlib.Path(sys.argv[2])
    table = TABLE.read_text()
    oldest, newest = [int(found) for found in re.findall(r"const (?:OLDEST|NEWEST): u8 = (\d+);", table)]
    (cases, files), wrong, count, known = objects(work), [], 0, {}
    for minor in range(oldest, newest + 1):
        known[minor] = schemas(minor, files, work)
        told = refused(kubeconform, minor, work, cases.keys())
        for path, (name, case) in cases.items():
            if name == "refused.yaml" or case.get("value"):
                continue
            count += 1
            if (path in told) != (minor < case.get("since", 0)):
                wrong.append(f"1.{minor}: {case}: {told.get(path, 'taken')}")
    for definition, field, since in re.findall(r'^    \("(\S+)", "(\S+)", (\d+)\),$', table, re.MULTILINE):
        having = [m for m, own in known.items() if field in own.get(definition, {}).get("properties", {})]
        if having != list(range(int(since), newest + 1)):
            wrong.append(f"{definition} {field}, since 1.{since}: the schemas have it in 1.{having}")
    for line in wrong:
        print(line)
    also = sum(cases[path][0] == "refused.yaml" for path in told)
    print(f"kubeconform: {count} verdicts on 1.{oldest} to 1.{newest}, {len(wrong)} not as expected; "
          f"in 1.{newest} it refuses {also} of what is refused here")
    sys.exit(bool(wrong))


main()
