@echo off
rem Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
setlocal EnableExtensions DisableDelayedExpansion
set "PYTHONHOME="
set "PYTHONPATH="
set "PYTHONSTARTUP="
set "PYTHONUSERBASE="
set "PYTHONNOUSERSITE=1"
set "PYTHONUTF8=1"
set "FOUND="
set "ASK=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.maxsize < 2**32)"
for %%V in (3.14 3.13 3.12 3.11) do (
    if not defined FOUND py -%%V -c "%ASK%" >nul 2>nul && set "FOUND=py -%%V"
)
for %%P in (python3 python) do (
    if not defined FOUND %%P -c "%ASK%" >nul 2>nul && set "FOUND=%%P"
)
if defined FOUND goto found
echo Galen needs a 64-bit Python 3.11 to 3.14, and none was found. Get it from https://www.python.org/downloads/ 1>&2
set "STATUS=2"
goto end

rem The path stands in quotes: it may hold spaces, ampersands, percent and exclamation marks.
:found
%FOUND% "%~dp0launcher.py" %*
set "STATUS=%ERRORLEVEL%"

rem A window that was opened by a double click would be gone before anybody could read it.
:end
if not "%STATUS%"=="0" if "%~1"=="" pause
exit /b %STATUS%
