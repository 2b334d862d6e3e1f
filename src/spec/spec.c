/* SPDX-License-Identifier: Apache-2.0 */
/* A specification's life: defaults, checks, and the small helpers that its readers share. */
#include "spec/spec.h"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/parse.h"
#include "spec/spec_priv.h"

struct weir_spec *weir_spec_new(void)
{
    struct weir_spec *s = weir_alloc(sizeof *s);
    s->priority = 50;
    s->request.nodes = 1;
    s->request.delay_cost_micro_per_hour = -1;
    return s;
}

static void pairs_free(struct weir_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

void weir_spec_free(struct weir_spec *s)
{
    if (s == NULL) {
        return;
    }
    pairs_free(s->tags, s->n_tags);
    pairs_free(s->envs, s->n_envs);
    pairs_free(s->inputs, s->n_inputs);
    pairs_free(s->outputs, s->n_outputs);
    for (char **a = s->argv; a != NULL && *a != NULL; a++) {
        free(*a);
    }
    free(s->argv);
    for (size_t i = 0; i < s->n_warnings; i++) {
        free(s->warning[i]);
    }
    free(s->name);
    free(s->project);
    free(s->image);
    free(s->workdir);
    free(s->setup);
    free(s->run);
    free(s->checkpoint_path);
    free(s->stdout_path);
    free(s->stderr_path);
    free(s);
}

void weir_spec_freep(struct weir_spec **s)
{
    weir_spec_free(*s);
}

void spec_warn(struct weir_spec *s, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < s->n_warnings; i++) {
        if (weir_streq(s->warning[i], text)) {
            return;
        }
    }
    if (s->n_warnings == WEIR_SPEC_WARNINGS_MAX) {
        return;
    }
    bool last = s->n_warnings == WEIR_SPEC_WARNINGS_MAX - 1;
    s->warning[s->n_warnings++] = weir_strdup(last ? "more warnings are left out" : text);
}

void pair_add(struct weir_pair **pairs, size_t *n, struct weir_sv key, struct weir_sv value)
{
    /* Grown in powers of two, so that adding is linear overall. */
    if ((*n & (*n - 1)) == 0) {
        *pairs = weir_realloc(*pairs, *n == 0 ? 1 : *n * 2, sizeof **pairs);
    }
    (*pairs)[*n] = (struct weir_pair){
        .key = weir_strndup(key.n == 0 ? "" : key.p, key.n),
        .value = weir_strndup(value.n == 0 ? "" : value.p, value.n),
    };
    (*n)++;
}

static int add_pattern(char *slots,
                       size_t slot_size,
                       uint8_t *n,
                       struct weir_sv pattern,
                       const char *what,
                       struct weir_err *err)
{
    bool good = pattern.n > 0;
    for (size_t i = 0; i < pattern.n; i++) {
        char c = pattern.p[i];
        good = good && c > ' ' && c != 0x7f;
    }
    if (!good) {
        return weir_fail(err, -WEIR_EINVAL,
                         "'%.*s' is not the name of a %s or a pattern such as eu-*",
                         pattern.n > 60 ? 60 : (int)pattern.n, pattern.p, what);
    }
    if (pattern.n >= slot_size) {
        return weir_fail(err, -WEIR_ELIMIT, "%s '%.60s...' is longer than %zu bytes", what,
                         pattern.p, slot_size - 1);
    }
    for (size_t i = 0; i < *n; i++) {
        if (weir_sv_eq(weir_sv_of(slots + i * slot_size), pattern)) {
            return 0;
        }
    }
    if (*n == WEIR_PLACEMENT_NAMES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT,
                         "at most %d %ss may be named; use a pattern such as eu-*",
                         WEIR_PLACEMENT_NAMES_MAX, what);
    }
    memcpy(slots + *n * slot_size, pattern.p, pattern.n);
    (*n)++;
    return 0;
}

int spec_add_cloud(struct weir_request *r, struct weir_sv pattern, struct weir_err *err)
{
    return add_pattern(r->cloud[0], sizeof r->cloud[0], &r->clouds, pattern, "cloud", err);
}

int spec_add_region(struct weir_request *r, struct weir_sv pattern, struct weir_err *err)
{
    return add_pattern(r->region[0], sizeof r->region[0], &r->regions, pattern, "region", err);
}

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"KILL", SIGKILL},   {"USR1", SIGUSR1},
    {"USR2", SIGUSR2}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"CONT", SIGCONT},   {"STOP", SIGSTOP},
    {"TSTP", SIGTSTP}, {"URG", SIGURG},   {"XCPU", SIGXCPU}, {"WINCH", SIGWINCH},
};

