/*
 * sim/backend/hook.h - how the harness gives the simulated device its time and its faults.
 *
 * The setting "hook=ADDRESS" of device_open carries the address of this struct (hexadecimal, as printf's %p writes
 * it): plugin and harness share a process, and an address is the one thing that the kernel interface can hand over
 * without a change. Without a hook the device lives in real time and sleeps.
 *
 * Ownership: the harness's; it outlives the device.  Threads: called on the thread that submits and queries.
 * Limits: none.  Source: ours, docs/internals/sim.md.
 */
#ifndef SIM_BACKEND_HOOK_H
#define SIM_BACKEND_HOOK_H

#include <polder/status.h>

struct sim_hook {
    uint32_t struct_size;
    uint32_t reserved; /* 0 */
    void *user;
    int64_t (*now_ns)(void *user); /* virtual time */
    /* A step was submitted that is done at done_ns: exec_ready is true from then on. */
    void (*on_submit)(void *user, int64_t done_ns);
    /* PL_OK, or what is wrong with the device now: submits and waits fail with it. */
    enum pl_status (*fault)(void *user);
};

#endif
