/* SPDX-License-Identifier: Apache-2.0 */
#include "store/bill_agg.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"

enum {
    GROUPS_MAX = 65536, /* rows held before they are spilled; about 10 MB with their texts */
    JOB_CACHE = 4096,   /* tag values of recent jobs, direct mapped */
    NAME_CACHE = 1024,  /* names of recent objects, likewise */
    RECENT = 256,       /* groups that were added to last, by hash */
};

enum sum {
    SUM_GPU_US,
    SUM_USED,
    SUM_IDLE,
    SUM_WASTE,
    SUM_COST = SUM_WASTE + 3,
    SUM_PRICE = SUM_COST + 4,
    SUM_ENERGY,
    SUM_CARBON,
    SUM_UNKNOWN,
    SUM_IDLE_ENERGY,
    SUM_IDLE_CARBON,
    SUM_UNKNOWNS,
    SUM_IDLE_UNKNOWNS,
    SUM_MAX,
};

_Static_assert((int)SUM_MAX == (int)WEIR_AGG_SUMS, "one sum per column");
_Static_assert(WEIR_ACCOUNT_WASTE_FAILED - WEIR_ACCOUNT_WASTE_BOOT == 2 && WEIR_ACCOUNT_NODE == 4,
               "accounts are used as indexes");

struct group {
    int64_t key[WEIR_BILL_KEYS_MAX]; /* a number, or the index of a text */
    int64_t sum[SUM_MAX];
};

struct text_cache {
    uint64_t id;
    uint32_t text; /* + 1; 0: empty slot */
};

/* The day or month that was cut to last: postings follow one another in time. */
struct calendar {
    int64_t from; /* numbers hold from here up to end */
    int64_t end;
    int64_t day;
    int64_t month;
};

struct weir_agg {
    struct weir_wall from;
    struct weir_wall to;
    enum weir_bill_by by[WEIR_BILL_KEYS_MAX];
    const char *tag[WEIR_BILL_KEYS_MAX];
    size_t n_by;
    const struct weir_zone *zone;
    bool by_day;
    bool by_month;
    bool by_late;
    bool priced;
    struct calendar calendar;
    struct weir_agg_source source;
    struct weir_interner texts;
    struct weir_map names[WEIR_AGG_LOOKUP_MAX]; /* id -> index of text */
    struct text_cache known[WEIR_AGG_LOOKUP_MAX][NAME_CACHE];
    struct text_cache *tags[WEIR_BILL_KEYS_MAX];
    struct weir_map by_key; /* hash of the key -> index of the group; probed by the next hash */
    WEIR_VEC(struct group) groups;
    uint32_t recent[RECENT]; /* index + 1; 0: none */
    bool spilled;
};

static bool is_number(enum weir_bill_by by)
{
    return by == WEIR_BILL_BY_JOB || by == WEIR_BILL_BY_DAY || by == WEIR_BILL_BY_MONTH || by == WEIR_BILL_BY_LATE;
}

int weir_agg_new(struct weir_agg **ret, const struct weir_bill_filter *f, const enum weir_bill_by *by,
                 const char *const *tag, size_t n_by, const struct weir_agg_source *source, struct weir_err *err)
{
    if (n_by == 0 || n_by > WEIR_BILL_KEYS_MAX) {
        return weir_fail(err, -WEIR_EINVAL, "a bill is grouped by 1 to %d keys, not %zu", (int)WEIR_BILL_KEYS_MAX,
                         n_by);
    }
    for (size_t i = 0; i < n_by; i++) {
        if ((unsigned)by[i] >= WEIR_BILL_BY_MAX) {
            return weir_fail(err, -WEIR_EINVAL, "key %zu of the bill is not known", i + 1);
        }
        if (by[i] == WEIR_BILL_BY_TAG && (tag == NULL || tag[i] == NULL || tag[i][0] == '\0')) {
            return weir_fail(err, -WEIR_EINVAL, "key %zu of the bill is a tag without a name: write tag:NAME", i + 1);
        }
    }
    struct weir_agg *a = weir_alloc(sizeof *a);
    a->from = f->from;
    a->to = f->to;
    a->zone = f->zone;
    a->priced = f->priced;
    a->n_by = n_by;
    a->source = *source;
    for (size_t i = 0; i < n_by; i++) {
        a->by[i] = by[i];
        if (by[i] == WEIR_BILL_BY_TAG) {
            a->tag[i] = tag[i];
            a->tags[i] = weir_calloc(JOB_CACHE, sizeof *a->tags[i]);
        }
        a->by_day = a->by_day || by[i] == WEIR_BILL_BY_DAY;
        a->by_month = a->by_month || by[i] == WEIR_BILL_BY_MONTH;
        a->by_late = a->by_late || by[i] == WEIR_BILL_BY_LATE;
    }
    *ret = a;
    return 0;
}

