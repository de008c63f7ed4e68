#!/bin/sh
# tests/tools/test_train.sh: `tenon train`: what it prints and saves, that a seed reproduces a run,
# networks and data from files, a terminal's progress bar; errors. What it learns is in
# test_learn.sh.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

digits=$TENON_SOURCE_DIR/tools/data/digits.csv.gz

echo "== a short run"
tenon 0 train --epochs 2 --show 2 --save short --losses losses && quiet
out '^data: 1,797 handwritten digits' && out '1438 to learn, 359 held out, 8x8, 10 classes'
out '^arguments: data fc1_weight fc1_bias fc2_weight fc2_bias out_label$'
out '^placement: [0-9]+ nodes: '
out '^epoch 1/2  loss [0-9.]+ accuracy [0-9.]+  held-out loss [0-9.]+ accuracy [0-9.]+$'
out '^epoch 2/2  loss '
out '^learned in [0-9.]+ s$'
out '^saved short-symbol.json and short-0002.params$'
out '^held-out: loss [0-9.]+, accuracy [0-9.]+ on 359 pictures$'
[ "$(grep -cE '^    says [0-9] \([0-9.]+ %\), is [0-9]$' out)" = 2 ] || fail "$command: not 2 answers"
LC_ALL=C tr -d '\n\040-\176\200-\377' <out >odd
[ ! -s odd ] || fail "$command: control characters where there is no terminal: $(od -c odd | head -n 3)"
widest=$(grep '^epoch' out | awk 'length($0) > n { n = length($0) } END { print n }')
[ "$widest" -le 79 ] || fail "$command: a line of $widest columns"

# The loaded model says what the learned one said at last.
learned=$(sed -n 's/^epoch 2.*held-out loss \([0-9.]*\) accuracy \([0-9.]*\)$/\1 \2/p' out)
loaded=$(sed -n 's/^held-out: loss \([0-9.]*\), accuracy \([0-9.]*\) .*/\1 \2/p' out)
[ -n "$learned" ] && [ "$learned" = "$loaded" ] || fail "$command: learned $learned, loaded $loaded"
tenon 0 show short-symbol.json --shape data=1,1,8,8 && out '^ *9  SoftmaxOutput +out +\(1,10\)'
# shellcheck disable=SC2046
npy one.npy '1, 1, 8, 8' $(gzip -dc "$digits" | head -n 5 | tail -n 1 | tr ',' '\n' | tr -d '\r' |
    awk 'NR <= 64 { print $1 / 16 }')
tenon 0 run short-symbol.json -p short-0002.params -i data=one.npy --out out1
npy_values out1/out_output.npy | awk '{ s += $1 } END { exit !(NR == 10 && s > 0.9999 && s < 1.0001) }' ||
    fail "the saved model gives $(npy_values out1/out_output.npy)"

echo "== losses and seeds"
[ "$(wc -l <losses)" = 44 ] || fail "--losses: $(wc -l <losses) lines, wanted 22 batches twice"
awk '!($1 > 0 && $1 < 10)' losses | grep -q . && fail "--losses: $(head -n 3 losses)"
awk 'NR <= 22 { a += $1 } NR > 22 { b += $1 } END { exit !(b < a / 2) }' losses ||
    fail "nothing is learned in the second epoch"
tenon 0 train --epochs 2 --show 0 --save again --losses losses2 && not_out '^    says'
cmp -s losses losses2 || fail "one seed, two different runs"
tenon 0 train --epochs 1 --show 0 --save again --seed 2 --losses losses3
head -n 22 losses | cmp -s - losses3 && fail "two seeds, one run"
tenon 0 train --epochs 1 --show 0 --save again --batch 100 --losses losses4
[ "$(wc -l <losses4)" = 14 ] || fail "--batch 100: $(wc -l <losses4) steps"
tenon 0 train --epochs 1 --show 0 --save again --lr 0 --momentum 0 --losses losses5
awk '!($1 > 2.2 && $1 < 2.4)' losses5 | grep -q . && fail "--lr 0 changes something"
tenon 0 train --epochs 1 --show 0 --save again --wd 0.1 --losses losses6
cmp -s losses3 losses6 && fail "--wd changes nothing"
tenon 0 train --epochs 1 --show 0 --save again --hidden 20,10 --backend reference
out 'fc1_weight fc1_bias fc2_weight fc2_bias fc3_weight fc3_bias' && out 'nodes: reference [0-9]+;'

echo "== computed in bfloat16"
tenon 2 train --compute int8 && err '^tenon train: --compute: wanted float32, bfloat16 or bf16, got "int8"'
tenon 0 train --epochs 2 --show 0 --save again --compute float32 --losses losses2
cmp -s losses losses2 || fail "--compute float32 is not the default"
tenon 0 train --epochs 2 --show 0 --save half --compute bfloat16 --losses losses7
paste losses losses7 | awk '{ a += $1; b += $2 } END { exit !(b < 1.02 * a && b > 0.98 * a) }' ||
    fail "in bfloat16 the losses are others: $(paste losses losses7 | tail -n 3)"
