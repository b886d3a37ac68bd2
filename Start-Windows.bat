@echo off
rem Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
setlocal
set "ASK=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))"
for %%V in (3.14 3.13 3.12 3.11) do (
    py -%%V -c "%ASK%" >nul 2>nul && set "PYTHON=py -%%V" && goto found
)
for %%P in (python3 python) do (
    %%P -c "%ASK%" >nul 2>nul && set "PYTHON=%%P" && goto found
)
echo Galen needs a 64-bit Python 3.11 to 3.14, and none was found. Get it from https://www.python.org/downloads/ 1>&2
set STATUS=2
goto end
:found
%PYTHON% "%~dp0launcher.py" %*
set STATUS=%ERRORLEVEL%
:end
if not "%STATUS%"=="0" if "%~1"=="" pause
exit /b %STATUS%
