# SPDX-License-Identifier: Apache-2.0
"""DigitalOcean's API v2, Droplets and sizes, as its OpenAPI document of 2026-08 has them: no idempotency key, tags, pages by number,
launches that are actions, errors of an id and a sentence, rate limits told in headers.
"""
import datetime
import hashlib
import re

from check import Field, problems
from server import Reply
from world import CloudError

SIZES = {  # slug: (model, GPUs, GB of one, vcpus, memory MB, price, regions, available)
    "gpu-h100x1-80gb": ("nvidia_h100", 1, 80, 20, 245760, 3.39, ["nyc2", "tor1"], True),
    "gpu-h100x8-640gb": ("nvidia_h100", 8, 80, 160, 1966080, 23.92, ["nyc2"], True),
    "gpu-h200x1-141gb": ("nvidia_h200", 1, 141, 24, 245760, 3.44, ["nyc2", "atl1"], True),
    "gpu-l40sx1-48gb": ("nvidia_l40s", 1, 48, 8, 65536, 1.57, ["tor1"], True),
    "gpu-4000adax1-20gb": ("nvidia_rtx4000_ada", 1, 20, 8, 32768, 0.76, ["tor1"], True),
    "gpu-6000adax1-48gb": ("nvidia_rtx6000_ada", 1, 48, 8, 65536, 1.57, ["tor1"], True),
    "gpu-mi300x1-192gb": ("amd_mi300x", 1, 192, 20, 245760, 1.99, ["atl1"], True),
    "gpu-mi300x8-1536gb": ("amd_mi300x", 8, 192, 160, 1966080, 15.92, ["atl1"], False),
    "gpu-unheardx1-1gb": ("nvidia_unheard_of", 1, 16, 8, 32768, 0.10, ["tor1"], True),
    "s-1vcpu-1gb": (None, 0, 0, 1, 1024, 0.00893, ["nyc2", "tor1"], True),
}
IMAGES = {"gpu-h100x1-base": "nvidia", "gpu-h100x8-base": "nvidia", "gpu-amd-base": "amd", "ubuntu-24-04-x64": "none", 4711: "nvidia"}

CREATE = Field("object", fields={
    "name": Field("str", required=True, low=1, high=255, pattern=r"[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]"),
    "region": Field("str"),
    "size": Field("str", required=True),
    "ssh_keys": Field("list"),
    "backups": Field("bool"),
    "backup_policy": Field("object"),
    "ipv6": Field("bool"),
    "monitoring": Field("bool"),
    "tags": Field("list", items=Field("str", low=1, high=255, pattern=r"[A-Za-z0-9:_\-]+"), nullable=True),
    "user_data": Field("str", high=64 << 10),
    "volumes": Field("list", items=Field("str")),
    "vpc_uuid": Field("str", pattern=r"[0-9a-f-]{36}"),
    "with_droplet_agent": Field("bool"),
    "public_networking": Field("bool"),
})

STATUS = {"invalid": 422, "unauthorized": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "throttle": 429, "no_capacity": 422,
          "quota": 422, "funds": 402, "server_error": 500, "expired_page": 400}
WORD = {400: "bad_request", 401: "unauthorized", 402: "payment_required", 403: "forbidden", 404: "not_found", 409: "conflict",
        422: "unprocessable_entity", 429: "too_many_requests"}
ONE = re.compile(r"/v2/(droplets|actions)/(\d+)")


