# Numbered stages that are done once. To be sourced by a script that has set `stage` and `stop_stage`, under `set -eou pipefail`.
#
#     settings=$(settings_of feature_type seed) # on a line of its own: what fails among arguments is not noticed
#     if begin_stage 3 "extract codes" "$dir/.done-3" "$settings" "$dir/train.jsonl.gz"; then
#       ...commands...
#       end_stage
#     fi
#
# A stage is done when its marker holds the same settings and its outputs exist; then it says so and is left out.
# The marker is written by end_stage only, so a stage that failed or was killed runs again, and continues where its
# commands can. Where it must not continue under other settings, `set_aside_if_changed <paths>` comes first. A stage that
# cannot begin, or be noted as done, ends the script.
#
# Markers, and notes of what was begun, start with the number of lines that follow: one that is empty or cut short, as after a
# full disk, says nothing. Those without that line are of before. `set -e` does not hold within begin_stage, which is called
# as a condition, so that every command there says for itself what becomes of its failure.

shopt -s inherit_errexit # a failing command ends $(...) too

_stages_run=0
_lock=                   # descriptor of the lock of the stage begun last
declare -A _old_words=() # ":" and a line of settings -> how the markers of before said the same

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

same_as() { # same_as <line of settings> <line>: what markers of before said in place of the first
  _old_words[":$1"]=$2
}

digest_of() { # digest_of <file>: a line that changes with the file's content
  local sum
  sum=$(cksum <"$1")
  printf '%s=%s\n' "$(basename "$1")" "$sum"
}

_all_exist() {
  local path
  for path in "$@"; do
    [ -e "$path" ] || return 1
  done
}

_stage_failed() { # _stage_failed <sentence>
  _unlock_stage
  log "Stage $_stage_number: $_stage_title: $1" >&2
  exit 1
}

