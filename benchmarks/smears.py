"""White cells found in photographs of smears, and what a model says of them.

    python benchmarks/smears.py bccd BCCD --half first|second [--misses DIR]
    python benchmarks/smears.py synthetic [--fields 60]
    python benchmarks/smears.py paste BCCD CELLS --half first|second [--scale 0.05] [--pictures DIR]
    python benchmarks/smears.py scaling|strangers BCCD CELLS LYMPHOCYTES

BCCD is the folder of real fields with boxes (``JPEGImages`` and ``Annotations``, MIT), CELLS a cohort in
C-NMC's layout or a manifest, LYMPHOCYTES a folder of pictures with a normal lymphocyte in the middle.
Settings were chosen on the first half of the fields by name, and of the people of each class by name.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from record import keep
from smear import finding

HALVES = ("first", "second")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for add in (_add_bccd, _add_synthetic, _add_paste, _add_others):
        add(kinds)
    given = parser.parse_args()
    name, found = given.measure(given)
    print(keep("smears", name, found))
    print({key: value for key, value in found.items() if not isinstance(value, dict)})


def _add_bccd(kinds: Any) -> None:
    parser = kinds.add_parser("bccd")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=HALVES, required=True)
    parser.add_argument("--misses", type=Path)
    parser.set_defaults(
        measure=lambda given: (
            f"bccd-{given.half}-half",
            finding.bccd(given.folder, given.half, given.misses),
        )
    )


def _add_synthetic(kinds: Any) -> None:
    parser = kinds.add_parser("synthetic")
    parser.add_argument("--fields", type=int, default=60)
    parser.set_defaults(measure=lambda given: ("synthetic", finding.synthetic(given.fields)))


def _add_paste(kinds: Any) -> None:
    parser = kinds.add_parser("paste")
    parser.add_argument("folder", type=Path)
    parser.add_argument("cells", type=Path)
    parser.add_argument("--half", choices=HALVES, required=True)
    parser.add_argument("--num", type=int, default=200, help="cells of each class")
    parser.add_argument("--scale", type=float, default=0.05, help="of the photograph, micrometres per pixel")
    parser.add_argument("--rows", type=Path, help="a CSV file with a row for each cell")
    parser.add_argument("--pictures", type=Path, help="of what was missed or has moved")
    parser.set_defaults(measure=_paste)


def _paste(given: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    from smear.paste import paste

    return f"paste-{given.half}-half-{given.scale:g}", paste(given)


def _add_others(kinds: Any) -> None:
    for kind in ("scaling", "strangers"):
        parser = kinds.add_parser(kind)
        parser.add_argument("folder", type=Path)
        parser.add_argument("cells", type=Path)
        parser.add_argument("lymphocytes", type=Path)
        parser.set_defaults(measure=_others)


def _others(given: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    from smear.photographs import bccd_photographs, lymphocyte_photographs
    from smear.scaling import scaling
    from smear.strangers import strangers

    those = {"BCCD": bccd_photographs(given.folder), "lymphocytes": lymphocyte_photographs(given.lymphocytes)}
    measure = scaling if given.kind == "scaling" else strangers
    return given.kind, measure(given.cells, those)


if __name__ == "__main__":
    main()
