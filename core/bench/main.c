/*
 * polder-bench: measures and proves backends, models and servers. A table of commands, one file each.
 */
#include "bench.h"

#include <polder/version.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/banned.h"

static const struct bench_command commands[] = {
#define X(name, summary) {#name, summary, cmd_##name},
    BENCH_COMMAND_LIST(X)
#undef X
};

int bench_fail(const char *command, const char *fmt, ...)
{
    char line[PL_ERROR_MAX + 64];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    fprintf(stderr, "polder-bench %s: %s\n", command, line);
    return BENCH_FAILED;
}

int bench_finish(const char *command, int code)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return bench_fail(command, "standard output: %s",
                          strerror(errno)); /* NOLINT(concurrency-mt-unsafe): one thread by now */
    return code;
}

int bench_lacks(const char *command, const char *library)
{
    return bench_fail(command, "this build of polder-bench was made without %s", library);
}

static void print_help(FILE *to)
{
    fputs("Usage: polder-bench COMMAND [OPTION...]\n\n", to);
    for (size_t i = 0; i < PL_ARRAY_LEN(commands); i++)
        fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fputs("\npolder-bench COMMAND --help tells its options. Data goes to stdout, talk to stderr.\n"
          "Exit code: 0 done, 1 failed, 2 wrong usage.\n",
          to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return BENCH_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return bench_finish("help", BENCH_OK);
    }
    if (strcmp(name, "--version") == 0) {
        printf("polder-bench %s, plugin ABI %d.%d\n", PL_VERSION, PL_ABI_MAJOR, PL_ABI_MINOR);
        return bench_finish("version", BENCH_OK);
    }
    for (size_t i = 0; i < PL_ARRAY_LEN(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return bench_finish(name, commands[i].run(argc - 1, argv + 1));
    fprintf(stderr, "polder-bench: unknown command '%s' (see polder-bench --help)\n", name);
    return BENCH_USAGE;
}