int signal_parse(struct weir_sv name)
{
    uint64_t number;
    if (weir_parse_u64(name, 1, 64, &number, NULL) == 0) {
        return (int)number;
    }
    if (name.n > 3 && weir_sv_eq_nocase((struct weir_sv){name.p, 3}, WEIR_SV("SIG"))) {
        name = (struct weir_sv){name.p + 3, name.n - 3};
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(signals); i++) {
        if (weir_sv_eq_nocase(name, weir_sv_of(signals[i].name))) {
            return signals[i].number;
        }
    }
    return 0;
}

const char *signal_name(int number)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(signals); i++) {
        if (signals[i].number == number) {
            return signals[i].name;
        }
    }
    return NULL;
}

uint64_t mib_of_bytes(uint64_t bytes)
{
    return bytes / (1 << 20) + (bytes % (1 << 20) != 0);
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/' || c == '+' || c == ':' || c == '@' || c == '=';
}

char *name_from(struct weir_sv text)
{
    size_t n = text.n < 64 ? text.n : 64;
    char *name = weir_strndup(n == 0 ? "job" : text.p, n == 0 ? 3 : n);
    for (char *c = name; *c != '\0'; c++) {
        if (!is_name_char(*c)) {
            *c = '-';
        }
    }
    return name;
}

void spec_name_from_file(struct weir_spec *s, const char *file_name)
{
    struct weir_sv base = weir_sv_of(file_name == NULL ? "" : file_name);
    for (size_t i = base.n; i > 0; i--) {
        if (base.p[i - 1] == '/') {
            base = (struct weir_sv){base.p + i, base.n - i};
            break;
        }
    }
    for (size_t i = base.n; i > 1; i--) {
        if (base.p[i - 1] == '.') {
            base.n = i - 1;
            break;
        }
    }
    /* "-" stands for standard input. */
    bool nameless = base.n == 0 || weir_sv_eq(base, WEIR_SV("-"));
    free(s->name);
    s->name = name_from(nameless ? WEIR_SV("job") : base);
}

/* ---- checks ---- */

static int check_name(const char *name, const char *what, bool strict, struct weir_err *err)
{
    struct weir_sv n = weir_sv_of(name);
    if (n.n == 0) {
        return weir_fail(err, -WEIR_EINVAL, "%s is empty", what);
    }
    if (n.n > WEIR_SPEC_NAME_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "%s has %zu bytes; at most %d are allowed", what, n.n,
                         WEIR_SPEC_NAME_MAX);
    }
    if (!weir_utf8_is_text(n) || strpbrk(name, "\n\t") != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "%s holds characters that are not text", what);
    }
    for (size_t i = 0; strict && i < n.n; i++) {
        if (!is_name_char(name[i])) {
            return weir_fail(err, -WEIR_EINVAL,
                             "%s '%s' may have letters, digits and . _ - / + : @ = only", what,
                             name);
        }
    }
    return 0;
}

/* What nobody sees would tell two tags apart: blanks at the ends, characters of no width, marks of the direction of writing. */
static int check_seen(const char *value, struct weir_err *err)
{
    static const char *const unseen[] = {"\xc2\xa0", "\xc2\xad", "\xe2\x80\x8b", "\xe2\x80\x8c", "\xe2\x80\x8d", "\xe2\x80\x8e", "\xe2\x80\x8f",
                                         "\xe2\x80\xaa", "\xe2\x80\xab", "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa0", "\xef\xbb\xbf"};
    size_t n = strlen(value);
    if (n > 0 && (value[0] == ' ' || value[n - 1] == ' ')) {
        return weir_fail(err, -WEIR_EINVAL, "a tag's value '%s' begins or ends with a blank", value);
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(unseen); i++) {
        if (strstr(value, unseen[i]) != NULL) {
            return weir_fail(err, -WEIR_EINVAL, "a tag's value '%s' has a character that cannot be seen", value);
        }
    }
    return 0;
}

