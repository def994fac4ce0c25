"""Job types for CCP-EM's pipeliner and Doppio; imported by the pipeliner only, which must be there.

The jobs start ``mapsort multi`` and ``mapsort refine`` as RELION's External job does.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path

from pipeliner.display_tools import make_maps_slice_montage_and_3d_display
from pipeliner.job_options import (
    EXT_MRC_MAP,
    EXT_STARFILE,
    BooleanJobOption,
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    IntJobOption,
    JobOptionValidationResult,
    MultiInputNodeJobOption,
    StringJobOption,
)
from pipeliner.node_factory import create_node
from pipeliner.nodes import NODE_DENSITYMAP, NODE_MASK3D, NODE_PARTICLEGROUPMETADATA
from pipeliner.pipeliner_job import ExternalProgram, PipelinerCommand, PipelinerJob
from pipeliner.results_display_objects import ResultsDisplayObject

from mapsort._version import __version__
from mapsort.io.star_tables import read_tables
from mapsort.rundir.relion_job import NODES

#: End of the name of a class's map, of all particles.
_CLASS = re.compile(r"run_it\d+_class\d+\.mrc$")
_MAP = FileDescription("MRC map", EXT_MRC_MAP)


class _Job(PipelinerJob, ABC):
    """What the jobs have in common: particles, symmetry, course, outputs, pictures."""

    OUT_DIR = "MapSort"
    #: Of each job: the command, and what is said of it.
    COMMAND = NAME = SUMMARY = DESCRIPTION = ""

    def __init__(self) -> None:
        super().__init__()
        self.jobinfo.display_name = self.NAME
        self.jobinfo.short_desc, self.jobinfo.long_desc = self.SUMMARY, self.DESCRIPTION
        self.jobinfo.version = __version__
        self.jobinfo.job_author = "The mapsort developers"
        version = ["mapsort", "--version"]
        self.jobinfo.programs = [ExternalProgram("mapsort", vers_com=version)]
        self.joboptions["in_particles"] = InputNodeJobOption(
            label="Input particles",
            node_type=NODE_PARTICLEGROUPMETADATA,
            node_kwds=["relion"],
            pattern=FileDescription("Particles STAR file", EXT_STARFILE),
            help_text="Particles with optics groups, protein white; poses are not needed.",
            is_required=True,
        )
        self.add_own_options()
        self.joboptions["symmetry"] = StringJobOption(
            label="Symmetry",
            default_value="C1",
            help_text=(
                "C<n>, D<n>, O, I1 or I4 as in RELION, or tet with a 3-fold on z; one for all "
                "maps, or one per map: D7,C7."
            ),
            is_required=True,
        )
        self.joboptions["iterations"] = IntJobOption(
            label="Iterations",
            default_value=0,
            hard_min=0,
            help_text="0: until assignments, occupancies and resolutions no longer change.",
            in_continue=True,
        )
        self.get_runtab_options(threads=True, addtl_args=True)

    def get_commands(self) -> list[PipelinerCommand]:
        """Return the command, in the words of RELION's External job."""
        words = ["mapsort", self.COMMAND, "--o", self.output_dir]
        words += ["--in_parts", self.joboptions["in_particles"].get_string(), *self.own_words()]
        words += ["--sym", _symmetry(self.joboptions["symmetry"].get_string())]
        if self.joboptions["iterations"].get_number():
            words += ["--iter", self.joboptions["iterations"].get_string()]
        words += ["--j", str(self.get_nr_threads()), *self.parse_additional_args()]
        return [PipelinerCommand(words)]

    @abstractmethod
    def add_own_options(self) -> None:
        """Add the options that only this job has."""

    @abstractmethod
    def own_words(self) -> list[str]:
        """Return what only this job's command takes."""

    def create_output_nodes(self) -> None:
        """Leave them until the run has ended: their names tell the last iteration."""

    def create_post_run_output_nodes(self) -> None:
        """Offer what the run says that other jobs may take."""
        nodes = read_tables(Path(self.output_dir) / NODES)["output_nodes"]
        both = zip(nodes["rlnPipeLineNodeName"], nodes["rlnPipeLineNodeTypeLabel"], strict=True)
        for name, label in both:
            kind, _, *keywords = label.replace("relion", "mapsort").split(".")
            if kind == NODE_PARTICLEGROUPMETADATA:
                keywords.insert(0, "relion")  # jobs that take RELION's tables look for it
            self.output_nodes.append(create_node(name, kind, keywords))

    def create_results_display(self) -> list[ResultsDisplayObject]:
        """Show slices and surfaces of all maps."""
        whole = (node.name for node in self.output_nodes if _CLASS.search(node.name))
        maps = {name: f"3D class {number}" for number, name in enumerate(sorted(whole), start=1)}
        shown: list[ResultsDisplayObject] = make_maps_slice_montage_and_3d_display(
            in_maps=maps, output_dir=self.output_dir
        )
        return shown


