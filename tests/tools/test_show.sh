#!/bin/sh
# tests/tools/test_show.sh: `tenon show`: names, the table of nodes, the drawing, the plan and the
# placement, on small networks, on a very large one and on real ones.
# shellcheck source=tests/tools/cli.sh
. "${TENON_SOURCE_DIR:?}/tests/tools/cli.sh"

# row NUMBER OPERATOR NAME SHAPE DTYPE [MORE]: the table has that line, whatever its columns.
row() { out "^ *$1  $2 +$3 +$4 +$5${6:+ +}${6:-} *$"; }
# Whatever is printed must be about the network, not about the source of this program.
no_places() { not_out '\.c:[0-9]|tools/'; }

perceptron >mlp.json

echo "== without shapes"
tenon 0 show mlp.json && quiet && no_places
out '^arguments: data fc1_weight fc1_bias fc2_weight fc2_bias out_label$'
out '^outputs: out_output$'
not_out '^auxiliary'
row 0 variable data '\?' float32
row 3 FullyConnected fc1 '\(\?,2\)' float32 '0 1 2  num_hidden=2'
row 9 SoftmaxOutput out '\(\?,2\)' float32 '7 8'
out '^Give the shapes of the inputs'
not_out '^Memory plan|^Placement'

echo "== with shapes"
tenon 0 show mlp.json --shape data=2,3 && quiet && no_places
row 0 variable data '\(2,3\)' float32
row 1 variable fc1_weight '\(2,3\)' float32
row 8 variable out_label '\(2\)' float32
out '^Memory plan$' && out '^planned [0-9]+ bytes; at least needed [0-9]+; without reuse [0-9]+;'
out '^Placement$' && out '^[34] nodes: .*; 0 copies, 0 reorders$' && not_out '^backward$'
tenon 0 show mlp.json --shape data=2,-1 --shape fc1_weight=-1,3 # unknown extents, found out
row 0 variable data '\(2,3\)' float32
tenon 0 show mlp.json --shape data=2,3 --train && out '^backward$' && out '_backward_SoftmaxOutput'
tenon 0 show mlp.json --shape data=2,3 --backend reference && out '^4 nodes: reference 4;'
tenon 0 show mlp.json --shape data=2,3 --json && valid_json out && quiet
out '"device": "reference"|"devices"' && out '"op": "SoftmaxOutput"' && out '"planned": [0-9]+'
tenon 0 show mlp.json --shape data=2,3 --json --train && valid_json out && out '"pass": "backward"'

echo "== as in inference, and in bfloat16"
network 7 "$(variables data c_weight)$(node Convolution c '[[0, 0, 0], [1, 0, 0]]' \
    '"kernel": "(1, 1)", "num_filter": "2", "no_bias": "True"'), $(
    variables b_gamma b_beta b_mean b_var)$(
    node BatchNorm b '[[2, 0, 0], [3, 0, 0], [4, 0, 0], [5, 0, 0], [6, 0, 0]]')" >norm.json
if has_kernels Convolution BatchNorm; then
    tenon 0 show norm.json --shape data=1,3,4,4 && not_out '  once'
    tenon 0 show norm.json --shape data=1,3,4,4 --inputs data && out '  once' &&
        not_out '^  %[0-9]+ BatchNorm' # folded into the convolution
    tenon 0 show norm.json --shape data=1,3,4,4 --inputs data,c_weight && out '^Placement$'
    tenon 1 show norm.json --shape data=1,3,4,4 --inputs data,other && err '"other"'
else
    skip "no kernels for Convolution and BatchNorm"
fi
tenon 0 show mlp.json --shape data=2,3 --compute bf16 && out '^Placement$'
tenon 2 show mlp.json --compute int8 && err 'wanted float32, bfloat16 or bf16, got "int8"'

echo "== errors"
tenon 1 show absent.json && err '^tenon show: absent.json: No such file'
echo '{"nodes": [' >broken.json
tenon 1 show broken.json && err '^tenon show: broken.json: byte '
tenon 1 show mlp.json --shape data=2,3 --backend absent && once '^tenon show: backends .*"absent"' && not_out .
printf '\022\001\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >some.params
tenon 1 show some.params && once 'some.params: this is a .params file; wanted a NET-symbol.json$'
tenon 1 show mlp.json --json && err 'mlp.json: .*data \?.* give shapes of inputs with --shape NAME='
tenon 1 show mlp.json --shape nodata=2,3 && err 'mlp.json: .*nodata'
tenon 1 show mlp.json --shape data=2,3 --shape fc1_weight=2,4 && err 'mlp.json: fc1 .*weight: shape \(2,4\), wanted \(2,3\)'
for shape in data data= =2 data=2,, data=a data=2x data=-2 data=1,1,1,1,1,1,1,1,1; do
    [ $shape = data= ] && continue # a scalar
    tenon 2 show mlp.json --shape $shape && err '^tenon show: --shape: wanted NAME='
done
network 0 "$(node NoSuchOperator x '[]')" >unknown.json
tenon 1 show unknown.json && err '^tenon show: unknown.json: .*NoSuchOperator'
for command in 'show mlp.json --shape nodata=2,3' 'run mlp.json' 'train --network unknown.json'; do
    # shellcheck disable=SC2086
    tenon 1 $command && shown err no '\.c:[0-9]'
