#!/bin/sh
# Starts the shop and the sidecar, and waits for both.
wait_for() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || exit 1
        sleep 0.05
    done
}
for server in "python3 shop.py 127.0.0.1:9001" "countersign serve"; do
    name=${server%% *}
    ($server >"$name.log" 2>&1 & echo $! >"$name.pid"; wait; touch "$name.over") >/dev/null 2>&1 &
done
wait_for curl -s -o /dev/null http://127.0.0.1:9001/
wait_for curl -s -o /dev/null http://127.0.0.1:7081/readyz
