# SPDX-License-Identifier: Apache-2.0
"""The part of EC2's query API that rents machines: RunInstances with ClientToken, DescribeInstances with filters and pages,
TerminateInstances, CreateTags, DescribeSpotPriceHistory. Requests are checked name by name; whoever wants signatures checked
asks a server that does (moto): here only the form, the key and the date of the signature count.
"""
import base64
import binascii
import datetime
import fnmatch
import json
import re
import urllib.parse
import uuid
from xml.sax.saxutils import escape

from server import Reply
from world import CloudError

REGION = "us-east-1"
CORES = {"g4dn.xlarge": 4, "g6.xlarge": 4, "g6.12xlarge": 48, "p4d.24xlarge": 96, "p5.48xlarge": 192}
QUOTAS = {  # code: (name, how its types begin, on the spot)
    "L-DB2E81BA": ("Running On-Demand G and VT instances", ("g", "vt"), False),
    "L-417A185B": ("Running On-Demand P instances", ("p",), False),
    "L-3819A6DF": ("All G and VT Spot Instance Requests", ("g", "vt"), True),
    "L-7212CCBC": ("All P4, P3 and P2 Spot Instance Requests", ("p2", "p3", "p4"), True),
    "L-C4BD4855": ("All P5 Spot Instance Requests", ("p5",), True),
}
TYPES = {  # name: (GPU, how many, MiB each, on demand, spot)
    "g4dn.xlarge": ("Tesla T4", 1, 15360, 0.526, 0.21),
    "g6.xlarge": ("NVIDIA L4", 1, 23034, 0.805, 0.34),
    "g6.12xlarge": ("NVIDIA L4", 4, 23034, 4.602, 1.9),
    "p4d.24xlarge": ("NVIDIA A100-SXM4-40GB", 8, 40960, 21.96, 9.1),
    "p5.48xlarge": ("NVIDIA H100 80GB HBM3", 8, 81920, 55.04, 24.0),
}
RUN = re.compile("|".join([
    "Action", "Version", "ImageId", "InstanceType", "MinCount", "MaxCount", "ClientToken", "KeyName", "UserData", "DryRun", "SubnetId",
    r"SecurityGroupId\.\d+", r"SecurityGroup\.\d+", "InstanceInitiatedShutdownBehavior", "EbsOptimized", r"IamInstanceProfile\.(Name|Arn)",
    r"NetworkInterface\.\d+\.(DeviceIndex|SubnetId|AssociatePublicIpAddress|DeleteOnTermination|SecurityGroupId\.\d+)",
    r"BlockDeviceMapping\.\d+\.(DeviceName|Ebs\.(VolumeSize|VolumeType|DeleteOnTermination|Encrypted|Iops|Throughput))",
    r"MetadataOptions\.(HttpTokens|HttpPutResponseHopLimit|HttpEndpoint|InstanceMetadataTags)",
    r"TagSpecification\.\d+\.(ResourceType|Tag\.\d+\.(Key|Value))", r"InstanceMarketOptions\.MarketType",
    r"InstanceMarketOptions\.SpotOptions\.(SpotInstanceType|InstanceInterruptionBehavior|MaxPrice)",
    r"Placement\.(AvailabilityZone|GroupName|Tenancy)", r"CapacityReservationSpecification\..+", r"Monitoring\.Enabled",
]))
CODE = {"invalid": ("InvalidParameterValue", 400), "unauthorized": ("AuthFailure", 401), "forbidden": ("UnauthorizedOperation", 403),
        "not_found": ("InvalidInstanceID.NotFound", 400), "throttle": ("RequestLimitExceeded", 503),
        "no_capacity": ("InsufficientInstanceCapacity", 500), "quota": ("VcpuLimitExceeded", 400), "server_error": ("InternalError", 500),
        "expired_page": ("InvalidNextToken", 400), "mismatch": ("IdempotentParameterMismatch", 400), "conflict": ("IncorrectState", 400)}
