#!/bin/sh
# Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE
export PYTHONNOUSERSITE=1 PYTHONUTF8=1
here=$(dirname -- "$(readlink -f -- "$0")")      # -f: somebody may start a link to it, from a desktop
found=
# first one that can make an environment; Debian's may come without these modules, and launcher.py says how to get them
for needs in 'sys, ensurepip, venv' 'sys'; do
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        [ -z "$found" ] || break
        "$name" -c "import $needs; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.maxsize < 2**32)" \
            2>/dev/null && found=$name
    done
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
    echo "Galen needs a 64-bit Python 3.11 to 3.14, and none was found. Install one (Debian, Ubuntu: sudo apt install" \
         "python3 python3-venv; Fedora: sudo dnf install python3) or get it from https://www.python.org/downloads/" >&2
fi
if [ "$code" -ne 0 ] && [ -n "$pauses" ]; then
    printf 'Press Enter to close this window. '
    read -r _
fi
exit "$code"