static void forget_groups(struct weir_agg *a)
{
    weir_map_release(&a->by_key);
    weir_vec_clear(&a->groups);
    weir_interner_release(&a->texts);
    for (size_t i = 0; i < WEIR_AGG_LOOKUP_MAX; i++) {
        weir_map_release(&a->names[i]);
    }
    memset(a->known, 0, sizeof a->known);
    memset(a->recent, 0, sizeof a->recent);
    for (size_t i = 0; i < a->n_by; i++) {
        if (a->tags[i] != NULL) {
            memset(a->tags[i], 0, JOB_CACHE * sizeof *a->tags[i]);
        }
    }
}

void weir_agg_free(struct weir_agg *a)
{
    if (a == NULL) {
        return;
    }
    forget_groups(a);
    weir_vec_release(&a->groups);
    for (size_t i = 0; i < WEIR_BILL_KEYS_MAX; i++) {
        free(a->tags[i]);
    }
    free(a);
}

static int on_close(void *ctx, const struct weir_close_row *row)
{
    weir_close_vec *closes = ctx;
    weir_vec_push(closes, row->close);
    return 0;
}

int weir_agg_read_closes(struct weir_store *s, weir_close_vec *ret, struct weir_err *err)
{
    return s->ops->each_close(s, on_close, ret, err);
}

bool weir_agg_spilled(const struct weir_agg *a)
{
    return a->spilled;
}

static int name_find(struct weir_agg *a, enum weir_agg_lookup kind, uint64_t id, uint64_t *ret, struct weir_err *err)
{
    if (weir_map_get(&a->names[kind], id, ret)) {
        return 0;
    }
    const char *text = "";
    int r = id == 0 ? 0 : a->source.name(a->source.ctx, kind, id, &text, err);
    if (r < 0) {
        return r;
    }
    *ret = weir_intern(&a->texts, weir_sv_of(text));
    weir_map_put(&a->names[kind], id, *ret);
    return 0;
}

static int name_key(struct weir_agg *a, enum weir_agg_lookup kind, uint64_t id, int64_t *ret, struct weir_err *err)
{
    struct text_cache *c = &a->known[kind][id % NAME_CACHE];
    if (c->text == 0 || c->id != id) {
        uint64_t have = 0;
        int r = name_find(a, kind, id, &have, err);
        if (r < 0) {
            return r;
        }
        *c = (struct text_cache){id, (uint32_t)have + 1};
    }
    *ret = c->text - 1;
    return 0;
}

static int tag_key(struct weir_agg *a, size_t i, struct weir_job_id job, int64_t *ret, struct weir_err *err)
{
    struct text_cache *c = &a->tags[i][job.v % JOB_CACHE];
    if (c->text == 0 || c->id != job.v) {
        const char *text = "";
        int r = job.v == 0 ? 0 : a->source.tag(a->source.ctx, job, a->tag[i], &text, err);
        if (r < 0) {
            return r;
        }
        *c = (struct text_cache){job.v, weir_intern(&a->texts, weir_sv_of(text)) + 1};
    }
    *ret = c->text - 1;
    return 0;
}

/* Fills all keys but those of the calendar. */
static int keys_of(struct weir_agg *a, const struct weir_posting *p, int64_t *key, struct weir_err *err)
{
    int r = 0;
    for (size_t i = 0; i < a->n_by && r == 0; i++) {
        switch (a->by[i]) {
        case WEIR_BILL_BY_PROJECT:
            r = name_key(a, WEIR_AGG_PROJECT, p->project.v, &key[i], err);
            break;
        case WEIR_BILL_BY_USER:
            r = name_key(a, WEIR_AGG_USER, p->user.v, &key[i], err);
            break;
        case WEIR_BILL_BY_TAG:
            r = tag_key(a, i, p->run.task.job, &key[i], err);
            break;
        case WEIR_BILL_BY_POOL:
            r = name_key(a, WEIR_AGG_POOL, p->pool.v, &key[i], err);
            break;
        case WEIR_BILL_BY_JOB:
            key[i] = (int64_t)p->run.task.job.v;
            break;
        case WEIR_BILL_BY_NODE:
            r = name_key(a, WEIR_AGG_NODE, p->node.v, &key[i], err);
            break;
        case WEIR_BILL_BY_GPU_MODEL:
            r = name_key(a, WEIR_AGG_GPU_MODEL, p->node.v, &key[i], err);
            break;
        case WEIR_BILL_BY_DAY:
        case WEIR_BILL_BY_MONTH:
        case WEIR_BILL_BY_LATE:
        case WEIR_BILL_BY_MAX:
            break;
        }
    }
    return r;
}

