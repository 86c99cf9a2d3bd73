# What the recipes share: the choice of feature type and environment, and the stages behind the corpus. To be sourced by
# egs/<corpus>/ASR/run.sh behind its options, then called as `token_stages` behind its own stages 0 and 1.
#
# run.sh has set HERE, ROOT, all options of recipe_options.sh, and:
#   corpus           name of its folder and of its manifests, <corpus>_cuts_<split>.jsonl.gz
#   title            heading of RESULTS.md
#   train_split dev_splits test_splits    names of the splits, the latter two lists; tables show the first of each
#   corpus_options   names of its own options that decide what the manifests hold

. "$ROOT/tools/stages.sh"
cd "$HERE"

names_in() { # names_in <path>...: the names of the JSON files there
  ls "$@" 2>/dev/null | grep '\.json$' | xargs -n 1 basename -s .json | sort -u | paste -sd ' '
}

feature_configs_of() { # feature_configs_of <feature type>: the file of each of its parts
  local part file found
  while IFS= read -r part; do
    found=
    for file in "$part" "conf/features/$part.json" "$ROOT/icefall_discrete/conf/features/$part.json"; do
      [ -n "$found" ] || [ ! -f "$file" ] || found=$file
    done
    if [ -z "$found" ]; then
      log "unknown feature type '$part'; known: $(names_in -d conf/features/* "$ROOT"/icefall_discrete/conf/features/*)" >&2
      return 1
    fi
    echo "$found"
  done < <([ -f "$1" ] && echo "$1" || tr + '\n' <<<"$1")
}

feature_configs=$(feature_configs_of "$feature_type") || exit 2
feature_name=$(basename "$feature_type" .json)
recipe_config=conf/recipes/$recipe.json
[ ! -f "$recipe" ] || recipe_config=$recipe
recipe_name=$(basename "$recipe" .json)
if [ ! -f "$recipe_config" ]; then
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
splits="$train_split $dev_splits $test_splits"
scored_splits=$(tr ' ' , <<<"$dev_splits $test_splits")
cuts_of() { echo "$data_dir/manifests/${corpus}_cuts_$1.jsonl.gz"; }
files_of_splits() { # files_of_splits <prefix> <suffix>: one line a split
  printf "$1%s$2\n" $splits
}
mapfile -t corpus_cuts < <(files_of_splits "$data_dir/manifests/${corpus}_cuts_" .jsonl.gz)
mapfile -t feature_cuts < <(files_of_splits "$features_dir/" .jsonl.gz)

# What a stage's outcome depends on; each list contains those of the stages before it.
data_settings=$(settings_of $corpus_options)
tokenizer_settings=$(echo "$data_settings"; settings_of seed; while read -r file; do digest_of "$file"; done <<<"$feature_configs")
feature_settings=$(echo "$tokenizer_settings"; settings_of speed_factors)
text_settings=$(echo "$data_settings"; settings_of vocab_size)
train_settings=$(echo "$feature_settings"; settings_of vocab_size max_duration num_epochs backend; digest_of "$recipe_config")
decode_settings=$(echo "$train_settings"; settings_of decoding_method lm lm_scale)

flags_of() { # flags_of <variable>...: " --name value" of those that are set
  local name
  for name in "$@"; do
    [ -z "${!name}" ] || printf ' --%s %s' "${name//_/-}" "${!name}"
  done
}

fit_stage() {
  begin_stage 2 "tokenizer of $feature_name" "$features_dir/.done-2" "$tokenizer_settings" || return 0
  forget_if_changed "$features_dir"
  python "$ROOT/local/train_kmeans.py" --feature-type "$feature_type" --conf-dir conf/features \
    --cuts "$(cuts_of "$train_split")" --train-split "$train_split" --out-dir "$features_dir" --seed "$seed"
  end_stage
}

extraction_stage() {
  local split factors stale=("$features_dir"/extract-*.json)
  begin_stage 3 "extraction of $feature_name" "$features_dir/.done-3" "$feature_settings" "${feature_cuts[@]}" || return 0
  for split in $splits; do
    stale+=("$features_dir"/{,.}"$split".*)
  done
  forget_if_changed "${stale[@]}"
  for split in $splits; do
    factors=1.0
    [ "$split" != "$train_split" ] || factors=$speed_factors
    log "Stage 3: $split"
    python "$ROOT/local/extract_codes.py" --feature-type "$feature_type" --conf-dir conf/features \
      --cuts "$(cuts_of "$split")" --split "$split" --out-dir "$features_dir" --speed-factors "$factors" --nj "$nj" --seed "$seed"
  done
  end_stage
}

