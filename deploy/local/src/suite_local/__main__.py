"""The command line: arguments and signals only. Called by the Makefile; see `python -m suite_local --help`."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from suite_local.errors import SuiteLocalError
from suite_local.paths import RunDirectory, run_directory, write_private

# Commands import what they need when they run: `down` is not to wait for what `test` imports.

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
infra = typer.Typer(help="PostgreSQL and RabbitMQ for tests, shared by everybody who tests in this checkout.")
app.add_typer(infra, name="infra", no_args_is_help=True)

Replicas = Annotated[int, typer.Option(min=1, max=8, help="How many processes of the gateway.")]


@app.command()
def setup(test: Annotated[bool, typer.Option("--test", help="Also what only tests need.")] = False) -> None:
    """Install the servers that no wheel brings, when they are missing and we may. Quick when nothing is."""
    from suite_local.infrastructure.requirements import install_missing

    install_missing(for_tests=test)


@app.command()
def up(gateways: Replicas = 1) -> None:
    """Start the suite in the background; return when every `/readyz` answers 200."""
    from suite_local import lifecycle, screens

    run = run_directory()
    lifecycle.up(run, replicas={"webhook-gateway": gateways}, say=screens.say)
    screens.show_status(lifecycle.status(run))
    screens.show_way_in(run.suite_json)


@app.command()
def down() -> None:
    """Stop the suite; its data stays."""
    from suite_local import lifecycle

    print("the suite is stopped" if lifecycle.down(run_directory()) else "the suite was not running")


@app.command()
def status() -> None:
    """Show what runs where; exit code 1 when something is not ready."""
    from suite_local import lifecycle, screens

    lines = lifecycle.status(run_directory())
    screens.show_status(lines)
    raise typer.Exit(0 if lines and all(line.ready for line in lines) else 1)


@app.command()
def run() -> None:
    """Start the suite, play one order through its whole life, show what happened, stay until Ctrl-C."""
    from suite_local import story

    raise typer.Exit(story.run(run_directory()))


@app.command()
def demo() -> None:
    """The same, then stop everything; exit code 0 only if every step was seen."""
    from suite_local import story

    raise typer.Exit(story.demo(run_directory()))


@app.command()
def practise() -> None:
    """Make trouble to practise on in the suite that runs: a late notice, a crashed workflow, a refused order."""
    from suite_local import practise as trouble

    print(*trouble.practise(run_directory()), sep="\n")


@app.command()
def test() -> None:
    """Run everything CI needs, on servers of this run's own."""
    from suite_local import checks

    raise typer.Exit(checks.test())


@app.command()
def chaos() -> None:
    """Run the fault tests."""
    from suite_local import checks

    raise typer.Exit(checks.chaos())


@app.command()
def cluster() -> None:
    """Run the proofs on three brokers and a pair of databases."""
    from suite_local import checks

    raise typer.Exit(checks.cluster())


@app.command()
def bench() -> None:
    """Run the benchmarks."""
    from suite_local import benchmarks

    raise typer.Exit(benchmarks.bench())


@app.command("bench-quick")
def bench_quick() -> None:
    """Measure what a change is likely to hurt, in under five minutes."""
    from suite_local import benchmarks

    raise typer.Exit(benchmarks.quick())


@app.command()
def images() -> None:
    """Build every image, and play the demo order through services started from them."""
    from suite_local import images as shipped_images

    raise typer.Exit(shipped_images.images(RunDirectory(run_directory().root / "images")))


@app.command()
def sbom() -> None:
    """Write a bill of materials (CycloneDX) of each image's Python packages."""
    from suite_local import dependencies

    raise typer.Exit(dependencies.sbom(run_directory()))


@app.command()
def lint() -> None:
    """Run the static checks."""
    from suite_local import checks

    raise typer.Exit(0 if checks.lint() else 1)


@app.command("format")
def format_code() -> None:
    """Put the code into its usual shape."""
    from suite_local import checks

    raise typer.Exit(checks.format_code())


@app.command()
def lock() -> None:
    """Make requirements.lock of requirements.in."""
    from suite_local import checks

    raise typer.Exit(checks.lock())


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A folder of its own; made when it is not there.")],
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", help="Go on keeping what the database writes, until Ctrl-C: nothing committed is missing."
        ),
    ] = False,
) -> None:
    """Save the running suite: databases, spools, the broker's definitions, secrets. Nothing is stopped."""
    from suite_local.backups.folder import BackupFolder
    from suite_local.backups.save import backup as save

    save(run_directory(), BackupFolder(folder.resolve()), follow=follow, say=_say)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="The folder of a backup.")],
    survivors: Annotated[
        Path | None,
        typer.Option(help="Run directory of the suite that was lost: take its spools and its broker's queues."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Set aside what lies in the run directory.")] = False,
) -> None:
    """Bring a backup into the run directory (`SUITE_RUN_DIR`), as it was at its end; `up` starts it."""
    from suite_local.backups.folder import BackupFolder
    from suite_local.backups.restore import restore as bring

    lost = None if survivors is None else RunDirectory(survivors.resolve())
    bring(run_directory(), BackupFolder(folder.resolve()), os.environ, survivors=lost, replace=replace, say=_say)


def _say(text: str) -> None:
    print(text, flush=True)


@infra.command("up")
def infra_up(
    write_to: Annotated[Path | None, typer.Option(help="Also write the export lines into this file.")] = None,
) -> None:
    """Start the shared test servers, keep them, and print the export lines that tests find them by."""
    from suite_local import testing

    addresses = testing.acquire(RunDirectory(testing.shared_directory()), testing.KEPT)
    lines = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in addresses.environment().items())
    print(lines, end="")
    if write_to is not None:
        write_private(write_to, lines)


@infra.command("down")
def infra_down() -> None:
    """Stop keeping the shared test servers; they stop when no test uses them any more."""
    from suite_local import testing

    testing.release(RunDirectory(testing.shared_directory()), testing.KEPT)


def main() -> None:
    """Run the command line; what went wrong is one clear message and exit code 1."""
    # TERM as Ctrl-C: what was started for this command is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Else each of the many processes that are started would compile all that it imports: as long again as everything else in its start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        app()
    except SuiteLocalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
