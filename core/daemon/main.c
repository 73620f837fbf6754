/* polderd: one program, several roles. The table below is the command line. */
#include <stdio.h>
#include <string.h>

#include <polder/version.h>

#include "options.h"
#include "roles.h"
#include "which_model.h"
#include "base/banned.h"

static const struct role {
    const char *name, *help;
    int (*run)(const struct options *options, int n, char *const *args);
    bool has_demo; /* without --model it serves the demo model */
} ROLES[] = {
    {"serve", "a worker that is restarted when it dies; the usual way", role_serve, true},
    {"worker", "one model behind the OpenAI API, without a supervisor", role_worker, false},
};

static void print_usage(void)
{
    printf("polderd " PL_VERSION " - serves a model by the OpenAI API\n\n"
           "usage: polderd ROLE [options]\n\nroles:\n");
    for (size_t i = 0; i < PL_ARRAY_LEN(ROLES); i++)
        printf("  %-8s %s\n", ROLES[i].name, ROLES[i].help);
    printf("  %-8s %s\n", "model", "pull, list, path, remove: models to serve by name");
    printf("\npolderd ROLE --help lists the options; polderd --version\n");
}

/* options->model is then a file's path. */
static enum pl_status find_model(const struct role *role, const struct options *options,
                                 char ret[PATH_MAX], struct pl_error *err)
{
    if (options->model != NULL)
        return which_model(options->model, ret, err);
    if (!role->has_demo)
        return pl_error_set(err, PL_EINVAL, "--model FILE is required (see polderd %s --help)",
                            role->name);
    enum pl_status status = which_demo(ret, err);
    if (status == PL_OK)
        log_info("no --model: serving the demo model %s (polderd model pull gets others)", ret);
    return status;
}

static int run_role(const struct role *role, int n, char *const *args)
{
    struct options options;
    struct pl_error err = {0};
    log_init("polderd", PL_LOG_INFO);
    if (options_parse(n, args, &options, &err) != PL_OK) {
        log_error("%s (see polderd %s --help)", err.msg, role->name);
        return ROLE_USAGE;
    }
    if (options.help) {
        printf("polderd %s: %s\n\noptions (defaults in parentheses):\n", role->name, role->help);
        options_print_help();
        return ROLE_OK;
    }
    log_init(strcmp(role->name, "serve") == 0 ? "polderd" : role->name, options.level);
    char model[PATH_MAX];
    if (find_model(role, &options, model, &err) != PL_OK) {
        log_error("%s", err.msg);
        return options.model == NULL ? ROLE_USAGE : ROLE_FAILED;
    }
    options.model = model;
    return role->run(&options, n, args);
}

int main(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < PL_ARRAY_LEN(ROLES); i++) {
        if (strcmp(first, ROLES[i].name) == 0)
            return run_role(&ROLES[i], argc - 2, argv + 2);
    }
    if (strcmp(first, "model") == 0)
        return role_model(argc - 2, argv + 2);
    if (strcmp(first, "--version") == 0) {
        printf("polderd " PL_VERSION "\n");
        return ROLE_OK;
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_usage();
        return ROLE_OK;
    }
    log_init("polderd", PL_LOG_INFO);
    log_error("%s%s%s; roles are serve, worker and model (see polderd --help)",
              argc > 1 ? "unknown role '" : "a role is needed", first, argc > 1 ? "'" : "");
    return ROLE_USAGE;
}
