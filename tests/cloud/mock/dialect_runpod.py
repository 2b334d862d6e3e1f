# SPDX-License-Identifier: Apache-2.0
"""RunPod's REST API v2 as its specification of 2026-08 describes it: containers ("pods"), no tags, no idempotency key, no
pages, problem+json errors, RateLimit headers on every answer.
"""
import base64
import datetime
import hashlib
import re
import shlex

from check import Field, problems
from server import Reply
from world import CloudError

GPUS = {  # id: (name, memory GB, secure price, community price, most of it)
    "NVIDIA A100-SXM4-80GB": ("A100 SXM", 80, 1.79, 1.39, 8),
    "NVIDIA A100 80GB PCIe": ("A100 PCIe", 80, 1.64, 1.19, 8),
    "NVIDIA H100 80GB HBM3": ("H100 SXM", 80, 2.99, 2.69, 8),
    "NVIDIA H200": ("H200 SXM", 141, 3.99, None, 8),
    "NVIDIA L4": ("L4", 24, 0.43, None, 4),
    "NVIDIA GeForce RTX 4090": ("RTX 4090", 24, 0.69, 0.34, 8),
    "AMD Instinct MI300X OAM": ("MI300X", 192, 2.49, None, 8),
}
DATA_CENTERS = {"EU-RO-1": ("EU-RO-1", "EUROPE"), "US-TX-3": ("US-TX-3", "NORTH_AMERICA"), "US-CA-2": ("US-CA-2", "NORTH_AMERICA")}

CREATE = Field("object", fields={
    "name": Field("str", required=True, low=1, high=191),
    "image": Field("str", low=1),
    "gpu": Field("object", fields={
        "id": Field("str", required=True, low=1),
        "count": Field("int", low=1),
        "allowedCudaVersions": Field("list", items=Field("str", pattern=r"\d+\.\d+")),
        "minCudaVersion": Field("str", pattern=r"\d+\.\d+"),
    }),
    "cpu": Field("object"),
    "cloud": Field("str", enum=["SECURE", "COMMUNITY"]),
    "dataCenterIds": Field("list", items=Field("str")),
    "disk": Field("int", low=1),
    "mounts": Field("object", fields={
        "persistent": Field("object", fields={"size": Field("int", required=True, low=10), "path": Field("str", required=True)}),
        "network": Field("list", items=Field("object", fields={"volumeId": Field("str", required=True), "path": Field("str", required=True)})),
    }),
    "ports": Field("list", items=Field("str", pattern=r"\d+/(tcp|http|udp)")),
    "env": Field("object", items=Field("str")),
    "args": Field("str"),
    "registry": Field("str", nullable=True),
    "startSsh": Field("bool"),
    "startJupyter": Field("bool"),
    "globalNetworking": Field("bool"),
    "templateId": Field("str"),
})

STATUS = {"invalid": 422, "unauthorized": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "throttle": 429,
          "no_capacity": 400, "quota": 402, "funds": 402, "server_error": 500}
TITLE = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
         409: "Conflict", 422: "Unprocessable Entity", 429: "Too Many Requests"}
POD = re.compile(r"/v2/pods/([A-Za-z0-9]+)")


def stamp(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if t else None


def short_id(text):
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:14]


