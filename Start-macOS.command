#!/bin/sh
# Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE CDPATH
export PYTHONNOUSERSITE=1 PYTHONUTF8=1
here=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
PATH="$PATH:/opt/homebrew/bin:/usr/local/bin"
found=
for name in python3.14 python3.13 python3.12 python3.11 python3; do
    # Apple's own python3 is too old, and without the developer tools only offers to install them
    [ -n "$found" ] || [ "$(command -v "$name")" = /usr/bin/python3 ] && continue
    "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && found=$name
done
# A window that was opened by a double click would be gone before anybody could read what went wrong.
pauses=
case "${1-}" in
    '' | start | --window) [ -t 0 ] && pauses=yes ;;
esac
if [ -n "$found" ]; then
    [ -n "$pauses" ] || exec "$found" "$here/launcher.py" "$@"
    "$found" "$here/launcher.py" "$@"
    code=$?
else
    code=2
    echo "Galen needs a 64-bit Python 3.11 to 3.14, and none was found. Get it from https://www.python.org/downloads/" >&2
fi
if [ "$code" -ne 0 ] && [ -n "$pauses" ]; then
    printf 'Press Enter to close this window. '
    read -r _
fi
exit "$code"
