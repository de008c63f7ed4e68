#!/bin/sh
# tests/tools/test_cli.sh: the command itself, `tenon backends`, `tenon ops` and `tenon bench`; exit
# codes and --help everywhere.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

echo "== the command"
tenon 2 && err '^Usage: tenon COMMAND'
for option in --help -h help; do
    tenon 0 $option && out '^Usage: tenon COMMAND' && quiet
done
tenon 0 --version && out "^tenon [0-9]+\.[0-9]+\.[0-9]+$"
tenon 0 help run && out "^Usage: tenon run "
tenon 2 help frobnicate
tenon 2 frobnicate && err 'no command "frobnicate"'
commands="backends ops show run train bench"
for name in $commands; do
    tenon 0 --help && out "^  $name "
    tenon 0 "$name" --help && out "^Usage: tenon $name " && quiet
    widest=$(awk 'length($0) > n { n = length($0) } END { print n }' out)
    [ "$widest" -le 80 ] || fail "tenon $name --help: $widest columns"
    tenon 2 "$name" --no-such-option && err "^tenon $name: .*no-such-option"
    tenon 0 "$name" -h && out "^Usage: tenon $name "
done
if [ -c /dev/full ]; then
    "$program" ops >/dev/full 2>err && fail "tenon ops: a full disk passes for success"
    command='tenon ops >/dev/full'
    err '^tenon: writing the output failed: No space left'
fi
for name in show run bench; do tenon 2 $name && err "^tenon $name: wanted a "; done
tenon 2 show a.json b.json && err 'one network at a time'
tenon 2 backends x && err 'unexpected argument "x"'
tenon 2 ops a b && err 'one operator at a time'

for threads in abc 0 -3 2.5 5000; do
    TENON_NUM_THREADS=$threads tenon 2 backends &&
        err "^tenon: TENON_NUM_THREADS=$threads: wanted a number of threads, 1 to 4096\$"
done
TENON_NUM_THREADS=abc tenon 2 bench mlp --quick && once 'TENON_NUM_THREADS=abc: wanted' && not_out .
TENON_NAN=stp tenon 2 backends && err '^tenon: TENON_NAN=stp: wanted stop$'
TENON_NAN=stop tenon 0 backends --names && quiet
tenon 0 --help && out "^TENON_NAN "
TENON_NUM_THREADS=1 tenon 0 backends --names && quiet
# A slip in the name of an option, which no plugin can be sure of, is said, and once only.
if has_backend opencl || has_backend onednn; then
    for variable in TENON_OPT_OPENCL_CASHE TENON_OPT_ONEDNN_WINOGRD; do
        export $variable=off
        tenon 0 backends && [ "$(grep -c . err)" -le 1 ] || fail "$command: says $(cat err)"
        cat err >>slips
        tenon 0 bench mlp --quick --mode inference --backend reference && cat err >>slips
        unset $variable
    done
    grep -q '^tenon: o.*: has no option for TENON_OPT_O.*_[CW]' slips || fail "slips: $(cat slips)"
    [ "$(sort slips | uniq -c | grep -cv '^ *2 ')" = 0 ] || fail "slips: $(cat slips)"
fi

echo "== backends"
tenon 0 backends && out '^reference  \(plugin reference ' && out 'device 0: cpu' &&
    out 'kernels: .*float32 [0-9]+' && out 'GiB of host memory$' &&
    out '^plugins in use \(ABI epoch [0-9]+, minor [0-9]+\):$' &&
    out '^    swish [0-9.]+, built for ABI [0-9]+\.[0-9]+$' && quiet
tenon 0 backends --names && out '^reference$' && not_out ' '
# The skeleton and its like run only where somebody names them.
not_out '^null$'
tenon 0 backends --json && valid_json out && out '"name": "reference"' && out '"candidates": \[' &&
    out '"abi": \{$' && out '"mem_total": [1-9]'

# Here libtenon is a shared object, so that the functions it exports are found by a plugin that
# calls them. From its init() it gets no env, and does not wait for itself.
TENON_PLUGIN_PATH=$TENON_BUILD_DIR/tests/hostile/needs_host.so tenon 0 backends &&
    out '^    needs_host .*built for ABI'

mkdir plugins
echo "this is no shared object" >plugins/broken.so
: >plugins/empty.so
cp "$TENON_BUILD_DIR/plugins/libtenon_reference.so" plugins/
export TENON_PLUGIN_PATH="$work/plugins:$work/absent"
tenon 0 backends && out '^not used:$'
# reason FILE STEP: the line behind a file's path says why it was not used.
reason() {
    awk -v f="    $1" '$0 == f { getline; print }' out | grep -qE "^        $2: ." ||
        fail "tenon backends: $1 is not refused at step $2: $(cat out)"
}
reason "$work/plugins/broken.so" file
reason "$work/plugins/empty.so" file
reason "$work/absent" file
reason "$TENON_BUILD_DIR/plugins/libtenon_reference.so" shadowed
out "^    $work/plugins/libtenon_reference.so$" # the first of two is the one in use
tenon 0 backends --json && valid_json out &&
    grep -A5 "\"path\": \"$work/plugins/broken.so\"" out | grep -q '"step": "file"' ||
    fail "tenon backends --json: broken.so is not told of"
