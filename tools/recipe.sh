# What the recipes share: the choice of feature type and environment, and the stages behind the corpus. To be sourced by
# egs/<corpus>/ASR/run.sh behind its options, then called as `token_stages` behind its own stages 0 and 1.
#
# run.sh has set HERE, ROOT, all options of recipe_options.sh, and:
#   corpus           name of its folder and of its manifests, <corpus>_cuts_<split>.jsonl.gz
#   title            heading of RESULTS.md
#   train_split dev_splits test_splits    names of the splits, the latter two lists
#   corpus_options   names of its own options that decide what the manifests hold
# and may have set:
#   variant          name of another choice of training data than the default's: kept apart in folders and tables
# Files of its conf/ that are used where they exist: scoring.json (words that are not scored), published.json (figures of
# others, for RESULTS.md).

. "$ROOT/tools/stages.sh"
cd "$HERE" || exit 1
require_stages "$LAST_STAGE"

require_folder() { # require_folder <option> <path>: a folder, or one that can be made
  local path=$2
  while [ ! -e "$path" ] && [ ! -L "$path" ]; do path=$(dirname "$path"); done
  if [ ! -d "$path" ]; then
    log "--$1 $2 cannot be a folder: $path is there already and is none; choose another" >&2
    exit 2
  elif [ "$path" != "$2" ] && [ ! -w "$path" ]; then
    log "--$1 $2 does not exist and cannot be made: $path may not be written to; choose another" >&2
    exit 2
  fi
}

