# SPDX-License-Identifier: Apache-2.0
"""Run by test_google.py in a virtual environment with Google's own client: google_client.py CALLS KEY_FILE MOCK_URL.

Every call that weir made is checked against the discovery document that Google publishes with its client: method, path, parameters,
and each field of a body by name, type, format and enumerated value. Then Google's client makes the calls itself against the
mock, which shows that the mock's shapes and its token endpoint are what a stranger expects.
"""
import importlib.resources
import json
import re
import sys
import urllib.parse

from google.oauth2 import service_account
from googleapiclient.discovery import build_from_document

SCALAR = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}


def load():
    folder = importlib.resources.files("googleapiclient") / "discovery_cache" / "documents"
    return json.loads((folder / "compute.v1.json").read_text())


def methods(node):
    for method in node.get("methods", {}).values():
        yield method
    for inner in node.get("resources", {}).values():
        yield from methods(inner)


def check(document, schema, value, where):
    """Problems of a value by a schema of the discovery document."""
    if "$ref" in schema:
        schema = document["schemas"][schema["$ref"]]
    kind = schema.get("type", "any")
    if kind == "object" and isinstance(value, dict):
        for key, inner in value.items():
            field = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if field is None:
                yield f"{where}.{key}: there is no such field"
            else:
                if "Output Only" in field.get("description", "") or field.get("readOnly"):
                    yield f"{where}.{key}: is for answers only"
                yield from check(document, field, inner, f"{where}.{key}")
    elif kind == "array" and isinstance(value, list):
        for i, inner in enumerate(value):
            yield from check(document, schema["items"], inner, f"{where}[{i}]")
    elif kind in SCALAR and isinstance(value, SCALAR[kind]) and not (kind != "boolean" and isinstance(value, bool)):
        if schema.get("format") in ("int64", "uint64") and not re.fullmatch(r"-?\d+", value):
            yield f"{where}: a whole number in a string is wanted"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{where}: {value} is none of {schema['enum']}"
        if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
            yield f"{where}: {value} does not match {schema['pattern']}"
    elif kind != "any":
        yield f"{where}: {kind} is wanted"


def check_call(document, call):
    target = urllib.parse.urlsplit(call["target"])
    query = dict(urllib.parse.parse_qsl(target.query))
    path = target.path.removeprefix("/compute/v1/")
    for method in methods(document):
        pattern = re.escape(method.get("flatPath", method["path"])).replace(r"\{", "{").replace(r"\}", "}")
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", pattern)
        if method["httpMethod"] == call["method"] and re.fullmatch(pattern, path):
            known = {**method["parameters"], **document["parameters"]}
            for key, value in query.items():
                if key not in known:
                    yield f"{method['id']}: there is no parameter {key}"
                elif known[key]["type"] == "integer" and not value.isdigit():
                    yield f"{method['id']}: {key} must be a number"
            if "request" in method:
                yield from check(document, method["request"], json.loads(call["body"]), method["id"])
            elif call["body"]:
                yield f"{method['id']}: takes no body"
            return
    yield f"{call['method']} {target.path}: the API has no such method"


def use(document, key_file, url, body):
    """Google's client makes a machine of weir's own description, finds it by its label, and ends it."""
    credentials = service_account.Credentials.from_service_account_file(key_file, scopes=["https://www.googleapis.com/auth/cloud-platform"])
    document = {**document, "rootUrl": url + "/", "baseUrl": url + "/compute/v1/", "mtlsRootUrl": url + "/"}
    compute = build_from_document(document, credentials=credentials)
    project, zone = credentials.project_id, "us-central1-a"
    body = {**body, "name": "by-googles-client", "labels": {"weir-owner": "google"}, "metadata": {}}
    body["machineType"] = f"zones/{zone}/machineTypes/g2-standard-4"
    ident = "8b7c1c0e-4a9e-4c7a-9a62-0d5b4fb4a001"
    first = compute.instances().insert(project=project, zone=zone, body=body, requestId=ident).execute()
    again = compute.instances().insert(project=project, zone=zone, body=body, requestId=ident).execute()
    assert first["name"] == again["name"], "a requestId names one operation"
    while compute.zoneOperations().get(project=project, zone=zone, operation=first["name"]).execute()["status"] != "DONE":
        pass
    items = compute.instances().aggregatedList(project=project, filter="labels.weir-owner=google").execute()["items"]
    found = [i["name"] for scope in items.values() for i in scope.get("instances", [])]
    assert found == ["by-googles-client"], found
    compute.instances().delete(project=project, zone=zone, instance="by-googles-client").execute()
    return found


def main():
    calls_file, key_file, url = sys.argv[1:]
    with open(calls_file, encoding="utf-8") as f:
        calls = [c for c in json.load(f) if c["target"].startswith("/compute/")]
    document = load()
    inserts = [c for c in calls if c["method"] == "POST"]
    assert inserts and any(c["method"] == "DELETE" for c in calls), "weir made no machine, or did not end it"
    wrong = sorted({p for c in calls for p in check_call(document, c)})
    use(document, key_file, url, json.loads(inserts[0]["body"]))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