def stamp(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Dialect:
    name = "digitalocean"

    def __init__(self, world, options):
        self.world = world
        self.key = options.get("key", "dop_v1_testkey")
        self.url = options["url"]
        self.made = 0
        self.actions = {}
        self.action_s = float(options.get("action_s", "0"))  # how long a launch takes to be decided

    # ---- around the operations ----

    def operation(self, request):
        one = ONE.fullmatch(request.path)
        if request.path == "/v2/droplets":
            return {"GET": "list", "POST": "create"}.get(request.method, "other")
        if request.path == "/v2/sizes":
            return "offers"
        if request.path == "/v2/account":
            return "quota"
        if request.path in ("/v2/images", "/v2/actions") and request.method == "GET":
            return request.path.removeprefix("/v2/")
        if one and one.group(1) == "droplets":
            return {"GET": "describe", "DELETE": "terminate"}.get(request.method, "other")
        return "action" if one and request.method == "GET" else "other"

    def expire_credentials(self):
        self.key = ""  # tokens end when they are told to: this one was deleted

    def refusal(self, e, request):
        status = e.more.get("status") or STATUS.get(e.kind, 400)
        text = {"no_capacity": "The size you selected is temporarily unavailable in this region because of GPU server capacity",
                "quota": "creating this/these droplet(s) will exceed your droplet limit",
                "throttle": "API Rate limit exceeded."}.get(e.kind, e.text)
        headers = {"ratelimit-limit": "5000", "ratelimit-remaining": "0" if e.kind == "throttle" else "4999",
                   "ratelimit-reset": str(int(self.world.now()) + 3600)}
        if e.kind == "throttle" and e.more.get("retry_after") is not None:
            headers["Retry-After"] = str(e.more["retry_after"])
        return Reply(status, {"id": WORD.get(status, "server_error"), "message": text, "request_id": "0d5f-1"}, headers=headers)

    def handle(self, request, operation):
        if not self.key or request.headers.get("Authorization") != f"Bearer {self.key}":
            raise CloudError("unauthorized", "Unable to authenticate you")
        one = ONE.fullmatch(request.path)
        match operation:
            case "list":
                return self._list(request)
            case "create":
                return self._create(request)
            case "describe":
                return Reply(200, {"droplet": self._droplet(self._find(one.group(2)))})
            case "terminate":
                self.world.terminate(self._find(one.group(2)))
                return Reply(204)
            case "action":
                return self._action(one.group(2))
            case "quota":
                return Reply(200, {"account": {"droplet_limit": self.world.quota, "floating_ip_limit": 3, "email": "me@example.com", "uuid": "b6fr89",
                                               "email_verified": True, "status": "active", "status_message": ""}})
            case "images" | "actions":
                return self._page(request, operation, [], {"type", "per_page", "page"})
            case "offers":
                return self._page(request, "sizes", [self._size(s) for s in SIZES], {"per_page", "page"})
        raise CloudError("not_found", "The resource you were accessing could not be found.")

    def _page(self, request, what, items, known):
        for key in request.query:
            if key not in known:
                raise CloudError("invalid", f"unknown parameter {key}")
        size = min(int(request.query.get("per_page", "20")), 200, self.world.page_size)
        page = int(request.query.get("page", "1"))
        if page > 1 and self.world.hit("expired_page") is not None:
            raise CloudError("expired_page", "that page is not there any more")
        chunk = items[(page - 1) * size:page * size]
        pages = {}
        endless = self.world.hit("endless_pages") is not None
        if endless:
            chunk = items[:size]
        if endless or page * size < len(items):
            pages = {"last": f"{self.url}{request.path}?page={-(-len(items) // size)}", "next": f"{self.url}{request.path}?page={page + 1}&per_page={size}"}
        return Reply(200, {what: chunk, "links": {"pages": pages} if pages else {}, "meta": {"total": len(items)}})

    # ---- the operations ----

    def _find(self, ident):
        instance = self.world.get(ident)
        if instance is None or instance.state == "gone":
            raise CloudError("not_found", "The resource you were accessing could not be found.")
        return instance

    def _list(self, request):
        tag, name = request.query.get("tag_name"), request.query.get("name")
        if tag and name:
            raise CloudError("invalid", "tag_name and name exclude each other")
        found = [i for i in self.world.visible() if i.state != "gone" and (not tag or tag in (i.request["body"].get("tags") or [])) and
                 (not name or i.request["body"]["name"] == name)]
        return self._page(request, "droplets", [self._droplet(i) for i in found], {"tag_name", "name", "per_page", "page", "type"})

    def _create(self, request):
        if request.headers.get("Content-Type", "").split(";")[0] != "application/json":
            raise CloudError("invalid", "the body must be application/json")
        body = request.json()
        image = body.pop("image", None)
        wrong = problems(body, CREATE)
        body["image"] = image
        if wrong:
            raise CloudError("invalid", "; ".join(wrong)[:400])
        if image not in IMAGES:
            raise CloudError("invalid", "You specified an invalid image for Droplet creation.")
        if body["size"] not in SIZES:
            raise CloudError("invalid", "You specified an invalid size for Droplet creation.")
        model, count, each, _, _, _, regions, available = SIZES[body["size"]]
        if body.get("region", "nyc2") not in regions or not available:
            raise CloudError("no_capacity", "")
        if model and model.split("_")[0] != IMAGES[image]:
            raise CloudError("invalid", "This image has no driver for the GPUs of this size.")
        with self.world.lock:
            self.made += 1
            ident = str(3164444 + self.made)
        boot = {"user_data": body["user_data"]} if body.get("user_data") else None
        gpu = (model or "none").split("_", 1)[-1].upper().replace("_", " ")
        wanted = {"body": body, "boot": boot, "ends_with_program": False, "takes": 1,
                  "machine_env": {"MOCK_NVML": f"NVIDIA {gpu}:{count}:{each << 10}"} if model and model.startswith("nvidia") else {}}
        name = body["name"]
        instance, _, later = self.world.create(name, name.rsplit("-", 1)[0], wanted, ident=ident, replay="double")
        if later is not None and instance.state != "gone":
            raise later
        with self.world.lock:
            action = {"id": 36804636 + self.made, "at": self.world.now(), "fails": later is not None, "droplet": int(ident)}
            self.actions[str(action["id"])] = action
        return Reply(202, {"droplet": self._droplet(instance), "links": {"actions": [
            {"id": action["id"], "rel": "create", "href": f"{self.url}/v2/actions/{action['id']}"}]}})

    def _action(self, ident):
        action = self.actions.get(ident)
        if action is None:
            raise CloudError("not_found", "The resource you were accessing could not be found.")
        over = self.world.now() - action["at"] >= self.action_s
        status = "in-progress" if not over else "errored" if action["fails"] else "completed"
        return Reply(200, {"action": {"id": action["id"], "status": status, "type": "create", "started_at": stamp(action["at"]),
                                      "completed_at": stamp(self.world.now()) if over else None, "resource_id": action["droplet"],
                                      "resource_type": "droplet", "region_slug": "nyc2"}})

    # ---- what answers look like ----

    def _droplet(self, i):
        body = i.request["body"]
        status = {"pending": "new", "running": "active", "stopping": "active", "stopped": "off", "failed": "off", "gone": "archive"}[i.state]
        if i.state == "gone" and not i.ended:
            status = "new"
        size = self._size(body["size"])
        return {"id": int(i.id), "name": body["name"], "memory": size["memory"], "vcpus": size["vcpus"], "disk": size["disk"], "locked": False,
                "status": status, "kernel": None, "created_at": stamp(i.created), "features": [], "backup_ids": [], "next_backup_window": None,
                "snapshot_ids": [], "image": {"slug": body["image"] if isinstance(body["image"], str) else None}, "volume_ids": [], "size": size,
                "size_slug": body["size"], "networks": {"v4": [], "v6": []}, "region": {"slug": body.get("region", "nyc2")},
                "tags": body.get("tags") or [], "vpc_uuid": body.get("vpc_uuid", "760e09ef-dc84-11e8-981e-3cfdfeaae000")}

    def _size(self, slug):
        model, count, each, cores, memory, price, regions, available = SIZES[slug]
        price = round(price * self.world.price_factor, 5)
        size = {"slug": slug, "memory": memory, "vcpus": cores, "disk": 720, "transfer": 15.0, "price_monthly": round(price * 744, 2),
                "price_hourly": price, "regions": regions, "available": available, "description": "GPU" if model else "Basic",
                "disk_info": [{"type": "local", "size": {"amount": 720, "unit": "gib"}}]}
        if model:
            size["gpu_info"] = {"count": count, "vram": {"amount": count * each, "unit": "gib"}, "model": model}
        return size

    def add_foreign(self, body):
        """A Droplet of somebody else in the same account."""
        name = body.get("name", "training-box")
        ident = str(int(hashlib.sha256((name + str(len(self.world.instances))).encode()).hexdigest()[:7], 16))
        wanted = {"body": {"name": name, "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": ["web"]}, "takes": 1, "ends_with_program": False}
        self.world.create(None, body.get("owner", "somebody"), wanted, ident=ident)
