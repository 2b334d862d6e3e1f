# SPDX-License-Identifier: Apache-2.0
"""The part of Google Compute Engine's API v1 that rents machines: instances.insert with requestId, operations, aggregated lists
with filter and pages, delete, machine types; the token endpoint (service accounts by signed JWT, users by refresh token), the
metadata server's token, and the price list of the Cloud Billing Catalog.
"""
import base64
import datetime
import hashlib
import json
import pathlib
import re
import secrets
import threading
import urllib.parse
import uuid

from check import Field, problems
from keys import Key
from server import Reply
from world import CloudError

ZONES = ["us-central1-a", "us-central1-b", "us-central1-f", "europe-west4-a"]
TYPES = {  # name: (vCPUs, MiB, accelerator, how many, MiB each, as the driver library names it)
    "g2-standard-4": (4, 16384, "nvidia-l4", 1, 23034, "NVIDIA L4"),
    "g2-standard-24": (24, 98304, "nvidia-l4", 2, 23034, "NVIDIA L4"),
    "g2-standard-48": (48, 196608, "nvidia-l4", 4, 23034, "NVIDIA L4"),
    "a2-highgpu-1g": (12, 87040, "nvidia-tesla-a100", 1, 40960, "NVIDIA A100-SXM4-40GB"),
    "a2-highgpu-4g": (48, 348160, "nvidia-tesla-a100", 4, 40960, "NVIDIA A100-SXM4-40GB"),
    "a2-highgpu-8g": (96, 696320, "nvidia-tesla-a100", 8, 40960, "NVIDIA A100-SXM4-40GB"),
    "a3-highgpu-8g": (208, 1916928, "nvidia-h100-80gb", 8, 81920, "NVIDIA H100 80GB HBM3"),
}
METRICS = {"nvidia-l4": "NVIDIA_L4_GPUS", "nvidia-tesla-a100": "NVIDIA_A100_GPUS"}
FAMILIES = {"nvidia-h100-80gb": "NVIDIA_H100"}  # later models: one quota with a dimension, of the Cloud Quotas API; regions tell those of Spot
LABEL = r"[a-z][a-z0-9_-]{0,62}"
NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
INT64 = r"-?\d+"

INSTANCE = Field("object", fields={
    "name": Field("str", required=True, pattern=NAME),
    "description": Field("str", high=2048),
    "machineType": Field("str", required=True, pattern=r"(projects/[^/]+/)?zones/[a-z0-9-]+/machineTypes/[a-z0-9-]+"),
    "disks": Field("list", required=True, low=1, items=Field("object", fields={
        "boot": Field("bool"), "autoDelete": Field("bool"), "type": Field("str", enum=["PERSISTENT", "SCRATCH"]),
        "initializeParams": Field("object", fields={
            "sourceImage": Field("str", pattern=r"(https://.+/)?projects/[^/]+/global/images/(family/)?[a-z0-9-]+"),
            "diskSizeGb": Field("str", pattern=INT64),
            "diskType": Field("str", pattern=r"(projects/[^/]+/)?zones/[a-z0-9-]+/diskTypes/[a-z0-9-]+"),
            "labels": Field("object", items=Field("str", pattern=r"[a-z0-9_-]{0,63}"))}),
    })),
    "networkInterfaces": Field("list", required=True, low=1, items=Field("object", fields={
        "network": Field("str"), "subnetwork": Field("str"),
        "accessConfigs": Field("list", items=Field("object", fields={
            "type": Field("str", enum=["ONE_TO_ONE_NAT"]), "name": Field("str"), "networkTier": Field("str", enum=["PREMIUM", "STANDARD"])})),
    })),
    "scheduling": Field("object", fields={
        "provisioningModel": Field("str", enum=["STANDARD", "SPOT", "FLEX_START", "RESERVATION_BOUND"]),
        "instanceTerminationAction": Field("str", enum=["STOP", "DELETE"]),
        "onHostMaintenance": Field("str", enum=["MIGRATE", "TERMINATE"]),
        "automaticRestart": Field("bool"),
        "maxRunDuration": Field("object", fields={"seconds": Field("str", required=True, pattern=INT64), "nanos": Field("int")}),
    }),
    "reservationAffinity": Field("object", fields={
        "consumeReservationType": Field("str", required=True, enum=["ANY_RESERVATION", "NO_RESERVATION", "SPECIFIC_RESERVATION"]),
        "key": Field("str", enum=["compute.googleapis.com/reservation-name"]),
        "values": Field("list", high=1, items=Field("str", pattern=r"(projects/[^/]+/reservations/)?[a-z]([-a-z0-9]{0,61}[a-z0-9])?"))}),
    "labels": Field("object", high=64, items=Field("str", pattern=r"[a-z0-9_-]{0,63}")),
    "metadata": Field("object", fields={"items": Field("list", items=Field("object", fields={
        "key": Field("str", required=True, pattern=r"[a-zA-Z0-9-_]{1,128}"), "value": Field("str", required=True, high=262144)}))}),
    "serviceAccounts": Field("list", items=Field("object", fields={"email": Field("str", required=True), "scopes": Field("list", items=Field("str"))})),
    "tags": Field("object", fields={"items": Field("list", items=Field("str", pattern=NAME))}),
    "guestAccelerators": Field("list"),
    "shieldedInstanceConfig": Field("object"),
})

