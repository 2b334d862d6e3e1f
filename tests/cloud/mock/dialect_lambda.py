# SPDX-License-Identifier: Apache-2.0
"""Lambda Cloud's API v1: virtual machines by name, {"data"} and {"error"} envelopes, capacity told per region, no pages, no
idempotency key, no spot market. A machine that powers itself off becomes unhealthy and is billed on.
"""
import hashlib

from check import Field, problems
from server import Reply
from world import CloudError

TYPES = {  # name: (description, GPU, of how many GPUs, MiB each, cents, cores, GiB, regions with capacity)
    "gpu_1x_a10": ("A10 (24 GB PCIe)", "NVIDIA A10", 1, 23028, 130, 30, 226, ("us-east-1", "us-west-1")),
    "gpu_1x_a100_sxm4": ("A100 (40 GB SXM4)", "NVIDIA A100-SXM4-40GB", 1, 40960, 199, 30, 220, ("us-east-1",)),
    "gpu_8x_a100_80gb_sxm4": ("A100 (80 GB SXM4)", "NVIDIA A100-SXM4-80GB", 8, 81920, 2232, 240, 1800, ("us-east-1",)),
    "gpu_1x_h100_pcie": ("H100 (80 GB PCIe)", "NVIDIA H100 PCIe", 1, 81559, 329, 26, 225, ("us-west-3",)),
    "gpu_8x_h100_sxm5": ("H100 (80 GB SXM5)", "NVIDIA H100 80GB HBM3", 8, 81559, 3192, 208, 1800, ("us-west-3", "europe-central-1")),
    "gpu_1x_gh200": ("GH200 (96 GB)", "NVIDIA GH200 480GB", 1, 97871, 229, 64, 432, ()),
}
REGIONS = ("us-east-1", "us-west-1", "us-west-3", "europe-central-1")

NAMES = Field("list", items=Field("str", low=1, high=64))
LAUNCH = Field("object", fields={
    "region_name": Field("str", required=True, enum=list(REGIONS)),
    "instance_type_name": Field("str", required=True, enum=list(TYPES)),
    "ssh_key_names": Field("list", required=True, low=1, high=1, items=Field("str", low=1, high=64)),
    "file_system_names": NAMES,
    "quantity": Field("int", low=1, high=1),
    "name": Field("str", low=1, high=64),
    "image": Field("object", fields={"family": Field("str"), "id": Field("str")}),
    "user_data": Field("str", high=1 << 20),
})
END = Field("object", fields={"instance_ids": Field("list", required=True, low=1, items=Field("str", pattern="[0-9a-f]{32}"))})

ERRORS = {"invalid": ("global/invalid-parameters", 400), "unauthorized": ("global/invalid-api-key", 401),
          "forbidden": ("global/account-inactive", 403), "not_found": ("global/object-does-not-exist", 400),
          "throttle": ("global/too-many-requests", 429), "quota": ("global/quota-exceeded", 400),
          "no_capacity": ("instance-operations/launch/insufficient-capacity", 400), "server_error": ("global/internal-error", 500)}


