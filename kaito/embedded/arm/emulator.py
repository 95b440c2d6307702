"""The emulator itself: one request after the other, and a clock that somebody else moves. Not thread-safe."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

from kaito.api.resources import Object

PROVIDER: Final = "providers/Microsoft.ContainerService"
_NAME: Final = re.compile(r"[a-z][a-z0-9]{0,11}")
#: What AKS does not let change.
_IMMUTABLE: Final = ("vmSize", "osDiskSizeGB", "osType", "availabilityZones", "scaleSetPriority", "type")
_PAGE: Final = 100
#: Requests that are kept with their answers, and operations with how they ended.
_LOGGED: Final = 1000
#: What a pool is while an operation of it is under way.
_UNDER_WAY: Final = ("Creating", "Deleting", "Canceling", "Upgrading")
_SECONDS_TO_CANCEL: Final = 5
_IMAGE: Final = "AKSUbuntu-2204gen2containerd-emulated"


@dataclass(frozen=True, slots=True)
class Request:
    """``headers`` in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: Object | None = None


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: Object | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request. ``response`` is sent instead of the answer; with ``done``, after what was asked
    for was begun. ``outcome`` is the error that the operation ends with; with ``forever`` it never ends. Of a pool that
    is made, ``nodes`` register (one is what was asked for), so many seconds ``late``."""

    response: Response | None = None
    done: bool = False
    outcome: tuple[str, str] | None = None
    forever: bool = False
    nodes: int = 1
    late: float = 0


NO_FAULT: Final = Fault()
#: The outcome that leaves a pool Canceled and not Failed.
CANCELED: Final = "Canceled"
#: What goes wrong with a request, given its method and its pool's name.
Faults = Callable[[str, str], Fault]


@dataclass(slots=True)
class _Pool:
    properties: Object
    etag: str
    state: str
    ends: float  # when the operation that is under way does
    outcome: tuple[str, str] | None = None  # code and message of what it fails with then
    error: tuple[str, str] | None = None
    nodes: int = 1
    late: float = 0
    joins: float = math.inf  # when its nodes do, which stay until it is gone
    operation: str = ""  # that is under way, or was last


class Arm:
    """One managed cluster. ``now``: seconds, of any clock; operations take ``create`` and ``delete`` seconds of it.
    ``exclusive``: while an operation of a pool is under way none of another may begin, as AKS has it at times."""

    def __init__(
        self,
        subscription: str,
        group: str,
        cluster: str,
        now: Callable[[], float],
        *,
        create: float = 120,
        delete: float = 60,
        faults: Faults = lambda _method, _name: NO_FAULT,
        exclusive: bool = False,
    ) -> None:
        self.subscription, self.group, self.cluster = subscription, group, cluster
        self._now, self._create, self._delete, self._faults = now, create, delete, faults
        self._exclusive = exclusive
        self._pools: dict[str, _Pool] = {}
        self._versions = itertools.count(1)
        self._operations: dict[str, tuple[str, tuple[str, str] | None]] = {}
        self.log: deque[tuple[Request, Response]] = deque(maxlen=_LOGGED)

    def handle(self, request: Request) -> Response:
        self._pass_time()
        response = self._answer(request)
        self.log.append((request, response))
        return response

    def put_foreign(self, name: str, **properties: object) -> None:
        """Somebody else's pool."""
        asked = {"vmSize": "Standard_D4s_v5", "count": 3, **properties}
        self._pools[name] = _Pool(asked, self._etag(), "Succeeded", 0, nodes=3, joins=0)

    def take_away(self, name: str) -> None:
        """Somebody deletes a pool by hand."""
        if (pool := self._pools.get(name)) is not None:
            self._begin(pool, "Deleting", self._delete)

    def upgrade(self, name: str, outcome: tuple[str, str] | None = None) -> None:
        """The cluster is upgraded, and with it a pool that is there; its node goes on working, also where that fails
        with ``outcome``, a code and a message."""
        if (pool := self._pools.get(name)) is not None and pool.state == "Succeeded":
            self._begin(pool, "Upgrading", self._create, outcome)

    def pools(self) -> Mapping[str, Object]:
        """Each pool's properties, as they are now."""
        self._pass_time()
        return {name: self._shown(name)["properties"] for name in self._pools}

    def nodes(self) -> list[Object]:
        """The Nodes that kubelets of its pools would have registered by now, without what GPU plugins add."""
        self._pass_time()
        joined = [(name, pool) for name, pool in self._pools.items() if self._now() >= pool.joins]
        return [_node(self, name, pool, number) for name, pool in joined for number in range(pool.nodes)]

    def end_deletions(self) -> None:
        """Let those end now that never would."""
        for pool in self._pools.values():
            if pool.state == "Deleting":
                pool.ends = min(pool.ends, self._now())

    def dump(self) -> Object:
        """All that it knows, as JSON; times are its clock's."""
        pools = {name: asdict(pool) for name, pool in self._pools.items()}
        return {"version": next(self._versions), "pools": pools, "operations": self._operations}

    def load(self, state: Object) -> None:
        """What an earlier one dumped."""
        self._versions = itertools.count(state["version"])
        self._pools = {name: _Pool(**pool) for name, pool in state["pools"].items()}
        self._operations = dict(state["operations"])

    def _pass_time(self) -> None:
        for name, pool in list(self._pools.items()):
            if pool.state not in _UNDER_WAY or self._now() < pool.ends:
                continue
            pool.etag = self._etag()
            self._operations[pool.operation] = ("Failed", pool.outcome) if pool.outcome else ("Succeeded", None)
            if pool.outcome:
                pool.state = "Canceled" if pool.outcome[0] == CANCELED else "Failed"
                pool.error, pool.outcome = pool.outcome, None
            elif pool.state == "Deleting":
                del self._pools[name]
            elif pool.state == "Canceling":
                pool.state = "Canceled"
            else:
                pool.joins = pool.ends + pool.late if pool.state == "Creating" else pool.joins
                pool.state = "Succeeded"

    def _answer(self, request: Request) -> Response:
        path = [part for part in urlsplit(request.url).path.split("/") if part]
        where = dict(itertools.pairwise(part.lower() for part in path))
        if where.get("subscriptions") != self.subscription.lower():
            return _failed(
                404, "SubscriptionNotFound", f"The subscription '{where.get('subscriptions')}' is not found."
            )
        if "operations" in where:
            return self._operation(where["operations"])
        if where.get("resourcegroups") != self.group.lower():
            return _failed(
                404, "ResourceGroupNotFound", f"Resource group '{where.get('resourcegroups')}' is not found."
            )
        if where.get("managedclusters") != self.cluster.lower():
            named = where.get("managedclusters")
            return _failed(404, "ResourceNotFound", f"The Resource '{PROVIDER}/managedClusters/{named}' was not found.")
        if path[-1] == "agentPools":
            return self._list(request)
        name = path[path.index("agentPools") + 1]
        fault = self._faults(request.method, name)
        if fault.response is not None and not fault.done:
            return fault.response
        answer = self._pool(request, name, fault, aborting=path[-1] == "abort")
        return fault.response if fault.response is not None and answer.status < 300 else answer

    def _list(self, request: Request) -> Response:
        fault = self._faults("LIST", "")
        if fault.response is not None:
            return fault.response
        query = parse_qs(urlsplit(request.url).query)
        names = sorted(self._pools)
        start = int(query.get("$skipToken", ["0"])[0])
        page: Object = {"value": [self._shown(name) for name in names[start : start + _PAGE]]}
        if start + _PAGE < len(names):
            page["nextLink"] = f"{request.url.partition('?')[0]}?api-version=x&$skipToken={start + _PAGE}"
        return Response(200, page)

    def _pool(self, request: Request, name: str, fault: Fault, *, aborting: bool) -> Response:
        pool = self._pools.get(name)
        if request.method == "PUT":
            return self._put(request, name, pool, fault)
        if pool is None:
            if request.method == "DELETE":
                return Response(204)
            return Response(404, {"code": "NotFound", "message": f"Agent Pool {name} not found.", "subcode": ""})
        if request.method == "GET":
            return Response(200, self._shown(name), {"ETag": pool.etag})
        if aborting:
            if pool.state not in _UNDER_WAY:
                return _failed(400, "OperationNotAllowed", f"there is no operation of agent pool {name} to abort")
            self._operations[pool.operation] = ("Canceled", None)
            self._begin(pool, "Canceling", _SECONDS_TO_CANCEL)
            return Response(202, headers=self._begun(request, pool))
        if request.headers.get("if-match", pool.etag).strip('"') != pool.etag:
            return _failed(412, "PreconditionFailed", f"the etag of agent pool {name} is another")
        if busy := self._busy(name):
            return busy
        self._begin(pool, "Deleting", math.inf if fault.forever else self._delete, fault.outcome)
        return Response(202, headers=self._begun(request, pool))

    def _begin(self, pool: _Pool, state: str, seconds: float, outcome: tuple[str, str] | None = None) -> None:
        """An operation that takes so long, and ends so."""
        pool.state, pool.ends, pool.outcome, pool.error = state, self._now() + seconds, outcome, None
        pool.etag, pool.operation = self._etag(), f"o{next(self._versions)}"
        self._operations[pool.operation] = ("InProgress", None)
        while len(self._operations) > _LOGGED:
            del self._operations[next(iter(self._operations))]

    def _operation(self, name: str) -> Response:
        """What who waits for it asks."""
        if name not in self._operations:
            return _failed(404, "NotFound", f"there is no operation {name}")
        status, outcome = self._operations[name]
        error = {"error": {"code": outcome[0], "message": outcome[1]}} if outcome else {}
        return Response(200, {"name": name, "status": status, **error})

    def _put(self, request: Request, name: str, pool: _Pool | None, fault: Fault) -> Response:
        properties = (request.body or {}).get("properties") or {}
        if not _NAME.fullmatch(name):
            return _failed(400, "InvalidParameter", f"The agent pool's name {name!r} is not valid.")
        if pool is not None and request.headers.get("if-none-match") == "*":
            return _failed(412, "PreconditionFailed", f"agent pool {name} exists")
        if busy := self._busy(name):
            return busy
        if pool is not None and any(properties.get(key) != pool.properties.get(key) for key in _IMMUTABLE):
            return _failed(400, "PropertyChangeNotAllowed", f"Changing property of agent pool {name} is not allowed.")
        if "spotMaxPrice" in properties and properties.get("scaleSetPriority") != "Spot":
            return _failed(400, "InvalidParameter", "spotMaxPrice is for scaleSetPriority Spot")
        made = self._pools[name] = _Pool(properties, "", "", 0, nodes=fault.nodes, late=fault.late)
        self._begin(made, "Creating", math.inf if fault.forever else self._create, fault.outcome)
        return Response(201 if pool is None else 200, self._shown(name), self._begun(request, made))

    def _busy(self, name: str) -> Response | None:
        """Why no operation of that pool may begin."""
        for other, pool in self._pools.items():
            if pool.state in _UNDER_WAY and (other == name or self._exclusive):
                text = f"Operation is not allowed: Another agentpool operation ({other} - {pool.state}) is in progress"
                return _failed(409, "OperationNotAllowed", text)
        return None

    def _shown(self, name: str) -> Object:
        pool = self._pools[name]
        shown = {**pool.properties, "provisioningState": pool.state, "eTag": pool.etag, "nodeImageVersion": _IMAGE}
        if pool.error:
            code, message = pool.error
            shown["status"] = {"provisioningError": {"code": code, "message": message}}
        return {
            "id": f"/subscriptions/{self.subscription}/resourcegroups/{self.group}/{PROVIDER}/managedClusters"
            f"/{self.cluster}/agentPools/{name}",
            "name": name,
            "type": "Microsoft.ContainerService/managedClusters/agentPools",
            "properties": shown,
        }

    def _begun(self, request: Request, pool: _Pool) -> dict[str, str]:
        parts = urlsplit(request.url)
        host = f"{parts.scheme}://{parts.netloc}"
        place = f"{host}/subscriptions/{self.subscription}/{PROVIDER}/locations/here"
        return {"Azure-AsyncOperation": f"{place}/operations/{pool.operation}?api-version=2017-08-31"}

    def _etag(self) -> str:
        return f"e{next(self._versions)}"


def _failed(status: int, code: str, message: str) -> Response:
    return Response(status, {"error": {"code": code, "message": message}})


def _node(arm: Arm, name: str, pool: _Pool, number: int) -> Object:
    """As its kubelet registers it."""
    machine = f"aks-{name}-12345678-vmss"
    provider = (
        f"azure:///subscriptions/{arm.subscription}/resourceGroups/MC/providers/Microsoft.Compute"
        f"/virtualMachineScaleSets/{machine}/virtualMachines/{number}"
    )
    taints = [re.fullmatch(r"([^=]+)=([^:]*):(.+)", taint) for taint in pool.properties.get("nodeTaints") or ()]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"{machine}{number:06}",
            "labels": {
                **(pool.properties.get("nodeLabels") or {}),
                "agentpool": name,
                "kubernetes.azure.com/agentpool": name,
                "node.kubernetes.io/instance-type": pool.properties["vmSize"],
            },
        },
        "spec": {
            "providerID": provider,
            "taints": [{"key": it[1], "value": it[2], "effect": it[3]} for it in taints if it],
        },
    }


def to_json(response: Response) -> bytes:
    return json.dumps(response.body).encode() if response.body is not None else b""