static bool is_env_name(const char *name)
{
    for (size_t i = 0; name[i] != '\0'; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return name[0] != '\0';
}

static int check_names(const struct weir_spec *s, struct weir_err *err)
{
    int r = check_name(s->name, "name", false, err);
    if (r == 0 && s->project != NULL) {
        r = check_name(s->project, "project", true, err);
    }
    if (r != 0) {
        return r;
    }
    if (s->n_tags > WEIR_SPEC_TAGS_MAX || s->n_envs > WEIR_SPEC_ENVS_MAX ||
        s->n_inputs > WEIR_SPEC_MOUNTS_MAX || s->n_outputs > WEIR_SPEC_MOUNTS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT,
                         "a job has at most %d tags, %d envs and %d inputs or outputs",
                         WEIR_SPEC_TAGS_MAX, WEIR_SPEC_ENVS_MAX, WEIR_SPEC_MOUNTS_MAX);
    }
    for (size_t i = 0; r == 0 && i < s->n_tags; i++) {
        r = check_name(s->tags[i].key, "a tag's name", true, err);
        if (r == 0 && s->tags[i].value[0] != '\0') {
            r = check_name(s->tags[i].value, "a tag's value", false, err);
            r = r != 0 ? r : check_seen(s->tags[i].value, err);
        }
        if (r != 0) {
            return weir_fail_prefix(err, r, "tags");
        }
    }
    for (size_t i = 0; i < s->n_envs; i++) {
        if (!is_env_name(s->envs[i].key)) {
            return weir_fail(err, -WEIR_EINVAL,
                             "envs: '%.60s' is not a variable's name: letters, digits and _, not "
                             "beginning with a digit",
                             s->envs[i].key);
        }
    }
    return 0;
}

/* Well-formed UTF-8; control characters are allowed, since commands and variables may hold them. */
static bool is_utf8(const char *text)
{
    struct weir_sv s = weir_sv_of(text);
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        bool control = c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] >= 0x80 &&
                       (unsigned char)s.p[i + 1] < 0xa0;
        if (c >= 0x80 && !control &&
            (n > s.n - i || !weir_utf8_is_text((struct weir_sv){s.p + i, n}))) {
            return false;
        }
        i += n;
    }
    return true;
}

/* What the canonical form cannot carry must not be accepted: it is text. */
static int check_utf8(const char *text, const char *what, struct weir_err *err)
{
    if (text == NULL || is_utf8(text)) {
        return 0;
    }
    return weir_fail(err, -WEIR_EINVAL,
                     "%s is not UTF-8 text; encode the bytes, or read them from a file", what);
}

static int check_line(const char *text, const char *what, size_t bytes_max, struct weir_err *err)
{
    struct weir_sv s = weir_sv_of(text);
    if (text == NULL) {
        return 0;
    }
    if (s.n == 0 || s.n > bytes_max) {
        return weir_fail(err, s.n == 0 ? -WEIR_EINVAL : -WEIR_ELIMIT,
                         "%s has %zu bytes; 1 to %zu are allowed", what, s.n, bytes_max);
    }
    if (!weir_utf8_is_text(s) || strpbrk(text, "\n\t") != NULL) {
        return weir_fail(err, -WEIR_EINVAL, "%s must be one line of text", what);
    }
    return 0;
}

static int check_texts(const struct weir_spec *s, struct weir_err *err)
{
    int r = check_line(s->workdir, "workdir", PATH_MAX_BYTES, err);
    r = r != 0 ? r : check_line(s->image, "resources.image_id", IMAGE_MAX_BYTES, err);
    r = r != 0 ? r : check_line(s->checkpoint_path, "checkpoint.path", PATH_MAX_BYTES, err);
    r = r != 0 ? r : check_line(s->stdout_path, "stdout", PATH_MAX_BYTES, err);
    r = r != 0 ? r : check_line(s->stderr_path, "stderr", PATH_MAX_BYTES, err);
    r = r != 0 ? r : check_utf8(s->setup, "setup", err);
    r = r != 0 ? r : check_utf8(s->run, "run", err);
    for (size_t i = 0; r == 0 && s->argv != NULL && s->argv[i] != NULL; i++) {
        r = check_utf8(s->argv[i], "argv", err);
    }
    for (size_t i = 0; r == 0 && i < s->n_envs; i++) {
        r = check_utf8(s->envs[i].value, "envs", err);
    }
    if (r == 0 && s->image != NULL && strchr(s->image, ' ') != NULL) {
        r = weir_fail(err, -WEIR_EINVAL, "resources.image_id: an image's name has no blanks");
    }
    if (r == 0 && s->image != NULL && s->image[0] == '-') {
        /* it would be an option of the tool that is to run the image */
        r = weir_fail(err, -WEIR_EINVAL, "resources.image_id: '%.60s' is not the name of an image", s->image);
    }
    return r;
}

