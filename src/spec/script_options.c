/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sbatch's options, one row each: honoured by a function, accepted (weir does so anyway), named in
 * a warning, or refused. Names, letters and meanings: https://slurm.schedmd.com/sbatch.html.
 */
#include "spec/script_priv.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/parse.h"

static int number(struct script *sc, struct weir_sv value, uint64_t max, uint32_t *ret)
{
    uint64_t v;
    int r = weir_parse_u64(value, 1, max, &v, sc->err);
    if (r != 0) {
        return script_fail_prefix(sc, r);
    }
    *ret = (uint32_t)v;
    return 0;
}

static int set_line(struct script *sc, struct weir_sv value, size_t bytes_max, char **ret)
{
    if (value.n == 0 || value.n > bytes_max) {
        return script_fail(sc, value.n == 0 ? -WEIR_EINVAL : -WEIR_ELIMIT,
                           "needs a text of 1 to %zu bytes", bytes_max);
    }
    free(*ret);
    *ret = weir_strndup(value.p, value.n);
    return 0;
}

/* ---- what it is ---- */

static int read_job_name(struct script *sc, struct weir_sv value)
{
    return set_line(sc, value, WEIR_SPEC_NAME_MAX, &sc->spec->name);
}

static int read_account(struct script *sc, struct weir_sv value)
{
    return set_line(sc, value, WEIR_SPEC_NAME_MAX, &sc->spec->project);
}

static int read_output(struct script *sc, struct weir_sv value)
{
    return set_line(sc, value, PATH_MAX_BYTES, &sc->spec->stdout_path);
}

static int read_error(struct script *sc, struct weir_sv value)
{
    return set_line(sc, value, PATH_MAX_BYTES, &sc->spec->stderr_path);
}

static int read_input(struct script *sc, struct weir_sv value)
{
    if (weir_sv_eq(value, WEIR_SV("/dev/null")) || weir_sv_eq(value, WEIR_SV("none"))) {
        return 0;
    }
    return script_fail(sc, -WEIR_EUNSUPPORTED,
                       "standard input is empty; redirect it in the script: program < file");
}

static int read_chdir(struct script *sc, struct weir_sv value)
{
    return set_line(sc, value, PATH_MAX_BYTES, &sc->spec->workdir);
}

static int read_array(struct script *sc, struct weir_sv value)
{
    int r = weir_spec_parse_array(value, sc->spec, sc->err);
    return r == 0 ? 0 : script_fail_prefix(sc, r);
}

static int add_tag(struct script *sc, const char *key, struct weir_sv value)
{
    struct weir_spec *s = sc->spec;
    for (size_t i = 0; i < s->n_tags; i++) {
        if (weir_streq(s->tags[i].key, key)) {
            return set_line(sc, value, WEIR_SPEC_NAME_MAX, &s->tags[i].value);
        }
    }
    if (value.n == 0 || value.n > WEIR_SPEC_NAME_MAX) {
        return script_fail(sc, -WEIR_ELIMIT, "needs a text of 1 to %d bytes", WEIR_SPEC_NAME_MAX);
    }
    pair_add(&s->tags, &s->n_tags, weir_sv_of(key), value);
    return 0;
}

static int read_comment(struct script *sc, struct weir_sv value)
{
    /* Free text may be longer than a tag; the tag is a help for finding, not a record. */
    if (value.n > WEIR_SPEC_NAME_MAX) {
        value.n = WEIR_SPEC_NAME_MAX;
        /* Not inside a character: the byte after the cut must begin one. */
        while (value.n > 0 && ((unsigned char)value.p[value.n] & 0xc0U) == 0x80) {
            value.n--;
        }
    }
    return value.n == 0 ? 0 : add_tag(sc, "comment", value);
}

static int read_wckey(struct script *sc, struct weir_sv value)
{
    return add_tag(sc, "wckey", value);
}

static int add_env(struct script *sc, struct weir_sv key, struct weir_sv value)
{
    struct weir_spec *s = sc->spec;
    for (size_t i = 0; i < s->n_envs; i++) {
        if (weir_sv_eq(weir_sv_of(s->envs[i].key), key)) {
            free(s->envs[i].value);
            s->envs[i].value = weir_strndup(value.n == 0 ? "" : value.p, value.n);
            return 0;
        }
    }
    if (s->n_envs == WEIR_SPEC_ENVS_MAX) {
        return script_fail(sc, -WEIR_ELIMIT, "more than %d variables", WEIR_SPEC_ENVS_MAX);
    }
    pair_add(&s->envs, &s->n_envs, key, value);
    return 0;
}

