# SPDX-License-Identifier: Apache-2.0
"""Paperspace's API v1 as its reference of 2026-08 and its clients describe it: machines that boot by startup scripts, no tags, no
idempotency key, lists by cursor, errors of a code and a sentence, no Retry-After of its own.
"""
import datetime
import hashlib
import re

from check import Field, problems
from server import Reply
from world import CloudError

TYPES = {  # the GPUs' name, how many, GB of one
    "A100-80G": ("NVIDIA A100 80GB", 1, 80), "A100-80Gx8": ("NVIDIA A100 80GB", 8, 80), "H100": ("NVIDIA H100", 1, 80), "H100x8": ("NVIDIA H100", 8, 80),
    "A4000": ("NVIDIA RTX A4000", 1, 16), "A4000x2": ("NVIDIA RTX A4000", 2, 16), "P4000": ("Quadro P4000", 1, 8)}
REGIONS = ["East Coast (NY2)", "West Coast (CA1)", "Europe (AMS1)"]

MACHINE = Field("object", fields={
    "name": Field("str", required=True, low=1),
    "machineType": Field("str", required=True, low=1),
    "templateId": Field("str", required=True, pattern=r"t[a-z0-9]+"),
    "region": Field("str", required=True, enum=REGIONS),
    "diskSize": Field("int", required=True, enum=[50, 100, 250, 500, 1000, 2000]),
    "networkId": Field("str"),
    "publicIpType": Field("str", enum=["dynamic", "static", "none"]),
    "startupScriptId": Field("str"),
    "enableNvlink": Field("bool"),
    "startOnCreate": Field("bool"),
    "takeInitialSnapshot": Field("bool"),
    "emailPassword": Field("bool"),
    "accessorIds": Field("list", items=Field("str")),
    "autoSnapshotEnabled": Field("bool"),
    "autoSnapshotFrequency": Field("str", enum=["hourly", "daily", "weekly", "monthly"]),
    "autoSnapshotSaveCount": Field("int", low=1, high=9),
    "autoShutdownEnabled": Field("bool"),
    "autoShutdownTimeout": Field("int", low=1),
    "autoShutdownForce": Field("bool"),
    "restorePointEnabled": Field("bool"),
    "restorePointFrequency": Field("str", enum=["shutdown"]),
})
SCRIPT = Field("object", fields={
    "name": Field("str", required=True, low=1),
    "description": Field("str", nullable=True),
    "script": Field("str", required=True, low=1),
    "isRunOnce": Field("bool"),
    "isEnabled": Field("bool"),
    "machineId": Field("str"),
})

STATUS = {"invalid": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "throttle": 429, "no_capacity": 400,
          "quota": 400, "funds": 402, "server_error": 500, "expired_page": 400}
CODE = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 402: "PAYMENT_REQUIRED", 403: "FORBIDDEN", 404: "NOT_FOUND", 409: "CONFLICT",
        429: "TOO_MANY_REQUESTS"}
ONE = re.compile(r"/v1/(machines|startup-scripts)/([A-Za-z0-9]+)")


