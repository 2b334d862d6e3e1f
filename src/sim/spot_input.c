/* SPDX-License-Identifier: Apache-2.0 */

#include "spot_input.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/parse.h"
#include "base/vec.h"
#include "cloud/input.h"

enum {
    GAP_S_MAX = 86400,
    TICKS_MAX = 1 << 30,
    ZONES_MAX = 1 << 13,
    WINDOWS_MAX = 1 << 20,
    BITS_BYTES_MAX = 1 << 28, /* of all zones together */
};

#define SPAN_S_MAX (INT64_C(100) * 366 * 86400)

void weir_sim_spot_zones_release(struct weir_sim_spot_zones *z)
{
    for (size_t i = 0; i < z->n; i++) {
        free(z->p[i].name);
        free(z->p[i].bits);
    }
    weir_vec_release(z);
    weir_map_release(&z->by_name);
    weir_map_release(&z->by_window);
}

void weir_sim_spot_windows_release(struct weir_sim_spot_windows *w)
{
    weir_vec_release(w);
}

/* Where the recording stands in the map, or else where it is to be put; *ret_at is then not touched. */
static uint64_t find_key(const struct weir_sim_spot_zones *z, struct weir_sv name, int64_t window, uint64_t *ret_at)
{
    const uint64_t said[] = {weir_hash_bytes(name.p, name.n), (uint64_t)window};
    uint64_t key = weir_hash_bytes(said, sizeof said);
    uint64_t at = 0;
    while (weir_map_get(&z->by_name, key, &at)) {
        if (z->p[at].window == window && weir_sv_eq(weir_sv_of(z->p[at].name), name)) {
            *ret_at = at;
            break;
        }
        key++;
    }
    return key;
}

const struct weir_sim_spot_zone *weir_sim_spot_find(const struct weir_sim_spot_zones *z, struct weir_sv name, int64_t window)
{
    uint64_t at = z->n;
    (void)find_key(z, name, window, &at);
    return at < z->n ? &z->p[at] : NULL;
}

static void add_zone(struct weir_sim_spot_zones *z, struct weir_sim_spot_zone zone)
{
    uint64_t at = z->n;
    zone.begins_window = !weir_map_get(&z->by_window, (uint64_t)zone.window, NULL);
    if (zone.begins_window) {
        weir_map_put(&z->by_window, (uint64_t)zone.window, at);
    }
    weir_map_put(&z->by_name, find_key(z, weir_sv_of(zone.name), zone.window, &at), at);
    weir_vec_push(z, zone);
}

/* Columns of a recording, in the order in which both files' tables below name them; the last is read where times matter. */
enum { ZONE_NAME, ZONE_GAP, ZONE_BITS, ZONE_NUMBER, ZONE_TIME, ZONE_COLUMNS };

static const struct weir_input_column trace_columns[ZONE_COLUMNS] = {
    {.name = "env"}, {.name = "gap_s"}, {.name = "bits"}, {.name = "first_tick"}, {.name = "tick0_utc", .optional = true}};
static const struct weir_input_column multizone_columns[ZONE_COLUMNS] = {
    {.name = "zone"}, {.name = "gap_s"}, {.name = "bits"}, {.name = "window"}, {.name = "start_utc", .optional = true}};

static int check_bits(struct weir_input *in, struct weir_sv bits, size_t *total, struct weir_err *err)
{
    int r = 0;
    if (bits.n == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "column 'bits': empty; one character a tick is expected, 1 where spot could be had");
    }
    for (size_t i = 0; i < bits.n && r == 0; i++) {
        if (bits.p[i] != '0' && bits.p[i] != '1') {
            r = weir_fail(err, -WEIR_EINVAL, "column 'bits': character %zu is not 0 or 1", i + 1);
        }
    }
    *total += bits.n;
    if (r == 0 && *total > BITS_BYTES_MAX) {
        r = weir_fail(err, -WEIR_ELIMIT, "more than %d ticks in all", BITS_BYTES_MAX);
    }
    return r < 0 ? weir_input_fail(in, r, err) : 0;
}

static int read_tick0(const struct weir_input *in, int64_t *ret_us, struct weir_err *err)
{
    struct weir_wall at = {0};
    struct weir_sv text = weir_input_field(in, ZONE_TIME);
    int r = text.n == 0 ? 0 : weir_parse_time(text, &at, err);
    *ret_us = at.us;
    return r < 0 ? weir_input_fail_field(in, ZONE_TIME, r, err) : 0;
}

