# SPDX-License-Identifier: Apache-2.0
"""Vast.ai's API: a market of hosts searched by operators on fields, contracts made by PUT on a host's ask, labels as the only tag, refusals
as {"success": false, "error"}, and contracts that exist although their making was refused. A container that stops stays, and bills its disk.
"""
import zlib

from check import Field, problems
from server import Reply
from world import CloudError

ASKS = {  # id: (GPU as Vast writes it, as its driver does, how many, MiB each, on demand, least bid, place, cores of the host, of this ask, MB)
    7000001: ("A10", "NVIDIA A10", 1, 23028, 0.20, 0.12, "Quebec, CA", 32, 8.0, 128000),
    7000002: ("RTX 4090", "NVIDIA GeForce RTX 4090", 1, 24564, 0.35, 0.20, "Iceland, IS", 64, 16.0, 257000),
    7000003: ("A100 SXM4", "NVIDIA A100-SXM4-80GB", 1, 81920, 0.80, 0.50, "Texas, US", 128, 16.0, 1031000),
    7000004: ("H100 SXM", "NVIDIA H100 80GB HBM3", 8, 81559, 15.20, 9.60, "Virginia, US", 224, 224.0, 2063000),
    7000005: ("H100 PCIE", "NVIDIA H100 PCIe", 2, 81559, 4.10, 2.90, "Sweden, SE", 96, 48.0, 773000),
    7000006: ("Q RTX 9", "unheard of", 1, 49152, 0.30, 0.10, "Sweden, SE", 96, 48.0, 773000),
}
STORAGE = 0.15  # USD per GB and month
TAKEN = 7000005  # somebody else has it by now

OPERATORS = {"eq": lambda a, b: a == b, "neq": lambda a, b: a != b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b, "gt": lambda a, b: a > b,
             "gte": lambda a, b: a >= b, "in": lambda a, b: a in b, "notin": lambda a, b: a not in b}
RENT = Field("object", fields={
    "client_id": Field("str", required=True, enum=["me"]),
    "image": Field("str", required=True, low=1),
    "disk": Field("number", required=True, low=1),
    "label": Field("str", low=1, high=128),
    "env": Field("object", items=Field("str")),
    "onstart": Field("str", high=4048),
    "runtype": Field("str", required=True, enum=["ssh", "args", "jupyter"]),
    "args": Field("list", items=Field("str")),
    "price": Field("number", nullable=True, low=0.001),
})
STATUS = {"invalid": 400, "unauthorized": 401, "forbidden": 403, "not_found": 404, "throttle": 429, "no_capacity": 404, "quota": 400,
          "server_error": 500}
ERROR = {"invalid": "invalid_args", "unauthorized": "auth_error", "forbidden": "forbidden", "not_found": "no_such_instance", "throttle": "throttled",
         "no_capacity": "no_such_ask", "quota": "insufficient_credit", "server_error": "internal_error"}


