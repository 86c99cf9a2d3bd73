# Numbered stages that are done once. To be sourced by a script that has set `stage` and `stop_stage`.
#
#     if begin_stage 3 "extract codes" "$dir/.done-3" "$(settings_of feature_type seed)" "$dir/train.jsonl.gz"; then
#       ...commands...
#       end_stage
#     fi
#
# A stage is done when its marker holds the same settings and its outputs exist; then it says so and is left out.
# The marker is written by end_stage only, so a stage that failed or was killed runs again, and continues where its
# commands can. Where it must not continue under other settings, `forget_if_changed <paths>` comes first.

_stages_run=0

# A log file needs no progress bar ten times a second.
[ -t 2 ] || export TQDM_MININTERVAL=${TQDM_MININTERVAL:-10}

log() { # log <words>...: to stdout, with the time and the place in the script that sourced this file
  local depth=1
  while [ "${BASH_SOURCE[depth]}" = "${BASH_SOURCE[0]}" ]; do depth=$((depth + 1)); done
  echo "$(date '+%Y-%m-%d %H:%M:%S') (${BASH_SOURCE[depth]##*/}:${BASH_LINENO[depth - 1]}) $*"
}

settings_of() { # settings_of <variable>...: one line "name=value" each
  local name
  for name in "$@"; do
    printf '%s=%s\n' "$name" "${!name}"
  done
}

digest_of() { # digest_of <file>: a line that changes with the file's content
  printf '%s=%s\n' "$(basename "$1")" "$(cksum <"$1")"
}

_all_exist() {
  local path
  for path in "$@"; do
    [ -e "$path" ] || return 1
  done
}

begin_stage() { # begin_stage <number> <title> <marker> <settings> <output>...: succeeds if the stage is to be run
  local number="$1" title="$2" old
  _stage_marker="$3" _stage_settings="$4" _stage_changed=false
  shift 4
  if [ "$stage" -gt "$number" ] || [ "$stop_stage" -lt "$number" ]; then
    return 1
  fi
  for old in "$_stage_marker" "$_stage_marker.begun"; do
    if [ -f "$old" ] && [ "$(cat "$old")" != "$_stage_settings" ]; then
      _stage_changed=true
      log "Stage $number: $title: the settings changed, it runs again:"
      diff "$old" - <<<"$_stage_settings" | sed -n 's/^< /    was /p; s/^> /    is  /p'
    elif [ -f "$old" ] && [ "$old" = "$_stage_marker" ] && _all_exist "$@"; then
      log "Stage $number: $title: already done (remove $_stage_marker to do it again)"
      return 1
    fi
  done
  mkdir -p "$(dirname "$_stage_marker")"
  rm -f "$_stage_marker"
  log "Stage $number: $title"
  _stage_number="$number" _stage_start="$SECONDS" _stages_run=$((_stages_run + 1))
  $_stage_changed || _note_stage "$_stage_marker.begun"
}

forget_if_changed() { # forget_if_changed <path>...: removes what the stage begun last made under other settings
  if $_stage_changed; then
    rm -rf "$@"
    _stage_changed=false
    _note_stage "$_stage_marker.begun"
  fi
}

_note_stage() {
  mkdir -p "$(dirname "$1")"
  printf '%s\n' "$_stage_settings" >"$1.partial"
  mv "$1.partial" "$1"
}

end_stage() { # end_stage: notes that the stage begun last is done
  _note_stage "$_stage_marker"
  rm -f "$_stage_marker.begun"
  log "Stage $_stage_number: done in $((SECONDS - _stage_start)) s"
}

stages_run() { # stages_run: how many stages were run, not left out
  echo "$_stages_run"
}
