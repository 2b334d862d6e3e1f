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
#include "budget_spans.h"
#include "series.h"

enum {
    WEIR_SIM_FIELDS_MAX = 84, /* of a row: case and metrics together */
    WEIR_SIM_TEXT_SIZE = 48,
    WEIR_SIM_NAME_SIZE = 40,
    WEIR_SIM_CURRENCY_SIZE = 8,
    WEIR_SIM_ASSUMPTIONS_MAX = 64,
    WEIR_SIM_NOTES_MAX = 16,
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
    struct weir_sim_budget_spans *budgets; /* what they did; NULL: there were none. Owned by the result */
};

/* What a run took for granted, in words: "Owned nodes", "Purchase price", "15,000 USD a GPU". */
struct weir_sim_assumption {
    char topic[WEIR_SIM_TEXT_SIZE];
    char name[WEIR_SIM_TEXT_SIZE];
    char text[256];
};

struct weir_sim_tuned; /* tune.h */

struct weir_sim_result {
    const char *suite;
    struct weir_sim_row *row;
    size_t n_rows;
    size_t rows_size;
    uint64_t hash;
    char currency[WEIR_SIM_CURRENCY_SIZE]; /* of the amounts; "": the metrics' names say it */
    char currency_per_hour[WEIR_SIM_CURRENCY_SIZE + 2];
    struct weir_sim_assumption *assumption; /* in the order in which they are to be read; owned */
    size_t n_assumptions;
    char *note[WEIR_SIM_NOTES_MAX]; /* what a person should know of the run: what was left out, what is missing. Owned */
    size_t n_notes;
    bool owns_only;    /* no cloud was named: nothing can be rented */
    uint64_t left_out; /* records of the input that never began or have not ended */
    struct weir_sim_tuned *tuned; /* what the tuner found; NULL: nothing was tuned. Owned */
};

void weir_sim_result_init(struct weir_sim_result *r, const char *suite);
void weir_sim_result_release(struct weir_sim_result *r);

/* A code of three capitals. */
void weir_sim_result_set_currency(struct weir_sim_result *r, const char *code);
/* One that is there already by topic and name, but says something else, becomes "differs: see the rows". */
void weir_sim_assume(struct weir_sim_result *r, const char *topic, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Said once, however often it is noted. */
void weir_sim_note(struct weir_sim_result *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

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

/* {"suite": .., "currency": "USD", "rows": [{"case": {..}, "policy": "..", metrics, "budgets": [..], "series": {..}}], "trace_hash": "16 hex digits",
 * "left_out": n, "assumptions": [{"topic": .., "name": .., "text": ..}], "notes": [".."], "tune": {..}}; budgets, series, tune, and lists that are empty only where there are such;
 * currency where it was set */
void weir_sim_result_json(const struct weir_sim_result *r, struct weir_str *out);
/* A number as short as it can be said with the digits that matter: at most nine. */
void weir_sim_real_text(char *ret, size_t size, double v);
