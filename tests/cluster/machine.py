"""The node from outside: started in namespaces of its own, joined to the machine by one link, ended by one pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from kaito.embedded.error import EmbeddedError
from tests.cluster import cgroups, layout
from tests.cluster.commands import run, wait_for
from tests.cluster.layout import Layout

_REPOSITORY: Final = Path(__file__).parents[2]
_NEEDED: Final = {
    "buildah": "buildah",
    "catatonit": "catatonit",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "runc": "runc",
    "unshare": "util-linux",
}


class MachineError(EmbeddedError):
    """This machine cannot hold the cluster; the message says what it lacks."""


def lacks() -> str:
    """Why no cluster can run here and what to do, in a sentence without its full stop; empty where one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "the cluster needs Linux and root: its node has namespaces, mounts and cgroups of its own"
    missing = [package for program, package in _NEEDED.items() if shutil.which(program) is None]
    if missing:
        return f"the cluster needs {', '.join(missing)}: install them with this machine's package manager"
    return ""


class Machine:
    """The one node of this user, as a process tree of this machine."""

    def __init__(self, where: Layout) -> None:
        self._where = where
        self._pid_file = where.node / "pid"

    @property
    def pid(self) -> int | None:
        """Process 1 of the node by its number on the machine, None where none runs."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"tests.cluster.init" in command and str(self._where.state).encode() in command:
                return pid
        return None

    def inside(self, path: Path) -> Path:
        """A path of the node as the machine sees it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def start(self) -> None:
        """Start the node's processes; returns when the link is up, and long before the API server serves."""
        self._where.containerd.mkdir(parents=True, exist_ok=True)
        self._where.logs.mkdir(parents=True)
        namespaces = ("--mount", "--net", "--pid", "--ipc", "--uts", "--mount-proc")
        init = [sys.executable, "-m", "tests.cluster.init"]
        node = [sys.executable, "-m", "tests.cluster.node", str(self._where.state)]
        with (self._where.logs / "node.log").open("ab") as output:
            parent = subprocess.Popen(
                ["unshare", *namespaces, "--fork", "--kill-child", "--", *init, *node],
                cwd=_REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pid = self._first_child(parent)
        self._pid_file.write_text(str(pid))
        self._join(pid)

    def end(self) -> None:
        """End the node and remove what it had; nothing happens where nothing is."""
        if (pid := self.pid) is not None:
            descriptor = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
            # The kernel ends all others first, then lets its namespaces go.
            wait_for(lambda: _ended(pid), lambda: f"process {pid} does not end")
        wait_for(lambda: not self._left(), lambda: "a cgroup or the link of the cluster stays")
        if self._where.node.exists():
            shutil.rmtree(self._where.node)

    def problem(self) -> str:
        """The end of the node's log where it has ended by itself, else nothing."""
        if self.pid is not None:
            return ""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join((self._where.logs / "node.log").read_text(errors="replace").splitlines()[-12:])
        return "it has never started"

    def _left(self) -> bool:
        """Remove what does not go with the last process, and say whether something is left yet."""
        with contextlib.suppress(OSError):  # busy while the last processes end
            cgroups.remove(layout.CGROUP)
        if _link_exists():
            subprocess.run(["ip", "link", "delete", layout.INTERFACE], capture_output=True, check=False)
        return bool(cgroups.present(layout.CGROUP)) or _link_exists()

    def _first_child(self, parent: subprocess.Popen[bytes]) -> int:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        wait_for(
            lambda: parent.poll() is not None or bool(children.read_text().split()), lambda: "unshare starts nothing"
        )
        if parent.poll() is not None:
            raise MachineError(f"namespaces cannot be made here:\n{self.problem()}")
        return int(children.read_text().split()[0])

    def _join(self, pid: int) -> None:
        """A pair of interfaces, and routes to the pods and Services through it."""
        interface = layout.INTERFACE
        # What unshare is still doing to the new process shows in its net namespace.
        ours = Path("/proc/self/ns/net").readlink()
        wait_for(lambda: Path(f"/proc/{pid}/ns/net").readlink() != ours, lambda: "the node has no network of its own")
        run("ip", "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        run("ip", "address", "add", f"{layout.MACHINE_ADDRESS}/{layout.LINK_PREFIX}", "dev", interface)
        run("ip", "link", "set", interface, "up")
        for network in (layout.POD_CIDR, layout.SERVICE_CIDR):
            run("ip", "route", "add", network, "via", layout.NODE_ADDRESS)


def _link_exists() -> bool:
    return Path("/sys/class/net", layout.INTERFACE).exists()


def _ended(pid: int) -> bool:
    """Is it gone, or is only its parent, unshare, to hear so?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
