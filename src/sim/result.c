/* SPDX-License-Identifier: Apache-2.0 */

#include "result.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "tune.h"

void weir_sim_result_init(struct weir_sim_result *r, const char *suite)
{
    *r = (struct weir_sim_result){.suite = suite, .hash = WEIR_FNV_BASIS};
    weir_sim_hash_text(r, suite);
}

void weir_sim_result_set_currency(struct weir_sim_result *r, const char *code)
{
    snprintf(r->currency, sizeof r->currency, "%s", code);
    snprintf(r->currency_per_hour, sizeof r->currency_per_hour, "%s/h", r->currency);
}

void weir_sim_assume(struct weir_sim_result *r, const char *topic, const char *name, const char *format, ...)
{
    struct weir_sim_assumption a = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(a.text, sizeof a.text, format, args);
    va_end(args);
    snprintf(a.topic, sizeof a.topic, "%s", topic);
    snprintf(a.name, sizeof a.name, "%s", name);
    for (size_t i = 0; i < r->n_assumptions; i++) {
        struct weir_sim_assumption *known = &r->assumption[i];
        if (weir_streq(known->topic, a.topic) && weir_streq(known->name, a.name)) {
            if (!weir_streq(known->text, a.text)) {
                snprintf(known->text, sizeof known->text, "differs: see the rows");
            }
            return;
        }
    }
    WEIR_ASSERT(r->n_assumptions < WEIR_SIM_ASSUMPTIONS_MAX);
    r->assumption = weir_realloc(r->assumption, r->n_assumptions + 1, sizeof *r->assumption);
    r->assumption[r->n_assumptions++] = a;
}

void weir_sim_note(struct weir_sim_result *r, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool known = r->n_notes == WEIR_SIM_NOTES_MAX;
    for (size_t i = 0; i < r->n_notes && !known; i++) {
        known = weir_streq(r->note[i], text);
    }
    if (!known) {
        r->note[r->n_notes++] = weir_strdup(text);
    }
}

void weir_sim_result_release(struct weir_sim_result *r)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        free(r->row[i].series);
        weir_sim_budget_spans_free(r->row[i].budgets);
    }
    for (size_t i = 0; i < r->n_notes; i++) {
        free(r->note[i]);
    }
    free(r->row);
    free(r->assumption);
    free(r->tuned);
    *r = (struct weir_sim_result){0};
}

struct weir_sim_row *weir_sim_row(struct weir_sim_result *r, const char *policy)
{
    if (r->n_rows == r->rows_size) {
        r->rows_size = r->rows_size == 0 ? 16 : r->rows_size * 2;
        r->row = weir_realloc(r->row, r->rows_size, sizeof *r->row);
    }
    struct weir_sim_row *row = &r->row[r->n_rows++];
    *row = (struct weir_sim_row){0};
    snprintf(row->policy, sizeof row->policy, "%s", policy);
    return row;
}

static struct weir_sim_field *add_field(struct weir_sim_row *row, const char *name, bool metric, enum weir_sim_kind kind)
{
    WEIR_ASSERT(row->n_fields < WEIR_SIM_FIELDS_MAX);
    struct weir_sim_field *f = &row->field[row->n_fields++];
    *f = (struct weir_sim_field){.metric = metric, .kind = kind};
    snprintf(f->name, sizeof f->name, "%s", name);
    return f;
}

void weir_sim_case_count(struct weir_sim_row *row, const char *name, int64_t v)
{
    add_field(row, name, false, WEIR_SIM_COUNT)->u.count = v;
}

void weir_sim_case_real(struct weir_sim_row *row, const char *name, double v)
{
    add_field(row, name, false, WEIR_SIM_REAL)->u.real = v;
}

void weir_sim_case_text(struct weir_sim_row *row, const char *name, const char *v)
{
    snprintf(add_field(row, name, false, WEIR_SIM_TEXT)->u.text, WEIR_SIM_TEXT_SIZE, "%s", v);
}

void weir_sim_metric_count(struct weir_sim_row *row, const char *name, int64_t v)
{
    add_field(row, name, true, WEIR_SIM_COUNT)->u.count = v;
}

void weir_sim_metric(struct weir_sim_row *row, const char *name, double v)
{
    if (!isfinite(v)) {
        weir_sim_metric_none(row, name);
        return;
    }
    add_field(row, name, true, WEIR_SIM_REAL)->u.real = v;
}

void weir_sim_metric_none(struct weir_sim_row *row, const char *name)
{
    add_field(row, name, true, WEIR_SIM_NONE);
}

