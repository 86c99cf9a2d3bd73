#!/usr/bin/env bash
# Self-training in one command: a recogniser of few transcripts, then generations of others, each of which learns from the
# same transcripts and from what the one before says of the rest (noisy student: it hears with augmentation, its teacher
# without). Each generation is a run of the recipe's run.sh, which does what was not done yet.
set -eou pipefail

usage="Usage: tools/self_train.sh egs/<corpus>/ASR --generations N --first-recipe NAME [--recipe NAME] [option of run.sh]...

  --first-recipe NAME   recipe of the first teacher, with a label_fraction
  --recipe NAME         recipe of those that it teaches (default: that of the first)
All other options go to each run.sh; those of pseudo-labels alone, such as --pseudo.keep-share 0.9, to those with a teacher."
[ $# -gt 0 ] || { echo "$usage" >&2; exit 2; }
case $1 in -h | --help) echo "$usage"; exit ;; esac
recipe_dir=$1
shift

generations=1 first='' later='' shared=() of_students=()
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || { echo "tools/self_train.sh: $1 has no value" >&2; exit 2; }
  case $1 in
    --generations) generations=$2 ;;
    --first-recipe) first=$2 ;;
    --recipe) later=$2 ;;
    --exp-dir) echo "tools/self_train.sh: --exp-dir would be one folder for all generations; leave it away" >&2; exit 2 ;;
    --teacher) echo "tools/self_train.sh: --teacher is what this script gives; leave it away" >&2; exit 2 ;;
    --pseudo.* | --loader.pseudo-share | --pseudo-share) of_students+=("$1" "$2") ;;
    *) shared+=("$1" "$2") ;;
  esac
  shift 2
done
[[ $generations =~ ^[1-9][0-9]*$ ]] || { echo "tools/self_train.sh: --generations must be a whole number above 0, not '$generations'" >&2; exit 2; }
[ -n "$first" ] || { echo "tools/self_train.sh: --first-recipe is missing; give a recipe with a label_fraction" >&2; exit 2; }
[ "${ICEFALL_DISCRETE_ONLY_FLAGS-}" != 1 ] || exit 0
[ -x "$recipe_dir/run.sh" ] || { echo "tools/self_train.sh: $recipe_dir has no run.sh; give the folder of a recipe, egs/<corpus>/ASR" >&2; exit 2; }

exp_dir_of() { # exp_dir_of <option of run.sh>...: the folder of the experiment that run.sh would train
  "$recipe_dir/run.sh" "$@" --dry-run true | sed -n 's/^Stage 6: training of \(.*\): .*$/\1/p'
}

options=(--recipe "$first" ${shared[@]+"${shared[@]}"})
for generation in $(seq 0 "$generations"); do
  [ "$generation" = 0 ] ||
    options=(--recipe "${later:-$first}" ${shared[@]+"${shared[@]}"} ${of_students[@]+"${of_students[@]}"} --teacher "$teacher")
  "$recipe_dir/run.sh" "${options[@]}"
  teacher=$(exp_dir_of "${options[@]}")
  [ -n "$teacher" ] || [ "$generation" = "$generations" ] ||
    { echo "tools/self_train.sh: with these options run.sh trains nothing that could teach; leave --stop-stage away" >&2; exit 2; }
done