done

echo "== columns"
long=a_name_that_is_a_good_deal_longer_than_any_column_would_be_if_it_were_of_a_fixed_width
sed "s/fc1/$long/g" mlp.json >long.json
tenon 0 show long.json --shape data=2,3
row 3 FullyConnected $long '\(2,2\)' float32 '0 1 2  num_hidden=2'
# Each column of each row begins where its title does.
awk '
    /^ node / {
        split("operator name shape dtype", titles, " ")
        for (i in titles) at[i] = index($0, titles[i])
        n = 1
        next
    }
    n && NF == 0 { exit }
    n {
        rows++
        for (i in at)
            if (substr($0, at[i] - 1, 1) != " " || substr($0, at[i], 1) == " ") print $0
    }
    END { if (rows != 10) print rows " rows" }' out >problems
[ ! -s problems ] || fail "columns: $(cat problems)"
tenon 0 show long.json && awk 'length($0) > 101' out | grep '^arguments' && fail "names do not wrap"

echo "== several outputs, auxiliary states"
network 3 "$(variables x)$(node SliceChannel cut '[[0, 0, 0]]' '"num_outputs": "2"'), $(
    node Activation second '[[1, 1, 0]]' '"act_type": "tanh"'), $(
    node elemwise_add both '[[1, 0, 0], [2, 0, 0]]')" >cut.json
tenon 0 show cut.json --shape x=2,6
row 1 SliceChannel cut '\(2,3\) \(2,3\)' float32 '0  num_outputs=2'
row 2 Activation second '\(2,3\)' float32 '1:1  act_type=tanh'
network 3 "$(variables w g m)$(node sgd_mom_update new '[[0, 0, 0], [1, 0, 0], [2, 0, 0]]' \
    '"lr": "0.1"')" >update.json
tenon 0 show update.json --shape w=4 && out '^auxiliary states: m$' && out '^arguments: w g$'
network 2 "$(variables x)$(node Cast wide '[[0, 0, 0]]' '"dtype": "float64"'), $(
    node Activation y '[[1, 0, 0]]' '"act_type": "relu"')" >cast.json
tenon 0 show cast.json --shape x=2 && row 0 variable x '\(2\)' float32 && out 'y +\(2\) +float64'

echo "== drawing"
tenon 0 show mlp.json --shape data=2,3 --dot net.dot && err '^wrote net.dot; draw it with: dot '
grep -q '^digraph ' net.dot || fail "--dot: no digraph"
[ "$(grep -c -- '->' net.dot)" = 9 ] || fail "--dot: $(grep -c -- '->' net.dot) edges, wanted 9"
[ "$(grep -c 'shape=' net.dot)" = 10 ] || fail "--dot: $(grep -c 'shape=' net.dot) nodes"
grep -q 'label="fc1\\nFullyConnected\\n(2,2)"' net.dot || fail "--dot: no label: $(cat net.dot)"
sed 's/fc1/a \\"quoted\\" name/g' mlp.json >quoted.json
tenon 0 show quoted.json --dot quoted.dot
if command -v dot >/dev/null; then
    for file in net quoted; do
        dot -Tsvg $file.dot >$file.svg 2>dot_error || fail "dot: $(cat dot_error)"
    done
    grep -q 'a &quot;quoted&quot; name' quoted.svg || fail "dot: no quoted name"
else
    skip "no Graphviz to draw with"
fi
tenon 1 show mlp.json --dot absent/net.dot && err '^tenon show: absent/net.dot: No such file'

echo "== large"
# A table of which a row would search all rows would take minutes here.
nodes=100000
sanitized && nodes=20000
awk -v n=$nodes 'BEGIN {
    printf "{\"nodes\": [{\"op\": \"null\", \"name\": \"x\", \"inputs\": []}"
    for (i = 1; i < n; i++)
        printf ",{\"op\":\"_copy\",\"name\":\"n%d\",\"inputs\":[[%d,0,0]]}", i, i - 1
    printf "], \"arg_nodes\": [0], \"heads\": [[%d, 0, 0]]}", n - 1
}' >large.json
seconds=$(date +%s)
tenon 0 show large.json && row $((nodes - 1)) _copy n$((nodes - 1)) '\?' float32 $((nodes - 2))
seconds=$(($(date +%s) - seconds))
echo "   $nodes nodes in $seconds s"
[ $seconds -le 60 ] || fail "show: $nodes nodes took $seconds s"

echo "== real networks"
if [ -d "$data/symbols" ]; then
    for file in "$data"/symbols/*.json "$data"/*/*-symbol.json; do
        tenon 0 show "$file" && quiet && no_places && out '^ *0  variable +data '
    done
    # The table comes before the placement, which may lack kernels.
    code=0
    has_kernels Convolution BatchNorm Pooling || code=1
    tenon $code show "$data/symbols/inception_v3-symbol.json" --shape data=1,3,299,299 --dot i.dot
    row '[0-9]+' Pooling pool_8x8_s1 '\(1,2048,1,1\)' float32 '.*'
    [ "$(grep -c 'shape=' i.dot)" -gt 500 ] || fail "inception_v3: few nodes in the drawing"
else
    skip "no TENON_DATA_DIR with symbols/"
fi

finish