/* Reads the record that stands in the reader; number is window or first tick. */
static int read_zone(struct weir_sim_spot_zones *zones, struct weir_input *in, bool by_window, bool timed, size_t *total,
                     struct weir_err *err)
{
    int64_t tick0_us = 0;
    int64_t gap_s = 0;
    int64_t number = 0;
    struct weir_sv name = weir_input_field(in, ZONE_NAME);
    struct weir_sv bits = weir_input_field(in, ZONE_BITS);
    int r = weir_input_i64(in, ZONE_GAP, 1, GAP_S_MAX, &gap_s, err);
    r = r < 0 ? r : weir_input_i64(in, ZONE_NUMBER, 0, TICKS_MAX, &number, err);
    r = r < 0 ? r : check_bits(in, bits, total, err);
    r = r < 0 || !timed ? r : read_tick0(in, &tick0_us, err);
    if (r < 0) {
        return r;
    }
    int64_t ticks = (by_window ? 0 : number) + (int64_t)bits.n;
    if (name.n == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "the zone has no name");
    } else if (timed && ticks > SPAN_S_MAX / gap_s) {
        r = weir_fail(err, -WEIR_EOVERFLOW, "zone '%.*s': %lld ticks of %lld s are more than a century", WEIR_SV_ARG(name),
                      (long long)ticks, (long long)gap_s);
    } else if (weir_sim_spot_find(zones, name, by_window ? number : 0) != NULL) {
        r = weir_fail(err, -WEIR_EINVAL, "zone '%.*s' stands here a second time", WEIR_SV_ARG(name));
    } else if (zones->n == ZONES_MAX) {
        r = weir_fail(err, -WEIR_ELIMIT, "more than %d recordings", ZONES_MAX);
    }
    if (r < 0) {
        return weir_input_fail(in, r, err);
    }
    struct weir_sim_spot_zone z = {
        .name = weir_strndup(name.p, name.n),
        .window = by_window ? number : 0,
        .gap_us = gap_s * INT64_C(1000000),
        .tick0_us = tick0_us,
        .first_tick = by_window ? 0 : number,
        .bits = weir_strndup(bits.p, bits.n),
        .n_bits = bits.n,
    };
    add_zone(zones, z);
    return 0;
}

static int read_zones(struct weir_sim_spot_zones *ret, const char *path, bool by_window, bool timed, struct weir_err *err)
{
    const struct weir_input_column *column = by_window ? multizone_columns : trace_columns;
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    WEIR_CLEANUP(weir_sim_spot_zones_release) struct weir_sim_spot_zones zones = {0};
    int r = weir_input_table(&in, path, column, timed ? ZONE_COLUMNS : ZONE_TIME, err);
    size_t total = 0;
    while (r >= 0) {
        r = weir_input_next(in, err);
        if (r == 0) {
            break;
        }
        r = r < 0 ? r : read_zone(&zones, in, by_window, timed, &total, err);
    }
    if (r == 0 && zones.n == 0) {
        r = weir_fail(err, -WEIR_EINVAL, "%s has no zone in it", path);
    }
    if (r == 0) {
        *ret = zones;
        zones = (struct weir_sim_spot_zones){0};
    }
    return r;
}

int weir_sim_spot_read_traces(struct weir_sim_spot_zones *ret, const char *path, struct weir_err *err)
{
    return read_zones(ret, path, false, false, err);
}

int weir_sim_spot_read_multizone(struct weir_sim_spot_zones *ret, const char *path, struct weir_err *err)
{
    int r = read_zones(ret, path, true, false, err);
    for (size_t i = 0; r == 0 && i < ret->n; i++) {
        const struct weir_sim_spot_zone *a = &ret->p[i];
        uint64_t first = 0;
        (void)weir_map_get(&ret->by_window, (uint64_t)a->window, &first);
        const struct weir_sim_spot_zone *b = &ret->p[first];
        if (a->gap_us != b->gap_us || a->n_bits != b->n_bits) {
            return weir_fail(err, -WEIR_EINVAL, "%s: window %lld: zones %s and %s differ in gap_s or in the length of bits", path,
                             (long long)a->window, a->name, b->name);
        }
    }
    return r;
}

int weir_sim_spot_read_timed(struct weir_sim_spot_zones *ret, const char *path, struct weir_err *err)
{
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    struct weir_sv header = {0};
    bool by_window = true;
    int r = weir_input_open(&in, path, err);
    r = r < 0 ? r : weir_input_peek(in, &header, err);
    while (r == 1 && header.p != NULL && by_window) {
        by_window = !weir_sv_eq(weir_sv_trim(weir_sv_cut(&header, ',')), WEIR_SV("env"));
    }
    return r < 0 ? r : read_zones(ret, path, by_window, true, err);
}

enum { WINDOW_ENV, WINDOW_START, WINDOW_TICKS, WINDOW_WANTED };

