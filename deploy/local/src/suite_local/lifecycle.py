"""Bringing the suite up, down, and asking how it is. Whoever changes something holds the run directory's lock."""

from __future__ import annotations

import asyncio
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from common import postgres
from suite_local import provisioning
from suite_local.catalogue import NOTIFIER, SANDBOX, SANDBOX_PORT, SANDBOX_SMTP_PORT, SERVICES, WITH_CONSOLE
from suite_local.credentials import Credentials
from suite_local.errors import BackupError, CrashingError, NotReadyError
from suite_local.infrastructure.find import find_postgres, find_rabbitmq
from suite_local.paths import RunDirectory, locked, write_private
from suite_local.plan import Plan, layout, programs, roster, secret_files
from suite_local.ports import PortBook
from suite_local.programs import last_lines
from suite_local.readiness import ask, wait_all
from suite_local.suite_json import refresh
from suite_local.supervision import Supervisor

READY_WITHIN_S = 120.0
_SHIFTS_BEGIN = timedelta(hours=7)
"""After midnight UTC on Mondays: at 10 in Moscow."""
CRASHES = 3
"""A service that was started this often while we waited will not become ready by waiting longer."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the status table."""

    name: str
    url: str
    pids: tuple[int, ...]
    ready: bool
    reason: str


def up(
    run: RunDirectory,
    environ: Mapping[str, str] | None = None,
    *,
    replicas: Mapping[str, int] | None = None,
    say: Callable[[str], None] = print,
) -> Plan:
    """Start what does not run, and return when every `/readyz` answers 200. On a suite that is up it only checks that.

    Order: servers, databases and roles, migrations as one job, sandbox and services. Should it fail when nothing ran before,
    everything is stopped again; the logs stay.
    """
    environ = os.environ if environ is None else environ
    run.create()
    with locked(run.lock_file):
        if run.unfinished_restore.exists():
            raise BackupError(
                f"a backup was not brought into {run.root} to the end: restore it again with --replace (`make restore REPLACE=1`)"
            )
        supervisor = Supervisor(run)
        running = supervisor.running
        try:
            return _up(run, environ, supervisor, running=running, replicas=replicas or {}, say=say)
        except BaseException:
            if not running:
                supervisor.shutdown()
            raise


def _up(
    run: RunDirectory,
    environ: Mapping[str, str],
    supervisor: Supervisor,
    *,
    running: bool,
    replicas: Mapping[str, int],
    say: Callable[[str], None],
) -> Plan:
    # Before the servers choose theirs: what is asked for is taken, though nobody listens there yet.
    ports, smtp_port = choose_ports(run, environ, running=running, replicas=replicas, say=say)
    database = find_postgres(run, environ, running=running)
    broker = find_rabbitmq(run, environ, running=running)
    credentials = Credentials(run.secrets)
    plan = Plan(
        run=run,
        ports=ports,
        smtp_port=smtp_port,
        replicas={service.name: replicas.get(service.name, 1) for service in WITH_CONSOLE},
        postgres_dsn=database.address,
        databases=provisioning.database_dsns(database.address, credentials),
        tips_dsn=provisioning.tips_dsn(database.address, credentials),
        amqp_url=broker.address,
        broker_urls={} if broker.api is None else provisioning.broker_urls(broker.address, credentials),
        overrides=dict(environ),
    )
    for path, text in secret_files(run).items():
        write_private(path, text)
    ours = programs(plan)
    servers = (*broker.programs, *database.programs)
    changed = supervisor.apply((*servers, *ours))
    write_private(run.layout_file, json.dumps(layout(plan), indent=2))
    supervisor.start(program.name for program in (*servers, *(each for each in ours if each.name == SANDBOX)))
    database.wait_ready()
    if changed:
        provisioning.provision(database.address, credentials)
        migrate(plan, provisioning.owner_dsns(database.address, credentials))
    broker.wait_ready()
    if changed and broker.api is not None:
        provisioning.provision_broker(broker.api, broker.address, credentials)
    supervisor.start(program.name for program in ours)
    _wait_ready(plan, supervisor)
    _put_roster(plan, credentials)
    refresh(run)
    return plan


