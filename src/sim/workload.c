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

/* In the order in which they are tried: who asks for more columns stands first. */
static const struct weir_sim_form_reader *const readers[] = {
    &weir_sim_form_philly, &weir_sim_form_pai,
};

struct entry {
    int64_t submit_us;
    size_t slot;
};

struct weir_sim_workload {
    const struct weir_sim_form_reader *reader;
    struct weir_sim_input *in;
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
    weir_sim_input_free(w->in);
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

/* The reader that answers to the file's first line. Errors: -WEIR_EINVAL, those of reading. */
static int find_reader(struct weir_sim_workload *w, struct weir_err *err)
{
    struct weir_sv line;
    int r = weir_sim_input_peek(w->in, &line, err);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        return weir_fail(err, -WEIR_EINVAL, "%s is empty", w->path);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(readers); i++) {
        if (readers[i]->answers(line)) {
            w->reader = readers[i];
            return 0;
        }
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str all = WEIR_STR_INIT(2048);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(readers); i++) {
        weir_str_addf(&all, "%s%s (%s)", i == 0 ? "" : "; ", readers[i]->form.name, readers[i]->form.known_by);
    }
    return weir_fail(err, -WEIR_EINVAL, "%s: the first line is that of no known form: %s", w->path, weir_str_cstr(&all));
}

bool weir_sim_names_columns(struct weir_sv line, char separator, const struct weir_sim_column *column, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool found = column[i].optional;
        struct weir_sv rest = line;
        while (rest.p != NULL && !found) {
            struct weir_sv title = weir_sv_trim(weir_sv_cut(&rest, separator));
            if (title.n > 1 && title.p[0] == '"' && title.p[title.n - 1] == '"') {
                title = (struct weir_sv){title.p + 1, title.n - 2};
            }
            found = weir_sv_eq_nocase(title, weir_sv_of(column[i].name));
        }
        if (!found) {
            return false;
        }
    }
    return true;
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
    int r = weir_sim_input_open(&w->in, path, err);
    if (r == 0 && form == NULL) {
        r = find_reader(w, err);
    }
    r = r < 0 ? r : w->reader->begin(w->in, &w->epoch_us, err);
    if (r < 0) {
        return r;
    }
    *ret = WEIR_TAKE(w);
    return 0;
}

/* ---- names ---- */

static int intern(const struct weir_sim_input *in, size_t column, struct weir_interner *names, size_t max, uint32_t *ret,
                  struct weir_err *err)
{
    struct weir_sv name = weir_sim_input_field(in, column);
    uint32_t id = name.n == 0 ? 0 : weir_intern_find(names, name);
    if (id == UINT32_MAX) {
        if (names->n == max) {
            weir_fail(err, -WEIR_ELIMIT, "'%.*s' is one name more than the %zu that can be told apart", WEIR_SV_ARG(name), max);
            return weir_sim_input_fail_field(in, column, -WEIR_ELIMIT, err);
        }
        id = weir_intern(names, name);
    }
    *ret = id;
    return 0;
}

int weir_sim_intern(const struct weir_sim_input *in, size_t column, struct weir_interner *names, uint32_t *ret, struct weir_err *err)
{
    if (names->n == 0) {
        (void)weir_intern(names, WEIR_SV("")); /* so that 0 is no name's number */
    }
    return intern(in, column, names, WEIR_SIM_NAMES_MAX, ret, err);
}

int weir_sim_intern_model(const struct weir_sim_input *in, size_t column, struct weir_interner *models, const char **ret,
                          struct weir_err *err)
{
    uint32_t id = 0;
    if (weir_sim_input_field(in, column).n == 0) {
        *ret = NULL;
        return 0;
    }
    int r = intern(in, column, models, WEIR_SIM_MODELS_MAX, &id, err);
    *ret = r < 0 ? NULL : weir_intern_text(models, id);
    return r;
}

/* ---- jobs ---- */

/* The next job of the file: 1, 0 at its end, or a negative code. */
static int read_job(struct weir_sim_workload *w, struct weir_sim_job *ret, struct weir_err *err)
{
    int r;
    while ((r = weir_sim_input_next(w->in, err)) > 0) {
        *ret = (struct weir_sim_job){.gpu_milli = WEIR_SIM_WHOLE_GPU, .cost_micro = -1, .line = weir_sim_input_line(w->in)};
        r = w->reader->read(w->in, &w->names, ret, &w->skipped, err);
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
    if (w->entry.n == w->entry.size && w->first >= w->entry.size / 2) {
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

uint64_t weir_sim_workload_skipped(const struct weir_sim_workload *w)
{
    return w->skipped;
}

unsigned weir_sim_workload_permille(const struct weir_sim_workload *w)
{
    return weir_sim_input_permille(w->in);
}