STATE = {"pending": (0, "pending"), "running": (16, "running"), "stopping": (32, "shutting-down"), "stopped": (80, "stopped"),
         "failed": (0, "pending"), "gone": (48, "terminated")}


def stamp(t):
    return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def groups(form, prefix):
    """Prefix.N.rest -> {N: {rest: value}} in order."""
    found = {}
    for key, value in form.items():
        m = re.fullmatch(re.escape(prefix) + r"\.(\d+)(?:\.(.+))?", key)
        if m:
            found.setdefault(int(m.group(1)), {})[m.group(2) or ""] = value
    return [found[n] for n in sorted(found)]


class Dialect:
    name = "ec2"

    def __init__(self, world, options):
        self.world = world
        self.spare = options.get("next_key")  # what a refreshed credential carries
        self.keys = {options.get("key", "AKIDMOCK")} | ({self.spare} if self.spare else set())
        self.region = options.get("region", REGION)
        self.is_china = self.region.startswith("cn-")
        self.currency = "CNY" if self.is_china else "USD"
        self.made = 0
        self.machine_tokens = {}  # instance -> tokens of its metadata service

    def operation(self, request):
        if request.headers.get("X-Amz-Target") == "AWSPriceListService.GetProducts":
            return "pricelist"
        if request.headers.get("X-Amz-Target", "").startswith("ServiceQuotasV20190624."):
            return "quota"
        form = dict(urllib.parse.parse_qsl(request.body.decode("utf-8", "replace")))
        action = form.get("Action", "")
        if action == "DescribeInstances" and "MaxResults" in form:
            return "list"
        return {"RunInstances": "create", "DescribeInstances": "describe", "TerminateInstances": "terminate",
                "DescribeSpotPriceHistory": "offers", "DescribeInstanceTypeOfferings": "types", "CreateTags": "tag"}.get(action, "other")

    def expire_credentials(self):
        self.keys = {self.spare} if self.spare else set()

    def refusal(self, e, request):
        code, status = CODE.get(e.kind, ("InternalError", 500))
        code = e.more.get("code", code)
        status = e.more.get("status") or status
        headers = {}
        if e.kind == "throttle" and e.more.get("retry_after") is not None:
            headers["Retry-After"] = str(e.more["retry_after"])
        body = (f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{escape(e.text)}</Message>'
                f"</Error></Errors><RequestID>0</RequestID></Response>")
        return Reply(status, body.encode(), "text/xml;charset=UTF-8", headers)

    def _xml(self, action, inner):
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
                f"<requestId>0</requestId>{inner}</{action}Response>")
        return Reply(200, text.encode(), "text/xml;charset=UTF-8")

    def _authorize(self, request):
        m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/(ec2|pricing|servicequotas)/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?"
                         r"Signature=([0-9a-f]{64})", request.headers.get("Authorization", ""))
        date = request.headers.get("X-Amz-Date", "")
        if not m:
            raise CloudError("unauthorized", "the signature is missing or malformed")
        lists = "cn-northwest-1" if self.is_china else "us-east-1"  # where the price lists of the partition are
        if m.group(4) == "pricing" and m.group(3) != lists:
            raise CloudError("unauthorized", f"Credential should be scoped to a valid region, which is {lists}")
        if m.group(1) not in self.keys:
            raise CloudError("unauthorized", "the security token included in the request is expired", code="ExpiredToken", status=400)
        try:
            at = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        except ValueError as e:
            raise CloudError("unauthorized", "X-Amz-Date is missing or malformed") from e
        if abs(at - self.world.now()) > 300:
            raise CloudError("unauthorized", f"Signature expired: {date} is now earlier than {stamp(self.world.now() - 300)}",
                             code="RequestExpired", status=400)

    def handle(self, request, operation):
        if request.method != "POST" or request.path != "/":
            raise CloudError("invalid", "POST / is wanted")
        self._authorize(request)
        if operation == "pricelist":
            return self._products(request)
        if operation == "quota":
            return self._quota(request)
        form = dict(urllib.parse.parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))
        if form.get("Version") != "2016-11-15":
            raise CloudError("invalid", "Version=2016-11-15 is wanted", code="NoSuchVersion")
        action = form["Action"]
        self._permit(f"ec2:{action}")
        if action == "DescribeImages":
            return self._images(form)
        if operation == "create":
            return self._run(form)
        if operation in ("describe", "list"):
            return self._describe(form)
        if operation == "terminate":
            return self._terminate(form)
        if operation == "offers":
            return self._spot(form)
        if operation == "types":
            inner = "".join(f"<item><instanceType>{t}</instanceType><locationType>region</locationType><location>{self.region}</location></item>" for t in TYPES)
            return self._xml(action, f"<instanceTypeOfferingSet>{inner}</instanceTypeOfferingSet>")
        if operation == "tag":
            return self._xml(action, "<return>true</return>")
        raise CloudError("invalid", f"the action {action} is not valid", code="InvalidAction")

    def _permit(self, permission):
        if permission in self.world.denied:
            raise CloudError("forbidden", "You are not authorized to perform this operation. User: arn:aws:iam::1:user/weir is not authorized to perform: "
                                          f"{permission} on resource: * because no identity-based policy allows the {permission} action")

    def _images(self, form):
        ident = form.get("ImageId.1", "")
        if self.world.no_images:
            raise CloudError("invalid", f"The image id '[{ident}]' does not exist", code="InvalidAMIID.NotFound")
        return self._xml("DescribeImages", f"<imagesSet><item><imageId>{escape(ident)}</imageId><imageState>available</imageState></item></imagesSet>")

    def _quota(self, request):
        if request.headers["X-Amz-Target"] != "ServiceQuotasV20190624.GetServiceQuota":
            raise CloudError("invalid", "only GetServiceQuota is known here")
        body = request.json()
        if set(body) != {"ServiceCode", "QuotaCode"} or body["ServiceCode"] != "ec2" or body["QuotaCode"] not in QUOTAS:
            return Reply(400, {"__type": "NoSuchResourceException", "Message": "The request failed because the specified resource does not exist."},
                         "application/x-amz-json-1.1")
        if "servicequotas:GetServiceQuota" in self.world.denied:
            return Reply(400, {"__type": "AccessDeniedException", "Message": "User: arn:aws:iam::1:user/weir is not authorized to perform: "
                               "servicequotas:GetServiceQuota"}, "application/x-amz-json-1.1")
        return Reply(200, {"Quota": {"ServiceCode": "ec2", "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)", "QuotaCode": body["QuotaCode"],
                                     "QuotaName": QUOTAS[body["QuotaCode"]][0], "Value": float(self.world.quota), "Unit": "None", "Adjustable": True,
                                     "GlobalQuota": False}}, "application/x-amz-json-1.1")

    @staticmethod
    def _quota_of(kind, spot):
        return next(c for c, (_, begins, is_spot) in QUOTAS.items() if is_spot == spot and kind.startswith(begins))

    def _products(self, request):
        """GetProducts of the Price List Query API: products as JSON in strings, each with its terms."""
        body = request.json()
        want = {f["Field"]: f["Value"] for f in body["Filters"] if f["Type"] == "TERM_MATCH"}
        fixed = {"operatingSystem": "Linux", "preInstalledSw": "NA", "capacitystatus": "Used", "tenancy": "Shared", "marketoption": "OnDemand",
                 "productFamily": "Compute Instance"}
        if body.get("ServiceCode") != "AmazonEC2" or body.get("FormatVersion") != "aws_v1" or any(want.get(k) != v for k, v in fixed.items()):
            raise CloudError("invalid", "these filters tell more machines apart than are there")
        found = []
        for name, (_, gpus, _, price, _) in TYPES.items():
            if name == want.get("instanceType") and want.get("regionCode") == self.region:
                rate = {"unit": "Hrs", "currency": self.currency, "pricePerUnit": {self.currency: f"{price * self.world.price_factor:.10f}"}}
                term = {"sku": "SKU", "termAttributes": {}, "priceDimensions": {"SKU.JRTCKXETXF.6YS6EN2CT7": rate}}
                upfront = {"priceDimensions": {"A": {"unit": "Quantity", "pricePerUnit": {self.currency: "100000"}}}}
                found.append(json.dumps({"product": {"sku": "SKU", "productFamily": "Compute Instance", "attributes": {
                    "instanceType": name, "regionCode": self.region, "gpu": str(gpus), "operatingSystem": "Linux"}},
                    "serviceCode": "AmazonEC2", "terms": {"OnDemand": {"SKU.JRTCKXETXF": term}, "Reserved": {"SKU.38NPMPTW36": upfront}}}))
        return Reply(200, {"FormatVersion": "aws_v1", "PriceList": found}, "application/x-amz-json-1.1")

    # ---- what a machine is told of itself: the metadata service, version 2 ----

    def metadata(self, instance, request, path):
        if path == "latest/api/token":
            if request.method != "PUT" or not 1 <= int(request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", 0)) <= 21600:
                raise CloudError("invalid", "PUT with a time to live is wanted")
            self.machine_tokens.setdefault(instance.id, set()).add(token := uuid.uuid4().hex)
            return Reply(200, token.encode(), "text/plain")
        if request.headers.get("X-aws-ec2-metadata-token") not in self.machine_tokens.get(instance.id, ()):
            raise CloudError("unauthorized", "a token is wanted")
        if path == "latest/meta-data/spot/instance-action" and instance.notice_at:
            instance.told += 1
            return Reply(200, {"action": "terminate", "time": stamp(instance.notice_at)[:19] + "Z"})
        if path == "latest/meta-data/events/recommendations/rebalance" and instance.advised:
            return Reply(200, {"noticeTime": stamp(self.world.now())[:19] + "Z"})
        raise CloudError("not_found", path)

    # ---- the operations ----

    def _run(self, form):
        for key in form:
            if not RUN.fullmatch(key):
                raise CloudError("invalid", f"The parameter {key} is not recognized", code="UnknownParameter")
        for key in ("ImageId", "InstanceType", "MinCount", "MaxCount"):
            if key not in form:
                raise CloudError("invalid", f"The request must contain the parameter {key}", code="MissingParameter")
        if form["InstanceType"] not in TYPES:
            raise CloudError("invalid", f"Invalid value '{form['InstanceType']}' for InstanceType")
        if form["MinCount"] != "1" or form["MaxCount"] != "1":
            raise CloudError("invalid", "one machine at a time here")
        if self.world.no_images:
            raise CloudError("invalid", f"The image id '[{form['ImageId']}]' does not exist", code="InvalidAMIID.NotFound")
        if "TagSpecification.1.ResourceType" in form:
            self._permit("ec2:CreateTags")
        if form.get("DryRun") == "true":
            raise CloudError("forbidden", "Request would have succeeded, but DryRun flag is set.", code="DryRunOperation", status=412)
        token = form.get("ClientToken", "")
        if len(token) > 64 or not token.isascii():
            raise CloudError("invalid", "ClientToken: at most 64 ASCII characters")
        try:
            user_data = base64.b64decode(form.get("UserData", ""), validate=True)
        except binascii.Error as e:
            raise CloudError("invalid", "Invalid BASE64 encoding of user data.", code="InvalidUserData.Malformed") from e
        if len(user_data) > 16384:
            raise CloudError("invalid", "User data is limited to 16384 bytes", code="InvalidUserData.Malformed")
        tags = {}
        for spec in groups(form, "TagSpecification"):
            if spec.get("ResourceType") == "instance":
                pairs = {k.split(".", 2)[1]: {} for k in spec if k.startswith("Tag.")}
                for k, v in spec.items():
                    if k.startswith("Tag."):
                        _, n, word = k.split(".")
                        pairs[n][word] = v
                tags.update({p["Key"]: p.get("Value", "") for p in pairs.values()})
        gpu, count, memory, _, _ = TYPES[form["InstanceType"]]
        self.made += 1
        ident = f"i-{self.made:017x}"
        wanted = {"type": form["InstanceType"], "tags": tags, "spot": form.get("InstanceMarketOptions.MarketType") == "spot",
                  "zone": form.get("Placement.AvailabilityZone", self.region + "ab"[self.made % 2]),  # else the provider's choice
                  "compare": {k: v for k, v in form.items()},
                  "boot": {"user_data": user_data.decode("utf-8", "replace")} if user_data else None,
                  "machine_env": {"MOCK_NVML": f"{gpu}:{count}:{memory}"},
                  "ends_with_program": form.get("InstanceInitiatedShutdownBehavior") == "terminate"}
        wanted["takes"] = CORES[wanted["type"]]
        wanted["quota_of"] = self._quota_of(wanted["type"], wanted["spot"])
        target = "CapacityReservationSpecification.CapacityReservationTarget.CapacityReservation"
        wanted["reservation"] = form.get(target + "Id", form.get(target + "ResourceGroupArn"))
        wanted["bound"] = form.get("InstanceMarketOptions.MarketType") == "capacity-block"
        try:
            instance, _, later = self.world.create(token or None, tags.get("weir-owner", ""), wanted, ident=ident)
        except CloudError as e:
            words = {"missing": ("InvalidCapacityReservationId.NotFound", f"The capacity reservation ID '{e.text}' was not found"),
                     "bound": ("InvalidParameterValue", f"The capacity reservation '{e.text}' is for another market type"),
                     "full": ("ReservationCapacityExceeded", f"The capacity reservation '{e.text}' has not enough capacity")}.get(e.more.get("reservation"))
            if words is None:
                raise
            raise CloudError(e.kind, words[1], code=words[0], status=400) from e
        if later is not None and later.kind == "server_error":
            raise later
        return self._xml("RunInstances", f"<reservationId>r-1</reservationId><ownerId>1</ownerId><groupSet/><instancesSet>"
                                         f"{self._instance(instance)}</instancesSet>")

    def _instance(self, i):
        code, name = STATE[i.state]
        reason = ""
        if i.state in ("stopping", "gone"):
            word = {"reclaimed": "Server.SpotInstanceTermination", "no capacity": "Server.InsufficientInstanceCapacity",
                    "its program ended": "Client.InstanceInitiatedShutdown"}.get(i.reason, "Client.UserInitiatedShutdown")
            reason = f"<stateReason><code>{word}</code><message>{word}</message></stateReason>"
        lifecycle = i.request.get("lifecycle") or ("spot" if i.spot else "")
        ended = f"<reason>User initiated ({stamp(i.ended)[:19].replace('T', ' ')} GMT)</reason>" if i.ended else "<reason/>"
        tags = "".join(f"<item><key>{escape(k)}</key><value>{escape(v)}</value></item>" for k, v in i.request["tags"].items())
        return (f"<item><instanceId>{i.id}</instanceId><imageId>ami-1</imageId><instanceState><code>{code}</code><name>{name}</name></instanceState>"
                f"{ended}<instanceType>{i.request['type']}</instanceType><launchTime>{stamp(i.created)}</launchTime>"
                f"<placement><availabilityZone>{i.request['zone']}</availabilityZone><tenancy>{i.request.get('tenancy', 'default')}</tenancy></placement>{reason}"
                f"<cpuOptions><coreCount>{CORES[i.request['type']] // 2}</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>"
                f"{f'<instanceLifecycle>{lifecycle}</instanceLifecycle>' if lifecycle else ''}<clientToken>{escape(i.token or '')}</clientToken>"
                f"<tagSet>{tags}</tagSet></item>")

    def _describe(self, form):
        wanted = [v[""] for v in groups(form, "InstanceId")]
        found = self.world.visible()
        if wanted:
            if "MaxResults" in form:
                raise CloudError("invalid", "MaxResults cannot be used with InstanceId", code="InvalidParameterCombination")
            known = {i.id for i in found}
            for ident in wanted:
                if ident not in known:
                    raise CloudError("not_found", f"The instance ID '{ident}' does not exist")
            found = [i for i in found if i.id in wanted]
        for f in groups(form, "Filter"):
            values = [v for k, v in f.items() if k.startswith("Value.")]
            name = f.get("Name", "")
            if name.startswith("tag:"):
                found = [i for i in found if i.request["tags"].get(name[4:]) in values]
            elif name == "instance-state-name":
                found = [i for i in found if STATE[i.state][1] in values]
            elif name == "instance-type":
                found = [i for i in found if any(fnmatch.fnmatchcase(i.request["type"], v) for v in values)]
            elif name == "client-token":
                found = [i for i in found if i.token in values]
            else:
                raise CloudError("invalid", f"The filter '{name}' is invalid")
        page, following = self.world.page(found, form.get("NextToken", ""), int(form.get("MaxResults", 1000)))
        items = "".join(f"<item><reservationId>r-1</reservationId><ownerId>1</ownerId><groupSet/><instancesSet>{self._instance(i)}</instancesSet></item>"
                        for i in page)
        return self._xml("DescribeInstances", f"<reservationSet>{items}</reservationSet>" +
                         (f"<nextToken>{following}</nextToken>" if following else ""))

    def _terminate(self, form):
        inner = ""
        for v in groups(form, "InstanceId"):
            instance = self.world.get(v[""])
            if instance is None:
                raise CloudError("not_found", f"The instance ID '{v['']}' does not exist")
            if form.get("DryRun") == "true":
                raise CloudError("forbidden", "Request would have succeeded, but DryRun flag is set.", code="DryRunOperation", status=412)
            before = STATE[instance.state]
            self.world.terminate(instance)
            after = STATE[instance.state]
            inner += (f"<item><instanceId>{instance.id}</instanceId><currentState><code>{after[0]}</code><name>{after[1]}</name></currentState>"
                      f"<previousState><code>{before[0]}</code><name>{before[1]}</name></previousState></item>")
        return self._xml("TerminateInstances", f"<instancesSet>{inner}</instancesSet>")

    def _spot(self, form):
        """Of each type and zone what it has cost since the time asked for, and first what it cost then; the newest comes first."""
        types = [v[""] for v in groups(form, "InstanceType")] or list(TYPES)
        zones = [z for z in (self.region + "a", self.region + "b") if form.get("AvailabilityZone", z) == z]
        start = datetime.datetime.fromisoformat(form["StartTime"].replace("Z", "+00:00")).timestamp()
        prices = self.world.prices
        told = [(since, factor) for at, (since, factor) in enumerate(prices) if at + 1 == len(prices) or prices[at + 1][0] > start]
        rows = [f"<item><instanceType>{t}</instanceType><productDescription>Linux/UNIX</productDescription>"
                f"<spotPrice>{TYPES[t][4] * factor:.6f}</spotPrice><timestamp>{stamp(since)}</timestamp><availabilityZone>{z}</availabilityZone></item>"
                for since, factor in reversed(told) for t in types if t in TYPES for z in zones]
        page, following = self.world.page(rows, form.get("NextToken", ""), int(form.get("MaxResults", 1000)))
        return self._xml("DescribeSpotPriceHistory", f"<spotPriceHistorySet>{''.join(page)}</spotPriceHistorySet>"
                         + (f"<nextToken>{following}</nextToken>" if following else ""))

    def add_foreign(self, body):
        self.made += 1
        apart = bool(body.get("lifecycle") or body.get("tenancy"))  # these have quotas of their own
        wanted = {"type": "g6.xlarge", "takes": 0 if apart else CORES["g6.xlarge"], "quota_of": self._quota_of("g6.xlarge", False), "tags": body.get("tags", {"weir-owner": "somebody-else"}), "zone": self.region + "a", "compare": {},
                  "lifecycle": body.get("lifecycle", ""), "tenancy": body.get("tenancy", "default")}
        self.world.create(None, "somebody-else", wanted, ident=f"i-{self.made:017x}")
