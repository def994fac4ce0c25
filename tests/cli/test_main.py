"""Commands, exit statuses, refusals, help."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys

import pytest

from mapsort import __version__
from mapsort.cli.commands import COMMANDS
from mapsort.cli.main import e2refinemulti, main
from mapsort.errors import FormatError, Interrupted, NumericalError
from mapsort.options.fields import flag_of
from mapsort.options.multi import MultiOptions

# Section 2 of the interface: every option of the original, and the modern ones.
INTERFACE_TEXT = """
--version --help --check --verbose --iter --models --input --usefilt --path --mass --apix --sym
--lowmem --parallel --projector --orientgen --twostage --shrink --simcmp --simalign --simaligncmp
--simralign --simraligncmp --simmask --prefilt --sep --classiter --classcmp --classalign
--classaligncmp --classralign --classraligncmp --classaverager --classkeep --classkeepsig
--classnormproc --classrefsf --classautomask --pad --recon --m3dkeep --m3dkeepsig --m3dsetsf
--m3diter --m3dpreprocess --m3dpostprocess --automask3d --model --nmodels --seedmethod --targetres
--speed --mask --assign --inputmode --halves --breaksym --ctf --invert --maxshift --randomseed
--relax --resume --format --keepfiles --starts --junk --skipalign --datadir --passthrough --log-json
--no-report --quiet --startres --replicates --control --batch --downsample
"""
INTERFACE = INTERFACE_TEXT.split()


def test_every_option_of_the_interface_is_taken():
    taken = {flag_of(item.name) for item in dataclasses.fields(MultiOptions)}
    assert taken | {"--version", "--help"} == set(INTERFACE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mlti", r"unknown command 'mlti'; did you mean multi\?"),
        ("xyzzy", r"unknown command 'xyzzy'; mapsort --help lists them"),
        ("multi --modles a.mrc", r"unknown option --modles; did you mean --models\?"),
        ("multi --twostge=3", r"unknown option --twostge; did you mean --twostage\?"),
        ("multi --zzzzzz", r"unknown option --zzzzzz; mapsort multi --help lists them"),
        ("multi --mod a.mrc", "unknown option --mod"),
        ("multi a.star", "unexpected argument 'a.star'"),
        ("multi --models a.mrc", "--input is missing"),
        ("multi --input a.star --skipalign", "--models is missing"),
        ("multi --input", "--input: a value is missing"),
        ("multi --check=1", "--check: takes no value"),
        ("multi --input a --models b,,c", "--models=b,,c: expected map files"),
        ("multi --input a --models b --iter x", "--iter=x: expected a whole number from 1"),
        ("multi --input a --models b --iter=0", "--iter=0: expected a whole number from 1"),
        ("multi --input a --models b --speed 8", "--speed=8: expected a whole number from 1 to 7"),
        ("multi --input a --models b --ctf maybe", "--ctf=maybe: expected one of auto, apply"),
        ("multi --input a --models b --automask3d 1,2,3", "--automask3d=1,2,3: expected five"),
        ("multi --input a --models b --mass 0", r"--mass=0.0: expected masses in kDa"),
        ("multi --input a --models b --apix -1", r"--apix=-1.0: expected a number above 0"),
        ("multi --input a --models b --sym q", r"--sym=q: symmetry 'q'"),
        ("multi --input a --models b --orientgen emam:delta=3", "--orientgen=emam:delta=3"),
        ("multi --input a --models b -P mpi:3", "--parallel=mpi:3"),
        ("multi --input a --models b -v 11", "--verbose=11: expected a whole number from 0 to 9"),
        ("simulate --phantom 2", "--out is missing"),
        ("simulate --out x --phantom two", "--phantom=two"),
        ("demo --n many", "--n=many"),
        ("demo --parallel dc:", "--parallel=dc:"),
    ],
)
def test_wrong_requests_give_status_2_and_plain_lines(
    capsys, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert 1 <= len(lines) <= 2
    assert all(line.startswith("mapsort: ") for line in lines)
    assert re.search(message, captured.err)
    assert "Traceback" not in captured.err
    assert list(tmp_path.iterdir()) == []


def test_the_greeting_names_what_one_needs(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"mapsort {command}" in out for command in ("demo", "info", "multi"))


def test_the_overview_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_version(capsys, command):
    assert main([command, "--help"]) == 0
    assert f"usage: mapsort {command}" in capsys.readouterr().out
    assert main([command, "--version"]) == 0
    assert capsys.readouterr().out == f"mapsort {__version__}\n"


def test_the_help_of_multi_shows_every_option_and_names_the_absent(capsys):
    assert main(["multi", "--help"]) == 0
    out = capsys.readouterr().out.replace("-\n", "-")  # lines break at hyphens
    assert all(option in out for option in INTERFACE)


def test_the_alias_is_multi(capsys):
    assert e2refinemulti(["--help"]) == 0
    assert "usage: e2refinemulti" in capsys.readouterr().out
    assert e2refinemulti(["--twostage=2"]) == 2


@pytest.mark.parametrize(
    "words", [["--help"], [], ["--version"], ["multi", "--help"], ["multi", "--twostage", "3"]]
)
def test_help_does_not_load_numpy(words):
    code = (
        "import sys; from mapsort.cli.main import main; main(sys.argv[1:]); "
        "sys.exit('numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (FormatError("a.star: broken"), 2, "mapsort: a.star: broken\n"),
        (NumericalError("map 2 is empty"), 1, "mapsort: map 2 is empty\n"),
        (Interrupted("interrupted by SIGTERM"), 75, "mapsort: interrupted by SIGTERM\n"),
        (OSError(28, "No space left on device", "x.mrc"), 1, "x.mrc: No space left on device\n"),
        (MemoryError(), 1, "mapsort: out of memory\n"),
        (KeyboardInterrupt(), 75, "mapsort: interrupted\n"),
        (ZeroDivisionError("oops"), 1, "error in mapsort; -v 9 shows where"),
    ],
)
def test_errors_become_lines_and_statuses(capsys, monkeypatch, error, status, text):
    def fail(_options, **_):
        raise error

    monkeypatch.setattr("mapsort.jobs.simulate.simulate", fail)
    assert main(["simulate", "--phantom", "1", "--out", "x"]) == status
    err = capsys.readouterr().err
    assert text in err
    assert "Traceback" not in err
    assert main(["simulate", "--phantom", "1", "--out", "x", "-v", "9"]) == status
    assert "Traceback" in capsys.readouterr().err


def test_simulate_writes_and_names_its_files(capsys, tmp_path):
    out = tmp_path / "out"
    assert main(["simulate", "--phantom", "2", "--n", "5", "--out", str(out)]) == 0
    captured = capsys.readouterr()
    named = {line.split("  ")[0] for line in captured.out.splitlines()}
    written = {str(path) for path in out.iterdir() if path.suffix != ".mrcs"}
    assert named == written
    assert "simulate: 5 particles in 2 classes" in captured.err
    assert (
        main(["simulate", "--phantom", "2", "--n", "5", "--out", str(out), "-q", "--overwrite"])
        == 0
    )
    assert capsys.readouterr().err == ""
