# SPDX-License-Identifier: Apache-2.0
"""The mock cloud's one core: machines, who owns them, the clock, and the faults that are switched on.

It knows no provider's words. A dialect turns a provider's requests into calls of World and its answers into that
provider's shapes; server.py puts the faults of the wire around both.
"""
import collections
import threading
import time
import uuid

# Faults of the wire: server.py applies them to the operations they are asked for.
WIRE_FAULTS = {
    "lost_request": "the connection breaks before anything was done",
    "lost_reply": "what was asked is done, the connection breaks before the answer",
    "throttle": "too many requests; retry_after (seconds) is told where given",
    "server_error": "a 5xx (status) before anything was done",
    "server_error_after": "what was asked is done, the answer is a 5xx (status)",
    "expired_credential": "the credential in use is not valid any more; a fresh one is",
    "truncated_body": "the answer ends half way",
    "slow_body": "the answer comes in pieces, seconds in all",
    "bad_body": "the answer is not what the provider's API speaks",
    "echo": "a refusal that names the key that came with the request, after pad bytes",
    "odd_body": "the answer says odd things: kind and seed, see twist.py",
}
# Faults of the cloud: World and the dialects apply them.
CLOUD_FAULTS = {
    "no_capacity": "a launch is refused at once: nothing of this kind is free",
    "no_capacity_later": "a launch is taken and fails inside the operation",
    "quota": "a launch is refused: the account's limit",
    "refused": "a launch is refused: the request or the permission is wrong",
    "failed_but_existing": "a launch fails, but the machine is there and costs",
    "eventual": "a new machine is not seen for some seconds",
    "expired_page": "the next page token is not valid any more",
    "endless_pages": "a list has a further page, and another, and another: of what it began with",
    "unlisted": "machines that are there are left out of a list",
    "ignored_end": "a machine is told to end, which is taken, and it runs on",
    "boot_never": "a machine comes up, its program never starts",
    "reclaim_unannounced": "the next machine is taken back right after it runs",
}


class CloudError(Exception):
    """A refusal. kind is one of the words below; the dialect knows its provider's words for it."""

    KINDS = ("invalid", "unauthorized", "forbidden", "not_found", "conflict", "throttle", "no_capacity", "quota", "funds",
             "server_error", "expired_page", "mismatch")

    def __init__(self, kind, text, **more):
        super().__init__(text)
        assert kind in self.KINDS, kind
        self.kind = kind
        self.text = text
        self.more = more


class Fault:
    def __init__(self, name, times=1, on=None, **param):
        if name not in WIRE_FAULTS and name not in CLOUD_FAULTS:
            raise ValueError(f"there is no fault '{name}'; there are: {', '.join([*WIRE_FAULTS, *CLOUD_FAULTS])}")
        self.name = name
        self.left = int(times)  # -1: until cleared
        self.on = [on] if isinstance(on, str) else on
        self.param = param
        self.hits = 0


class Instance:
    """One machine, from the launch to long after its end."""

    STATES = ("pending", "running", "stopping", "stopped", "failed", "gone")

    def __init__(self, ident, token, owner, request):
        self.id = ident
        self.token = token  # the provider's idempotency key, or the unique name
        self.owner = owner
        self.request = request  # as the dialect understood it; replays are compared with it
        self.state = "pending"
        self.reason = ""
        self.spot = bool(request.get("spot"))
        self.created = 0.0
        self.ended = 0.0
        self.visible_at = 0.0
        self.notice_at = 0.0  # a notice of reclaim was given
        self.reclaimed = False
        self.advised = False  # it was told that it is likely to be taken back
        self.told = 0  # times that it was told of the notice by the metadata service
        self.boot = request.get("boot")  # what the machine is to run
        self.machine = None
        self.never_boots = False
        self.dies_young = False
        self.changed = 0.0

    def brief(self):
        return {"id": self.id, "token": self.token, "owner": self.owner, "state": self.state, "reason": self.reason,
                "spot": self.spot, "takes": self.request.get("takes", 0), "reservation": self.request.get("reservation"), "bound": bool(self.request.get("bound")), "created": self.created, "ended": self.ended, "reclaimed": self.reclaimed, "told": self.told, "zone": self.request.get("zone", ""),
                "pids": self.machine.pids() if self.machine else []}

    def costs(self):
        return self.state != "gone"