check_stage() {
  begin_stage 4 "check of $features_dir" "$features_dir/.done-4" "$feature_settings" "$features_dir/report.txt" || return 0
  python "$ROOT/local/check_cuts.py" --feature-dir "$features_dir" --splits "$(tr ' ' , <<<"$splits")" --train-split "$train_split"
  end_stage
}

bpe_stage() {
  begin_stage 5 "BPE model of $vocab_size pieces" "$lang_dir/.done-5" "$text_settings" "$lang_dir/bpe.model" || return 0
  forget_if_changed "$lang_dir"
  python "$ROOT/local/train_bpe.py" --cuts "$(cuts_of "$train_split")" --vocab-size "$vocab_size" --lang-dir "$lang_dir"
  end_stage
}

training_stage() {
  begin_stage 6 "training of $exp_dir" "$exp_dir/.done-6" "$train_settings" || return 0
  python "$ROOT/local/train.py" --recipe-config "$recipe_config" --feature-dir "$features_dir" --lang-dir "$lang_dir" \
    --exp-dir "$exp_dir" --backend "$backend" --seed "$seed" --world-size "$world_size" \
    ${max_duration:+--max-duration "$max_duration"} ${num_epochs:+--num-epochs "$num_epochs"}
  end_stage
}

decoding_stage() {
  local search_flags=()
  begin_stage 7 "decoding with $decoding_method" "$exp_dir/.done-7-$decoding_method" "$decode_settings" || return 0
  case "$decoding_method" in
    *LG | 1best | nbest-rescoring)
      [ -f "$lang_dir/graphs/HLG.pt" ] || python "$ROOT/local/compile_graphs.py" \
        --cuts "$(cuts_of "$train_split")" --lang-dir "$lang_dir" --graph-dir "$lang_dir/graphs"
      search_flags+=(--graph-dir "$lang_dir/graphs") ;;
  esac
  if [ -n "$lm" ]; then
    python "$ROOT/local/train_lm.py" --cuts "$(cuts_of "$train_split")" --dev-cuts "$(cuts_of "${dev_splits%% *}")" \
      --lang-dir "$lang_dir" --lm-dir "$lang_dir/lm_$lm" --lm-type "$lm" --ngram-order 4
    search_flags+=(--lm "$lang_dir/lm_$lm")
  fi
  python "$ROOT/local/decode.py" --exp-dir "$exp_dir" --feature-dir "$features_dir" --splits "$scored_splits" \
    --recipe-config "$recipe_config" --decoding-method "$decoding_method" ${lm_scale:+--lm-scale "$lm_scale"} \
    ${search_flags[@]+"${search_flags[@]}"}
  end_stage
}

scoring_stage() { # scoring_stage <file of scores>
  local scores="$1" search_name= # RESULTS.md compares feature types by the default search, and lists other searches apart
  begin_stage 8 "error rates" "$exp_dir/.done-8-$decoding_method" "$decode_settings" "$scores" || return 0
  if [ -n "$lm" ] || [ "$decoding_method" != "$DEFAULT_SEARCH" ]; then
    search_name=$decoding_method${lm:+_$lm}${lm_scale:+_$lm_scale}
  fi
  python "$ROOT/local/score.py" --exp-dir "$exp_dir" --decoding-method "$decoding_method" --recipe "$recipe_name" \
    ${search_name:+--search-name "$search_name"} --results-dir "$results_dir" \
    --run-command "egs/$corpus/ASR/run.sh$(flags_of feature_type recipe decoding_method lm lm_scale max_duration num_epochs)" \
    >"$scores.partial"
  mv "$scores.partial" "$scores"
  python "$ROOT/tools/make_results.py" --results-dir "$results_dir" --output "$(dirname "$results_dir")/RESULTS.md" \
    --title "$title" --test-split "${test_splits%% *}" --dev-split "${dev_splits%% *}"
  end_stage
}

token_stages() { # token_stages: stages 2 to 8, then the error rates
  local scores=$exp_dir/$decoding_method/scores.txt
  fit_stage
  extraction_stage
  check_stage
  bpe_stage
  training_stage
  decoding_stage
  scoring_stage "$scores"
  if [ "$stop_stage" -ge 8 ] && [ -f "$scores" ]; then
    cat "$scores"
  fi
  if [ "$(stages_run)" = 0 ]; then
    log "Nothing to do: stages $stage to $stop_stage were done before with the same settings"
  else
    log "Done in $SECONDS s: $exp_dir"
  fi
}
