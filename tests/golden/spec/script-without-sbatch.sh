#!/bin/sh
# A plain script: no option, one command.
exec python3 hello.py