class Class3D(_Job):
    """``mapsort multi``: classify particles and refine the maps of the classes."""

    PROCESS_NAME = "mapsort.class3d"
    CATEGORY_LABEL = "3D Classification"
    COMMAND = "multi"
    NAME = "mapsort 3D classification"
    SUMMARY = "Classify particles against several maps while refining these"
    DESCRIPTION = (
        "Heterogeneous refinement on processors: particles are matched with projections of all "
        "maps, classes are refined together and filtered by their own resolution. From one map, "
        "classes are found by principal components; junk is put apart."
    )

    def add_own_options(self) -> None:
        """Add maps, mask and how classes are searched."""
        self.joboptions["in_maps"] = MultiInputNodeJobOption(
            label="Starting maps",
            node_type=NODE_DENSITYMAP,
            pattern=_MAP,
            help_text="One map, from which classes are found, or a map for each class.",
            is_required=True,
        )
        self.joboptions["nr_classes"] = IntJobOption(
            label="Number of classes",
            default_value=2,
            hard_min=1,
            help_text="Of one starting map; several give a class each.",
        )
        self.joboptions["in_masks"] = MultiInputNodeJobOption(
            label="Focus masks",
            node_type=NODE_MASK3D,
            pattern=_MAP,
            help_text=(
                "Classify by what lies inside; of several masks each gives classes of its own at "
                "the same poses. Empty: by the whole map."
            ),
        )
        self.joboptions["do_keep_poses"] = BooleanJobOption(
            label="Keep the poses of the input?",
            default_value=False,
            help_text="No search of poses: classes only.",
        )
        self.joboptions["do_halves"] = BooleanJobOption(
            label="Independent half-sets?",
            default_value=False,
            help_text="Two half-sets kept apart from the start: a gold-standard FSC per class.",
        )
        self.joboptions["target_resolution"] = FloatJobOption(
            label="Target resolution (A)",
            default_value=0,
            hard_min=0,
            help_text="Sets the angular step; 0: chosen by the program.",
        )

    def own_words(self) -> list[str]:
        """Return maps, mask and how classes are searched."""
        maps = self.joboptions["in_maps"].get_list()
        if len(maps) == 1:
            words = ["--in_3dref", maps[0]]
            words += ["--nmodels", self.joboptions["nr_classes"].get_string()]
        else:
            words = ["--models", ",".join(maps)]
        if masks := self.joboptions["in_masks"].get_list():
            words += ["--in_mask", ",".join(masks)]
        if self.joboptions["do_keep_poses"].get_boolean():
            words.append("--skipalign")
        if self.joboptions["do_halves"].get_boolean():
            words.append("--halves")
        if resolution := self.joboptions["target_resolution"].get_number():
            words += ["--targetres", f"{resolution:g}"]
        return words

    def additional_joboption_validation(self) -> list[JobOptionValidationResult]:
        """Refuse a comma in the name of a map or mask: names are joined by it."""
        options = [self.joboptions[name] for name in ("in_maps", "in_masks")]
        said = "mapsort takes no map whose name has a comma"
        return [
            JobOptionValidationResult("error", [option], said)
            for option in options
            if any("," in name for name in option.value or ())
        ]


class Refine3D(_Job):
    """``mapsort refine``: refine one map by half-sets that are kept apart from the start."""

    PROCESS_NAME = "mapsort.refine3d"
    CATEGORY_LABEL = "3D Refinement"
    COMMAND = "refine"
    NAME = "mapsort 3D refinement"
    SUMMARY = "Refine one map by independent half-sets"
    DESCRIPTION = (
        "Poses are refined by two half-sets that share nothing but the FSC; the map is filtered by "
        "the FSC corrected for its mask, and sharpened."
    )

    def add_own_options(self) -> None:
        """Add the map."""
        self.joboptions["in_map"] = InputNodeJobOption(
            label="Starting map",
            node_type=NODE_DENSITYMAP,
            pattern=_MAP,
            help_text="Used up to a coarse resolution only.",
            is_required=True,
        )

    def own_words(self) -> list[str]:
        """Return the map."""
        return ["--in_3dref", self.joboptions["in_map"].get_string()]


def _symmetry(written: str) -> str:
    """Return symmetries as mapsort spells them.

    T, I, I2 and I3 stay, and are refused: RELION has other axes there than mapsort.
    """
    names = {"o": "oct", "i1": "icos2", "i4": "icos"}
    return ",".join(names.get(name.strip().lower(), name.strip()) for name in written.split(","))
