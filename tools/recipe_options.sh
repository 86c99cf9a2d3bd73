# The options that every recipe has. To be sourced by egs/<corpus>/ASR/run.sh, which has set HERE (its folder), before
# parse_options.sh; a recipe that wants another default sets it below the line that sources this file.

DEFAULT_SEARCH=modified_beam_search
LAST_STAGE=8

stage=0                                # first stage to run
stop_stage=$LAST_STAGE                 # last stage to run
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
vocab_size=                            # pieces of the BPE model
max_duration=                          # audio in a training batch (s)
num_epochs=                            # epochs to train
precision=                             # of training: fp32, bf16, or on CUDA fp16 (default: the recipe's)
shar=false                             # train from Shar, read in sequence: for corpora whose manifest does not fit in memory
world_size=1                           # processes that train together on this machine
decoding_method=$DEFAULT_SEARCH   # a search of icefall_discrete/decoding/README.md, such as greedy_search or 1best
lm=                                    # language model of the search: ngram, lstm or transformer, trained on the transcripts
lm_scale=                              # its weight
seed=42                                # of the k-means, the order of the data, the model
