# SPDX-License-Identifier: Apache-2.0
"""Mock clouds (tests/cloud/mock) for tests that run a whole broker: each a process whose machines are real ones."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

SERVER = pathlib.Path(__file__).resolve().parent.parent / "cloud" / "mock" / "server.py"


class MockCloud:
    def __init__(self, dialect, nvml=None, options=(), args=()):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-mock-"))
        self.nvml = nvml
        command = [sys.executable, str(SERVER), "--dialect", dialect, "--dir", str(self.dir / "machines"), *args]
        for option in options:
            command += ["--option", option.replace("DIR", str(self.dir))]
        if nvml:  # the library by the name under which the agent looks for it
            (self.dir / "lib").mkdir()
            shutil.copy(nvml, self.dir / "lib" / "libnvidia-ml.so.1")
            command += ["--machine-env", f"LD_LIBRARY_PATH={self.dir / 'lib'}"]
        self.log = (self.dir / "server.log").open("w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.url = self.process.stdout.readline().split("serving on ")[1].strip()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        alive = [i for i in self.inventory()["instances"] if i["state"] != "gone"]
        self.process.terminate()  # it ends its machines, too
        self.process.wait(timeout=120)
        self.log.close()
        if exc[0] is not None:
            sys.stderr.write(f"machines left: {alive}\n" + (self.dir / "server.log").read_text()[-3000:])
            for console in sorted(self.dir.glob("machines/*/console.log"))[:3]:
                sys.stderr.write(f"{console}:\n{console.read_text(errors='replace')[-2000:]}\n")
        shutil.rmtree(self.dir, ignore_errors=True)

    def _call(self, method, what, body=None):
        request = urllib.request.Request(f"{self.url}/_mock/{what}", data=json.dumps(body).encode() if body is not None else None, method=method)
        with urllib.request.urlopen(request, timeout=180) as reply:
            return json.loads(reply.read())

    def fault(self, name, **more):
        self._call("POST", "fault", {"name": name, **more})

    def set(self, **more):
        self._call("POST", "set", more)

    def clear(self):
        self._call("POST", "clear", {})

    def reclaim(self, ident, notice_s):
        self._call("POST", "reclaim", {"id": ident, "notice_s": notice_s})

    def end(self, ident):
        """The provider loses the machine."""
        self._call("POST", "end", {"id": ident})

    def foreign(self, **more):
        """A machine of somebody else in the same account."""
        self._call("POST", "foreign", more)

    def advise(self, ident):
        self._call("POST", "advise", {"id": ident})

    def inventory(self):
        return self._call("GET", "inventory")

    def calls(self):
        return self._call("GET", "calls")["calls"]

    def states(self):
        return [i["state"] for i in self.inventory()["instances"]]

    def requests(self, operation):
        return [r for r in self._call("GET", "log")["log"] if r["operation"] == operation]
