#!/usr/bin/env bash
# Makes the environment and runs the tests.
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

help_message="Usage: test/run.sh [--env k2|portable|auto] [-- <pytest arguments>]

Everything behind -- goes to pytest, for example: test/run.sh --env portable -- test/egs -k text"

env=auto    # environment: k2, portable, or auto

OPTIONS=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  OPTIONS+=("$1")
  shift
done
[ $# -eq 0 ] || shift
PYTEST_ARGS=("$@")
set -- ${OPTIONS[@]+"${OPTIONS[@]}"}
. "$HERE/../tools/parse_options.sh"

venv=$("$HERE/../tools/setup_env.sh" --env "$env")
. "$venv/exports.sh"
cd "$HERE/.."
python local/fetch_weights.py whisper_tiny_en whisper_base >/dev/null ||
  echo "Tests with real weights are skipped, as these cannot be had." >&2
exec python -m pytest ${PYTEST_ARGS[@]+"${PYTEST_ARGS[@]}"}
