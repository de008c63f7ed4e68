#!/bin/sh
# tests/tools/test_learn.sh: what Tenon claims of learning and of real networks, through the command:
# handwritten digits, the same losses on every backend, MNIST, and stored models with their outputs.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

# accuracy LEAST: of the loaded model on the pictures that were held out.
accuracy() {
    got=$(sed -n 's/^held-out: .*accuracy \([0-9.]*\) on .*/\1/p' out)
    echo "   accuracy $got, $(grep '^learned in' out)"
    awk -v got="$got" -v least="$1" 'BEGIN { exit !(got >= least) }' ||
        fail "$command: accuracy ${got:-?} on held-out pictures, wanted at least $1"
}

echo "== digits, default options"
backends=$("$program" backends --names)
for backend in $backends; do
    echo "   $backend"
    list=$backend
    [ "$backend" = onednn ] && list=onednn,reference # it has no losses
    tenon 0 train --backend "$list" --show 0 --save "digits-$backend" --losses "losses-$backend" &&
        accuracy 0.96
done

echo "== one seed, the same losses"
[ "$(echo "$backends" | wc -l)" -gt 1 ] || skip "reference is the only backend"
for backend in $backends; do
    [ "$backend" = reference ] && continue
    paste "losses-$backend" losses-reference | head -n 100 | awk -v b="$backend" '
        { d = $1 - $2; if (d < 0) d = -d; if (d > worst * $2) worst = d / $2; n++ }
        !(d <= 1e-4 * $2) { print "step " NR ": " $1 " and " $2 >"problems" }
        END { printf "   %s: %d steps, at most %.1e apart\n", b, n, worst; exit n != 100 }' ||
        fail "losses of $backend: not 100 steps"
    [ ! -s problems ] || fail "losses of $backend and reference: $(head -n 5 problems)"
    rm -f problems
done

echo "== MNIST, 784-128-64-10"
mnist="--data $data/mnist --hidden 128,64 --batch 100 --lr 0.07 --momentum 0.9 --show 0 --save mnist"
if [ ! -d "$data/mnist" ]; then
    skip "no TENON_DATA_DIR with mnist/"
elif ! has_backend blas; then
    skip "no blas backend; reference would take minutes"
elif sanitized; then
    skip "sanitizers make ten epochs long"
else
    # shellcheck disable=SC2086
    tenon 0 train $mnist --epochs 10 --backend blas && accuracy 0.97
fi

# ------------------------------------------------------------------ stored models

# relative GOT WANTED: to within 1e-4 of each element and 1e-5 of the largest.
relative() {
    npy_values "$1" >got
    npy_values "$2" >wanted
    [ "$(wc -l <got)" = "$(wc -l <wanted)" ] || {
        fail "$command: $(wc -l <got) elements, wanted $(wc -l <wanted)"
        return
    }
    paste got wanted | awk '
        function abs(x) { return x < 0 ? -x : x }
        { a[NR] = $1; b[NR] = $2; if (abs($2) > most) most = abs($2) }
        END {
            for (i = 1; i <= NR && n < 5; i++)
                if (!(abs(a[i] - b[i]) <= 1e-4 * abs(b[i]) + 1e-5 * most)) {
                    print "element " i - 1 ": " a[i] ", wanted " b[i]
                    n++
                }
        }' >differences
    [ ! -s differences ] || fail "$command: $(cat differences)"
}

# model FOLDER SYMBOL PARAMS CASE OUTPUT BACKENDS OPERATOR…: runs the case, compares its output.
model() {
    folder=$data/$1 symbol=$2 params=$3 case=$4 output=$5 backends=$6
    shift 6
    has_kernels "$@" || {
        skip "$folder: no kernel for one of: $*"
        return 1
    }
    tenon 0 run "$folder/$symbol" -p "$folder/$params" -i "data=$folder/$case.in.data.npy" \
        ${backends:+--backend "$backends"} --out results &&
        relative "results/$output.npy" "$folder/$case.out0.npy"
}

echo "== stored models"
if [ ! -d "$data/mlp-onnx" ]; then
    skip "no TENON_DATA_DIR with mlp-onnx/ and its like"
    finish
fi
for backend in $backends; do
    model mlp-onnx model-symbol.json model-0004.params cosmin-mlp \
        hybridsequential0_dense2_fwd_output "$backend,reference" FullyConnected Dropout
    model lenet-2015 lenet-symbol.json lenet-0010.params mnist-lenet-2015 softmax_output \
        "$backend,reference" Convolution Pooling
    model lenet-2019 lenet-symbol.json lenet-0001.params mnist-fcrc-lenet \
        hybridsequential0_dense1_fwd_output "$backend,reference" Convolution Pooling
done

npy x.npy '3, 1' 0.5 1 2
npy label.npy '3, 1' 0 1 2
tenon 0 run "$data/tiny/go_test-symbol.json" -p "$data/tiny/go_test-0001.params" \
    -i data=x.npy -i softmax_label=label.npy --out tiny && quiet
npy_values tiny/softmax_output.npy | awk '
    { s += $1 } NR % 10 == 0 { if (s < 0.9999 || s > 1.0001) print "a row adds up to " s; s = 0 }
    END { if (NR != 30) print NR " elements" }' >problems
[ ! -s problems ] || fail "tiny: $(cat problems)"

if sanitized; then
    skip "sanitizers make SqueezeNet long"
elif model squeezenet squeezenet-symbol.json squeezenet-0000.params squeezenet_v1.0 prob_output "" \
    Convolution Pooling Concat; then
    # The class of each picture, by name.
    npy_values results/prob_output.npy | awk '
        $1 > p { p = $1; best = (NR - 1) % 1000 }
        NR % 1000 == 0 { print best + 1, p; p = 0 }' | while read -r line p; do
        echo "   $(sed -n "${line}p" "$data/squeezenet/synset.txt"): $p"
    done >answers
    cat answers
    for name in 'bald eagle.*: 0\.84' 'pelican: 0\.63' 'pug.*: 0\.99'; do
        grep -qE "$name" answers || fail "SqueezeNet sees no $name"
    done
fi

finish
