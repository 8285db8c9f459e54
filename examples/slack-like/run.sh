#!/bin/sh
# Runs every command that README.md shows, on free ports in a folder of its own, and compares what it prints (../walk.py).
exec python3 "$(dirname "$0")/../walk.py" "$(dirname "$0")"