/* ALL, NONE, NIL, or a list of NAME=value and ALL. */
static int read_export(struct script *sc, struct weir_sv value)
{
    while (value.p != NULL) {
        struct weir_sv v = weir_sv_cut(&value, ',');
        struct weir_sv name = weir_sv_cut(&v, '=');
        if (v.p == NULL && (name.n == 0 || weir_sv_eq_nocase(name, WEIR_SV("NONE")) ||
                            weir_sv_eq_nocase(name, WEIR_SV("NIL")))) {
            continue;
        }
        if (v.p == NULL && weir_sv_eq_nocase(name, WEIR_SV("ALL"))) {
            script_warn(
                sc,
                "ALL: the variables of the submitting shell are not passed on; write NAME=value");
            continue;
        }
        if (v.p == NULL) {
            return script_fail(
                sc, -WEIR_EUNSUPPORTED,
                "the value of %.*s is not taken from the submitting shell; write %.*s=value",
                name.n > 60 ? 60 : (int)name.n, name.p, name.n > 60 ? 60 : (int)name.n, name.p);
        }
        int r = add_env(sc, name, v);
        if (r != 0) {
            return r;
        }
    }
    return 0;
}

/* ---- nodes, tasks, cores, memory ---- */

static int read_nodes(struct script *sc, struct weir_sv value)
{
    struct weir_sv rest = value;
    struct weir_sv min = weir_sv_cut(&rest, '-');
    if (rest.p != NULL) {
        uint32_t max;
        int r = number(sc, rest, WEIR_GANG_NODES_MAX, &max);
        if (r != 0) {
            return r;
        }
        if (!weir_sv_eq(min, rest)) {
            script_warn(sc, "of %.*s nodes the smaller number is taken", WEIR_SV_ARG(value));
        }
    }
    return number(sc, min, WEIR_GANG_NODES_MAX, &sc->nodes);
}

static int read_ntasks(struct script *sc, struct weir_sv value)
{
    return number(sc, value, 1000000, &sc->tasks);
}

static int read_ntasks_per_node(struct script *sc, struct weir_sv value)
{
    return number(sc, value, 100000, &sc->tasks_per_node);
}

static int read_cpus_per_task(struct script *sc, struct weir_sv value)
{
    return number(sc, value, 100000, &sc->cpus_per_task);
}

static int read_cpus_per_gpu(struct script *sc, struct weir_sv value)
{
    return number(sc, value, 100000, &sc->cpus_per_gpu);
}

static int read_mincpus(struct script *sc, struct weir_sv value)
{
    return number(sc, value, 100000, &sc->cpus_min);
}

static int memory(struct script *sc, struct weir_sv value, uint64_t *ret)
{
    uint64_t bytes;
    int r = weir_parse_bytes(value, UINT64_C(1) << 20, &bytes, sc->err);
    if (r != 0) {
        return script_fail_prefix(sc, r);
    }
    if (mib_of_bytes(bytes) > MEM_MIB_MAX) {
        return script_fail(sc, -WEIR_EOVERFLOW, "more than 1 EiB");
    }
    *ret = mib_of_bytes(bytes);
    return 0;
}

static int read_mem(struct script *sc, struct weir_sv value)
{
    int r = memory(sc, value, &sc->mem_mib);
    if (r == 0 && sc->mem_mib == 0) {
        script_warn(sc, "0 (all memory of the node) is taken as no limit");
    }
    return r;
}

static int read_mem_per_cpu(struct script *sc, struct weir_sv value)
{
    return memory(sc, value, &sc->mem_per_cpu_mib);
}

static int read_mem_per_gpu(struct script *sc, struct weir_sv value)
{
    return memory(sc, value, &sc->mem_per_gpu_mib);
}

/* ---- GPUs ---- */