names_in() { # names_in <folder>...: the names of the JSON files there
  local folder file
  for folder in "$@"; do
    for file in "$folder"/*.json; do
      [ ! -f "$file" ] || basename "$file" .json
    done
  done | sort -u | paste -sd ' '
}

feature_configs_of() { # feature_configs_of <feature type>: the file of each of its parts
  local part file found
  while IFS= read -r part; do
    found=
    for file in "$part" "conf/features/$part.json" "$ROOT/icefall_discrete/conf/features/$part.json"; do
      [ -n "$found" ] || [ ! -f "$file" ] || found=$file
    done
    if [ -z "$found" ]; then
      log "unknown feature type '$part'; known: $(names_in conf/features "$ROOT/icefall_discrete/conf/features")" >&2
      return 1
    fi
    echo "$found"
  done <<<"$([ -f "$1" ] && echo "$1" || tr + '\n' <<<"$1")"
}

feature_configs=$(feature_configs_of "$feature_type") || exit 2
feature_name=$(while IFS= read -r file; do basename "$file" .json; done <<<"$feature_configs" | paste -sd +)
recipe_config=
for file in "$recipe" "conf/recipes/$recipe.json" "$ROOT/icefall_discrete/conf/recipes/$recipe.json"; do
  [ -n "$recipe_config" ] || [ ! -f "$file" ] || recipe_config=$file
done
recipe_name=$(basename "$recipe" .json)
if [ -z "$recipe_config" ]; then
  log "unknown recipe '$recipe'; known: $(names_in conf/recipes "$ROOT/icefall_discrete/conf/recipes")" >&2
  exit 2
fi

suffix=${variant:+_$variant}
run_suffix=$suffix${languages:+_${languages//,/_}}${precision:+_$precision}
exp_dir=${exp_dir:-exp/${feature_name}_$recipe_name$run_suffix}
[ "$stop_stage" -lt 1 ] || require_folder data-dir "$data_dir"
[ "$stop_stage" -lt 6 ] || require_folder exp-dir "$exp_dir"

log "Environment '$env' (made first, if need be)"
venv=$("$ROOT/tools/setup_env.sh" --env "$env")
. "$venv/exports.sh"

whole_recipe=$(python "$ROOT/local/show_recipe.py" "$recipe_config") || exit 2 # with what it is based on

of_recipe() { # of_recipe <expression>...: their values, a line each; `bpe` and `languages` are what the recipe says of them
  python -c 'import json, sys
from icefall_discrete.base.settings_digest import canonical_json, json_digest
recipe = json.load(sys.stdin)
bpe, languages = recipe["bpe"], recipe.get("filter", {}).get("languages", [])
text = {k: v for k, v in [*bpe.items(), ("languages", languages)] if v and k != "vocab_size"}
run = {k: v for k, v in recipe.items() if k != "description"}
for expression in sys.argv[1:]:
    print(eval(expression))' "$@" <<<"$whole_recipe"
}

mapfile -t said < <(of_recipe 'bpe.get("piece_type", "unigram")' 'bpe.get("vocab_size", 500)' 'json_digest(run)' 'run' \
  'canonical_json(text) if text else ""' 'text or ""' \
  '"".join("_" + key for key in ("language_token", "by_language") if bpe.get(key))')
[ "${#said[@]}" = 7 ] || exit 1
piece_type=${said[0]} vocab_size=${vocab_size:-${said[1]}} recipe_digest=${said[2]} further_text_settings=${said[4]}
same_as "recipe_digest=$recipe_digest" "recipe_digest=$(cksum <<<"${said[3]}")"
same_as "further_text_settings=$further_text_settings" "further_text_settings=${said[5]}"
text_suffix=$suffix${said[6]}${languages:+_${languages//,/_}}
features_dir=$data_dir/features/$feature_name$suffix
lang_dir=$data_dir/lang_bpe_$vocab_size$text_suffix
[ "$piece_type" != char ] || lang_dir=$data_dir/lang_char$text_suffix
languages_flags=()
[ -z "$languages" ] || languages_flags=(--languages "$languages")
splits="$train_split $dev_splits $test_splits"
scored_splits=$(tr ' ' , <<<"$dev_splits $test_splits")
cuts_of() { echo "$data_dir/manifests/${corpus}_cuts_$1.jsonl.gz"; }
files_of_splits() { # files_of_splits <prefix> <suffix>: one line a split
  local split
  for split in $splits; do echo "$1$split$2"; done
}
mapfile -t corpus_cuts < <(files_of_splits "$data_dir/manifests/${corpus}_cuts_" .jsonl.gz)
mapfile -t feature_cuts < <(files_of_splits "$features_dir/" .jsonl.gz)
scoring_flags=() published_flags=()
[ ! -f conf/scoring.json ] || scoring_flags=(--scoring-rules conf/scoring.json)
[ ! -f conf/published.json ] || published_flags=(--published conf/published.json)

know_json() { # know_json <JSON file>...: to write them in another way changes no settings; known_files: they and their parts
  local digests digest file
  known_files=()
  digests=$(python "$ROOT/local/digest_settings.py" --conf-dir conf/features "$@")
  while IFS=$'\t' read -r digest file; do
    know_digest "$file" "$digest"
    known_files+=("$file")
  done <<<"$digests"
}
[ ! -f conf/scoring.json ] || know_json conf/scoring.json
mapfile -t feature_files <<<"$feature_configs"
know_json "${feature_files[@]}"
feature_files=("${known_files[@]}")

# What a stage's outcome depends on; each list contains those of the stages before it.
data_settings=$(settings_of $corpus_options)
tokenizer_settings=$(echo "$data_settings"; settings_of seed; for file in "${feature_files[@]}"; do digest_of "$file"; done)
feature_settings=$(echo "$tokenizer_settings"; settings_of speed_factors; [ "$dtype" = float32 ] || settings_of dtype; [ "$resample" = false ] || settings_of resample)
language_settings=$([ -z "$languages" ] || settings_of languages)
text_settings=$(echo "$data_settings"; settings_of vocab_size; [ -z "$languages" ] || echo "$language_settings"; [ -z "$further_text_settings" ] || settings_of further_text_settings)
train_settings=$(echo "$feature_settings"; settings_of vocab_size max_duration num_epochs backend; [ "$shar" = false ] || settings_of shar; [ -z "$precision" ] || settings_of precision; [ -z "$languages" ] || echo "$language_settings"; settings_of recipe_digest)
decode_settings=$(echo "$train_settings"; settings_of decoding_method lm lm_scale)
score_settings=$(echo "$decode_settings"; [ ! -f conf/scoring.json ] || digest_of conf/scoring.json)

flags_of() { # flags_of <variable>...: " --name value" of those that are set
  local name
  for name in "$@"; do
    [ -z "${!name}" ] || printf ' --%s %s' "${name//_/-}" "${!name}"
  done
}

fit_stage() {
  begin_stage 2 "tokenizer of $feature_name" "$features_dir/.done-2" "$tokenizer_settings" || return 0
  forget_if_changed "$features_dir"
  python "$ROOT/local/fit_tokenizer.py" --feature-type "$feature_type" --conf-dir conf/features \
    --cuts "$(cuts_of "$train_split")" --train-split "$train_split" --out-dir "$features_dir" --seed "$seed" --device "$device"
  end_stage
}

extraction_stage() {
  local split factors stale=()
  begin_stage 3 "extraction of $feature_name" "$features_dir/.done-3" "$feature_settings" "${feature_cuts[@]}" || return 0
  for split in $splits; do
    stale+=("$features_dir"/{,.,extract-,dropped-}"$split".*)
  done
  forget_if_changed "${stale[@]}"
  for split in $splits; do
    factors=1.0
    [ "$split" != "$train_split" ] || factors=$speed_factors
    log "Stage 3: $split"
    python "$ROOT/local/extract_codes.py" --feature-type "$feature_type" --conf-dir conf/features \
      --cuts "$(cuts_of "$split")" --split "$split" --out-dir "$features_dir" --speed-factors "$factors" --nj "$nj" --seed "$seed" \
      --device "$device" --dtype "$dtype" --resample "$resample"
  done
  end_stage
}

check_stage() {
  begin_stage 4 "check of $features_dir" "$features_dir/.done-4" "$feature_settings" "$features_dir/report.txt" || return 0
  python "$ROOT/local/check_cuts.py" --feature-dir "$features_dir" --splits "$(tr ' ' , <<<"$splits")" --train-split "$train_split"
  end_stage
}

bpe_stage() {
  local pieces="BPE model of $vocab_size pieces"
  [ "$piece_type" != char ] || pieces="pieces that are characters"
  begin_stage 5 "$pieces" "$lang_dir/.done-5" "$text_settings" "$lang_dir/bpe.model" || return 0
  forget_if_changed "$lang_dir"
  python "$ROOT/local/train_bpe.py" --cuts "$(cuts_of "$train_split")" --vocab-size "$vocab_size" --lang-dir "$lang_dir" \
    --recipe-config "$recipe_config" ${languages_flags[@]+"${languages_flags[@]}"}
  end_stage
}

training_stage() {
  local shar_dir=$data_dir/shar$suffix shar_flags=()
  begin_stage 6 "training of $exp_dir" "$exp_dir/.done-6" "$train_settings" || return 0
  if [ "$shar" = true ]; then
    python "$ROOT/local/export_shar.py" --feature-dir "$features_dir" --splits "$train_split" --shar-dir "$shar_dir" --seed "$seed"
    shar_flags=(--shar-dir "$shar_dir")
  fi
  python "$ROOT/local/train.py" --recipe-config "$recipe_config" --feature-dir "$features_dir" --lang-dir "$lang_dir" \
    --train-split "$train_split" --valid-split "${dev_splits%% *}" \
    --exp-dir "$exp_dir" --backend "$backend" --seed "$seed" --world-size "$world_size" \
    ${max_duration:+--max-duration "$max_duration"} ${num_epochs:+--num-epochs "$num_epochs"} ${precision:+--precision "$precision"} \
    ${shar_flags[@]+"${shar_flags[@]}"} ${languages_flags[@]+"${languages_flags[@]}"}
  end_stage
}

decoding_stage() {
  local search_flags=()
  begin_stage 7 "decoding with $decoding_method" "$exp_dir/.done-7-$decoding_method" "$decode_settings" || return 0
  case "$decoding_method" in
    *LG | 1best | nbest-rescoring)
      grep -qs '"format"' "$lang_dir/graphs/graphs.json" || python "$ROOT/local/compile_graphs.py" \
        --cuts "$(cuts_of "$train_split")" --lang-dir "$lang_dir" --graph-dir "$lang_dir/graphs" \
        ${languages_flags[@]+"${languages_flags[@]}"}
      search_flags+=(--graph-dir "$lang_dir/graphs") ;;
  esac
  if [ -n "$lm" ]; then
    python "$ROOT/local/train_lm.py" --cuts "$(cuts_of "$train_split")" --dev-cuts "$(cuts_of "${dev_splits%% *}")" \
      --lang-dir "$lang_dir" --lm-dir "$lang_dir/lm_$lm" --lm-type "$lm" --ngram-order 4 \
      ${languages_flags[@]+"${languages_flags[@]}"}
    search_flags+=(--lm "$lang_dir/lm_$lm")
  fi
  python "$ROOT/local/decode.py" --exp-dir "$exp_dir" --feature-dir "$features_dir" --splits "$scored_splits" \
    --recipe-config "$recipe_config" --decoding-method "$decoding_method" ${lm_scale:+--lm-scale "$lm_scale"} \
    ${search_flags[@]+"${search_flags[@]}"}
  end_stage
}

scoring_stage() { # scoring_stage <file of scores>
  local scores="$1" search_name= # RESULTS.md compares feature types by the default search, and lists other searches apart
  begin_stage 8 "error rates" "$exp_dir/.done-8-$decoding_method" "$score_settings" "$scores" || return 0
  if [ -n "$lm" ] || [ "$decoding_method" != "$DEFAULT_SEARCH" ]; then
    search_name=$decoding_method${lm:+_$lm}${lm_scale:+_$lm_scale}
  fi
  python "$ROOT/local/score.py" --exp-dir "$exp_dir" --decoding-method "$decoding_method" --recipe "$recipe_name$run_suffix" \
    ${search_name:+--search-name "$search_name"} --results-dir "$results_dir" \
    ${scoring_flags[@]+"${scoring_flags[@]}"} \
    --run-command "egs/$corpus/ASR/run.sh$(flags_of feature_type recipe $corpus_options languages decoding_method lm lm_scale max_duration num_epochs precision)" \
    >"$scores.partial"
  mv "$scores.partial" "$scores"
  python "$ROOT/tools/make_results.py" --results-dir "$results_dir" --output "$(dirname "$results_dir")/RESULTS.md" \
    --title "$title" --test-split "$(tr ' ' , <<<"$test_splits")" --dev-split "$(tr ' ' , <<<"$dev_splits")" \
    ${published_flags[@]+"${published_flags[@]}"}
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
