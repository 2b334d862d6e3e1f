# SPDX-License-Identifier: Apache-2.0
"""The part of Azure that rents machines: tokens, virtual machines by PUT on their name with asynchronous operations, lists with
nextLink, usages, and the retail prices. A machine whose allocation fails inside its operation stays as a failed resource, and one that
powers itself off stays allocated and is billed: both as at Azure.
"""
import base64
import binascii
import datetime
import email.utils
import re
import urllib.parse
import uuid

from check import Field, problems
from server import Reply
from world import CloudError

SUBSCRIPTION = "00000000-0000-0000-0000-00000000a2e5"
GROUP = "weir"
BASE = f"/subscriptions/{SUBSCRIPTION}"
MACHINES = f"{BASE}/resourceGroups/{GROUP}/providers/Microsoft.Compute/virtualMachines"
SIZES = {  # name: (GPU, how many, MiB each, on demand, spot, family, cores, product)
    "Standard_NC4as_T4_v3": ("Tesla T4", 1, 15360, 0.526, 0.16, "Standard NCASv3_T4 Family", 4, "NCasT4_v3"),
    "Standard_NC24ads_A100_v4": ("NVIDIA A100 80GB PCIe", 1, 81920, 3.673, 1.47, "StandardNCADSA100v4Family", 24, "NCadsA100v4"),
    "Standard_NC96ads_A100_v4": ("NVIDIA A100 80GB PCIe", 4, 81920, 14.692, 5.88, "StandardNCADSA100v4Family", 96, "NCadsA100v4"),
    "Standard_ND96isr_H100_v5": ("NVIDIA H100 80GB HBM3", 8, 81559, 98.32, 40.0, "standardNDSH100v5Family", 96, "NDsrH100v5"),
}
REGIONS = ("eastus", "westeurope")
ZONES = {"Standard_NC4as_T4_v3": ["1", "2", "3"], "Standard_NC24ads_A100_v4": ["1", "2"], "Standard_NC96ads_A100_v4": ["1", "2", "3"]}  # others: none
CLOSED = {"Standard_NC96ads_A100_v4": ["3"]}  # zones that the subscription may not have it in

RESOURCE_ID = r"/subscriptions/[0-9a-f-]+/resource[gG]roups/[^/]+/providers/.+"
NIC = Field("object", fields={
    "name": Field("str", required=True, low=1, high=80),
    "properties": Field("object", required=True, fields={
        "primary": Field("bool"), "deleteOption": Field("str", enum=["Delete", "Detach"]), "enableAcceleratedNetworking": Field("bool"),
        "networkSecurityGroup": Field("object", fields={"id": Field("str", required=True, pattern=RESOURCE_ID)}),
        "ipConfigurations": Field("list", required=True, low=1, items=Field("object", fields={
            "name": Field("str", required=True, low=1, high=80),
            "properties": Field("object", required=True, fields={
                "subnet": Field("object", required=True, fields={"id": Field("str", required=True, pattern=RESOURCE_ID)}),
                "primary": Field("bool"),
                "publicIPAddressConfiguration": Field("object", fields={
                    "name": Field("str", required=True, low=1), "sku": Field("object", fields={"name": Field("str", enum=["Standard", "Basic"])}),
                    "properties": Field("object", fields={"deleteOption": Field("str", enum=["Delete", "Detach"]),
                                                          "publicIPAllocationMethod": Field("str", enum=["Static", "Dynamic"])})})})})),
    })})