REASON = {"invalid": (400, "invalid"), "unauthorized": (401, "authError"), "forbidden": (403, "forbidden"), "not_found": (404, "notFound"),
          "conflict": (409, "alreadyExists"), "throttle": (403, "rateLimitExceeded"), "quota": (403, "quotaExceeded"),
          "no_capacity": (503, "backendError"), "server_error": (503, "backendError"), "expired_page": (400, "invalid"),
          "mismatch": (400, "invalid")}
ROOT = r"/compute/v1/projects/(?P<project>[a-z0-9-]+)"
ROUTES = [
    ("create", "POST", re.compile(ROOT + r"/zones/(?P<zone>[a-z0-9-]+)/instances")),
    ("describe", "GET", re.compile(ROOT + r"/zones/(?P<zone>[a-z0-9-]+)/instances/(?P<name>[a-z0-9-]+)")),
    ("terminate", "DELETE", re.compile(ROOT + r"/zones/(?P<zone>[a-z0-9-]+)/instances/(?P<name>[a-z0-9-]+)")),
    ("list", "GET", re.compile(ROOT + r"/aggregated/instances")),
    ("operation", "GET", re.compile(ROOT + r"/zones/(?P<zone>[a-z0-9-]+)/operations/(?P<name>[a-z0-9-]+)")),
    ("operation", "POST", re.compile(ROOT + r"/zones/(?P<zone>[a-z0-9-]+)/operations/(?P<name>[a-z0-9-]+)/wait")),
    ("types", "GET", re.compile(ROOT + r"/aggregated/machineTypes")),
    ("quota", "GET", re.compile(ROOT + r"/regions")),
    ("project", "GET", re.compile(ROOT)),
    ("families", "GET", re.compile(r"/v1/projects/(?P<project>[a-z0-9-]+)/locations/global/services/compute.googleapis.com/quotaInfos/(?P<name>[A-Za-z0-9-]+)")),
    ("permissions", "POST", re.compile(r"/v1/projects/(?P<project>[a-z0-9-]+):testIamPermissions")),
    ("image", "GET", re.compile(r"/compute/v1/projects/[a-z0-9-]+/global/images/(?P<name>[a-z0-9/-]+)")),
    ("token", "POST", re.compile(r"/token")),
    ("metadata", "GET", re.compile(r"/computeMetadata/v1/(?P<what>.+)")),
    ("offers", "GET", re.compile(r"/v1/services/6F81-5844-456A/skus")),
]


