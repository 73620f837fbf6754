/*
 * plugin/plugin.h - finds, checks, loads and ranks accelerator plugins.
 *
 * A registry scans one folder for polder-backend-*.so. Each file is either loaded, which gives a
 * host-owned copy of its table in which every slot is filled, or rejected with one line that names the
 * file, both versions or the missing slot. Rejections are kept, so that `polder-bench backends` can show
 * them. Modules are never unloaded while the process lives (drivers do not survive it).
 *
 * Ownership: the registry owns entries until plugin_registry_free.  Threads: immutable after scan.
 * Errors: a folder that can't be read, or that others may write to (PL_EPERM); a bad file is no error of
 * the scan.  Limits: PLUGIN_MAX.  Source: ours; docs/internals/plugin.md.
 */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include <polder/backend.h>

#define PLUGIN_MAX 32 /* files considered in a folder */

struct plugin_entry {
    const char *path;
    const char *name;               /* of the table; the file's base name for a rejected one */
    const char *version;            /* of the plugin; "" for a rejected one */
    const struct pl_backend *table; /* host-owned, all slots filled; NULL if rejected */
    struct pl_probe probe;          /* n_devices 0: can't run here, reason says why */
    char rejection[PL_ERROR_MAX];   /* "" unless rejected */
};

struct plugin_registry;

/* dir: NULL = environment POLDER_BACKEND_DIR (ignored when set-uid), else the folder baked in at build.
 * A missing folder gives an empty registry. */
PL_NODISCARD enum pl_status plugin_registry_scan(const char *dir, struct plugin_registry **ret,
                                                 struct pl_error *err);
void plugin_registry_free(struct plugin_registry *registry);

const char *plugin_registry_dir(const struct plugin_registry *registry);
uint32_t plugin_count(const struct plugin_registry *registry);
const struct plugin_entry *plugin_at(const struct plugin_registry *registry, uint32_t i);

/* By name, or (NULL) the usable one with the highest score that may be chosen unnamed: CUDA, HIP, Vulkan on
 * a real GPU, CPU; never PL_DEVICE_CPU_AS_GPU or PL_DEVICE_SIM. The error says what was found instead. */
PL_NODISCARD enum pl_status plugin_choose(const struct plugin_registry *registry, const char *name,
                                          const struct plugin_entry **ret, struct pl_error *err);

/* One file, checked and loaded into *ret_table (host-owned, full); the check behind the scan. */
PL_NODISCARD enum pl_status plugin_load(const char *path, struct pl_backend *ret_table,
                                        struct pl_error *err);

#endif
