/* SPDX-License-Identifier: Apache-2.0 */
#include "zone.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "money.h"
#include "str.h"

enum {
    TRANSITIONS_MAX = 4096,
    OFFSET_MAX_S = 26 * 3600,
    HEADER_BYTES = 44,
    TYPE_BYTES = 6,
};

/* One of the two changes in a year by the rule at the file's end. */
struct change {
    char kind; /* 'M': month, week, weekday; 'J': day 1..365 without the 29th of February; 'N': day 0..365 */
    int month;
    int week;
    int day;
    int64_t time_s; /* of that day, by the clocks before the change */
};

struct weir_zone {
    size_t n;
    int64_t *at_s;     /* when the offset changes, increasing */
    int32_t *offset_s; /* from then on */
    int32_t first_s;   /* before all of them */
    bool has_rule;     /* after all of them */
    bool has_dst;
    int32_t std_s;
    int32_t dst_s;
    struct change begin;
    struct change end;
};

void weir_zone_free(struct weir_zone *z)
{
    if (z != NULL) {
        free(z->at_s);
        free(z->offset_s);
        free(z);
    }
}

void weir_zone_freep(struct weir_zone **z)
{
    weir_zone_free(*z);
}

/* ---- the rule: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static bool take(struct weir_sv *s, char c)
{
    if (s->n == 0 || s->p[0] != c) {
        return false;
    }
    s->p++;
    s->n--;
    return true;
}

static bool take_number(struct weir_sv *s, int max, int *ret)
{
    size_t i = 0;
    int v = 0;
    while (i < s->n && i < 4 && s->p[i] >= '0' && s->p[i] <= '9') {
        v = v * 10 + (s->p[i++] - '0');
    }
    s->p += i;
    s->n -= i;
    *ret = v;
    return i > 0 && v <= max;
}

static bool take_name(struct weir_sv *s)
{
    bool quoted = take(s, '<');
    size_t i = 0;
    while (i < s->n &&
           (quoted ? s->p[i] != '>' : (s->p[i] >= 'A' && s->p[i] <= 'Z') || (s->p[i] >= 'a' && s->p[i] <= 'z'))) {
        i++;
    }
    s->p += i;
    s->n -= i;
    return i > 0 && (!quoted || take(s, '>'));
}

/* "[+-]hh[:mm[:ss]]" */
static bool take_time(struct weir_sv *s, int hours_max, int64_t *ret)
{
    bool minus = take(s, '-');
    int v[3] = {0};
    if (!minus) {
        (void)take(s, '+');
    }
    if (!take_number(s, hours_max, &v[0])) {
        return false;
    }
    for (int i = 1; i < 3 && take(s, ':'); i++) {
        if (!take_number(s, 59, &v[i])) {
            return false;
        }
    }
    int64_t t = v[0] * 3600 + v[1] * 60 + v[2];
    *ret = minus ? -t : t;
    return true;
}

static bool take_change(struct weir_sv *s, struct change *c)
{
    bool ok;
    *c = (struct change){.time_s = 2 * 3600};
    if (!take(s, ',')) {
        return false;
    }
    if (take(s, 'M')) {
        c->kind = 'M';
        ok = take_number(s, 12, &c->month) && c->month >= 1 && take(s, '.') && take_number(s, 5, &c->week) &&
             c->week >= 1 && take(s, '.') && take_number(s, 6, &c->day);
    } else {
        c->kind = take(s, 'J') ? 'J' : 'N';
        ok = take_number(s, 365, &c->day) && (c->kind == 'N' || c->day >= 1);
    }
    return ok && (!take(s, '/') || take_time(s, 167, &c->time_s));
}

