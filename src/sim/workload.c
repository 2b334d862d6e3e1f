/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Opens files of work and puts their jobs in order. What has been read but not given out yet is a window: records in slots, and a
 * sorted list of them. Since files are sorted, or nearly, a new record belongs at the list's end or close to it.
 */

#include "workload.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/vec.h"
#include "workload_priv.h"

static const struct weir_sim_form_reader *const readers[] = {
    &weir_sim_form_weir,  &weir_sim_form_sacct, &weir_sim_form_swf,  &weir_sim_form_philly,
    &weir_sim_form_pai, &weir_sim_form_openb, &weir_sim_form_muri,
};

struct entry {
    int64_t submit_us;
    size_t slot;
};

struct weir_sim_workload {
    const struct weir_sim_form_reader *reader;
    struct weir_input *in;
    char *path;
    struct weir_sim_names names;
    struct weir_sim_workload_options options;
    int64_t epoch_us;
    uint64_t skipped;
    bool ended; /* the file */
    int64_t last_us; /* submission that was given out last */
    WEIR_VEC(struct weir_sim_job) slot;
    WEIR_VEC(size_t) spare; /* slots */
    WEIR_VEC(struct entry) entry; /* sorted from first on */
    size_t first;
};

const struct weir_sim_form *weir_sim_form_at(size_t i)
{
    return i < WEIR_ARRAY_LEN(readers) ? &readers[i]->form : NULL;
}

void weir_sim_workload_free(struct weir_sim_workload *w)
{
    if (w == NULL) {
        return;
    }
    weir_input_free(w->in);
    weir_interner_release(&w->names.projects);
    weir_interner_release(&w->names.users);
    weir_interner_release(&w->names.models);
    weir_vec_release(&w->slot);
    weir_vec_release(&w->spare);
    weir_vec_release(&w->entry);
    free(w->path);
    free(w);
}

void weir_sim_workload_freep(struct weir_sim_workload **w)
{
    weir_sim_workload_free(*w);
}

/* ---- the form ---- */

static const struct weir_sim_form_reader *reader_named(const char *name, struct weir_err *err)
{
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(512);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(readers); i++) {
        if (weir_streq(readers[i]->form.name, name)) {
            return readers[i];
        }
        weir_str_addf(&all, "%s%s", i == 0 ? "" : ", ", readers[i]->form.name);
    }
    weir_fail(err, -WEIR_ENOTFOUND, "there is no form '%s'; the forms are: %s", name, weir_str_cstr(&all));
    return NULL;
}

/* How many of the columns that the reader must have the line names, of how many. */
static size_t count_columns(const struct weir_sim_form_reader *reader, struct weir_sv line, size_t *ret_needed)
{
    size_t found = 0;
    size_t needed = 0;
    for (size_t i = 0; i < reader->n_columns; i++) {
        struct weir_sv rest = line;
        bool is_there = false;
        while (rest.p != NULL && !is_there && !reader->columns[i].optional) {
            struct weir_sv title = weir_sv_trim(weir_sv_cut(&rest, reader->separator));
            if (title.n > 1 && title.p[0] == '"' && title.p[title.n - 1] == '"') {
                title = (struct weir_sv){title.p + 1, title.n - 2};
            }
            is_there = weir_sv_eq_nocase(title, weir_sv_of(reader->columns[i].name));
        }
        found += is_there;
        needed += !reader->columns[i].optional;
    }
    *ret_needed = needed;
    return found;
}

/* The reader that answers to the file's first line; else the one that finds the greatest share of its columns, half of them at least, which
 * will say what it misses. Errors: -WEIR_EINVAL, those of reading. */
static int find_reader(struct weir_sim_workload *w, struct weir_err *err)
{
    struct weir_sv line;
    int r = weir_input_peek(w->in, &line, err);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        return weir_fail(err, -WEIR_EINVAL, "%s is empty", w->path);
    }
    size_t most = 0;
    size_t of = 1;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(readers); i++) {
        size_t needed = 0;
        size_t n = count_columns(readers[i], line, &needed);
        if (readers[i]->answers != NULL ? readers[i]->answers(line) : n == needed) {
            w->reader = readers[i];
            return 0;
        }
        if (n > 0 && n * of > most * needed && n * 2 >= needed) {
            most = n;
            of = needed;
            w->reader = readers[i];
        }
    }
    if (w->reader != NULL) {
        return 0;
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(2048);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(readers); i++) {
        weir_str_addf(&all, "%s%s (%s)", i == 0 ? "" : "; ", readers[i]->form.name, readers[i]->form.known_by);
    }
    return weir_fail(err, -WEIR_EINVAL, "%s: the first line is that of no known form: %s", w->path, weir_str_cstr(&all));
}

static int begin(struct weir_sim_workload *w, struct weir_err *err)
{
    const struct weir_sim_form_reader *f = w->reader;
    int r = 0;
    if (f->columns != NULL) {
        r = weir_input_is_table(w->in, f->separator, f->columns, f->n_columns, err);
    }
    return r < 0 || f->begin == NULL ? r : f->begin(w->in, &w->epoch_us, err);
}

