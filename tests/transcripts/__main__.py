"""`python -m tests.transcripts --write [NAME…]` writes the sessions anew, as they are carried out now."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from .session import FOLDER, Session, read, written


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.transcripts", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="replace what is expected")
    parser.add_argument("name", nargs="*", help="such as iris; else all")
    names = parser.parse_args().name or sorted(path.stem for path in FOLDER.glob("*.txt"))
    for name in names:
        file = FOLDER / f"{name}.txt"
        before = file.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            after = written(list(Session(Path(folder)).carry_out(read(before))))
        file.write_text(after, encoding="utf-8")
        print(f"{name}: {'unchanged' if after == before else 'written'}")


if __name__ == "__main__":
    main()