/* Takes the window that stands in the reader; all: whether it is marked or not. */
static int read_window(struct weir_sim_spot_windows *windows, struct weir_input *in, const struct weir_sim_spot_zones *zones, bool all,
                       struct weir_err *err)
{
    int64_t start = 0;
    int64_t ticks = 0;
    int64_t wanted = 1;
    int r = weir_input_i64(in, WINDOW_START, 0, TICKS_MAX, &start, err);
    r = r < 0 ? r : weir_input_i64(in, WINDOW_TICKS, 1, TICKS_MAX, &ticks, err);
    if (r == 0 && weir_input_field(in, WINDOW_WANTED).n > 0) {
        r = weir_input_i64(in, WINDOW_WANTED, 0, 1, &wanted, err);
    }
    if (r < 0 || (wanted == 0 && !all)) {
        return r;
    }
    struct weir_sv name = weir_input_field(in, WINDOW_ENV);
    /* Windows of one zone mostly stand together. */
    const struct weir_sim_spot_zone *z = windows->n == 0 ? &zones->p[0] : &zones->p[windows->p[windows->n - 1].zone];
    z = weir_sv_eq(weir_sv_of(z->name), name) ? z : weir_sim_spot_find(zones, name, 0);
    if (z == NULL) {
        weir_fail(err, -WEIR_EINVAL, "column 'env': the traces have no '%.*s'", WEIR_SV_ARG(name));
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    int64_t end = z->first_tick + (int64_t)z->n_bits;
    if (start < z->first_tick || start + ticks > end) {
        weir_fail(err, -WEIR_EINVAL, "ticks %lld to %lld are not all in the trace of %s, which has %lld to %lld", (long long)start,
                  (long long)(start + ticks - 1), z->name, (long long)z->first_tick, (long long)(end - 1));
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    if (windows->n == WINDOWS_MAX) {
        weir_fail(err, -WEIR_ELIMIT, "more than %d windows", WINDOWS_MAX);
        return weir_input_fail(in, -WEIR_ELIMIT, err);
    }
    struct weir_sim_spot_window w = {(size_t)(z - zones->p), (size_t)(start - z->first_tick), (size_t)ticks};
    weir_vec_push(windows, w);
    return 0;
}

/* Reads those that are marked, or all; 1 where there are windows, but none that is marked. */
static int read_windows(struct weir_sim_spot_windows *ret, const char *path, const struct weir_sim_spot_zones *zones, bool all,
                        struct weir_err *err)
{
    static const struct weir_input_column column[] = {
        {.name = "env"}, {.name = "start_tick"}, {.name = "ticks"}, {.name = "in_1080", .optional = true}};
    WEIR_CLEANUP(weir_input_freep) struct weir_input *in = NULL;
    WEIR_CLEANUP(weir_sim_spot_windows_release) struct weir_sim_spot_windows windows = {0};
    bool any = false;
    int r = weir_input_table(&in, path, column, WEIR_ARRAY_LEN(column), err);
    while (r >= 0) {
        r = weir_input_next(in, err);
        if (r == 0) {
            break;
        }
        r = r < 0 ? r : read_window(&windows, in, zones, all, err);
        any = true;
    }
    if (r == 0 && windows.n == 0) {
        r = any ? 1 : weir_fail(err, -WEIR_EINVAL, "%s has no window to run: nothing follows its first line", path);
    }
    if (r == 0) {
        *ret = windows;
        windows = (struct weir_sim_spot_windows){0};
    }
    return r;
}

int weir_sim_spot_read_windows(struct weir_sim_spot_windows *ret, const char *path, const struct weir_sim_spot_zones *zones,
                               struct weir_err *err)
{
    int r = read_windows(ret, path, zones, false, err);
    if (r == 1 && weir_streq(path, "-")) { /* which cannot be read again */
        return weir_fail(err, -WEIR_EINVAL,
                         "the standard input has no window to run: in_1080 is 0 in all of them: name a file, or leave that column out");
    }
    return r == 1 ? read_windows(ret, path, zones, true, err) : r;
}

static uint64_t digest_text(uint64_t hash, const char *text)
{
    return weir_fnv_u64(weir_fnv_bytes(hash, text, strlen(text)), 0);
}

uint64_t weir_sim_spot_digest(const struct weir_sim_spot_zones *z, const struct weir_sim_spot_windows *w)
{
    uint64_t hash = WEIR_FNV_BASIS;
    for (size_t i = 0; i < z->n; i++) {
        hash = digest_text(hash, z->p[i].name);
        hash = weir_fnv_u64(hash, (uint64_t)z->p[i].window);
        hash = weir_fnv_u64(hash, (uint64_t)z->p[i].gap_us);
        hash = weir_fnv_u64(hash, (uint64_t)z->p[i].first_tick);
        hash = digest_text(hash, z->p[i].bits);
    }
    for (size_t i = 0; w != NULL && i < w->n; i++) {
        hash = weir_fnv_u64(hash, w->p[i].zone);
        hash = weir_fnv_u64(hash, w->p[i].first);
        hash = weir_fnv_u64(hash, w->p[i].ticks);
    }
    return hash;
}
