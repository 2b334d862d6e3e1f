/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/script_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int script_fail_prefix(const struct script *sc, int code)
{
    if (sc->option != NULL) {
        (void)weir_fail_prefix(sc->err, code, "%s", sc->option);
    }
    if (sc->line == 0) {
        return weir_fail_prefix(sc->err, code, "%s", sc->file_name);
    }
    return weir_fail_prefix(sc->err, code, "%s:%u:%u", sc->file_name, sc->line, sc->column);
}

int script_fail(const struct script *sc, int code, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)weir_fail(sc->err, code, "%s", text);
    return script_fail_prefix(sc, code);
}

void script_warn(const struct script *sc, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (sc->line == 0) {
        spec_warn(sc->spec, "%s", text);
    } else {
        spec_warn(sc->spec, "line %u: %s: %s", sc->line, sc->option, text);
    }
}

/* ---- words of a line ---- */

struct words {
    struct weir_sv line;
    size_t at;
    char *buf; /* as large as the line; words are unquoted into it */
    size_t used;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * The next word, with the shell's quotes and backslashes taken off; false at the end of the line.
 * As in sbatch, an unquoted '#' begins a comment. Fails where a quote is not closed.
 */
static int next_word(struct script *sc, struct words *w, struct weir_sv *ret, bool *ret_any)
{
    while (w->at < w->line.n && is_blank(w->line.p[w->at])) {
        w->at++;
    }
    *ret_any = w->at < w->line.n && w->line.p[w->at] != '#';
    if (!*ret_any) {
        return 0;
    }
    /* Columns count from the start of the line; "#SBATCH" stands before what w->line holds. */
    sc->column = (uint32_t)w->at + 1 + 7;
    char *start = w->buf + w->used;
    size_t n = 0;
    char quote = '\0';
    for (; w->at < w->line.n; w->at++) {
        char c = w->line.p[w->at];
        if (quote != '\0') {
            if (c == quote) {
                quote = '\0';
            } else if (c == '\\' && quote == '"' && w->at + 1 < w->line.n) {
                start[n++] = w->line.p[++w->at];
            } else {
                start[n++] = c;
            }
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '\\' && w->at + 1 < w->line.n) {
            start[n++] = w->line.p[++w->at];
        } else if (is_blank(c) || c == '#') {
            if (c == '#') {
                const char *option = sc->option;
                sc->option = "#SBATCH";
                script_warn(
                    sc, "what follows # is a comment, as in Slurm; write \\# for the character");
                sc->option = option;
            }
            break;
        } else {
            start[n++] = c;
        }
    }
    if (quote != '\0') {
        sc->option = NULL;
        return script_fail(sc, -WEIR_EINVAL, "a quote (%c) is not closed", quote);
    }
    w->used += n;
    *ret = (struct weir_sv){start, n};
    return 0;
}

/* ---- options ---- */

/* By its whole name, or by a beginning that only one option has, as getopt_long does. */
static const struct script_option *find_long(struct weir_sv name, bool *ret_ambiguous)
{
    const struct script_option *found = NULL;
    *ret_ambiguous = false;
    for (size_t i = 0; i < n_script_options; i++) {
        struct weir_sv n = weir_sv_of(script_options[i].name);
        if (weir_sv_eq(n, name)) {
            *ret_ambiguous = false;
            return &script_options[i];
        }
        if (name.n > 0 && weir_sv_starts(n, name)) {
            *ret_ambiguous = found != NULL;
            found = found == NULL ? &script_options[i] : found;
        }
    }
    return *ret_ambiguous ? NULL : found;
}

static const struct script_option *find_short(char letter)
{
    for (size_t i = 0; i < n_script_options; i++) {
        if (script_options[i].letter == letter) {
            return &script_options[i];
        }
    }
    return NULL;
}

static int unknown_option(struct script *sc,
                          struct weir_sv word,
                          struct weir_sv name,
                          bool ambiguous)
{
    const char *names[192];
    size_t n = 0;
    for (; n < n_script_options && n < WEIR_ARRAY_LEN(names) - 1; n++) {
        names[n] = script_options[n].name;
    }
    names[n] = NULL;
    int shown = word.n > 60 ? 60 : (int)word.n;
    const char *near = ambiguous ? NULL : weir_nearest(name, names);
    sc->option = NULL;
    if (ambiguous) {
        return script_fail(sc, -WEIR_EINVAL, "option '%.*s' could be one of several; write it out",
                           shown, word.p);
    }
    if (near != NULL) {
        return script_fail(sc, -WEIR_EINVAL, "unknown option '%.*s'; did you mean '--%s'?", shown,
                           word.p, near);
    }
    return script_fail(sc, -WEIR_EINVAL,
                       "unknown option '%.*s'; see docs/guide/job-file.md for the options", shown,
                       word.p);
}

static int apply(struct script *sc, const struct script_option *o, struct weir_sv value)
{
    switch (o->action) {
    case DO_READ:
        return o->read(sc, value);
    case DO_ACCEPT:
        return 0;
    case DO_WARN:
        script_warn(sc, "%s", o->text);
        return 0;
    case DO_REFUSE:
        return script_fail(sc, -WEIR_EUNSUPPORTED, "%s", o->text);
    }
    return 0;
}

static int need_value(struct script *sc, struct words *w, struct weir_sv *value)
{
    bool any;
    uint32_t column = sc->column;
    int r = next_word(sc, w, value, &any);
    if (r == 0 && !any) {
        sc->column = column;
        r = script_fail(sc, -WEIR_EINVAL, "needs a value");
    }
    sc->column = column;
    return r;
}

static int long_option(struct script *sc, struct words *w, struct weir_sv word)
{
    char shown[64];
    struct weir_sv value = {word.p + 2, word.n - 2};
    struct weir_sv name = weir_sv_cut(&value, '=');
    bool ambiguous;
    const struct script_option *o = find_long(name, &ambiguous);
    if (o == NULL) {
        return unknown_option(sc, (struct weir_sv){word.p, name.n + 2}, name, ambiguous);
    }
    (void)snprintf(shown, sizeof shown, "--%s", o->name);
    sc->option = shown;
    int r = 0;
    if (o->argument == ARG_NONE && value.p != NULL) {
        r = script_fail(sc, -WEIR_EINVAL, "takes no value");
    } else if (o->argument == ARG_REQUIRED && value.p == NULL) {
        r = need_value(sc, w, &value);
    }
    r = r != 0 ? r : apply(sc, o, value);
    sc->option = NULL;
    return r;
}

static int short_options(struct script *sc, struct words *w, struct weir_sv word)
{
    int r = 0;
    for (size_t i = 1; r == 0 && i < word.n; i++) {
        char shown[3] = {'-', word.p[i], '\0'};
        struct weir_sv value = {word.p + i + 1, word.n - i - 1};
        const struct script_option *o = find_short(word.p[i]);
        if (o == NULL) {
            return unknown_option(sc, word, (struct weir_sv){word.p, 0}, false);
        }
        sc->option = shown;
        if (o->argument == ARG_NONE) {
            r = apply(sc, o, (struct weir_sv){NULL, 0});
            sc->option = NULL;
            continue;
        }
        if (value.n == 0 && o->argument == ARG_REQUIRED) {
            r = need_value(sc, w, &value);
        }
        r = r != 0 ? r : apply(sc, o, value);
        sc->option = NULL;
        break;
    }
    return r;
}

static int read_line_options(struct script *sc, struct weir_sv rest, size_t *options)
{
    if (rest.n > LINE_MAX_BYTES) {
        return script_fail(sc, -WEIR_ELIMIT, "the line has more than %d bytes", LINE_MAX_BYTES);
    }
    WEIR_CLEANUP(weir_freep) char *buf = weir_alloc(rest.n + 1);
    struct words w = {.line = rest, .buf = buf};
    for (;;) {
        struct weir_sv word;
        bool any;
        int r = next_word(sc, &w, &word, &any);
        if (r != 0 || !any) {
            return r;
        }
        if (++*options > SCRIPT_OPTIONS_MAX) {
            return script_fail(sc, -WEIR_ELIMIT, "more than %d options", SCRIPT_OPTIONS_MAX);
        }
        if (word.n > 2 && word.p[0] == '-' && word.p[1] == '-') {
            r = long_option(sc, &w, word);
        } else if (word.n > 1 && word.p[0] == '-' && word.p[1] != '-') {
            r = short_options(sc, &w, word);
        } else if (weir_sv_eq(word, WEIR_SV("hetjob")) || weir_sv_eq(word, WEIR_SV("packjob"))) {
            r = script_fail(sc, -WEIR_EUNSUPPORTED,
                            "heterogeneous jobs are not supported; submit each part by itself");
        } else {
            r = script_fail(sc, -WEIR_EINVAL, "'%.*s' is not an option; options begin with - or --",
                            word.n > 60 ? 60 : (int)word.n, word.p);
        }
        if (r != 0) {
            return r;
        }
    }
}

/* Whether a line of the script calls srun: at its start, or after what can stand before a command.
 */
static bool calls_srun(struct weir_sv line)
{
    struct weir_sv word = WEIR_SV("srun");
    for (size_t i = 0; i + word.n <= line.n; i++) {
        if (line.p[i] == '#' && (i == 0 || is_blank(line.p[i - 1]))) {
            return false;
        }
        bool begins =
            i == 0 || is_blank(line.p[i - 1]) || strchr(";|&($`\"", line.p[i - 1]) != NULL;
        bool ends =
            i + word.n == line.n || is_blank(line.p[i + word.n]) || line.p[i + word.n] == ';';
        if (begins && ends && memcmp(line.p + i, word.p, word.n) == 0) {
            return true;
        }
    }
    return false;
}

/* As in Slurm, options count only up to the first line that is neither blank nor a comment. */
static int read_lines(struct script *sc, struct weir_sv text)
{
    struct weir_sv marker = WEIR_SV("#SBATCH");
    struct weir_sv rest = text;
    bool body = false;
    bool srun = false;
    uint32_t late = 0;
    size_t options = 0;
    for (uint32_t number = 1; rest.p != NULL; number++) {
        struct weir_sv line = weir_sv_cut(&rest, '\n');
        bool directive =
            weir_sv_starts(line, marker) && (line.n == marker.n || is_blank(line.p[marker.n]));
        if (directive && !body) {
            sc->spec->origin = WEIR_SPEC_SLURM;
            sc->line = number;
            sc->column = 1;
            int r = read_line_options(sc, (struct weir_sv){line.p + marker.n, line.n - marker.n},
                                      &options);
            if (r != 0) {
                return r;
            }
        } else if (directive && late == 0) {
            late = number;
        } else if (!directive) {
            struct weir_sv trimmed = weir_sv_trim(line);
            body = body || (trimmed.n > 0 && trimmed.p[0] != '#');
            srun = srun || calls_srun(line);
        }
    }
    sc->line = 0;
    if (!body) {
        return script_fail(sc, -WEIR_EINVAL, "the script has no command, only comments");
    }
    if (late != 0) {
        spec_warn(sc->spec, "line %u: #SBATCH after the first command is ignored, as Slurm does",
                  late);
    }
    if (srun) {
        spec_warn(
            sc->spec,
            "the script calls srun, which is there only where Slurm is; call the program itself");
    }
    return 0;
}

/* ---- resolving ---- */

/* The GPUs per node by the one or several options that name them; they must agree. */
static int resolve_gpus(struct script *sc, uint32_t nodes, uint32_t tasks_per_node)
{
    struct weir_request *q = &sc->spec->request;
    struct weir_gpu_wish found = {0};
    bool any = false;
    struct weir_gpu_wish total = sc->total;
    if (sc->has_total && sc->total_gpus % nodes != 0) {
        return script_fail(sc, -WEIR_EUNSUPPORTED,
                           "--gpus: %" PRIu32 " GPUs do not spread evenly over %" PRIu32 " nodes",
                           sc->total_gpus, nodes);
    }
    uint32_t share = sc->has_total ? sc->total_gpus / nodes : 0;
    total.count = (uint16_t)(share <= UINT16_MAX ? share : UINT16_MAX);
    struct weir_gpu_wish task = sc->per_task;
    uint64_t by_tasks = (uint64_t)task.count * tasks_per_node;
    task.count = (uint16_t)(by_tasks <= UINT16_MAX ? by_tasks : UINT16_MAX);
    const struct {
        bool given;
        struct weir_gpu_wish wish;
    } ways[] = {{sc->has_gres, sc->gres},
                {sc->has_per_node, sc->per_node},
                {sc->has_per_task, task},
                {sc->has_total, total}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(ways); i++) {
        if (!ways[i].given) {
            continue;
        }
        if (any && (found.count != ways[i].wish.count ||
                    (found.model != ways[i].wish.model && found.model != WEIR_GPU_MODEL_ANY &&
                     ways[i].wish.model != WEIR_GPU_MODEL_ANY))) {
            return script_fail(
                sc, -WEIR_EINVAL,
                "--gres, --gpus and the other GPU options do not agree on the GPUs per node");
        }
        found.count = ways[i].wish.count;
        found.model =
            any && ways[i].wish.model == WEIR_GPU_MODEL_ANY ? found.model : ways[i].wish.model;
        any = true;
    }
    if (found.count > WEIR_NODE_GPUS_MAX) {
        return script_fail(sc, -WEIR_EOVERFLOW,
                           "%d GPUs per node; a node has at most %d, ask for more nodes (-N)",
                           found.count, WEIR_NODE_GPUS_MAX);
    }
    if (found.count > 0) {
        q->alternatives = 1;
        q->alternative[0] = found;
    }
    return 0;
}

/* Clusters name GPU models as node features ("a100|v100"): those are honoured, other features
 * cannot be. */
static int resolve_constraint(struct script *sc)
{
    struct weir_request *q = &sc->spec->request;
    if (sc->constraint == NULL) {
        return 0;
    }
    uint16_t model[WEIR_ALTERNATIVES_MAX];
    uint32_t n = 0;
    bool good = q->alternatives == 1 && q->alternative[0].model == WEIR_GPU_MODEL_ANY;
    struct weir_sv rest = weir_sv_of(sc->constraint);
    while (good && rest.p != NULL) {
        uint16_t m = weir_gpu_table_find(sc->gpus, weir_sv_cut(&rest, '|'));
        good = n < WEIR_ALTERNATIVES_MAX && m != WEIR_GPU_MODEL_ANY;
        for (uint32_t i = 0; good && i < n; i++) {
            good = model[i] != m;
        }
        if (good) {
            model[n++] = m;
        }
    }
    if (!good) {
        return script_fail(sc, -WEIR_EUNSUPPORTED,
                           "--constraint '%.60s' is not a choice of GPU models; name the GPU in "
                           "--gres=gpu:MODEL:COUNT",
                           sc->constraint);
    }
    uint16_t count = q->alternative[0].count;
    for (uint32_t i = 0; i < n; i++) {
        q->alternative[i] = (struct weir_gpu_wish){model[i], count};
    }
    q->alternatives = n;
    return 0;
}

static int resolve_memory(struct script *sc, uint64_t cpus, uint64_t gpus)
{
    int ways = (sc->mem_mib > 0) + (sc->mem_per_cpu_mib > 0) + (sc->mem_per_gpu_mib > 0);
    uint64_t total = sc->mem_mib;
    if (ways > 1) {
        return script_fail(sc, -WEIR_EINVAL,
                           "--mem, --mem-per-cpu and --mem-per-gpu exclude each other");
    }
    if (sc->mem_per_gpu_mib > 0 && gpus == 0) {
        return script_fail(sc, -WEIR_EINVAL, "--mem-per-gpu needs GPUs; add --gres=gpu:1");
    }
    /* Each factor is bounded where it was read: at most 2^40 MiB times 2^27. */
    if (sc->mem_per_cpu_mib > 0) {
        total = sc->mem_per_cpu_mib > MEM_MIB_MAX / (cpus == 0 ? 1 : cpus)
                    ? MEM_MIB_MAX + 1
                    : sc->mem_per_cpu_mib * (cpus == 0 ? 1 : cpus);
    } else if (sc->mem_per_gpu_mib > 0) {
        total =
            sc->mem_per_gpu_mib > MEM_MIB_MAX / gpus ? MEM_MIB_MAX + 1 : sc->mem_per_gpu_mib * gpus;
    }
    if (total > MEM_MIB_MAX) {
        return script_fail(sc, -WEIR_EOVERFLOW, "the memory per node is more than 1 EiB");
    }
    sc->spec->request.mem_mib = total;
    return 0;
}

static uint32_t divide_up(uint32_t a, uint32_t b)
{
    return a / b + (a % b != 0);
}

static int resolve(struct script *sc)
{
    struct weir_request *q = &sc->spec->request;
    uint32_t nodes = sc->nodes;
    if (nodes == 0) {
        nodes =
            sc->tasks > 0 && sc->tasks_per_node > 0 ? divide_up(sc->tasks, sc->tasks_per_node) : 1;
    }
    if (nodes > WEIR_GANG_NODES_MAX) {
        return script_fail(sc, -WEIR_EOVERFLOW, "%" PRIu32 " nodes; 1 to %d are possible", nodes,
                           WEIR_GANG_NODES_MAX);
    }
    uint32_t tasks_per_node = sc->tasks_per_node;
    if (sc->tasks > 0 && (tasks_per_node == 0 || sc->nodes > 0)) {
        tasks_per_node = divide_up(sc->tasks, nodes);
    } else if (tasks_per_node == 0) {
        tasks_per_node = 1;
    }
    q->nodes = nodes;
    int r = resolve_gpus(sc, nodes, tasks_per_node);
    r = r != 0 ? r : resolve_constraint(sc);
    if (r != 0) {
        return r;
    }
    uint64_t gpus = q->alternatives > 0 ? q->alternative[0].count : 0;
    uint64_t cpus = (uint64_t)tasks_per_node * (sc->cpus_per_task == 0 ? 1 : sc->cpus_per_task);
    if (sc->cpus_per_gpu > 0 && sc->cpus_per_task == 0) {
        cpus = gpus * sc->cpus_per_gpu;
    }
    cpus = cpus < sc->cpus_min ? sc->cpus_min : cpus;
    if (cpus > CPU_MILLI_MAX / 1000) {
        return script_fail(sc, -WEIR_EOVERFLOW,
                           "%" PRIu64 " cores per node; at most 100000 are possible", cpus);
    }
    /* Where the script does not count cores, weir's own default holds. */
    bool counted = sc->tasks > 0 || sc->tasks_per_node > 0 || sc->cpus_per_task > 0 ||
                   sc->cpus_per_gpu > 0 || sc->cpus_min > 0;
    q->cpu_milli = counted ? (uint32_t)(cpus * 1000) : 0;
    if (nodes > 1) {
        spec_warn(sc->spec,
                  "the script runs on each of the %" PRIu32
                  " nodes, with SLURM_NODEID 0 to %" PRIu32 ", not on the first one only",
                  nodes, nodes - 1);
    }
    return resolve_memory(sc, cpus, gpus);
}

int script_parse(struct weir_sv text,
                 const char *file_name,
                 struct weir_gpu_table *gpus,
                 struct weir_spec *s,
                 struct weir_err *err)
{
    struct script sc = {.file_name = file_name, .spec = s, .gpus = gpus, .err = err};
    int r = doc_check_text(text, file_name, err);
    if (r != 0) {
        return r;
    }
    if (memchr(text.p, '\r', text.n) != NULL) {
        return script_fail(
            &sc, -WEIR_EINVAL,
            "the script has DOS line ends, which no shell reads; convert it with dos2unix");
    }
    s->run = weir_strndup(text.p, text.n);
    r = read_lines(&sc, text);
    r = r != 0 ? r : resolve(&sc);
    free(sc.constraint);
    if (r != 0) {
        return r;
    }
    if (!weir_sv_starts(text, WEIR_SV("#!"))) {
        spec_warn(s, "the script does not begin with #!; it is run by /bin/sh");
    }
    r = weir_spec_finish(s, err);
    return r == 0 ? 0 : script_fail_prefix(&sc, r);
}