MACHINE = Field("object", fields={
    "location": Field("str", required=True, enum=list(REGIONS)),
    "zones": Field("list", items=Field("str", pattern="[123]"), high=1),
    "tags": Field("object", items=Field("str", high=256), high=50),
    "identity": Field("object", fields={"type": Field("str", enum=["SystemAssigned", "UserAssigned"]), "userAssignedIdentities": Field("object")}),
    "properties": Field("object", required=True, fields={
        "hardwareProfile": Field("object", required=True, fields={"vmSize": Field("str", required=True, enum=list(SIZES))}),
        "priority": Field("str", enum=["Regular", "Spot"]),
        "evictionPolicy": Field("str", enum=["Deallocate", "Delete"]),
        "capacityReservation": Field("object", fields={"capacityReservationGroup": Field("object", required=True, fields={
            "id": Field("str", required=True, pattern=r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.Compute/capacityReservationGroups/[^/]+")})}),
        "billingProfile": Field("object", fields={"maxPrice": Field("number", required=True)}),
        "storageProfile": Field("object", required=True, fields={
            "imageReference": Field("object", required=True, fields={
                "publisher": Field("str"), "offer": Field("str"), "sku": Field("str"), "version": Field("str"),
                "id": Field("str"), "communityGalleryImageId": Field("str"), "sharedGalleryImageId": Field("str")}),
            "osDisk": Field("object", required=True, fields={
                "createOption": Field("str", required=True, enum=["FromImage"]), "diskSizeGB": Field("int", low=1, high=4095),
                "deleteOption": Field("str", enum=["Delete", "Detach"]), "caching": Field("str", enum=["None", "ReadOnly", "ReadWrite"]),
                "managedDisk": Field("object", fields={"storageAccountType": Field("str", required=True)})})}),
        "osProfile": Field("object", required=True, fields={
            "computerName": Field("str", required=True, low=1, high=64), "adminUsername": Field("str", required=True, low=1, high=32),
            "customData": Field("str"),
            "linuxConfiguration": Field("object", required=True, fields={
                "disablePasswordAuthentication": Field("bool", required=True),
                "ssh": Field("object", required=True, fields={"publicKeys": Field("list", required=True, low=1, items=Field("object", fields={
                    "path": Field("str", required=True), "keyData": Field("str", required=True, pattern=r"(ssh-rsa|ssh-ed25519) \S+.*")}))})})}),
        "networkProfile": Field("object", required=True, fields={
            "networkApiVersion": Field("str", required=True, enum=["2022-11-01", "2020-11-01"]),
            "networkInterfaceConfigurations": Field("list", required=True, low=1, items=NIC)}),
        "scheduledEventsProfile": Field("object", fields={"terminateNotificationProfile": Field("object", fields={
            "enable": Field("bool", required=True), "notBeforeTimeout": Field("str", pattern=r"PT\d+M")})}),
    })})

CODE = {"invalid": ("InvalidParameter", 400), "unauthorized": ("InvalidAuthenticationToken", 401), "forbidden": ("AuthorizationFailed", 403),
        "not_found": ("ResourceNotFound", 404), "conflict": ("PreconditionFailed", 412), "throttle": ("TooManyRequests", 429),
        "no_capacity": ("SkuNotAvailable", 409), "quota": ("OperationNotAllowed", 409), "server_error": ("InternalServerError", 500),
        "expired_page": ("InvalidSkipToken", 400), "mismatch": ("PropertyChangeNotAllowed", 409)}
TEXT = {"no_capacity": "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: {size}' is currently not available "
                       "in location 'eastus'. Please try another size or deploy to a different location or different zone. See "
                       "https://aka.ms/azureskunotavailable for details.",
        "quota": "Operation could not be completed as it results in exceeding approved {family} Cores quota. Additional details - Deployment Model: "
                 "Resource Manager, Location: eastus, Current Limit: 24, Current Usage: 24, Additional Required: 24, (Minimum) New Limit Required: 48.",
        "throttle": "The server rejected the request because too many requests have been received for this subscription."}


def stamp(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


class Dialect:
    name = "azure"

    def __init__(self, world, options):
        self.world = world
        self.url = options["url"]
        self.secret = options.get("secret", "mock-client-secret")
        self.tenant = options.get("tenant", "11111111-1111-1111-1111-111111111111")
        self.token_s = int(options.get("token_s", "3600"))
        self.tokens = {}  # bearer -> its end
        self.operations = {}  # id -> (instance, what it fails with or None)

    # ---- around the operations ----

    def operation(self, request):
        path = request.path
        if path.endswith("/oauth2/v2.0/token") or path == "/metadata/identity/oauth2/token":
            return "token"
        if path == "/api/retail/prices":
            return "offers"
        if "/locations/" in path and "/operations/" in path:
            return "poll"
        if path.endswith("/usages"):
            return "quota"
        if path == f"{BASE}/providers/Microsoft.Compute/skus":
            return "sizes"
        if path.endswith("/providers/Microsoft.Authorization/permissions"):
            return "permissions"
        if path == MACHINES:
            return "list"
        if path.startswith(MACHINES + "/"):
            return {"PUT": "create", "GET": "describe", "DELETE": "terminate"}.get(request.method, "other")
        return "other"

    def expire_credentials(self):
        self.tokens.clear()

    def refusal(self, e, request):
        code, status = CODE.get(e.kind, ("InternalServerError", 500))
        code = e.more.get("code", code)
        status = e.more.get("status") or status
        text = TEXT.get(e.kind, e.text).format(size="the size", family="standardNCADSA100v4Family")
        headers = {"x-ms-request-id": str(uuid.uuid4())}
        if e.kind == "throttle" and e.more.get("retry_after") is not None:
            headers["Retry-After"] = str(e.more["retry_after"])
        if request.path.endswith("/token"):
            return Reply(status, {"error": "invalid_client" if status in (400, 401) else "temporarily_unavailable",
                                  "error_description": f"AADSTS7000215: {e.text}", "error_codes": [7000215]}, headers=headers)
        error = {"code": code, "message": text}
        if e.kind == "quota":  # the word that tells lies one level down
            error = {"code": "BadRequest", "message": "At least one resource failed.", "details": [{"code": code, "message": text}]}
        return Reply(status, {"error": error}, headers=headers)

    def _authorize(self, request):
        header = request.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            raise CloudError("unauthorized", "Authentication failed. The 'Authorization' header is missing.", code="AuthenticationFailed")
        end = self.tokens.get(header.removeprefix("Bearer "))
        if end is None or self.world.now() >= end:
            raise CloudError("unauthorized", "The access token expiry UTC time is earlier than current UTC time.", code="ExpiredAuthenticationToken")

    def handle(self, request, operation):
        if operation == "token":
            return self._token(request)
        if operation == "offers":
            return self._prices(request)
        self._authorize(request)
        version = request.query.get("api-version", "")
        if not re.fullmatch(r"20\d\d-\d\d-\d\d(-preview)?", version):
            raise CloudError("invalid", "The api-version query parameter (?api-version=) is required for all requests.",
                             code="MissingApiVersionParameter")
        if operation == "permissions":
            return self._permissions(request)
        if operation == "sizes":
            return self._sizes(request)
        if operation == "poll":
            return self._poll(request)
        if operation == "list":
            return self._list(request)
        name = request.path.removeprefix(MACHINES + "/")
        if operation == "create":
            return self._create(request, name)
        if operation == "describe":
            return Reply(200, self._machine(self._find(name), request.query.get("$expand") == "instanceView"))
        if operation == "terminate":
            return self._terminate(name)
        m = re.fullmatch(BASE + r"/providers/Microsoft\.Compute/locations/(\w+)/usages", request.path)
        if m and request.method == "GET":
            return self._usages(request, m.group(1))
        raise CloudError("not_found", f"{request.method} {request.path}")

    # ---- tokens ----

    def _token(self, request):
        if request.method == "GET":
            if request.headers.get("Metadata") != "true" or request.headers.get("X-Forwarded-For"):
                raise CloudError("invalid", "Metadata: true is wanted")
            if not request.query.get("resource", "").startswith("https://management."):
                raise CloudError("invalid", "the resource is not known")
        else:
            form = dict(urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True))
            wanted = {"grant_type": "client_credentials", "scope": "https://management.azure.com/.default"}
            if request.path != f"/{self.tenant}/oauth2/v2.0/token" or any(form.get(k) != v for k, v in wanted.items()) or not form.get("client_id"):
                raise CloudError("invalid", "the request for a token is malformed", status=400)
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            by_assertion = form.get("client_assertion_type") == kind and form.get("client_assertion") == "mock-federated-token"
            if form.get("client_secret") != self.secret and not by_assertion:
                raise CloudError("unauthorized", "Invalid client secret provided.")
        token = "mock" + uuid.uuid4().hex
        self.tokens[token] = self.world.now() + self.token_s
        expires = str(self.token_s) if request.method == "GET" else self.token_s
        return Reply(200, {"token_type": "Bearer", "expires_in": expires, "access_token": token})

    def metadata(self, instance, request, path):
        """Scheduled events, as a machine is told of them."""
        if request.headers.get("Metadata") != "true":
            raise CloudError("invalid", "Metadata: true is wanted")
        if path != "metadata/scheduledevents" or not request.query.get("api-version"):
            raise CloudError("not_found", path)
        events = []
        if instance.notice_at:
            instance.told += 1
            events = [{"EventId": str(uuid.uuid5(uuid.NAMESPACE_URL, instance.id)), "EventType": "Preempt", "ResourceType": "VirtualMachine",
                       "Resources": [instance.id], "EventStatus": "Scheduled", "EventSource": "Platform", "Description": "", "DurationInSeconds": -1,
                       "NotBefore": email.utils.formatdate(instance.notice_at, usegmt=True)}]
        return Reply(200, {"DocumentIncarnation": 1 + len(events), "Events": events})

    # ---- machines ----

    def _find(self, name):
        with self.world.lock:
            instance = self.world._find_token(name)
            if instance is None or instance.state == "gone" or self.world.get(instance.id) is None:
                raise CloudError("not_found", f"The Resource 'Microsoft.Compute/virtualMachines/{name}' under resource group '{GROUP}' was not found.")
            return instance

    def _create(self, request, name):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", name) or name.endswith("-"):
            raise CloudError("invalid", "The virtual machine name is not valid.", code="InvalidResourceName")
        body = request.json()
        wrong = problems(body, MACHINE)
        if wrong:
            raise CloudError("invalid", "; ".join(wrong))
        p = body["properties"]
        if "priority" not in p and ("evictionPolicy" in p or "billingProfile" in p):
            raise CloudError("invalid", "evictionPolicy and billingProfile are for priority Spot")
        image = p["storageProfile"]["imageReference"]
        if not image.get("id") and not image.get("communityGalleryImageId") and any(not image.get(k) for k in ("publisher", "offer", "sku", "version")):
            raise CloudError("invalid", "imageReference: publisher, offer, sku and version, or an id")
        size, zones = p["hardwareProfile"]["vmSize"], body.get("zones", [])
        open_zones = [z for z in ZONES.get(size, []) if z not in CLOSED.get(size, [])]
        if zones and zones[0] not in open_zones:
            raise CloudError("invalid", f"The zone(s) '{zones[0]}' for resource '{name}' is not supported. The supported zones are '{','.join(open_zones)}'",
                             code="InvalidAvailabilityZone")
        try:
            user_data = base64.b64decode(p["osProfile"].get("customData", ""), validate=True)
        except binascii.Error as e:
            raise CloudError("invalid", "customData is not base64") from e
        if len(user_data) > 65535:
            raise CloudError("invalid", "customData is too long")
        gpu, count, memory = SIZES[p["hardwareProfile"]["vmSize"]][:3]
        only_new = request.headers.get("If-None-Match") == "*"
        compare = {k: v for k, v in p.items() if k != "osProfile"}
        wanted = {"body": body, "compare": compare, "spot": p.get("priority") == "Spot", "machine_env": {"MOCK_NVML": f"{gpu}:{count}:{memory}"},
                  "boot": {"user_data": user_data.decode("utf-8", "replace")} if user_data else None, "ends_with_program": False}
        if "capacityReservation" in p:
            if wanted["spot"]:
                raise CloudError("invalid", "capacityReservation is not for priority Spot")
            wanted["reservation"] = p["capacityReservation"]["capacityReservationGroup"]["id"].rsplit("/", 1)[1]
        size = SIZES[p["hardwareProfile"]["vmSize"]]
        wanted["zone"] = zones[0] if zones else None
        wanted["takes"] = size[6]
        wanted["quota_of"] = f"{body['location']} {'lowPriorityCores' if wanted['spot'] else size[5]}"
        with self.world.lock:
            before = self.world._find_token(name)
            replay = "conflict" if only_new or before is None or before.state == "gone" else "return"
            ident = name if name not in self.world.instances else f"{name}~{uuid.uuid4().hex[:4]}"
            instance, is_new, later = self.world.create(name, body.get("tags", {}).get("weir-owner", ""), wanted, ident=ident, replay=replay)
            if later is not None and instance.state == "gone":  # its allocation failed: the resource stays
                instance.state, instance.ended = "failed", 0.0
                self.world.tokens.setdefault(name, []).append(instance.id)
            ident = uuid.uuid4().hex
            self.operations[ident] = (instance, later)
        link = f"{self.url}{BASE}/providers/Microsoft.Compute/locations/{body['location']}/operations/{ident}?api-version=2024-07-01&t=1"
        return Reply(201 if is_new else 200, self._machine(instance, False), headers={"Azure-AsyncOperation": link, "Retry-After": "0"})

    def _poll(self, request):
        ident = request.path.rsplit("/", 1)[1]
        if ident not in self.operations:
            raise CloudError("not_found", "The operation was not found.")
        instance, later = self.operations[ident]
        if later is not None:
            code = {"no_capacity": "AllocationFailed"}.get(later.kind, "InternalExecutionError")
            text = {"no_capacity": "Allocation failed. We do not have sufficient capacity for the requested VM size in this region."}.get(later.kind, later.text)
            return Reply(200, {"status": "Failed", "error": {"code": code, "message": text}})
        return Reply(200, {"status": "InProgress" if instance.state == "pending" else "Succeeded"}, headers={"Retry-After": "0"})

    def _machine(self, i, view):
        body = i.request["body"]
        state = {"pending": "Creating", "failed": "Failed", "stopping": "Deleting"}.get(i.state, "Succeeded")
        properties = {k: v for k, v in body["properties"].items() if k not in ("osProfile", "networkProfile")}
        properties.update({"provisioningState": state, "vmId": str(uuid.uuid5(uuid.NAMESPACE_URL, i.id)), "timeCreated": stamp(i.created)})
        if view:
            power = {"pending": "starting", "running": "running", "stopping": "stopping", "stopped": "stopped"}.get(i.state)
            statuses = [{"code": f"ProvisioningState/{state.lower()}", "level": "Info"}]
            if i.state == "failed":
                statuses = [{"code": "ProvisioningState/failed/AllocationFailed", "level": "Error"}]
            if power:
                statuses.append({"code": f"PowerState/{power}", "level": "Info"})
            properties["instanceView"] = {"statuses": statuses}
        name = i.token or i.id
        return {"name": name, "id": f"{MACHINES}/{name}", "type": "Microsoft.Compute/virtualMachines", "location": body["location"],
                **({"zones": body["zones"]} if "zones" in body else {}), "tags": body.get("tags", {}), "properties": properties}

    def _list(self, request):
        if request.method != "GET":
            raise CloudError("invalid", "GET is wanted")
        there = [i for i in self.world.visible() if i.state != "gone"]
        page, following = self.world.page(there, request.query.get("$skiptoken", ""))
        answer = {"value": [self._machine(i, False) for i in page]}
        if following:
            answer["nextLink"] = f"{self.url}{MACHINES}?api-version=2024-07-01&$skiptoken={following}"
        return Reply(200, answer)

    def _terminate(self, name):
        try:
            self.world.terminate(self._find(name))
        except CloudError:
            return Reply(204)
        return Reply(202, headers={"Retry-After": "0"})

    def _permissions(self, request):
        if request.path != f"{BASE}/resourceGroups/{GROUP}/providers/Microsoft.Authorization/permissions" or request.method != "GET":
            raise CloudError("not_found", f"{request.method} {request.path}")
        denied = [d for d in self.world.denied if d.startswith("Microsoft.")]
        return Reply(200, {"value": [{"actions": ["*/read"], "notActions": [], "dataActions": [], "notDataActions": []},
                                     {"actions": ["microsoft.compute/*", "Microsoft.Network/*"], "notActions": denied, "dataActions": [], "notDataActions": []}]})

    def _usages(self, request, location):
        families = sorted({s[5] for s in SIZES.values()})
        used = {f: self.world.used(f"{location} {f}") for f in (*families, "lowPriorityCores")}
        used["cores"] = sum(used[f] for f in families)
        page, following = self.world.page(list(used), request.query.get("$skiptoken", ""))
        answer = {"value": [{"name": {"value": f, "localizedValue": f + " vCPUs"}, "currentValue": used[f], "limit": self.world.quota, "unit": "Count"}
                            for f in page]}
        if following:
            answer["nextLink"] = f"{self.url}{request.path}?api-version=2024-07-01&$skiptoken={following}"
        return Reply(200, answer)

    # ---- prices ----

    def _sizes(self, request):
        """Resource SKUs: of disks too, and of a size that is not for this subscription."""
        if "Microsoft.Compute/skus/read" in self.world.denied:
            raise CloudError("forbidden", "The client does not have authorization to perform action 'Microsoft.Compute/skus/read'.")
        found = re.fullmatch(r"location eq '(\w+)'", request.query.get("$filter", ""))
        if not found or found.group(1) not in REGIONS:
            raise CloudError("invalid", "the filter is not one that this mock knows")
        region = found.group(1)
        rows = [{"resourceType": "disks", "name": "Premium_LRS", "locations": [region], "locationInfo": [{"location": region, "zones": ["1"]}], "restrictions": []},
                {"resourceType": "virtualMachines", "name": "Standard_ND96isr_H200_v5", "locations": [region], "locationInfo": [{"location": region, "zones": ["2"]}],
                 "restrictions": [{"type": "Location", "values": [region], "restrictionInfo": {"locations": [region]}, "reasonCode": "NotAvailableForSubscription"}]}]
        for name in SIZES:
            closed = CLOSED.get(name, [])
            rows.append({"resourceType": "virtualMachines", "name": name, "locations": [region.upper()],
                         "locationInfo": [{"location": region.upper(), "zones": ZONES.get(name, []), "zoneDetails": []}],
                         "restrictions": [{"type": "Zone", "values": [region], "restrictionInfo": {"locations": [region], "zones": closed},
                                           "reasonCode": "NotAvailableForSubscription"}] if closed else []})
        page, following = self.world.page(rows, request.query.get("$skiptoken", ""), 4)
        link = f"{self.url}{request.path}?api-version=2021-07-01&$filter={urllib.parse.quote(request.query['$filter'])}&$skiptoken={following}"
        return Reply(200, {"value": page, **({"nextLink": link} if following else {})})

    def _prices(self, request):
        f = request.query.get("$filter", "")
        region = re.search(r"armRegionName eq '(\w+)'", f)
        if "serviceName eq 'Virtual Machines'" not in f or not region:
            raise CloudError("invalid", "the filter is not one that this mock knows")
        items = []
        for name, (_, _, _, on_demand, spot, _, _, product) in SIZES.items():
            for price, word in ((on_demand, ""), (spot, " Spot")):
                items.append({"currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": round(price * self.world.price_factor, 6),
                              "unitPrice": round(price * self.world.price_factor, 6), "armRegionName": region.group(1), "location": region.group(1),
                              "effectiveStartDate": stamp(self.world.price_since()), "meterId": str(uuid.uuid5(uuid.NAMESPACE_URL, name + word)),
                              "meterName": name.removeprefix("Standard_").replace("_", " ") + word, "skuName": name + word,
                              "productName": f"Virtual Machines {product} Series", "serviceName": "Virtual Machines", "unitOfMeasure": "1 Hour",
                              "type": "Consumption", "isPrimaryMeterRegion": True, "armSkuName": name})
        skip = request.query.get("$skip", "0")
        if not skip.isdigit():
            raise CloudError("invalid", "$skip is a number")
        page = items[int(skip):int(skip) + 5]
        following = int(skip) + 5 if int(skip) + 5 < len(items) else 0
        link = f"{self.url}/api/retail/prices?$filter={urllib.parse.quote(f)}&$skip={following}" if following else None
        return Reply(200, {"BillingCurrency": "USD", "Items": page, "NextPageLink": link, "Count": len(page)})

    def add_foreign(self, body):
        """A machine of somebody else in the same group."""
        wanted = {"body": {"location": "eastus", "tags": body.get("tags", {"weir-owner": "somebody-else"}),
                           "properties": {"hardwareProfile": {"vmSize": "Standard_NC4as_T4_v3"}}}, "compare": {}}
        name = "other-" + uuid.uuid4().hex[:8]
        self.world.create(name, "somebody-else", wanted, ident=name)