/* [type:]count, or a type alone; *ret_count may be more than a node holds. */
static int gpu_count(struct script *sc,
                     struct weir_sv value,
                     struct weir_gpu_wish *ret,
                     uint32_t *ret_count)
{
    struct weir_sv count = value;
    struct weir_sv type = weir_sv_cut(&count, ':');
    uint64_t n = 1;
    bool has_type = true;
    if (memchr(value.n == 0 ? "" : value.p, ',', value.n) != NULL) {
        return script_fail(sc, -WEIR_EUNSUPPORTED,
                           "GPUs of several models at once are not supported");
    }
    if (count.p == NULL && weir_parse_u64(type, 0, UINT32_MAX, &n, NULL) == 0) {
        has_type = false;
    } else if (count.p != NULL) {
        int r = weir_parse_u64(count, 0, 100000, &n, sc->err);
        if (r != 0) {
            return script_fail_prefix(sc, r);
        }
    }
    struct weir_gpu_wish wish = {WEIR_GPU_MODEL_ANY, 0};
    if (n > 100000) {
        return script_fail(sc, -WEIR_EOVERFLOW, "more than 100000 GPUs");
    }
    if (has_type) {
        struct weir_request q = {0};
        int r = weir_spec_parse_gpus(type, sc->gpus, &q, sc->err);
        if (r != 0) {
            return script_fail_prefix(sc, r);
        }
        if (q.alternatives != 1 || q.gpu_mem_mib_min != 0) {
            return script_fail(sc, -WEIR_EINVAL, "'%.*s' is not the name of a GPU model",
                               type.n > 60 ? 60 : (int)type.n, type.p);
        }
        wish = q.alternative[0];
    }
    wish.count = (uint16_t)(n > UINT16_MAX ? UINT16_MAX : n);
    *ret = wish;
    *ret_count = (uint32_t)n;
    return 0;
}

static int read_gpus(struct script *sc, struct weir_sv value)
{
    int r = gpu_count(sc, value, &sc->total, &sc->total_gpus);
    sc->has_total = r == 0;
    return r;
}

static int read_gpus_per_node(struct script *sc, struct weir_sv value)
{
    uint32_t n;
    int r = gpu_count(sc, value, &sc->per_node, &n);
    sc->has_per_node = r == 0;
    return r;
}

static int read_gpus_per_task(struct script *sc, struct weir_sv value)
{
    uint32_t n;
    int r = gpu_count(sc, value, &sc->per_task, &n);
    sc->has_per_task = r == 0;
    return r;
}

/* gpu[:type][:count], among resources that other sites count. */
static int read_gres(struct script *sc, struct weir_sv value)
{
    sc->has_gres = false;
    while (value.p != NULL) {
        struct weir_sv rest = weir_sv_cut(&value, ',');
        struct weir_sv item = rest;
        if (weir_sv_starts(rest, WEIR_SV("gres/")) || weir_sv_starts(rest, WEIR_SV("gres:"))) {
            rest = (struct weir_sv){rest.p + 5, rest.n - 5};
        }
        struct weir_sv name = weir_sv_cut(&rest, ':');
        if (name.n == 0 || weir_sv_eq_nocase(name, WEIR_SV("none"))) {
            continue;
        }
        if (weir_sv_eq_nocase(name, WEIR_SV("mps")) || weir_sv_eq_nocase(name, WEIR_SV("shard"))) {
            return script_fail(
                sc, -WEIR_EUNSUPPORTED,
                "'%.*s': parts of a GPU are not supported; ask for a whole one, gpu:1",
                WEIR_SV_ARG(item));
        }
        if (!weir_sv_eq_nocase(name, WEIR_SV("gpu"))) {
            script_warn(sc, "%.*s is ignored: weir counts GPUs only",
                        item.n > 60 ? 60 : (int)item.n, item.p);
            continue;
        }
        if (sc->has_gres) {
            return script_fail(sc, -WEIR_EUNSUPPORTED,
                               "GPUs of several models at once are not supported");
        }
        uint32_t n = 1;
        sc->gres = (struct weir_gpu_wish){WEIR_GPU_MODEL_ANY, 1};
        int r = rest.p == NULL ? 0 : gpu_count(sc, rest, &sc->gres, &n);
        if (r != 0) {
            return r;
        }
        sc->has_gres = true;
    }
    return 0;
}

static int read_constraint(struct script *sc, struct weir_sv value)
{
    return set_line(sc, value, 256, &sc->constraint);
}

/* ---- time, order ---- */

