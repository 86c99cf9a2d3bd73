#!/usr/bin/env bash
# Makes the Python environment .venv/<env> once, and prints its folder on stdout (everything else goes to stderr).
set -eou pipefail

help_message="Usage: tools/setup_env.sh [--env k2|portable|auto]

Makes .venv/k2 (Python 3.10, torch 1.13.1, k2 1.23.4) or .venv/portable (Python >= 3.10, a current torch, no k2).
Prints the folder of the environment; use it with
  . \$(tools/setup_env.sh)/exports.sh
A second call finds the environment made and does nothing. pip's own settings hold, so a mirror, a local folder of
wheels or CPU builds of torch are chosen with PIP_INDEX_URL, PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL, for example
  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu tools/setup_env.sh --env portable --torch torch"

env=auto          # k2, portable, or auto: k2 where a Python 3.10 is found on Linux x86-64, else portable
python=           # interpreter to build on (default: searched on PATH and among pyenv's versions)
torch=            # requirement that replaces the portable environment's torch, for example 'torch>=2.1'
requirements=     # requirements file (default: requirements/<env>.txt)
venv_root=        # folder of the environments (default: .venv in the repository)

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
K2_WHEEL=$ROOT/requirements/k2-wheel.txt
. "$ROOT/tools/parse_options.sh"

say() { echo "$(date '+%Y-%m-%d %H:%M:%S') (setup_env.sh) $*" >&2; }
die() { echo "setup_env.sh: $*" >&2; exit 1; }

is_python() { # is_python <interpreter> <major.minor> <exact|least>: it runs, can make environments and has the version
  "$1" -c "
import ensurepip, sys, venv
wanted = tuple(map(int, '$2'.split('.')))
sys.exit(not (sys.version_info[:2] == wanted if '$3' == 'exact' else sys.version_info[:2] >= wanted))" 2>/dev/null
}

pythons() { # pythons <version>...: candidate interpreters, the likeliest first
  local version
  for version in "$@"; do
    command -v "python$version" || true
    ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version"*/bin/python "$HOME"/.local/share/uv/python/cpython-"$version"*/bin/python \
      "/usr/local/bin/python$version" "/opt/homebrew/bin/python$version" 2>/dev/null || true
  done
}

find_python() { # find_python <env>: prints the interpreter to build on
  local wanted=3.10 match=exact versions=(3.10) candidate
  [ "$1" = k2 ] || { match=least; versions=(3 3.13 3.12 3.11 3.10); }
  while read -r candidate; do
    if is_python "$candidate" "$wanted" "$match"; then
      echo "$candidate"
      return
    fi
  done < <(if [ -n "$python" ]; then echo "$python"; else pythons "${versions[@]}"; fi)
  return 1
}

has_k2_wheels() { [ "$(uname -sm)" = "Linux x86_64" ]; }

choose_env() { # choose_env: what auto means on this machine
  if has_k2_wheels && find_python k2 >/dev/null; then echo k2; else echo portable; fi
}

write_requirements() { # write_requirements <file>: the requirements, with torch replaced where --torch asks for it
  local line
  while read -r line; do
    if [ -n "$torch" ] && [[ "$line" =~ ^torch([=\<\>~!].*)?$ ]]; then echo "$torch"; else echo "$line"; fi
  done <"$requirements" >"$1"
}

install() { # install <folder> <interpreter>: makes or completes the environment
  local folder="$1" interpreter="$2" pip=("$1/bin/python" -m pip) log_file="$1/setup.log" reason
  if ! "$folder/bin/python" -c '' 2>/dev/null ||
    [ "$("$folder/bin/python" -V)" != "$("$interpreter" -V)" ]; then
    say "making $folder with $("$interpreter" -V) ($interpreter)"
    "$interpreter" -m venv --clear "$folder" >&2 || die "cannot make $folder; is the disk full, or the folder not writable?"
  fi
  write_requirements "$folder/requirements.txt"
  say "installing $(grep -c '^[^#]' "$folder/requirements.txt" || true) packages and what they need; a few minutes and 2 to 5 GB (log: $log_file)"
  if ! { "${pip[@]}" install --progress-bar off -r "$folder/requirements.txt" &&
    { [ "$env" != k2 ] || "${pip[@]}" install --progress-bar off --no-deps --force-reinstall --require-hashes -r "$K2_WHEEL"; } &&
    "${pip[@]}" install --progress-bar off --no-deps --no-build-isolation -e "$ROOT"; } 2>&1 | tee "$log_file" |
    awk '/^ *Collecting/ { printf "  %d %s\n", ++n, $2; fflush() } /^Installing collected/ { print "  unpacking, about a minute"; fflush() }' >&2; then
    reason=$(grep -E '^ERROR|No space left' "$log_file" | tail -n 1 || true)
    die "the $env environment could not be installed (${reason:-pip failed}); check the network, pip's index settings and" \
      "the free disk, then run this again: what is installed is kept. All of pip's output: $log_file"
  fi
  [ "$env" != k2 ] || reason=$("$folder/bin/python" -c 'import k2' 2>&1 >/dev/null) ||
    die "k2 is installed in $folder but cannot be imported ($(tail -n 1 <<<"$reason")); remove that folder and run this again, or use --env portable"
}

