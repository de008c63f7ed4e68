// tools/train.h: the parts of `tenon train`.
#ifndef TENON_TOOLS_TRAIN_H
#define TENON_TOOLS_TRAIN_H

#include "tools/tool.h"

// ------------------------------------------------------------------ data (train_data.c)

// Labelled pictures: x is (n, height, width) float32 from 0 to 1, y is n classes.
typedef struct dataset {
    float *x;
    float *y;
    int64_t n, height, width, classes;
} dataset;

typedef struct datasets {
    const char *name;
    dataset train, test;
} datasets;

// DIR with MNIST's four idx files, plain or gzip; FILE.csv or .csv.gz whose last column is the
// class and whose other columns are a square picture (every fifth row is held out); NULL: the
// handwritten digits that come with Tenon. EXIT_OK, or EXIT_FAILED after a message.
int datasets_load(tn_env *env, const char *path, datasets *out);
void datasets_free(datasets *d);

// ------------------------------------------------------------------ the loop (train_loop.c)

typedef struct train_options {
    const char *data, *network, *backends, *save, *hidden, *losses;
    long epochs, batch, show;
    double lr, momentum, wd;
    tn_dtype compute;
    uint64_t seed;
    int columns; // of the terminal; 0: none, so no progress bar
} train_options;

// What is being trained.
typedef struct trainer {
    const train_options *o;
    tn_env *env;
    tn_graph *g;
    tn_symbol net;
    tn_exec *exec;            // the network, bound with gradients
    tn_exec *update;          // w := sgd_mom_update(w, grad) for every parameter
    const char *data, *label; // names of the two inputs
    tn_tensor *x, *y;         // their tensors
    int64_t batch, classes;
    tn_shape shape; // of the pictures' tensor
    double drawn;   // when the progress bar was last drawn
} trainer;

typedef struct score {
    double loss, accuracy; // mean negative log likelihood, share of right answers
} score;

// Binds t->net for batches of t->batch pictures, which it may take as (batch, 1, height, width) or
// as (batch, height * width); draws the parameters and binds the update.
int trainer_bind(trainer *t, const dataset *data);
void trainer_free(trainer *t);

// Decimal places of n, for columns.
int trainer_digits(long n);

// Seconds of a clock that only goes forward.
double trainer_now(void);

// One pass over the data in a random order that depends on the seed and the epoch only. Losses of
// the steps are written to `log`, one a line, if it is not NULL.
int trainer_epoch(trainer *t, const dataset *data, long epoch, FILE *log, score *out);

// Loss and accuracy on data, without learning.
int trainer_score(trainer *t, const dataset *data, score *out);

// Probabilities of `classes` classes for picture i of data into p.
int trainer_predict(trainer *t, const dataset *data, int64_t i, float *p);

#endif