static int read_time(struct script *sc, struct weir_sv value)
{
    struct weir_dur d = {0};
    bool endless = weir_sv_eq_nocase(value, WEIR_SV("UNLIMITED")) ||
                   weir_sv_eq_nocase(value, WEIR_SV("INFINITE"));
    int r = endless ? 0 : weir_parse_slurm_time(value, &d, sc->err);
    if (r != 0) {
        return script_fail_prefix(sc, r);
    }
    if (d.us == 0) {
        return script_fail(
            sc, -WEIR_EUNSUPPORTED,
            "a run needs a limit, because money is held for it; write for example 7-00:00:00");
    }
    if (d.us > DURATION_MAX_US) {
        return script_fail(sc, -WEIR_EOVERFLOW, "more than 3650 days");
    }
    sc->spec->request.max_duration = d;
    return 0;
}

/* [{R|B}:]signal[@seconds], 60 seconds before the end where nothing is said. */
static int read_signal(struct script *sc, struct weir_sv value)
{
    struct weir_sv seconds = value;
    struct weir_sv name = weir_sv_cut(&seconds, '@');
    uint64_t grace = 60;
    while (name.n > 2 && name.p[1] == ':' && (name.p[0] == 'B' || name.p[0] == 'R')) {
        name = (struct weir_sv){name.p + 2, name.n - 2};
    }
    int number_ = signal_parse(name);
    if (number_ == 0) {
        return script_fail(sc, -WEIR_EINVAL, "'%.*s' is not a signal such as USR1@120",
                           value.n > 60 ? 60 : (int)value.n, value.p);
    }
    if (seconds.p != NULL) {
        int r = weir_parse_u64(seconds, 1, 65535, &grace, sc->err);
        if (r != 0) {
            return script_fail_prefix(sc, r);
        }
    }
    sc->spec->checkpoint_signal = number_;
    sc->spec->request.checkpoint_grace = weir_dur_s((int64_t)grace);
    return 0;
}

static int read_begin(struct script *sc, struct weir_sv value)
{
    if (weir_sv_eq_nocase(value, WEIR_SV("now"))) {
        return 0;
    }
    return script_fail(sc, -WEIR_EUNSUPPORTED,
                       "a later start is not supported; submit the job when it may start");
}

/* now+2hours, or a date with or without a time. */
static int read_deadline(struct script *sc, struct weir_sv value)
{
    struct weir_spec *s = sc->spec;
    if (weir_sv_starts(value, WEIR_SV("now+"))) {
        static const struct {
            const char *unit;
            int64_t seconds;
        } units[] = {{"", 1},        {"second", 1},  {"minute", 60},
                     {"hour", 3600}, {"day", 86400}, {"week", 604800}};
        struct weir_sv rest = {value.p + 4, value.n - 4};
        size_t digits = 0;
        while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9') {
            digits++;
        }
        struct weir_sv unit = {rest.p + digits, rest.n - digits};
        unit.n -= unit.n > 1 && unit.p[unit.n - 1] == 's';
        uint64_t count;
        for (size_t i = 0; i < WEIR_ARRAY_LEN(units); i++) {
            if (weir_sv_eq(unit, weir_sv_of(units[i].unit)) &&
                weir_parse_u64((struct weir_sv){rest.p, digits}, 1, 1000000000, &count, NULL) ==
                    0) {
                s->deadline_after = weir_dur_s((int64_t)count * units[i].seconds);
                s->deadline = (struct weir_wall){0};
                return 0;
            }
        }
    }
    if (weir_parse_time(value, &s->deadline, NULL) != 0 || s->deadline.us <= 0) {
        return script_fail(sc, -WEIR_EINVAL,
                           "'%.*s' is neither a time such as 2026-11-22T19:00:00 nor now+2hours",
                           value.n > 60 ? 60 : (int)value.n, value.p);
    }
    s->deadline_after = (struct weir_dur){0};
    script_warn(sc, "the time is read as UTC unless it has an offset");
    return 0;
}

/* Slurm's default of 100 takes 10 from weir's default priority of 50; -1000 and below cannot be
 * mapped. */
static int read_nice(struct script *sc, struct weir_sv value)
{
    int64_t nice = 100;
    if (value.p != NULL) {
        int r = weir_parse_i64(value, INT32_MIN, INT32_MAX, &nice, sc->err);
        if (r != 0) {
            return script_fail_prefix(sc, r);
        }
    }
    if (nice < 0) {
        script_warn(sc, "a raise is ignored; a job file cannot take priority over others this way");
        return 0;
    }
    sc->spec->priority = (int32_t)(nice >= 500 ? 0 : 50 - nice / 10);
    return 0;
}