narrow() { "$program" backends | grep -E 'oneDNN .*(bfloat16|AMX)' >/dev/null; }
if ! has_backend onednn || ! narrow; then
    skip "no backend that computes in bfloat16 on this CPU"
else
    tenon 0 train --epochs 2 --show 0 --save half --compute bf16 --backend onednn,reference \
        --losses losses7
    cmp -s losses losses7 && fail "--compute bf16 changes nothing"
    paste losses losses7 | awk '{ a += $1; b += $2 } END { exit !(b < 1.02 * a && b > 0.98 * a) }' ||
        fail "in bfloat16 the losses are others: $(paste losses losses7 | tail -n 3)"
fi

echo "== data from a file"
awk 'BEGIN { for (i = 0; i < 100; i++) { c = int(i / 2) % 2; print c * 2 - 1, i / 100, 0.5, c } }' |
    tr ' ' ',' >table.csv
tenon 0 train --data table.csv --batch 10 --epochs 5 --show 1 --save table --hidden 4
out '^data: table.csv$' && out '80 to learn, 20 held out, 1x3, 2 classes' && out 'accuracy 1\.0000'
gzip -c table.csv >table.csv.gz
tenon 0 train --data table.csv.gz --batch 10 --epochs 1 --show 0 --save table
for suffix in "" .gz; do
    mkdir -p idx$suffix
    for part in train t10k; do
        { # 20 pictures of 2x2, of two classes that differ in one pixel
            printf '\000\000\010\003\000\000\000\024\000\000\000\002\000\000\000\002'
            for _ in 1 2 3 4 5 6 7 8 9 10; do printf '\377\001\002\003\000\001\002\003'; done
        } >images
        {
            printf '\000\000\010\001\000\000\000\024'
            for _ in 1 2 3 4 5 6 7 8 9 10; do printf '\001\000'; done
        } >labels
        [ -z "$suffix" ] || { gzip -f images labels; }
        mv images$suffix idx$suffix/$part-images-idx3-ubyte$suffix
        mv labels$suffix idx$suffix/$part-labels-idx1-ubyte$suffix
    done
    tenon 0 train --data idx$suffix --batch 10 --epochs 30 --show 0 --save idx --hidden 4
    out '20 to learn, 20 held out, 2x2, 2 classes' && out 'held-out: .*accuracy 1\.0000'
done

echo "== networks from files"
# One that flattens, one that does not and so takes (batch, pixels) only.
for flatten in True False; do
    network 5 "$(variables data w_weight w_bias)$(
        node FullyConnected fc '[[0, 0, 0], [1, 0, 0], [2, 0, 0]]' \
            "\"num_hidden\": \"10\", \"flatten\": \"$flatten\""), $(
        variables softmax_label)$(
        node SoftmaxOutput softmax '[[3, 0, 0], [4, 0, 0]]')" >flat.json
    tenon 0 train --network flat.json --epochs 3 --show 0 --save flat && out 'softmax_label$'
    sed -n 's/^held-out: .*accuracy \([0-9.]*\) .*/\1/p' out | awk '{ exit !($1 > 0.8) }' ||
        fail "flatten=$flatten: $(grep held-out: out)"
done
# Initial values, learning rates and decay of single variables, as their attributes say. --wd decays
# weights, and no biases.
network 5 "$(variables data)$(
    node null w_weight '[]' '"__init__": "[\"Constant\", {\"value\": 0.5}]", "__lr_mult__": "0"'), $(
    node null w_bias '[]' '"__init__": "zeros", "__wd_mult__": "0"'), $(
    node FullyConnected fc '[[0, 0, 0], [1, 0, 0], [2, 0, 0]]' '"num_hidden": "10"'), $(
    variables softmax_label)$(node SoftmaxOutput softmax '[[3, 0, 0], [4, 0, 0]]')" >frozen.json
tenon 0 train --network frozen.json --epochs 1 --show 0 --save frozen --wd 0.1
tenon 0 run frozen-symbol.json -p frozen-0001.params -i data=one.npy -o w_weight -o w_bias --out frozen
npy_values frozen/w_weight.npy | sort -u | tr -d ' \n' >values
[ "$(cat values)" = 0.5 ] || fail "__init__ and __lr_mult__: weights of $(head -c 99 values)"
npy_values frozen/w_bias.npy | awk '$1 == 0 { n++ } END { exit !(NR == 10 && n == 0) }' ||
    fail "biases are not learned: $(npy_values frozen/w_bias.npy)"

