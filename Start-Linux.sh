#!/bin/sh
# Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
for name in python3.14 python3.13 python3.12 python3.11 python3; do
    if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
        "$name" "$here/launcher.py" "$@"
        status=$?
        break
    fi
done
if [ -z "${status-}" ]; then
    status=2
    echo "Galen needs Python 3.11 to 3.14, and none was found. Install one (Debian, Ubuntu: sudo apt install" \
         "python3 python3-venv; Fedora: sudo dnf install python3) or get it from https://www.python.org/downloads/" >&2
fi
if [ "$status" -ne 0 ] && [ $# -eq 0 ] && [ -t 0 ]; then
    printf 'Press Enter to close this window. '
    read -r _
fi
exit "$status"
