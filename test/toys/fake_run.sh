#!/usr/bin/env bash
# Stands for a recipe's run.sh: tells its stages as a dry run does, and leaves the files that they would leave.
# With --num-seeds it is one of wav2vec-U, whose stages have other scripts and no search in the names of their markers.
# `commit` of its folder holds the commit that it is run with, `fail-<feature type>` makes training fail.
set -eu
cd "$(dirname "$0")"
declare -A said=([stage]=0 [stop-stage]=8 [recipe]=default [train.seed]=42 [decoding-method]=greedy_search)
command=egs/toy/ASR/run.sh
while [ $# -gt 0 ]; do
  said[${1#--}]=$2
  case "$1" in --stage | --stop-stage | --dry-run | --env | --results-dir) ;; *) command+=" $1 $2" ;; esac
  shift 2
done
features=${said[feature-type]} seed=${said[train.seed]} method=${said[decoding-method]} commit=$(<commit)
[ ! -f "refuse-$features" ] || { echo "no $features" >&2; exit 2; }
exp=exp/${features}_${said[recipe]}
[ "$seed" = 42 ] || exp+=_seed-$seed
[ -z "${said[languages]-}" ] || exp+=_${said[languages]}
results=${said[results-dir]-results} recipe=${said[recipe]}${said[languages]+_${said[languages]}}
training="train.py --recipe-config conf/recipes/default.json --num-epochs 4" begun=config.json error=wer control=
scoring="score.py --decoding-method $method" search_marker=-$method seeds=
if [ -n "${said[num-seeds]-}" ]; then
  training="train_unsupervised.py --config conf/recipes/default.json --num-seeds ${said[num-seeds]}" begun=trained_from.json
  scoring=score_unsupervised.py search_marker='' error=ler seeds=', "seeds": {"seeds": [{"seed": 0}, {"seed": 1}]}'
  [ -z "${said[shuffle-text]-}" ] || { exp+=_shuffle-text-true; control=_shuffled-text; }
fi
digest=$(cksum conf/recipes/default.json)

asked() { [ "${said[stage]}" -le "$1" ] && [ "$1" -le "${said[stop-stage]}" ]; }

tell() { # tell <stage> <marker> <command>...
  if [ -s "$2" ] && [ "$1" = 6 ] && [ "$(<"$2")" != "$digest" ]; then echo "Stage 6: stage: to be run again, the settings changed"
  elif [ -f "$2" ]; then echo "Stage $1: stage: $1: done"; else echo "Stage $1: stage: $1: to be run"; fi
  printf '    %s\n' "${@:3}"
}

if [ "${said[dry-run]-false}" = true ]; then
  tell 2 "data/$features/.done-2" "python x/fit_tokenizer.py --cuts data/train.jsonl.gz"
  tell 3 "data/$features/.done-3" "python x/extract_codes.py --speed-factors '0.9 1.0'"
  tell 6 "$exp/.done-6" "python x/$training --feature-dir data/$features"
  tell 7 "$exp/.done-7$search_marker" "python x/decode.py"
  tell 8 "$exp/.done-8$search_marker" \
    "python x/$scoring --exp-dir $exp --recipe $recipe --results-dir $results --run-command '$command' --settings-digest '$digest' >x" \
    "python make_results.py"
  exit
fi
echo "${said[stage]}-${said[stop-stage]} ${command#* }" >>calls
if asked 3; then
  mkdir -p "data/$features"
  touch "data/$features/.done-2" "data/$features/.done-3"
fi
if asked 6 && [ ! -f "$exp/.done-6" ]; then
  [ ! -f "fail-$features" ] || { echo "error: the loss is not finite." >&2; exit 1; }
  mkdir -p "$exp"
  echo "{\"git\": \"$commit\"}" >"$exp/env.json"
  echo "{}" >"$exp/$begun"
  echo "$digest" >"$exp/.done-6"
fi
if asked 8 && [ ! -f "$exp/.done-8$search_marker" ]; then
  touch "$exp/.done-8$search_marker"
  search=null
  [ "$method" = greedy_search ] || search="\"$method\""
  mkdir -p "$results"
  cat >"$results/${exp#exp/}_$method.json" <<END
{"feature_type": "$features", "recipe": "$recipe$control"$seeds, "settings_digests": ["$digest"], "device": "cpu", "search": $search, "command": "$command",
 "sets": {"test": {"$error": {"rate": 30.5, "interval": [29.5, 31.5]}}}, "training": {"seed": $seed, "minutes": 2.0},
 "features": {"kind": "codes", "bits_per_second": 450.0}, "environment": $(<"$exp/env.json"), "decoding": {"git": "$commit", "method": "$method", "suffix": "x"}}
END
fi
