@echo off
rem Starts Galen: finds the newest suitable Python, then runs launcher.py with it.
setlocal EnableExtensions DisableDelayedExpansion
set "PYTHONHOME="
set "PYTHONPATH="
set "PYTHONSTARTUP="
set "PYTHONUSERBASE="
set "PYTHONNOUSERSITE=1"
set "PYTHONUTF8=1"
rem Python's install manager would download one that is asked for and is not here.
set "PYTHON_MANAGER_AUTOMATIC_INSTALL=false"
set "FOUND="
set "ASK=import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14) or sys.maxsize < 2**32)"
for %%V in (3.14 3.13 3.12 3.11) do call :try py -%%V
for %%P in (python3 python) do call :try %%P
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
if not "%STATUS%"=="0" for %%A in ("" start --window) do if "%~1"=="%%~A" pause
exit /b %STATUS%

:try
if defined FOUND exit /b
%* -c "%ASK%" >nul 2>nul
if "%ERRORLEVEL%"=="0" set "FOUND=%*"
exit /b
