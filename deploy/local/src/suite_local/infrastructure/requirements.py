"""What the machine must have besides Python packages, and getting it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from suite_local.errors import InfrastructureMissingError
from suite_local.infrastructure.containers import docker_answers
from suite_local.infrastructure.packages import install
from suite_local.infrastructure.postgres import find_binaries
from suite_local.infrastructure.rabbitmq import find_epmd, find_server_script

ONLY_FOR_TESTS = ("nginx", "openssl", "prometheus", "prometheus-alertmanager", "chromium")
SYSTEM_DIRECTORIES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""An ordinary user's search path often lacks the sbin directories, where servers are."""


def missing(environ: Mapping[str, str], *, for_tests: bool) -> list[str]:
    """Return the packages that are missing. An address in the environment stands for its server, but tests start their own."""
    wanted = []
    # Tests of TLS need a server of the system's own, whatever else there is.
    if (for_tests or not environ.get("SUITE_POSTGRES_DSN")) and find_binaries(with_tls=for_tests) is None:
        wanted.append("postgresql")
    if (for_tests or not environ.get("SUITE_AMQP_URL")) and (find_server_script() is None or find_epmd() is None):
        wanted.append("rabbitmq-server")
    if for_tests:
        path = f"{environ.get('PATH', '')}:{SYSTEM_DIRECTORIES}"
        wanted.extend(name for name in ONLY_FOR_TESTS if shutil.which(name, path=path) is None)
    return wanted


def install_missing(*, for_tests: bool) -> None:
    """Install what is missing, or say in one line what to install. A Docker daemon stands for the servers, but not for tests."""
    wanted = missing(os.environ, for_tests=for_tests)
    if not wanted:
        return
    print(f"setup: installing {' '.join(wanted)}", flush=True)
    try:
        install(wanted)
    except InfrastructureMissingError:
        if for_tests or not docker_answers():
            raise
        print("setup: they will run as containers", flush=True)
