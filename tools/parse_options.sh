# Turns `--some-name value` (or `--some-name=value`) into the shell variable some_name. To be sourced.
#
# The options of a script are the variables that it sets in column one above the line that sources this file:
#
#     nj=2             # processes at a time
#     . tools/parse_options.sh
#
# A file tools/*_options.sh that the script sources before adds its variables; one set again keeps its place and takes the
# later comment, if it has one.
# The comment behind a variable is its help. `--help` prints $help_message, if set, and every option with its default.
# A stray argument, an unknown option, an option without a value, or a value of another kind than its default
# (true/false, whole number) ends the script with exit status 2.
#
# Afterwards $OPTION_NAMES are the names of all options, and GIVEN_OPTIONS holds a `name=value` of each that is not its default.
# A script that has set FURTHER_FLAGS=() gets options that are unknown there, as `name=value`, in place of an error.

_options_of() { # _options_of <script>: the lines "name<TAB>help" of its options
  awk -v tools="$(dirname "${BASH_SOURCE[0]}")" '
    function read_option(line,   name, help) {
      name = line; sub(/=.*/, "", name)
      help = match(line, /[ \t]# /) ? substr(line, RSTART + 3) : ""
      if (name == "help_message") return
      if (!(name in helps)) names[++count] = name
      if (help != "" || !(name in helps)) helps[name] = help
    }
    /^(\.|source) .*parse_options\.sh/ { exit }
    /^(\.|source) .*_options\.sh/ {
      file = $0; sub(/.*\//, "", file); sub(/".*/, "", file); file = tools "/" file
      while ((getline line < file) > 0) if (line ~ /^[a-z][a-z0-9_]*=/) read_option(line)
      close(file)
    }
    /^[a-z][a-z0-9_]*=/ { read_option($0) }
    END { for (i = 1; i <= count; i++) print names[i] "\t" helps[names[i]] }' "$1"
}

_nearest_option() { # _nearest_option <name>, names on stdin: the one with the fewest edits, if there are at most three
  awk -v a="$1" '
    function min3(x, y, z) { m = x < y ? x : y; return m < z ? m : z }
    {
      for (j = 0; j <= length($0); j++) previous[j] = j
      for (i = 1; i <= length(a); i++) {
        current[0] = i
        for (j = 1; j <= length($0); j++)
          current[j] = min3(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (substr(a, i, 1) != substr($0, j, 1)))
        for (j = 0; j <= length($0); j++) previous[j] = current[j]
      }
      if (NR == 1 || previous[length($0)] < best) { best = previous[length($0)]; nearest = $0 }
    }
    END { if (NR && best <= 3) print nearest }'
}

_option_error() {
  echo "$(basename "$0"): $1; --help lists the options." >&2
  exit 2
}

_print_help() { # _print_help <script>
  [ -z "${help_message:-}" ] || printf '%s\n\n' "$help_message"
  echo "Options:"
  local name help
  while IFS=$'\t' read -r name help; do
    printf '  %-20s %s%s\n' "--${name//_/-}" "$help" "${!name:+ (default: ${!name})}"
  done < <(_options_of "$1")
}

_set_option() { # _set_option <name> <value>: checks the value against the kind of the default
  local flag="--${1//_/-}" default="${!1}"
  [[ $2 != *$'\n'* ]] || _option_error "$flag must be one line, not '$2'"
  case "$default" in
    true | false)
      case "$2" in true | false) ;; *) _option_error "$flag must be true or false, not '$2'" ;; esac
      ;;
    '' | *[!0-9]*) ;;
    *)
      [[ "$2" =~ ^-?[0-9]+$ ]] || _option_error "$flag must be a whole number, not '$2'"
      ;;
  esac
  printf -v "$1" '%s' "$2"
}

_keep_flag() { # _keep_flag <name> <value>
  [[ $2 != *$'\n'* ]] || _option_error "--$1 must be one line, not '$2'"
  FURTHER_FLAGS+=("$1=$2")
}

_parse_options() { # _parse_options <script> <argument>...
  local script="$1" names argument flag name value nearest defaults=()
  shift
  names=$(_options_of "$script" | cut -f 1)
  for name in $names; do defaults+=("${!name}"); done
  for argument in "$@"; do
    case "$argument" in -h | --help) _print_help "$script"; exit 0 ;; esac
  done
  while [ $# -gt 0 ]; do
    argument="$1"
    shift
    case "$argument" in
      --?*) ;;
      *) _option_error "stray argument '$argument' (options are of the form --name value)" ;;
    esac
    flag="${argument%%=*}"
    name="${flag#--}"
    name="${name//-/_}"
    if ! grep -qx -- "$name" <<<"$names" && ! declare -p FURTHER_FLAGS &>/dev/null; then
      nearest=$(_nearest_option "$name" <<<"$names")
      _option_error "unknown option $flag${nearest:+, did you mean --${nearest//_/-}?}"
    fi
    if [ "$flag" != "$argument" ]; then
      value="${argument#*=}"
    else
      [ $# -gt 0 ] && [[ "$1" != --* ]] || _option_error "option $flag needs a value"
      value="$1"
      shift
    fi
    if grep -qx -- "$name" <<<"$names"; then _set_option "$name" "$value"; else _keep_flag "${flag#--}" "$value"; fi
  done
  OPTION_NAMES=$names GIVEN_OPTIONS=()
  for name in $names; do
    [ "${!name}" = "${defaults[0]}" ] || GIVEN_OPTIONS+=("$name=${!name}")
    defaults=("${defaults[@]:1}")
  done
}

_parse_options "${BASH_SOURCE[1]}" "$@"
