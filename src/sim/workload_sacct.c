/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What Slurm's accounting prints with 'sacct -P' (or -p): columns in any order, between '|'. A job's steps are passed over. Times
 * are those of the cluster's clock, which the dump does not name: they are read as UTC, or as seconds since 1970 where they are
 * such. What ran is what was allocated; where that is not said, what was requested.
 */

#include "base/mem.h"
#include "base/parse.h"
#include "workload_priv.h"

enum {
    ID,
    ID_RAW,
    SUBMIT,
    START,
    END,
    STATE,
    ELAPSED,
    ELAPSED_RAW,
    TIME_LIMIT,
    TIME_LIMIT_RAW,
    ALLOC_TRES,
    REQ_TRES,
    ALLOC_GRES,
    REQ_GRES,
    NODES,
    ALLOC_NODES,
    CPUS,
    ALLOC_CPUS,
    REQ_CPUS,
    PARTITION,
    ACCOUNT,
    USER,
    COLUMNS,
};

static const struct weir_input_column columns[COLUMNS] = {
    [ID] = {"JobID", false},
    [ID_RAW] = {"JobIDRaw", true},
    [SUBMIT] = {"Submit", false},
    [START] = {"Start", true},
    [END] = {"End", true},
    [STATE] = {"State", true},
    [ELAPSED] = {"Elapsed", true},
    [ELAPSED_RAW] = {"ElapsedRaw", true},
    [TIME_LIMIT] = {"Timelimit", true},
    [TIME_LIMIT_RAW] = {"TimelimitRaw", true},
    [ALLOC_TRES] = {"AllocTRES", true},
    [REQ_TRES] = {"ReqTRES", true},
    [ALLOC_GRES] = {"AllocGRES", true},
    [REQ_GRES] = {"ReqGRES", true},
    [NODES] = {"NNodes", true},
    [ALLOC_NODES] = {"AllocNodes", true},
    [CPUS] = {"NCPUS", true},
    [ALLOC_CPUS] = {"AllocCPUS", true},
    [REQ_CPUS] = {"ReqCPUS", true},
    [PARTITION] = {"Partition", true},
    [ACCOUNT] = {"Account", true},
    [USER] = {"User", true},
};

enum { CPUS_MAX = 100000000 };

static int begin_sacct(struct weir_input *in, int64_t *ret_epoch_us, struct weir_err *err)
{
    (void)ret_epoch_us;
    bool spans = weir_input_has(in, START) && weir_input_has(in, END);
    if (!spans && !weir_input_has(in, ELAPSED) && !weir_input_has(in, ELAPSED_RAW)) {
        weir_fail(err, -WEIR_EINVAL, "how long jobs ran is not said: ask sacct for ElapsedRaw, Elapsed, or Start and End");
        return weir_input_fail(in, -WEIR_EINVAL, err);
    }
    return 0;
}

static const char *lacks(const struct weir_input *in)
{
    bool told = weir_input_has(in, ALLOC_TRES) || weir_input_has(in, REQ_TRES) || weir_input_has(in, ALLOC_GRES) ||
                weir_input_has(in, REQ_GRES);
    return told ? NULL : "there is no column AllocTRES (nor ReqTRES, AllocGRES, ReqGRES), so that no job is known to have had GPUs: all are replayed as if they had "
                         "none; ask sacct for AllocTRES";
}

/* Slurm's words for what is not known, or not limited. */
static bool is_none(struct weir_sv text)
{
    static const char *const words[] = {"Unknown", "None", "N/A", "UNLIMITED", "Partition_Limit", "INVALID"};
    if (text.n == 0) {
        return true;
    }
    if (text.p[0] >= '0' && text.p[0] <= '9') {
        return false;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(words); i++) {
        if (weir_sv_eq_nocase(text, weir_sv_of(words[i]))) {
            return true;
        }
    }
    return false;
}

/* 0 where it is not known. */
static int read_time(const struct weir_input *in, size_t column, struct weir_wall *ret, struct weir_err *err)
{
    struct weir_sv text = weir_input_field(in, column);
    int64_t s = 0;
    *ret = (struct weir_wall){0};
    if (is_none(text)) {
        return 0;
    }
    if (memchr(text.p, '-', text.n) == NULL && weir_parse_i64(text, 0, WEIR_SIM_SUBMIT_S_MAX, &s, NULL) == 0) {
        *ret = (struct weir_wall){s * WEIR_US_PER_S};
        return 0;
    }
    int r = weir_parse_time(text, ret, err);
    return r < 0 ? weir_input_fail_field(in, column, r, err) : 0;
}

