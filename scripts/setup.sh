#!/bin/sh
# Set the project up: find a Python that it runs on, then let scripts/setup.py do the work.
set -eu
cd "$(dirname "$0")/.."

fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" && exec "$PYTHON" scripts/setup.py "$@"
    echo "setup.python: expected Python 3.11, 3.12 or 3.13 as PYTHON=$PYTHON, found another or none" >&2
    echo "Remedy: name another one, e.g. make setup PYTHON=/usr/bin/python3.11" >&2
    exit 1
fi
for candidate in python3.11 python3.12 python3.13 python3 python; do
    fits "$candidate" && exec "$candidate" scripts/setup.py "$@"
done
echo "setup.python: expected Python 3.11, 3.12 or 3.13 on the PATH, found none" >&2
echo "Remedy: install one (Debian: apt install python3 python3-venv), or name it: make setup PYTHON=/path/to/python" >&2
exit 1