class World:
    """Everything is under one lock; a thread of its own moves machines through their states."""

    def __init__(self, machines=None, boot_s=0.05, stop_s=0.05, capacity=1000, forget_s=3600, page_size=100):
        self.lock = threading.RLock()
        self.machines = machines  # makes the real processes; None: machines are records only
        self.boot_s = boot_s
        self.stop_s = stop_s
        self.capacity = capacity
        self.forget_s = forget_s
        self.page_size = page_size
        self.skew_s = 0.0
        self.prices = [(int(self.now()) - 86400, 1.0)]  # (since when, a factor on all prices), the oldest first
        self.denied = []  # operations, or permissions by the provider's name, that the account's owner has not given
        self.no_images = False
        self.quota = 100000  # the limit of each of the account's quotas, in what it counts
        self.instances = {}
        self.tokens = {}  # token -> ids of all machines it ever made: more than one is a double launch
        self.faults = []
        self.full_zones = []
        self.reservations = {}  # that machines have to name: {name: {"machines": N, "bound": machines are bound to it}}
        self.pages = {}
        self.log = []
        self.calls = collections.deque(maxlen=500)
        self.echoed = []  # keys that were named
        self.answered = {}  # operation -> answers that went out whole
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()

    # ---- clock and log ----

    def now(self):
        """The provider's clock, which may be ahead of or behind the client's."""
        return time.time() + self.skew_s

    @property
    def price_factor(self):
        return self.prices[-1][1]

    @price_factor.setter
    def price_factor(self, factor):
        """Prices change at whole seconds, as providers tell of it."""
        self.prices.append((int(self.now()), factor))

    def price_since(self):
        return self.prices[-1][0]

    def note(self, operation, status, fault=""):
        with self.lock:
            self.log.append({"at": time.time(), "operation": operation, "status": status, "fault": fault})
            del self.log[:-20000]

    def note_answered(self, operation):
        """The whole answer is on its way."""
        with self.lock:
            self.answered[operation] = self.answered.get(operation, 0) + 1

    def keep_call(self, request):
        with self.lock:
            self.calls.append({"method": request.method, "target": request.target, "body": request.body.decode("utf-8", "replace")})

    # ---- faults ----

    def switch(self, name, times=1, on=None, **param):
        with self.lock:
            self.faults.append(Fault(name, times, on, **param))

    def clear(self):
        with self.lock:
            self.faults.clear()
            self.skew_s = 0.0
            self.price_factor = 1.0

    def hit(self, name, operation=None):
        """Takes one use of the fault, if it is on for this operation. Gives its parameters, or None."""
        with self.lock:
            for fault in self.faults:
                if fault.name == name and fault.left != 0 and (fault.on is None or operation is None or operation in fault.on):
                    fault.hits += 1
                    fault.left -= 1 if fault.left > 0 else 0
                    return fault.param
            return None

    # ---- machines ----

    def _find_token(self, token):
        ids = self.tokens.get(token, [])
        return self.instances.get(ids[-1]) if ids else None

    def create(self, token, owner, request, ident=None, replay="return", may_fail_later=True):
        """Makes a machine. replay says what a token that was used before means at this provider: "return" (the machine of
        then; other parameters are a mismatch), "conflict", or "double" (a second machine: the provider has no such guard).
        Gives (instance, is_new, later): later is a CloudError that the operation will end with."""
        with self.lock:
            before = self._find_token(token) if token else None
            if before is not None and replay == "return":
                if before.request.get("compare") != request.get("compare"):
                    raise CloudError("mismatch", f"token {token} was used with other parameters")
                return before, False, None
            if before is not None and replay == "conflict" and before.state != "gone":
                raise CloudError("conflict", f"{token} exists already")
            for kind in ("no_capacity", "quota"):
                if self.hit(kind, "create") is not None:
                    raise CloudError(kind, "asked for by the test")
            if self.used(request.get("quota_of")) + request.get("takes", 0) > self.quota:
                raise CloudError("quota", "the account's quota is used up")
            if self.hit("refused", "create") is not None:
                raise CloudError("forbidden", "asked for by the test")
            if request.get("zone") in self.full_zones:
                raise CloudError("no_capacity", f"every machine in {request['zone']} is taken")
            self._take_reserved(request)
            if sum(i.costs() for i in self.instances.values()) >= self.capacity:
                raise CloudError("no_capacity", "every machine is taken")
            later = None
            if may_fail_later and self.hit("no_capacity_later", "create") is not None:
                later = CloudError("no_capacity", "asked for by the test")
            instance = Instance(ident or uuid.uuid4().hex, token, owner, request)
            instance.created = instance.changed = self.now()
            slow = self.hit("eventual", "create")
            instance.visible_at = time.time() + (float(slow.get("seconds", 1)) if slow is not None else 0)
            instance.never_boots = self.hit("boot_never", "create") is not None
            instance.dies_young = self.hit("reclaim_unannounced", "create") is not None
            if self.hit("failed_but_existing", "create") is not None:
                instance.state = "failed"
                instance.reason = "failed but existing"
                later = CloudError("server_error", "asked for by the test: the machine failed half made")
            elif later is not None:
                instance.state = "gone"
                instance.ended = instance.created
                instance.reason = "no capacity"
            self.instances[instance.id] = instance
            if instance.state != "gone":
                self.tokens.setdefault(token or instance.id, []).append(instance.id)
            return instance, True, later

    def _take_reserved(self, request):
        """A machine that names a reservation is one of its, or is not made. What is more says which way it failed: "reservation": "missing", "bound" or "full"."""
        name = request.get("reservation")
        if name is None:
            if request.get("bound"):
                raise CloudError("invalid", "no reservation is named", reservation="missing")
            return
        reserved = self.reservations.get(name)
        if reserved is None:
            raise CloudError("invalid", name, reservation="missing")
        if bool(request.get("bound")) != bool(reserved.get("bound")):
            raise CloudError("invalid", name, reservation="bound")
        if sum(i.costs() and i.request.get("reservation") == name for i in self.instances.values()) >= reserved["machines"]:
            raise CloudError("no_capacity", name, reservation="full")

    def used(self, quota):
        """What all machines of the account take of a quota now."""
        with self.lock:
            return sum(i.request.get("takes", 0) for i in self.instances.values() if i.costs() and i.request.get("quota_of") == quota)

    def get(self, ident):
        with self.lock:
            instance = self.instances.get(ident)
            return instance if instance is not None and time.time() >= instance.visible_at else None

    def visible(self):
        """All machines, oldest first, that the provider would tell of now."""
        with self.lock:
            now = time.time()
            if self.hit("unlisted") is not None:
                return []
            return sorted((i for i in self.instances.values() if now >= i.visible_at), key=lambda i: (i.created, i.id))

    def terminate(self, instance, reason="terminated"):
        with self.lock:
            if instance.state not in ("stopping", "gone") and self.hit("ignored_end") is None:
                self._move(instance, "stopping", reason)

    def reclaim(self, instance, notice_s):
        with self.lock:
            instance.reclaimed = True
            instance.notice_at = self.now() + notice_s
            instance.changed = self.now()
            if instance.machine:
                instance.machine.notice(notice_s)

    def page(self, items, token, size=None):
        """One page of a list and the token of the next, "" at the end. Tokens are used once only where expired_page is on."""
        size = min(size or self.page_size, self.page_size)
        with self.lock:
            start = 0
            if token:
                if token not in self.pages or self.hit("expired_page") is not None:
                    raise CloudError("expired_page", "the page token is not valid any more")
                start = self.pages[token]
            chunk = items[start:start + size]
            if self.hit("endless_pages") is not None:
                self.pages["again"] = 0
                return items[:size], "again"
            if start + size >= len(items):
                return chunk, ""
            following = uuid.uuid4().hex
            self.pages[following] = start + size
            return chunk, following

    def inventory(self):
        with self.lock:
            return {"instances": [i.brief() for i in self.instances.values()],
                    "alive": sum(i.costs() for i in self.instances.values()),
                    "prices": self.prices,
                    "answered": dict(self.answered),
                    "echoed": self.echoed[-10:],
                    "doubles": {t: ids for t, ids in self.tokens.items() if len(ids) > 1},
                    "faults": [{"name": f.name, "left": f.left, "hits": f.hits} for f in self.faults]}

    # ---- time ----

    def _move(self, instance, state, reason=None):
        assert state in Instance.STATES
        instance.state = state
        instance.changed = self.now()
        if reason is not None:
            instance.reason = reason
        if state == "gone":
            instance.ended = self.now()

    def _step(self, instance):
        now = self.now()
        age = now - instance.changed
        if instance.state == "pending" and age >= self.boot_s:
            self._move(instance, "running")
            if self.machines and instance.boot and not instance.never_boots:
                instance.machine = self.machines.start(instance)
        elif instance.state == "running":
            if instance.dies_young:
                instance.reclaimed = True
                self._move(instance, "stopping", "reclaimed")
            elif instance.notice_at and now >= instance.notice_at:
                self._move(instance, "stopping", "reclaimed")
            elif instance.request.get("until") and now >= instance.request["until"]:
                self._move(instance, "stopping", "its time was over")
            elif instance.machine and instance.machine.has_ended():
                self._move(instance, "stopping" if instance.request.get("ends_with_program", True) else "stopped",
                           "its program ended")
        if instance.state == "stopping" and now - instance.changed >= self.stop_s:
            if instance.machine:
                instance.machine.end()
            self._move(instance, "gone")
        elif instance.state == "gone" and instance.ended and now - instance.ended > self.forget_s:
            del self.instances[instance.id]

    def _live(self):
        while not self.stopping.wait(0.02):
            with self.lock:
                for instance in list(self.instances.values()):
                    self._step(instance)

    def close(self):
        self.stopping.set()
        self.thread.join()
        for instance in self.instances.values():
            if instance.machine:
                instance.machine.end()
