#!/usr/bin/env bash
set -eou pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)

help_message="Usage: ./run.sh [--option value]...

Trains and scores a speech recogniser for five languages on discrete tokens, from nothing to a table of error rates.
Stages (each is done once; a rerun continues where it stopped):
  0  environment and corpus download
  1  manifests: 16 kHz audio, lhotse cuts, splits
  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  5  BPE model of the text
  6  training
  7  decoding of dev and test with averaged checkpoints
  8  error rates, RESULTS.md
Another feature type needs './run.sh --feature-type X --stage 2'. Relative paths are relative to the recipe's folder.
An empty option means the value of the recipe file conf/recipes/<recipe>.json."

stage=0                                # first stage to run
stop_stage=8                           # last stage to run
feature_type=whisper_tiny_km500        # conf/features/<name>.json here or in the package, or a path to such a file
recipe=default                         # conf/recipes/<name>.json (model, training, text), or a path to such a file
env=auto                               # environment: k2, portable, or auto
backend=auto                           # pruned RNN-T by k2 or torch, or auto: k2 where it can be imported
nj=2                                   # processes that decode audio and extract codes
exp_dir=                               # experiment folder (default: exp/<feature type>_<recipe>)
dl_dir=$HERE/download                   # downloaded files
data_dir=$HERE/data                     # prepared data
results_dir=$HERE/results               # one result file a run; RESULTS.md is written beside this folder
speed_factors="0.9 1.0 1.1"            # speeds of the copies of the training data
subset=                                # keep this many short utterances a split: a test of the pipeline, no result
vocab_size=                            # pieces of the BPE model
max_duration=                          # audio in a training batch (s)
num_epochs=                            # epochs to train
world_size=1                           # processes that train together on this machine
decoding_method=modified_beam_search   # a search of icefall_discrete/decoding/README.md, such as greedy_search or 1best
lm=                                    # language model of the search: ngram, lstm or transformer, trained on the transcripts
lm_scale=                              # its weight
seed=42                                # of the k-means, the order of the data, the model

. "$ROOT/tools/parse_options.sh"
. "$ROOT/tools/stages.sh"
cd "$HERE"

feature_name=$(basename "$feature_type" .json)
recipe_config=conf/recipes/$recipe.json
[ ! -f "$recipe" ] || recipe_config=$recipe
recipe_name=$(basename "$recipe" .json)
feature_config=
for file in "$feature_type" "conf/features/$feature_type.json" "$ROOT/icefall_discrete/conf/features/$feature_type.json"; do
  [ -n "$feature_config" ] || [ ! -f "$file" ] || feature_config=$file
done
names_in() { # names_in <path>...: the names of the JSON files there
  ls "$@" 2>/dev/null | grep '\.json$' | xargs -n 1 basename -s .json | sort -u | paste -sd ' '
}
if [ -z "$feature_config" ]; then
  log "unknown feature type '$feature_type'; known: $(names_in -d conf/features/* "$ROOT"/icefall_discrete/conf/features/*)" >&2
  exit 2
elif [ ! -f "$recipe_config" ]; then
  log "unknown recipe '$recipe'; known: $(names_in conf/recipes)" >&2
  exit 2
fi

log "Environment '$env' (made first, if need be)"
venv=$("$ROOT/tools/setup_env.sh" --env "$env")
. "$venv/exports.sh"

[ -n "$vocab_size" ] || vocab_size=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["bpe"]["vocab_size"])' "$recipe_config")
exp_dir=${exp_dir:-exp/${feature_name}_$recipe_name}
features_dir=$data_dir/features/$feature_name
lang_dir=$data_dir/lang_bpe_$vocab_size
cuts_of() { echo "$data_dir/manifests/asterisk_cuts_$1.jsonl.gz"; }

# What a stage's outcome depends on; each list contains those of the stages before it.
data_settings=$(settings_of subset)
tokenizer_settings=$(echo "$data_settings"; settings_of seed; digest_of "$feature_config")
feature_settings=$(echo "$tokenizer_settings"; settings_of speed_factors)
text_settings=$(echo "$data_settings"; settings_of vocab_size)
train_settings=$(echo "$feature_settings"; settings_of vocab_size max_duration num_epochs backend; digest_of "$recipe_config")
decode_settings=$(echo "$train_settings"; settings_of decoding_method lm lm_scale)

corpus_files=("$dl_dir"/asterisk/{en,es,fr,it,ru}/md5sums)
if begin_stage 0 "corpus download to $dl_dir" "$dl_dir/asterisk/.done-0" "" "${corpus_files[@]}"; then
  python local/download.py --dl-dir "$dl_dir"
  end_stage
fi

if begin_stage 1 "manifests" "$data_dir/manifests/.done-1" "$data_settings" "$(cuts_of train)" "$(cuts_of dev)" "$(cuts_of test)"; then
  python local/prepare.py --corpus-dir "$dl_dir/asterisk" --data-dir "$data_dir" --nj "$nj" --subset "${subset:-0}"
  end_stage
fi