static bool is_key(const struct weir_agg *a, uint64_t group, const int64_t *key)
{
    return memcmp(a->groups.p[group].key, key, sizeof a->groups.p[group].key) == 0;
}

static uint64_t group_find(struct weir_agg *a, uint64_t hash, const int64_t *key)
{
    uint64_t at;
    while (weir_map_get(&a->by_key, hash, &at)) {
        if (is_key(a, at, key)) {
            return at;
        }
        hash++;
    }
    weir_map_put(&a->by_key, hash, a->groups.n);
    struct group g = {0};
    memcpy(g.key, key, sizeof g.key);
    weir_vec_push(&a->groups, g);
    return a->groups.n - 1;
}

static struct group *group_of(struct weir_agg *a, const int64_t *key)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < a->n_by; i++) {
        hash = (hash ^ (uint64_t)key[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    uint32_t *recent = &a->recent[hash % RECENT];
    if (*recent == 0 || !is_key(a, *recent - 1, key)) {
        *recent = (uint32_t)group_find(a, hash, key) + 1;
    }
    return &a->groups.p[*recent - 1];
}

static void add(int64_t *sum, int64_t v)
{
    *sum = weir_i64_add_sat(*sum, v);
}

/* What an account was given; a credit gives less. Costs are credited. */
static void add_side(struct group *g, enum weir_account account, int64_t amount)
{
    switch (account) {
    case WEIR_ACCOUNT_PROVIDER:
    case WEIR_ACCOUNT_DEPRECIATION:
    case WEIR_ACCOUNT_ENERGY:
    case WEIR_ACCOUNT_UPKEEP:
        add(&g->sum[SUM_COST + (int)account], -amount);
        break;
    case WEIR_ACCOUNT_JOB:
        add(&g->sum[SUM_USED], amount);
        break;
    case WEIR_ACCOUNT_IDLE:
        add(&g->sum[SUM_IDLE], amount);
        break;
    case WEIR_ACCOUNT_WASTE_BOOT:
    case WEIR_ACCOUNT_WASTE_LOST:
    case WEIR_ACCOUNT_WASTE_FAILED:
        add(&g->sum[SUM_WASTE + (int)account - WEIR_ACCOUNT_WASTE_BOOT], amount);
        break;
    case WEIR_ACCOUNT_PRICE:
        add(&g->sum[SUM_PRICE], amount);
        break;
    case WEIR_ACCOUNT_NODE:
    case WEIR_ACCOUNT_MARGIN:
    case WEIR_ACCOUNT_MAX:
        break;
    }
}

static void add_footprint(struct group *g, const struct weir_posting *p, int64_t lo, int64_t hi)
{
    struct weir_footprint f = weir_posting_footprint(p, lo, hi);
    add(&g->sum[SUM_ENERGY], f.energy_mj);
    add(&g->sum[SUM_CARBON], f.carbon_ug);
    add(&g->sum[SUM_UNKNOWN], f.unknown_micro);
    add(&g->sum[SUM_UNKNOWNS], f.has_unknown);
    if (p->debit == WEIR_ACCOUNT_IDLE) {
        add(&g->sum[SUM_IDLE_ENERGY], f.energy_mj);
        add(&g->sum[SUM_IDLE_CARBON], f.carbon_ug);
        add(&g->sum[SUM_IDLE_UNKNOWNS], f.has_unknown);
    }
}

static void add_slice(struct group *g, const struct weir_posting *p, int64_t lo, int64_t hi)
{
    int64_t amount = weir_posting_slice(p, p->amount_micro, lo, hi);
    if (p->gpu_us > 0) {
        int64_t gpu_us = p->gpu_us > INT64_MAX ? INT64_MAX : (int64_t)p->gpu_us;
        add(&g->sum[SUM_GPU_US], weir_posting_slice(p, gpu_us, lo, hi));
    }
    if (p->energy_mj > 0 || p->carbon_unknown) {
        add_footprint(g, p, lo, hi);
    }
    add_side(g, (enum weir_account)p->debit, amount);
    add_side(g, (enum weir_account)p->credit, -amount);
}

/* Fills the keys of the calendar for what begins at lo; says where they end. */
static int64_t calendar_keys(struct weir_agg *a, int64_t lo, int64_t *key)
{
    struct calendar *c = &a->calendar;
    if (lo < c->from || lo >= c->end) {
        struct weir_wall t = {lo};
        c->from = lo;
        c->day = weir_zone_period(a->zone, WEIR_ZONE_DAY, t);
        c->month = weir_zone_period(a->zone, WEIR_ZONE_MONTH, t);
        c->end = weir_zone_period_end(a->zone, a->by_day ? WEIR_ZONE_DAY : WEIR_ZONE_MONTH, t).us;
    }
    for (size_t i = 0; i < a->n_by; i++) {
        key[i] = a->by[i] == WEIR_BILL_BY_DAY ? c->day : a->by[i] == WEIR_BILL_BY_MONTH ? c->month : key[i];
    }
    return c->end;
}

/* A posting has as many slices as days or months; one where they do not matter. */
static void add_on_time(struct weir_agg *a, const struct weir_posting *p, struct weir_billed part, int64_t *key)
{
    do {
        int64_t end = a->by_day || a->by_month ? calendar_keys(a, part.lo, key) : part.hi;
        end = end < part.hi ? end : part.hi;
        add_slice(group_of(a, key), p, part.lo, end);
        part.lo = end;
    } while (part.lo < part.hi);
}

/* All of it in one day and month; it may be for several. */
static void add_late(struct weir_agg *a, const struct weir_posting *p, struct weir_billed part, struct weir_wall at, int64_t *key)
{
    if (a->by_day || a->by_month) {
        (void)calendar_keys(a, at.us, key);
    }
    do {
        struct weir_wall lo = {part.lo};
        int64_t end = a->by_late ? weir_zone_period_end(a->zone, WEIR_ZONE_MONTH, lo).us : part.hi;
        end = end < part.hi ? end : part.hi;
        for (size_t i = 0; i < a->n_by; i++) {
            key[i] = a->by[i] == WEIR_BILL_BY_LATE ? weir_zone_period(a->zone, WEIR_ZONE_MONTH, lo) : key[i];
        }
        add_slice(group_of(a, key), p, part.lo, end);
        part.lo = end;
    } while (part.lo < part.hi);
    for (size_t i = 0; i < a->n_by; i++) {
        key[i] = a->by[i] == WEIR_BILL_BY_LATE ? 0 : key[i];
    }
}

int weir_agg_add(struct weir_agg *a, const struct weir_posting *p, struct weir_err *err)
{
    struct weir_billed part[2];
    struct weir_wall until = weir_closed_until(&a->source.closes, p->id);
    bool rated = p->debit == WEIR_ACCOUNT_PRICE || p->credit == WEIR_ACCOUNT_PRICE;
    size_t n = rated && !a->priced ? 0 : weir_posting_billed(p, until, a->from, a->to, part);
    if (n == 0) {
        return 0;
    }
    int64_t key[WEIR_BILL_KEYS_MAX] = {0};
    int r = keys_of(a, p, key, err);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < n; i++) {
        if (part[i].is_late) {
            add_late(a, p, part[i], until, key);
        } else {
            add_on_time(a, p, part[i], key);
        }
    }
    if (a->groups.n >= GROUPS_MAX && a->source.spill != NULL) {
        return weir_agg_flush(a, err);
    }
    return 0;
}

static struct weir_agg_row row_of(const struct weir_agg *a, const struct group *g)
{
    struct weir_agg_row row = {0};
    for (size_t i = 0; i < a->n_by; i++) {
        if (is_number(a->by[i])) {
            row.key[i] = (struct weir_agg_key){.is_number = true, .number = g->key[i]};
        } else {
            row.key[i].text = weir_intern_text(&a->texts, (uint32_t)g->key[i]);
        }
    }
    memcpy(row.sum, g->sum, sizeof row.sum);
    return row;
}

int weir_agg_flush(struct weir_agg *a, struct weir_err *err)
{
    WEIR_ASSERT(a->source.spill != NULL);
    a->spilled = true;
    int r = 0;
    for (size_t i = 0; i < a->groups.n && r == 0; i++) {
        struct weir_agg_row row = row_of(a, &a->groups.p[i]);
        r = a->source.spill(a->source.ctx, &row, err);
    }
    forget_groups(a);
    return r;
}

static int row_order(const void *va, const void *vb)
{
    const struct weir_agg_row *a = va;
    const struct weir_agg_row *b = vb;
    for (size_t i = 0; i < WEIR_BILL_KEYS_MAX; i++) {
        int c;
        if (a->key[i].is_number) {
            c = (a->key[i].number > b->key[i].number) - (a->key[i].number < b->key[i].number);
        } else if (a->key[i].text != NULL) {
            c = strcmp(a->key[i].text, b->key[i].text);
        } else {
            c = 0;
        }
        if (c != 0) {
            return c;
        }
    }
    return 0;
}

int weir_agg_emit_row(const enum weir_bill_by *by, size_t n_by, const struct weir_agg_row *row, weir_bill_row_fn *fn,
                      void *ctx)
{
    char text[WEIR_BILL_KEYS_MAX][24];
    struct weir_bill_row out = {
        .gpu_us = (uint64_t)row->sum[SUM_GPU_US], .used_micro = row->sum[SUM_USED], .idle_micro = row->sum[SUM_IDLE]};
    for (size_t i = 0; i < WEIR_BILL_KEYS_MAX; i++) {
        out.key[i] = "";
        if (i >= n_by) {
            continue;
        }
        if (by[i] == WEIR_BILL_BY_JOB) {
            (void)snprintf(text[i], sizeof text[i], "%" PRIu64, (uint64_t)row->key[i].number);
            out.key[i] = row->key[i].number == 0 ? "" : text[i];
        } else if (by[i] == WEIR_BILL_BY_DAY) {
            struct weir_date d = weir_wall_to_date((struct weir_wall){row->key[i].number * WEIR_US_PER_DAY});
            (void)snprintf(text[i], sizeof text[i], "%04d-%02d-%02d", d.year, d.month, d.day);
            out.key[i] = text[i];
        } else if (by[i] == WEIR_BILL_BY_MONTH || by[i] == WEIR_BILL_BY_LATE) {
            int64_t month = row->key[i].number;
            (void)snprintf(text[i], sizeof text[i], "%04d-%02d", (int)(1970 + month / 12), (int)(month % 12 + 1));
            out.key[i] = by[i] == WEIR_BILL_BY_LATE && month == 0 ? "" : text[i];
        } else {
            out.key[i] = row->key[i].text;
        }
    }
    memcpy(out.waste_micro, &row->sum[SUM_WASTE], sizeof out.waste_micro);
    memcpy(out.cost_micro, &row->sum[SUM_COST], sizeof out.cost_micro);
    out.price_micro = row->sum[SUM_PRICE];
    out.footprint = (struct weir_footprint){row->sum[SUM_ENERGY], row->sum[SUM_CARBON], row->sum[SUM_UNKNOWN], row->sum[SUM_UNKNOWNS] != 0};
    out.idle_energy_mj = row->sum[SUM_IDLE_ENERGY];
    out.idle_carbon_ug = row->sum[SUM_IDLE_CARBON];
    out.idle_has_unknown = row->sum[SUM_IDLE_UNKNOWNS] != 0;
    out.total_micro = weir_i64_add_sat(out.used_micro, out.idle_micro);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(out.waste_micro); i++) {
        out.total_micro = weir_i64_add_sat(out.total_micro, out.waste_micro[i]);
    }
    return fn(ctx, &out);
}

int weir_agg_emit(struct weir_agg *a, weir_bill_row_fn *fn, void *ctx)
{
    WEIR_ASSERT(!a->spilled);
    if (a->groups.n == 0) {
        return 0;
    }
    WEIR_CLEANUP(weir_freep) struct weir_agg_row *row = weir_calloc(a->groups.n, sizeof *row);
    for (size_t i = 0; i < a->groups.n; i++) {
        row[i] = row_of(a, &a->groups.p[i]);
    }
    qsort(row, a->groups.n, sizeof *row, row_order);
    int r = 0;
    for (size_t i = 0; i < a->groups.n && r == 0; i++) {
        r = weir_agg_emit_row(a->by, a->n_by, &row[i], fn, ctx);
    }
    return r;
}
