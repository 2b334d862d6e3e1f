/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <stddef.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * WEIR_US_PER_S + ts.tv_nsec / 1000;
}

static struct weir_wall os_wall(void *ctx)
{
    (void)ctx;
    return (struct weir_wall){read_us(CLOCK_REALTIME)};
}

static struct weir_mono os_mono(void *ctx)
{
    (void)ctx;
    return (struct weir_mono){read_us(CLOCK_BOOTTIME)};
}

const struct weir_clock weir_clock_os = {os_wall, os_mono, NULL};
