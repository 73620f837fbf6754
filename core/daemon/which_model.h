/*
 * daemon/which_model.h - from what --model says to the file to serve.
 *
 *   a path (with a '/'), or a file of that name here     that file
 *   else                                                 the pulled model of that name
 *   nothing (serve only)                                 the demo model
 *
 * The demo model is looked for at $POLDER_DEMO_MODEL, then at share/polder beside the program's own folder
 * (an installation, or a build tree), then in the data folder that was set when Polder was built.
 *
 * Threads: at start.  Errors: PL_ENOENT, saying what to do.  Source: ours.
 */
#ifndef DAEMON_WHICH_MODEL_H
#define DAEMON_WHICH_MODEL_H

#include <limits.h>

#include <polder/status.h>

#define WHICH_DEMO_FILE "polder-demo.gguf"

PL_NODISCARD enum pl_status which_model(const char *said, char ret[PATH_MAX], struct pl_error *err);
PL_NODISCARD enum pl_status which_demo(char ret[PATH_MAX], struct pl_error *err);

#endif
