/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Clocks. Programs hold one and pass "now" down; the simulator and tests have their own. Only
 * clock_os.c reads the operating system's clock, and PURE parts never include this header.
 */

#include "wtime.h"

struct weir_clock {
    struct weir_wall (*wall)(void *ctx);
    struct weir_mono (*mono)(void *ctx);
    void *ctx;
};

/* The operating system's clocks: CLOCK_REALTIME and CLOCK_BOOTTIME. */
extern const struct weir_clock weir_clock_os;

static inline struct weir_wall weir_clock_wall(const struct weir_clock *c)
{
    return c->wall(c->ctx);
}

static inline struct weir_mono weir_clock_mono(const struct weir_clock *c)
{
    return c->mono(c->ctx);
}
