/* SPDX-License-Identifier: Apache-2.0 */
/* Of a pool: what a kWh costs, and what it emits; a value, what differs from it by time and place, or a file by the hour. */

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "config_priv.h"

/* A coal plant of the worst kind emits 1.2 kg; what is more than three times that was not meant in grams. */
static const int64_t CARBON_MAX = 3600 * WEIR_MICRO_PER_UNIT;

static int read_time(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_wall v;
    int r = config_scalar(l, d);
    if (r == 0 && weir_parse_time(d->text, &v, l->err) != 0) {
        return config_fail_value(l, d);
    }
    if (r == 0 && v.us <= 0) {
        return config_fail_at(l, d, "times before 1970 are not known here");
    }
    if (r == 0) {
        memcpy(target, &v, sizeof v);
    }
    return r;
}

/* "mon-fri", "sat,sun" */
static int read_days(struct config_loader *l, const struct doc *d, void *target)
{
    static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun", NULL};
    struct weir_tariff_row *row = target;
    int r = config_scalar(l, d);
    struct weir_sv rest = d->text;
    uint8_t days = 0;
    while (r == 0 && rest.p != NULL) {
        struct weir_sv range = weir_sv_trim(weir_sv_cut(&rest, ','));
        struct weir_sv first = weir_sv_cut(&range, '-');
        struct weir_sv last = range.p == NULL ? first : range;
        unsigned from = 0, to = 0;
        while (from < 7 && !weir_sv_eq_nocase(first, weir_sv_of(names[from]))) {
            from++;
        }
        while (to < 7 && !weir_sv_eq_nocase(last, weir_sv_of(names[to]))) {
            to++;
        }
        if (from == 7 || to == 7) {
            return config_fail_at(l, d, "days are written mon, mon-fri, or sat,sun");
        }
        for (unsigned day = from;; day = (day + 1) % 7) {
            days |= (uint8_t)(1u << day);
            if (day == to) {
                break;
            }
        }
    }
    row->days = days;
    return r;
}

/* "7-21": from seven to nine in the evening; "22-6": over midnight. */
static int read_hours(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_tariff_row *row = target;
    uint64_t from = 0, to = 0;
    int r = config_scalar(l, d);
    struct weir_sv rest = d->text;
    struct weir_sv first = weir_sv_cut(&rest, '-');
    if (r == 0 && (weir_parse_u64(first, 0, 23, &from, NULL) != 0 || rest.p == NULL || weir_parse_u64(rest, 1, 24, &to, NULL) != 0 || from == to)) {
        return config_fail_at(l, d, "hours are written from-to, such as 7-21, or 22-6 over midnight");
    }
    row->from_hour = (uint8_t)from;
    row->to_hour = (uint8_t)to;
    return r;
}

int config_read_tariff(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"per_kwh", config_read_money, offsetof(struct weir_tariff_row, micro_per_kwh)},
        {"days", read_days, 0},
        {"hours", read_hours, 0},
        {"from", read_time, offsetof(struct weir_tariff_row, from)},
        {"to", read_time, offsetof(struct weir_tariff_row, to)},
    };
    struct weir_tariff *tariff = &((struct weir_config_pool *)target)->tariff;
    if (d->kind != DOC_LIST || d->n > WEIR_TARIFF_ROWS_MAX) {
        return config_fail_at(l, d, "a list of at most 64 rows is wanted here");
    }
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_tariff_row *row = &tariff->row[tariff->n++];
        *row = (struct weir_tariff_row){.days = WEIR_TARIFF_ALL_DAYS, .to_hour = 24, .micro_per_kwh = -1};
        int r = config_read_rows(l, i, rows, WEIR_ARRAY_LEN(rows), row);
        if (r != 0) {
            return r;
        }
        if (row->micro_per_kwh < 0) {
            return config_fail_at(l, i, "a row of the tariff wants per_kwh");
        }
        if (row->to.us != 0 && row->to.us <= row->from.us) {
            return config_fail_at(l, i, "to is not later than from");
        }
    }
    return 0;
}

/* A file of prices; carbon intensities are none. */
int config_read_tariff_file(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_config_pool *pool = target;
    char path[PATH_MAX];
    struct weir_err err;
    int r = config_read_string(l, d, path, sizeof path);
    if (r != 0) {
        return r;
    }
    if (weir_grid_read(&pool->prices, path, &err) < 0) {
        return config_fail_at(l, d, err.text);
    }
    if (weir_grid_kind(pool->prices) == WEIR_GRID_CARBON) {
        return config_fail_at(l, d, "the file has carbon intensities, and prices are wanted");
    }
    const char *currency = weir_grid_currency(pool->prices);
    if (currency[0] != '\0' && !weir_streq(currency, l->c->currency)) {
        (void)weir_fail(&err, -WEIR_ECONFIG, "the file's prices are in %s, and the ledger is in %s: convert them, and call the column price_mwh", currency,
                        l->c->currency);
        return config_fail_at(l, d, err.text);
    }
    return 0;
}

/* ---- carbon ---- */

