/* See transfer.h: a build without libcurl's headers. */
#include "transfer.h"

#include "base/banned.h"

struct transfer {
    int unused;
};

enum pl_status transfer_open(const struct transfer_options *options, struct transfer **ret,
                             struct pl_error *err)
{
    (void)options;
    (void)ret;
    return pl_error_set(err, PL_ENOTSUP,
                        "this polderd was built without libcurl: it cannot download (build it with "
                        "libcurl's development package, or fetch the file by other means)");
}

void transfer_close(struct transfer *t)
{
    (void)t;
}

enum pl_status transfer_run(struct transfer *t, const struct transfer_request *request,
                            struct transfer_result *ret, struct pl_error *err)
{
    (void)t;
    (void)request;
    (void)ret;
    return pl_error_set(err, PL_ENOTSUP, "built without libcurl");
}
