"""The figures as a table, as `build/bench.json`, as a plot, and as Markdown: `python -m tests.benchmarks.report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FIGURES = Path("build/bench.json")
PLOT = Path(__file__).with_name("results.png")

# What is measured (figure, unit), and against whom (figure, name), as the README shows it.
ROWS: list[tuple[str, str, str, dict[str, str]]] = [
    (
        "extraction, single-row transactions",
        "extract_oltp_tx_per_s",
        "tx/s",
        {
            "extract_oltp_vs_mysql_replication": "mysql-replication",
            "extract_oltp_vs_mysql_event_stream": "mysql-event-stream",
            "extract_oltp_vs_zongji": "zongji",
            "extract_oltp_vs_mysqlbinlog_v": "`mysqlbinlog -v`",
            "extract_oltp_vs_raw_packets": "PyMySQL's bare packets",
        },
    ),
    (
        "extraction, bulk",
        "extract_bulk_mb_per_s",
        "MB/s of log",
        {
            "extract_bulk_vs_mysqlbinlog_v": "`mysqlbinlog -v`",
            "extract_bulk_vs_mysqlbinlog_raw": "`mysqlbinlog --raw`",
        },
    ),
    (
        "row image to CSV text, one core",
        "csv_encode_rows_per_s",
        "rows/s",
        {
            "csv_encode_vs_mysql_replication": "mysql-replication",
            "csv_encode_vs_mysql_event_stream": "mysql-event-stream",
            "csv_encode_vs_zongji": "zongji",
            "csv_vs_mysqlbinlog_v": "`mysqlbinlog -v`",
            "csv_vs_mariadb_binlog_v": "MariaDB's `mariadb-binlog -v`",
        },
    ),
    (
        "log to compressed CSV files, one process",
        "csv_rows_per_s",
        "rows/s",
        {"csv_vs_mysql_replication": "mysql-replication"},
    ),
    ("the same, 100 tables interleaved", "csv_rows_per_s_100_tables", "rows/s", {}),
    ("the same, 1,000 tables interleaved", "csv_rows_per_s_1000_tables", "rows/s", {}),
    (
        "the same, 100 tables, ten times the rows",
        "csv_rows_per_s_100_tables_10000000",
        "rows/s",
        {"csv_100_tables_10000000_vs_1_table": "one table's"},
    ),
    (
        "the same, 1,000 tables, ten times the rows",
        "csv_rows_per_s_1000_tables_10000000",
        "rows/s",
        {"csv_1000_tables_10000000_vs_1_table": "one table's"},
    ),
    ("cutting the log into micro-batches, single-row transactions", "plan_oltp_events_per_s", "events/s", {}),
    ("log to compressed CSV in S3, two processes, bulk", "stage_s3_rows_per_s", "rows/s", {}),
    ("the same, single-row transactions", "stage_oltp_rows_per_s", "rows/s", {}),
    ("load into the local Redshift", "load_rows_per_s", "rows/s", {}),
    ("all steps in one process, single-row transactions", "end_to_end_oltp_tx_per_s", "tx/s", {}),
    ("peak memory above an idle process, any step", "peak_extra_mb_max", "MB", {}),
]


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def write(figures: dict[str, float], absent: list[str]) -> None:
    """Prints the table and writes the figures down."""
    console = Console()
    table = Table("figure", "value")
    table.columns[1].justify = "right"
    for name, value in figures.items():
        table.add_row(name, number(value))
    console.print(table)
    for reason in absent:
        console.print(f"not measured: {reason}")
    FIGURES.parent.mkdir(exist_ok=True)
    rounded: dict[str, Any] = {name: round(value, 2) for name, value in figures.items()}
    FIGURES.write_text(json.dumps(rounded | ({"absent": absent} if absent else {}), indent=2) + "\n")
    console.print(f"written to {FIGURES}")


def markdown(figures: dict[str, float]) -> str:
    lines = ["| | | against |", "|---|---|---|"]
    for what, figure, unit, peers in ROWS:
        if figure in figures:
            against = ", ".join(
                f"{number(figures[ratio])} × {peer}" for ratio, peer in peers.items() if ratio in figures
            )
            lines.append(f"| {what} | {number(figures[figure])} {unit} | {against} |")
    return "\n".join(lines)


def plot(figures: dict[str, float], path: Path) -> None:
    """Bars of how many times faster than each peer, on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    bars = [
        (
            f"{what.partition(',')[0]}, bulk" if figure.endswith("mb_per_s") else what,
            peer.replace("`", ""),
            figures[ratio],
        )
        for what, figure, _, peers in ROWS[:3]
        for ratio, peer in peers.items()
        if ratio in figures
    ]
    colors = {what: f"C{place}" for place, what in enumerate(dict.fromkeys(what for what, _, _ in bars))}
    figure_, axes = plt.subplots(figsize=(8, 0.32 * len(bars) + 1.2), dpi=90)
    places = range(len(bars), 0, -1)
    axes.barh(places, [value for _, _, value in bars], color=[colors[what] for what, _, _ in bars])
    for place, (_, _, value) in zip(places, bars, strict=True):
        axes.text(value * 1.08, place, f"{number(value)} ×", va="center", fontsize=8)
    axes.set_yticks(places, [peer for _, peer, _ in bars], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(min(1.0, *(value for _, _, value in bars)) / 2, max(value for _, _, value in bars) * 3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_title("How many times the rate of …", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
    axes.legend(handles, colors, fontsize=8, loc="center right")
    axes.spines[["top", "right"]].set_visible(False)
    figure_.tight_layout()
    figure_.savefig(path)
    plt.close(figure_)


def main() -> None:
    figures = json.loads(FIGURES.read_text())
    print(markdown(figures))
    plot(figures, PLOT)


if __name__ == "__main__":
    main()
