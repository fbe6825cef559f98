"""What `make bench` runs: every benchmark of this checkout, alone or in turn with another checkout's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

from rich.console import Console
from rich.table import Table

from suite_local.checks import own_servers
from suite_local.errors import SuiteLocalError
from suite_local.paths import repository_root

Figure = dict[str, object]
PAIRS = 5
"""How often both checkouts run a benchmark, unless `BENCH_PAIRS` says otherwise."""
NOISE = 0.03
"""Ratios nearer to 1 than this are taken for noise."""
_ABOUT = ("of", "figure", "goal", "load_average")
_LESS_IS_BETTER = re.compile(r"(?:\b|_)(?:ms|µs|us|bytes|lost|refused|share of a core|processor time|gb)(?:\b|_)")
_MORE_IS_BETTER = re.compile(r"/s\b| / ")


def bench() -> int:
    """Run every benchmark (`tests/bench/bench_*.py`, or the one that `BENCH_ONLY` names); return the worst exit code.

    Their lines are passed on and kept in `.run/bench/`; a table of all figures is the end. With `BENCH_BASE`, the path of another
    checkout with its `.venv`, each benchmark runs in both in turn, and the table is of the ratios.
    """
    root = repository_root()
    base = Path(os.environ["BENCH_BASE"]).resolve() if os.environ.get("BENCH_BASE") else None
    scripts = sorted((root / "tests" / "bench").glob(f"{os.environ.get('BENCH_ONLY') or 'bench_*'}.py"))
    if not scripts:
        raise SuiteLocalError("there is no benchmark yet: none in tests/bench/bench_*.py")
    figures: list[Figure] = []
    worst = 0
    with own_servers(durable=True) as environment:
        for script in scripts:
            if base is None:
                code, found = run(root, script.stem, environment)
            else:
                code, found = run_in_turn(root, base, script.stem, environment)
            worst = worst or code
            figures.extend(found)
    _show(figures)
    if base is not None:
        _say(figures)
    return worst


def quick() -> int:
    """Run what a change is likely to hurt (`tests/bench/quick.py`); return its exit code.

    With `BENCH_BASE` the programs of that checkout run beside ours and are measured in turn; losses and gains are told in words.
    """
    with own_servers(durable=True) as environment:
        code, figures = run(repository_root(), "quick", environment)
    _show(figures)
    _say(figures)
    return code


def run(checkout: Path, benchmark: str, environment: Mapping[str, str]) -> tuple[int, list[Figure]]:
    """Run a checkout's benchmark with that checkout's own `.venv`; return its exit code and its figures."""
    kept = repository_root() / ".run" / "bench"
    kept.mkdir(parents=True, exist_ok=True)
    raw = kept / f"{benchmark}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{checkout.name}.jsonl"
    command = [str(checkout / ".venv" / "bin" / "python"), "-m", f"tests.bench.{benchmark}"]
    figures: list[Figure] = []
    with (
        raw.open("a", encoding="utf-8") as stream,
        subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, text=True) as process,
    ):
        for line in process.stdout or ():
            print(line, end="", flush=True)
            stream.write(line)
            figures.extend(_figure(line))
    return process.returncode, figures


def run_in_turn(new: Path, base: Path, benchmark: str, environment: Mapping[str, str]) -> tuple[int, list[Figure]]:
    """Run a benchmark in both checkouts, new base new base …; return the worst exit code and the ratios of what both printed.

    Raises ``SuiteLocalError`` when the other checkout has no such benchmark or no `.venv`.
    """
    for needed in (base / ".venv/bin/python", base / "tests/bench" / f"{benchmark}.py"):
        if not needed.exists():
            raise SuiteLocalError(f"BENCH_BASE: there is no {needed}")
    worst = 0
    pairs: list[tuple[list[Figure], list[Figure]]] = []
    for number in range(int(os.environ.get("BENCH_PAIRS") or PAIRS)):
        found = []
        for name, checkout in (("new", new), ("base", base)):
            print(f"# {benchmark}, pair {number + 1}, {name}: {checkout}", flush=True)
            code, figures = run(checkout, benchmark, environment)
            worst = worst or code
            found.append(figures)
        pairs.append((found[0], found[1]))
    ratios = list(compare(pairs))
    for line in ratios:
        print(json.dumps(line, ensure_ascii=False), flush=True)
    return worst, ratios


def compare(pairs: Sequence[tuple[Sequence[Figure], Sequence[Figure]]]) -> Iterator[Figure]:
    """Yield the median of each figure's ratio new / base, taken pair by pair; so too of each number that stands beside a figure.

    What one of the two did not print, or printed as 0 or as words, has no ratio.
    """
    numbers = [(_numbers(new), _numbers(base)) for new, base in pairs]
    for key in numbers[0][0] if numbers else ():
        both = [(new[key], base[key]) for new, base in numbers if new.get(key) and base.get(key)]
        if not both:
            continue
        ratios = [new / base for new, base in both]
        low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
        goal_of, what, which, _ = key
        name = f"{what}{f' · {which}' if which != 'value' else ''}"
        yield {
            "of": goal_of,
            "figure": f"{name}: new / base",
            "value": round(median(ratios), 3),
            "middle_half": f"{low:.3f}–{high:.3f}",
            "pairs": len(ratios),
            "new": round(median(new for new, _ in both), 3),
            "base": round(median(base for _, base in both), 3),
            **_meaning(name, low, median(ratios), high),
        }


def _meaning(name: str, low: float, middle: float, high: float) -> dict[str, str]:
    """Say whether it is a loss or a gain, where it is known what is better: beyond the noise, and so for most of the pairs."""
    if _LESS_IS_BETTER.search(name):
        low, middle, high = 1 / high, 1 / middle, 1 / low
    elif not _MORE_IS_BETTER.search(name):
        return {}
    if middle < 1 - NOISE and high < 1:
        return {"means": "loss"}
    return {"means": "gain"} if middle > 1 + NOISE and low > 1 else {"means": "noise"}


def in_words(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield a sentence for each loss, then for each gain, or the one that there is neither."""
    told = False
    for means in ("loss", "gain"):
        for figure in figures:
            if figure.get("means") == means:
                told = True
                beside = f"{figure['new']} beside {figure['base']} of the base"
                yield f"{means.upper()} {figure['of']} {figure['figure']} {figure['value']} ({figure['middle_half']}): {beside}"
    if not told:
        yield "neither loss nor gain beyond the noise"


def _numbers(figures: Sequence[Figure]) -> dict[tuple[str, str, str, int], float]:
    """Every number of a run by goal, figure, name, and how often that came before."""
    found: dict[tuple[str, str, str, int], float] = {}
    for figure in figures:
        for name, value in figure.items():
            if name not in _ABOUT and isinstance(value, int | float) and not isinstance(value, bool):
                place = 0
                while (key := (str(figure.get("of")), str(figure.get("figure")), name, place)) in found:
                    place += 1
                found[key] = float(value)
    return found


def _figure(line: str) -> list[Figure]:
    try:
        parsed = json.loads(line)
    except ValueError:
        return []
    return [parsed] if isinstance(parsed, dict) else []


def _say(figures: Sequence[Figure]) -> None:
    if any("means" in figure for figure in figures):
        for words in in_words(figures):
            print(words, flush=True)


def _show(figures: Sequence[Figure]) -> None:
    main = ("of", "figure", "value", "goal")
    table = Table(*main, "beside")
    for figure in figures:
        beside = ", ".join(f"{name} {value}" for name, value in figure.items() if name not in main)
        table.add_row(*(str(figure.get(name, "")) for name in main), beside)
    console = Console()
    Console(width=max(console.width, 150)).print(table)
