#!/usr/bin/env bash
# Makes a recipe, egs/NAME/ASR, for a corpus of one's own, and says what is in the corpus before anything is trained.
set -eou pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=${1-}
case "$name" in '' | -*) name= ;; *) shift ;; esac

help_message="Usage: tools/new_corpus.sh NAME --from PATH --language CODE [--option value]...

Makes the recipe egs/NAME/ASR of a corpus of your own: run.sh, README.md, conf/recipes/default.json, and a report on what is
in it, data/report.md. PATH is
  a folder with audio, and x.txt beside x.wav, or lists with lines 'x the text', or metadata.csv
  a table: CSV, TSV or JSON lines with the columns audio (or path, file_name ...) and text (or sentence ...)
  a data folder of Kaldi (wav.scp, text, utt2spk, segments), or a folder of such folders, train, dev, test
  manifests of lhotse: a folder or a file of cuts, or of recordings and supervisions
  a dataset of Hugging Face, saved to disk as Arrow or Parquet files (needs pyarrow)
Nothing is written there, and audio that lies in files is not copied. An option that is given becomes the default of run.sh."
. "$ROOT/tools/own_corpus_options.sh"
from=                                  # the audio and its texts: a folder or a file; needed
feature_type=                          # default of run.sh (default: one that needs no GPU)
env=auto                               # environment: k2, portable, or auto
nj=2                                   # processes that read audio
. "$ROOT/tools/parse_options.sh"
[ -n "$name" ] || _option_error "the name of the corpus comes first: tools/new_corpus.sh NAME --from PATH --language CODE"
[ -n "$from" ] || _option_error "--from is missing: the folder or file with the audio and its texts"
[ -n "$language" ] || _option_error "--language is missing: the code of the corpus's language, such as en"
[ "${ICEFALL_DISCRETE_ONLY_FLAGS-}" != 1 ] || exit 0

flags=()
for entry in "${GIVEN_OPTIONS[@]}"; do
  option=${entry%%=*}
  [ "$option" = env ] || flags+=("--${option//_/-}" "${entry#*=}")
done
venv=$("$ROOT/tools/setup_env.sh" --env "$env")
. "$venv/exports.sh"
python "$ROOT/tools/make_recipe.py" --name "$name" "${flags[@]}"
