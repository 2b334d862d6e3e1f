/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A result as one HTML page for people who decide on money: findings in plain words, charts, all figures, and what was
 * asked. The page needs nothing from outside and no script, prints on A4, and is the same bytes for the same result.
 */

#include "result.h"

enum { WEIR_SIM_REPORT_BYTES_MAX = 64 << 20 };

struct weir_sim_report_input {
    const char *path;
    uint64_t bytes;
    char sha256[65];
};

struct weir_sim_report {
    const struct weir_sim_result *result;
    const char *command; /* as it was given */
    const char *seed;    /* as it was given; NULL: the suite's own */
    const struct weir_sim_report_input *input;
    size_t n_inputs;
};

/* Writes the page. Where *out overflows it is not whole. */
void weir_sim_report_html(const struct weir_sim_report *r, struct weir_str *out);