/* "D-HH:MM:SS", "MM:SS.mmm"; 0 where it is not known. */
static int read_span(const struct weir_input *in, size_t column, struct weir_dur *ret, struct weir_err *err)
{
    struct weir_sv text = weir_input_field(in, column);
    *ret = (struct weir_dur){0};
    if (is_none(text)) {
        return 0;
    }
    struct weir_sv whole = weir_sv_cut(&text, '.');
    int r = weir_parse_slurm_time(whole, ret, err);
    return r < 0 ? weir_input_fail_field(in, column, r, err) : 0;
}

static int read_number(const struct weir_input *in, size_t column, int64_t unit, int64_t *ret, struct weir_err *err)
{
    return is_none(weir_input_field(in, column)) ? 0
                                                     : weir_input_units(in, column, WEIR_SIM_DURATION_S_MAX / 60, unit, ret, err);
}

/* ---- the state ---- */

/* *ret_ended false: it has not. The word may be followed by "by 1000", or end in '+' where it was cut. */
static int read_state(const struct weir_input *in, enum weir_sim_job_end *ret, bool *ret_ended, struct weir_err *err)
{
    static const struct {
        const char *word;
        bool ended;
        enum weir_sim_job_end end;
    } states[] = {
        {"COMPLETED", true, WEIR_SIM_JOB_DONE},       {"CANCELLED", true, WEIR_SIM_JOB_CANCELLED},
        {"FAILED", true, WEIR_SIM_JOB_FAILED},        {"TIMEOUT", true, WEIR_SIM_JOB_FAILED},
        {"NODE_FAIL", true, WEIR_SIM_JOB_FAILED},     {"OUT_OF_MEMORY", true, WEIR_SIM_JOB_FAILED},
        {"PREEMPTED", true, WEIR_SIM_JOB_FAILED},     {"BOOT_FAIL", true, WEIR_SIM_JOB_FAILED},
        {"DEADLINE", true, WEIR_SIM_JOB_FAILED},      {"LAUNCH_FAILED", true, WEIR_SIM_JOB_FAILED},
        {"RECONFIG_FAIL", true, WEIR_SIM_JOB_FAILED}, {"POWER_UP_NODE", false, 0},
        {"PENDING", false, 0},                        {"RUNNING", false, 0},
        {"SUSPENDED", false, 0},                      {"STOPPED", false, 0},
        {"REQUEUED", false, 0},                       {"REQUEUE_HOLD", false, 0},
        {"REQUEUE_FED", false, 0},                    {"RESIZING", false, 0},
        {"REVOKED", false, 0},                        {"CONFIGURING", false, 0},
        {"COMPLETING", false, 0},                     {"SPECIAL_EXIT", false, 0},
        {"STAGE_OUT", false, 0},                      {"SIGNALING", false, 0},
        {"RESV_DEL_HOLD", false, 0},                  {"UPDATE_DB", false, 0},
    };
    struct weir_sv text = weir_input_field(in, STATE);
    struct weir_sv word = weir_sv_cut(&text, ' ');
    size_t n = word.n > 0 && word.p[word.n - 1] == '+' ? word.n - 1 : 0;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(states); i++) {
        struct weir_sv known = weir_sv_of(states[i].word);
        if (n > 0 && n < known.n) {
            known.n = n;
            word.n = n;
        }
        if (weir_sv_eq_nocase(word, known)) {
            *ret = states[i].end;
            *ret_ended = states[i].ended;
            return 0;
        }
    }
    weir_fail(err, -WEIR_EINVAL, "'%.*s' is no state of a job", WEIR_SV_ARG(word));
    return weir_input_fail_field(in, STATE, -WEIR_EINVAL, err);
}

/* ---- what it ran on ---- */

struct resources {
    uint64_t gpus; /* without type */
    uint64_t typed; /* all types together */
    uint64_t most; /* of one type */
    struct weir_sv type; /* that one */
    uint64_t cpus;
    uint64_t mem_mib;
    uint64_t nodes;
};

static void add_gpus(struct resources *r, struct weir_sv type, uint64_t count)
{
    if (type.n == 0) {
        r->gpus += count;
        return;
    }
    r->typed += count;
    if (count > r->most) {
        r->most = count;
        r->type = type;
    }
}

