#!/bin/sh
# Tries both verifiers: the corpus, and then tokens of a real sidecar with a thief on the wire (try.py).
#
#   ./run.sh      `countersign` is on the path, or COUNTERSIGN says where it is
#
# What each language needs comes from PyPI and npm, into a folder that is gone afterwards, or into VERIFIER_CACHE. A language
# that is not there is left out, and that is said.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=${VERIFIER_CACHE:-$work}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

# fresh FILE FOLDER: what is in the folder was installed for this very file.
fresh() {
    cmp -s "$1" "$2/installed"
}

python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || return 1
    fresh python/requirements.txt "$cache/python" && return
    rm -rf "$cache/python"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$cache/python" -r python/requirements.txt &&
        cp python/requirements.txt "$cache/python/installed"
}

typescript() {
    node -e 'process.exit(Number(parseInt(process.versions.node) < 20))' && npm --version >/dev/null || return 1
    mkdir -p "$cache/typescript"
    cp typescript/*.ts typescript/*.json "$cache/typescript"
    fresh typescript/package.json "$cache/typescript" && return
    (cd "$cache/typescript" && npm install --silent --no-audit --no-fund --no-package-lock) &&
        cp typescript/package.json "$cache/typescript/installed"
}

set --
if python >&2; then
    PYTHONPATH=$cache/python PYTHONDONTWRITEBYTECODE=1 python3 python/corpus.py
    set -- "$@" "python=env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$cache/python python3 python/tool.py"
else
    echo "left out: the Python verifier: there is no Python 3.10 with pip, or its packages cannot be had"
fi
if typescript >&2; then
    (cd "$cache/typescript" && node_modules/.bin/tsc)
    node "$cache/typescript/built/corpus.js" "$PWD/corpus.json"
    set -- "$@" "typescript=node $cache/typescript/built/tool.js"
else
    echo "left out: the TypeScript verifier: there is no Node 20 with npm, or its packages cannot be had"
fi
if [ $# -gt 0 ] && command -v python3 >/dev/null; then
    COUNTERSIGN_LOG=error python3 try.py "${COUNTERSIGN:-countersign}" "$@"
else
    echo "left out: tokens of a running sidecar: that takes Python, and one of the verifiers"
fi
