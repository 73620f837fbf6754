/* placeholder, replaced below */
#include "bench.h"
int cmd_server(PL_UNUSED int argc, PL_UNUSED char **argv)
{
    return bench_lacks("server", "the HTTP client");
}
