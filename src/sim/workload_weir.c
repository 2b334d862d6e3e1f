/* SPDX-License-Identifier: Apache-2.0 */

/* weir's own form, as 'weir export' writes it: a line a task, documented in docs/guide/simulator.md. */

#include "base/mem.h"
#include "base/parse.h"
#include "workload_priv.h"

enum {
    TASK,
    SUBMIT,
    DURATION,
    GPUS,
    START,
    STATE,
    EXPECTED,
    MAX_DURATION,
    NODES,
    GPU_MODEL,
    CPUS,
    MEMORY,
    PRIORITY,
    PROJECT,
    USER,
    COST,
    INPUT,
    COLUMNS,
};

static const struct weir_input_column columns[COLUMNS] = {
    [TASK] = {"task", false},
    [SUBMIT] = {"submit", false},
    [DURATION] = {"duration_s", false},
    [GPUS] = {"gpus", false},
    [START] = {"start", true},
    [STATE] = {"state", true},
    [EXPECTED] = {"expected_s", true},
    [MAX_DURATION] = {"max_duration_s", true},
    [NODES] = {"nodes", true},
    [GPU_MODEL] = {"gpu_model", true},
    [CPUS] = {"cpus", true},
    [MEMORY] = {"memory_mib", true},
    [PRIORITY] = {"priority", true},
    [PROJECT] = {"project", true},
    [USER] = {"user", true},
    [COST] = {"cost_micro", true},
    [INPUT] = {"input_gib", true},
};

enum { CPUS_MAX = 100000000, INPUT_GIB_MAX = 1000000 };

#define MIB_MAX (INT64_C(1) << 40)

static bool is_given(const struct weir_input *in, size_t i)
{
    return weir_input_field(in, i).n > 0;
}

static int read_time(const struct weir_input *in, size_t i, struct weir_wall *ret, struct weir_err *err)
{
    int r = weir_parse_time(weir_input_field(in, i), ret, err);
    return r < 0 ? weir_input_fail_field(in, i, r, err) : 0;
}

/* *ret stays where nothing is said. */
static int read_whole(const struct weir_input *in, size_t i, int64_t min, int64_t max, int64_t *ret, struct weir_err *err)
{
    return is_given(in, i) ? weir_input_i64(in, i, min, max, ret, err) : 0;
}

static int read_seconds(const struct weir_input *in, size_t i, struct weir_dur *ret, struct weir_err *err)
{
    return is_given(in, i) ? weir_input_units(in, i, WEIR_SIM_DURATION_S_MAX, WEIR_US_PER_S, &ret->us, err) : 0;
}

static int read_state(const struct weir_input *in, enum weir_sim_job_end *ret, bool *ret_ended, struct weir_err *err)
{
    static const struct {
        const char *name;
        bool ended;
        enum weir_sim_job_end end;
    } states[] = {
        {"succeeded", true, WEIR_SIM_JOB_DONE}, {"failed", true, WEIR_SIM_JOB_FAILED}, {"cancelled", true, WEIR_SIM_JOB_CANCELLED},
        {"waiting", false, 0},                  {"starting", false, 0},                {"running", false, 0},
        {"stopping", false, 0},
    };
    struct weir_sv text = weir_input_field(in, STATE);
    *ret_ended = true;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(states) && text.n > 0; i++) {
        if (weir_sv_eq(text, weir_sv_of(states[i].name))) {
            *ret = states[i].end;
            *ret_ended = states[i].ended;
            return 0;
        }
    }
    if (text.n == 0) {
        return 0;
    }
    weir_fail(err, -WEIR_EINVAL, "'%.*s' is no state of a task", WEIR_SV_ARG(text));
    return weir_input_fail_field(in, STATE, -WEIR_EINVAL, err);
}

static int read_weir(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                     struct weir_err *err)
{
    int64_t gpus = 0;
    int64_t nodes = 0;
    int64_t cpu_milli = 0;
    int64_t mem_mib = 0;
    int64_t priority = 0;
    int64_t input_bytes = 0;
    bool ended = false;
    int r = weir_sim_read_id(in, TASK, &ret->id, err);
    r = r < 0 ? r : read_time(in, SUBMIT, &ret->submit, err);
    r = r < 0 || !is_given(in, START) ? r : read_time(in, START, &ret->start, err);
    r = r < 0 ? r : read_state(in, &ret->end, &ended, err);
    r = r < 0 ? r : read_seconds(in, DURATION, &ret->duration, err);
    r = r < 0 ? r : read_seconds(in, EXPECTED, &ret->expected, err);
    r = r < 0 ? r : read_seconds(in, MAX_DURATION, &ret->max_duration, err);
    r = r < 0 ? r : weir_input_i64(in, GPUS, 0, WEIR_SIM_GPUS_MAX, &gpus, err);
    r = r < 0 ? r : read_whole(in, NODES, 0, WEIR_SIM_NODES_MAX, &nodes, err);
    r = r < 0 || !is_given(in, CPUS) ? r : weir_input_units(in, CPUS, CPUS_MAX, 1000, &cpu_milli, err);
    r = r < 0 ? r : read_whole(in, MEMORY, 0, MIB_MAX, &mem_mib, err);
    r = r < 0 || !is_given(in, INPUT) ? r : weir_input_units(in, INPUT, INPUT_GIB_MAX, INT64_C(1) << 30, &input_bytes, err);
    r = r < 0 ? r : read_whole(in, PRIORITY, INT32_MIN, INT32_MAX, &priority, err);
    r = r < 0 ? r : read_whole(in, COST, 0, INT64_MAX, &ret->cost_micro, err);
    r = r < 0 ? r : weir_sim_intern(in, PROJECT, &names->projects, &ret->project, err);
    r = r < 0 ? r : weir_sim_intern(in, USER, &names->users, &ret->user, err);
    if (r == 0) {
        r = weir_sim_intern_model(in, GPU_MODEL, weir_input_field(in, GPU_MODEL), &names->models, &ret->gpu_model, err);
    }
    if (r < 0) {
        return r;
    }
    if (!ended || !is_given(in, DURATION)) {
        ++*skipped;
        return 0;
    }
    ret->gpus = (uint32_t)gpus;
    ret->nodes = (uint32_t)nodes;
    ret->cpu_milli = (uint64_t)cpu_milli;
    ret->mem_mib = (uint64_t)mem_mib;
    ret->priority = (int32_t)priority;
    ret->input_bytes = (uint64_t)input_bytes;
    return 1;
}

const struct weir_sim_form_reader weir_sim_form_weir = {
    .form =
        {
            .name = "weir",
            .summary = "what 'weir export' writes",
            .known_by = "task,submit,duration_s,gpus",
            .place = {"column 'submit'", "column 'duration_s'", "column 'gpus'"},
        },
    .columns = columns,
    .n_columns = COLUMNS,
    .separator = ',',
    .name_at = TASK + 1,
    .read = read_weir,
};
