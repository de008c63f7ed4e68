// tools/cmd_train.c: `tenon train`: a network learns real pictures, is saved, loaded and asked.
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/train.h"

enum { KEY_COMPUTE = 1000 };

// The next number of a list like "128,64", and what stands behind it; 0: there is none.
static long next_width(const char **at)
{
    char *end;
    errno = 0;
    const long units = strtol(*at, &end, 10);
    const bool ok = end != *at && units > 0 && errno == 0 && (!*end || *end == ',');
    *at = *end ? end + 1 : end;
    return ok ? units : 0;
}

static void check_hidden(const char *list, struct argp_state *state)
{
    for (const char *at = list; *at;)
        if (!next_width(&at))
            argp_error(state, "--hidden: wanted a list like 128,64, got \"%s\"", list);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    train_options *o = state->input;
    switch (key) {
    case 'd': o->data = arg; break;
    case 'n': o->network = arg; break;
    case 'b': o->backends = arg; break;
    case KEY_COMPUTE: o->compute = tool_compute(arg, state); break;
    case 'o': o->save = arg; break;
    case 'H':
        check_hidden(arg, state);
        o->hidden = arg;
        break;
    case 'L': o->losses = arg; break;
    case 'e': o->epochs = tool_long(arg, "--epochs", 1, state); break;
    case 'B': o->batch = tool_long(arg, "--batch", 1, state); break;
    case 'p': o->show = tool_long(arg, "--show", 0, state); break;
    case 'l': o->lr = tool_double(arg, "--lr", state); break;
    case 'm':
        o->momentum = tool_double(arg, "--momentum", state);
        if (o->momentum < 0 || o->momentum >= 1)
            argp_error(state, "--momentum: wanted a number in [0,1), got \"%s\"", arg);
        break;
    case 'w': o->wd = tool_double(arg, "--wd", state); break;
    case 's': o->seed = (uint64_t)tool_long(arg, "--seed", 0, state); break;
    case ARGP_KEY_ARG: argp_error(state, "unexpected argument \"%s\"", arg); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp_option argp_options[] = {
    {.name = "data",
     .key = 'd',
     .arg = "PATH",
     .doc = "directory with MNIST's idx files, plain or gzip, or a .csv(.gz) whose last column is "
            "the class (default: the handwritten digits that come with Tenon)"},
    {.name = "network",
     .key = 'n',
     .arg = "FILE",
     .doc = "NET-symbol.json to train (default: the tutorial's perceptron)"},
    {.name = "hidden",
     .key = 'H',
     .arg = "LIST",
     .doc = "hidden layers of the default network (default: 128)"},
    {.name = "backend", .key = 'b', .arg = "LIST", .doc = "backends in order of preference"},
    TOOL_COMPUTE_OPTION(KEY_COMPUTE),
    {.name = "epochs", .key = 'e', .arg = "N", .doc = "passes over the data (default 20)"},
    {.name = "batch", .key = 'B', .arg = "N", .doc = "pictures a step (default 64)"},
    {.name = "lr", .key = 'l', .arg = "X", .doc = "learning rate (default 0.1)"},
    {.name = "momentum", .key = 'm', .arg = "X", .doc = "in [0,1) (default 0.9)"},
    {.name = "wd", .key = 'w', .arg = "X", .doc = "weight decay (default 0)"},
    {.name = "seed", .key = 's', .arg = "N", .doc = "of parameters and order (default 1)"},
    {.name = "save",
     .key = 'o',
     .arg = "PREFIX",
     .doc = "writes PREFIX-symbol.json and PREFIX-NNNN.params (default: ./tenon-model)"},
    {.name = "show", .key = 'p', .arg = "N", .doc = "predictions to show at the end (default 3)"},
    {.name = "losses", .key = 'L', .arg = "FILE", .doc = "write the loss of every step"},
    {0},
};
static const struct argp argp = {
    .options = argp_options,
    .parser = parse,
    .doc = "Trains a classifier of pictures with momentum SGD, shows how it learns, saves it, "
           "loads it back and shows what it says about pictures it has not seen.",
};

// The tutorial's perceptron: data, fc1, relu1, …, out; one FullyConnected more than hidden layers.
static tn_symbol perceptron(tn_graph *g, const char *hidden, int64_t classes)
{
    tn_symbol net = tn_variable(g, "data");
    int layer = 1;
    for (const char *at = hidden; *at; layer++) {
        char fc[32], relu[32];
        const long units = next_width(&at);
        snprintf(fc, sizeof fc, "fc%d", layer);
        snprintf(relu, sizeof relu, "relu%d", layer);
        net = tn_fully_connected(g, .data = net, .num_hidden = units, .name = fc);
        net = tn_activation(g, .data = net, .act_type = TN_RELU, .name = relu);
    }
    char fc[32];
    snprintf(fc, sizeof fc, "fc%d", layer);
    net = tn_fully_connected(g, .data = net, .num_hidden = classes, .name = fc);
    return tn_softmax_output(g, .data = net, .name = "out");
}

static int trainer_make(trainer *t, const train_options *o, const dataset *data)
{
    t->o = o;
    t->batch = o->batch;
    t->g = tn_graph_new(t->env);
    if (!t->g) return tool_fail("train", "out of memory");
    t->net =
        o->network ? tn_symbol_load(t->g, o->network) : perceptron(t->g, o->hidden, data->classes);
    if (tn_graph_status(t->g) != TN_OK) return tool_graph_fail("train", t->g, o->network, NULL);
    return trainer_bind(t, data);
}

// ------------------------------------------------------------------ saving and asking

static int save_model(trainer *t, const train_options *o, char *symbol, char *params, size_t size)
{
    const tn_names args = tn_exec_arguments(t->exec), auxs = tn_exec_auxiliary_states(t->exec);
    tn_named_tensor *list = calloc(args.n + auxs.n + 1, sizeof *list);
    char *texts = calloc(args.n + auxs.n + 1, 512);
    size_t n = 0;
    snprintf(symbol, size, "%s-symbol.json", o->save);
    snprintf(params, size, "%s-%04ld.params", o->save, o->epochs);
    for (size_t i = 0; list && texts && i < args.n + auxs.n; i++) {
        const bool aux = i >= args.n;
        const char *name = aux ? auxs.v[i - args.n] : args.v[i];
        if (strcmp(name, t->data) == 0 || strcmp(name, t->label) == 0) continue;
        snprintf(texts + 512 * n, 512, "%s:%s", aux ? "aux" : "arg", name);
        list[n].tensor = aux ? tn_exec_aux(t->exec, name) : tn_exec_arg(t->exec, name);
        list[n].name = texts + 512 * n;
        n++;
    }
    int code = list && texts ? EXIT_OK : tool_fail("train", "out of memory");
    if (code == EXIT_OK && tn_symbol_save(t->g, t->net, symbol) != TN_OK)
        code = tool_graph_fail("train", t->g, NULL, NULL);
    if (code == EXIT_OK && tn_params_save(t->env, params, (tn_tensors){n, list}) != TN_OK)
        code = tool_env_fail("train", t->env);
    free(list);
    free(texts);
    return code;
}

// Told before hours of learning, not after: the folder that files will be written into.
static bool can_save(const char *prefix)
{
    char *path = strdup(prefix);
    const bool ok = path && access(dirname(path), W_OK | X_OK) == 0;
    free(path);
    return ok;
}

static void draw(const dataset *d, int64_t i)
{
    static const char *const shades[] = {"  ", "░░", "▒▒", "▓▓", "██"};
    const float *x = d->x + i * d->height * d->width;
    for (int64_t r = 0; r < d->height; r++) {
        fputs("    ", stdout);
        for (int64_t c = 0; c < d->width; c++) {
            const float v = x[r * d->width + c];
            fputs(shades[v < 0.1f ? 0 : v < 0.35f ? 1 : v < 0.6f ? 2 : v < 0.85f ? 3 : 4], stdout);
        }
        putchar('\n');
    }
}

// Loads what was saved into a new env and graph, and asks it about held-out pictures.
static int ask(const train_options *o, const datasets *data, const char *symbol, const char *params)
{
    train_options again = *o;
    trainer t = {.env = tool_env(0)};
    tn_tensor_list stored = {0};
    score s;
    again.network = symbol;
    printf("\nloaded back from %s and %s\n", symbol, params);
    int code = trainer_make(&t, &again, &data->test);
    if (code == EXIT_OK && tn_params_load(t.env, params, &stored) != TN_OK)
        code = tool_env_fail("train", t.env);
    if (code == EXIT_OK &&
        tn_exec_set_all(t.exec, (tn_tensors){stored.n, stored.v}, false) != TN_OK)
        code = tool_fail("train", "%s", tn_exec_error(t.exec));
    if (code == EXIT_OK) code = trainer_score(&t, &data->test, &s);
    if (code == EXIT_OK)
        printf("held-out: loss %.4f, accuracy %.4f on %lld pictures\n", s.loss, s.accuracy,
               (long long)data->test.n);
    float *p = calloc((size_t)t.classes + 1, sizeof *p);
    for (long k = 0; code == EXIT_OK && p && k < o->show && k < data->test.n; k++) {
        const int64_t i = k * (data->test.n / (o->show ? o->show : 1));
        int64_t best = 0;
        code = trainer_predict(&t, &data->test, i, p);
        for (int64_t c = 1; c < t.classes; c++)
            if (p[c] > p[best]) best = c;
        draw(&data->test, i);
        printf("    says %lld (%.1f %%), is %g\n\n", (long long)best, 100.0 * (double)p[best],
               (double)data->test.y[i]);
    }
    free(p);
    tn_tensors_free(&stored);
    trainer_free(&t);
    return code;
}

// ------------------------------------------------------------------ the command

static int learn(trainer *t, const train_options *o, const datasets *data, FILE *log)
{
    const double start = trainer_now();
    for (long epoch = 0; epoch < o->epochs; epoch++) {
        score train, test;
        if (trainer_epoch(t, &data->train, epoch, log, &train) != EXIT_OK ||
            trainer_score(t, &data->test, &test) != EXIT_OK)
            return EXIT_FAILED;
        // On a terminal the line replaces the progress bar.
        printf("%sepoch %*ld/%ld  loss %.4f accuracy %.4f  held-out loss %.4f accuracy %.4f\n",
               o->columns ? "\r\033[K" : "", trainer_digits(o->epochs), epoch + 1, o->epochs,
               train.loss, train.accuracy, test.loss, test.accuracy);
        fflush(stdout);
    }
    printf("learned in %.1f s\n", trainer_now() - start);
    return EXIT_OK;
}

static int train(const train_options *o)
{
    char symbol[4096], params[4096];
    datasets data;
    if (!can_save(o->save)) return tool_fail("train", "--save %s: %s", o->save, strerror(errno));
    trainer t = {.env = tool_env(0)};
    FILE *log = o->losses ? fopen(o->losses, "w") : NULL;
    int code = o->losses && !log ? tool_fail("train", "%s: %s", o->losses, strerror(errno))
                                 : datasets_load(t.env, o->data, &data);
    if (code == EXIT_OK) {
        printf("data: %s\n  %lld to learn, %lld held out, %lldx%lld, %lld classes\n", data.name,
               (long long)data.train.n, (long long)data.test.n, (long long)data.train.height,
               (long long)data.train.width, (long long)data.train.classes);
        code = o->batch > data.train.n
                   ? tool_fail("train", "--batch %ld: wanted at most %lld, all pictures to learn",
                               o->batch, (long long)data.train.n)
                   : trainer_make(&t, o, &data.train);
        if (code == EXIT_OK) {
            tool_print_names("arguments:", tn_arguments(t.g, t.net));
            printf("placement: %s\n", tn_exec_report_text(t.exec));
            code = learn(&t, o, &data, log);
        }
        if (code == EXIT_OK) code = save_model(&t, o, symbol, params, sizeof symbol);
        if (code == EXIT_OK) printf("saved %s and %s\n", symbol, params);
        if (code == EXIT_OK) code = ask(o, &data, symbol, params);
        datasets_free(&data);
    }
    if (log && fclose(log) != 0 && code == EXIT_OK)
        code = tool_fail("train", "%s: %s", o->losses, strerror(errno));
    trainer_free(&t);
    return code;
}

int cmd_train(int argc, char **argv)
{
    train_options o = {.hidden = "128",
                       .save = "./tenon-model",
                       .epochs = 20,
                       .batch = 64,
                       .lr = 0.1,
                       .momentum = 0.9,
                       .seed = 1,
                       .show = 3};
    tool_parse(&argp, argc, argv, &o);
    o.columns = tool_columns(stdout);
    return train(&o);
}