class Dialect:
    name = "runpod"

    def __init__(self, world, options):
        self.world = world
        self.key = options.get("key", "rpa_TESTKEY")
        self.url = options["url"]
        self.made = 0
        self.pod_keys = {}

    # ---- around the operations ----

    def operation(self, request):
        path = request.path
        if path == "/v2/pods":
            return {"GET": "list", "POST": "create"}.get(request.method, "other")
        if POD.fullmatch(path):
            return {"GET": "describe", "DELETE": "terminate"}.get(request.method, "other")
        if path.startswith("/v2/catalog/"):
            return "offers"
        return "other"

    def expire_credentials(self):
        self.key = ""  # RunPod's keys do not expire by themselves: this one was deleted

    def refusal(self, e, request):
        status = e.more.get("status") or STATUS.get(e.kind, 400)
        text = {"no_capacity": "There are no longer any instances available with the requested specifications. Please refresh and try again.",
                "quota": "Your account balance is too low for this pod.",
                "throttle": "rate limit exceeded for the minute window"}.get(e.kind, e.text)
        headers = {"RateLimit-Policy": '"minute";q=60;w=60'}
        if e.kind == "throttle" and e.more.get("retry_after") is not None:
            headers["Retry-After"] = str(e.more["retry_after"])
        body = {"title": TITLE.get(status, "Internal Server Error"), "status": status, "detail": text}
        if e.more.get("errors"):
            body["errors"] = e.more["errors"]
        return Reply(status, body, "application/problem+json", headers)

    def _authorize(self, request):
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            raise CloudError("unauthorized", "no API key was given")
        key = header.removeprefix("Bearer ")
        if key in self.pod_keys:
            return self.pod_keys[key]
        if not self.key or key != self.key:
            raise CloudError("unauthorized", "the API key is not valid")
        return None

    def handle(self, request, operation):
        own_pod = self._authorize(request)
        if "api_key" in request.query:
            raise CloudError("invalid", "an API key has no place in a URL")
        pod = POD.fullmatch(request.path)
        if own_pod is not None and (operation != "terminate" or pod.group(1) != own_pod):
            raise CloudError("forbidden", "a pod's own key is for the pod itself")
        if operation == "list":
            return Reply(200, {"pods": [self._pod(i) for i in self.world.visible() if i.state != "gone"]})
        if operation == "create":
            return self._create(request)
        if operation == "describe":
            return Reply(200, self._pod(self._find(pod.group(1))))
        if operation == "terminate":
            self.world.terminate(self._find(pod.group(1)))
            return Reply(204)
        if operation == "offers" and request.path == "/v2/catalog/gpus" and request.method == "GET":
            return self._gpus(request)
        raise CloudError("not_found", f"{request.method} {request.path}")

    # ---- the operations ----

    def _find(self, ident):
        instance = self.world.get(ident)
        if instance is None or instance.state == "gone":
            raise CloudError("not_found", f"pod {ident} not found")
        return instance

    def _create(self, request):
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            raise CloudError("invalid", "the body must be application/json")
        body = request.json()
        wrong = problems(body, CREATE)
        if "image" not in body and "templateId" not in body:
            wrong.append("body.image: is missing")
        if ("gpu" in body) == ("cpu" in body):
            wrong.append("body: exactly one of gpu and cpu is wanted")
        if wrong:
            raise CloudError("invalid", "the request does not match the contract", errors=wrong)
        gpu = body.get("gpu", {})
        cloud = body.get("cloud", "SECURE")
        if gpu and gpu["id"] not in GPUS:
            raise CloudError("invalid", f"unknown GPU type {gpu['id']}", status=400)
        if gpu and GPUS[gpu["id"]][2 if cloud == "SECURE" else 3] is None:
            raise CloudError("no_capacity", "")
        if gpu.get("count", 1) > GPUS[gpu["id"]][4]:
            raise CloudError("no_capacity", "")
        for center in body.get("dataCenterIds", []):
            if center not in DATA_CENTERS:
                raise CloudError("invalid", f"unknown data center {center}", status=400)
        self.made += 1
        ident = short_id(f"{body['name']}-{self.made}")
        pod_key = "rpa_POD" + short_id(ident + "key")
        self.pod_keys[pod_key] = ident
        env = dict(body.get("env", {}))
        env.update({"RUNPOD_POD_ID": ident, "RUNPOD_API_KEY": pod_key, "RUNPOD_GPU_COUNT": str(gpu.get("count", 1))})
        boot = {"argv": shlex.split(body["args"]), "env": env} if body.get("args") else None
        wanted = {"body": body, "boot": boot, "machine_env": self._nvml(gpu), "ends_with_program": False}
        name = body["name"]
        instance, _, later = self.world.create(name, name.rsplit("-", 1)[0], wanted, ident=ident, replay="double")
        if later is not None:
            if instance.state == "gone":  # no room was found for it: it stays as a pod in error
                with self.world.lock:
                    instance.state, instance.ended, instance.reason = "failed", 0.0, "no machine was found"
                    self.world.tokens.setdefault(name, []).append(instance.id)
            else:
                raise later
        return Reply(201, self._pod(instance))

    @staticmethod
    def _nvml(gpu):
        """What the container's driver library will say of its GPUs."""
        return {"MOCK_NVML": f"{gpu['id']}:{gpu.get('count', 1)}:{GPUS[gpu['id']][1] << 10}"} if gpu else {}

    def _price(self, gpu, cloud):
        price = GPUS[gpu["id"]][2 if cloud == "SECURE" else 3] or 0.0
        return round(price * gpu.get("count", 1) * self.world.price_factor, 4)

    def _pod(self, i):
        body = i.request["body"]
        status = {"pending": "PROVISIONING", "running": "RUNNING", "stopping": "RUNNING", "stopped": "EXITED", "failed": "ERROR",
                  "gone": "TERMINATED"}[i.state]
        if i.state == "stopping" and i.reclaimed:
            status = "EXITED"
        gpu = body.get("gpu")
        running = status == "RUNNING"
        return {"id": i.id, "name": body["name"], "status": status, "actions": ["stop", "restart", "terminate"],
                "gpu": {"id": gpu["id"], "count": gpu.get("count", 1)} if gpu else None, "cloud": body.get("cloud", "SECURE"),
                "dataCenterId": (body.get("dataCenterIds") or ["EU-RO-1"])[0], "cudaVersion": "12.8" if running else None,
                "image": body.get("image"), "ssh": {"proxy": None, "direct": None},
                "cost": self._price(gpu, body.get("cloud", "SECURE")) if gpu and running else 0.0, "locked": False,
                "runtime": {"uptime": int(self.world.now() - i.created), "gpus": [], "cpu": {"util": 0}, "memory": {"util": 0},
                            "ports": []} if running else None,
                "createdAt": stamp(i.created), "startedAt": stamp(i.created) if running else None, "mounts": {}, "template": None,
                "globalNetworking": {"enabled": False}}

    def _gpus(self, request):
        known = {"include", "product", "count", "cloud", "countryCodes", "cudaVersions", "minCudaVersion"}
        for key in request.query:
            if key not in known:
                raise CloudError("invalid", f"unknown parameter {key}", status=422)
        listed = []
        for ident, (name, memory, secure, community, most) in GPUS.items():
            price = {"secure": secure, "community": community}
            price = {k: round(v * self.world.price_factor, 4) if v is not None else None for k, v in price.items()}
            gpu = {"id": ident, "name": name, "pool": None, "manufacturer": "AMD" if ident.startswith("AMD") else "NVIDIA",
                   "memory": memory, "secure": secure is not None, "community": community is not None, "price": price,
                   "maxCount": {"secure": most if secure else 0, "community": most if community else 0}}
            if "AVAILABILITY" in request.query.get("include", ""):
                gpu["availability"] = "HIGH"
                gpu["dataCenters"] = [{"id": d, "name": n, "availability": "HIGH"} for d, (n, _) in DATA_CENTERS.items()]
                gpu["cudaVersions"] = [{"version": "12.8", "available": True}]
            listed.append(gpu)
        return Reply(200, {"gpus": listed})

    def add_foreign(self, body):
        """A pod of somebody else in the same account."""
        name = body.get("name", "training-box")
        wanted = {"body": {"name": name, "image": "debian", "gpu": {"id": "NVIDIA L4", "count": 1}}, "ends_with_program": False}
        self.world.create(None, body.get("owner", "somebody"), wanted, ident=short_id(name + "foreign" + str(len(self.world.instances))))