class Dialect:
    name = "lambda"

    def __init__(self, world, options):
        self.world = world
        self.key = options.get("key", "secret_test_TESTKEY")
        self.machine_key = options.get("machine_key", "")
        self.made = 0

    def operation(self, request):
        return {("GET", "/api/v1/instances"): "list", ("POST", "/api/v1/instance-operations/launch"): "create",
                ("POST", "/api/v1/instance-operations/terminate"): "terminate",
                ("GET", "/api/v1/ssh-keys"): "keys", ("GET", "/api/v1/instance-types"): "offers"}.get((request.method, request.path), "other")

    def expire_credentials(self):
        self.key = ""  # keys do not expire by themselves: this one was deleted

    def refusal(self, e, request):
        code, status = ERRORS.get(e.kind, ("global/unknown", 400))
        status = e.more.get("status") or status
        headers = {"Retry-After": str(e.more["retry_after"])} if e.more.get("retry_after") is not None else {}
        text = "Not enough capacity to fulfill launch request." if e.kind == "no_capacity" else e.text
        return Reply(status, {"error": {"code": code, "message": text or code, "suggestion": "See the documentation."}}, headers=headers)

    def handle(self, request, operation):
        header = request.headers.get("Authorization", "")
        key = header.removeprefix("Bearer ")
        if not header.startswith("Bearer ") or not key or key not in (self.key, self.machine_key):
            raise CloudError("unauthorized", "API key was invalid, expired, or deleted.")
        if request.query:
            raise CloudError("invalid", "unknown parameters")
        match operation:
            case "list":
                return Reply(200, {"data": [self._machine(i) for i in self.world.visible() if i.state != "gone"]})
            case "create":
                return self._create(request)
            case "terminate":
                return self._terminate(request)
            case "keys":
                names = [n for n in ("k", "ada") if n not in self.world.denied]
                return Reply(200, {"data": [{"id": hashlib.md5(n.encode()).hexdigest(), "name": n, "public_key": "ssh-ed25519 AAAA " + n} for n in names]})
            case "offers":
                return Reply(200, {"data": {name: self._type(name) for name in TYPES}})
        raise CloudError("not_found", f"{request.method} {request.path}")

    @staticmethod
    def _check(request, field):
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            raise CloudError("invalid", "the body must be application/json")
        body = request.json()
        wrong = problems(body, field)
        if wrong:
            raise CloudError("invalid", "; ".join(wrong))
        return body

    def _create(self, request):
        body = self._check(request, LAUNCH)
        _, gpu, count, mib, _, _, _, regions = TYPES[body["instance_type_name"]]
        if body["region_name"] not in regions:
            raise CloudError("no_capacity", "")
        self.made += 1
        name = body.get("name", "")
        ident = hashlib.md5(f"{name} {self.made}".encode()).hexdigest()
        boot = {"user_data": body["user_data"]} if body.get("user_data") else None
        wanted = {"body": body, "boot": boot, "machine_env": {"MOCK_NVML": f"{gpu}:{count}:{mib}"}, "ends_with_program": False}
        instance, _, later = self.world.create(name, name.rsplit("-", 1)[0], wanted, ident=ident, replay="double")
        if later is not None and instance.state == "gone":  # no host was found for it: it stays, and never becomes healthy
            with self.world.lock:
                instance.state, instance.ended, instance.reason = "failed", 0.0, "no host was found"
                self.world.tokens.setdefault(name, []).append(instance.id)
        elif later is not None:
            raise later
        return Reply(200, {"data": {"instance_ids": [instance.id]}})

    def _terminate(self, request):
        found = [self.world.get(i) for i in self._check(request, END)["instance_ids"]]
        if any(i is None or i.state == "gone" for i in found):
            raise CloudError("not_found", "Specified instance does not exist.")
        for instance in found:
            self.world.terminate(instance)
        return Reply(200, {"data": {"terminated_instances": [self._machine(i) for i in found]}})

    def _machine(self, i):
        body = i.request["body"]
        status = {"pending": "booting", "running": "active", "stopping": "terminating", "stopped": "unhealthy", "failed": "unhealthy",
                  "gone": "terminated"}[i.state]
        if i.state == "stopping" and i.reclaimed:
            status = "preempted"
        return {"id": i.id, "name": body.get("name", ""), "ip": "192.0.2.10" if status == "active" else None, "private_ip": "10.0.0.10",
                "status": status, "ssh_key_names": body["ssh_key_names"], "file_system_names": body.get("file_system_names", []),
                "region": {"name": body["region_name"], "description": body["region_name"]},
                "instance_type": self._type(body["instance_type_name"])["instance_type"], "hostname": None, "is_reserved": False}

    def _type(self, name):
        text, _, gpus, _, cents, cores, memory, regions = TYPES[name]
        return {"instance_type": {"name": name, "description": f"{gpus}x {text}", "gpu_description": text,
                                  "price_cents_per_hour": round(cents * self.world.price_factor),
                                  "specs": {"vcpus": cores, "memory_gib": memory, "storage_gib": 1400, "gpus": gpus}},
                "regions_with_capacity_available": [{"name": r, "description": r} for r in regions]}

    def add_foreign(self, body):
        """A machine of somebody else in the same account."""
        name = body.get("name", "training-box")
        body = {"name": name, "region_name": "us-east-1", "instance_type_name": "gpu_1x_a10", "ssh_key_names": ["k"]}
        ident = hashlib.md5(f"{name} foreign {len(self.world.instances)}".encode()).hexdigest()
        self.world.create(None, name.rsplit("-", 1)[0] if name.startswith("weir-") else "somebody", {"body": body, "ends_with_program": False}, ident=ident)
