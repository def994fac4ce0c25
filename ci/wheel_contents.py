"""Check what a wheel holds: its size, its licences, its bill of materials, every instruction set.

python ci/wheel_contents.py WHEEL
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path

LARGEST_BYTES = 5 * 2**20


def main(path: Path) -> int:
    """Print the findings; return the number of faults."""
    faults = []
    size = path.stat().st_size
    if size > LARGEST_BYTES:
        faults.append(f"{size / 2**20:.2f} MiB: more than {LARGEST_BYTES / 2**20:.0f} MiB")
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        faults += [
            f"no {what}" for what, pattern in _wanted(path).items() if not _any(pattern, names)
        ]
        faults += [f"{name} has no place in a wheel" for name in names if _any(_UNWANTED, [name])]
        bills = [name for name in names if re.search(r"/sboms/.*\.json$", name)]
        bundled = [name for bill in bills for name in _components(wheel.read(bill))]
        libraries = [name for name in names if re.search(r"\.libs/|\.dylibs/", name)]
        if libraries and not bills:
            faults.append("bundled libraries without a bill of materials")
    print(f"{path.name}: {size / 2**20:.2f} MiB, {len(names)} files")
    print(f"bundled libraries: {', '.join(libraries) or 'none'}")
    print(f"bill of materials: {', '.join(bundled) or 'none'}")
    for fault in faults:
        print(f"FAULT: {fault}")
    return len(faults)


_UNWANTED = r"\.(pyx|cpp|hpp|c|o|a)$|/tests?/|__pycache__"


def _wanted(path: Path) -> dict[str, str]:
    wanted = {
        "licence": r"dist-info/licenses/LICENSE$",
        "list of what is bundled": r"dist-info/licenses/THIRD_PARTY_LICENSES\.md$",
        "type marker": r"^mapsort/py\.typed$",
        "types of the kernels": r"^mapsort/_core\.pyi$",
        "page template": r"^mapsort/report/template/page\.html\.jinja$",
        "baseline kernels": r"^mapsort/_core_baseline\.",
        "book-keeping loops": r"^mapsort/_membership\.",
        "choice of the kernels": r"^mapsort/_processor\.",
    }
    if "x86_64" in path.name:
        wanted |= {f"{isa} kernels": rf"^mapsort/_core_{isa}\." for isa in ("v3", "v4")}
    return wanted


def _any(pattern: str, names: list[str]) -> bool:
    return any(re.search(pattern, name) for name in names)


def _components(bill: bytes) -> list[str]:
    components = json.loads(bill).get("components", [])
    return [f"{item['name']} {item.get('version', '')}".strip() for item in components]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