static bool parse_rule(struct weir_zone *z, struct weir_sv s)
{
    int64_t west;
    if (!take_name(&s) || !take_time(&s, 24, &west)) {
        return false;
    }
    z->std_s = (int32_t)-west;
    if (s.n > 0) {
        if (!take_name(&s)) {
            return false;
        }
        west -= 3600;
        if (s.n > 0 && s.p[0] != ',' && !take_time(&s, 24, &west)) {
            return false;
        }
        z->dst_s = (int32_t)-west;
        z->has_dst = true;
        if (!take_change(&s, &z->begin) || !take_change(&s, &z->end)) {
            return false;
        }
    }
    z->has_rule = s.n == 0;
    return z->has_rule;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t date_s(int year, int month, int day)
{
    return weir_wall_from_date((struct weir_date){.year = year, .month = month, .day = day}).us / WEIR_US_PER_S;
}

/* Midnight of the change's day as if it were UTC, and the time of day on it. */
static int64_t change_s(const struct change *c, int year)
{
    int64_t day_s = 86400;
    if (c->kind == 'J') {
        int more = is_leap(year) && c->day > 59 ? 1 : 0;
        return date_s(year, 1, 1) + (c->day - 1 + more) * day_s + c->time_s;
    }
    if (c->kind == 'N') {
        return date_s(year, 1, 1) + c->day * day_s + c->time_s;
    }
    int64_t first = date_s(year, c->month, 1);
    int64_t next = c->month == 12 ? date_s(year + 1, 1, 1) : date_s(year, c->month + 1, 1);
    int64_t weekday = ((first / day_s + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t at = first + (c->day - weekday + 7) % 7 * day_s + (c->week - 1) * 7 * day_s;
    while (at >= next) {
        at -= 7 * day_s;
    }
    return at + c->time_s;
}

static int32_t rule_offset(const struct weir_zone *z, int64_t t_s)
{
    if (!z->has_dst) {
        return z->std_s;
    }
    int year = weir_wall_to_date((struct weir_wall){(t_s + z->std_s) * WEIR_US_PER_S}).year;
    int64_t begin = change_s(&z->begin, year) - z->std_s;
    int64_t end = change_s(&z->end, year) - z->dst_s;
    bool dst = begin < end ? t_s >= begin && t_s < end : t_s >= begin || t_s < end;
    return dst ? z->dst_s : z->std_s;
}

/* ---- the file ---- */

struct block {
    uint32_t isut;
    uint32_t isstd;
    uint32_t leap;
    uint32_t times;
    uint32_t types;
    uint32_t chars;
};

static uint64_t big_endian(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static bool read_header(const unsigned char *p, size_t n, struct block *b)
{
    uint32_t *const count[] = {&b->isut, &b->isstd, &b->leap, &b->times, &b->types, &b->chars};
    if (n < HEADER_BYTES || memcmp(p, "TZif", 4) != 0) {
        return false;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(count); i++) {
        *count[i] = (uint32_t)big_endian(p + 20 + 4 * i, 4);
        if (*count[i] > TRANSITIONS_MAX) {
            return false;
        }
    }
    return b->types > 0 && b->types <= 256;
}

static size_t block_bytes(const struct block *b, size_t time_bytes)
{
    return b->times * (time_bytes + 1) + b->types * (size_t)TYPE_BYTES + b->chars + b->leap * (time_bytes + 4) +
           b->isstd + b->isut;
}

static bool read_offset(const unsigned char *types, const struct block *b, uint8_t type, int32_t *ret)
{
    if (type >= b->types) {
        return false;
    }
    int32_t v = (int32_t)(uint32_t)big_endian(types + type * (size_t)TYPE_BYTES, 4);
    *ret = v;
    return v >= -OFFSET_MAX_S && v <= OFFSET_MAX_S;
}

static bool read_block(struct weir_zone *z, const unsigned char *p, const struct block *b, size_t time_bytes)
{
    const unsigned char *index = p + b->times * time_bytes;
    const unsigned char *types = index + b->times;
    if (!read_offset(types, b, 0, &z->first_s)) {
        return false;
    }
    z->n = b->times;
    z->at_s = weir_calloc(z->n + 1, sizeof *z->at_s);
    z->offset_s = weir_calloc(z->n + 1, sizeof *z->offset_s);
    for (size_t i = 0; i < z->n; i++) {
        uint64_t raw = big_endian(p + i * time_bytes, time_bytes);
        z->at_s[i] = time_bytes == 4 ? (int32_t)(uint32_t)raw : (int64_t)raw;
        if (!read_offset(types, b, index[i], &z->offset_s[i]) || (i > 0 && z->at_s[i] <= z->at_s[i - 1])) {
            return false;
        }
    }
    return true;
}

int weir_zone_parse(struct weir_zone **ret, const void *bytes, size_t n, struct weir_err *err)
{
    const unsigned char *p = bytes;
    struct block b;
    size_t time_bytes = 4;
    WEIR_CLEANUP(weir_zone_freep) struct weir_zone *z = weir_alloc(sizeof *z);
    bool ok = read_header(p, n, &b);
    if (ok && p[4] >= '2') { /* the same again with 64 bits, and a rule */
        size_t skip = HEADER_BYTES + block_bytes(&b, 4);
        ok = skip <= n && read_header(p + skip, n - skip, &b);
        p += ok ? skip : 0;
        n -= ok ? skip : 0;
        time_bytes = 8;
    }
    ok = ok && n - HEADER_BYTES >= block_bytes(&b, time_bytes) && read_block(z, p + HEADER_BYTES, &b, time_bytes);
    if (ok && time_bytes == 8) {
        size_t at = HEADER_BYTES + block_bytes(&b, time_bytes);
        struct weir_sv rule = {(const char *)p + at, n - at};
        const char *end = NULL;
        ok = take(&rule, '\n') && (end = memchr(rule.p, '\n', rule.n)) != NULL;
        rule.n = ok ? (size_t)(end - rule.p) : 0;
        ok = ok && (rule.n == 0 || parse_rule(z, rule));
    }
    if (!ok) {
        return weir_fail(err, -WEIR_EINVAL, "it is no table of a time zone");
    }
    *ret = WEIR_TAKE(z);
    return 0;
}

/* ---- asking ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

int64_t weir_zone_offset_s(const struct weir_zone *z, struct weir_wall t)
{
    if (z == NULL) {
        return 0;
    }
    int64_t t_s = floor_div(t.us, WEIR_US_PER_S);
    size_t lo = 0;
    size_t hi = z->n; /* the first change after t */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (z->at_s[mid] <= t_s) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == z->n && z->has_rule) {
        return rule_offset(z, t_s);
    }
    return lo == 0 ? z->first_s : z->offset_s[lo - 1];
}

static int64_t local_us(const struct weir_zone *z, int64_t us)
{
    return weir_i64_add_sat(us, weir_zone_offset_s(z, (struct weir_wall){us}) * WEIR_US_PER_S);
}

int64_t weir_zone_period(const struct weir_zone *z, enum weir_zone_unit unit, struct weir_wall t)
{
    int64_t local = local_us(z, t.us);
    if (unit == WEIR_ZONE_DAY) {
        return floor_div(local, WEIR_US_PER_DAY);
    }
    struct weir_date d = weir_wall_to_date((struct weir_wall){local});
    return (d.year - 1970) * 12 + d.month - 1;
}

struct weir_wall weir_zone_period_end(const struct weir_zone *z, enum weir_zone_unit unit, struct weir_wall t)
{
    int64_t period = weir_zone_period(z, unit, t);
    if (z == NULL && unit == WEIR_ZONE_DAY) {
        return (struct weir_wall){weir_i64_add_sat(period * WEIR_US_PER_DAY, WEIR_US_PER_DAY)};
    }
    int64_t lo = t.us; /* still in it; hi is not */
    int64_t hi = weir_i64_add_sat(t.us, (unit == WEIR_ZONE_DAY ? 3 : 34) * WEIR_US_PER_DAY);
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (weir_zone_period(z, unit, (struct weir_wall){mid}) > period) {
            hi = mid;
        } else {
            lo = mid;
        }
    }
    return (struct weir_wall){hi};
}

struct weir_wall weir_zone_to_wall(const struct weir_zone *z, struct weir_date local)
{
    int64_t want = weir_wall_from_date(local).us;
    int64_t lo = weir_i64_sub_sat(want, 2 * WEIR_US_PER_DAY); /* clocks show less; at hi that or more */
    int64_t hi = weir_i64_add_sat(want, 2 * WEIR_US_PER_DAY);
    if (z == NULL) {
        return (struct weir_wall){want};
    }
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (local_us(z, mid) >= want) {
            hi = mid;
        } else {
            lo = mid;
        }
    }
    return (struct weir_wall){hi};
}
