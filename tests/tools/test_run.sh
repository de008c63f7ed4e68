#!/bin/sh
# tests/tools/test_run.sh: `tenon run`: outputs, gradients and states as .npy files, against values
# worked out by hand; what is given and what is not; dtypes; errors.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

# relu1 of this is ((0, 2), (0, 6.5)), fc2 ((4, 3), (13, 7.5)).
perceptron >mlp.json
npy data.npy '2, 3' 1 2 3 4 5 6
npy fc1_weight.npy '2, 3' 1 0 -1 0.5 0.5 0.5
npy fc1_bias.npy '2,' 0.5 -1
npy fc2_weight.npy '2, 2' 1 2 -1 1
npy fc2_bias.npy '2,' 0 1
npy label.npy '2,' 0 1
inputs="-i data=data.npy -i fc1_weight=fc1_weight.npy -i fc1_bias=fc1_bias.npy"
inputs="$inputs -i fc2_weight=fc2_weight.npy -i fc2_bias=fc2_bias.npy"
p00=0.7310585786 p01=0.2689414214 p10=0.9959298623 p11=0.0040701377

# Lists of options are to be split.
# shellcheck disable=SC2086
main() {
    echo "== outputs"
    tenon 0 run mlp.json $inputs --out all && quiet_but_zeros out_label && out '^all/out_output.npy$'
    near all/out_output.npy 1e-6 $p00 $p01 $p10 $p11
    [ "$(npy_shape all/out_output.npy)" = "2, 2" ] || fail "shape $(npy_shape all/out_output.npy)"
    [ "$(npy_dtype all/out_output.npy)" = f4 ] || fail "dtype $(npy_dtype all/out_output.npy)"
    [ "$(ls all)" = out_output.npy ] || fail "--out wrote $(ls all)"
    tenon 0 run mlp.json $inputs -i out_label=label.npy --backend reference && quiet
    out '^out_output \(2,2\) float32: 0\.73105[0-9]* 0\.26894[0-9]* 0\.9959[0-9]* 0\.00407[0-9]*$'

    echo "== internal outputs"
    tenon 0 run mlp.json $inputs --out inner --output fc1_output --output relu1 --output fc2_output
    quiet # out_label does not belong to them, so there is nothing to fill
    near inner/fc1_output.npy 1e-6 -1.5 2 -1.5 6.5
    near inner/relu1_output.npy 1e-6 0 2 0 6.5
    near inner/fc2_output.npy 1e-6 4 3 13 7.5
    # Inputs of the network that the chosen output does not need.
    tenon 0 run mlp.json $inputs -i out_label=label.npy --output fc1_output --out one && quiet
    near one/fc1_output.npy 1e-6 -1.5 2 -1.5 6.5
    [ "$(ls one)" = fc1_output.npy ] || fail "--output fc1_output wrote $(ls one)"
    tenon 0 run mlp.json $inputs --output data --output out_output --out same
    near same/data.npy 0 1 2 3 4 5 6

    echo "== gradients"
    # A loss needs no head gradient: d fc2 = p - (1, 0), as the missing label counts as 0.
    tenon 0 run mlp.json $inputs --grad --out grad && quiet_but_zeros out_label
    near grad/grad_fc2_bias.npy 1e-6 -0.2730115591 0.2730115591
    near grad/grad_fc2_weight.npy 1e-6 0 -0.5643387376 0 0.5643387376
    near grad/grad_fc1_bias.npy 1e-6 0 -0.2730115591
    near grad/grad_data.npy 1e-6 -0.1344707107 -0.1344707107 -0.1344707107 \
        -0.0020350688 -0.0020350688 -0.0020350688
    # Where no loss ends the network, the head gradients are ones.
    tenon 0 run mlp.json $inputs --grad --output fc1_output --out ones && quiet
    near ones/grad_fc1_bias.npy 1e-6 2 2
    near ones/grad_data.npy 1e-6 1.5 0.5 -0.5 1.5 0.5 -0.5
    near ones/grad_fc1_weight.npy 1e-6 5 7 9 5 7 9
    [ ! -e ones/grad_fc2_bias.npy ] || fail "--grad: a gradient of what is not below the output"
    tenon 0 run mlp.json $inputs --grad --output fc1_output --output out_output --out both
    near both/grad_fc1_bias.npy 1e-6 2 1.7269884409

    echo "== auxiliary states"
    # m := 0.9 m - 0.1 g, w := w + m
    network 3 "$(variables w g m)$(node sgd_mom_update new '[[0, 0, 0], [1, 0, 0], [2, 0, 0]]' \
        '"lr": "0.1", "momentum": "0.9"')" >update.json
    npy w.npy '2,' 1 2
    npy g.npy '2,' 10 20
    npy m.npy '2,' 1 1
    tenon 0 run update.json -i w=w.npy -i g=g.npy -i m=m.npy --train --out update && quiet
    near update/new_output.npy 1e-6 0.9 0.9
    near update/aux_m.npy 1e-6 -0.1 -1.1
    tenon 0 run update.json -i w=w.npy -i g=g.npy --train --out update && quiet_but_zeros m
    near update/aux_m.npy 1e-6 -1 -2
    tenon 0 run update.json -i w=w.npy -i g=g.npy -i m=m.npy --out plain && quiet
    [ ! -e plain/aux_m.npy ] || fail "aux_m.npy is written without --train"

    echo "== random numbers"
    network 1 "$(variables x)$(node Dropout drop '[[0, 0, 0]]' '"p": "0.5"')" >drop.json
    # shellcheck disable=SC2046
    npy x.npy '64,' $(awk 'BEGIN { for (i = 1; i <= 64; i++) print i }')
    tenon 0 run drop.json -i x=x.npy --out d0 # not in training: as it came
    npy_values x.npy >wanted && npy_values d0/drop_output.npy >got && near_lists drop 0 got wanted
    tenon 0 run drop.json -i x=x.npy --train --out d1
    tenon 0 run drop.json -i x=x.npy --train --out d2 --seed 1
    tenon 0 run drop.json -i x=x.npy --train --out d3 --seed 2
    cmp -s d1/drop_output.npy d2/drop_output.npy || fail "the default seed is not 1"
    cmp -s d1/drop_output.npy d3/drop_output.npy && fail "seeds 1 and 2 draw the same"
    npy_values d1/drop_output.npy | awk '{ z += $1 == 0; t += $1 == 2 * NR } END {
        if (z + t != 64 || z < 10 || t < 10) print z " zeros, " t " doubles" }' >problems
    [ ! -s problems ] || fail "dropout: $(cat problems)"

    echo "== dtypes"
    tenon 0 run mlp.json $inputs --dtype float64 --out wide
    [ "$(npy_dtype wide/out_output.npy)" = f8 ] || fail "--dtype: $(npy_dtype wide/out_output.npy)"
    near wide/out_output.npy 1e-9 $p00 $p01 $p10 $p11
    tenon 0 run mlp.json $inputs --dtype float64 --output data --out wide
    # A float64 array into a float32 network: converted, and told.
    tenon 0 train --epochs 1 --show 0 --hidden 4 --save model
    # shellcheck disable=SC2046
    npy eight.npy '1, 64' $(awk 'BEGIN { for (i = 0; i < 64; i++) print i / 64 }')
    tenon 0 run model-symbol.json -i data=eight.npy --output data --dtype float64 --out eight
    tenon 0 run model-symbol.json -p model-0001.params -i data=eight/data.npy --out p64
    err '^tenon run: data is converted from float64 to float32, as the parameters are$'
    tenon 0 run model-symbol.json -p model-0001.params -i data=eight.npy --out p32
    quiet_but_zeros out_label
    cmp -s p32/out_output.npy p64/out_output.npy || fail "float32 and float64 inputs differ"
    # So are whole numbers, unless the network takes them as they are.
    tenon 0 run model-symbol.json -i data=eight.npy --output data --dtype uint8 --out bytes
    tenon 0 run model-symbol.json -p model-0001.params -i data=bytes/data.npy --out pu8
    err '^tenon run: data is converted from uint8 to float32, as the parameters are$'
    tenon 0 run model-symbol.json -p model-0001.params -i data=bytes/data.npy --dtype float32 \
        --out pf32 && quiet_but_zeros out_label
    cmp -s pu8/out_output.npy pf32/out_output.npy || fail "uint8 inputs: --dtype float32 differs"
    network 1 "$(variables x)$(node Cast y '[[0, 0, 0]]' '"dtype": "float32"')" >cast.json
    tenon 0 run cast.json -i x=bytes/data.npy --out cast && quiet
    # A dtype that the file insists on gives way to --dtype.
    sed 's/"name": "data", "attrs": {}/"name": "data", "attrs": {"__dtype__": "0"}/' mlp.json >f32.json
    grep -q __dtype__ f32.json || fail "the attribute is not in the file"
    tenon 0 run f32.json $inputs --dtype float64 --out f64
    near f64/out_output.npy 1e-9 $p00 $p01 $p10 $p11

    errors
}