/* ---- containers (the Pyxis plug-in's options) ---- */

static int read_container_image(struct script *sc, struct weir_sv value)
{
    if (weir_sv_starts(value, WEIR_SV("docker://"))) {
        value = (struct weir_sv){value.p + 9, value.n - 9};
    }
    bool file = value.n > 0 && (value.p[0] == '/' || value.p[0] == '.');
    if (file || (value.n > 5 &&
                 weir_sv_eq_nocase((struct weir_sv){value.p + value.n - 5, 5}, WEIR_SV(".sqsh")))) {
        return script_fail(sc, -WEIR_EUNSUPPORTED,
                           "an image file is not supported; name an image of a registry");
    }
    if (value.n > 0 && memchr(value.p, ' ', value.n) != NULL) {
        return script_fail(sc, -WEIR_EINVAL, "an image's name has no blanks");
    }
    int r = set_line(sc, value, IMAGE_MAX_BYTES, &sc->spec->image);
    char *hash = r == 0 ? strchr(sc->spec->image, '#') : NULL;
    if (hash != NULL) {
        *hash = '/'; /* Enroot writes REGISTRY#IMAGE */
    }
    return r;
}

/* ---- the table ---- */

#define READ(name, letter, argument, fn)                                                           \
    {                                                                                              \
        name, letter, argument, DO_READ, fn, NULL                                                  \
    }
#define ACCEPT(name, letter, argument)                                                             \
    {                                                                                              \
        name, letter, argument, DO_ACCEPT, NULL, NULL                                              \
    }
#define WARN(name, letter, argument, text)                                                         \
    {                                                                                              \
        name, letter, argument, DO_WARN, NULL, text                                                \
    }
#define REFUSE(name, letter, argument, text)                                                       \
    {                                                                                              \
        name, letter, argument, DO_REFUSE, NULL, text                                              \
    }

static const char no_layout[] =
    "ignored: weir places by cores, memory and GPUs, not inside the processor";
static const char no_share[] = "ignored: GPUs are never shared, cores are counted";
static const char no_site[] = "ignored: weir has pools and projects instead";
static const char no_mail[] = "ignored: weir sends no mail; use weir wait";
static const char no_tuning[] = "ignored: clocks and power of the node are left as they are";
static const char no_accounting[] = "ignored: it configures Slurm's own accounting";