def stamp(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def b64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Dialect:
    name = "gce"

    def __init__(self, world, options):
        self.world = world
        self.url = options["url"]
        self.project = options.get("project", "weir-test")
        self.lock = threading.RLock()
        self.operation_s = float(options.get("operation_s", 0.05))
        self.key = Key(int(options.get("key_bits", 1024)))
        self.account = f"weir@{self.project}.iam.gserviceaccount.com"
        self.refresh_token = "1//refresh-" + secrets.token_hex(8)
        self.tokens = {}  # access token -> valid until
        self.token_s = float(options.get("token_s", 3599))
        self.operations = {}
        self.requests = {}  # requestId -> operation
        if options.get("service_account"):
            pathlib.Path(options["service_account"]).write_text(json.dumps(self.key_file()))
        if options.get("user_file"):
            pathlib.Path(options["user_file"]).write_text(json.dumps({
                "type": "authorized_user", "client_id": "weir.apps", "client_secret": "not-so-secret", "refresh_token": self.refresh_token,
                "quota_project_id": self.project, "token_uri": self.url + "/token"}))

    def key_file(self):
        return {"type": "service_account", "project_id": self.project, "private_key_id": "k1", "private_key": self.key.pem,
                "client_email": self.account, "client_id": "1", "token_uri": self.url + "/token"}

    # ---- around the operations ----

    def operation(self, request):
        for name, method, path in ROUTES:
            if request.method == method and path.fullmatch(request.path):
                return name
        return "other"

    def expire_credentials(self):
        with self.lock:
            self.tokens.clear()

    def refusal(self, e, request):
        status, reason = REASON.get(e.kind, (500, "internalError"))
        status = e.more.get("status") or status
        reason = e.more.get("reason", reason)
        headers = {}
        if e.kind == "throttle" and e.more.get("retry_after") is not None:
            status, headers = 429, {"Retry-After": str(e.more["retry_after"])}
        if request.path == "/token":
            return Reply(status, {"error": reason, "error_description": e.text}, headers=headers)
        text = {"quota": "Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally."}.get(e.kind, e.text)
        return Reply(status, {"error": {"code": status, "message": text, "errors": [{"message": text, "domain": "global", "reason": reason}],
                                        "status": "FAILED"}}, headers=headers)

    def _grant(self):
        with self.lock:
            token = "ya29." + secrets.token_urlsafe(40)
            self.tokens[token] = self.world.now() + self.token_s
            return Reply(200, {"access_token": token, "expires_in": int(self.token_s), "token_type": "Bearer"})

    def _authorize(self, request):
        header = request.headers.get("Authorization", "")
        with self.lock:
            until = self.tokens.get(header.removeprefix("Bearer "), 0)
        if not header.startswith("Bearer ") or until <= self.world.now():
            raise CloudError("unauthorized", "Request had invalid authentication credentials.")

    def handle(self, request, operation):
        m = next((path.fullmatch(request.path) for name, method, path in ROUTES
                  if request.method == method and path.fullmatch(request.path)), None)
        if m is None:
            raise CloudError("not_found", f"{request.method} {request.path} is not there")
        parts = m.groupdict()
        if operation == "token":
            return self._token(request)
        if operation == "metadata":
            return self._metadata(request, parts["what"])
        self._authorize(request)
        if parts.get("project") not in (None, self.project):
            raise CloudError("forbidden", f"Required permission for projects/{parts['project']}")
        if parts.get("zone") not in (None, *ZONES):
            raise CloudError("not_found", f"The resource 'projects/{self.project}/zones/{parts['zone']}' was not found")
        return getattr(self, "_" + operation)(request, parts)

    def _permissions(self, request, parts):
        asked = request.json()["permissions"]
        return Reply(200, {"permissions": [p for p in asked if p not in self.world.denied]})

    def _image(self, request, parts):
        if self.world.no_images:
            raise CloudError("not_found", f"The resource '{request.path.removeprefix('/compute/v1/')}' was not found")
        return Reply(200, {"kind": "compute#image", "name": parts["name"].rsplit("/", 1)[-1], "status": "READY"})

    # ---- credentials ----

    def _token(self, request):
        if request.headers.get("Content-Type", "").split(";")[0] != "application/x-www-form-urlencoded":
            raise CloudError("invalid", "a form is wanted", reason="invalid_request")
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        if form.get("grant_type") == "refresh_token":
            if form.get("refresh_token") != self.refresh_token or form.get("client_secret") != "not-so-secret" or form.get("client_id") != "weir.apps":
                raise CloudError("invalid", "Bad Request", reason="invalid_grant")
            return self._grant()
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            raise CloudError("invalid", "Invalid grant_type", reason="unsupported_grant_type")
        try:
            head, claims, signature = form["assertion"].split(".")
            header, body = json.loads(b64url(head)), json.loads(b64url(claims))
            verified = self.key.verifies(b64url(signature), f"{head}.{claims}".encode())
        except (KeyError, ValueError) as e:
            raise CloudError("invalid", f"Invalid JWT: {e}", reason="invalid_grant") from e
        now = self.world.now()
        if not verified or header.get("alg") != "RS256" or header.get("kid") != "k1" or "=" in form["assertion"]:
            raise CloudError("invalid", "Invalid JWT Signature.", reason="invalid_grant")
        # Google's own client names its own endpoint whatever the key file says
        if body.get("iss") != self.account or body.get("aud") not in (self.url + "/token", "https://oauth2.googleapis.com/token") or "cloud-platform" not in body.get("scope", ""):
            raise CloudError("invalid", "Invalid JWT: iss, aud or scope", reason="invalid_grant")
        if not (now - 3600 - 60 < body.get("iat", 0) <= now + 300) or body.get("exp", 0) <= now or body["exp"] - body["iat"] > 3600:
            raise CloudError("invalid", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
                                        "Check your iat and exp values in the JWT claim.", reason="invalid_grant")
        return self._grant()

    def _metadata(self, request, what):
        if request.headers.get("Metadata-Flavor") != "Google":
            raise CloudError("forbidden", "Metadata-Flavor: Google is missing")
        if what == "instance/service-accounts/default/token":
            reply = self._grant()
        elif what == "project/project-id":
            reply = Reply(200, self.project.encode(), "application/text")
        else:
            raise CloudError("not_found", what)
        reply.headers["Metadata-Flavor"] = "Google"
        return reply

    def metadata(self, instance, request, path):
        """As a machine is told of itself."""
        if request.headers.get("Metadata-Flavor") != "Google":
            raise CloudError("forbidden", "Metadata-Flavor: Google is missing")
        if path != "computeMetadata/v1/instance/preempted":
            raise CloudError("not_found", path)
        instance.told += bool(instance.notice_at)
        return Reply(200, b"TRUE" if instance.notice_at else b"FALSE", "application/text", {"Metadata-Flavor": "Google"})

    # ---- operations ----

    def _new_operation(self, kind, zone, target, error=None, request_id=None, at_once=False):
        now = self.world.now()
        op = {"kind": "compute#operation", "id": str(secrets.randbelow(1 << 62)), "name": "operation-" + uuid.uuid4().hex, "zone": f"{self.url}/zones/{zone}",
              "operationType": kind, "targetLink": f"{self.url}/compute/v1/projects/{self.project}/zones/{zone}/instances/{target}",
              "targetId": str(int(hashlib.sha256(target.encode()).hexdigest()[:12], 16)), "insertTime": stamp(now), "progress": 0,
              "_done_at": now + (0 if at_once else self.operation_s), "_error": error}
        if request_id:
            op["clientOperationId"] = request_id
        with self.lock:
            self.operations[op["name"]] = op
            if request_id:
                self.requests[request_id] = op
        return op

    def _show(self, op):
        shown = {k: v for k, v in op.items() if not k.startswith("_")}
        shown["status"] = "RUNNING"
        if self.world.now() >= op["_done_at"]:
            shown.update({"status": "DONE", "progress": 100, "endTime": stamp(op["_done_at"])})
            if op["_error"]:
                code, text, status = op["_error"]
                shown.update({"error": {"errors": [{"code": code, "message": text}]}, "httpErrorStatusCode": status, "httpErrorMessage": "FAILED"})
        return Reply(200, shown)

    def _operation(self, request, parts):
        op = self.operations.get(parts["name"])
        if op is None:
            raise CloudError("not_found", f"The resource '{parts['name']}' was not found")
        return self._show(op)

    @staticmethod
    def _request_id(request):
        ident = request.query.get("requestId")
        if ident is not None:
            if not re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", ident) or set(ident) == {"0", "-"}:
                raise CloudError("invalid", "Invalid value for field 'requestId': it must be a valid UUID")
        return ident

    def _check_query(self, request, known):
        for key in request.query:
            if key not in known and key not in ("alt", "fields", "prettyPrint", "quotaUser"):
                raise CloudError("invalid", f"Invalid JSON payload received. Unknown name \"{key}\": Cannot bind query parameter.")

    def _create(self, request, parts):
        self._check_query(request, {"requestId"})
        request_id = self._request_id(request)
        with self.lock:
            if request_id in self.requests:
                return self._show(self.requests[request_id])
        body = request.json()
        wrong = problems(body, INSTANCE)
        if wrong:
            raise CloudError("invalid", "; ".join(wrong))
        zone, kind = body["machineType"].split("/")[-3], body["machineType"].split("/")[-1]
        if zone != parts["zone"] or kind not in TYPES:
            raise CloudError("invalid", f"Invalid value for field 'resource.machineType': '{body['machineType']}'")
        scheduling = body.get("scheduling", {})
        if scheduling.get("onHostMaintenance") != "TERMINATE":
            raise CloudError("invalid", "Instances with guest accelerators do not support live migration.")
        if "guestAccelerators" in body:
            raise CloudError("invalid", "The machine type carries its accelerators itself.")
        spot = scheduling.get("provisioningModel") == "SPOT"
        if spot and scheduling.get("automaticRestart"):
            raise CloudError("invalid", "Automatic restart is not for Spot VMs.")
        if "maxRunDuration" in scheduling and "instanceTerminationAction" not in scheduling:
            raise CloudError("invalid", "maxRunDuration needs an instanceTerminationAction.")
        metadata = {i["key"]: i["value"] for i in body.get("metadata", {}).get("items", [])}
        if sum(map(len, metadata.values())) > 524288:
            raise CloudError("invalid", "metadata is larger than 512 KB")
        script = metadata.get("startup-script") or None
        gpu = TYPES[kind]
        limit = scheduling.get("maxRunDuration", {}).get("seconds")
        wanted = {"body": body, "zone": parts["zone"], "spot": spot, "boot": {"user_data": script} if script else None,
                  "machine_env": {"MOCK_NVML": f"{gpu[5]}:{gpu[3]}:{gpu[4]}"}, "ends_with_program": False,
                  "until": self.world.now() + int(limit) if limit else None}
        affinity = body.get("reservationAffinity", {})
        if affinity.get("consumeReservationType") == "SPECIFIC_RESERVATION":
            if "key" not in affinity or not affinity.get("values"):
                raise CloudError("invalid", "SPECIFIC_RESERVATION needs a key and a value.")
            wanted["reservation"] = affinity["values"][0]
        wanted["bound"] = scheduling.get("provisioningModel") == "RESERVATION_BOUND"
        metric = METRICS.get(gpu[2])
        family = FAMILIES.get(gpu[2])
        if family:
            wanted["takes"] = gpu[3]
            wanted["quota_of"] = f"{parts['zone'].rsplit('-', 1)[0]} {'PREEMPTIBLE_' + family + '_GPUS' if spot else family}"
        elif metric:
            wanted["takes"] = gpu[3]
            wanted["quota_of"] = f"{parts['zone'].rsplit('-', 1)[0]} {'PREEMPTIBLE_' if spot else ''}{metric}"
        ident = f"{parts['zone']}/{body['name']}"
        with self.world.lock:
            old = self.world.instances.get(ident)
            if old is not None and old.state != "gone":
                raise CloudError("conflict", f"The resource 'projects/{self.project}/zones/{zone}/instances/{body['name']}' already exists")
        words = ("ZONE_RESOURCE_POOL_EXHAUSTED", f"The zone 'projects/{self.project}/zones/{zone}' does not have enough resources available to "
                                                 "fulfill the request.  '(resource type:compute)'.", 503)
        try:
            instance, _, later = self.world.create(ident, body.get("labels", {}).get("weir-owner", ""), wanted, ident=ident, replay="conflict")
        except CloudError as e:
            words_of = {"missing": f"Specified reservation {e.text} does not exist.",
                        "bound": f"Specified reservation {e.text} is for another provisioning model.",
                        "full": f"Specified reservation {e.text} does not have available resources for the request."}
            if e.more.get("reservation") in words_of:
                raise CloudError("invalid", words_of[e.more["reservation"]]) from e
            if e.kind != "no_capacity":
                raise
            return self._show(self._new_operation("insert", zone, body["name"], words, request_id, at_once=True))
        error = None
        if later is not None:
            error = words if later.kind == "no_capacity" else ("INTERNAL_ERROR", "Internal error. Please try again.", 500)
        return self._show(self._new_operation("insert", zone, instance.request["body"]["name"], error, request_id))

    def _instance(self, i):
        status = {"pending": "PROVISIONING", "running": "RUNNING", "stopping": "STOPPING", "stopped": "TERMINATED", "failed": "TERMINATED"}[i.state]
        body = i.request["body"]
        return {"kind": "compute#instance", "id": str(int(hashlib.sha256(i.id.encode()).hexdigest()[:12], 16)), "name": body["name"], "status": status,
                "creationTimestamp": stamp(i.created), "zone": f"{self.url}/compute/v1/projects/{self.project}/zones/{i.request['zone']}",
                "machineType": body.get("machineType", ""), "labels": body.get("labels", {}), "scheduling": body.get("scheduling", {}),
                "guestAccelerators": self._accelerators(body.get("machineType", "").rsplit("/", 1)[-1]), "lastStartTimestamp": stamp(i.created)}

    @staticmethod
    def _accelerators(kind):
        return [{"acceleratorType": TYPES[kind][2], "acceleratorCount": TYPES[kind][3]}] if kind in TYPES else []

    def _describe(self, request, parts):
        instance = self.world.get(f"{parts['zone']}/{parts['name']}")
        if instance is None or instance.state == "gone":
            raise CloudError("not_found", f"The resource '{parts['name']}' was not found")
        return Reply(200, self._instance(instance))

    def _list(self, request, parts):
        self._check_query(request, {"filter", "maxResults", "pageToken", "returnPartialSuccess", "orderBy"})
        found = [i for i in self.world.visible() if i.state != "gone"]
        if "filter" in request.query:
            m = re.fullmatch(r"labels\.(" + LABEL + r")\s*=\s*\"?([a-z0-9_-]*)\"?", request.query["filter"])
            if not m:
                raise CloudError("invalid", f"Invalid list filter expression: {request.query['filter']}")
            found = [i for i in found if i.request["body"].get("labels", {}).get(m.group(1)) == m.group(2)]
        size = int(request.query.get("maxResults", 500))
        if not 0 <= size <= 500:
            raise CloudError("invalid", "maxResults: 0 to 500")
        page, following = self.world.page(found, request.query.get("pageToken", ""), size or None)
        items = {f"zones/{z}": {"warning": {"code": "NO_RESULTS_ON_PAGE", "message": f"There are no results for scope 'zones/{z}' on this page."}} for z in ZONES}
        for i in page:
            zone = items.setdefault(f"zones/{i.request['zone']}", {})
            zone.pop("warning", None)
            zone.setdefault("instances", []).append(self._instance(i))
        reply = {"kind": "compute#instanceAggregatedList", "id": "x", "items": items}
        if following:
            reply["nextPageToken"] = following
        return Reply(200, reply)

    def _terminate(self, request, parts):
        self._check_query(request, {"requestId", "noGracefulShutdown"})
        request_id = self._request_id(request)
        instance = self.world.get(f"{parts['zone']}/{parts['name']}")
        if instance is None or instance.state == "gone":
            raise CloudError("not_found", f"The resource '{parts['name']}' was not found")
        self.world.terminate(instance)
        return self._show(self._new_operation("delete", parts["zone"], parts["name"], None, request_id))

    def _types(self, request, parts):
        self._check_query(request, {"filter", "maxResults", "pageToken", "returnPartialSuccess", "orderBy"})
        items = {}
        wanted = re.fullmatch(r'name eq "(.+)"', request.query.get("filter", 'name eq ".*"'))
        if not wanted:
            raise CloudError("invalid", f"Invalid list filter expression: {request.query['filter']}")
        for zone in ZONES:
            listed = [{"kind": "compute#machineType", "name": name, "guestCpus": t[0], "memoryMb": t[1], "zone": zone,
                       "accelerators": [{"guestAcceleratorType": t[2], "guestAcceleratorCount": t[3]}]} for name, t in TYPES.items() if re.fullmatch(wanted.group(1), name)]
            items[f"zones/{zone}"] = {"machineTypes": listed}
        return Reply(200, {"kind": "compute#machineTypeAggregatedList", "id": "x", "items": items})

    def _quota(self, request, parts):
        self._check_query(request, {"filter", "maxResults", "pageToken", "returnPartialSuccess", "orderBy"})
        regions = []
        for region in sorted({z.rsplit("-", 1)[0] for z in ZONES}):
            metrics = [spot + m for m in METRICS.values() for spot in ("", "PREEMPTIBLE_")] + [f"PREEMPTIBLE_{f}_GPUS" for f in FAMILIES.values()]
            quotas = [{"metric": m, "limit": float(self.world.quota), "usage": float(self.world.used(f"{region} {m}"))} for m in metrics]
            regions.append({"kind": "compute#region", "name": region, "status": "UP", "quotas": quotas + [{"metric": "CPUS", "limit": 24.0, "usage": 0.0}]})
        page, following = self.world.page(regions, request.query.get("pageToken", ""))
        return Reply(200, {"kind": "compute#regionList", "items": page, **({"nextPageToken": following} if following else {})})

    def _project(self, request, parts):
        self._check_query(request, set())
        used = sum(self.world.used(f"{r} {m}") for r in {z.rsplit("-", 1)[0] for z in ZONES} for m in (*METRICS.values(), *FAMILIES.values()))
        return Reply(200, {"kind": "compute#project", "name": self.project, "quotas": [
            {"metric": "GPUS_ALL_REGIONS", "limit": float(self.world.quota), "usage": float(used)}]})

    def _families(self, request, parts):
        """A QuotaInfo: what is closest to a family and region holds there."""
        self._check_query(request, set())
        if "cloudquotas.quotas.get" in self.world.denied:
            raise CloudError("forbidden", "Permission 'cloudquotas.quotas.get' denied on resource (or it may not exist).")
        if parts["name"] != "GPUS-PER-GPU-FAMILY-per-project-region":
            raise CloudError("not_found", "Requested entity was not found.")
        regions = sorted({z.rsplit("-", 1)[0] for z in ZONES})

        def info(dimensions, value, places):
            return {"dimensions": dimensions, "details": {"value": str(value)}, "applicableLocations": places}
        infos = [info({"region": r}, 3, [r]) for r in regions]  # of families of which nothing is said
        infos += [info({"gpu_family": f, "region": r}, self.world.quota, [r]) for f in FAMILIES.values() for r in regions]
        infos += [info({"gpu_family": f}, 1, regions) for f in FAMILIES.values()]
        return Reply(200, {"name": request.path.removeprefix("/v1/"), "quotaId": parts["name"], "metric": "compute.googleapis.com/gpus_per_gpu_family",
                           "service": "compute.googleapis.com", "isPrecise": True, "containerType": "PROJECT", "dimensions": ["gpu_family", "region"],
                           "metricUnit": "1", "dimensionsInfos": infos})

    def _offers(self, request, parts):
        """Rates of the Cloud Billing Catalog, for what TYPES need."""
        families = {"G2": (0.02498, 0.00293, "Nvidia L4 GPU", 0.56), "A2": (0.031611, 0.004237, "Nvidia Tesla A100 GPU", 2.934),
                    "A3": (0.029, 0.0025, "Nvidia H100 80GB GPU", 9.8)}
        skus = []
        for family, (core, ram, gpu, each) in families.items():
            for usage, factor in (("OnDemand", 1.0), ("Preemptible", 0.35)):
                spot = usage == "Preemptible"
                for what, unit, price in ((f"{family} Instance Core", "h", core), (f"{family} Instance Ram", "GiBy.h", ram), (gpu, "h", each)):
                    text = f"{'Spot Preemptible ' if spot and what != gpu else ''}{what}" + \
                           (" attached to Spot Preemptible VMs" if spot and what == gpu else "") + " running in Americas"
                    nanos = int(round(price * factor * self.world.price_factor * 1e9))
                    skus.append({"skuId": f"{len(skus):04X}-0000-0000", "description": text, "category": {
                        "serviceDisplayName": "Compute Engine", "resourceFamily": "Compute", "resourceGroup": "GPU" if what == gpu else "CPU",
                        "usageType": usage}, "serviceRegions": ["us-central1", "europe-west4"], "pricingInfo": [{
                            "effectiveTime": stamp(self.world.price_since()), "pricingExpression": {
                            "usageUnit": unit, "tieredRates": [{"startUsageAmount": 0, "unitPrice": {
                                "currencyCode": "USD", "units": str(nanos // 10**9), "nanos": nanos % 10**9}}]}}]})
        page, following = self.world.page(skus, request.query.get("pageToken", ""), int(request.query.get("pageSize", 5000)))
        return Reply(200, {"skus": page, "nextPageToken": following})

    def add_foreign(self, body):
        name = body.get("name", f"training-box-{len(self.world.instances)}")
        wanted = {"body": {"name": name, "labels": body.get("labels", {"weir-owner": "somebody-else"})}, "zone": ZONES[0]}
        self.world.create(None, "somebody-else", wanted, ident=f"{ZONES[0]}/{name}")
