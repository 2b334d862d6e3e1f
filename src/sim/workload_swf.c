/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The standard workload format of the Parallel Workloads Archive: 18 numbers a line, -1 for what is not known, behind a head of
 * directives. Its machines have processors and no GPUs. A run that was cut into pieces has a line for the whole and, with
 * status 2 to 4, one for each piece; only the whole counts.
 */

#include "base/parse.h"
#include "workload_priv.h"

enum {
    SWF_ID,
    SWF_SUBMIT,
    SWF_WAIT,
    SWF_RUN,
    SWF_PROCESSORS,
    SWF_CPU_TIME,
    SWF_MEMORY, /* KB a processor */
    SWF_WANTED_PROCESSORS,
    SWF_WANTED_TIME,
    SWF_WANTED_MEMORY,
    SWF_STATUS,
    SWF_USER,
    SWF_GROUP,
    SWF_FIELDS = 18,
};

enum status { STATUS_FAILED = 0, STATUS_DONE = 1, STATUS_PIECE_FIRST = 2, STATUS_PIECE_LAST = 4, STATUS_CANCELLED = 5 };

enum { PROCESSORS_MAX = 100000000 };

#define KB_MAX (INT64_C(1) << 35)

/* A line of 18 numbers, or a directive. */
static bool is_swf(struct weir_sv line)
{
    if (line.n > 0 && line.p[0] == ';') {
        return true;
    }
    for (size_t i = 0; i < line.n; i++) {
        if (strchr("0123456789-+.eE \t", line.p[i]) == NULL || line.p[i] == '\0') {
            return false;
        }
    }
    return line.n > 0;
}

/* Of the directives, when the log begins matters: "; UnixStartTime: 1027839845". */
static int begin_swf(struct weir_input *in, int64_t *ret_epoch_us, struct weir_err *err)
{
    static const struct weir_sv start_time = {"UnixStartTime:", 14};
    struct weir_sv line;
    int r;
    weir_input_is_log(in, ';');
    while ((r = weir_input_peek(in, &line, err)) > 0 && line.p[0] == ';') {
        while (line.n > 0 && (line.p[0] == ';' || line.p[0] == ' ' || line.p[0] == '\t')) {
            line = (struct weir_sv){line.p + 1, line.n - 1};
        }
        weir_input_skip(in);
        if (weir_sv_starts(line, start_time)) {
            int64_t s = 0;
            struct weir_sv value = weir_sv_trim((struct weir_sv){line.p + start_time.n, line.n - start_time.n});
            r = weir_parse_i64(weir_sv_cut(&value, ' '), -1, WEIR_SIM_SUBMIT_S_MAX, &s, err);
            if (r < 0) {
                weir_fail_prefix(err, r, "UnixStartTime");
                return weir_input_fail(in, r, err);
            }
            *ret_epoch_us = s > 0 ? s * WEIR_US_PER_S : 0;
        }
    }
    return r < 0 ? r : 0;
}

static bool is_known(const struct weir_input *in, size_t i)
{
    struct weir_sv field = weir_input_field(in, i);
    return field.n > 0 && field.p[0] != '-';
}

/* A whole number; *ret stays where it is not known. */
static int read_whole(const struct weir_input *in, size_t i, int64_t max, int64_t *ret, struct weir_err *err)
{
    return is_known(in, i) ? weir_input_i64(in, i, 0, max, ret, err) : 0;
}

static int read_seconds(const struct weir_input *in, size_t i, int64_t *ret_us, struct weir_err *err)
{
    return is_known(in, i) ? weir_input_units(in, i, WEIR_SIM_DURATION_S_MAX, WEIR_US_PER_S, ret_us, err) : 0;
}

/* The first of the two fields that is known and not 0. */
static int read_either(const struct weir_input *in, size_t first, size_t second, int64_t max, int64_t *ret, struct weir_err *err)
{
    int r = read_whole(in, first, max, ret, err);
    return r < 0 || *ret > 0 ? r : read_whole(in, second, max, ret, err);
}

static int read_times(const struct weir_input *in, struct weir_sim_job *ret, struct weir_err *err)
{
    int64_t wait_us = -1;
    int r = weir_input_units(in, SWF_SUBMIT, WEIR_SIM_DURATION_S_MAX, WEIR_US_PER_S, &ret->submit.us, err);
    r = r < 0 ? r : read_seconds(in, SWF_WAIT, &wait_us, err);
    r = r < 0 ? r : read_seconds(in, SWF_RUN, &ret->duration.us, err);
    r = r < 0 ? r : read_seconds(in, SWF_WANTED_TIME, &ret->max_duration.us, err);
    ret->expected = ret->max_duration;
    ret->start.us = wait_us < 0 ? 0 : ret->submit.us + wait_us;
    return r;
}

static int read_swf(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                    struct weir_err *err)
{
    int64_t status = -1;
    int64_t id = 0;
    int64_t processors = 0;
    int64_t memory_kb = 0;
    if (weir_input_fields(in) != SWF_FIELDS) {
        weir_fail(err, -WEIR_EINVAL, "%zu fields: a job has %d", weir_input_fields(in), SWF_FIELDS);
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    int r = weir_input_i64(in, SWF_ID, 0, INT64_MAX, &id, err);
    r = r < 0 ? r : read_times(in, ret, err);
    r = r < 0 ? r : read_either(in, SWF_PROCESSORS, SWF_WANTED_PROCESSORS, PROCESSORS_MAX, &processors, err);
    r = r < 0 ? r : read_either(in, SWF_WANTED_MEMORY, SWF_MEMORY, KB_MAX, &memory_kb, err);
    r = r < 0 ? r : weir_input_i64(in, SWF_STATUS, -1, STATUS_CANCELLED, &status, err);
    if (r == 0 && is_known(in, SWF_USER)) {
        r = weir_sim_intern(in, SWF_USER, &names->users, &ret->user, err);
    }
    if (r == 0 && is_known(in, SWF_GROUP)) {
        r = weir_sim_intern(in, SWF_GROUP, &names->projects, &ret->project, err);
    }
    if (r < 0 || (status >= STATUS_PIECE_FIRST && status <= STATUS_PIECE_LAST)) {
        return r;
    }
    if (!is_known(in, SWF_RUN) || (status == STATUS_CANCELLED && ret->duration.us == 0)) {
        ++*skipped;
        return 0;
    }
    ret->id = (uint64_t)id;
    ret->cpu_milli = (uint64_t)processors * 1000;
    ret->mem_mib = ((uint64_t)memory_kb * (uint64_t)(processors > 0 ? processors : 1) + 1023) / 1024;
    ret->end = status == STATUS_FAILED      ? WEIR_SIM_JOB_FAILED
               : status == STATUS_CANCELLED ? WEIR_SIM_JOB_CANCELLED
                                            : WEIR_SIM_JOB_DONE;
    return 1;
}

const struct weir_sim_form_reader weir_sim_form_swf = {
    .form =
        {
            .name = "swf",
            .summary = "the standard workload format: processors, no GPUs",
            .known_by = "18 numbers a line, or a ';'",
            .place = {"field 2", "field 4", "field 5"},
        },
    .name_at = SWF_ID + 1,
    .answers = is_swf,
    .begin = begin_swf,
    .read = read_swf,
};