if begin_stage 2 "tokenizer of $feature_name" "$features_dir/.done-2" "$tokenizer_settings"; then
  forget_if_changed "$features_dir"
  python "$ROOT/local/train_kmeans.py" --feature-type "$feature_type" --conf-dir conf/features \
    --cuts "$(cuts_of train)" --out-dir "$features_dir" --seed "$seed"
  end_stage
fi

if begin_stage 3 "extraction of $feature_name" "$features_dir/.done-3" "$feature_settings" "$features_dir"/{train,dev,test}.jsonl.gz; then
  forget_if_changed "$features_dir"/{,.}{train,dev,test}.* "$features_dir"/extract-*.json
  for split in train dev test; do
    factors=1.0
    [ $split != train ] || factors=$speed_factors
    log "Stage 3: $split"
    python "$ROOT/local/extract_codes.py" --feature-type "$feature_type" --conf-dir conf/features \
      --cuts "$(cuts_of $split)" --split $split --out-dir "$features_dir" --speed-factors "$factors" --nj "$nj" --seed "$seed"
  done
  end_stage
fi

if begin_stage 4 "check of $features_dir" "$features_dir/.done-4" "$feature_settings" "$features_dir/report.txt"; then
  python "$ROOT/local/check_cuts.py" --feature-dir "$features_dir" --splits train,dev,test --train-split train
  end_stage
fi

if begin_stage 5 "BPE model of $vocab_size pieces" "$lang_dir/.done-5" "$text_settings" "$lang_dir/bpe.model"; then
  forget_if_changed "$lang_dir"
  python "$ROOT/local/train_bpe.py" --cuts "$(cuts_of train)" --vocab-size "$vocab_size" --lang-dir "$lang_dir"
  end_stage
fi

if begin_stage 6 "training of $exp_dir" "$exp_dir/.done-6" "$train_settings"; then
  python "$ROOT/local/train.py" --recipe-config "$recipe_config" --feature-dir "$features_dir" --lang-dir "$lang_dir" \
    --exp-dir "$exp_dir" --backend "$backend" --seed "$seed" --world-size "$world_size" \
    ${max_duration:+--max-duration "$max_duration"} ${num_epochs:+--num-epochs "$num_epochs"}
  end_stage
fi

if begin_stage 7 "decoding with $decoding_method" "$exp_dir/.done-7-$decoding_method" "$decode_settings"; then
  search_flags=()
  case "$decoding_method" in
    *LG | 1best | nbest-rescoring)
      [ -f "$lang_dir/graphs/HLG.pt" ] ||
        python "$ROOT/local/compile_graphs.py" --cuts "$(cuts_of train)" --lang-dir "$lang_dir" --graph-dir "$lang_dir/graphs"
      search_flags+=(--graph-dir "$lang_dir/graphs") ;;
  esac
  if [ -n "$lm" ]; then
    python "$ROOT/local/train_lm.py" --cuts "$(cuts_of train)" --dev-cuts "$(cuts_of dev)" --lang-dir "$lang_dir" \
      --lm-dir "$lang_dir/lm_$lm" --lm-type "$lm" --ngram-order 4
    search_flags+=(--lm "$lang_dir/lm_$lm")
  fi
  python "$ROOT/local/decode.py" --exp-dir "$exp_dir" --feature-dir "$features_dir" --splits dev,test \
    --recipe-config "$recipe_config" --decoding-method "$decoding_method" ${lm_scale:+--lm-scale "$lm_scale"} \
    ${search_flags[@]+"${search_flags[@]}"}
  end_stage
fi

[ -z "$subset" ] || results_dir=$exp_dir/results # the figures of a subset are no results
search_name= # RESULTS.md compares feature types by the default search, and lists other searches apart
if [ -n "$lm" ] || [ "$decoding_method" != modified_beam_search ]; then
  search_name=$decoding_method${lm:+_$lm}${lm_scale:+_$lm_scale}
fi
scores=$exp_dir/$decoding_method/scores.txt
if begin_stage 8 "error rates" "$exp_dir/.done-8-$decoding_method" "$decode_settings" "$scores"; then
  command="egs/asterisk/ASR/run.sh --feature-type $feature_type --recipe $recipe --decoding-method $decoding_method${lm:+ --lm $lm}${lm_scale:+ --lm-scale $lm_scale}"
  python "$ROOT/local/score.py" --exp-dir "$exp_dir" --decoding-method "$decoding_method" --recipe "$recipe_name" \
    ${search_name:+--search-name "$search_name"} \
    --run-command "$command${max_duration:+ --max-duration $max_duration}${num_epochs:+ --num-epochs $num_epochs}" \
    --results-dir "$results_dir" >"$scores.partial"
  mv "$scores.partial" "$scores"
  python "$ROOT/tools/make_results.py" --results-dir "$results_dir" --output "$(dirname "$results_dir")/RESULTS.md" \
    --title "Asterisk core sounds"
  end_stage
fi

if [ "$stop_stage" -ge 8 ] && [ -f "$scores" ]; then
  cat "$scores"
fi
if [ "$(stages_run)" = 0 ]; then
  log "Nothing to do: stages $stage to $stop_stage were done before with the same settings"
else
  log "Done in $SECONDS s: $exp_dir"
fi
