/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One line on a terminal that says how far long work is: share done, rate, time left. Where standard error is no
 * terminal nothing is shown. The line is redrawn in place and erased at the end.
 */

#include "base/str.h"
#include "base/wtime.h"

/* What was done at a time. */
struct weir_progress_mark {
    struct weir_mono at;
    uint64_t done;
};

struct weir_progress {
    const char *label;
    bool live;
    unsigned width; /* columns of the terminal */
    bool shown;
    struct weir_mono drawn;
    const char *what; /* of the marks, and their unit; when they change, counting begins anew */
    const char *unit;
    /* The rate counts from the older mark: it follows work that becomes slower within seconds. */
    struct weir_progress_mark older;
    struct weir_progress_mark newer;
};

/* The label is borrowed; NULL: none. */
void weir_progress_begin(struct weir_progress *p, const char *label, struct weir_mono now);
/* To be called as often as one likes: done of total. what: what is being done; unit: what is counted, in the plural, for the
 * rate; either may be NULL, both are borrowed until the end. */
void weir_progress_show(struct weir_progress *p, const char *what, const char *unit, uint64_t done, uint64_t total,
                        struct weir_mono now);
/* Erases the line. */
void weir_progress_end(struct weir_progress *p);

/* "starburst: 34 %, 52,301 jobs/s, 1m 12s left", label, what and unit being those of p; without rate and time left where
 * left is not above 0. For the tests too. */
void weir_progress_text(struct weir_str *out, const struct weir_progress *p, unsigned percent, double per_second, struct weir_dur left);