class Dialect:
    name = "vast"

    def __init__(self, world, options):
        self.world = world
        self.key = options.get("key", "vast_test_TESTKEY")
        self.made = 0
        self.own_keys = {}

    def operation(self, request):
        path = request.path
        if path == "/api/v0/bundles/" and request.method == "POST":
            return "offers"
        if path.startswith("/api/v0/asks/") and request.method == "PUT":
            return "create"
        if path == "/api/v0/instances/" and request.method == "GET":
            return "list"
        if path.startswith("/api/v0/instances/") and request.method == "DELETE":
            return "terminate"
        return "other"

    def expire_credentials(self):
        self.key = ""  # keys do not expire by themselves: this one was deleted

    def refusal(self, e, request):
        headers = {"Retry-After": str(e.more["retry_after"])} if e.more.get("retry_after") is not None else {}
        status = e.more.get("status") or STATUS.get(e.kind, 400)
        return Reply(status, {"success": False, "error": ERROR.get(e.kind, "error"), "msg": e.text}, headers=headers)

    def handle(self, request, operation):
        header = request.headers.get("Authorization", "")
        key = header.removeprefix("Bearer ")
        own = self.own_keys.get(key)
        if not header.startswith("Bearer ") or not key or (own is None and key != self.key):
            raise CloudError("unauthorized", "this API key is not valid")
        number = request.path.rstrip("/").rsplit("/", 1)[-1]
        if own is not None and (operation != "terminate" or number != own):
            raise CloudError("forbidden", "a container's own key is for the container itself")
        match operation:
            case "offers":
                return self._search(request.json())
            case "create":
                return self._rent(request, number)
            case "list":
                return Reply(200, {"instances": [self._instance(i) for i in self.world.visible() if i.state != "gone"]})
            case "terminate":
                instance = self.world.get(number)
                if instance is None or instance.state == "gone":
                    return Reply(400, {"success": False, "error": "no_such_instance", "msg": f"instance {number} not found"})
                self.world.terminate(instance)
                return Reply(200, {"success": True})
        raise CloudError("invalid", f"{request.method} {request.path}")

    # ---- the market ----

    def _ask(self, number, is_bid):
        gpu, _, count, mib, price, bid, place, cores, mine, memory = ASKS[number]
        price, bid = round(price * self.world.price_factor, 6), round(bid * self.world.price_factor, 6)
        return {"id": number, "machine_id": number - 6990000, "host_id": 17, "gpu_name": gpu, "num_gpus": count, "gpu_ram": mib,
                "gpu_total_ram": mib * count, "cpu_cores": cores, "cpu_cores_effective": mine, "cpu_ram": memory, "disk_space": 1500.0,
                "storage_cost": STORAGE * self.world.price_factor, "dph_base": bid if is_bid else price, "dph_total": (bid if is_bid else price) + 0.01, "min_bid": bid,
                "is_bid": is_bid, "inet_up_cost": 0.005, "inet_down_cost": 0.003, "reliability2": 0.992, "verification": "verified", "verified": True,
                "rentable": True, "rented": False, "external": False, "geolocation": place, "cuda_max_good": 12.8, "compute_cap": 890,
                "duration": 2592000.0, "direct_port_count": 20}

    def _search(self, body):
        is_bid = {"on-demand": False, "bid": True}[body.pop("type", "on-demand")]
        limit = body.pop("limit", 64)
        order = body.pop("order", [["dph_total", "asc"]])
        body.pop("allocated_storage", None)
        found = [self._ask(n, is_bid) for n in ASKS]
        for field, conditions in body.items():
            for word, value in conditions.items():
                if word not in OPERATORS or not all(field in ask for ask in found):
                    raise CloudError("invalid", f"{field} {word}: there is no such field or operator")
                found = [ask for ask in found if OPERATORS[word](ask[field], value)]
        for field, way in reversed(order):
            found.sort(key=lambda ask: ask[field], reverse=way == "desc")
        return Reply(200, {"offers": found[:limit]})

    # ---- contracts ----

    def _rent(self, request, number):
        body = request.json()
        wrong = problems(body, RENT)
        if wrong:
            raise CloudError("invalid", "; ".join(wrong))
        ask = ASKS.get(int(number)) if number.isdigit() else None
        if ask is None or int(number) == TAKEN:
            raise CloudError("no_capacity", f"there is no ask {number}")
        bid = body.get("price")
        if bid is not None and bid < round(ask[5] * self.world.price_factor, 6):
            raise CloudError("no_capacity", "the bid is too low")
        self.made += 1
        label = body.get("label", "")
        ident = str(20000000 + zlib.crc32(f"{label} {self.made}".encode()) % 10000000)
        key = f"vast_container_{ident}"
        self.own_keys[key] = ident
        env = {**body.get("env", {}), "CONTAINER_ID": ident, "CONTAINER_API_KEY": key, "GPU_COUNT": str(ask[2])}
        boot = {"argv": body["args"], "env": env} if body["runtype"] == "args" else None
        wanted = {"body": body, "ask": int(number), "boot": boot, "spot": bid is not None, "ends_with_program": False,
                  "machine_env": {"MOCK_NVML": f"{ask[1]}:{ask[2]}:{ask[3]}"}}
        instance, _, later = self.world.create(label, label.rsplit("-", 1)[0], wanted, ident=ident, replay="double")
        if later is not None and instance.state == "gone":  # its host never brings it up
            with self.world.lock:
                instance.state, instance.ended, instance.reason = "failed", 0.0, "the host failed"
                self.world.tokens.setdefault(label, []).append(instance.id)
        elif later is not None:  # refused, and made all the same
            return Reply(400, {"success": False, "error": "bid_failed", "msg": later.text, "new_contract": int(ident)})
        return Reply(200, {"success": True, "new_contract": int(ident)})

    def _instance(self, i):
        body = i.request["body"]
        status = {"pending": "loading", "running": "running", "stopping": "running", "stopped": "exited", "failed": "exited", "gone": None}[i.state]
        if i.state == "stopping" and i.reclaimed:
            status = "exited"  # outbid, or the host is away
        ask = self._ask(i.request["ask"], i.spot)
        return {"id": int(i.id), "label": body.get("label"), "actual_status": status, "intended_status": "running", "cur_state": "running",
                "next_state": "running", "status_msg": "", "ssh_host": "ssh4.example", "ssh_port": 10022, "public_ipaddr": "192.0.2.7", "ports": {},
                "dph_total": ask["dph_total"], "is_bid": i.spot, "min_bid": ask["min_bid"], "start_date": i.created, "end_date": None,
                "gpu_name": ask["gpu_name"], "num_gpus": ask["num_gpus"]}

    def add_foreign(self, body):
        """A container of somebody else in the same account."""
        label = body.get("name", "training-box")
        wanted = {"body": {"label": label}, "ask": 7000001, "ends_with_program": False}
        owner = label.rsplit("-", 1)[0] if label.startswith("weir-") else "somebody"
        self.world.create(None, owner, wanted, ident=str(30000000 + len(self.world.instances)))
