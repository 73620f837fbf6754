/*
 * daemon/model_options.h - the command line of polderd model: one table that is both parser and help.
 *
 * Ownership: strings point into argv.  Threads: immutable after parsing.
 * Errors: PL_EINVAL with one line that names the option.  Source: ours.
 */
#ifndef DAEMON_MODEL_OPTIONS_H
#define DAEMON_MODEL_OPTIONS_H

#include <polder/status.h>

#include "fetch/fetch.h"

/* kind, member, name, argument, verbs that take it, help. COUNT: also a maximum. */
#define MODEL_OPTIONS_LIST(TEXT, COUNT, FLAG)                                                      \
    TEXT(dir, "dir", "DIR", "pull list path remove",                                               \
         "folder of models ($POLDER_MODEL_DIR, ~/.local/share/polder/models)")                     \
    TEXT(name, "name", "NAME", "pull", "keep the model under this name (the file's)")              \
    TEXT(sha256, "sha256", "HEX", "pull", "the file's digest; hf: files bring theirs along")       \
    TEXT(token_file, "token-file", "FILE", "pull",                                                 \
         "file with an access token ($HF_TOKEN for hf:)")                                          \
    TEXT(proxy, "proxy", "URL", "pull", "proxy ($https_proxy, less what $no_proxy names)")         \
    TEXT(ca_file, "ca-file", "FILE", "pull", "certificates to trust (the system's)")               \
    COUNT(retries, "retries", 1000, "pull", "tries in a row that may gain nothing (8)")            \
    COUNT(retry_ms, "retry-delay", 60000, "pull", "milliseconds before the second try (1000)")     \
    COUNT(stall_s, "stall-timeout", 86400, "pull", "seconds without data that end a try (30)")     \
    FLAG(force, "force", "pull", "replace a model of that name")                                   \
    FLAG(offline, "offline", "pull", "do not touch the network")                                   \
    FLAG(insecure, "insecure", "pull", "allow plain http beyond this machine")                     \
    FLAG(json, "json", "list", "a JSON array")

struct model_options {
#define TEXT(member, name, arg, verbs, help)  const char *member;
#define COUNT(member, name, max, verbs, help) uint32_t member;
#define FLAG(member, name, verbs, help)       bool member;
    MODEL_OPTIONS_LIST(TEXT, COUNT, FLAG)
#undef TEXT
#undef COUNT
#undef FLAG
    const char *verb;   /* NULL only with help */
    const char *object; /* the source or the name; NULL for list */
    bool help;
};

/* args: what follows "model", n of them. */
PL_NODISCARD enum pl_status model_options_parse(int n, char *const *args, struct model_options *ret,
                                                struct pl_error *err);

/* Verbs and options on stdout. */
void model_options_print_help(void);

#endif
