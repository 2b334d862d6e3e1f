/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What machines that were rented tell of those that might be: how long they took to come up, how many launches came to nothing and what
 * that took, how many were taken back in how long. Whole numbers only. Evidence fades by half each week, and counts for eight.
 *
 * An estimate starts from what the offer itself says and is moved by the evidence of ever narrower groups of offers, each without what
 * the next holds, so that nothing counts twice. Each group's evidence is weighed against a few machines' worth of what the wider ones say: one
 * event moves little, many decide. (For rates of reclaim this is the mean of a gamma distribution with so many events of its own; for the
 * others a mean with so many observations of its own.)
 */

#include <stdint.h>

enum {
    WEIR_EVIDENCE_DAYS = 56,           /* evidence that is older does not count */
    WEIR_EVIDENCE_MACHINES = 6,        /* so many launches weigh as much as what is believed without them */
    WEIR_EVIDENCE_RECLAIMS = 4,        /* the same, of reclaims that were to be expected */
    WEIR_EVIDENCE_RECLAIM_PPM_MIN = 1000, /* per hour: where an offer says less, so much counts as to be expected */
};

/* A sum over machines; counts are whole as they are seen, and millionths once they are weighed by age. */
struct weir_evidence {
    int64_t boots;    /* launches that came up */
    int64_t failures; /* launches that did not */
    int64_t late_us;  /* what those that came up took, less what their offers said */
    int64_t lost_us;  /* from the launch until it was known to have failed */
    int64_t paid_us;  /* of that, what is billed */
    int64_t reclaims;
    int64_t expected_ppm; /* reclaims that were to be expected of them by their offers, in millionths */
    int64_t lived_us; /* while they could be taken back */
};

struct weir_estimate {
    int64_t late_us; /* a machine comes up so much later than its offer says, on average; < 0: earlier */
    int64_t lost_us; /* for each that comes up, on launches that do not */
    int64_t paid_us;
    int64_t reclaim_ppm; /* reclaims to those that are to be expected by the offer, in millionths: 1,000,000 is as many */
};

/* Nothing was seen: it is as offers say. */
#define WEIR_ESTIMATE_NONE ((struct weir_estimate){.reclaim_ppm = 1000000})

/* How much evidence counts after so many whole days, in millionths. */
int64_t weir_evidence_weight_ppm(int64_t days);
/* Adds what was seen so many days ago, weighed. */
void weir_evidence_weigh(struct weir_evidence *to, const struct weir_evidence *seen, int64_t days);
/* Adds as it is, or takes away; what is weighed never gets less than nothing but late_us. */
void weir_evidence_add(struct weir_evidence *to, const struct weir_evidence *e);
void weir_evidence_take(struct weir_evidence *from, const struct weir_evidence *e);
/* The estimate for a group, by its weighed evidence and what is believed of the wider one, which weighs so many times as much as it
 * otherwise would: more for groups of what is less alike. */
struct weir_estimate weir_estimate_of(const struct weir_estimate *wider, const struct weir_evidence *weighed, int64_t times);
/* An offer that says so much is expected to be taken back so often, per hour in millionths. */
uint32_t weir_estimate_reclaim_ppm(const struct weir_estimate *e, uint32_t listed_ppm);
/* Reclaims that are to be expected in such a life by what the offer says, in millionths. */
int64_t weir_evidence_expected_ppm(uint32_t listed_ppm_per_hour, int64_t lived_us);