if has_kernels Convolution Pooling; then
    network 10 "$(variables data c_weight c_bias)$(
        node Convolution c '[[0, 0, 0], [1, 0, 0], [2, 0, 0]]' \
            '"kernel": "(3, 3)", "num_filter": "8"'), $(
        node Activation r '[[3, 0, 0]]' '"act_type": "relu"'), $(
        node Pooling p '[[4, 0, 0]]' '"kernel": "(2, 2)", "stride": "(2, 2)", "pool_type": "max"'), $(
        variables f_weight f_bias)$(
        node FullyConnected f '[[5, 0, 0], [6, 0, 0], [7, 0, 0]]' '"num_hidden": "10"'), $(
        variables softmax_label)$(
        node SoftmaxOutput softmax '[[8, 0, 0], [9, 0, 0]]')" >conv.json
    tenon 0 train --network conv.json --epochs 3 --show 0 --save conv
    sed -n 's/^held-out: .*accuracy \([0-9.]*\) .*/\1/p' out | awk '{ exit !($1 > 0.8) }' ||
        fail "convolution: $(grep held-out: out)"
else
    skip "no kernels for Convolution and Pooling"
fi

echo "== a terminal"
if command -v script >/dev/null && script -qec true /dev/null >/dev/null 2>&1; then
    # Pictures enough that the bar is drawn more than once.
    for columns in 80 60; do
        TERM=xterm script -qec "stty cols $columns; '$program' train --epochs 2 --show 0 \
            --save terminal" typescript >/dev/null 2>&1 </dev/null
        esc=$(printf '\033')
        bar=' \[[=>]'
        [ $columns = 80 ] || bar='  [ 0-9]*/1438  loss' # no room for it
        grep -qE "$esc\[Kepoch 1/2$bar" typescript || fail "$columns columns: no progress bar"
        # What a line shows at any moment: the parts between carriage returns and erasures.
        tr '\r' '\n' <typescript | sed "s/$esc\[K//" | grep '^epoch .*/1438' |
            awk -v c=$columns 'length($0) >= c' | grep -q . && fail "$columns columns: the bar is wider"
    done
    TERM=dumb script -qec "'$program' train --epochs 1 --show 0 --save terminal" typescript \
        >/dev/null 2>&1 </dev/null
    grep -q "$(printf '\033')" typescript && fail "escape codes on a dumb terminal"
    grep -q '^epoch 1/1' typescript || fail "nothing learned on a dumb terminal"
else
    skip "no script(1) to make a terminal with"
fi

echo "== errors"
tenon 1 train --data absent && err '^tenon train: absent: no such file'
mkdir empty
tenon 1 train --data empty && err 'empty/train-images-idx3-ubyte.*: No such file'
echo '1,2,0.5' >half.csv && for _ in 1 2 3 4 5; do cat half.csv; done >halves.csv
tenon 1 train --data halves.csv && err 'halves.csv: 0.5 is no class'
tenon 1 train --data half.csv && err 'half.csv: wanted at least 5 rows of 2 columns .*, got 1 of 3$'
echo '1,x,2' >words.csv && echo '1,2,3' >>words.csv
tenon 1 train --data words.csv && err 'words.csv: line 1, column 2'
tenon 1 train --network absent.json && err '^tenon train: absent.json: No such file'
network 1 "$(variables data)$(node Activation a '[[0, 0, 0]]' '"act_type": "relu"')" >noloss.json
tenon 1 train --network noloss.json && err 'no argument that ends in "label"'
network 2 "$(variables data label)$(node LinearRegressionOutput o '[[0, 0, 0], [1, 0, 0]]')" >wide.json
tenon 1 train --network wide.json && err 'label has 4096 elements, wanted one for each of 64'
perceptron >two.json # classes, and the digits have ten
tenon 1 train --network two.json && err 'two.json: the first output is \(64,2\), wanted \(64,10\)'
tenon 1 train --save absent/model && err '^tenon train: --save absent/model: No such file'
tenon 1 train --losses absent/losses && err '^tenon train: absent/losses: No such file'
tenon 1 train --backend absent && err '"absent"'
tenon 1 train --batch 1439 && err '^tenon train: --batch 1439: wanted at most 1438'
for hidden in 12x a,b 0 -3 '8,,9'; do
    tenon 2 train --hidden=$hidden && err 'hidden: wanted a list like 128,64'
done
for option in --epochs=0 --epochs=x --batch=0 --batch=1e2 --seed=-1 --lr=fast --lr=nan --show=-1; do
    tenon 2 train $option && err "^tenon train: ${option%=*}: wanted a"
done
for momentum in -3 1 -0.1; do
    tenon 2 train --momentum=$momentum && err "momentum: wanted a number in \[0,1\), got \"$momentum"
done
tenon 2 train digits && err 'unexpected argument "digits"'

finish
