# What the recipes share. To be sourced by egs/<corpus>/<TASK>/run.sh behind its options and the names below; run.sh then
# declares its stages 0 and 1 with `corpus_stage` and `manifests_stage`, and calls `run_stages`: local/plan.py checks all that
# can be known, before anything is made, and says what each stage does; this file does it.
#
# run.sh has set HERE, ROOT, all options of recipe_options.sh, and:
#   corpus           name of its folder and of its manifests, <corpus>_cuts_<split>.jsonl.gz
#   title            heading of RESULTS.md
#   train_split dev_splits test_splits    names of the splits, the latter two lists
#   corpus_options   names of its own options that decide what the manifests hold
# and may have set:
#   variant          name of another choice of training data than the default's: kept apart in folders and tables
#   known_languages  languages of the corpus, for --languages
#   mixture_sources  what utterances are made of, a list: of each there is a manifest, <corpus>_cuts_<split>-<source>.jsonl.gz
# Behind run_stages it may have stages of its own, with names that the plan gives: exp_dir, features_dir, decode_settings ...
# Files of its conf/ that are used where they exist: scoring.json (words that are not scored), published.json (figures of
# others, for RESULTS.md).

. "$ROOT/tools/stages.sh"
[[ $HERE != *$'\n'* ]] || { echo "$(basename "$0"): the folder's name has a line break in it; give it another name" >&2; exit 2; }
cd "$HERE" || exit 1

_told=() # of each thing that the planner is told, its number of fields, then its fields

tell() { # tell <field>...
  _told+=("$#" "$@")
}

corpus_stage() { # corpus_stage <title> <marker> <line of settings> <output>... -- <command>... [-- <command>...]...: stage 0
  tell stage "$@"
}

manifests_stage() { # manifests_stage <title> <command>... [-- <command>...]...: stage 1
  tell manifests "$@"
}

tell_options() {
  local name entry
  for name in $(_options_of "$ROOT/tools/recipe_options.sh" | cut -f 1) $OPTION_NAMES HERE ROOT LAST_STAGE \
    corpus title train_split dev_splits test_splits corpus_options variant known_languages mixture_sources; do
    tell option "$name" "${!name-}"
  done
  tell option SCRIPT "${0##*/}"
  for entry in ${GIVEN_OPTIONS[@]+"${GIVEN_OPTIONS[@]}"}; do tell given "${entry%%=*}" "${entry#*=}"; done
  for entry in ${FURTHER_FLAGS[@]+"${FURTHER_FLAGS[@]}"}; do tell flag "${entry%%=*}" "${entry#*=}"; done
}

find_planner() { # $planner: a Python that can plan, without packages
  for planner in python3 python3.1{4,3,2,1,0} python; do
    ! "$planner" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || return 0
  done
  return 1
}

use_environment() { # use_environment [<search that it must have>]
  local venv
  if [ -z "${_environment_used-}" ]; then
    log "Environment '$env' (made first, if need be)"
    venv=$("$ROOT/tools/setup_env.sh" --env "$env")
    . "$venv/exports.sh"
    _environment_used=true
  fi
  [ -z "${1-}" ] || python "$ROOT/local/plan.py" --require-search "$1" || exit 2
}

run_command() { # run_command <words for the log> <file for its output> <program> <argument>...
  [ -z "$1" ] || log "$1"
  if [ -z "$2" ]; then
    "${@:3}"
  else
    "${@:3}" >"$2.partial"
    mv "$2.partial" "$2"
  fi
}

begin_planned() { # begin_planned <number> <title> <marker> <settings> <output>...: begin_stage, which looks up digests first
  local line file lines=()
  if [ "$stage" -gt "$1" ] || [ "$stop_stage" -lt "$1" ]; then return 1; fi
  if [ -z "$3" ]; then # it is never noted as done
    _stage_marker=
    log "Stage $1: $2"
    return
  fi
  while IFS= read -r line; do
    if [[ $line == 'digest of '* ]]; then
      file=${line#digest of }
      line=$(digest_of "$file") || { log "Stage $1: $2: $file does not exist; run the stages before" >&2; exit 1; }
    fi
    lines+=("$line")
  done <<<"$4"
  printf -v line '%s\n' "${lines[@]}"
  begin_stage "$1" "$2" "$3" "${line%$'\n'}" "${@:5}"
}

follow() { # follow <field>...: one step of the plan; $_begun: whether the stage that it belongs to is to be run
  case "$1" in
    failed) exit 2 ;;
    print) echo "$2" ;;
    leave) exit ;;
    name) printf -v "$2" '%s' "$3" ;;
    same) same_as "$2" "$3" ;;
    say) log "$2" ;;
    environment) use_environment "$2" ;;
    stage) if begin_planned "${@:2}"; then _begun=true; else _begun=false; fi ;;
    stale) if $_begun; then forget_if_changed "${@:2}"; fi ;;
    run) if $_begun; then run_command "${@:2}"; fi ;;
    done) if $_begun && [ -n "$_stage_marker" ]; then end_stage; fi ;;
    shown) [ ! -f "$2" ] || cat "$2" ;;
  esac
}

follow_plan() { # follow_plan <stages>: plan the stages of a task, a module of icefall_discrete/experiment/stages, and do them
  local plan=() place=0 planner
  [ "${ICEFALL_DISCRETE_ONLY_FLAGS-}" != 1 ] || dry_run=true
  find_planner || { use_environment; planner=python; }
  tell_options
  mapfile -d '' -t plan < <(printf '%s\0' "${_told[@]}" |
    ICEFALL_DISCRETE_ONLY_FLAGS='' PYTHONPATH=$ROOT${PYTHONPATH:+:$PYTHONPATH} \
      "$planner" "$ROOT/local/plan.py" --stages "$1" || printf '%s\0' 1 failed)
  while [ "$place" -lt "${#plan[@]}" ]; do
    follow "${plan[@]:place + 1:plan[place]}"
    place=$((place + plan[place] + 1))
  done
}

run_stages() { # run_stages: all stages of the recipe's task, the folder's name, then the error rates
  follow_plan "$(basename "$HERE")"
  if [ "$(stages_run)" = 0 ]; then
    log "Nothing to do: stages $stage to $stop_stage were done before with the same settings"
  else
    log "Done in $SECONDS s: $exp_dir"
  fi
}