void weir_sim_metric_bool(struct weir_sim_row *row, const char *name, bool v)
{
    add_field(row, name, true, WEIR_SIM_BOOL)->u.yes = v;
}

const struct weir_sim_field *weir_sim_row_field(const struct weir_sim_row *row, const char *name)
{
    for (size_t i = 0; i < row->n_fields; i++) {
        if (weir_streq(row->field[i].name, name)) {
            return &row->field[i];
        }
    }
    return NULL;
}

void weir_sim_hash_u64(struct weir_sim_result *r, uint64_t v)
{
    r->hash = weir_fnv_u64(r->hash, v);
}

void weir_sim_hash_text(struct weir_sim_result *r, const char *text)
{
    r->hash = weir_fnv_byte(weir_fnv_bytes(r->hash, text, strlen(text)), 0xff);
}

void weir_sim_real_text(char *ret, size_t size, double v)
{
    snprintf(ret, size, "%.9g", v == 0 ? 0.0 : v); /* no negative zero */
}

static void write_field(struct weir_json *j, const struct weir_sim_field *f)
{
    char number[40];
    weir_json_key(j, f->name);
    switch (f->kind) {
    case WEIR_SIM_COUNT:
        weir_json_i64(j, f->u.count);
        return;
    case WEIR_SIM_REAL:
        weir_sim_real_text(number, sizeof number, f->u.real);
        weir_json_raw(j, weir_sv_of(number));
        return;
    case WEIR_SIM_TEXT:
        weir_json_cstr(j, f->u.text);
        return;
    case WEIR_SIM_BOOL:
        weir_json_bool(j, f->u.yes);
        return;
    case WEIR_SIM_NONE:
        break;
    }
    weir_json_null(j);
}

static void write_assumptions(const struct weir_sim_result *r, struct weir_json *j)
{
    if (r->n_assumptions == 0) {
        return;
    }
    weir_json_key(j, "assumptions");
    weir_json_array(j);
    for (size_t i = 0; i < r->n_assumptions; i++) {
        weir_json_object(j);
        weir_json_kv_cstr(j, "topic", r->assumption[i].topic);
        weir_json_kv_cstr(j, "name", r->assumption[i].name);
        weir_json_kv_cstr(j, "text", r->assumption[i].text);
        weir_json_end(j);
    }
    weir_json_end(j);
}

static void write_notes(const struct weir_sim_result *r, struct weir_json *j)
{
    if (r->n_notes == 0) {
        return;
    }
    weir_json_key(j, "notes");
    weir_json_array(j);
    for (size_t i = 0; i < r->n_notes; i++) {
        weir_json_cstr(j, r->note[i]);
    }
    weir_json_end(j);
}

void weir_sim_result_json(const struct weir_sim_result *r, struct weir_str *out)
{
    struct weir_json j = weir_json_begin(out);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "suite", r->suite);
    if (r->currency[0] != '\0') {
        weir_json_kv_cstr(&j, "currency", r->currency);
    }
    weir_json_key(&j, "rows");
    weir_json_array(&j);
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct weir_sim_row *row = &r->row[i];
        weir_json_object(&j);
        weir_json_key(&j, "case");
        weir_json_object(&j);
        for (size_t k = 0; k < row->n_fields; k++) {
            if (!row->field[k].metric) {
                write_field(&j, &row->field[k]);
            }
        }
        weir_json_end(&j);
        weir_json_kv_cstr(&j, "policy", row->policy);
        for (size_t k = 0; k < row->n_fields; k++) {
            if (row->field[k].metric) {
                write_field(&j, &row->field[k]);
            }
        }
        if (row->budgets != NULL) {
            weir_json_key(&j, "budgets");
            weir_sim_budget_spans_json(row->budgets, &j);
        }
        if (row->series != NULL) {
            weir_json_key(&j, "series");
            weir_sim_series_json(row->series, &j);
        }
        weir_json_end(&j);
    }
    weir_json_end(&j);
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->hash);
    weir_json_kv_cstr(&j, "trace_hash", hash);
    if (r->left_out > 0) {
        weir_json_kv_i64(&j, "left_out", (int64_t)r->left_out);
    }
    write_assumptions(r, &j);
    write_notes(r, &j);
    if (r->tuned != NULL) {
        weir_json_key(&j, "tune");
        weir_sim_tuned_json(r->tuned, &j);
    }
    weir_json_end(&j);
    weir_str_addc(out, '\n');
}