int weir_sim_workload_open(struct weir_sim_workload **ret, const char *path, const char *form,
                           const struct weir_sim_workload_options *options, struct weir_err *err)
{
    WEIR_CLEANUP(weir_sim_workload_freep) struct weir_sim_workload *w = weir_alloc(sizeof *w);
    w->path = weir_strdup(path);
    w->options = options == NULL ? (struct weir_sim_workload_options){0} : *options;
    w->options.window = w->options.window == 0 ? WEIR_SIM_WINDOW : w->options.window;
    WEIR_ASSERT(w->options.window <= WEIR_SIM_WINDOW_MAX);
    w->last_us = INT64_MIN;
    if (form != NULL) {
        w->reader = reader_named(form, err);
        if (w->reader == NULL) {
            return -WEIR_ENOTFOUND;
        }
    }
    int r = weir_input_open(&w->in, path, err);
    if (r == 0 && form == NULL) {
        r = find_reader(w, err);
    }
    r = r < 0 ? r : begin(w, err);
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(w);
    return 0;
}

/* ---- names ---- */

static int intern(const struct weir_input *in, size_t column, struct weir_sv name, struct weir_interner *names, size_t max,
                  uint32_t *ret, struct weir_err *err)
{
    *ret = weir_intern_find(names, name);
    if (*ret == UINT32_MAX) {
        if (names->n == max) {
            weir_fail(err, -WEIR_ELIMIT, "'%.*s' is one name more than the %zu that can be told apart", WEIR_SV_ARG(name), max);
            return weir_input_fail_field(in, column, -WEIR_ELIMIT, err);
        }
        *ret = weir_intern(names, name);
    }
    return 0;
}

/* So that 0 is no name's number. */
static void hold_zero(struct weir_interner *names)
{
    if (names->n == 0) {
        (void)weir_intern(names, WEIR_SV(""));
    }
}

int weir_sim_intern(const struct weir_input *in, size_t column, struct weir_interner *names, uint32_t *ret, struct weir_err *err)
{
    struct weir_sv name = weir_input_field(in, column);
    hold_zero(names);
    *ret = 0;
    return name.n == 0 ? 0 : intern(in, column, name, names, WEIR_SIM_NAMES_MAX, ret, err);
}

int weir_sim_intern_model(const struct weir_input *in, size_t column, struct weir_sv model, struct weir_interner *models,
                          const char **ret, struct weir_err *err)
{
    uint32_t id = 0;
    int r = model.n == 0 ? 0 : intern(in, column, model, models, WEIR_SIM_MODELS_MAX, &id, err);
    *ret = r < 0 || model.n == 0 ? NULL : weir_intern_text(models, id);
    return r;
}

/* ---- ids ---- */

enum { ARRAY_IDS = 1000000 }; /* of tasks of one job */

static const char *number_of(const char *p, const char *end, uint64_t max, uint64_t *ret)
{
    const char *from = p;
    for (*ret = 0; p < end && *p >= '0' && *p <= '9' && *ret <= max; p++) {
        *ret = *ret * 10 + (uint64_t)(*p - '0');
    }
    return p == from || *ret > max ? NULL : p;
}

int weir_sim_read_id(const struct weir_input *in, size_t column, uint64_t *ret, struct weir_err *err)
{
    struct weir_sv text = weir_input_field(in, column);
    const char *end = text.p + text.n;
    uint64_t job = 0;
    uint64_t index = 0;
    const char *at = text.n == 0 ? NULL : number_of(text.p, end, UINT64_C(1) << 43, &job);
    if (at != NULL && at < end && (*at == '_' || *at == '+') && at + 1 < end && at[1] != '[') {
        at = number_of(at + 1, end, UINT32_MAX, &index);
        job = job * ARRAY_IDS + index;
    } else if (at != NULL && end - at > 1 && *at == '_') {
        at = end;
    }
    if (at != end || at == NULL) {
        weir_fail(err, -WEIR_EINVAL, "'%.*s' is no id such as 12 or 12_3", WEIR_SV_ARG(text));
        return weir_input_fail_field(in, column, -WEIR_EINVAL, err);
    }
    *ret = job;
    return 0;
}

/* ---- jobs ---- */

/* The next job of the file: 1, 0 at its end, or a negative code. */
static int read_job(struct weir_sim_workload *w, struct weir_sim_job *ret, struct weir_err *err)
{
    int r;
    while ((r = weir_input_next(w->in, err)) > 0) {
        uint64_t line = weir_input_line(w->in);
        *ret = (struct weir_sim_job){.id = line - 1, .line = line, .gpu_milli = WEIR_SIM_WHOLE_GPU, .cost_micro = -1};
        r = w->reader->read(w->in, &w->names, ret, &w->skipped, err);
        if (r > 0 && w->reader->name_at > 0) {
            struct weir_sv name = weir_input_field(w->in, w->reader->name_at - 1);
            size_t n = name.n < sizeof ret->name ? name.n : sizeof ret->name - 1;
            if (n > 0) {
                memcpy(ret->name, name.p, n);
            }
        }
        if (r != 0) {
            ret->submit.us += w->epoch_us;
            ret->start.us += ret->start.us == 0 ? 0 : w->epoch_us;
            return r;
        }
    }
    w->ended = r == 0;
    return r;
}

