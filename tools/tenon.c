// tools/tenon.c: the `tenon` command: picks the subcommand.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/tool.h"

static const struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {.name = "backends",
     .summary = "list what was found, and what was refused and why",
     .run = cmd_backends},
    {.name = "ops", .summary = "list the operators, or explain one", .run = cmd_ops},
    {.name = "show",
     .summary = "show a network: names, shapes, memory plan, placement",
     .run = cmd_show},
    {.name = "run", .summary = "run a network on .npy files", .run = cmd_run},
    {.name = "train", .summary = "train a network on real data", .run = cmd_train},
    {.name = "bench", .summary = "measure", .run = cmd_bench},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static int help(FILE *to, int code)
{
    fprintf(to, "Usage: tenon COMMAND [OPTION...]\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(to, "\n`tenon COMMAND --help` explains one. Exit codes: 0, 1 failure, 2 usage.\n\n"
                "TENON_PLUGIN_PATH  files and directories searched first for plugins, with colons\n"
                "TENON_BACKENDS     backends in order of preference where --backend is not given\n"
                "TENON_NUM_THREADS  threads of the kernels; as many as processors if not given\n"
                "TENON_NAN          stop: a run ends at the first number that is not finite\n");
    return code;
}

// Output that a full disk swallowed must not look like success.
static bool flushed(void)
{
    const bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed) return true;
    fprintf(stderr, "tenon: writing the output failed: %s\n", strerror(errno));
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) return help(stderr, EXIT_USAGE);
    if (strcmp(argv[1], "help") == 0 && argc == 3) { // tenon help run: tenon run --help
        argv[1] = argv[2];
        argv[2] = "--help";
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(stdout, EXIT_OK);
    if (strcmp(argv[1], "--version") == 0) {
        puts("tenon " TN_VERSION_TEXT);
        return EXIT_OK;
    }
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0) continue;
        char name[64];
        snprintf(name, sizeof name, "tenon %s", argv[1]);
        argv[1] = name;
        if (argc == 3 && strcmp(argv[2], "-h") == 0) argv[2] = "--help";
        const int code = commands[i].run(argc - 1, argv + 1);
        return flushed() ? code : EXIT_FAILED;
    }
    fprintf(stderr, "tenon: no command \"%s\"\n", argv[1]);
    return help(stderr, EXIT_USAGE);
}
