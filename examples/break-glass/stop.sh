#!/bin/sh
# Stops whatever start.sh has started, and waits until it is over.
for pid in *.pid; do
    [ -e "$pid" ] || continue
    kill -TERM "$(cat "$pid")" 2>/dev/null || :
    until [ -e "${pid%.pid}.over" ]; do sleep 0.05; done
    rm -f "$pid" "${pid%.pid}.over"
done
