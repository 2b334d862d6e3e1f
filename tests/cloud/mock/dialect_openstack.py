# SPDX-License-Identifier: Apache-2.0
"""Keystone v3 and Nova (microversion 2.61) on one port, as their API samples have them: tokens that expire, a catalog of two regions,
tags, lists by marker, servers that are taken and then end in ERROR.
"""
import base64
import datetime
import re
import uuid

from check import Field, problems
from server import Reply
from world import CloudError

FLAVORS = {  # name: (id, vcpus, ram MB, extra specs)
    "m1.small": ("1", 1, 2048, {}),
    "g1.a100.1": ("a1", 16, 131072, {"pci_passthrough:alias": "a100:1"}),
    "g1.a100.2": ("6393ef2c-2f1b-4d5c-9d6b-5a3a0f2f9f02", 32, 262144, {"pci_passthrough:alias": "a100:2"}),
    "g1.a100.8": ("6393ef2c-2f1b-4d5c-9d6b-5a3a0f2f9f08", 128, 1048576, {"pci_passthrough:alias": "a100:8"}),
}
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
PROJECT = "6f70656e737461636b20342065766572"
NAME_AND_DOMAIN = Field("object", fields={"id": Field("str"), "name": Field("str"), "password": Field("str"),
                                          "domain": Field("object", fields={"id": Field("str"), "name": Field("str")})})
AUTH = Field("object", fields={"auth": Field("object", required=True, fields={
    "identity": Field("object", required=True, fields={
        "methods": Field("list", required=True, items=Field("str", enum=["password", "application_credential"])),
        "password": Field("object", fields={"user": NAME_AND_DOMAIN}),
        "application_credential": Field("object", fields={"id": Field("str"), "name": Field("str"), "secret": Field("str", required=True), "user": NAME_AND_DOMAIN}),
    }),
    "scope": Field("object", fields={"project": NAME_AND_DOMAIN}),
})})
SERVER = Field("object", fields={"server": Field("object", required=True, fields={
    "name": Field("str", required=True, low=1, high=255),
    "flavorRef": Field("str", required=True, low=1),
    "imageRef": Field("str"),
    "key_name": Field("str", low=1, high=255),
    "availability_zone": Field("str", low=1, high=255),
    "config_drive": Field("bool"),
    "user_data": Field("str", high=65535),
    "metadata": Field("object", items=Field("str", high=255)),
    "tags": Field("list", high=50, items=Field("str", low=1, high=60, pattern=r"[^,/]*")),
    "security_groups": Field("list", items=Field("object", fields={"name": Field("str", required=True)})),
    "block_device_mapping_v2": Field("list", items=Field("object", fields={
        "boot_index": Field("int"), "uuid": Field("str"), "source_type": Field("str", enum=["image", "volume", "snapshot", "blank"]),
        "destination_type": Field("str", enum=["volume", "local"]), "volume_size": Field("int", low=1), "delete_on_termination": Field("bool")})),
    "min_count": Field("int", low=1), "max_count": Field("int", low=1),
})})
STATUS = {"invalid": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "throttle": 429, "no_capacity": 409,
          "quota": 403, "funds": 403, "server_error": 500, "expired_page": 400}
WORD = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest", 429: "overLimit"}
ONE = re.compile(r"/compute/v2\.1/servers/([0-9a-f-]{36})")


def stamp(t, micro=False):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


