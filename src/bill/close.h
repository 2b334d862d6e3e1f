/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Closed months. A close says: of the time before its end, all that was posted by now is billed there, and what is
 * posted later is not. Later postings for that time keep their span, but are billed at the first moment that was not
 * closed when they were made: they are late. So a statement of closed time never changes, statements of neighbouring
 * spans still add up to the whole, and no posting is ever touched. Pure.
 */

#include "base/str.h"
#include "bill/bill.h"

struct weir_close {
    struct weir_wall from; /* where the one before it ends */
    struct weir_wall to;
    uint64_t last_posting; /* the last that counts before to */
};

/* In order of time; last_posting never decreases. Borrowed. */
struct weir_closes {
    const struct weir_close *p;
    size_t n;
};

/* How many months had been closed when the posting was made. */
size_t weir_closes_before(const struct weir_closes *c, uint64_t posting);
/* Nothing of the posting is billed before that; 0: nothing had been closed. */
struct weir_wall weir_closed_until(const struct weir_closes *c, uint64_t posting);
/* Postings behind this one are not billed before t; UINT64_MAX: any may be. */
uint64_t weir_closes_last(const struct weir_closes *c, struct weir_wall t);

/* A part of a posting as it is billed. */
struct weir_billed {
    int64_t lo; /* of its span; lo == hi: an instant */
    int64_t hi;
    bool is_late; /* billed as a whole at until, and not when it was */
};
/* What of a posting is billed in from..to; until: weir_closed_until. The late part comes first. Returns how many there are. */
size_t weir_posting_billed(const struct weir_posting *p, struct weir_wall until, struct weir_wall from, struct weir_wall to,
                           struct weir_billed ret[static 2]);

/* ---- the proof of a close ---- */

struct weir_close_sums {
    uint64_t postings; /* that count, some in part */
    uint64_t gpu_us;
    int64_t cost_micro;
    int64_t used_micro;
    int64_t idle_micro;
    int64_t waste_micro;
    int64_t price_micro; /* charged beyond the cost */
};
bool weir_close_sums_eq(const struct weir_close_sums *a, const struct weir_close_sums *b);

/* What a posting adds to one of the closes: sums, and what is digested. */
typedef void weir_close_part_fn(void *ctx, size_t close, const struct weir_posting *p, const struct weir_close_sums *part);
void weir_closes_add(const struct weir_closes *c, const struct weir_posting *p, weir_close_part_fn *fn, void *ctx);
void weir_close_sums_add(struct weir_close_sums *sum, const struct weir_close_sums *part);
/* All that is stored of a posting as a line of text. */
void weir_posting_line(const struct weir_posting *p, struct weir_str *out);