/* Puts the slot behind all that were submitted no later. */
static void put_in_order(struct weir_sim_workload *w, size_t slot)
{
    struct entry e = {w->slot.p[slot].submit.us, slot};
    /* Room at the end, by moving only where that pays for itself; else the list grows, to twice the window at most. */
    if (w->first > 0 && w->entry.n == w->entry.size && w->first >= w->entry.size / 2) {
        memmove(w->entry.p, w->entry.p + w->first, (w->entry.n - w->first) * sizeof *w->entry.p);
        w->entry.n -= w->first;
        w->first = 0;
    }
    weir_vec_push(&w->entry, e);
    size_t at = w->entry.n - 1;
    if (at == w->first || w->entry.p[at - 1].submit_us <= e.submit_us) {
        return;
    }
    size_t low = w->first;
    size_t high = at;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->entry.p[middle].submit_us <= e.submit_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    memmove(w->entry.p + low + 1, w->entry.p + low, (at - low) * sizeof *w->entry.p);
    w->entry.p[low] = e;
}

static int fill_window(struct weir_sim_workload *w, struct weir_err *err)
{
    while (!w->ended && w->entry.n - w->first < w->options.window) {
        struct weir_sim_job job;
        int r = read_job(w, &job, err);
        if (r <= 0) {
            return r;
        }
        size_t slot = w->spare.n > 0 ? w->spare.p[--w->spare.n] : w->slot.n;
        if (slot == w->slot.n) {
            weir_vec_push(&w->slot, job);
        } else {
            w->slot.p[slot] = job;
        }
        put_in_order(w, slot);
    }
    return 0;
}

int weir_sim_workload_next(struct weir_sim_workload *w, struct weir_sim_job *ret, struct weir_err *err)
{
    if (w->options.as_it_stands) {
        return w->ended ? 0 : read_job(w, ret, err);
    }
    int r = fill_window(w, err);
    if (r < 0 || w->first == w->entry.n) {
        return r;
    }
    size_t slot = w->entry.p[w->first++].slot;
    weir_vec_push(&w->spare, slot);
    *ret = w->slot.p[slot];
    if (ret->submit.us < w->last_us) {
        weir_fail(err, -WEIR_EINVAL,
                  "this job was submitted before one that stands over %zu records above it: sort the file by submission",
                  w->options.window);
        return weir_sim_workload_fail(w, ret, -WEIR_EINVAL, err);
    }
    w->last_us = ret->submit.us;
    return 1;
}

int weir_sim_workload_fail(const struct weir_sim_workload *w, const struct weir_sim_job *job, int code, struct weir_err *err)
{
    return weir_fail_prefix(err, code, "%s:%llu", w->path, (unsigned long long)job->line);
}

int weir_sim_workload_fail_field(const struct weir_sim_workload *w, const struct weir_sim_job *job, enum weir_sim_job_field field,
                                 int code, struct weir_err *err)
{
    weir_fail_prefix(err, code, "%s", w->reader->form.place[field]);
    return weir_sim_workload_fail(w, job, code, err);
}

const char *weir_sim_workload_form(const struct weir_sim_workload *w)
{
    return w->reader->form.name;
}

const char *weir_sim_workload_project(const struct weir_sim_workload *w, uint32_t project)
{
    return project == 0 ? "" : weir_intern_text(&w->names.projects, project);
}

const char *weir_sim_workload_user(const struct weir_sim_workload *w, uint32_t user)
{
    return user == 0 ? "" : weir_intern_text(&w->names.users, user);
}

static uint32_t number_of_name(struct weir_interner *names, const char *name)
{
    hold_zero(names);
    return weir_intern(names, weir_sv_of(name));
}

uint32_t weir_sim_workload_number_project(struct weir_sim_workload *w, const char *name)
{
    return number_of_name(&w->names.projects, name);
}

uint32_t weir_sim_workload_number_user(struct weir_sim_workload *w, const char *name)
{
    return number_of_name(&w->names.users, name);
}

uint64_t weir_sim_workload_skipped(const struct weir_sim_workload *w)
{
    return w->skipped;
}

const char *weir_sim_workload_lacks(const struct weir_sim_workload *w)
{
    return w->reader->lacks == NULL ? NULL : w->reader->lacks(w->in);
}

unsigned weir_sim_workload_permille(const struct weir_sim_workload *w)
{
    return weir_input_permille(w->in);
}
