// tests/passes/test_op_shapes_rnn.c: shape and dtype rules of RNN and of the CTC loss, both
// directions. Values were worked out by hand.
#include "op_cases.h"

#define LSTM "mode=lstm; state_size=50; num_layers=3"
#define GRU "mode=gru; state_size=2; num_layers=2; bidirectional=1"

// 61200 = 4 · 50 (50 + 50 + 2) · 3;  180 = 2 · 3 · 2 (2 + 3 + 2) + 2 · 3 · 2 (2 + 4 + 2)
static void recurrent_layers(void)
{
    OP_SHAPES({"RNN", LSTM, "(7,5,50) ? ? ? ->",
               "(7,5,50) (61200) (3,5,50) (3,5,50) -> (7,5,50) (3,5,50) (3,5,50) (0)"},
              {"RNN", LSTM "; p=0.5", "(7,5,50) ? ? ? ->",
               "(7,5,50) (61200) (3,5,50) (3,5,50) -> (7,5,50) (3,5,50) (3,5,50) (2,7,5,50)"},
              {"RNN", LSTM, "? (61200) ? (3,5,50) -> (7,?,?)",
               "(7,5,50) (61200) (3,5,50) (3,5,50) -> (7,5,50) (3,5,50) (3,5,50) (0)"},
              {"RNN", GRU, "(?,?,3) ? ? -> (4,?,?) (?,6,?)",
               "(4,6,3) (180) (4,6,2) -> (4,6,4) (4,6,2) (0)"},
              {"RNN", GRU, "? (180) ? ->", "(?,?,3) (180) (4,?,2) -> (?,?,4) (4,?,2) (0)"},
              {"RNN", GRU, "? ? ? ->", "(?,?,?) (?) (4,?,2) -> (?,?,4) (4,?,2) (0)"},
              {"RNN", GRU, "(0,0,3) ? ? ->", "(0,0,3) (180) (4,0,2) -> (0,0,4) (4,0,2) (0)"},
              {"RNN", "mode=rnn_tanh; state_size=2; num_layers=1; p=0.5", "(4,6,3) ? ? ->",
               "(4,6,3) (14) (1,6,2) -> (4,6,2) (1,6,2) (0)"});
    OP_SHAPES({"RNN", GRU, "(4,6,3) (181) ? ->", "!parameters"},
              {"RNN", GRU, "? (181) ? ->",
               "!181 elements fit no number of features of data: wanted 144, and 12 for each"},
              {"RNN", GRU, "(4,6,0) ? ? ->", "!data: wanted at least 1 feature, got 0"},
              {"RNN", GRU, "(4,3) ? ? ->", "!data"}, {"RNN", GRU, "(4,6,3) ? (2,6,2) ->", "!state"},
              {"RNN", GRU, "(4,6,3) ? ? -> (4,6,2)", "!output"},
              {"RNN", GRU "; p=1.5", "? ? ? ->", "!p"},
              {"RNN", "mode=gru; state_size=2; num_layers=0", "? ? ? ->", "!num_layers"},
              {"RNN", "mode=gru; state_size=4294967295; num_layers=30000", "(1,1,1) ? ? ->",
               "!parameters: there would be too many"},
              {"RNN", "state_size=2; num_layers=1", "? ? ? ->", "!mode"});
    OP_DTYPES({"RNN", GRU, "float16 ? ? ->", "float16 float16 float16 -> float16 float16 float16"});
}

static void their_gradients(void)
{
    OP_SHAPES({"_backward_RNN", GRU, "? (180) ? (4,?,?) (?,6,?) ->",
               "(4,6,3) (180) (4,6,2) (4,6,4) (4,6,2) -> (4,6,3) (180) (4,6,2)"},
              {"_backward_RNN", GRU "; dropout=1", "(4,6,3) ? ? ? ? ? ->",
               "(4,6,3) (180) (4,6,2) (4,6,4) (4,6,2) (1,4,6,4) -> (4,6,3) (180) (4,6,2)"},
              {"_backward_RNN", "mode=lstm; state_size=2; num_layers=1",
               "(4,?,3) ? ? ? ? ? (1,6,2) ->",
               "(4,6,3) (56) (1,6,2) (4,6,2) (1,6,2) (1,6,2) (1,6,2) -> "
               "(4,6,3) (56) (1,6,2) (1,6,2)"});
}

#define LENGTHS "use_data_lengths=1; use_label_lengths=1"

static void ctc_loss(void)
{
    OP_SHAPES(
        {"_contrib_CTCLoss", NULL, "(5,2,4) (?,3) ->", "(5,2,4) (2,3) -> (2) (5,2,4)"},
        {"_contrib_CTCLoss", NULL, "(5,?,4) ? -> (2)", "(5,2,4) (2,?) -> (2) (5,2,4)"},
        {"_contrib_CTCLoss", NULL, "? ? -> ? (5,2,4)", "(5,2,4) (2,?) -> (2) (5,2,4)"},
        {"_contrib_CTCLoss", LENGTHS, "(5,?,4) ? ? (2) ->", "(5,2,4) (2,?) (2) (2) -> (2) (5,2,4)"},
        {"_contrib_CTCLoss", LENGTHS, "(5,?,4) (2,1) (3) ? ->", "!label"},
        {"_contrib_CTCLoss", NULL, "(0,0,1) ? ->", "(0,0,1) (0,?) -> (0) (0,0,1)"},
        {"_contrib_CTCLoss", NULL, "(5,2,0) ? ->", "!data: wanted at least 1 class"},
        {"_contrib_CTCLoss", NULL, "(5,2,4) (3,3) ->", "!label"},
        {"_contrib_CTCLoss", NULL, "(5,2) ? ->", "!data"});
    OP_DTYPES({"_contrib_CTCLoss", LENGTHS, "float16 int32 ? int64 ->",
               "float16 int32 float16 int64 -> float16 float16"},
              {"_contrib_CTCLoss", NULL, "? ? -> float64", "float64 float64 -> float64 float64"});
}

TN_TEST_MAIN({"recurrent layers", recurrent_layers}, {"their gradients", their_gradients},
             {"CTC loss", ctc_loss})