class Dialect:
    name = "openstack"

    def __init__(self, world, options):
        self.world = world
        self.password = options.get("password", "secret")
        self.url = options["url"]
        self.token_s = float(options.get("token_s", "3600"))
        self.tokens = {}

    # ---- around the operations ----

    def operation(self, request):
        path = request.path
        if path == "/v3/auth/tokens":
            return "token"
        if path in ("/", "/v3", "/v3/", "/compute/v2.1", "/compute/v2.1/"):
            return "discover"
        if path == "/compute/v2.1/servers/detail":
            return "list"
        if path == "/compute/v2.1/servers" and request.method == "POST":
            return "create"
        if path == "/compute/v2.1/flavors/detail":
            return "offers"
        if path == "/compute/v2.1/limits":
            return "quota"
        if ONE.fullmatch(path):
            return {"GET": "describe", "DELETE": "terminate"}.get(request.method, "other")
        return "other"

    def expire_credentials(self):
        self.tokens.clear()

    def refusal(self, e, request):
        status = e.more.get("status") or STATUS.get(e.kind, 400)
        text = {"no_capacity": "No valid host was found. There are not enough hosts available.",
                "quota": "Quota exceeded for cores: Requested 32, but already used 20 of 20 cores",
                "throttle": "This request was rate-limited."}.get(e.kind, e.text)
        headers = {"Retry-After": str(e.more["retry_after"])} if e.kind == "throttle" and e.more.get("retry_after") is not None else {}
        if request.path.startswith("/v3"):
            return Reply(status, {"error": {"code": status, "message": text, "title": "Error"}}, headers=headers)
        return Reply(status, {WORD.get(status, "computeFault"): {"code": status, "message": text}}, headers=headers)

    def handle(self, request, operation):
        if operation == "token" and request.method == "POST":
            return self._token(request)
        if operation == "discover" and request.method == "GET":
            return self._versions(request)
        token = request.headers.get("X-Auth-Token", "")
        if self.tokens.get(token, 0) <= self.world.now():
            raise CloudError("unauthorized", "The request you have made requires authentication.")
        if request.headers.get("OpenStack-API-Version") != "compute 2.61" or request.headers.get("Authorization"):
            raise CloudError("invalid", "the microversion 2.61 is wanted, and no Authorization")
        match operation:
            case "list":
                return self._list(request)
            case "create":
                return self._create(request)
            case "describe":
                return Reply(200, {"server": self._server(self._find(ONE.fullmatch(request.path).group(1)))})
            case "terminate":
                self.world.terminate(self._find(ONE.fullmatch(request.path).group(1)))
                return Reply(204)
            case "quota":
                there = [i for i in self.world.instances.values() if i.costs()]
                return Reply(200, {"limits": {"rate": [], "absolute": {
                    "maxTotalCores": self.world.quota, "totalCoresUsed": self.world.used("cores"), "maxTotalInstances": -1, "totalInstancesUsed": len(there),
                    "maxTotalRAMSize": 1 << 40, "totalRAMUsed": sum(FLAVORS[i.request["flavor"]][2] for i in there), "maxServerMeta": 128}}})
            case "offers":
                return self._page(request, "flavors", [self._flavor(n) for n in FLAVORS], {"limit", "marker", "is_public", "sort_key", "sort_dir"})
        raise CloudError("not_found", f"{request.method} {request.path}")

    def _versions(self, request):
        """What clients ask before anything else; weir does not."""
        if request.path.startswith("/compute"):
            return Reply(200, {"version": {"id": "v2.1", "status": "CURRENT", "version": "2.96", "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
                                           "links": [{"rel": "self", "href": f"{self.url}/compute/v2.1/"}]}})
        version = {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": [{"rel": "self", "href": f"{self.url}/v3/"}]}
        return Reply(200, {"version": version}) if request.path.startswith("/v3") else Reply(300, {"versions": {"values": [version]}})

    def _token(self, request):
        body = request.json()
        wrong = problems(body, AUTH)
        if wrong:
            raise CloudError("invalid", "; ".join(wrong)[:400])
        identity = body["auth"]["identity"]
        if identity["methods"] == ["password"]:
            user, scope = identity["password"]["user"], body["auth"].get("scope", {}).get("project", {})
            fine = user.get("name") == "weir" and user.get("domain") and user.get("password") == self.password and scope.get("name") == "gpu"
        else:
            credential = identity["application_credential"]
            fine = credential.get("id") == "cred1" and credential["secret"] == self.password and "scope" not in body["auth"]
        if not fine:
            raise CloudError("unauthorized", "The request you have made requires authentication.")
        token = "gAAAA" + uuid.uuid4().hex * 5
        now = self.world.now()
        with self.world.lock:
            self.tokens[token] = now + self.token_s
        endpoints = [{"id": uuid.uuid4().hex, "interface": i, "region": r, "region_id": r, "url": u}
                     for r, u in (("RegionTwo", "https://nova.two.example/v2.1"), ("RegionOne", f"{self.url}/compute/v2.1/"))
                     for i in ("admin", "internal", "public")]
        catalog = [{"id": "i", "name": "keystone", "type": "identity", "endpoints": []}, {"id": "c", "name": "nova", "type": "compute", "endpoints": endpoints}]
        return Reply(201, {"token": {"methods": identity["methods"], "issued_at": stamp(now, True), "expires_at": stamp(now + self.token_s, True),
                                     "project": {"id": PROJECT, "name": "gpu", "domain": {"id": "default", "name": "Default"}},
                                     "roles": [{"id": r[0], "name": r} for r in ("reader", "member") if r not in self.world.denied],
                                     "user": {"id": "u1", "name": "weir", "domain": {"id": "default", "name": "Default"}}, "catalog": catalog}},
                     headers={"X-Subject-Token": token, "Vary": "X-Auth-Token"})

    def _page(self, request, what, items, known):
        for key in request.query:
            if key not in known:
                raise CloudError("invalid", f"unknown parameter {key}")
        marker = request.query.get("marker")
        start = 0
        if marker:
            ids = [i["id"] for i in items]
            if marker not in ids or self.world.hit("expired_page") is not None:
                raise CloudError("expired_page", f"marker [{marker}] not found")
            start = ids.index(marker) + 1
        size = min(int(request.query.get("limit", "1000")), self.world.page_size)
        endless = bool(items) and self.world.hit("endless_pages") is not None
        chunk = items[:size] if endless else items[start:start + size]
        body = {what: chunk}
        if endless or start + size < len(items):
            body[what + "_links"] = [{"rel": "next", "href": f"{self.url}{request.path}?limit={size}&marker={chunk[-1]['id']}"}]
        return Reply(200, body)

    # ---- the operations ----

    def _find(self, ident):
        instance = self.world.get(ident)
        if instance is None or instance.state == "gone":
            raise CloudError("not_found", f"Instance {ident} could not be found.")
        return instance

    def _list(self, request):
        tags = [t for t in request.query.get("tags", "").split(",") if t]
        found = [i for i in self.world.visible() if i.state != "gone" and all(t in i.request["body"].get("tags", []) for t in tags)]
        return self._page(request, "servers", [self._server(i) for i in found], {"tags", "name", "sort_key", "sort_dir", "limit", "marker"})

    def _create(self, request):
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            raise CloudError("invalid", "the body must be application/json")
        whole = request.json()
        networks = whole.get("server", {}).pop("networks", None)  # a word, or a list
        wrong = problems(whole, SERVER)
        body = whole.get("server", {})
        if networks != "auto" and not (isinstance(networks, list) and networks and all(set(n) == {"uuid"} for n in networks)):
            wrong.append("server.networks: \"auto\", or a list of uuids is wanted")
        if ("imageRef" in body) == ("block_device_mapping_v2" in body):
            wrong.append("server: an image or a volume is wanted")
        if wrong:
            raise CloudError("invalid", "; ".join(wrong)[:400])
        flavor = next((n for n, f in FLAVORS.items() if f[0] == body["flavorRef"]), None)
        if flavor is None or body.get("imageRef", IMAGE) != IMAGE:
            raise CloudError("invalid", "Flavor or image could not be found.")
        alias, _, count = FLAVORS[flavor][3].get("pci_passthrough:alias", ":0").partition(":")
        boot = {"user_data": base64.b64decode(body["user_data"], validate=True).decode()} if body.get("user_data") else None
        wanted = {"body": body, "flavor": flavor, "takes": FLAVORS[flavor][1], "quota_of": "cores", "boot": boot, "ends_with_program": False,
                  "machine_env": {"MOCK_NVML": f"NVIDIA {alias.upper()}-SXM4-40GB:{count}:{40 << 10}"} if alias else {}}
        name = body["name"]
        instance, _, later = self.world.create(name, name.rsplit("-", 1)[0], wanted, ident=str(uuid.uuid4()), replay="double")
        if later is not None and instance.state == "gone":  # it is taken, and no host is found
            with self.world.lock:
                instance.state, instance.ended, instance.reason = "failed", 0.0, "No valid host was found. There are not enough hosts available."
                self.world.tokens.setdefault(name, []).append(instance.id)
        elif later is not None:
            raise later
        return Reply(202, {"server": {"id": instance.id, "links": [], "OS-DCF:diskConfig": "MANUAL", "security_groups": [{"name": "default"}],
                                      "adminPass": "zPnp2GseTqG4"}})

    # ---- what answers look like ----

    def _server(self, i):
        body = i.request["body"]
        status = {"pending": "BUILD", "running": "ACTIVE", "stopping": "ACTIVE", "stopped": "SHUTOFF", "failed": "ERROR", "gone": "DELETED"}[i.state]
        server = {"id": i.id, "name": body["name"], "status": status, "created": stamp(i.created), "updated": stamp(i.changed), "tenant_id": PROJECT,
                  "user_id": "u1", "metadata": body.get("metadata", {}), "tags": body.get("tags", []), "addresses": {}, "links": [],
                  "flavor": {"original_name": i.request["flavor"]}, "image": {"id": IMAGE}, "key_name": body.get("key_name"),
                  "OS-EXT-STS:vm_state": {"BUILD": "building", "ACTIVE": "active", "SHUTOFF": "stopped", "ERROR": "error"}.get(status, "deleted"),
                  "OS-EXT-STS:task_state": "deleting" if i.state == "stopping" else None, "OS-EXT-STS:power_state": 1}
        if status == "ERROR":
            server["fault"] = {"code": 500, "created": stamp(i.changed), "message": i.reason}
        return server

    @staticmethod
    def _flavor(name):
        ident, cores, memory, specs = FLAVORS[name]
        return {"id": ident, "name": name, "vcpus": cores, "ram": memory, "disk": 20, "swap": "", "rxtx_factor": 1.0, "links": [], "description": None,
                "OS-FLV-DISABLED:disabled": False, "OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True, "extra_specs": specs}

    def add_foreign(self, body):
        """A server of somebody else in the same project."""
        name = body.get("name", "training-box")
        wanted = {"body": {"name": name, "tags": []}, "flavor": "m1.small", "ends_with_program": False}
        self.world.create(None, body.get("owner", "somebody"), wanted, ident=str(uuid.uuid4()))