def _put_roster(plan: Plan, credentials: Credentials) -> None:
    """Put the sandbox's people on duty, unless there is a roster: then the notifier answers 409 and keeps it."""
    body = roster((datetime.now(UTC) - _SHIFTS_BEGIN).date())
    request = urllib.request.Request(  # noqa: S310 -- our own address, http
        f"{plan.urls(NOTIFIER)[0]}/admin/v1/roster",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {credentials.get('admin')}"},
        method="PUT",
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 -- as above
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.CONFLICT:
            raise NotReadyError(
                f"the notifier does not take the roster: {error.code} {error.read().decode()}"
            ) from None
    except OSError as error:
        raise NotReadyError(f"the notifier does not take the roster: {error}") from None


def migrate(plan: Plan, owners: Mapping[str, str]) -> None:
    """Bring every database to the schema of this checkout, side by side, in one job: what each service's `migrate` command does.

    In this process, not by those commands: importing four services costs more than all the migrations.
    """
    asyncio.run(_migrate(plan, owners))


async def _migrate(plan: Plan, owners: Mapping[str, str]) -> None:
    services = [service for service in SERVICES if service.name in owners]
    jobs = (
        postgres.migrate(owners[service.name], service.package, serving=plan.databases[service.name])
        for service in services
    )
    results = await asyncio.gather(*jobs, return_exceptions=True)
    failed = [
        f"the migrations of {service.name} failed: {result}"
        for service, result in zip(services, results, strict=True)
        if isinstance(result, BaseException)
    ]
    if failed:
        raise NotReadyError("\n".join(failed))


def down(run: RunDirectory) -> bool:
    """Stop everything, services first, and leave no process; the data stays. Return whether something ran."""
    if not run.root.exists():
        return False
    with locked(run.lock_file):
        supervisor = Supervisor(run)
        running = supervisor.running
        supervisor.shutdown()
        # With nothing running its pids are somebody else's.
        run.suite_json.unlink(missing_ok=True)
        run.layout_file.unlink(missing_ok=True)
        return running


def status(run: RunDirectory) -> list[Line]:
    """Return a line for each service and server; an empty list when the suite is down."""
    states = {state.name: state for state in Supervisor(run).processes()}
    if not states or not run.layout_file.exists():
        return []
    document = json.loads(run.layout_file.read_text(encoding="utf-8"))
    lines = []
    for name in ("postgres", "rabbitmq"):
        state = states.get(name)
        pids = (state.pid,) if state is not None and state.pid is not None else ()
        lines.append(
            Line(
                name,
                "",
                pids,
                state is None or bool(pids),
                "given by its address" if state is None else state.state.lower(),
            )
        )
    for name, url in {SANDBOX: document["infrastructure"][SANDBOX]["url"], **document["services"]}.items():
        answer = ask(url, path=_probe(name))
        members = document["programs"].get(name, [name])
        found = tuple(pid for member in members if member in states and (pid := states[member].pid) is not None)
        lines.append(Line(name, url, found, answer.ready, answer.reason))
    return lines


def _probe(name: str) -> str:
    return "/livez" if name == SANDBOX else "/readyz"


def choose_ports(
    run: RunDirectory,
    environ: Mapping[str, str],
    *,
    running: bool,
    replicas: Mapping[str, int],
    say: Callable[[str], None],
) -> tuple[dict[str, int], int]:
    """Choose the ports of services and sandbox, and of its SMTP; while they run, they keep theirs unless others are asked for.

    What is asked for is chosen first, so that no other program gets it meanwhile.
    """
    book = PortBook(run.state_file)

    def choose(name: str, variable: str, default: int | None) -> int:
        asked = int(environ[variable]) if environ.get(variable) else None
        known = book.known(name)
        if running and known is not None and asked in (None, known):
            return known
        return book.choose(name, default=default, asked=asked)

    wanted: list[tuple[str, str, int | None]] = [
        (SANDBOX, "SUITE_SANDBOX_PORT", SANDBOX_PORT),
        ("sandbox_smtp", "SUITE_SANDBOX_SMTP_PORT", SANDBOX_SMTP_PORT),
    ]
    for service in WITH_CONSOLE:
        first, *others = service.programs(replicas.get(service.name, 1))
        wanted += [
            (first, f"SUITE_{service.package.upper()}_PORT", service.port),
            *((other, "", None) for other in others),
        ]
    wanted.sort(key=lambda want: not environ.get(want[1]))
    ports = {name: choose(name, variable, default) for name, variable, default in wanted}
    smtp = ports.pop("sandbox_smtp")
    for name, (default, chosen) in book.moved.items():
        say(f"port {default} is taken by something else: {name} listens on {chosen}")
    return ports, smtp


def _wait_ready(plan: Plan, supervisor: Supervisor) -> None:
    waiting = {
        program: plan.url(program)
        for service in WITH_CONSOLE
        for program in service.programs(plan.replicas[service.name])
    }
    seen: dict[str, set[int]] = {}
    next_look = time.monotonic() + 1

    def watch() -> None:
        nonlocal next_look
        if time.monotonic() < next_look:
            return
        next_look = time.monotonic() + 1
        for state in supervisor.processes():
            if state.pid is not None:
                seen.setdefault(state.name, set()).add(state.pid)
            if len(seen.get(state.name, ())) >= CRASHES:
                end = last_lines(plan.run.logs / f"{state.name}.log", 3)
                raise CrashingError(f"{state.name} ends again and again; its last words:\n{end}")

    try:
        wait_all({SANDBOX: plan.url(SANDBOX)}, timeout_s=READY_WITHIN_S, watch=watch, path=_probe(SANDBOX))
        wait_all(waiting, timeout_s=READY_WITHIN_S, watch=watch)
    except CrashingError:
        raise
    except NotReadyError as error:
        failed = [name for name, url in waiting.items() if not ask(url).ready]
        logs = "\n".join(f"--- {name}\n{last_lines(plan.run.logs / f'{name}.log')}" for name in failed)
        raise NotReadyError(f"{error}\n{logs}" if logs else str(error)) from error
