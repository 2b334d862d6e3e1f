/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Adds up postings into the rows of a bill; both back ends feed it. Memory is bounded: when too many
 * different rows come together they are handed to a spill (a temporary table of the database) and the
 * count begins anew; without a spill (mem) they are kept.
 *
 * A posting's span is cut to the asked span, and to calendar days or months, by cumulative shares: part(t) = amount x (t - from) /
 * (to - from), half up, and a slice is the difference of two parts. So the slices of a posting add up to the
 * posting, whatever the cuts. A posting for an instant (from == to) belongs to the span that it lies in. What was posted after its
 * time was closed belongs, as an instant, to the first moment that was not closed then.
 */

#include "base/vec.h"
#include "store/store_priv.h"

enum weir_agg_lookup {
    WEIR_AGG_PROJECT,
    WEIR_AGG_USER,
    WEIR_AGG_POOL,
    WEIR_AGG_NODE,
    WEIR_AGG_GPU_MODEL, /* of the node */
    WEIR_AGG_LOOKUP_MAX,
};

/* One key of a row: a number (days or months since 1970, job ids) or a text. */
struct weir_agg_key {
    bool is_number;
    int64_t number;
    const char *text;
};

enum { WEIR_AGG_SUMS = 18 };

struct weir_agg_row {
    struct weir_agg_key key[WEIR_BILL_KEYS_MAX];
    int64_t sum[WEIR_AGG_SUMS]; /* gpu_us, used, idle, waste[3], cost[4], price, energy, carbon, what it cost where that is not known, energy and carbon of idle, how often that was not known, of all and of idle */
};

struct weir_agg_source {
    void *ctx;
    /* The name of an object; *ret is borrowed until the next call, "" where there is none. */
    int (*name)(void *ctx, enum weir_agg_lookup kind, uint64_t id, const char **ret, struct weir_err *err);
    /* The value of a job's tag as text, borrowed until the next call; "" where it has none. */
    int (*tag)(void *ctx, struct weir_job_id job, const char *tag, const char **ret, struct weir_err *err);
    /* Adds a row to what was spilled before. NULL: there is no spill. */
    int (*spill)(void *ctx, const struct weir_agg_row *row, struct weir_err *err);
    struct weir_closes closes; /* borrowed */
};

typedef WEIR_VEC(struct weir_close) weir_close_vec;
/* The months that were closed, for a source. */
int weir_agg_read_closes(struct weir_store *s, weir_close_vec *ret, struct weir_err *err);

struct weir_agg;

/* Of the filter, span and zone are looked at; the zone is borrowed. Errors: -WEIR_EINVAL: n_by is not 1..WEIR_BILL_KEYS_MAX, or a tag has no name. by and tag are borrowed. */
int weir_agg_new(struct weir_agg **ret,
                 const struct weir_bill_filter *f,
                 const enum weir_bill_by *by,
                 const char *const *tag,
                 size_t n_by,
                 const struct weir_agg_source *source,
                 struct weir_err *err);
void weir_agg_free(struct weir_agg *a);
/* The caller has filtered; only the span is looked at here. */
int weir_agg_add(struct weir_agg *a, const struct weir_posting *p, struct weir_err *err);
bool weir_agg_spilled(const struct weir_agg *a);
/* Hands the rest to the spill. */
int weir_agg_flush(struct weir_agg *a, struct weir_err *err);
/* Where nothing was spilled: the rows in order of their keys. A non-zero result of fn ends it and is returned. */
int weir_agg_emit(struct weir_agg *a, weir_bill_row_fn *fn, void *ctx);
/* Calls fn with one row. */
int weir_agg_emit_row(const enum weir_bill_by *by, size_t n_by, const struct weir_agg_row *row, weir_bill_row_fn *fn, void *ctx);
