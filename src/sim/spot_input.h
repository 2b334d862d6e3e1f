/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Recorded spot availability: one string a zone, a character a tick, '1' where a machine could be had.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

struct weir_sim_spot_zone {
    char *name;
    int64_t window;     /* of several recordings of the zone; 0 where there is one */
    bool begins_window; /* the first recording of its window in the file */
    int64_t gap_us;     /* of a tick */
    int64_t tick0_us;   /* when tick 0 was: 0 where that was not asked for, or the file does not say */
    int64_t first_tick; /* number of the first character */
    char *bits;
    size_t n_bits;
};

struct weir_sim_spot_zones {
    struct weir_sim_spot_zone *p;
    size_t n;
    size_t size;
    struct weir_map by_name;   /* hash of name and window -> number */
    struct weir_map by_window; /* window -> number of its first recording */
};

/* A stretch of a zone's recording that is one scenario. */
struct weir_sim_spot_window {
    size_t zone;
    size_t first; /* character */
    size_t ticks;
};

struct weir_sim_spot_windows {
    struct weir_sim_spot_window *p;
    size_t n;
    size_t size;
};

/* Reads env, gap_s, first_tick, bits. Errors name file, line and column. */
int weir_sim_spot_read_traces(struct weir_sim_spot_zones *ret, const char *path, struct weir_err *err);
/* Reads env, start_tick, ticks and, where there is that column, takes only those whose in_1080 is 1; all where it is so of none. */
int weir_sim_spot_read_windows(struct weir_sim_spot_windows *ret, const char *path, const struct weir_sim_spot_zones *zones,
                               struct weir_err *err);
/* Reads window, zone, gap_s, bits: all zones of a window have one tick and one length. */
int weir_sim_spot_read_multizone(struct weir_sim_spot_zones *ret, const char *path, struct weir_err *err);

/* Reads either form, with the time of tick 0 (tick0_utc or start_utc) where it is said. */
int weir_sim_spot_read_timed(struct weir_sim_spot_zones *ret, const char *path, struct weir_err *err);

void weir_sim_spot_zones_release(struct weir_sim_spot_zones *z);
void weir_sim_spot_windows_release(struct weir_sim_spot_windows *w);
/* The zone's recording in this window; NULL: none. */
const struct weir_sim_spot_zone *weir_sim_spot_find(const struct weir_sim_spot_zones *z, struct weir_sv name, int64_t window);
/* A digest of what was read, to know published files by. w may be NULL. */
uint64_t weir_sim_spot_digest(const struct weir_sim_spot_zones *z, const struct weir_sim_spot_windows *w);
