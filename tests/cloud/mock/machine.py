# SPDX-License-Identifier: Apache-2.0
"""Machines of the mock cloud as real processes: a directory of its own each, and in it exactly what the client asked to be
run (a container's command, or user data that is a script), with stand-ins for the programs that would end the whole host.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

MARK = "WEIR_MOCK_MACHINE"

# What a machine may call to switch itself off: the request is a file that this module looks for.
POWER_OFF = """#!/bin/sh
# Stands in for {name}: it notes when this machine is to go off.
at=now
for word in "$@"; do
    case $word in
    +*) at=${{word#+}} ;;
    -c) rm -f "{dir}/power-off"; exit 0 ;;
    esac
done
if [ "$at" = now ]; then at=0; fi
echo "$(( $(date +%s) + at * 60 ))" > "{dir}/power-off"
"""


def processes_with(mark):
    """Pids whose environment carries the mark, or that descend from one that does."""
    parents = {}
    marked = set()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                marked.add(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    grown = True
    while grown:
        grown = False
        for pid, parent in parents.items():
            if parent in marked and pid not in marked:
                marked.add(pid)
                grown = True
    return marked - {os.getpid()}


class Machine:
    def __init__(self, directory, argv, env, stdin=None):
        self.dir = directory
        self.mark = f"{MARK}={directory}".encode()
        self.lock = threading.Lock()
        with (directory / "console.log").open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=directory, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    def pids(self):
        return sorted(processes_with(self.mark))

    def has_ended(self):
        """Has it switched itself off, or has the program that it is there for ended with nothing left behind?"""
        try:
            at = int((self.dir / "power-off").read_text() or 0)
            if time.time() >= at:
                return True
        except (OSError, ValueError):
            pass
        return self.process.poll() is not None and not self.pids()

    def notice(self, seconds):
        (self.dir / "reclaim-at").write_text(str(time.time() + seconds))

    def end(self):
        """Cuts the power: twice, as a process may fork between being seen and being killed."""
        with self.lock:
            for _ in range(50):
                left = self.pids()
                if not left:
                    break
                for pid in left:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                time.sleep(0.01)
            self.process.wait(timeout=10)


class Machines:
    """Starts machines below one directory. env is added to every machine's environment. metadata gives the address of a machine's
    metadata service by its id; the programs of each cloud look for it by a variable of their own.
    wrap is a command that each machine's own is put behind."""

    def __init__(self, directory, env=None, metadata=None, wrap=()):
        self.dir = pathlib.Path(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.env = env or {}
        self.metadata = metadata
        self.wrap = list(wrap)

    def start(self, instance):
        """instance.boot is {"argv": [...], "env": {...}} or {"user_data": "#!/bin/sh ...", "env": {...}}."""
        directory = self.dir / instance.id
        if directory.exists():
            shutil.rmtree(directory)
        shims = directory / "bin"
        shims.mkdir(parents=True)
        for name in ("shutdown", "poweroff", "halt", "reboot"):
            (shims / name).write_text(POWER_OFF.format(name=name, dir=directory))
            (shims / name).chmod(0o755)
        boot = instance.boot
        env = {"PATH": f"{shims}:{os.environ.get('PATH', '/usr/bin:/bin')}", "HOME": str(directory), "LANG": "C.UTF-8",
               "TMPDIR": str(directory), MARK: str(directory), "WEIR_BOOT_ROOT": str(directory)}
        if self.metadata:
            url = self.metadata(instance.id)
            env.update({"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "GCE_METADATA_HOST": url.split("://")[1],
                        "AZURE_POD_IDENTITY_AUTHORITY_HOST": url})
        env.update(self.env)
        env.update(instance.request.get("machine_env", {}))
        env.update(boot.get("env", {}))
        if "user_data" in boot:
            script = directory / "user-data"
            script.write_text(boot["user_data"])
            script.chmod(0o700)
            argv = [str(script)]
        else:
            argv = boot["argv"]
        try:
            return Machine(directory, self.wrap + argv, env)
        except OSError as e:
            (directory / "console.log").write_text(f"{argv[0]}: {e}\n")
            instance.reason = f"could not be started: {e}"
            return None
