"""What an installation may say, and what it is told where it says too little."""

from __future__ import annotations

import math

import pytest

from functions.provisioner.settings import ManagedCluster, Settings

AKS = {"KAITO_CLOUD": "aks", "ARM_SUBSCRIPTION_ID": "s", "ARM_RESOURCE_GROUP": " g ", "AZURE_CLUSTER_NAME": "c"}


def test_aks_is_a_cluster_and_its_deadlines() -> None:
    settings = Settings.from_environment({**AKS, "KAITO_LAUNCH_DEADLINE": "1h"})
    assert settings.azure == ManagedCluster("s", "g", "c")
    assert (settings.launch_deadline, settings.registration_deadline) == (3600, 900)
    assert Settings.from_environment({}).azure is None


def test_a_sovereign_clouds_address_may_end_in_a_slash() -> None:
    settings = Settings.from_environment({**AKS, "ARM_ENDPOINT": "https://arm.example/ "})
    assert settings.azure == ManagedCluster("s", "g", "c", "https://arm.example")


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:1"])
def test_an_address_on_this_machine_needs_no_tls(host: str) -> None:
    azure = Settings.from_environment({**AKS, "ARM_ENDPOINT": f"http://{host}"}).azure
    assert azure is not None
    assert azure.endpoint == f"http://{host}"


def test_nodes_are_repaired_after_a_while_or_never() -> None:
    assert Settings.from_environment(AKS).repair_after == 600
    assert Settings.from_environment({**AKS, "KAITO_NODE_REPAIR_AFTER": "never"}).repair_after == math.inf


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"KAITO_CLOUD": "moon"}, "KAITO_CLOUD is 'moon'; this release knows local, aks"),
        ({**AKS, "AZURE_CLUSTER_NAME": " "}, "KAITO_CLOUD is aks, so set AZURE_CLUSTER_NAME too"),
        ({"KAITO_CLOUD": "aks"}, "set ARM_SUBSCRIPTION_ID, ARM_RESOURCE_GROUP, AZURE_CLUSTER_NAME too"),
        (
            {**AKS, "ARM_ENDPOINT": "http://arm.example"},
            "ARM_ENDPOINT is 'http://arm.example'; it must begin with https",
        ),
        ({"KAITO_NODE_REPAIR_AFTER": "now"}, "KAITO_NODE_REPAIR_AFTER: 'now' is not a duration .*, or never"),
        ({"KAITO_LAUNCH_DEADLINE": "soon"}, "KAITO_LAUNCH_DEADLINE: 'soon' is not a duration like 30s, 10m or 1h"),
    ],
)
def test_what_is_wrong_is_said_by_name(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Settings.from_environment(environment)