_compose_note() { # $_note: the settings of the stage begun last, as they are noted
  local breaks=${_stage_settings//[!$'\n']/}
  _note="# $((${#breaks} + 1)) lines of settings follow"$'\n'$_stage_settings$'\n'
}

_read_note() { # _read_note <file>: $_kept is what it says; fails if it is empty or cut short
  local header breaks
  _kept=
  [ -r "$1" ] || _stage_failed "$1 cannot be read; make it readable"
  IFS= read -r -d '' _kept <"$1" || true # which ends at the file's end
  [[ $_kept == *$'\n' ]] || return 1
  header=${_kept%%$'\n'*} breaks=${_kept//[!$'\n']/}
  [[ $header != '# '*' lines of settings follow' ]] || [ "${#breaks}" -eq $((${header//[!0-9]/} + 1)) ]
}

_kept_differs() { # whether $_kept holds other settings than those of the stage begun last; $_was and $_is: to be compared
  local line
  _compose_note
  _was=$_kept _is=$_note
  [[ $_kept != '# '* ]] || { [ "$_was" != "$_is" ]; return; }
  _is=$_stage_settings$'\n'
  [ "$_was" != "$_is" ] || return 1
  _is=
  while IFS= read -r line; do
    _is+=${_old_words[":$line"]-$line}$'\n'
  done <<<"$_stage_settings"
  [ "$_was" != "$_is" ]
}

_write_note() { # _write_note <file>: whole or not at all; if it fails, the file is as it was and $_why says what is wrong
  local written=
  _compose_note
  _why="it is a folder"
  [ ! -d "$1" ] || return 1
  if _why=$({ printf '%s' "$_note" >"$1.partial" && sync "$1.partial"; } 2>&1); then
    IFS= read -r -d '' written <"$1.partial" || true
    _why="not all of it arrived"
    [ "$written" != "$_note" ] || ! _why=$(mv -f "$1.partial" "$1" 2>&1) || return 0
  fi
  _why=${_why##*: }
  rm -f "$1.partial"
  return 1
}

_lock_stage() { # nobody else may be at work on the stage begun last; the system's lock ends with this run and its commands
  local file=$_stage_marker.lock
  command -v flock >/dev/null || return 0
  if [ -n "$_lock" ]; then exec {_lock}>&-; fi
  _lock=
  { exec {_lock}>>"$file"; } 2>/dev/null || { _lock=; return 0; } # it cannot be written to, as others will say
  if ! flock -n "$_lock" || ! [ "$file" -ef "/dev/fd/$_lock" ]; then
    _lock= # not ours to remove
    _stage_failed "another run is at work on it since $(date -r "$file" '+%Y-%m-%d %H:%M:%S'); wait for it, or end it"
  fi
  touch "$file" 2>/dev/null || true
}

_unlock_stage() {
  [ -n "$_lock" ] || return 0
  rm -f "$_stage_marker.lock"
  exec {_lock}>&-
  _lock=
}

_note_begin() { # _note_begin <whole note or none>: $_stage_marker.begun tells what the outcome on disk belongs to
  local folder why
  folder=$(dirname "$_stage_marker")
  why=$(mkdir -p "$folder" 2>&1) || _stage_failed "the folder $folder cannot be made (${why##*: }); mend this, or choose another"
  _lock_stage
  if [ "$1" = "$_stage_marker" ]; then # renamed, which needs no space
    why=$(mv -f "$_stage_marker" "$_stage_marker.begun" 2>&1) ||
      _stage_failed "$folder cannot be written to (${why##*: }); make it writable, or choose another"
  elif [ -z "$1" ]; then
    _write_note "$_stage_marker.begun" || _stage_failed "$_stage_marker.begun cannot be written ($_why); mend this, then rerun"
  fi
  why=$(rm -f "$_stage_marker" 2>&1) || _stage_failed "$_stage_marker cannot be replaced (${why##*: }); mend this, then rerun"
}

_find_note() { # $_whole: the marker or the note of what was begun, whichever is whole; $_stage_changed: it has other settings
  local note
  _whole='' _stage_changed=false
  for note in "$_stage_marker" "$_stage_marker.begun"; do
    [ -f "$note" ] || continue
    if _read_note "$note"; then
      _whole=$note
      if _kept_differs; then _stage_changed=true; fi
      return
    fi
    log "Stage $_stage_number: $_stage_title: $note is empty or cut short, so it does not say what the stage was done with"
  done
}

begin_stage() { # begin_stage <number> <title> <marker> <settings> <output>...: succeeds if the stage is to be run
  _stage_number="$1" _stage_title="$2" _stage_marker="$3" _stage_settings="$4"
  shift 4
  if [ "$stage" -gt "$_stage_number" ] || [ "$stop_stage" -lt "$_stage_number" ]; then
    return 1
  fi
  _find_note
  if $_stage_changed; then
    log "Stage $_stage_number: $_stage_title: the settings changed, it runs again:"
    diff <(printf '%s' "$_was") <(printf '%s' "$_is") | sed -n '/^. # .* lines of settings follow$/d; s/^< /    was /p; s/^> /    is  /p'
  elif [ "$_whole" = "$_stage_marker" ] && _all_exist "$@"; then
    log "Stage $_stage_number: $_stage_title: already done (remove $_stage_marker to do it again)"
    [ "$_kept" = "$_note" ] || _write_note "$_stage_marker" || true # in today's words, where it can be written
    return 1
  fi
  _note_begin "$_whole"
  log "Stage $_stage_number: $_stage_title"
  _stage_start="$SECONDS" _stages_run=$((_stages_run + 1))
}

_move() { # _move <path> <to>
  local why
  why=$(mv -f "$1" "$2" 2>&1) || _stage_failed "$1, made with other settings, cannot be moved to $2 (${why##*: }); mend this, then rerun"
}

_place_aside() { # _place_aside <folder>: a name beside it that is free
  local name suffix='' count=1
  name=$1.before-$(date '+%Y-%m-%d_%H-%M-%S')
  while [ -e "$name$suffix" ]; do
    count=$((count + 1)) suffix=-$count
  done
  echo "$name$suffix"
}

forget_if_changed() { # forget_if_changed <path>...: what the stage begun last made under other settings makes room for its next
  local folder aside path back note=$_stage_marker.begun # it is moved, never removed: it may have taken days
  $_stage_changed || return 0
  _stage_changed=false
  folder=$(dirname "$_stage_marker")
  aside=$(_place_aside "$folder")
  rm -f "$_stage_marker.lock" # which stays with this run; it gets another one where the next outcome will be
  if [ "$_whole" = "$_stage_marker" ]; then # so that it counts as done if it comes back
    _move "$note" "$_stage_marker"
    note=$_stage_marker
  fi
  if [ "$1" = "$folder" ] && [ -n "$(find "$folder/" -mindepth 1 ! -name '.done-*' -print -quit)" ]; then
    _move "$folder" "$aside"
    back="put it back in the place of $folder"
  else
    back="move its files, hidden ones too, back into $folder"
    for path in "$@"; do
      if [ "$path" != "$folder" ] && { [ -e "$path" ] || [ -L "$path" ]; }; then
        mkdir -p "$aside"
        _move "$path" "$aside/"
      fi
    done
    if [ -d "$aside" ]; then _move "$note" "$aside/"; else rm -f "$note"; fi
  fi
  if [ -d "$aside" ]; then
    log "Stage $_stage_number: what was made with the settings of before is in $aside now: remove it if it is not needed," \
      "or $back to go on with those settings"
  fi
  _note_begin ''
}

end_stage() { # end_stage: notes that the stage begun last is done
  local begun=$_stage_marker.begun
  if ! _write_note "$_stage_marker"; then # what was noted at the beginning can be renamed, which needs no space
    if [ ! -f "$begun" ] || ! _read_note "$begun" || _kept_differs || [ -d "$_stage_marker" ] || ! mv -f "$begun" "$_stage_marker"; then
      _stage_failed "$_stage_marker cannot be written ($_why); mend this, then rerun"
    fi
  fi
  rm -f "$begun"
  _unlock_stage
  log "Stage $_stage_number: done in $((SECONDS - _stage_start)) s"
}

stages_run() { # stages_run: how many stages were run, not left out
  echo "$_stages_run"
}
