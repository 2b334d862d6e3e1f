/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a run of the simulator gives: rows of (case, policy, metrics), and one hash over everything that
 * was decided, so that two runs can be compared by eye. Figures are doubles: they are read by people
 * and scripts, and no decision comes from them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "series.h"

enum {
    WEIR_SIM_FIELDS_MAX = 80, /* of a row: case and metrics together */
    WEIR_SIM_TEXT_SIZE = 48,
    WEIR_SIM_NAME_SIZE = 40,
};

enum weir_sim_kind {
    WEIR_SIM_NONE, /* not known or not meant: null */
    WEIR_SIM_COUNT,
    WEIR_SIM_REAL,
    WEIR_SIM_TEXT,
    WEIR_SIM_BOOL,
};

struct weir_sim_field {
    char name[WEIR_SIM_NAME_SIZE];
    bool metric; /* else part of the case */
    enum weir_sim_kind kind;
    union {
        int64_t count;
        double real;
        char text[WEIR_SIM_TEXT_SIZE];
        bool yes;
    } u;
};

struct weir_sim_row {
    char policy[WEIR_SIM_TEXT_SIZE];
    size_t n_fields;
    struct weir_sim_field field[WEIR_SIM_FIELDS_MAX];
    struct weir_sim_series *series; /* how it went over time; NULL: not known. Owned by the result */
};

struct weir_sim_tuned; /* tune.h */

struct weir_sim_result {
    const char *suite;
    struct weir_sim_row *row;
    size_t n_rows;
    size_t rows_size;
    uint64_t hash;
    struct weir_sim_tuned *tuned; /* what the tuner found; NULL: nothing was tuned. Owned */
};

void weir_sim_result_init(struct weir_sim_result *r, const char *suite);
void weir_sim_result_release(struct weir_sim_result *r);

/* Begins a row; the following fields are the case's, then the metrics in the order to be shown. Borrowed
 * until the next row. More than WEIR_SIM_FIELDS_MAX fields are a programmer's error. */
struct weir_sim_row *weir_sim_row(struct weir_sim_result *r, const char *policy);
void weir_sim_case_count(struct weir_sim_row *row, const char *name, int64_t v);
void weir_sim_case_real(struct weir_sim_row *row, const char *name, double v);
void weir_sim_case_text(struct weir_sim_row *row, const char *name, const char *v);
void weir_sim_metric_count(struct weir_sim_row *row, const char *name, int64_t v);
/* NaN and infinities become null. */
void weir_sim_metric(struct weir_sim_row *row, const char *name, double v);
void weir_sim_metric_none(struct weir_sim_row *row, const char *name);
void weir_sim_metric_bool(struct weir_sim_row *row, const char *name, bool v);
/* NULL where the row has none. */
const struct weir_sim_field *weir_sim_row_field(const struct weir_sim_row *row, const char *name);

/* Takes a decision into the hash: FNV-1a, 64 bits, over the number's bytes, lowest first. */
void weir_sim_hash_u64(struct weir_sim_result *r, uint64_t v);
void weir_sim_hash_text(struct weir_sim_result *r, const char *text);

/* {"suite": .., "rows": [{"case": {..}, "policy": "..", metrics, "series": {..}}], "trace_hash": "16 hex digits", "tune": {..}};
 * series and tune: where there are such */
void weir_sim_result_json(const struct weir_sim_result *r, struct weir_str *out);
/* A number as short as it can be said with the digits that matter: at most nine. */
void weir_sim_real_text(char *ret, size_t size, double v);