/* "billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1": GPUs stand there with and without their type. */
static int read_tres(const struct weir_input *in, size_t column, struct resources *ret, struct weir_err *err)
{
    struct weir_sv rest = weir_input_field(in, column);
    int r = 0;
    while (rest.p != NULL && rest.n > 0 && r == 0) {
        struct weir_sv value = weir_sv_cut(&rest, ',');
        struct weir_sv type = weir_sv_cut(&value, '=');
        struct weir_sv name = weir_sv_cut(&type, ':');
        uint64_t count = 0;
        if (weir_sv_eq(name, WEIR_SV("gres/gpu"))) {
            r = weir_parse_u64(value, 0, WEIR_SIM_GPUS_MAX, &count, err);
            add_gpus(ret, type, count);
        } else if (weir_sv_eq(name, WEIR_SV("cpu"))) {
            r = weir_parse_u64(value, 0, CPUS_MAX, &ret->cpus, err);
        } else if (weir_sv_eq(name, WEIR_SV("node"))) {
            r = weir_parse_u64(value, 0, WEIR_SIM_NODES_MAX, &ret->nodes, err);
        } else if (weir_sv_eq(name, WEIR_SV("mem"))) {
            r = weir_parse_bytes(value, 1 << 20, &ret->mem_mib, err);
            ret->mem_mib >>= 20;
        }
    }
    return r < 0 ? weir_input_fail_field(in, column, r, err) : 0;
}

/* "gpu:a100:2,gpu:1", as older versions print it. */
static int read_gres(const struct weir_input *in, size_t column, struct resources *ret, struct weir_err *err)
{
    struct weir_sv rest = weir_input_field(in, column);
    while (rest.p != NULL && rest.n > 0) {
        struct weir_sv item = weir_sv_cut(&rest, ',');
        struct weir_sv name = weir_sv_cut(&item, ':');
        if (weir_sv_eq(name, WEIR_SV("gres"))) {
            name = weir_sv_cut(&item, ':');
        }
        struct weir_sv first = item.p == NULL ? WEIR_SV("1") : weir_sv_cut(&item, ':');
        struct weir_sv count = item.p == NULL ? first : item;
        uint64_t n = 0;
        if (!weir_sv_eq(name, WEIR_SV("gpu"))) {
            continue;
        }
        int r = weir_parse_u64(count, 0, WEIR_SIM_GPUS_MAX, &n, err);
        if (r < 0) {
            return weir_input_fail_field(in, column, r, err);
        }
        add_gpus(ret, item.p == NULL ? (struct weir_sv){0} : first, n);
    }
    return 0;
}

/* Where *ret is 0 yet, the first of the columns that says a number. */
static int read_first(const struct weir_input *in, const size_t *column, size_t n, uint64_t max, uint64_t *ret, struct weir_err *err)
{
    for (size_t i = 0; i < n && *ret == 0; i++) {
        int64_t v = 0;
        int r = weir_input_field(in, column[i]).n == 0 ? 0 : weir_input_i64(in, column[i], 0, (int64_t)max, &v, err);
        if (r < 0) {
            return r;
        }
        *ret = (uint64_t)v;
    }
    return 0;
}

static int read_resources(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, struct weir_err *err)
{
    static const size_t nodes[] = {ALLOC_NODES, NODES};
    static const size_t cpus[] = {ALLOC_CPUS, CPUS, REQ_CPUS};
    struct resources has = {0};
    struct resources wants = {0};
    int r = read_tres(in, ALLOC_TRES, &has, err);
    r = r < 0 ? r : read_tres(in, REQ_TRES, &wants, err);
    if (r == 0 && has.gpus + has.typed + wants.gpus + wants.typed == 0) {
        r = read_gres(in, ALLOC_GRES, &has, err);
        r = r < 0 ? r : read_gres(in, REQ_GRES, &wants, err);
    }
    r = r < 0 ? r : read_first(in, nodes, WEIR_ARRAY_LEN(nodes), WEIR_SIM_NODES_MAX, &has.nodes, err);
    r = r < 0 ? r : read_first(in, cpus, WEIR_ARRAY_LEN(cpus), CPUS_MAX, &has.cpus, err);
    const struct resources *gpus = has.gpus + has.typed > 0 ? &has : &wants;
    uint64_t n = gpus->typed > gpus->gpus ? gpus->typed : gpus->gpus;
    if (r == 0 && n > WEIR_SIM_GPUS_MAX) {
        weir_fail(err, -WEIR_EOVERFLOW, "%llu GPUs: more than %d are not understood", (unsigned long long)n, WEIR_SIM_GPUS_MAX);
        r = weir_input_fail(in, -WEIR_EOVERFLOW, err);
    }
    if (r == 0 && gpus->type.n > 0) {
        r = weir_sim_intern_model(in, ALLOC_TRES, gpus->type, &names->models, &ret->gpu_model, err);
    }
    ret->gpus = (uint32_t)n;
    ret->nodes = (uint32_t)(has.nodes > 0 ? has.nodes : wants.nodes);
    ret->cpu_milli = (has.cpus > 0 ? has.cpus : wants.cpus) * 1000;
    ret->mem_mib = has.mem_mib > 0 ? has.mem_mib : wants.mem_mib;
    return r;
}

