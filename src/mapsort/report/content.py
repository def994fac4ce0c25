"""What a section of the report is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from mapsort.report.flow import Sankey

Cell = str | int | float | None


@dataclass(frozen=True)
class Chart:
    """A picture with its words.

    Attributes
    ----------
    title : str
    alt : str
        What it shows, for those who do not see it.
    svg : Markup
        Inline SVG of our own making, or empty.
    png : str
        A data URI, or empty.
    note : str
        A sentence below.
    is_wide : bool
        Whether it takes a row of its own.
    """

    title: str
    alt: str
    svg: Markup = field(default_factory=Markup)
    png: str = ""
    note: str = ""
    is_wide: bool = False

    @classmethod
    def of_svg(
        cls, title: str, alt: str, svg: str, note: str = "", *, is_wide: bool = False
    ) -> Chart:
        """Return a chart from SVG text that this program has drawn."""
        # matplotlib has escaped every word in it.
        return cls(title, alt, svg=Markup(svg), note=note, is_wide=is_wide)


@dataclass(frozen=True)
class Table:
    """A table whose columns sort; numbers are given as numbers and formatted by ``digits``.

    ``note`` is a sentence below.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: tuple[int | None, ...] = ()
    note: str = ""

    @property
    def is_text(self) -> bool:
        """Return whether no column holds numbers."""
        return not any(self.is_numeric(column) for column in range(len(self.columns)))

    def is_numeric(self, column: int) -> bool:
        """Return whether a column holds numbers, apart from gaps."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and all(isinstance(cell, int | float) for cell in cells)

    def shown(self, column: int, value: Cell) -> str:
        """Return a cell's text."""
        if value is None:
            return "–"
        places = self.digits[column] if column < len(self.digits) else None
        if isinstance(value, float) and places is not None:
            return f"{value:.{places}f}"
        return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class ClassPair:
    """A class: its average (left) and projection (right).

    Attributes
    ----------
    number : int
        Image number in ``classes_YY.hdf``, from 0.
    picture : str
        PNG of both, side by side, as a data URI.
    count, excluded : int
        Members averaged, and members kept out (``--classkeep``).
    weight : float
        Sum of the averaged members' shares in the class.
    likeness : float
        Correlation of average and projection inside the inscribed circle.
    """

    number: int
    picture: str
    likeness: float
    count: int
    excluded: int
    weight: float


@dataclass(frozen=True)
class Strip:
    """Three slices and three projections of one map."""

    caption: str
    slices: str
    projections: str
    alt: str


@dataclass(frozen=True)
class StripRow:
    """One iteration's maps; ``is_open`` unfolds it from the start."""

    name: str
    title: str
    strips: tuple[Strip, ...]
    is_open: bool


@dataclass(frozen=True)
class ClassGallery:
    """Class pairs of one map, with a sentence on what is shown."""

    name: str
    title: str
    note: str
    pairs: tuple[ClassPair, ...]
    is_open: bool


@dataclass(frozen=True)
class ViewerAxis:
    """Slices perpendicular to an axis, one below the other in one picture (a data URI)."""

    name: str
    sheet: str


@dataclass(frozen=True)
class ViewedMap:
    """A map in the viewer.

    Attributes
    ----------
    name : str
    surface : str
        Pictures of its surface as a data URI: a row for each level, a column for each view.
    slices : tuple of ViewerAxis
    differences : tuple of ViewerAxis, or None
        The same slices of the map minus the mean of the others; None for one map.
    """

    name: str
    surface: str
    slices: tuple[ViewerAxis, ...]
    differences: tuple[ViewerAxis, ...] | None


@dataclass(frozen=True)
class MapViewer:
    """Maps side by side, whose slices and views are chosen for all at once.

    ``first_slice`` is the one shown at first, from 0.
    """

    maps: tuple[ViewedMap, ...]
    n_slices: int
    n_views: int
    first_slice: int


@dataclass(frozen=True)
class Section:
    """A section: words, then charts side by side, diagram, viewer, maps, classes, tables, log."""

    words: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()
    sankey: Sankey | None = None
    viewer: MapViewer | None = None
    strip_rows: tuple[StripRow, ...] = ()
    galleries: tuple[ClassGallery, ...] = ()
    tables: tuple[Table, ...] = ()
    folded_tables: tuple[Table, ...] = ()
    log: tuple[str, ...] = ()
    name: str = ""
    title: str = ""