write_exports() { # write_exports <folder>: the file to source before using the environment
  {
    echo "# Made by tools/setup_env.sh."
    printf 'export VIRTUAL_ENV=%q\n' "$1"
    printf 'export PATH=%q:"$PATH"\n' "$1/bin"
    echo "# Threads that wait must not spin: a second process on the machine would make every step several times slower."
    echo "export OMP_WAIT_POLICY=\${OMP_WAIT_POLICY:-PASSIVE}"
    echo "# Keep freed tensors in the process; without this glibc returns them to the system at every step, and a third of"
    echo "# the time goes into asking for them again."
    echo "export MALLOC_TRIM_THRESHOLD_=\${MALLOC_TRIM_THRESHOLD_:-8589934592}"
    echo "export MALLOC_MMAP_THRESHOLD_=\${MALLOC_MMAP_THRESHOLD_:-8589934592}"
    echo "export TOKENIZERS_PARALLELISM=\${TOKENIZERS_PARALLELISM:-false}"
    if [ "$env" = k2 ]; then
      echo "# MKL 2020.0, which this torch carries, takes a slow path on AMD processors unless told otherwise."
      echo "if grep -qs AuthenticAMD /proc/cpuinfo; then export MKL_DEBUG_CPU_TYPE=5; fi"
    fi
  } >"$1/exports.sh.partial"
  mv "$1/exports.sh.partial" "$1/exports.sh"
}

require_own() { # require_own <folder> <marker>: nobody else's environment is changed
  local other
  [ ! -L "$1" ] || die "$1 is a link, to $(readlink "$1"); what is there is another's, so that nothing is installed into it: \
remove the link, or give another --venv-root"
  other=$(sed -n 's/.* root=//p' "$2" 2>/dev/null || true)
  if [ -n "$other" ] && [ "$other" != "$ROOT" ] && [ -d "$other" ] && ! [ "$other" -ef "$ROOT" ]; then
    die "$1 is the environment of $other; give another --venv-root"
  fi
}

[[ $ROOT != *$'\n'* ]] || die "the folder's name has a line break in it; give it another name"

case "$env" in
  auto) env=$(choose_env) ;;
  k2) has_k2_wheels || die "the k2 environment needs Linux on x86-64, this is $(uname -sm); use --env portable" ;;
  portable) ;;
  *) die "--env must be k2, portable or auto, not '$env'" ;;
esac

[ "${ICEFALL_DISCRETE_ONLY_FLAGS-}" != 1 ] || { say "the options are valid; nothing was done"; exit 0; }

interpreter=$(find_python "$env") || {
  [ "$env" = k2 ] && die "no working Python 3.10 with venv${python:+ at $python}; install one (pyenv install 3.10, or your system's python3.10-venv), or use --env portable"
  die "no working Python 3.10 or newer with venv${python:+ at $python}; install one (on Debian: apt-get install python3-venv)"
}

requirements="${requirements:-$ROOT/requirements/$env.txt}"
[ -f "$requirements" ] || die "the requirements file $requirements does not exist"
folder="${venv_root:-$ROOT/.venv}/$env"
[ -L "$folder" ] || mkdir -p "$folder"
folder=$(cd "$(dirname "$folder")" && pwd)/$env
marker="$folder/.complete"
wanted="$("$interpreter" -V) $(cat "$requirements" "$K2_WHEEL" "$ROOT/setup.py" "${BASH_SOURCE[0]}" | cksum) torch=$torch root=$ROOT"

exec 9>"$folder.lock" # two scripts may ask at the same time
! command -v flock >/dev/null || flock 9
if [ "$(cat "$marker" 2>/dev/null)" != "$wanted" ] || ! "$folder/bin/python" -c '' 2>/dev/null; then
  require_own "$folder" "$marker"
  rm -f "$marker"
  install "$folder" "$interpreter"
  write_exports "$folder"
  echo "$wanted" >"$marker"
  say "the $env environment is complete: $folder"
fi
echo "$folder"
