# The options that every recipe has. To be sourced by egs/<corpus>/<TASK>/run.sh, which has set HERE (its folder), before
# parse_options.sh; a recipe that wants another default sets it below the line that sources this file.

LAST_STAGE=8
FURTHER_FLAGS=() # options that are flags of a stage, such as --base-lr or --decode.beam-size: passed on to it
# What run.sh's help says of the stages that recipes share.
SHARED_STAGES="  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  5  BPE model of the text
  6  training
  7  decoding of dev and test sets with averaged checkpoints
  8  error rates by language, RESULTS.md"
SHARED_CLASSIFICATION_STAGES="  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  6  training
  7  classes of dev and test sets with averaged checkpoints
  8  accuracies, RESULTS.md"
SHARED_VERIFICATION_STAGES="  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  6  training: who speaks, of the training speakers
  7  trials of dev and test sets with averaged checkpoints: embeddings and their cosines
  8  EER and minDCF, RESULTS.md"
SHARED_SSL_STAGES="  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  6  training: hidden codes, without transcripts
  7  hidden codes of dev and test sets with averaged checkpoints
  8  how many are found, RESULTS.md"
SHARED_UNIT_LM_STAGES="  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  6  training: what codes follow codes, without transcripts
  7  codes of dev and test sets told and ranked with averaged checkpoints
  8  bits a second, RESULTS.md"
SHARED_VOCODER_STAGES="  2  fit of the tokenizer, where it needs one, on training data only
  3  extraction of codes or features, with speed-perturbed copies of the training data
  4  check of what was extracted, one-page report
  6  training of the vocoder, on audio and codes
  7  resynthesis of dev and test sets with averaged checkpoints: a FLAC file an utterance
  8  measures of it, RESULTS.md"
TEXT_TO_SPEECH_NOTE="With a recipe of texts, such as '--recipe tts', codes are told of texts instead, and a vocoder says them:
  stage 5: alignments of the texts, by '--recogniser-exp-dir E', or from '--alignments FILE'
  stage 6: training from texts to codes
  stage 7: codes of the texts of dev and test; with '--vocoder-exp-dir V' audio of them, which the recogniser hears
  stage 8: measures of it, a page to listen to, RESULTS.md"
SHARED_ENHANCEMENT_STAGES="  2  fit of the tokenizer, where it needs one, on training data only: on clean speech
  3  extraction of codes, of mixtures and of their sources
  4  check of what was extracted, one-page report
  6  training: from the codes of a mixture to those of its sources
  7  codes of the sources of dev and test sets with averaged checkpoints, and a FLAC file of each
  8  measures of it, RESULTS.md"
SHARED_NOTES="Relative paths are relative to the recipe's folder. An empty option means the value of the recipe file,
conf/recipes/<recipe>.json here or in the package. Any flag of any stage can be given too: '--base-lr 0.03', or where
stages share a name, '--decode.device cpu' (stages: fit, extract, check, bpe, align, shar, pseudo, train, graphs, lm, decode, score)."

stage=0                                # first stage to run
stop_stage=$LAST_STAGE                 # last stage to run
dry_run=false                          # print what each stage would do, and do nothing
feature_type=                          # conf/features/<name>.json here or in the package, a path to such a file, or several joined by +
recipe=default                         # conf/recipes/<name>.json (model, training, text), or a path to such a file
env=auto                               # environment: k2, portable, or auto
backend=auto                           # pruned RNN-T by k2 or torch, or auto: k2 where it can be imported
nj=2                                   # processes that decode audio and extract codes
device=auto                            # of tokenizers with a network: cpu, cuda, cuda:N, or auto
dtype=float32                          # of their networks: float32, bfloat16, or on CUDA float16; another dtype gives other codes
resample=false                         # resample audio that is at another rate than the tokenizer reads, instead of refusing it
exp_dir=                               # experiment folder (default: exp/<feature type>_<recipe>)
dl_dir=$HERE/download                   # downloaded files
data_dir=$HERE/data                     # prepared data
results_dir=$HERE/results               # one result file a run; RESULTS.md is written beside this folder
speed_factors="0.9 1.0 1.1"            # speeds of the copies of the training data
languages=                             # train and score these languages only, by commas (default: the recipe's, all)
label_fraction=                        # share of the training transcripts used (default: the recipe's, 1)
vocab_size=                            # pieces of the BPE model
max_duration=                          # audio in a training batch (s)
num_epochs=                            # epochs to train
precision=                             # of training: fp32, bf16, or on CUDA fp16 (default: the recipe's)
shar=false                             # train from Shar, read in sequence: for corpora whose manifest does not fit in memory
world_size=                            # processes that train together on this machine (default: the recipe's, one)
decoding_method=                       # a search of icefall_discrete/decoding/README.md, such as greedy_search or 1best
lm=                                    # language model of the search: ngram, lstm or transformer, trained on the transcripts
lm_scale=                              # its weight
lm_text=                               # text beyond the transcripts for it, and for the words of graphs: a file, a sentence a line
teacher=                               # self-training: experiment whose pseudo-labels join the transcripts that are used
seed=42                                # of the k-means, the order of the data, the model
