/* The passes for x86-64 CPUs with AVX2; compiled with that flag, see CMakeLists.txt. */
#include "passes_body.h"

#include "base/banned.h"

const struct passes passes_avx2 = PASSES_TABLE;
