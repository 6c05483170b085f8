"""Evidence over time as an SVG or PNG file, drawn by matplotlib: the extra `plots`. Reads in black and white."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Final

from guardian.cli.chart import drawn, label, limits
from guardian.core.course import TOGETHER, Against, Course, EvidenceSeries
from guardian.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS: Final = (".svg", ".png")
_MARKERS: Final = "os^DvP*X"
_FEW: Final = 40
"""Readings up to which each gets a marker of its own."""
_CROWDED: Final = 0.04
"""Part of the time axis below which two texts would run into each other."""


def check_picture(path: Path, kinds: Sequence[str] = KINDS, *, option: str = "--plot") -> None:
    """Raise ConfigError where no picture could be written to this path: before anything is asked or judged."""
    where = f"{option} {path}"
    if path.suffix.lower() not in kinds:
        several = f"{', '.join(kinds[:-1])} or {kinds[-1]}, or - for the terminal"
        remedy = f"name a file that ends in {several if len(kinds) > 1 else kinds[0]}"
        raise ConfigError(f"'{path.suffix}' is no kind of picture", where=where, remedy=remedy)
    if not path.resolve().parent.is_dir():
        raise ConfigError("is in a folder that does not exist", where=where, remedy="make the folder")
    try:
        import matplotlib as mpl  # noqa: PLC0415  an extra, and it costs more than a small picture

        _ = mpl.__version__
    except ImportError:
        remedy = "pip install 'slo-guardian[plots]', or leave it out; --plot - draws in the terminal"
        raise ConfigError(
            "drawing a picture needs matplotlib, which is not installed", where=where, remedy=remedy
        ) from None


def write_picture(course: Course, path: Path) -> None:
    """Draw a course into a file, by its ending. Raises ConfigError where it cannot be written."""
    check_picture(path)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_course(axes, course)
        axes.set_title(f"{course.rollout}: evidence over time\n{course.resolution}", fontsize=8.5)

    write_file(path, picture(draw, path.suffix.lower(), size=(9.0, 5.0)))


def picture(draw: Callable[[Figure], None], kind: str, *, size: tuple[float, float]) -> bytes:
    """Return what `draw` puts on a figure as SVG or PNG. size: width and height in inches."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    # text stays text, so that it can be searched; the same data gives the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "slo-guardian", "font.size": 9.0}):
        figure, drawn_as = Figure(figsize=size, layout="constrained"), BytesIO()
        draw(figure)
        figure.savefig(drawn_as, format=kind[1:], dpi=140, metadata={"Date": None} if kind == ".svg" else {})
    return drawn_as.getvalue()


def write_file(path: Path, content: bytes, *, option: str = "--plot") -> None:
    """Write a file whole or not at all; option: what asked for it. Raises ConfigError where it cannot be written."""
    try:
        with NamedTemporaryFile(dir=path.resolve().parent, prefix=f".{path.name}.", delete=False) as file:
            beside = Path(file.name)
            try:
                file.write(content)
                file.close()
                beside.chmod(0o644)
                beside.replace(path)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
    except OSError as cause:
        remedy = "check the path, its rights, and that there is room"
        raise ConfigError(f"cannot be written: {cause.strerror}", where=f"{option} {path}", remedy=remedy) from cause


def draw_course(axes: Axes, course: Course, *, until: float | None = None) -> None:
    """Draw evidence, thresholds and what happened. until: end of the axis of time in seconds; default: the course's."""
    last, low, high = limits(course)
    last = last if until is None else until
    unit, name = time_unit(last)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_xlim(0.0, 1.02 * last / unit)
    for number, series in enumerate(drawn(course)):
        _line(axes, series, number, unit=unit, least=low, most=high)
    for value, style, text in ((course.rollback, "-", "rollback"), (course.promotion, "--", "promotion")):
        axes.axhline(value, color="black", linewidth=0.9, linestyle=style, gid=f"threshold-{text}")
        axes.annotate(
            f"{text} at {value:.4g}", (1.0, value), xycoords=("axes fraction", "data"), ha="left", va="center",
            xytext=(4, 0), textcoords="offset points",
            annotation_clip=False,
        )  # fmt: skip
    _marks(axes, course, unit=unit, last=last)
    axes.set_xlabel(f"{name} since {course.zero}")
    axes.set_ylabel("evidence (logarithmic)")
    if course.series:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)


def time_unit(last: float) -> tuple[float, str]:
    """Return seconds a unit, and the unit's name, for an axis that ends at `last` seconds."""
    return (1.0, "seconds") if last < 600 else (60.0, "minutes")


def _line(axes: Axes, series: EvidenceSeries, number: int, *, unit: float, least: float, most: float) -> None:
    combined = series.guardrail == TOGETHER
    few = len(series.readings) <= _FEW
    axes.plot(
        [one.at / unit for one in series.readings],
        [min(max(one.evidence, least), most) for one in series.readings],
        color="black" if combined else "0.45" if series.against is Against.CANARY else "0.2",
        linewidth=2.0 if combined else 1.1,
        linestyle="-" if series.against is Against.CANARY else (0, (5, 1.5)),
        marker=_MARKERS[number % len(_MARKERS)],
        markevery=None if few else 0.08,
        markersize=4.5,
        markerfacecolor="black" if combined else "white",
        label=label(series),
        gid=f"series-{series.against}-{series.guardrail or 'together'}",
        clip_on=False,
    )


def _marks(axes: Axes, course: Course, *, unit: float, last: float) -> None:
    """Draw what happened as vertical lines; texts of what happened at about one time share a line of text."""
    groups: list[tuple[float, list[str]]] = []
    for mark in course.marks:
        if groups and mark.at - groups[-1][0] < _CROWDED * last:
            groups[-1][1].append(mark.text)
        else:
            groups.append((mark.at, [mark.text]))
        axes.axvline(mark.at / unit, color="0.6", linewidth=0.7, linestyle=":")
    for at, texts in groups:
        axes.annotate(
            ", ".join(texts), (at / unit, 0.01), xycoords=("data", "axes fraction"), rotation=90, ha="right",
            va="bottom", fontsize=7.5, xytext=(-1, 0) if at > _CROWDED * last else (9, 0), textcoords="offset points",
            annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )  # fmt: skip