/* Grams per kWh. */
static int read_grams(struct config_loader *l, const struct doc *d, void *target)
{
    int64_t v = 0;
    int r = config_read_money(l, d, &v);
    if (r == 0 && v > CARBON_MAX) {
        return config_fail_at(l, d, "more than 3600: grams of CO2e per kWh are wanted here");
    }
    if (r == 0) {
        memcpy(target, &v, sizeof v);
    }
    return r;
}

/* A file of intensities; prices are none. */
static int read_intensities(struct config_loader *l, const struct doc *d, void *target)
{
    struct weir_grid **grid = target;
    char path[PATH_MAX];
    struct weir_err err;
    int r = config_read_string(l, d, path, sizeof path);
    if (r != 0) {
        return r;
    }
    if (*grid == NULL && weir_grid_read(grid, path, &err) < 0) {
        return config_fail_at(l, d, err.text);
    }
    if (weir_grid_kind(*grid) == WEIR_GRID_PRICE) {
        return config_fail_at(l, d, "the file has prices, and carbon intensities are wanted");
    }
    return 0;
}

static int read_region(struct config_loader *l, const struct doc *d, void *target)
{
    return config_read_string(l, d, target, sizeof ((struct weir_config_carbon_row *)0)->region);
}

int config_read_carbon_per_kwh(struct config_loader *l, const struct doc *d, void *target)
{
    return read_grams(l, d, &((struct weir_config_pool *)target)->carbon.ug_per_kwh);
}

int config_read_carbon_file(struct config_loader *l, const struct doc *d, void *target)
{
    return read_intensities(l, d, &((struct weir_config_pool *)target)->carbon.file);
}

int config_read_carbon(struct config_loader *l, const struct doc *d, void *target)
{
    static const struct config_row rows[] = {
        {"per_kwh", read_grams, offsetof(struct weir_config_carbon_row, when.micro_per_kwh)},
        {"file", read_intensities, offsetof(struct weir_config_carbon_row, file)},
        {"region", read_region, offsetof(struct weir_config_carbon_row, region)},
        {"days", read_days, offsetof(struct weir_config_carbon_row, when)},
        {"hours", read_hours, offsetof(struct weir_config_carbon_row, when)},
        {"from", read_time, offsetof(struct weir_config_carbon_row, when.from)},
        {"to", read_time, offsetof(struct weir_config_carbon_row, when.to)},
    };
    struct weir_config_carbon *carbon = &((struct weir_config_pool *)target)->carbon;
    if (d->kind != DOC_LIST || d->n > WEIR_TARIFF_ROWS_MAX || carbon->row != NULL) {
        return config_fail_at(l, d, "a list of at most 64 rows is wanted here");
    }
    carbon->row = weir_calloc(d->n + 1, sizeof *carbon->row);
    for (const struct doc *i = d->first; i != NULL; i = i->next) {
        struct weir_config_carbon_row *row = &carbon->row[carbon->n++];
        row->when = (struct weir_tariff_row){.days = WEIR_TARIFF_ALL_DAYS, .to_hour = 24, .micro_per_kwh = -1};
        int r = config_read_rows(l, i, rows, WEIR_ARRAY_LEN(rows), row);
        if (r != 0) {
            return r;
        }
        if ((row->when.micro_per_kwh < 0) == (row->file == NULL)) {
            return config_fail_at(l, i, "a row of the carbon wants per_kwh or file, and not both");
        }
        if (row->when.to.us != 0 && row->when.to.us <= row->when.from.us) {
            return config_fail_at(l, i, "to is not later than from");
        }
    }
    return 0;
}

int64_t config_carbon_at(const struct weir_config_carbon *c, const char *region, struct weir_wall at, struct weir_wall *ret_until)
{
    struct weir_tariff here = {.n = 0}; /* of this place, by their number */
    for (size_t i = 0; i < c->n; i++) {
        const char *where = c->row[i].region;
        if (where[0] == '\0' || weir_glob_match(weir_sv_of(where), weir_sv_of(region))) {
            here.row[here.n] = c->row[i].when;
            here.row[here.n++].micro_per_kwh = (int64_t)i;
        }
    }
    int64_t i = weir_tariff_at(&here, -1, at, ret_until);
    int64_t ug = i < 0 ? c->ug_per_kwh : c->row[i].when.micro_per_kwh;
    const struct weir_grid *file = i < 0 ? c->file : c->row[i].file;
    if (file != NULL) {
        struct weir_wall next = weir_grid_next(file, at);
        ret_until->us = next.us < ret_until->us ? next.us : ret_until->us;
        ug = weir_grid_at(file, at);
        ug = ug < 0 ? 0 : ug > CARBON_MAX ? CARBON_MAX : ug;
    }
    return ug;
}

void config_release_grid(struct weir_config_pool *pool)
{
    weir_grid_free(pool->prices);
    weir_grid_free(pool->carbon.file);
    for (size_t i = 0; i < pool->carbon.n; i++) {
        weir_grid_free(pool->carbon.row[i].file);
    }
    free(pool->carbon.row);
}