static int check_mounts(const struct weir_pair *pairs,
                        size_t n,
                        const char *what,
                        struct weir_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct weir_sv rest = weir_sv_of(pairs[i].key);
        bool good = rest.n > 1 && rest.n <= PATH_MAX_BYTES && rest.p[0] == '/';
        while (good && rest.p != NULL) {
            good = !weir_sv_eq(weir_sv_cut(&rest, '/'), WEIR_SV(".."));
        }
        if (!good) {
            return weir_fail(err, -WEIR_EINVAL,
                             "%s: '%.100s' is not an absolute path in the run, such as /data", what,
                             pairs[i].key);
        }
        size_t length = strlen(pairs[i].value);
        if (length == 0 || length > PATH_MAX_BYTES) {
            return weir_fail(err, -WEIR_EINVAL,
                             "%s: '%.100s' needs a source such as s3://bucket/folder", what,
                             pairs[i].key);
        }
        if (!is_utf8(pairs[i].key) || !is_utf8(pairs[i].value)) {
            return weir_fail(err, -WEIR_EINVAL, "%s: a path is not UTF-8 text", what);
        }
    }
    return 0;
}

static int check_duration(const char *what, struct weir_dur d, struct weir_err *err)
{
    if (d.us < 0 || d.us > DURATION_MAX_US) {
        return weir_fail(err, -WEIR_EOVERFLOW, "%s is not between 0 and 3650 days", what);
    }
    return 0;
}

static int check_request(const struct weir_spec *s, struct weir_err *err)
{
    const struct weir_request *q = &s->request;
    if (q->nodes < 1 || q->nodes > WEIR_GANG_NODES_MAX) {
        return weir_fail(err, -WEIR_EOVERFLOW, "num_nodes is %" PRIu32 "; 1 to %d are possible",
                         q->nodes, WEIR_GANG_NODES_MAX);
    }
    if (q->alternatives > WEIR_ALTERNATIVES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "resources.accelerators: at most %d alternatives",
                         WEIR_ALTERNATIVES_MAX);
    }
    for (uint32_t i = 0; i < q->alternatives; i++) {
        if (q->alternative[i].count < 1 || q->alternative[i].count > WEIR_NODE_GPUS_MAX) {
            return weir_fail(err, -WEIR_EOVERFLOW,
                             "resources.accelerators: %d GPUs per node; 1 to %d are possible, "
                             "spread more over num_nodes",
                             q->alternative[i].count, WEIR_NODE_GPUS_MAX);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (q->alternative[k].model == q->alternative[i].model &&
                q->alternative[k].count == q->alternative[i].count) {
                return weir_fail(err, -WEIR_EINVAL,
                                 "resources.accelerators: the same GPU and count is named twice");
            }
        }
    }
    if (q->gpu_mem_mib_min > 0 && q->alternatives == 0) {
        return weir_fail(err, -WEIR_EINVAL,
                         "resources.gpu_memory asks for memory of a GPU, but no GPU is asked for; "
                         "add accelerators: 1");
    }
    if (q->cpu_milli > CPU_MILLI_MAX || q->mem_mib > MEM_MIB_MAX) {
        return weir_fail(err, -WEIR_EOVERFLOW,
                         "resources: more than 100000 cores or 1 EiB of memory per node");
    }
    if (q->clouds > WEIR_PLACEMENT_NAMES_MAX || q->regions > WEIR_PLACEMENT_NAMES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "placement: at most %d clouds and %d regions",
                         WEIR_PLACEMENT_NAMES_MAX, WEIR_PLACEMENT_NAMES_MAX);
    }
    if (q->local == WEIR_LOCAL_ONLY && (q->clouds > 0 || q->regions > 0)) {
        return weir_fail(err, -WEIR_EINVAL,
                         "placement: clouds and regions have no meaning with local: only; leave "
                         "out one of the two");
    }
    if (q->local == WEIR_LOCAL_ONLY && q->market == WEIR_MARKET_SPOT) {
        return weir_fail(err, -WEIR_EINVAL,
                         "resources.use_spot: true rents spot machines only, but placement has "
                         "local: only; leave out one of the two");
    }
    if (q->max_cost_micro < 0 || q->max_cost_micro > MONEY_MAX_MICRO ||
        q->delay_cost_micro_per_hour > MONEY_MAX_MICRO) {
        return weir_fail(err, -WEIR_EOVERFLOW,
                         "max_cost or delay_cost is not between 0 and 1000000000");
    }
    int r = check_duration("max_duration", q->max_duration, err);
    r = r != 0 ? r : check_duration("expected", q->expected, err);
    r = r != 0 ? r : check_duration("checkpoint.every", q->checkpoint_every, err);
    r = r != 0 ? r : check_duration("checkpoint.grace", q->checkpoint_grace, err);
    return r != 0 ? r : check_duration("deadline", s->deadline_after, err);
}