/* ---- times ---- */

/* *ret_ran false: it never began, or it has not ended. */
static int read_times(const struct weir_input *in, struct weir_sim_job *ret, bool *ret_ran, struct weir_err *err)
{
    struct weir_wall end = {0};
    struct weir_dur limit = {0};
    bool ended = true;
    int r = read_time(in, SUBMIT, &ret->submit, err);
    if (r == 0 && ret->submit.us == 0) {
        weir_fail(err, -WEIR_EINVAL, "a time is expected");
        r = weir_input_fail_field(in, SUBMIT, -WEIR_EINVAL, err);
    }
    r = r < 0 ? r : read_time(in, START, &ret->start, err);
    r = r < 0 ? r : read_time(in, END, &end, err);
    if (r == 0 && weir_input_has(in, STATE)) {
        r = read_state(in, &ret->end, &ended, err);
    }
    bool raw = weir_input_field(in, ELAPSED_RAW).n > 0;
    if (r == 0 && raw) {
        r = read_number(in, ELAPSED_RAW, WEIR_US_PER_S, &ret->duration.us, err);
    } else if (r == 0 && weir_input_field(in, ELAPSED).n > 0) {
        r = read_span(in, ELAPSED, &ret->duration, err);
    } else if (r == 0 && ret->start.us != 0 && end.us >= ret->start.us) {
        ret->duration = weir_wall_sub(end, ret->start);
    }
    if (r == 0 && !is_none(weir_input_field(in, TIME_LIMIT_RAW))) {
        r = read_number(in, TIME_LIMIT_RAW, WEIR_US_PER_MIN, &limit.us, err);
    } else if (r == 0) {
        r = read_span(in, TIME_LIMIT, &limit, err);
    }
    ret->max_duration = limit;
    bool began = weir_input_has(in, START) ? ret->start.us != 0 : ret->duration.us > 0;
    bool has_end = !weir_input_has(in, END) || end.us != 0;
    *ret_ran = ended && began && has_end && (ret->duration.us > 0 || ret->end != WEIR_SIM_JOB_CANCELLED);
    return r;
}

static int read_sacct(const struct weir_input *in, struct weir_sim_names *names, struct weir_sim_job *ret, uint64_t *skipped,
                      struct weir_err *err)
{
    struct weir_sv id = weir_input_field(in, ID);
    /* A step; or the head once more, where dumps were put together. */
    if (memchr(id.p, '.', id.n) != NULL || weir_sv_eq_nocase(id, weir_sv_of(columns[ID].name))) {
        return 0;
    }
    bool ran = false;
    int r = weir_sim_read_id(in, weir_input_field(in, ID_RAW).n > 0 ? ID_RAW : ID, &ret->id, err);
    r = r < 0 ? r : read_times(in, ret, &ran, err);
    r = r < 0 ? r : read_resources(in, names, ret, err);
    r = r < 0 ? r : weir_sim_intern(in, weir_input_has(in, ACCOUNT) ? ACCOUNT : PARTITION, &names->projects, &ret->project, err);
    r = r < 0 ? r : weir_sim_intern(in, USER, &names->users, &ret->user, err);
    if (r == 0 && !ran) {
        ++*skipped;
    }
    return r < 0 ? r : ran;
}

const struct weir_sim_form_reader weir_sim_form_sacct = {
    .form =
        {
            .name = "sacct",
            .summary = "a dump of Slurm's accounting by 'sacct -P'",
            .known_by = "JobID|Submit, with ElapsedRaw, Elapsed, or Start and End",
            .place = {"column 'Submit'", "column 'Elapsed'", "column 'AllocTRES'"},
        },
    .columns = columns,
    .n_columns = COLUMNS,
    .separator = '|',
    .name_at = ID + 1,
    .lacks = lacks,
    .begin = begin_sacct,
    .read = read_sacct,
};