# A path that is not UTF-8 must not break the JSON.
bad=$(printf 'caf\351')
mkdir "$bad" && cp plugins/broken.so "$bad/"
TENON_PLUGIN_PATH=$work/$bad
tenon 0 backends --json && valid_json out && out '/caf\?/broken.so'
unset TENON_PLUGIN_PATH

echo "== ops"
tenon 0 ops && out '^layer$' && out '^  FullyConnected +Linear layer' && out '^  Concat ' &&
    not_out '^ *_backward' && quiet
[ "$(wc -l <out)" -gt 100 ] || fail "tenon ops: $(wc -l <out) lines"
grep '^[^ ]' out | LC_ALL=C sort -cu 2>/dev/null || fail "tenon ops: families are not sorted"
tenon 0 ops --all && out '^  _backward_SoftmaxOutput '
tenon 0 ops FullyConnected && out '^  num_hidden +int in \[1,\), required' &&
    out '^  no_bias +bool, default False' && out '^Inputs$' && out '^Parameters$' &&
    out '^Outputs$' && out '^Formula: +y = x' && out '^Shapes: +data \(n, \.\.\.\)' &&
    out '^Gradient: symbolic' && out '^(Kernels:)? +reference: .*float32'
tenon 0 ops SoftmaxOutput && awk 'length($0) > 80' out | grep -q . && fail "tenon ops: a wide line"
tenon 0 ops concat && out '^Concat  \(also .*concat' # an alias
tenon 0 ops sgd_mom_update && out '^Auxiliary states$' && out '^  mom '
tenon 0 ops Activation && out 'relu\|sigmoid\|tanh'
tenon 0 ops exp && out '^Formula: +y = exp\(x\), +dx = dy \* \(y\)' &&
    out '^Shapes: +all inputs and outputs have one shape'
tenon 0 ops adam_update && out '^Gradient: none: asking for one is an error'
tenon 0 ops swish && out '^From plugin swish'
tenon 1 ops NoSuchOperator && err '^tenon ops: no operator "NoSuchOperator"'
tenon 1 ops convolut && err 'there is Convolution Convolution_v1 Deconvolution'
tenon 1 ops Covolution && err 'no operator "Covolution" — did you mean Convolution'

tenon 0 ops --json && valid_json out && quiet
# Every object has all keys. jansson indents: keys of an operator stand at four spaces.
awk '
    /^  \{$/ { for (k in seen) delete seen[k]; n++ }
    /^    "[a-z_]+":/ { key = $1; gsub(/[":]/, "", key); seen[key] = 1 }
    /^    "name":/ { name = $2 }
    /^    "gradient":/ && !/"(symbolic|expand|zero|none)",?$/ { print name " has " $0 }
    /^  \},?$/ {
        split("name family formula shape_rule aliases doc inputs params outputs aux gradient backends", keys, " ")
        for (i in keys) if (!(keys[i] in seen)) print name " has no " keys[i]
    }
    END { if (n < 100) print n " objects" }' out >problems
[ ! -s problems ] || fail "tenon ops --json: $(cat problems)"
tenon 0 ops --json && cp out whole.json
public=$(grep -c '^  {$' whole.json)
tenon 0 ops && [ "$(grep -c '^  ' out)" = "$public" ] || fail "tenon ops and ops --json differ in number"
tenon 0 ops FullyConnected --json && [ "$(grep -c '^  {$' out)" = 1 ] && out '"gradient": "symbolic"'
tenon 0 ops stack --json && out '"gradient": "expand"'
tenon 0 ops sgd_mom_update --json && out '"name": "mom"' && out '"gradient": "none"'
tenon 0 ops zeros_like --json && out '"gradient": "zero"'
tenon 1 ops NoSuchOperator --json

echo "== bench"
tenon 0 bench overhead --nodes 10 --runs 3 && out '^overhead: 10 scalar additions .* ns a node'
tenon 0 bench overhead --nodes 10 --runs 3 --json && valid_json out && out '"median_ns": [0-9]'
tenon 0 bench graph --nodes 100 && out '^bind .* ratio '
tenon 2 bench nothing && err 'no workload "nothing"'
tenon 2 bench overhead --threads 4097 && err '\-\-threads: wanted 1 to 4096, got "4097"'
tenon 2 bench overhead --runs 0 && err 'wanted a whole number of at least 1, got "0"'
tenon 1 bench overhead --backend absent && err 'absent'

finish
