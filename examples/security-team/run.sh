#!/bin/sh
# Runs the commands that README.md shows, in a folder of its own that is gone afterwards: all but those that name a call,
# which has another name each time.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'cd "$folder/examples/security-team" && ./stop.sh; rm -rf "$folder"' EXIT
mkdir "$folder/examples"
cp -R ../../policies "$folder/policies"
cp -R . "$folder/examples/security-team"
cd "$folder/examples/security-team"
sed -n 's/^\$ //p' README.md | grep -vE '[0-9a-f]{8}-[0-9a-f]{4}-' >"$folder/commands"
while read -r command; do
    printf '$ %s\n' "$command"
    eval "$command" </dev/null
done <"$folder/commands"
