#!/bin/sh
# Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE CDPATH
export PYTHONNOUSERSITE=1 PYTHONUTF8=1
here=$(cd -- "$(dirname -- "$0")" && pwd) || exit 1
found=
# first one that can make an environment; Debian's may come without these modules, and launcher.py says how to get them
for needs in 'sys, ensurepip, venv' 'sys'; do
    for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
        [ -z "$found" ] || break
        "$name" -c "import $needs; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.maxsize < 2**32)" \
            2>/dev/null && found=$name
    done
done
if [ -n "$found" ]; then
    "$found" "$here/launcher.py" "$@"
    status=$?
else
    status=2
    echo "Galen needs a 64-bit Python 3.11 to 3.14, and none was found. Install one (Debian, Ubuntu: sudo apt install" \
         "python3 python3-venv; Fedora: sudo dnf install python3) or get it from https://www.python.org/downloads/" >&2
fi
case "${1-}" in
    '' | start | --window)
        if [ "$status" -ne 0 ] && [ -t 0 ]; then
            printf 'Press Enter to close this window. '
            read -r _
        fi ;;
esac
exit "$status"