static int check_command(const struct weir_spec *s, struct weir_err *err)
{
    bool has_run = s->run != NULL && weir_sv_trim(weir_sv_of(s->run)).n > 0;
    bool has_argv = s->argv != NULL && s->argv[0] != NULL;
    if (has_run && has_argv) {
        return weir_fail(err, -WEIR_EINVAL,
                         "run and argv are both given; leave out one of the two");
    }
    if (!has_run && !has_argv) {
        return weir_fail(err, -WEIR_EINVAL,
                         "the job has no command; add for example run: python train.py");
    }
    size_t bytes = has_run ? strlen(s->run) : 0;
    size_t n = 0;
    for (; has_argv && s->argv[n] != NULL && n <= ARGS_MAX; n++) {
        bytes += strlen(s->argv[n]) + 1;
    }
    if (n > ARGS_MAX || bytes > WEIR_SPEC_BYTES_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "the command has more than %d arguments or %d bytes",
                         ARGS_MAX, WEIR_SPEC_BYTES_MAX);
    }
    return 0;
}

int weir_spec_finish(struct weir_spec *s, struct weir_err *err)
{
    struct weir_request *q = &s->request;
    int r = check_command(s, err);
    if (r != 0) {
        return r;
    }
    if (s->name == NULL) {
        struct weir_sv program = weir_sv_of(s->argv != NULL ? s->argv[0] : "job");
        for (size_t i = program.n; i > 0; i--) {
            if (program.p[i - 1] == '/') {
                program = (struct weir_sv){program.p + i, program.n - i};
                break;
            }
        }
        s->name = name_from(program);
    }
    r = check_names(s, err);
    r = r != 0 ? r : check_texts(s, err);
    r = r != 0 ? r : check_mounts(s->inputs, s->n_inputs, "inputs", err);
    r = r != 0 ? r : check_mounts(s->outputs, s->n_outputs, "outputs", err);
    r = r != 0 ? r : check_request(s, err);
    if (r != 0) {
        return r;
    }
    if (s->priority < 0 || s->priority > 1000) {
        return weir_fail(err, -WEIR_EOVERFLOW, "priority is %" PRId32 "; 0 to 1000 are possible",
                         s->priority);
    }
    if (s->n_ranges > WEIR_SPEC_RANGES_MAX || weir_spec_task_count(s) > WEIR_ARRAY_TASKS_MAX) {
        return weir_fail(err, -WEIR_ELIMIT, "array: more than %d ranges or %d tasks",
                         WEIR_SPEC_RANGES_MAX, WEIR_ARRAY_TASKS_MAX);
    }
    if (s->deadline.us != 0 && s->deadline_after.us != 0) {
        return weir_fail(
            err, -WEIR_EINVAL,
            "deadline is given both as a time and as a duration; leave out one of the two");
    }
    if (s->checkpoint_signal < 0 || s->checkpoint_signal > 64) {
        return weir_fail(err, -WEIR_EINVAL, "checkpoint.signal: %d is no signal",
                         s->checkpoint_signal);
    }
    if (q->max_duration.us == 0) {
        q->max_duration.us = DEFAULT_DURATION_US;
    }
    if (q->checkpoint_grace.us == 0) {
        q->checkpoint_grace.us = DEFAULT_GRACE_US;
    }
    if (q->alternatives <= 1) {
        q->alternatives_ordered = false;
    }
    if (q->alternatives == 0 && q->cpu_milli == 0) {
        q->cpu_milli = 1000;
    }
    q->stage_bytes = mib_of_bytes(q->stage_bytes) << 20;
    return 0;
}

int weir_spec_note_currency(struct weir_spec *s, const char *currency, struct weir_err *err)
{
    if (currency[0] != '\0' && s->currency[0] != '\0' && !weir_streq(currency, s->currency)) {
        return weir_fail(err, -WEIR_EINVAL, "the job's amounts are in %s and in %s: write all in one currency, that of the ledger", s->currency, currency);
    }
    if (currency[0] != '\0') {
        (void)snprintf(s->currency, sizeof s->currency, "%s", currency);
    }
    return 0;
}