def stamp(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if t else None


def short_id(letters, text):
    return letters + hashlib.sha256(text.encode()).hexdigest()[:10]


class Dialect:
    name = "paperspace"

    def __init__(self, world, options):
        self.world = world
        self.key = options.get("key", "ps-testkey")
        self.made = 0
        self.scripts = {}

    # ---- around the operations ----

    def operation(self, request):
        one = ONE.fullmatch(request.path)
        if request.path == "/v1/machines":
            return {"GET": "list", "POST": "create"}.get(request.method, "other")
        if request.path == "/v1/startup-scripts":
            return {"GET": "list_scripts", "POST": "create_script"}.get(request.method, "other")
        if request.path == "/v1/machine-availability":
            return "offers"
        if one and one.group(1) == "machines":
            return {"GET": "describe", "DELETE": "terminate"}.get(request.method, "other")
        if one:
            return {"DELETE": "delete_script"}.get(request.method, "other")
        return "other"

    def expire_credentials(self):
        self.key = ""  # keys do not expire by themselves: this one was deleted

    def refusal(self, e, request):
        status = e.more.get("status") or STATUS.get(e.kind, 400)
        text = {"no_capacity": "We are currently out of capacity for the selected VM type. Try again in a few minutes, or select a different instance.",
                "quota": "You have reached your limit of machines of this type. Request a limit increase from support.",
                "throttle": "Your API requests are being rate limited."}.get(e.kind, e.text)
        headers = {"Retry-After": str(e.more["retry_after"])} if e.kind == "throttle" and e.more.get("retry_after") is not None else {}
        return Reply(status, {"code": CODE.get(status, "INTERNAL_SERVER_ERROR"), "message": text}, headers=headers)

    def handle(self, request, operation):
        if not self.key or request.headers.get("Authorization") != f"Bearer {self.key}":
            raise CloudError("unauthorized", "Not authenticated")
        one = ONE.fullmatch(request.path)
        match operation:
            case "list":
                machines = [self._machine(i) for i in self.world.visible() if i.state != "gone"]
                return self._page(request, machines)
            case "create":
                return self._create(request)
            case "describe":
                return Reply(200, self._machine(self._find(one.group(2))))
            case "terminate":
                instance = self._find(one.group(2))
                self.world.terminate(instance)
                return Reply(200, {"event": self._event("delete", instance), "data": self._machine(instance)})
            case "offers":
                return self._availability(request)
            case "list_scripts":
                return self._page(request, [self._script(s) for s in self.scripts.values()])
            case "create_script":
                return self._create_script(request)
            case "delete_script":
                if self.scripts.pop(one.group(2), None) is None:
                    raise CloudError("not_found", "startup script not found")
                return Reply(200, {})
        raise CloudError("not_found", f"{request.method} {request.path}")

    def _page(self, request, items):
        known = {"after", "limit", "orderBy", "order", "name"}
        for key in request.query:
            if key not in known:
                raise CloudError("invalid", f"unknown parameter {key}")
        limit = int(request.query.get("limit", "20"))
        if not 1 <= limit <= 120:
            raise CloudError("invalid", "limit must be from 1 to 120")
        if request.query.get("orderBy", "dtCreated") not in ("dtCreated", "name") or request.query.get("order", "desc") not in ("asc", "desc"):
            raise CloudError("invalid", "the order is not one of those there are")
        chunk, following = self.world.page(items, request.query.get("after", ""), limit)
        return Reply(200, {"hasMore": bool(following), "items": chunk, **({"nextPage": following} if following else {})})

    # ---- the operations ----

    def _find(self, ident):
        instance = self.world.get(ident)
        if instance is None or instance.state == "gone":
            raise CloudError("not_found", f"machine {ident} not found")
        return instance

    def _availability(self, request):
        if set(request.query) != {"machineType", "region"} or request.query["region"] not in REGIONS:
            raise CloudError("invalid", "a machine type and a region are wanted")
        if request.query["machineType"] not in TYPES:
            raise CloudError("invalid", "that machine type is unknown")
        return Reply(200, {"available": sum(i.costs() for i in self.world.instances.values()) < self.world.capacity})

    def _body(self, request, form):
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            raise CloudError("invalid", "the body must be application/json")
        body = request.json()
        wrong = problems(body, form)
        if wrong:
            raise CloudError("invalid", "; ".join(wrong)[:400])
        return body

    def _create_script(self, request):
        body = self._body(request, SCRIPT)
        with self.world.lock:
            self.made += 1
            script = {"id": short_id("ss", f"{body['name']}-{self.made}"), "created": self.world.now(), "body": body}
            self.scripts[script["id"]] = script
        return Reply(200, self._script(script))

    def _create(self, request):
        body = self._body(request, MACHINE)
        if body["machineType"] not in TYPES:
            raise CloudError("invalid", f"machine type {body['machineType']} is unknown")
        script = self.scripts.get(body.get("startupScriptId"))
        if "startupScriptId" in body and script is None:
            raise CloudError("not_found", "startup script not found")
        if body.get("enableNvlink") and not body["machineType"].endswith("x8"):
            raise CloudError("invalid", "NVLink is not there for this machine type")
        with self.world.lock:
            self.made += 1
            ident = short_id("ps", f"{body['name']}-{self.made}")
        boot = {"user_data": script["body"]["script"]} if script and script["body"].get("isEnabled", True) else None
        gpu, count, each = TYPES[body["machineType"]]
        wanted = {"body": body, "boot": boot, "ends_with_program": False, "machine_env": {"MOCK_NVML": f"{gpu}:{count}:{each << 10}"}}
        name = body["name"]
        instance, _, later = self.world.create(name, name.rsplit("-", 1)[0], wanted, ident=ident, replay="double")
        if later is not None and instance.state == "gone":  # it is taken, and then stays off
            with self.world.lock:
                instance.state, instance.ended, instance.reason = "failed", 0.0, "no host was found"
                self.world.tokens.setdefault(name, []).append(instance.id)
        elif later is not None:
            raise later
        return Reply(200, {"event": self._event("create", instance), "data": self._machine(instance)})

    # ---- what answers look like ----

    def _event(self, name, i):
        return {"id": short_id("ev", name + i.id), "name": name, "state": "new", "machineId": i.id, "dtCreated": stamp(self.world.now()),
                "dtStarted": None, "dtFinished": None, "error": None}

    def _script(self, s):
        used = [i.id for i in self.world.visible() if i.state != "gone" and i.request["body"].get("startupScriptId") == s["id"]]
        return {"id": s["id"], "name": s["body"]["name"], "description": None, "isEnabled": s["body"].get("isEnabled", True),
                "isRunOnce": s["body"].get("isRunOnce", False), "assignedMachineIds": used, "dtCreated": stamp(s["created"]), "dtDeleted": None}

    def _machine(self, i):
        body = i.request["body"]
        state = {"pending": "provisioning", "running": "ready", "stopping": "stopping", "stopped": "off", "failed": "off", "gone": "off"}[i.state]
        gpu, count, each = TYPES[body["machineType"]]
        return {"id": i.id, "name": body["name"], "state": state, "os": "Ubuntu 22.04", "machineType": body["machineType"],
                "agentType": "LinuxHeadless", "cpus": 8, "ram": "34359738368", "storageTotal": str(body["diskSize"] << 30), "storageUsed": "0",
                "accelerators": [{"name": gpu, "memory": str(each << 30), "count": count}], "region": body["region"], "privateIp": "10.0.0.4",
                "networkId": body.get("networkId", "nabc"), "publicIp": None, "publicIpType": body.get("publicIpType", "none"),
                "autoShutdownEnabled": False, "autoShutdownTimeout": None, "autoShutdownForce": False, "autoSnapshotEnabled": False,
                "autoSnapshotFrequency": None, "autoSnapshotSaveCount": None, "updatesPending": False, "restorePointEnabled": False,
                "restorePointFrequency": None, "restorePointSnapshotId": None, "usageRate": 3.18, "storageRate": 0.01,
                "dtCreated": stamp(i.created), "dtModified": stamp(i.changed), "dtDeleted": None, "reservation": None}

    def add_foreign(self, body):
        """A machine and a script of somebody else in the same team."""
        name = body.get("name", "training-box")
        wanted = {"body": {"name": name, "machineType": "P4000", "templateId": "tabc", "region": REGIONS[0], "diskSize": 50}, "ends_with_program": False}
        self.world.create(None, body.get("owner", "somebody"), wanted, ident=short_id("ps", name + "foreign" + str(len(self.world.instances))))
        self.scripts["ssforeign"] = {"id": "ssforeign", "created": self.world.now(), "body": {"name": name, "script": "#!/bin/sh\n"}}

    def leftovers(self):
        """What is there besides machines."""
        return sorted(s["body"]["name"] for s in self.scripts.values())
