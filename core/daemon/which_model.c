/* See which_model.h. */
#include "which_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch/store.h"
#include "base/banned.h"

#ifndef PL_DATA_DIR
#define PL_DATA_DIR "/usr/share/polder"
#endif

enum pl_status which_model(const char *said, char ret[PATH_MAX], struct pl_error *err)
{
    struct pl_error why;
    size_t n = strlen(said);
    if (n >= PATH_MAX)
        return pl_error_set(err, PL_EINVAL, "--model: the path is too long");
    struct stat st;
    if (strchr(said, '/') != NULL || (stat(said, &st) == 0 && S_ISREG(st.st_mode))) {
        memcpy(ret, said, n + 1);
        return PL_OK;
    }
    if (store_find(NULL, said, ret, &why) == PL_OK)
        return PL_OK;
    return pl_error_set(err, PL_ENOENT,
                        "--model %s: no such file, and no pulled model of that name (polderd model "
                        "list shows them, polderd model pull gets one)",
                        said);
}

/* share/polder beside the folder of this program. */
static bool beside_program(char ret[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = '\0';
    for (int i = 0; i < 2; i++) { /* the program's name, and its folder's */
        char *slash = strrchr(self, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
    }
    int length = snprintf(ret, PATH_MAX, "%s/share/polder/" WHICH_DEMO_FILE, self);
    return length > 0 && length < PATH_MAX && access(ret, R_OK) == 0;
}

enum pl_status which_demo(char ret[PATH_MAX], struct pl_error *err)
{
    const char *named = getenv("POLDER_DEMO_MODEL"); /* NOLINT(concurrency-mt-unsafe): at start */
    if (named != NULL && named[0] != '\0') {
        int n = snprintf(ret, PATH_MAX, "%s", named);
        if (n < PATH_MAX && access(ret, R_OK) == 0)
            return PL_OK;
        return pl_error_set(err, PL_ENOENT, "POLDER_DEMO_MODEL: cannot read %s", named);
    }
    if (beside_program(ret))
        return PL_OK;
    (void)snprintf(ret, PATH_MAX, "%s", PL_DATA_DIR "/" WHICH_DEMO_FILE);
    if (access(ret, R_OK) == 0)
        return PL_OK;
    return pl_error_set(err, PL_ENOENT,
                        "--model FILE or NAME is required: the demo model is not installed");
}