const struct script_option script_options[] = {
    READ("account", 'A', ARG_REQUIRED, read_account),
    WARN("acctg-freq", '\0', ARG_REQUIRED, no_accounting),
    READ("array", 'a', ARG_REQUIRED, read_array),
    WARN("batch", '\0', ARG_REQUIRED, no_site),
    REFUSE("bb",
           '\0',
           ARG_REQUIRED,
           "burst buffers are not supported; use inputs and outputs in a YAML job file"),
    REFUSE("bbf",
           '\0',
           ARG_REQUIRED,
           "burst buffers are not supported; use inputs and outputs in a YAML job file"),
    READ("begin", 'b', ARG_REQUIRED, read_begin),
    READ("chdir", 'D', ARG_REQUIRED, read_chdir),
    WARN("cluster-constraint", '\0', ARG_REQUIRED, no_site),
    WARN("clusters", 'M', ARG_REQUIRED, no_site),
    READ("comment", '\0', ARG_REQUIRED, read_comment),
    READ("constraint", 'C', ARG_REQUIRED, read_constraint),
    REFUSE("container",
           '\0',
           ARG_REQUIRED,
           "OCI bundles are not supported; name an image with --container-image"),
    REFUSE("container-id",
           '\0',
           ARG_REQUIRED,
           "OCI bundles are not supported; name an image with --container-image"),
    READ("container-image", '\0', ARG_REQUIRED, read_container_image),
    REFUSE("container-mounts",
           '\0',
           ARG_REQUIRED,
           "mounts into the container are not supported; use inputs in a YAML job file"),
    REFUSE("container-name",
           '\0',
           ARG_REQUIRED,
           "named containers are not kept; name an image with --container-image"),
    READ("container-workdir", '\0', ARG_REQUIRED, read_chdir),
    WARN("contiguous", '\0', ARG_NONE, "ignored: weir knows fabrics, not node numbers"),
    WARN("core-spec", 'S', ARG_REQUIRED, no_layout),
    WARN("cores-per-socket", '\0', ARG_REQUIRED, no_layout),
    WARN("cpu-freq", '\0', ARG_REQUIRED, no_tuning),
    READ("cpus-per-gpu", '\0', ARG_REQUIRED, read_cpus_per_gpu),
    READ("cpus-per-task", 'c', ARG_REQUIRED, read_cpus_per_task),
    READ("deadline", '\0', ARG_REQUIRED, read_deadline),
    ACCEPT("delay-boot", '\0', ARG_REQUIRED),
    REFUSE("dependency",
           'd',
           ARG_REQUIRED,
           "dependencies are not supported; submit the job when the others have ended (weir wait "
           "JOB && weir submit ...)"),
    WARN("distribution", 'm', ARG_REQUIRED, no_layout),
    READ("error", 'e', ARG_REQUIRED, read_error),
    WARN("exclude", 'x', ARG_REQUIRED, "ignored: the nodes named are Slurm's"),
    WARN("exclusive", '\0', ARG_OPTIONAL, no_share),
    READ("export", '\0', ARG_REQUIRED, read_export),
    REFUSE("export-file",
           '\0',
           ARG_REQUIRED,
           "a file of variables is not read; write --export=NAME=value"),
    WARN("extra", '\0', ARG_REQUIRED, no_site),
    WARN("extra-node-info", 'B', ARG_REQUIRED, no_layout),
    WARN("get-user-env", '\0', ARG_OPTIONAL, "ignored: source what the script needs in the script"),
    REFUSE("gid", '\0', ARG_REQUIRED, "running as another group is not supported"),
    WARN("gpu-bind", '\0', ARG_REQUIRED, no_layout),
    WARN("gpu-freq", '\0', ARG_REQUIRED, no_tuning),
    READ("gpus", 'G', ARG_REQUIRED, read_gpus),
    READ("gpus-per-node", '\0', ARG_REQUIRED, read_gpus_per_node),
    REFUSE("gpus-per-socket",
           '\0',
           ARG_REQUIRED,
           "GPUs are not counted by socket; use --gpus-per-node"),
    READ("gpus-per-task", '\0', ARG_REQUIRED, read_gpus_per_task),
    READ("gres", '\0', ARG_REQUIRED, read_gres),
    WARN("gres-flags", '\0', ARG_REQUIRED, no_layout),
    REFUSE("help", 'h', ARG_NONE, "has no place in a script; see weir submit --help"),
    WARN("hint", '\0', ARG_REQUIRED, no_layout),
    REFUSE("hold",
           'H',
           ARG_NONE,
           "holding a job back is not supported; submit it when it may start"),
    ACCEPT("ignore-pbs", '\0', ARG_NONE),
    READ("input", 'i', ARG_REQUIRED, read_input),
    READ("job-name", 'J', ARG_REQUIRED, read_job_name),
    ACCEPT("kill-on-invalid-dep", '\0', ARG_REQUIRED),
    REFUSE("licenses",
           'L',
           ARG_REQUIRED,
           "licences are not counted; limit the array with % or the project with a quota"),
    WARN("mail-type", '\0', ARG_REQUIRED, no_mail),
    WARN("mail-user", '\0', ARG_REQUIRED, no_mail),
    WARN("mcs-label", '\0', ARG_REQUIRED, no_site),
    READ("mem", '\0', ARG_REQUIRED, read_mem),
    WARN("mem-bind", '\0', ARG_REQUIRED, no_layout),
    READ("mem-per-cpu", '\0', ARG_REQUIRED, read_mem_per_cpu),
    READ("mem-per-gpu", '\0', ARG_REQUIRED, read_mem_per_gpu),
    READ("mincpus", '\0', ARG_REQUIRED, read_mincpus),
    WARN("network", '\0', ARG_REQUIRED, no_layout),
    READ("nice", '\0', ARG_OPTIONAL, read_nice),
    WARN("no-kill", 'k', ARG_OPTIONAL, "ignored: a task that loses a node is started again"),
    WARN("no-requeue", '\0', ARG_NONE, "ignored: a task that loses its machine is started again"),
    REFUSE("nodefile", 'F', ARG_REQUIRED, "nodes are not chosen by name"),
    REFUSE("nodelist",
           'w',
           ARG_REQUIRED,
           "nodes are not chosen by name; ask for a GPU model, cores and memory"),
    READ("nodes", 'N', ARG_REQUIRED, read_nodes),
    READ("ntasks", 'n', ARG_REQUIRED, read_ntasks),
    WARN("ntasks-per-core", '\0', ARG_REQUIRED, no_layout),
    WARN("ntasks-per-gpu",
         '\0',
         ARG_REQUIRED,
         "ignored: say the number of processes with --ntasks-per-node"),
    READ("ntasks-per-node", '\0', ARG_REQUIRED, read_ntasks_per_node),
    WARN("ntasks-per-socket", '\0', ARG_REQUIRED, no_layout),
    ACCEPT("oom-kill-step", '\0', ARG_OPTIONAL),
    WARN("open-mode", '\0', ARG_REQUIRED, "ignored: the agent opens the files in its own way"),
    READ("output", 'o', ARG_REQUIRED, read_output),
    WARN("overcommit", 'O', ARG_NONE, no_share),
    WARN("oversubscribe", 's', ARG_NONE, no_share),
    ACCEPT("parsable", '\0', ARG_NONE),
    WARN("partition", 'p', ARG_REQUIRED, no_site),
    WARN("power", '\0', ARG_REQUIRED, no_tuning),
    WARN("prefer", '\0', ARG_REQUIRED, no_site),
    WARN("priority",
         '\0',
         ARG_REQUIRED,
         "ignored: Slurm's priorities have another scale; use --nice"),
    WARN("profile", '\0', ARG_REQUIRED, no_accounting),
    WARN("propagate", '\0', ARG_OPTIONAL, "ignored: the agent's limits hold"),
    WARN("qos", 'q', ARG_REQUIRED, no_site),
    ACCEPT("quiet", 'Q', ARG_NONE),
    REFUSE("reboot", '\0', ARG_NONE, "nodes are not rebooted for a job"),
    ACCEPT("requeue", '\0', ARG_NONE),
    WARN("reservation", '\0', ARG_REQUIRED, no_site),
    WARN("resv-ports", '\0', ARG_OPTIONAL, "ignored: no ports are set aside"),
    WARN("segment", '\0', ARG_REQUIRED, no_layout),
    READ("signal", '\0', ARG_REQUIRED, read_signal),
    WARN("sockets-per-node", '\0', ARG_REQUIRED, no_layout),
    WARN("spread-job", '\0', ARG_NONE, no_layout),
    ACCEPT("stepmgr", '\0', ARG_NONE),
    WARN("switches", '\0', ARG_REQUIRED, "ignored: gangs stay inside one fabric by themselves"),
    REFUSE("test-only", '\0', ARG_NONE, "has no place in a script; use weir submit --dry-run"),
    WARN("thread-spec", '\0', ARG_REQUIRED, no_layout),
    WARN("threads-per-core", '\0', ARG_REQUIRED, no_layout),
    READ("time", 't', ARG_REQUIRED, read_time),
    WARN("time-min", '\0', ARG_REQUIRED, "ignored: the limit of --time holds"),
    WARN("tmp", '\0', ARG_REQUIRED, "ignored: the disk of the node is used as it is"),
    WARN("tres-bind", '\0', ARG_REQUIRED, no_layout),
    REFUSE("tres-per-task", '\0', ARG_REQUIRED, "use --gpus-per-task and --cpus-per-task"),
    REFUSE("uid", '\0', ARG_REQUIRED, "running as another user is not supported"),
    REFUSE("usage", '\0', ARG_NONE, "has no place in a script; see weir submit --help"),
    WARN("use-min-nodes", '\0', ARG_NONE, "ignored: the smaller number of nodes is taken anyway"),
    ACCEPT("verbose", 'v', ARG_NONE),
    REFUSE("version", 'V', ARG_NONE, "has no place in a script; see weir --version"),
    WARN("wait", 'W', ARG_NONE, "ignored: use weir wait JOB"),
    WARN("wait-all-nodes",
         '\0',
         ARG_REQUIRED,
         "ignored: a gang starts when all its nodes are ready"),
    READ("wckey", '\0', ARG_REQUIRED, read_wckey),
    REFUSE("wrap",
           '\0',
           ARG_REQUIRED,
           "has no place in a script; write the command below the options"),
    WARN("x11", '\0', ARG_OPTIONAL, "ignored: there is no display"),
};
const size_t n_script_options = WEIR_ARRAY_LEN(script_options);