quiet_but_zeros() {
    [ "$(cat err)" = "tenon run: filled with zeros: $*" ] || fail "$command: says $(cat err)"
}

# shellcheck disable=SC2086
errors() {
    echo "== computed in bfloat16"
    # shellcheck disable=SC2086
    tenon 0 run mlp.json $inputs --grad --out wide && tenon 0 run mlp.json $inputs --grad \
        --compute bfloat16 --out narrow
    for file in out_output grad_fc1_weight; do
        npy_values wide/$file.npy >a
        npy_values narrow/$file.npy >b
        paste a b | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 0.02) exit 1 } END { exit !NR }' ||
            fail "--compute bfloat16: $file: $(paste a b)"
    done

    echo "== errors"
    tenon 1 run absent.json && err '^tenon run: absent.json: No such file'
    tenon 1 run mlp.json -i data=absent.npy && err '^tenon run: absent.npy: No such file'
    tenon 1 run mlp.json -p absent.params && err '^tenon run: absent.params: No such file'
    echo no >no.npy
    tenon 1 run mlp.json -i data=no.npy && err '^tenon run: no.npy: byte 0'
    tenon 1 run mlp.json -p no.npy && err '^tenon run: no.npy: byte 0'
    tenon 1 run mlp.json -p mlp.json && err 'mlp.json: this is a NET-symbol.json; wanted a .params'
    tenon 1 run mlp.json -p data.npy && err 'data.npy: this is an .npy file; wanted a .params file$'
    tenon 1 run data.npy && err '^tenon run: data.npy: this is an .npy file; wanted a NET-symbol'
    # Of an input that the output does not need, too.
    tenon 1 run mlp.json $inputs -i out_label=absent.npy -o fc1_output && err 'absent.npy: No such'
    tenon 1 run mlp.json $inputs -i nodata=data.npy
    err '^tenon run: --input nodata: mlp.json has no input of that name; it has: data fc1_weight'
    tenon 1 run mlp.json $inputs -i data=data.npy && err 'data is given twice'
    tenon 1 run mlp.json $inputs -o fc3_output && err 'no output is named fc3_output.*fc1_output'
    tenon 1 run mlp.json && err 'mlp.json: .*give shapes of inputs with --input NAME=FILE.npy$'
    tenon 1 run mlp.json $inputs -i out_label=data.npy && err 'mlp.json: .*out'
    tenon 1 run mlp.json -i data=data.npy -i fc1_weight=fc2_weight.npy && err 'fc1.*\(2,2\).*\(2,3\)'
    tenon 1 run mlp.json $inputs --backend absent && err '"absent"'
    tenon 1 run mlp.json $inputs --backend null && err 'part of FullyConnected' &&
        err '`tenon ops OPERATOR` names the backends'
    tenon 0 ops dot && out '^Kernels: .*:'
    tenon 1 run mlp.json $inputs --out absent/deeper && err '^tenon run: absent/deeper: No such file'
    tenon 1 run mlp.json $inputs --out no.npy && err 'no.npy/out_output.npy: Not a directory'
    sed 's|"fc1"|"stage1/fc1"|' mlp.json >slash.json
    tenon 1 run slash.json $inputs -o stage1/fc1_output --out x && err 'stage1/fc1_output'
    tenon 0 run slash.json $inputs -o stage1/fc1_output && out '^stage1/fc1_output \(2,2\)'
    for input in data =data.npy; do
        tenon 2 run mlp.json --input $input && err 'wanted NAME=FILE.npy'
    done
    tenon 2 run mlp.json --dtype float23 &&
        err 'no dtype "float23"; there are float32, float64, .*int8, .*bfloat16$'
    tenon 2 run mlp.json --compute float64 && err 'wanted float32, bfloat16 or bf16, got "float64"'
    tenon 2 run mlp.json --seed x && err '--seed: wanted a whole number'

    # Parameters of another network: all of them an error, one of them a remark.
    sed 's/"fc\([12]\)\([_"]\)/"layer\1\2/g' model-symbol.json >other.json
    tenon 1 run other.json -i data=eight.npy -p model-0001.params
    err 'model-0001.params: none of its 4 arrays belongs to other.json'
    sed 's/"fc1_bias"/"fc1_offset"/' model-symbol.json >partly.json
    tenon 0 run partly.json -i data=eight.npy -p model-0001.params
    err '^tenon run: not in the network: fc1_bias$'
    err '^tenon run: filled with zeros: fc1_offset out_label$'
}

main
finish
